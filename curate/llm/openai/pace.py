"""How many requests a server is asked at a time, and when.

Two things tell. A server that queues in silence gives no more answers a second when it is asked more at
a time; so the number is doubled while that helps by a tenth, and what did not help is taken back and
tried again later. A server that refuses (429), fails (5xx) or lets requests time out is asked less from
then on: additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

_FIRST = 8
_HELPED = 1.1  # by this factor the rate must grow when the number is doubled
_ROUND = 16  # answers, at least, by which a rate is measured
_HOLD = 20  # rounds until more at a time is tried again
_LESS = 0.7
_JITTER = 0.1  # of a pause that the server asked for


class Pace:
    """The number of requests that may be under way, and the time before which none may start.

    :param most: the highest number.
    """

    def __init__(self, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._allowed = float(min(_FIRST, most))
        self._resume = 0.0
        self._lowered: float | None = None  # when a refusal last lowered the number
        self._before: tuple[float, float] | None = None  # number and rate, before it was doubled
        self._hold = 0
        self._in_round = 0
        self.answered = 0
        self._began = now()

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return int(self._allowed)

    async def ready(self) -> None:
        """Wait until the server wants to be asked again."""
        while (wait := self._resume - self._now()) > 0:
            await asyncio.sleep(wait * random.uniform(1, 1 + _JITTER))

    def success(self) -> None:
        """Count an answer."""
        self.answered += 1
        if self._lowered is not None:
            self._allowed = min(self._most, self._allowed + 1 / self._allowed)
            return
        self._in_round += 1
        if self._in_round == self.limit:  # the first answers were asked for at the old number
            self._began = self._now()
        elif self._in_round >= self.limit + max(_ROUND, self.limit):
            self._end_round()

    def refusal(self, asked_at: float, pause: float | None) -> None:
        """Ask less from now on.

        :param asked_at: when the request was sent; of all that were under way only one counts.
        :param pause: seconds in which the server wants not to be asked at all.
        """
        now = self._now()
        if pause is not None:
            self._resume = max(self._resume, now + pause)
        if self._lowered is None or asked_at > self._lowered:
            self._allowed = max(1.0, self._allowed * _LESS)
            self._lowered = now

    def _begin_round(self) -> None:
        self._began = self._now()
        self._in_round = 0

    def _end_round(self) -> None:
        """Decide by the rate of the round whether to ask more at a time."""
        rate = (self._in_round - self.limit) / max(self._now() - self._began, 1e-9)
        self._begin_round()
        if self._hold:
            self._hold -= 1
        elif self._before is not None and rate < _HELPED * self._before[1]:
            self._allowed, self._before, self._hold = self._before[0], None, _HOLD
        elif self.limit < self._most:
            self._before = self._allowed, rate
            self._allowed = min(self._most, 2 * self._allowed)
