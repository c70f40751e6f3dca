"""Replaces what patterns find in texts by placeholders, after a check of every find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.text.patterns import check_pattern

Check = Callable[[str, str, str], bool]
"""Tells by what stands before a find, the find, and what follows, whether it is one."""


class Pattern(NamedTuple):
    """How to find one kind of thing.

    :param kind: what it counts as.
    :param hint: a regular expression that every text with a find matches.
    :param find: a regular expression with three groups: what stands before, the find, what follows.
    """

    kind: str
    hint: str
    find: str
    check: Check


def own_pattern(kind: str, expression: str) -> Pattern:
    """Return a pattern of which every find is one.

    :param expression: a regular expression in the syntax of Rust.
    :raises ValueError: if it does not parse, or matches the empty text.
    """
    check_pattern(expression)
    if pl.Series([""]).str.contains(expression).item():
        raise ValueError(f"{expression!r} matches the empty text, so it would match everywhere")
    # The groups of the expression come after the three that count, the last of which is empty.
    return Pattern(kind, expression, f"()(()(?:{expression}))", lambda *_: True)


def mask(texts: pl.Series, patterns: Iterable[Pattern]) -> tuple[pl.Series, dict[str, np.ndarray]]:
    """Replace finds by placeholders such as `<EMAIL>`, pattern by pattern.

    :param texts: n strings.
    :return: n strings, and by kind how many finds each text has: int64 [n].
    """
    counts: dict[str, np.ndarray] = {}
    for pattern in patterns:
        rows = texts.str.contains(pattern.hint).fill_null(False).arg_true()
        if not len(rows):
            continue
        replaced, found = _replace(texts.gather(rows), pattern)
        some = np.flatnonzero(found)
        if not len(some):
            continue
        total = counts.setdefault(pattern.kind, np.zeros(len(texts), np.int64))
        total[rows.to_numpy()] += found
        texts = texts.clone().scatter(rows.gather(some), replaced.gather(some))
    return texts, counts


def _replace(texts: pl.Series, pattern: Pattern) -> tuple[pl.Series, np.ndarray]:
    """Return the texts with placeholders, and how many each has."""
    mark = _mark(texts)
    # A text becomes: plain, before, find, after, plain, before, find, after, plain.
    groups = mark.join(("", "${1}", "${2}", "${3}", ""))
    parts = texts.str.replace_all(pattern.find, groups).str.split(mark)
    frame = pl.DataFrame({"row": np.arange(len(texts)), "part": parts}).explode("part")
    place = pl.int_range(pl.len()).over("row") % 4
    frame = frame.with_columns(
        before=pl.when(place == 2).then(pl.col("part").shift(1)),
        after=pl.when(place == 2).then(pl.col("part").shift(-1)),
    )
    seen = ["before", "part", "after"]
    finds = frame.select(seen).drop_nulls().unique(maintain_order=True)
    real = [pattern.check(*find) for find in finds.rows()]
    finds = finds.with_columns(real=pl.Series(real, dtype=pl.Boolean))
    frame = frame.join(finds, on=seen, how="left", maintain_order="left")
    placeholder = pl.lit(f"<{pattern.kind.upper()}>")
    joined = frame.group_by("row", maintain_order=True).agg(
        text=pl.when("real").then(placeholder).otherwise("part").str.join(""),
        found=pl.col("real").sum(),
    )
    return joined["text"], joined["found"].to_numpy().astype(np.int64)


def _mark(texts: pl.Series) -> str:
    """Return a mark that is in no text, and of which no end is a beginning: two noncharacters around."""
    number = 0
    while texts.str.contains(mark := f"\ufdd0{number}\ufdd1", literal=True).any():
        number += 1
    return mark
