"""Peak memory of a stage: this process and its workers, sampled while it runs."""

from __future__ import annotations

import ctypes
import gc
import threading
from types import TracebackType

import psutil

_SECONDS_BETWEEN_SAMPLES = 0.2


def give_back() -> None:
    """Return to the operating system what a language model held that is no longer used.

    The C library keeps freed memory for later, here a gigabyte of it; glibc can be asked to hand it
    over, and others need not be.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class PeakMemory:
    """A context manager that samples memory; `bytes` is the largest sum seen.

    Counted is what a process holds for itself (resident less shared): memory-mapped shards are the
    operating system's cache and can be given back at any time.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._process = psutil.Process()

    def __enter__(self) -> PeakMemory:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(_SECONDS_BETWEEN_SAMPLES):
            self._sample()

    def _sample(self) -> None:
        total = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            try:
                memory = process.memory_info()
            except psutil.Error:  # it ended between the two calls
                continue
            total += memory.rss - getattr(memory, "shared", 0)
        self.bytes = max(self.bytes, total)
