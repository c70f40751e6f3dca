"""Which language a text is in, judged offline by `eldc`, and how sure that is.

Of six identifiers that install with their models, `eldc` (60 languages) was the most accurate on real
texts of up to 80 characters, and the fastest: `benchmarks.language` compares them. Languages that it does
not know it takes for a neighbour of theirs, or for none. It reads the first 1,000 bytes of a text. Its
codes are ISO 639-1, those of macrolanguages for Norwegian (`no`) and Malay (`ms`, Indonesian with it);
Serbian in Latin script is `hr` for it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import polars as pl

from curate.errors import MissingExtraError

_HEAD = 1_000
"""Characters of a text that are looked at."""
_LETTERS_HEAD = 256
"""Of these the letters are counted, which is enough: more of them make nothing surer."""
_CODE_MARK = r"[_={;\[]|(?-u:\w)[(.](?-u:\w)|\(\)|:\n"
_CODE_SHARE = 0.04
"""Marks of code for each byte of a text. 95% of functions in Python and JavaScript have more, and 0.5% of
the texts of 15 sources of prose, mostly those that are half code or mathematics."""
_NOT_LETTERS = r"[^\p{L}\p{M}]+"
_UNDETERMINED = "und"
_KANA, _KANA_OR_HAN = r"[\p{Hiragana}\p{Katakana}]", r"[\p{Hiragana}\p{Katakana}\p{Han}]"
_KANA_SHARE = 0.07
"""Of kana and Han together: from here on a text is Japanese. Where such a text is short and has few kana,
the identifier takes it for Chinese."""

# Logistic regression of "the language is right" on 28,000 texts, most of them short, in 85 languages, 30
# of which the identifier does not know: `benchmarks.language` fits it.
_SCORE, _MARGIN, _LENGTH, _BIAS = 8.1, 6.3, 0.7, -8.1

_ALSO: dict[str, frozenset[str]] = {
    **dict.fromkeys(("nb", "nn"), frozenset(("no",))),
    **dict.fromkeys(("bs", "cnr"), frozenset(("hr",))),
    **dict.fromkeys(("sr", "sh"), frozenset(("hr", "sr"))),
    "id": frozenset(("ms",)),
    "fil": frozenset(("tl",)),
    "ckb": frozenset(("ku",)),
}
"""As what languages are identified that have another code here."""


def identifier() -> str:
    """Return name and version of the identifier, on which its answers depend.

    :raises MissingExtraError: if it is not installed.
    """
    _detector()
    return f"eldc {version('eldc')}"


def primary(tag: str) -> str:
    """Return the language of a BCP 47 tag: `pt` of `pt-BR`."""
    return tag.partition("-")[0].lower()


def identified_as(tag: str) -> frozenset[str]:
    """Return the codes that texts in the language of a BCP 47 tag get; none if it is not known here."""
    language = primary(tag)
    known = frozenset((language,)) & _languages()
    return _ALSO.get(language, known)


def identify(texts: pl.Series) -> pl.DataFrame:
    """Identify the language of each text.

    :param texts: n strings.
    :return: n rows of `language` (ISO 639-1; null where there is none), `confidence` (the estimated
        probability that this is right, from 0 to 1; null without a language) and `letters`: the bytes in
        UTF-8 of the first letters, so that a Han character counts three and a Latin letter one; 0 where
        the text is null, has no letters or is code, and thus has no language.
    """
    # Both ways of a bitext hold the same texts, and one page gives many pairs.
    heads = pl.DataFrame({"head": texts.str.slice(0, _HEAD)})
    known = heads.unique(maintain_order=True)
    return heads.join(
        known.hstack(_identify(known["head"].str.replace_all("\0", " ", literal=True))),
        on="head",
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).drop("head")


def _identify(heads: pl.Series) -> pl.DataFrame:
    letters = _count_letters(heads)
    rows = (letters > 0).arg_true()
    languages = np.full(len(heads), None, object)
    confidence = np.full(len(heads), np.nan)
    if len(rows):
        codes, best, second = _detect(heads.gather(rows).to_list())
        languages[rows] = codes
        confidence[rows] = _confidence(best, second, letters.gather(rows).to_numpy())
    unsure = languages == _UNDETERMINED
    languages[unsure] = None
    confidence[unsure] = np.nan
    languages[_japanese(heads, languages == "zh")] = "ja"
    return pl.DataFrame(
        {
            "language": pl.Series(languages.tolist(), dtype=pl.String),
            "confidence": pl.Series(confidence, nan_to_null=True, dtype=pl.Float64),
            "letters": letters,
        }
    )


def _count_letters(heads: pl.Series) -> pl.Series:
    """Count the bytes of letters of each text; none if it is null or code."""
    first = heads.str.slice(0, _LETTERS_HEAD)
    letters = first.str.replace_all(_NOT_LETTERS, "").str.len_bytes()
    code = heads.str.count_matches(_CODE_MARK) > _CODE_SHARE * heads.str.len_bytes()
    # Emoji have marks, but no letters.
    said = first.str.contains(r"\p{L}") & ~code
    return letters.zip_with(said, pl.Series([0], dtype=letters.dtype)).fill_null(0)


def _detect(heads: list[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return for each text the code of its likeliest language, the score of that and of the next."""
    details = _detector().detect_details
    codes: list[str] = []
    scores = np.zeros((len(heads), 2))
    for row, head in enumerate(heads):
        result = details(head)
        codes.append(result.language)
        for place, value in enumerate(result.scores.values()):
            scores[row, place] = value
    return codes, scores[:, 0], scores[:, 1]


def _japanese(heads: pl.Series, chinese: np.ndarray) -> np.ndarray:
    """Return the rows of texts that were taken for Chinese but have kana."""
    rows = np.flatnonzero(chinese)
    some = heads.gather(rows)
    kana = some.str.count_matches(_KANA)
    many = (kana > 0) & (kana >= _KANA_SHARE * some.str.count_matches(_KANA_OR_HAN))
    japanese: np.ndarray = rows[many.to_numpy()]
    return japanese


def _confidence(best: np.ndarray, second: np.ndarray, letters: np.ndarray) -> np.ndarray:
    odds = _SCORE * best + _MARGIN * (best - second) + _LENGTH * np.log1p(letters) + _BIAS
    confidence: np.ndarray = 1 / (1 + np.exp(-odds))
    return confidence.round(3)  # what the last bits are depends on the machine


@cache
def _detector() -> Any:
    try:
        import eldc
    except ImportError:
        raise MissingExtraError("eldc", "language") from None
    eldc.init()
    detector = eldc.instance()
    detector.set_scores(2)
    return detector


@cache
def _languages() -> frozenset[str]:
    _detector()
    import eldc

    return frozenset(eldc.LANGUAGES)
