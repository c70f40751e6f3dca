"""Judgements of texts in any language, by counting: how much they say, whether they are prose."""

from __future__ import annotations

import re

PROSE_CHARS = 60
"""A shorter line is rather an item of a menu or a cell of a table than a paragraph."""
CHARS_PER_MARK = 150
"""In sentences of any language, a mark of punctuation comes every 20 to 80 characters."""
_NOT_A_WORD = re.compile(r"[\W_]+")
_SPACE = re.compile(r"\s+")
_TOKEN = re.compile(r"\w+")
_WORD = re.compile(r"[^\W\d_]+")
# Written without spaces: a character says about as much as a syllable does.
_DENSE = re.compile(r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_MARK = re.compile(
    r"[.,;:!?](?=[\s\"'\u201d\u2019)\]]|$)"
    r"|[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f\u0964\u060c\u061f\u06d4]"
)
_UNMARKED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")


def collapsed(text: str) -> str:
    """Make all white space single spaces."""
    return _SPACE.sub(" ", text).strip()


def plain(text: str) -> str:
    """Leave out all but letters and digits, and differences of case."""
    return _NOT_A_WORD.sub("", text).casefold()


def words_of(text: str) -> list[str]:
    """Return the words of a text: runs of letters."""
    return _WORD.findall(text)


def weight(text: str) -> int:
    """Return the length of a text; characters that stand for a syllable or a word count double."""
    return len(text) if text.isascii() else len(text) + len(_DENSE.findall(text))


def says_little(text: str, words: int = 2, chars: int = 6) -> bool:
    """Tell whether a text is too short to say what another is about.

    :param words: least number of words and numbers; without spaces, two characters count as one.
    :param chars: least `weight`.
    """
    if not _WORD.search(text) or weight(text) < chars:
        return True
    dense = 0 if text.isascii() else len(_DENSE.findall(text)) // 2
    return len(_TOKEN.findall(text)) + dense < words


def same_words(one: str, other: str) -> bool:
    """Tell whether two texts differ in punctuation, white space and case only."""
    return plain(one) == plain(other)


def is_prose(line: str) -> bool:
    """Tell a paragraph from an item of a menu, a cell of a table, or a list of names."""
    length = weight(line)
    if length < PROSE_CHARS:
        return False
    return len(_MARK.findall(line)) * CHARS_PER_MARK >= length or _UNMARKED.search(line) is not None


def prose_share(text: str) -> float:
    """Return the share of a text that is in paragraphs."""
    return sum(len(line) for line in text.split("\n") if is_prose(line)) / max(1, len(text))


def shortened(text: str, most: int) -> str:
    """Cut a text to `most` characters, at the end of a line if one is in its second half."""
    if len(text) <= most:
        return text
    end = text.rfind("\n", most // 2, most + 1)
    return text[: end if end > 0 else most].rstrip()


def without_title(text: str, title: str | None) -> str:
    """Leave out the first lines as long as they are the title once more."""
    while title:
        first, _, rest = text.partition("\n")
        if not rest or not same_words(first, title):
            break
        text = rest
    return text
