"""Identifiers of code as plain words, so that `getUserName2` meets "the name of user 2"."""

from __future__ import annotations

import polars as pl

# Letters, marks, numbers and emoji stay, and the joiners inside Persian words and emoji.
_NOT_A_WORD = r"[^\p{L}\p{M}\p{N}\p{So}\x{200C}\x{200D}]+"


def split_identifiers(texts: pl.Series) -> pl.Series:
    """Split identifiers into lower-case words, joined by single spaces.

    Cuts `camelCase`, `snake_case`, acronyms (`HTTPServer` -> `http server`) and digits
    (`sha256sum` -> `sha 256 sum`). Punctuation becomes space; no space at either end.

    :param texts: n strings.
    :return: n strings; null where the text is null.
    """
    name = texts.name or "text"
    spaced = (
        pl.col(name)
        .str.replace_all(r"(\p{Lu})(\p{Lu}\p{Ll})", "$1 $2")
        .str.replace_all(r"([\p{Ll}\p{Lo}\p{M}])(\p{Lu})", "$1 $2")
        .str.replace_all(r"([\p{L}\p{M}])(\p{N})", "$1 $2")
        .str.replace_all(r"(\p{N})(\p{L})", "$1 $2")
        .str.replace_all(_NOT_A_WORD, " ")
    )
    words = spaced.str.strip_chars(" ").str.to_lowercase()
    return texts.rename(name).to_frame().select(words).to_series().rename(texts.name)
