"""The duplicate links of a site of Stack Exchange, to be looked up by question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np

from curate.harvest.reading.files import File
from curate.harvest.reading.streams import Chunk, stream_blocks
from curate.harvest.stackexchange.rows import BOUNDARY, Row, read_rows, whole
from curate.stage import Unit

DUPLICATE = "3"
"""LinkTypeId of a question that was closed as a duplicate; 1 is a mere mention."""


class Links:
    """Which questions are duplicates of which: 48 bytes a link, about 200 while it is made.

    :param links: int64 [n, 2], the ids of the questions of each link.
    """

    def __init__(self, links: np.ndarray) -> None:
        both = np.concatenate([links, links[:, ::-1]])
        both = np.unique(both, axis=0) if len(both) else both
        self._ids, self._others = both[:, 0].copy(), both[:, 1].copy()
        self._threads = _threads(self._ids, self._others)

    def of(self, question: int) -> list[int]:
        """Return the questions that a question is linked to, in order."""
        start = int(self._ids.searchsorted(question))
        if start == len(self._ids) or self._ids[start] != question:
            return []
        end = int(self._ids.searchsorted(question, "right"))
        found: list[int] = self._others[start:end].tolist()
        return found

    def thread(self, question: int) -> int:
        """Return the first of all questions that duplicates connect with a question, itself if none."""
        at = int(self._ids.searchsorted(question))
        if at == len(self._ids) or self._ids[at] != question:
            return question
        return int(self._threads[at])


def _threads(ids: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the smallest id of the connected component of each of `ids`, which are sorted.

    Each takes the smallest number among its neighbours', and that one's number, until none changes.
    """
    names, starts, rows = np.unique(ids, return_index=True, return_inverse=True)
    columns = np.searchsorted(names, others)
    best = np.arange(len(names))
    while len(names):
        lower = np.minimum(best, np.minimum.reduceat(best[columns], starts))
        lower = lower[lower]
        if np.array_equal(lower, best):
            break
        best = lower
    threads: np.ndarray = names[best][rows]
    return threads


@lru_cache(maxsize=8)
def load_links(files: tuple[File, ...], stamp: str) -> Links:
    """Read the duplicate links of a site; what is damaged is skipped, its own reading tells of it.

    :param stamp: the fingerprint of the files, so that others of the same name are read anew.
    """
    found = [link for file in files for link in _links(file)]
    return Links(np.array(found, np.int64).reshape(-1, 2))


def _links(file: File) -> Iterator[tuple[int, int]]:
    for block in stream_blocks(Unit(file.name, "", file), BOUNDARY):
        if not isinstance(block.payload, Chunk):
            continue
        try:
            data = block.payload.read()
        except OSError:
            continue
        yield from filter(None, map(link_of, _candidates(data)))


def _candidates(data: bytes) -> Iterable[Row]:
    return (row for row in read_rows(data, b'"3"', b"'3'") if isinstance(row, Row))


def link_of(row: Row) -> tuple[int, int] | None:
    """Return the duplicate and the question that it is a duplicate of; None if this is no such link."""
    post, original = whole(row.get("PostId")), whole(row.get("RelatedPostId"))
    if row.get("LinkTypeId") != DUPLICATE or post is None or original is None or post == original:
        return None
    return post, original
