"""Languages: their tags in the paths of files, and the scripts that they are written in."""

from __future__ import annotations

import re

from curate.harvest.text.extract import language_tag
from curate.text.languages import NAMES

_LATIN = "A-Za-z\u00c0-\u024f\u1e00-\u1eff"
_KANA, _HAN = "\u3040-\u30ff", "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
_ARABIC, _CYRILLIC = "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff", "\u0400-\u052f"
_DEVANAGARI = "\u0900-\u097f"
_SCRIPTS = {
    **dict.fromkeys(("ar", "ckb", "fa", "ps", "sd", "ug", "ur"), _ARABIC),
    **dict.fromkeys(("be", "bg", "kk", "ky", "mk", "mn", "ru", "tg", "tt", "uk"), _CYRILLIC),
    **dict.fromkeys(("hi", "mr", "ne"), _DEVANAGARI),
    **dict.fromkeys(("am", "ti"), "\u1200-\u137f"),
    **dict.fromkeys(("as", "bn"), "\u0980-\u09ff"),
    **dict.fromkeys(("he", "yi"), "\u0590-\u05ff\ufb1d-\ufb4f"),
    "el": "\u0370-\u03ff\u1f00-\u1fff",
    "gu": "\u0a80-\u0aff",
    "hy": "\u0530-\u058f",
    "ja": _KANA + _HAN,
    "ka": "\u10a0-\u10ff",
    "km": "\u1780-\u17ff",
    "kn": "\u0c80-\u0cff",
    "ko": "\uac00-\ud7af\u1100-\u11ff",
    "lo": "\u0e80-\u0eff",
    "ml": "\u0d00-\u0d7f",
    "my": "\u1000-\u109f",
    "or": "\u0b00-\u0b7f",
    "pa": "\u0a00-\u0a7f\u0600-\u06ff",
    "si": "\u0d80-\u0dff",
    "ta": "\u0b80-\u0bff",
    "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f",
    "zh": _HAN,
}
_EITHER = frozenset(("az", "bs", "ku", "ms", "sr", "uz"))
"""Languages that are written in several scripts."""
_LETTERS = {language: re.compile(f"[{letters}]+") for language, letters in _SCRIPTS.items()}
_LATIN_LETTERS = re.compile(f"[{_LATIN}]+")
_TAG = re.compile(
    r"[A-Za-z]{2,3}(?:[-_@](?:[A-Za-z]{2}|[Hh]an[st]|[Ll]atn|[Cc]yrl|latin|cyrillic))?"
)
_PACKED = re.compile(r"(?:tar|tgz|zip|gz|bz2|xz|zst)(?:\.(?:gz|bz2|xz|zst))?")
_WORDS = frozenset(("as", "my", "or", "so"))
"""Tags that, in a path, are rather words."""


def known_tag(text: str) -> str | None:
    """Return the tag of a language that is known here; None for anything else: `docs`, `zh-index`."""
    if not _TAG.fullmatch(text) or text in _WORDS:
        return None
    tag = language_tag(text.replace("@", "-"))
    return tag if tag and tag.partition("-")[0] in NAMES else None


def split_language(path: str) -> tuple[str | None, str]:
    """Take the tags of languages out of a path: (the last of them, the path without any).

    `faq/zh-cn/kernel.zh-cn.html` gives `zh-CN` and `faq/kernel.html`, which all languages share, and
    `de.tar.gz/x.html` gives `de` and `x.html`.
    """
    language, kept = None, []
    for part in path.split("/"):
        words = []
        for word in part.split("."):
            tag = known_tag(word)
            if tag is None:
                words.append(word)
            language = tag or language
        if words and not _PACKED.fullmatch(".".join(words)):
            kept.append(".".join(words))
    return language, "/".join(kept)


def in_script(text: str, language: str) -> bool:
    """Tell whether a text is in the script of its language: a tenth of its letters, or more.

    Names, code and quotations may be in Latin script in any language.
    """
    primary = language.partition("-")[0]
    if primary in _EITHER:
        return True
    script = _LETTERS.get(primary)
    if script is None:
        return _LATIN_LETTERS.search(text) is not None
    letters = sum(map(len, script.findall(text)))
    return letters > 0 and 10 * letters >= sum(map(len, _LATIN_LETTERS.findall(text)))


_ENGLISH = frozenset(
    (
        *(
            "the",
            "of",
            "and",
            "to",
            "is",
            "that",
            "with",
            "you",
            "this",
            "are",
            "be",
            "which",
            "it",
        ),
        *("from", "have", "by", "if", "your", "not", "or", "at", "has", "for", "when", "these"),
        *("they", "their", "its", "any", "all"),
    )
)
_ONLY_ENGLISH = frozenset(("the", "and", "that", "with", "you", "this", "which", "your", "they"))
_LATIN_WORD = re.compile(r"[a-z']+|[^\W\d_]+")


def is_english_instead(text: str, language: str) -> bool:
    """Tell whether a text is surely English though it should be in another language of Latin script.

    It is if three in ten of its words are among the most frequent English ones, and one of them is of
    those that no other language has.
    """
    if language.partition("-")[0] in ("en", *_LETTERS):
        return False
    words = _LATIN_WORD.findall(text[:2_000].lower())
    found = [word for word in words if word in _ENGLISH]
    return (
        len(words) >= 5 and len(found) >= 0.3 * len(words) and not _ONLY_ENGLISH.isdisjoint(found)
    )


def written(tag: str) -> str:
    """Return the tag of a written language: with a region only where regions write it differently."""
    primary, _, rest = tag.partition("-")
    return tag if primary in ("pt", "zh", "sr") and rest != primary.upper() else primary
