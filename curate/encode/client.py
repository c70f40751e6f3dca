"""Vectors from an OpenAI-compatible embedding endpoint: asked in parallel, recorded, then used.

The requests go through the `openai` package, one client shared by threads: it repeats what was refused
for the moment with pauses that double, with jitter, or as `Retry-After` says. With dozens of texts in a
request a thread each is enough; the endpoint is always slower.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.encode.endpoint import EndpointModel
from curate.encode.vectors import Vectors
from curate.errors import CurateError, MissingExtraError

if TYPE_CHECKING:
    from openai import OpenAI

_LOOKED_UP = 8192  # texts that are looked up at a time
_SHOWN = 300  # characters of an endpoint's own message


class EndpointEncoder:
    """An embedding endpoint. Equal texts are asked once; an empty text is not asked."""

    def __init__(self, settings: EndpointModel, record: Path) -> None:
        """:param record: the file of recorded vectors."""
        settings.check()
        self.settings = settings
        self.dimension = settings.dimension
        self._vectors = Vectors(record)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32 [len(texts), dimension].

        :raises CurateError: if the endpoint gives no usable answer; what it gave is recorded.
        """
        return self._encode(self.settings.query_prefix, texts)

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32 [len(texts), dimension].

        :raises CurateError: if the endpoint gives no usable answer; what it gave is recorded.
        """
        return self._encode(self.settings.passage_prefix, texts)

    def _encode(self, prefix: str, texts: Sequence[str]) -> np.ndarray:
        result = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), _LOOKED_UP):
            some = texts[start : start + _LOOKED_UP]
            says_something = np.array([bool(text.strip()) for text in some], bool)
            rows = np.flatnonzero(says_something) + start
            sent = [self._sent(prefix, texts[row]) for row in rows.tolist()]
            places = {text: place for place, text in enumerate(dict.fromkeys(sent))}
            distinct = self._known_or_asked(list(places))
            result[rows] = distinct[[places[text] for text in sent]]
        return result

    def _sent(self, prefix: str, text: str) -> str:
        """Return a text as it is sent: lone surrogates, which no JSON in UTF-8 can hold, as `?`."""
        cut = (prefix + text)[: len(prefix) + self.settings.max_chars]
        return cut.encode("utf-8", "replace").decode()

    def _known_or_asked(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of distinct texts."""
        identity = self.settings.identity
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        known = self._vectors.get(identity, texts, self.dimension)
        vectors[known.places] = known.vectors
        missing = np.setdiff1d(np.arange(len(texts)), known.places).tolist()
        for batch, answer in self._asked(texts, self._batches(texts, missing)):
            some = [texts[place] for place in batch]
            vectors[batch] = self._vectors.put(identity, some, answer)
        return vectors

    def _batches(self, texts: list[str], places: list[int]) -> Iterator[list[int]]:
        """Cut places into batches by the number of texts and of their characters."""
        batch: list[int] = []
        chars = 0
        for place in places:
            chars += len(texts[place])
            full = len(batch) == self.settings.batch or chars > self.settings.batch_chars
            if batch and full:
                yield batch
                batch, chars = [], len(texts[place])
            batch.append(place)
        if batch:
            yield batch

    def _asked(
        self, texts: list[str], batches: Iterator[list[int]]
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """Ask for batches, some at a time; give the answers as they come.

        After an error nothing more is asked, but what was under way is waited for and given first.
        """
        pending: dict[Future[np.ndarray], list[int]] = {}
        failure: BaseException | None = None
        with ThreadPoolExecutor(self.settings.concurrency, "endpoint") as threads:
            while True:
                room = 0 if failure else self.settings.concurrency - len(pending)
                for batch in islice(batches, room):
                    asked = threads.submit(self._ask, [texts[place] for place in batch])
                    pending[asked] = batch
                if not pending:
                    break
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    batch = pending.pop(future)
                    if error := future.exception():
                        failure = failure or error
                    else:
                        yield batch, future.result()
        if failure:
            raise failure

    # -- one request ---------------------------------------------------------------------

    @cached_property
    def _client(self) -> OpenAI:
        try:
            from openai import OpenAI
        except ImportError:
            raise MissingExtraError("openai", "openai") from None
        settings = self.settings
        return OpenAI(
            base_url=settings.url,
            api_key=self._key or "none",  # the client insists on one
            timeout=settings.timeout,
            max_retries=settings.retries,
        )

    @property
    def _key(self) -> str:
        return os.environ.get(self.settings.key_variable, "").strip()

    def _ask(self, texts: list[str]) -> np.ndarray:
        """Return the unit vectors of one request.

        :raises CurateError: if it fails for good.
        """
        from openai import OpenAIError

        shorter: dict[str, Any] = {"dimensions": self.dimension} if self.settings.shorten else {}
        problem = ""
        for _ in range(self.settings.retries + 1):
            try:
                answer = self._client.embeddings.create(
                    model=self.settings.model, input=texts, **shorter
                )
                return self._read(answer.data, len(texts))
            except OpenAIError as error:
                raise self._failure(error) from None
            except (ValueError, TypeError, AttributeError) as error:
                problem = str(error)
        raise self._error(f"gives no usable answer: {problem}")

    def _read(self, data: Any, n: int) -> np.ndarray:
        """Read an answer, whose vectors may come in another order.

        :raises ValueError: if it is incomplete, or has vectors that no text can have.
        :raises CurateError: if the vectors have another dimension.
        """
        places = [entry.index for entry in data]
        if sorted(places) != list(range(n)):
            raise ValueError(f"{len(places)} vectors for {n} texts")
        for entry in data:
            if len(entry.embedding) != self.dimension:
                raise self._error(
                    f"gives vectors of {len(entry.embedding)} dimensions where `dimension` says "
                    f"{self.dimension}: set it to that, or `shorten` if the model can"
                )
        vectors = np.empty((n, self.dimension), np.float32)
        vectors[places] = [entry.embedding for entry in data]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise ValueError("vectors that are zero or not finite")
        unit: np.ndarray = vectors / lengths
        return unit

    def _failure(self, error: Exception) -> CurateError:
        """Tell in one line what an endpoint said, without the key, which some repeat."""
        status = getattr(error, "status_code", None)
        said = " ".join(str(error).split())
        if self._key:
            said = said.replace(self._key, "[key]")
        said = said[:_SHOWN]
        if status is None:
            return self._error(f"cannot be used: {said}")
        hint = ""
        if status in (401, 403):
            state = "is refused" if self._key else "is not set"
            hint = f"; the environment variable {self.settings.key_variable} {state}"
        elif status in (400, 413, 422):
            hint = "; if texts are too long for the model, lower `max_chars`"
        return self._error(f"answers {status}{hint}: {said}")

    def _error(self, message: str) -> CurateError:
        return CurateError(f"{self.settings.url}, model {self.settings.model!r}: {message}")
