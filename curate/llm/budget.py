"""The limit of a run: what it may still ask, so that it ends below the cap rather than behind it.

Before requests go out, what they are expected to take is held against what is left. At first that is the
most that they can take; then what such requests took so far. So they go out in a few groups, each cut
to what is left, and the run ends where not one more fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from curate.errors import CurateError
from curate.llm.base import Choose, Generate, Request
from curate.llm.prices import Price, dollars

_BYTES_PER_TOKEN = (
    2  # fewer than texts have, so that the first guess is too high rather than too low
)
_MARGIN = 1.05  # some answers are longer than others


class BudgetError(CurateError):
    """The run has spent what it may."""

    exit_code = 4


class Meter:
    """What requests took so far, and what others of their kind will."""

    def __init__(self) -> None:
        self._sums: dict[object, _Sum] = {}

    def count(self, request: Request, read: int, written: int) -> None:
        """Count an answer.

        :param read: tokens of the prompt.
        :param written: tokens of the completion.
        """
        total = self._sums.setdefault(kind_of(request), _Sum())
        total.answers += 1
        total.size += size(request)
        total.read += read
        total.written += written

    def expect(self, request: Request) -> tuple[float, float]:
        """Return how many tokens a request will read and write; the most, while nothing is known."""
        total = self._sums.get(kind_of(request))
        if total is None:
            most = request.sampling.max_tokens if isinstance(request, Generate) else 0
            return size(request) / _BYTES_PER_TOKEN, most
        return size(request) * total.read / total.size, total.written / total.answers


@dataclass(slots=True)
class _Sum:
    answers: int = 0
    size: int = 0
    read: int = 0
    written: int = 0


@dataclass(slots=True)
class Budget:
    """What a run may spend, over all its stages; recorded answers cost nothing.

    :param max_cost: in USD; None: any.
    :param max_tokens: of prompts and completions together; None: any.
    """

    max_cost: float | None = None
    max_tokens: int | None = None
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    _held: list[tuple[float, float]] = field(default_factory=list)

    def spend(self, read: int, written: int, price: Price | None) -> None:
        """Count an answer that was paid for."""
        self.calls += 1
        self.tokens += read + written
        if price is not None:
            self.cost += price.cost(read, written)

    @property
    def holds(self) -> bool:
        """Whether there are requests that were taken, and not answered yet."""
        return bool(self._held)

    def hold(self, requests: Sequence[Request], meter: Meter, price: Price | None) -> None:
        """Keep what requests are expected to take that are answered only later."""
        self._held += [_expected(request, meter, price) for request in requests]

    def release(self) -> None:
        """Let go of what was kept: the requests are answered, or are sent once more."""
        self._held.clear()

    def fitting(self, requests: Sequence[Request], meter: Meter, price: Price | None) -> int:
        """Return how many of the first requests are expected to fit into what is left.

        :raises BudgetError: if not one does.
        """
        tokens = self.tokens + sum(held for held, _ in self._held)
        cost = self.cost + sum(held for _, held in self._held)
        for number, request in enumerate(requests):
            takes, costs = _expected(request, meter, price)
            tokens, cost = tokens + takes, cost + costs
            if self._exceeded(tokens, cost):
                if not number:
                    raise self._spent()
                return number
        return len(requests)

    def _exceeded(self, tokens: float, cost: float) -> bool:
        too_many = self.max_tokens is not None and tokens > self.max_tokens
        return too_many or (self.max_cost is not None and cost > self.max_cost)

    def _spent(self) -> BudgetError:
        caps = []
        if self.max_tokens is not None:
            caps.append(f"--max-tokens {self.max_tokens:,}")
        if self.max_cost is not None:
            caps.append(f"--max-cost {self.max_cost:g}")
        money = f" and {dollars(self.cost)}" if self.cost or self.max_cost is not None else ""
        return BudgetError(
            f"the budget is spent: {self.tokens:,} tokens{money} in {self.calls:,} calls of"
            f" {' and '.join(caps)}; all answers are recorded, and the same command with a higher cap"
            " goes on from here"
        )


def _expected(request: Request, meter: Meter, price: Price | None) -> tuple[float, float]:
    """Return the tokens, and the USD, that a request is expected to take, and a little more."""
    read, written = meter.expect(request)
    cost = price.cost(read, written) if price is not None else 0.0
    return _MARGIN * (read + written), _MARGIN * cost


def size(request: Request) -> int:
    """Return the bytes (UTF-8) of what a model reads for a request."""
    if isinstance(request, Generate):
        prompt = request.prompt
        texts = [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]
    else:
        texts = [request.prompt, *([] if isinstance(request, Choose) else [request.continuation])]
    return sum(len(text.encode("utf-8", "replace")) for text in texts) or 1


def kind_of(request: Request) -> object:
    """Return what requests have in common that take alike."""
    if isinstance(request, Generate):
        return request.schema, request.sampling, request.stop
    return type(request)
