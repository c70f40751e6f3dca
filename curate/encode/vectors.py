"""The vectors that an endpoint gave, on disk, each under the model and the text that it belongs to."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curate.errors import CurateError
from curate.recordfile import RecordFile

_TABLE = """
CREATE TABLE IF NOT EXISTS vectors (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    vector BLOB NOT NULL  -- float32, little-endian
)
"""
_CHUNK = 1_000  # keys in one query
_FLOAT = np.dtype("<f4")


class VectorsError(CurateError):
    """The file of vectors cannot be used. The message names it."""


class Found(NamedTuple):
    """What is recorded of some texts.

    :param places: int64 [m], which of the texts.
    :param vectors: their vectors, float32 [m, dimension].
    """

    places: np.ndarray
    vectors: np.ndarray


class Vectors(RecordFile):
    """The recorded vectors in one file. The first vector recorded for a text stays."""

    format = 1
    holds = "vectors"
    table = _TABLE
    error = VectorsError

    def get(self, model: str, texts: Sequence[str], dimension: int) -> Found:
        """Return what is recorded of n texts.

        :param model: what identifies the model.
        :raises VectorsError: if the file cannot be used.
        """
        with self.connected() as connection:
            return _read(connection, [_key(model, text) for text in texts], dimension)

    def put(self, model: str, texts: Sequence[str], vectors: np.ndarray) -> np.ndarray:
        """Record the vectors of n texts in one transaction.

        :param vectors: float32 [n, dimension].
        :return: the vectors that are recorded, perhaps earlier ones of another process.
        :raises VectorsError: if the file cannot be used; then none of them is recorded.
        """
        keys = [_key(model, text) for text in texts]
        rows = [
            (key, vector.tobytes())
            for key, vector in zip(keys, vectors.astype(_FLOAT), strict=True)
        ]
        with self.connected() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (NULL, ?, ?)", rows)
            return _read(connection, keys, vectors.shape[1]).vectors


def _key(model: str, text: str) -> bytes:
    named = json.dumps([model, text])  # ASCII, so that lone surrogates survive
    return hashlib.blake2b(named.encode(), digest_size=16).digest()


def _read(connection: sqlite3.Connection, keys: list[bytes], dimension: int) -> Found:
    known: dict[bytes, bytes] = {}
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
        known.update(connection.execute(query, chunk))
    places = np.array([i for i, key in enumerate(keys) if key in known], np.int64)
    content = b"".join(known[keys[i]] for i in places.tolist())
    return Found(places, np.frombuffer(content, _FLOAT).reshape(len(places), dimension))
