"""What a stage that asks a language model would ask, found on a sample of its real input.

The stage's own `ask` is run over records drawn by chance, with a model that collects what it is asked.
So prompts are the real ones, and what was answered before is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from curate.engine.usage import give_back
from curate.llm.answers import Answers
from curate.llm.base import LanguageModel, Request
from curate.llm.collect import Collected
from curate.llm.counting import tokens_of
from curate.llm.estimate import Collection, Estimate, estimate, written_texts
from curate.llm.prices import Price
from curate.llm.recorded import Recorded
from curate.llm.settings import LLM
from curate.stage import Ask, Inputs

_BATCH = 256  # records that are drawn at a time
_LEAST, _MOST = 8, 128  # batches; between these, until the estimate is as precise as this:
_PRECISION = 0.02
_RECORDED = 10_000  # answers that are looked at: the newest of the model


@dataclass(frozen=True, slots=True)
class Expected:
    """What a stage would ask.

    :param model: what identifies it.
    :param price: what its tokens cost; None if that is not known.
    :param rows: records that it would treat.
    :param sampled: how many of them were looked at.
    :param error: the standard error that comes of the sample, as a share of calls and tokens.
    :param recorded: questions of all the records that were answered before.
    """

    model: str
    price: Price | None
    rows: int
    sampled: int
    error: float
    recorded: float
    takes: Estimate

    @property
    def cost(self) -> tuple[float, float] | None:
        """The least and the most that it costs, in USD; None if the price is not known."""
        if self.price is None:
            return None
        low, high = self.takes.completion_tokens
        read = self.takes.prompt_tokens
        return self.price.cost(read, low), self.price.cost(read, high)


@dataclass(frozen=True, slots=True)
class Sampler:
    """Runs a stage over records drawn by chance.

    :param rows: the numbers of the records that are still to be treated.
    :param answers: the file of recorded answers, which may not exist.
    """

    stage: Ask
    inputs: Inputs
    fitted: Any
    rows: np.ndarray
    answers: Path

    def expect(self) -> Expected:
        """Estimate what the stage would ask; nothing is asked and nothing is written."""
        llm = self.stage.llm
        with _opened(self.answers) as answers:
            recorded = answers.latest(llm.identity(), _RECORDED)
            collection = Collection()
            model = Collected(
                llm.identity(),
                answers,
                collection.add if self.stage.takes else partial(_add_first, collection),
                attempts=llm.attempts,
                on_failure=llm.on_failure,
                written=written_texts(recorded),
            )
            sizes: list[int] = []
            sampled = before = 0
            for table in self._batches():
                with suppress(_EnoughError):
                    self.stage.ask(table, self.fitted, model)
                sizes.append(collection.size - before)
                sampled, before = sampled + len(table), collection.size
                if len(sizes) >= _LEAST and _error(sizes) < _PRECISION:
                    break
        scale = len(self.rows) / max(sampled, 1) if self.stage.takes else 1.0
        takes = estimate(collection, recorded, tokens_of(llm), llm.attempts)
        error = 0.0 if sampled == len(self.rows) else _error(sizes)
        return Expected(
            llm.identity(),
            llm.known_price(),
            len(self.rows),
            sampled,
            error,
            scale * model.usage.recorded,
            _scaled(takes, scale),
        )

    def probe(
        self, calls: int, expected: Expected, open_model: Callable[[LLM], LanguageModel]
    ) -> float:
        """Ask about as many requests, for real; the answers are recorded.

        A Batch API would answer in hours, so its server is asked at once.

        :param expected: tells how many records that takes.
        :return: the seconds that an answer took; 0 where the run's will take another time.
        """
        llm, each = self.stage.llm, expected.takes.calls / max(len(self.rows), 1)
        count = min(math.ceil(calls / each), len(self.rows)) if each else 0
        table = self.inputs.main.to_arrow().take(self._drawn(1)[:count])
        at_once = llm.backend != "openai-batch"
        if not at_once:
            llm = llm.model_copy(update={"backend": "openai"})
        model = Recorded(
            llm.identity(),
            lambda: open_model(llm),
            Answers(self.answers),
            attempts=llm.attempts,
            on_failure=llm.on_failure,
        )
        if count:
            self.stage.ask(table.combine_chunks(), self.fitted, model)
        usage = model.usage
        del model
        give_back()
        return usage.seconds / max(usage.asked, 1) if at_once else 0.0

    def _drawn(self, seed: int) -> np.ndarray:
        """Return the numbers of the records in the order in which they are drawn."""
        return np.random.default_rng(seed).permutation(self.rows)

    def _batches(self) -> Iterator[pa.Table]:
        """Give records that were drawn; one empty table to a stage that takes none."""
        if not self.stage.takes:
            yield pa.table({})
            return
        table, drawn = self.inputs.main.to_arrow(), self._drawn(0)
        for start in range(0, min(len(drawn), _MOST * _BATCH), _BATCH):
            yield table.take(drawn[start : start + _BATCH]).combine_chunks()


def expect(sampler: Sampler, probe: int, open_model: Callable[[LLM], LanguageModel]) -> Expected:
    """Estimate what a stage would ask.

    :param probe: ask about so many requests first, to see what answers take.
    """
    expected = sampler.expect()
    if not probe or not expected.takes.calls:
        return expected
    seconds = sampler.probe(probe, expected, open_model)
    expected = sampler.expect()
    if not seconds:
        return expected
    return replace(expected, takes=replace(expected.takes, seconds=seconds * expected.takes.calls))


class _EnoughError(Exception):
    """Enough is known of what a stage would ask."""


def _add_first(collection: Collection, requests: Sequence[Request]) -> None:
    """Add the first round of a stage that takes no records: how many follow, made answers do not tell."""
    collection.add(requests)
    raise _EnoughError


def _scaled(takes: Estimate, scale: float) -> Estimate:
    """Return what all records take, as those of the sample do."""
    low, high = takes.completion_tokens
    return replace(
        takes,
        calls=scale * takes.calls,
        prompt_tokens=scale * takes.prompt_tokens,
        completion_tokens=(scale * low, scale * high),
        seconds=None if takes.seconds is None else scale * takes.seconds,
    )


def _error(sizes: Sequence[int]) -> float:
    """Return the standard error of the mean of some batches, as a share of it."""
    mean = float(np.mean(sizes))
    if len(sizes) < 2 or not mean:
        return math.inf if len(sizes) < 2 else 1.0
    return float(np.std(sizes, ddof=1)) / math.sqrt(len(sizes)) / mean


@contextmanager
def _opened(path: Path) -> Iterator[Answers]:
    """Open the recorded answers; none where there is no file, which is not made."""
    with TemporaryDirectory() as folder:
        answers = Answers(path if path.exists() else Path(folder) / path.name)
        try:
            yield answers
        finally:
            answers.close()
