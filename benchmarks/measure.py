"""How long a process takes, and how much memory it and its children need."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a process needed, from its start to its end.

    :param seconds: wall time.
    :param cpu: processor time, that of its children too.
    :param peak: the largest sum of resident less shared bytes over it and its children.
    :param said: what it printed.
    """

    seconds: float
    cpu: float
    peak: int
    said: str


def measured(command: list[str], cwd: Path | None = None) -> Measured:
    """Run a command to its end.

    :raises SystemExit: if it fails, with what it printed to the standard error.
    """
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=cwd, text=True, **pipes)
    peak = [0]
    watcher = threading.Thread(target=watch, args=(process.pid, peak), daemon=True)
    watcher.start()
    said, told = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{told}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(seconds, cpu, peak[0], said)


def watch(pid: int, peak: list[int]) -> None:
    """Keep the largest sum of resident less shared memory of a process and its children."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            peak[0] = max(peak[0], sum(map(own_bytes, [root, *root.children(recursive=True)])))
            time.sleep(_POLL_SECONDS)
    except psutil.NoSuchProcess:
        return


def own_bytes(process: psutil.Process) -> int:
    """Return the memory that a process shares with no file; 0 if it has ended."""
    try:
        memory = process.memory_info()
    except psutil.NoSuchProcess:
        return 0
    return int(memory.rss - memory.shared)
