"""What an encoder is, and how a model folder is opened as one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from curate.errors import CurateError


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    dimension: int

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors, [len(texts), dimension]; an empty text gives zeros."""
        ...

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 vectors, [len(texts), dimension]; an empty text gives zeros."""
        ...


def load_encoder(folder: str | Path, threads: int | None = None) -> Encoder:
    """Open a folder in the format of sentence-transformers.

    A static model is read directly, which needs neither transformers nor sentence-transformers;
    any other goes through `SentenceTransformer`.

    :param threads: CPU threads to use; by default torch's own choice.
    :raises CurateError: if the folder holds no such model.
    """
    folder = Path(folder)
    modules = folder / "modules.json"
    if not modules.exists():
        raise CurateError(f"{folder}: not a model folder: it has no modules.json")
    types = [str(module["type"]) for module in json.loads(modules.read_bytes())]
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    if types[0].endswith("StaticEmbedding"):
        from curate.encode.static import StaticEncoder

        return StaticEncoder.load(folder)
    from curate.encode.sentence import SentenceEncoder

    return SentenceEncoder(folder)
