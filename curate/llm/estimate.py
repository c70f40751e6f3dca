"""What requests will take: tokens, answers that have to be asked for again, and time.

Prompts are counted; answers are expected to be as those that are recorded, of the same model to requests
of the same kind.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from curate.errors import CurateError
from curate.llm.answers import Answered, token_counts
from curate.llm.base import Finish, Generate, Generated, Request
from curate.llm.budget import kind_of, size
from curate.llm.collect import digest_of, made_text
from curate.llm.counting import Tokens

_HELD = 256  # requests of a kind whose tokens are counted; the others are as many tokens a byte
_FEW = 20  # fewer answers tell little
_PAUSE = 60.0  # seconds without an answer between two runs
_BURST = 0.05  # seconds between answers that came together
_ASKED_AGAIN: tuple[Finish, ...] = ("length", "refused", "invalid")


@dataclass(slots=True)
class _Kind:
    """Requests of one kind.

    :param held: some of them, drawn by their digests.
    """

    requests: int = 0
    size: int = 0
    held: list[tuple[int, Request]] = field(default_factory=list)

    def add(self, request: Request) -> None:
        self.requests += 1
        self.size += size(request)
        entry = (-int.from_bytes(digest_of(request)), request)
        if len(self.held) < _HELD:
            heapq.heappush(self.held, entry)
        elif entry[0] > self.held[0][0]:
            heapq.heapreplace(self.held, entry)

    @property
    def drawn(self) -> list[Request]:
        return [request for _, request in sorted(self.held, key=lambda entry: entry[0])]


class Collection:
    """Requests that would be asked: how many, how large, and some of each kind."""

    def __init__(self) -> None:
        self.kinds: dict[object, _Kind] = {}

    def add(self, requests: Iterable[Request]) -> None:
        """Add requests, no two of which are the same."""
        for request in requests:
            self.kinds.setdefault(kind_of(request), _Kind()).add(request)

    @property
    def requests(self) -> int:
        """How many there are."""
        return sum(kind.requests for kind in self.kinds.values())

    @property
    def size(self) -> int:
        """How large they are together, in bytes."""
        return sum(kind.size for kind in self.kinds.values())


@dataclass(frozen=True, slots=True)
class Estimate:
    """What requests will take.

    :param completion_tokens: the least and the most; the same where answers were recorded.
    :param seconds: None if no answer tells how long they take.
    :param counted_by: how the tokens of prompts were counted, in words.
    :param answers: recorded answers that it rests on.
    :param again: share of answers that have to be asked for again.
    """

    calls: float = 0.0
    prompt_tokens: float = 0.0
    completion_tokens: tuple[float, float] = (0.0, 0.0)
    seconds: float | None = 0.0
    counted_by: str = ""
    answers: int = 0
    again: float = 0.0


def estimate(
    collection: Collection, recorded: Sequence[Answered], tokens: Tokens, attempts: int = 1
) -> Estimate:
    """Estimate what collected requests will take.

    :param recorded: answers of the same model, to whatever requests.
    :param attempts: how often a text is asked for until it can be used.
    """
    calls = read = least = most = again = 0.0
    rests: list[Answered] = []
    corrected = False
    for kind in collection.kinds.values():
        like = _like(kind, recorded)
        rests += like
        unusable = sum(one.answer.finish in _ASKED_AGAIN for one in like) / max(len(like), 1)
        times = sum(unusable**attempt for attempt in range(attempts))
        factor = 1.0 if tokens.exact else _correction(like, tokens)
        corrected |= factor != 1.0
        low, high = _written(kind, like, tokens, attempts)
        calls += times * kind.requests
        read += times * factor * kind.size * _per_byte(kind.drawn, tokens)
        least += times * kind.requests * low
        most += times * kind.requests * high
        again += unusable * kind.requests
    each = _seconds_each([one.created for one in rests]) if calls else 0.0
    return Estimate(
        calls,
        read,
        (least, most),
        calls * each if each is not None else None,
        f"{tokens.by}, corrected by recorded answers" if corrected else tokens.by,
        len(rests),
        again / max(collection.requests, 1),
    )


def _like(kind: _Kind, recorded: Sequence[Answered]) -> list[Answered]:
    """Return the answers to requests of a kind whose prompts begin as its prompts do.

    Few requests have more in common than what the prompt file says, so if few answers are like them,
    less of the beginning counts.
    """
    drawn = kind.drawn
    key = kind_of(drawn[0])
    of_kind = [
        one for one in recorded if kind_of(one.request) == key and one.answer.finish != "failed"
    ]
    texts = sorted(_text(request) for request in drawn)
    head = _common(texts[0], texts[-1])  # of all: what is between them begins so, too
    while True:
        like = [one for one in of_kind if _text(one.request).startswith(head)]
        if not head or len(like) >= _FEW:
            return like
        head = head[: len(head) // 2]


def _common(left: str, right: str) -> str:
    """Return what two texts begin with."""
    for place, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return left[:place]
    return min(left, right, key=len)


def _text(request: Request) -> str:
    prompt = request.prompt
    return prompt if isinstance(prompt, str) else "\n".join(turn.content for turn in prompt)


def _per_byte(requests: Sequence[Request], tokens: Tokens) -> float:
    return sum(tokens.count(requests)) / sum(size(request) for request in requests)


def _correction(like: Sequence[Answered], tokens: Tokens) -> float:
    """Return by which factor the model counted more tokens; it also reads what a backend adds."""
    told = [one for one in like[:_HELD] if token_counts(one.answer)[0]]
    if len(told) < _FEW:
        return 1.0
    counted = sum(tokens.count([one.request for one in told]))
    return sum(token_counts(one.answer)[0] for one in told) / counted


def _written(
    kind: _Kind, like: Sequence[Answered], tokens: Tokens, attempts: int
) -> tuple[float, float]:
    """Return the tokens of an answer: as recorded ones, else between the least and the most."""
    if like:
        mean = sum(token_counts(one.answer)[1] for one in like) / len(like)
        return mean, mean
    request = kind.drawn[0]
    if not isinstance(request, Generate):
        return 0.0, 0.0
    try:
        (least,) = tokens.count([Generate(made_text(request))])
    except CurateError:
        least = 1.0
    most = request.sampling.max_tokens
    return min(least, most), most * attempts


def _seconds_each(times: Iterable[float]) -> float | None:
    """Return the time between answers, from when they were recorded.

    What came first in a run, together, is left out: it is not known since when it was asked for.
    """
    count, duration = 0, 0.0
    for run in _runs(sorted(times)):
        first = next((n for n, (a, b) in enumerate(pairwise(run), 1) if b - a > _BURST), None)
        count += len(run) - (first or 1)
        duration += run[-1] - run[0]
    return duration / count if count and duration > 1.0 else None


def _runs(times: Sequence[float]) -> list[list[float]]:
    """Cut times where for long none comes."""
    runs: list[list[float]] = []
    for time in times:
        if runs and time - runs[-1][-1] <= _PAUSE:
            runs[-1].append(time)
        else:
            runs.append([time])
    return runs


def written_texts(recorded: Iterable[Answered]) -> dict[str | None, list[str]]:
    """Return the texts that a model wrote, by the schema that they follow; see `Collected`."""
    texts: dict[str | None, list[str]] = {}
    for one in recorded:
        request, answer = one.request, one.answer
        if not isinstance(request, Generate) or not isinstance(answer, Generated):
            continue
        if answer.finish == "stop":
            texts.setdefault(request.schema, []).append(answer.text)
    return texts
