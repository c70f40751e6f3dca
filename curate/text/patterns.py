"""Regular expressions that users give, in the syntax of Rust, which polars runs in linear time."""

from __future__ import annotations

import polars as pl


def check_pattern(pattern: str) -> None:
    """Refuse what is not a regular expression.

    :raises ValueError: quoting it, with what is wrong.
    """
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.ComputeError as error:
        message = " ".join(str(error).partition("\n\nThis error")[0].split())
        raise ValueError(f"{pattern!r} is not a pattern: {message}") from None
