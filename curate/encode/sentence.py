"""Any model that `SentenceTransformer` loads, as an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from curate.errors import MissingExtraError


class SentenceEncoder:
    """A model run by sentence-transformers, with the prompts that it was saved with."""

    def __init__(self, folder: str | Path) -> None:
        """:raises MissingExtraError: if sentence-transformers is not installed."""
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError:
            raise MissingExtraError("sentence-transformers", "demo") from None
        self.model = SentenceTransformer(str(folder))
        self.dimension = int(self.model.get_embedding_dimension() or 0)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Encode with the model's prompt for queries, if it has one."""
        return np.asarray(
            self.model.encode_query(list(texts), normalize_embeddings=True), dtype=np.float32
        )

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Encode with the model's prompt for documents, if it has one."""
        return np.asarray(
            self.model.encode_document(list(texts), normalize_embeddings=True), dtype=np.float32
        )
