"""What an encoder is, and how a model folder is opened as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from curate.encode.description import Description, description_of
from curate.errors import CurateError

# A folder may name any class that Python can import; only these are run.
_TRUSTED = "sentence_transformers."


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    dimension: int

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors, [len(texts), dimension]; an empty text gives zeros."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors, [len(texts), dimension]; an empty text gives zeros."""
        ...


def load_encoder(
    folder: str | Path, threads: int | None = None, record: Path | None = None
) -> Encoder:
    """Open the folder of a model: a static one, a `SentenceTransformer`, or what names an endpoint.

    A static model is read directly, which needs neither transformers nor sentence-transformers.
    Nothing is ever fetched, and no code of the model's own is run.

    :param threads: CPU threads to use; by default torch's own choice.
    :param record: the file that the vectors of an endpoint are recorded in; by default
        `vectors.sqlite` in the user's cache.
    :raises CurateError: if the folder holds no such model.
    """
    folder = Path(folder)
    described = description_of(folder)
    if described and described.sort == "endpoint":
        return _endpoint(described, record)
    types = module_types(folder)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if types[0].endswith("StaticEmbedding"):
        from curate.encode.static import StaticEncoder

        return StaticEncoder.load(folder)
    from curate.encode.sentence import HowToRun, SentenceEncoder

    return SentenceEncoder(folder, HowToRun(**(described.settings if described else {})))


def module_types(folder: Path) -> list[str]:
    """Return the classes of the modules of a model, from the first to read a text to the last.

    :raises CurateError: if the folder holds no model, or one that needs code of its own.
    """
    modules = folder / "modules.json"
    try:
        types = [str(module["type"]) for module in json.loads(modules.read_bytes())]
    except FileNotFoundError:
        raise CurateError(f"{folder}: not a model folder: it has no modules.json") from None
    except (ValueError, KeyError, TypeError) as error:
        raise CurateError(f"{modules}: not a list of modules ({error!r})") from None
    for name in types:
        if not name.startswith(_TRUSTED):
            raise CurateError(f"{modules}: {name!r} is code of the model's own, which is not run")
    if not types:
        raise CurateError(f"{modules}: it lists no module")
    return types


def _endpoint(described: Description, record: Path | None) -> Encoder:
    from curate.encode.client import EndpointEncoder
    from curate.encode.endpoint import EndpointModel

    if record is None:
        from curate.llm.packaged import cache_folder

        record = cache_folder() / "vectors.sqlite"
    return EndpointEncoder(EndpointModel.model_validate(described.settings), record)
