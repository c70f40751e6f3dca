"""Errors that are the user's to mend: shown as one line, without a traceback."""

from __future__ import annotations


class CurateError(Exception):
    """Something the user can mend; the message quotes the value and says what to do."""

    exit_code = 1


class RecipeError(CurateError):
    """A recipe or a setting is wrong. Raised before anything runs."""

    exit_code = 2


class BusyError(CurateError):
    """Another run holds the artefact."""

    exit_code = 3


class MissingExtraError(CurateError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}: install it with `pip install 'curate[{extra}]'`"
        )
