"""Many requests, some at a time, their answers as they come.

The event loop runs in a thread of its own. As many workers as the pace allows take one request after
the other, so what is held is what is under way, not what is still to be asked.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from curate.errors import CurateError
from curate.llm.base import UnansweredError
from curate.llm.openai.server import FailedError

_WAITING = 1024  # answers that wait to be taken before no more is asked
_IN_A_ROW = 20  # requests that failed, with none answered between, after which no more are asked

R = TypeVar("R")
A = TypeVar("A")
T = TypeVar("T")


class Limit(Protocol):
    """How many requests may be under way; it may change."""

    @property
    def limit(self) -> int: ...


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine, and end."""
        self.run(last)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stream(
        self, requests: Sequence[R], ask: Callable[[R], Awaitable[A]], pace: Limit
    ) -> Iterator[tuple[int, A]]:
        """Ask each of n requests; yield (index, answer) as they come.

        A request that fails does not end the others, unless none is answered any more.

        :param ask: answers a request; raises `FailedError` if it cannot.
        :raises UnansweredError: at the end, if requests failed.
        :raises CurateError: at the end, if `ask` raised one.
        """
        work = _Work(requests, ask, pace)
        running = asyncio.run_coroutine_threadsafe(work.run(), self._loop)
        try:
            while (item := work.came.get()) is not None:
                yield item
            running.result()
        finally:
            running.cancel()
        work.complain()


class _Work(Generic[R, A]):
    """What is asked in one call of `Loop.stream`."""

    def __init__(
        self, requests: Sequence[R], ask: Callable[[R], Awaitable[A]], pace: Limit
    ) -> None:
        self.came: SimpleQueue[tuple[int, A] | None] = SimpleQueue()
        self._ask = ask
        self._pace = pace
        self._rest = enumerate(requests)
        self._count = len(requests)
        self._workers = self._taken = self._in_a_row = 0
        self._failed: dict[int, str] = {}
        self._stop: CurateError | None = None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._start(group)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self.came.put(None)

    def complain(self) -> None:
        """:raises CurateError: if a request has no answer."""
        if self._stop is not None:
            raise self._stop
        if self._failed:
            last = list(self._failed.values())[-1]
            stopped = self._taken < self._count
            raise UnansweredError(
                f"{len(self._failed):,} of {self._taken:,} requests were not answered, the last because: "
                f"{last}. What was answered is recorded: run again to go on from there, or set "
                "`llm.on_failure: drop` to go on without what fails"
                + ("; after so many failures in a row no others were asked" if stopped else ""),
                self._failed,
                stopped=stopped,
            )

    def _start(self, group: asyncio.TaskGroup) -> None:
        """Start workers up to the limit."""
        while self._workers < min(self._pace.limit, self._count - self._taken) and self._goes_on:
            self._workers += 1
            group.create_task(self._worker(group))

    @property
    def _goes_on(self) -> bool:
        return self._stop is None and self._in_a_row < _IN_A_ROW

    async def _worker(self, group: asyncio.TaskGroup) -> None:
        while self._goes_on and self._workers <= self._pace.limit:
            item = next(self._rest, None)
            if item is None:
                break
            self._taken += 1
            await self._one(*item)
            self._start(group)
        self._workers -= 1

    async def _one(self, index: int, request: R) -> None:
        try:
            answer = await self._ask(request)
        except FailedError as error:
            self._failed[index] = str(error)
            self._in_a_row += 1
        except CurateError as error:
            self._stop = error
        else:
            self._in_a_row = 0
            self.came.put((index, answer))
            while self.came.qsize() > _WAITING:
                await asyncio.sleep(0.01)
