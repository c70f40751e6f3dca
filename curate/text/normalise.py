"""What counts as the same text: normal forms, words and content hashes.

Defined for every Unicode text (Arrow strings are valid UTF-8, so lone surrogates cannot occur):

| input                          | here                                                           |
|--------------------------------|----------------------------------------------------------------|
| combining marks, ligatures     | NFKC: composed, compatibility forms folded; marks stay in words |
| right to left                  | logical order; direction controls are invisible, so removed    |
| Han, Kana, Thai, Lao, Khmer,   | written without spaces: every character is a word              |
| Burmese                        |                                                                |
| emoji and other symbols (`So`) | each a word; joiners and variation selectors removed           |
| control characters             | white space                                                    |

Texts that are all ASCII, nearly all of code and much of English, skip what cannot concern them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import xxhash

_INVISIBLE = r"\p{Default_Ignorable_Code_Point}"
# A lone ASCII space needs no replacing, and most white space is that.
_SPACES = r"[\s\p{Cc}]{2,}|[[\s\p{Cc}]--[\x20]]"
_ONE_CHARACTER_WORD = (
    r"([[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{So}]--\p{M}]\p{M}*)"
)
_NOT_A_WORD = r"[^\p{L}\p{M}\p{N}\p{So}]+"
_SENTENCE_END = r"[\s.,;:?!。、؟]+$"  # after NFKC, which unfolds wide forms and the ellipsis
# Characters that are visible, that NFKC leaves as they are in any company (NFKC_Quick_Check is yes and
# the combining class 0, which Unicode promises for all versions), in lower case too: Latin, Cyrillic,
# Hebrew, Arabic, Kana, Han, Hangul, punctuation, arrows, mathematics, dingbats, emoji. A text of these
# alone, nine of ten that are not ASCII, is spared both rounds of NFKC, most of the time there is.
_UNSETTLED = (
    r"[^\x00-\x7F\u00A1-\u00A7\u00A9\u00AB\u00AC\u00AE\u00B0\u00B1\u00B6\u00B7\u00BB\u00BF-\u012F"
    r"\u0131\u0134-\u013E\u0141-\u0148\u014A-\u017E\u0400-\u0482\u048A-\u052F\u05D0-\u05EA"
    r"\u0621-\u064A\u2010\u2012-\u2016\u2018-\u2023\u2190-\u222B\u2231-\u22FF\u2500-\u27BF\u3001"
    r"\u3002\u3041-\u3096\u30A1-\u30FA\u30FC\u4E00-\u9FFF\uAC00-\uD7A3\U0001F300-\U0001F64F]"
)


def normalise(texts: pl.Series) -> pl.Series:
    """Bring texts to NFKC, lower case, without invisible characters, white space as one space.

    Punctuation stays: `c++` and `c#` differ.

    :param texts: n strings.
    :return: n strings, null where the text is null; no space at either end.
    """
    folded = _where_not_ascii(texts, _fold).str.to_lowercase()
    return folded.str.replace_all(_SPACES, " ").str.strip_chars(" ")


def words(texts: pl.Series) -> pl.Series:
    """Reduce texts to their normalised words with one space between them; punctuation goes.

    :param texts: n strings.
    :return: n strings, null where the text is null.
    """
    folded = _where_not_ascii(texts, lambda some: _space_out(_fold(some))).str.to_lowercase()
    return folded.str.replace_all(_NOT_A_WORD, " ").str.strip_chars(" ")


def count_words(texts: pl.Series) -> pl.Series:
    """Count the words of each text, as `words` defines them: n unsigned integers."""
    spaced = _where_not_ascii(texts, lambda some: _space_out(_show(some)))
    return spaced.str.count_matches(r"[\p{L}\p{M}\p{N}\p{So}]+")


def content_hashes(texts: pl.Series) -> np.ndarray:
    """Hash what the texts say to 128 bits: equal for texts that differ in form alone.

    That is case, white space, Unicode form, and sentence punctuation at the end. XXH3 is a fixed
    standard, unlike the hash of polars, so results are the same for all versions. A collision among
    a billion texts has a probability of 1.5e-21.

    :param texts: n strings.
    :return: unsigned 64-bit integers of shape (n, 2); zeros where the text is null or says nothing.
    """
    form = normalise(texts)
    ended = form.str.replace(_SENTENCE_END, "")
    form = ended.zip_with((ended != "").fill_null(False), form).fill_null("")
    digest = xxhash.xxh3_128_digest
    joined = b"".join([digest(text) for text in form.cast(pl.Binary).to_list()])
    hashes = np.frombuffer(joined, np.uint64).reshape(-1, 2).copy()
    hashes[(form == "").to_numpy()] = 0
    return hashes


def _fold(texts: pl.Series) -> pl.Series:
    return _where(texts, texts.str.contains(_UNSETTLED), _compose)


def _compose(texts: pl.Series) -> pl.Series:
    # Lower case can decompose (`İ`), so what it leaves is composed again.
    return _show(texts).str.normalize("NFKC").str.to_lowercase().str.normalize("NFKC")


def _show(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(_INVISIBLE, "")


def _space_out(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(_ONE_CHARACTER_WORD, " $1 ")


def _where_not_ascii(texts: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply `change` to the texts that are not all ASCII."""
    return _where(texts, texts.str.len_bytes() != texts.str.len_chars(), change)


def _where(
    texts: pl.Series, chosen: pl.Series, change: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Apply `change` to some texts.

    :param chosen: n booleans; null is no.
    """
    rows = chosen.fill_null(False).arg_true()
    if not len(rows):
        return texts
    order = np.arange(len(texts))
    order[rows.to_numpy()] = len(texts) + np.arange(len(rows))
    return pl.concat([texts, change(texts.gather(rows)).alias(texts.name)]).gather(order)
