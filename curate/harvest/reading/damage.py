"""What cannot be read any further."""

from __future__ import annotations


class DamagedError(Exception):
    """A packed file cannot be read any further.

    :param reason: the reason of the drop: `truncated`, `damaged`, `bomb`, `unreadable`.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
