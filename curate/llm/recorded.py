"""A language model whose every answer is recorded before it is used.

What is recorded is not asked again; the backend is opened at the first question without an answer. A
thread of its own writes answers as they come, all that came since its last write at a time: a slow
backend's answers are on disk within milliseconds, and a fast one does not wait for the disk.

What is no usable text (cut off, refused, blank, not of its schema) is recorded as that, counted, and
asked again as often as the settings say, each time as another attempt with another draw.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Literal, TypeVar, cast

from curate.llm.answers import Answers, token_counts
from curate.llm.base import (
    Answer,
    Choose,
    Chosen,
    Deferred,
    Finish,
    Generate,
    Generated,
    LanguageModel,
    LaterError,
    Request,
    Score,
    Scored,
    UnansweredError,
    without_answer,
)
from curate.llm.budget import Budget, BudgetError, Meter
from curate.llm.prices import Price
from curate.llm.schemas import violation

OnFailure = Literal["stop", "drop"]
UNUSABLE: dict[str, str] = {
    "length": "cut off",
    "refused": "refused",
    "invalid": "invalid",
    "failed": "failed",
}
"""What is said of answers that cannot be used, by how they ended."""

_GROUP = 256  # answers in one write
_PROGRESS_SECONDS = 0.5
_ASKED_AGAIN: tuple[Finish, ...] = ("length", "refused", "invalid")

R = TypeVar("R", Generate, Score, Choose)
A = TypeVar("A", Generated, Scored, Chosen)


def unusable_counts(counts: Mapping[str, int]) -> list[str]:
    """Write how many answers cannot be used, and why.

    :param counts: by how they ended; other counts may be among them.
    """
    return [f"{counts[name]:,} {words}" for name, words in UNUSABLE.items() if counts.get(name)]


@dataclass(slots=True)
class Usage:
    """What was asked so far.

    :param asked: questions that the backend answered.
    :param recorded: questions that had been answered before; they cost nothing.
    :param prompt_tokens: tokens that the backend read.
    :param completion_tokens: tokens that it wrote.
    :param seconds: time that it took, without loading the model.
    :param unusable: how many of the answers were not whole, by how they ended (`Finish`).
    :param cost: USD that the backend's answers cost; None if the price is not known.
    """

    asked: int = 0
    recorded: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    unusable: dict[str, int] = field(default_factory=dict)
    cost: float | None = None

    @property
    def tokens_per_second(self) -> float:
        """Tokens that the backend wrote in a second or, if it only scored, read; 0 before it answered."""
        tokens = self.completion_tokens or self.prompt_tokens
        return tokens / self.seconds if self.seconds else 0.0


class Recorded:
    """A language model that answers from a record, and asks a backend for the rest.

    :param model_id: what identifies the model; its answers are recorded under it.
    :param open_model: loads the backend; called once, when there is something to ask.
    :param on_progress: is told the usage so far, about twice a second and after each call.
    :param attempts: how often a text is asked for until it can be used.
    :param on_failure: what becomes of a request that the backend fails to answer: `drop` records that it
        failed, `stop` ends the run when all others are answered and recorded.
    :param price: what the backend's answers cost; None if that is not known.
    :param budget: what they may cost, together with those to others who share it.
    """

    def __init__(
        self,
        model_id: str,
        open_model: Callable[[], LanguageModel],
        answers: Answers,
        on_progress: Callable[[Usage], None] | None = None,
        *,
        attempts: int = 1,
        on_failure: OnFailure = "stop",
        price: Price | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.model_id = model_id
        self._attempts = attempts
        self._on_failure = on_failure
        self._price = price
        self._budget = budget
        self._meter = Meter()
        self.usage = Usage(cost=None if price is None else 0.0)
        self._asked: Counter[str] = Counter()
        self._again = 0  # questions that will be looked up once more, though they are counted
        self._open_model = open_model
        self._model: LanguageModel | None = None
        self._answers = answers
        self._on_progress = on_progress

    def generate(self, requests: Sequence[Generate]) -> list[Generated]:
        """Return a text for each request, in order; equal requests are one question.

        Where no attempt gave a usable text it is the answer to the last one.

        :raises UnansweredError: if the backend fails to answer a question.
        """
        answers = self._generate(requests)
        for attempt in range(1, self._attempts):
            again = [n for n, answer in enumerate(answers) if answer.finish in _ASKED_AGAIN]
            if not again:
                break
            asked = [replace(requests[n], attempt=requests[n].attempt + attempt) for n in again]
            for n, answer in zip(again, self._generate(asked), strict=True):
                answers[n] = answer
        return answers

    def _generate(self, requests: Sequence[Generate]) -> list[Generated]:
        return self._ask(requests, lambda model, rest: model.generate(rest))

    def score(self, requests: Sequence[Score]) -> list[Scored]:
        """Return the log-likelihood of each continuation, in order.

        :raises UnansweredError: if the backend fails to answer a question.
        """
        return self._ask(requests, lambda model, rest: model.score(rest))

    def choose(self, requests: Sequence[Choose]) -> list[Chosen]:
        """Return the probabilities of each request's labels, in order.

        :raises UnansweredError: if the backend fails to answer a question.
        """
        return self._ask(requests, lambda model, rest: model.choose(rest))

    def take_asked(self) -> dict[str, int]:
        """Count the questions since this was last called, and their tokens, then begin anew.

        Questions that had been answered before count too: the numbers depend on what rows rest on,
        not on which run paid for it.

        :return: `calls`, `prompt_tokens` and `completion_tokens`, and how many answers were not whole, by
            how they ended (`Finish`).
        """
        asked, self._asked = self._asked, Counter()
        return dict(asked)

    def settle(self, tell: Callable[[str], None]) -> None:
        """Wait for the answers that calls did not give, because they come later (`LaterError`).

        :param tell: is told how far it is.
        """
        assert isinstance(self._model, Deferred)
        self._model.settle(tell)
        if self._budget is not None:
            self._budget.release()

    def put_off(self) -> None:
        """Forget what was asked since `take_asked` was last called: it will be asked once more."""
        self._again += self._asked["calls"]
        self._asked.clear()

    def _ask(
        self,
        requests: Sequence[R],
        call: Callable[[LanguageModel, Sequence[R]], Iterator[tuple[int, A]]],
    ) -> list[A]:
        unique = list(dict.fromkeys(requests))
        looked_up = self._answers.get(self.model_id, unique)
        known: dict[Request, Answer] = {
            request: answer
            for request, answer in zip(unique, looked_up, strict=True)
            if answer is not None and not (answer.finish == "failed" and self._on_failure == "stop")
        }
        before = len(known)
        rest = [request for request in unique if request not in known]
        for group in self._groups(rest):
            try:
                known |= self._ask_backend(group, call)
            except LaterError:
                if self._budget is not None:
                    self._budget.hold(group, self._meter, self._price)
                raise
        again = min(before, self._again)
        self._again -= again
        self.usage.recorded += before - again
        for answer in known.values():
            read, written = token_counts(answer)
            self._asked.update(calls=1, prompt_tokens=read, completion_tokens=written)
            if answer.finish != "stop":
                self._asked[answer.finish] += 1
        self._report()
        return [cast(A, known[request]) for request in requests]

    def _groups(self, rest: Sequence[R]) -> Iterator[Sequence[R]]:
        """Cut what is still to be asked to what the budget has left; all of it without a budget.

        :raises BudgetError: if there is more to be asked than may be spent.
        :raises LaterError: if that is known only when other requests are answered.
        """
        while rest:
            count = len(rest) if self._budget is None else self._fitting(rest, self._budget)
            yield rest[:count]
            rest = rest[count:]

    def _fitting(self, rest: Sequence[R], budget: Budget) -> int:
        try:
            return budget.fitting(rest, self._meter, self._price)
        except BudgetError as error:
            raise LaterError if budget.holds else error from None

    def _ask_backend(
        self,
        rest: Sequence[R],
        call: Callable[[LanguageModel, Sequence[R]], Iterator[tuple[int, A]]],
    ) -> dict[Request, Answer]:
        """Ask for the rest and record each answer, also those before an error."""
        if self._model is None:
            self._model = self._open_model()
        came: deque[tuple[Request, Answer]] = deque()
        writes: deque[Future[dict[Request, Answer]]] = deque()
        known: dict[Request, Answer] = {}
        reported = perf_counter()
        with ThreadPoolExecutor(1, "answers") as writer:
            for request, answer in self._answers_to(rest, call(self._model, rest)):
                came.append((request, answer))
                writes.append(writer.submit(self._write, came))
                while writes and writes[0].done():  # a write that failed ends the asking here
                    known |= writes.popleft().result()
                if perf_counter() - reported >= _PROGRESS_SECONDS:
                    self._report()
                    reported = perf_counter()
        for write in writes:
            known |= write.result()
        if isinstance(self._model, Deferred):
            self._model.recorded(rest)
        if len(known) < len(rest):
            raise RuntimeError(
                f"{self.model_id}: the backend left {len(rest) - len(known)} of {len(rest)}"
                " questions unanswered"
            )
        return known

    def _answers_to(
        self, rest: Sequence[R], answers: Iterator[tuple[int, A]]
    ) -> Iterator[tuple[R, Answer]]:
        """Judge and count the answers; what failed for good is an answer too, if it is to be dropped."""
        try:
            for index, answer in self._timed(answers):
                self._pay(rest[index], answer)
                judged = _judged(rest[index], answer)
                self._count_unusable(judged)
                yield rest[index], judged
        except UnansweredError as error:
            for index in error.failed:
                failed = without_answer(rest[index], "failed")
                self._count_unusable(failed)
                if self._on_failure == "drop":
                    yield rest[index], failed
            if self._on_failure == "stop" or error.stopped:
                raise

    def _count_unusable(self, answer: Answer) -> None:
        if answer.finish != "stop":
            unusable = self.usage.unusable
            unusable[answer.finish] = unusable.get(answer.finish, 0) + 1

    def _pay(self, request: Request, answer: Answer) -> None:
        """Count what an answer of the backend takes."""
        read, written = token_counts(answer)
        self.usage.asked += 1
        self.usage.prompt_tokens += read
        self.usage.completion_tokens += written
        if self._price is not None and self.usage.cost is not None:
            self.usage.cost += self._price.cost(read, written)
        if self._budget is not None:
            self._meter.count(request, read, written)
            self._budget.spend(read, written, self._price)

    def _timed(self, answers: Iterator[tuple[int, A]]) -> Iterator[tuple[int, A]]:
        """Hand on the answers of the backend and count the time that they take."""
        start = perf_counter()
        for index, answer in answers:
            self.usage.seconds += perf_counter() - start
            yield index, answer
            start = perf_counter()

    def _write(self, came: deque[tuple[Request, Answer]]) -> dict[Request, Answer]:
        """Record what came since the last write; return what is recorded now."""
        group = [came.popleft() for _ in range(min(len(came), _GROUP))]
        if not group:
            return {}
        kept = self._answers.put(self.model_id, group)
        return {request: answer for (request, _), answer in zip(group, kept, strict=True)}

    def _report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(replace(self.usage, unusable=dict(self.usage.unusable)))


def _judged(request: Request, answer: Answer) -> Answer:
    """Return the answer as `invalid` if its text is blank, or not of the schema that was asked for."""
    if not isinstance(request, Generate) or not isinstance(answer, Generated):
        return answer
    if answer.finish != "stop":
        return answer
    if not answer.text.strip() or (request.schema and violation(request.schema, answer.text)):
        return replace(answer, finish="invalid")
    return answer
