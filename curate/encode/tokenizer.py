"""The tokenizer of a static encoder: word pieces, learned from the texts it will read.

All reading rules are regular expressions inside the tokenizer (its normalizer and pre-tokenizer), so
that they are saved with it and every library that loads `tokenizer.json` reads text the same way.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from tokenizers import Tokenizer, normalizers

UNKNOWN = "[UNK]"
# Stands before each word of the name that a piece of code defines. A letter, so that the word stays
# whole, and one that no identifier holds once text is lower-cased.
NAME_MARK = "§"
_MAX_NAME_WORDS = 6
_CONTINUES = "##"
_ALPHABET = 1000
_CODE_POINTS = 0x110000
_COUNTED_TEXTS = 8192

_CAMEL_CASE = r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
_DEFINITION = (
    r"\A(?:class [^\n]*\n)?(?:\s*@[^\n]*\n)*\s*\K(?:async +)?(?:def|class) +_*"
    r"(?=[a-z][a-z0-9_ ]*[(:])"
)
_NEXT_NAME_WORD = rf"{NAME_MARK}[a-z0-9]+\K[_ ]+(?=[a-z0-9])"
_WORD = rf"{NAME_MARK}?\p{{L}}+|\p{{N}}+"


class TokenizerSettings(BaseModel):
    """How a static encoder reads text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocabulary: int = Field(8000, ge=256)
    """Word pieces to learn. Few pieces share more between packages than many."""
    max_chars: int = Field(400, ge=1)
    """Characters that are read; the rest of a text is ignored."""
    max_tokens: int = Field(64, ge=1)
    """Word pieces that are read."""
    distinct: bool = True
    """Read each word once: a mean over words is otherwise led by those that repeat."""
    code: bool = True
    """Split identifiers at capitals, and mark the words of the name that a definition begins with."""


def train_tokenizer(texts: Sequence[str], settings: TokenizerSettings) -> tuple[Tokenizer, int]:
    """Learn word pieces; the same ones from the same texts, in every process.

    Left alone, the trainer numbers the pieces of one character in the order of a hash table, and by
    these numbers it decides between equally frequent pieces. So it is given them in a fixed order.

    :return: the tokenizer; and how many of its ids, the first ones, were learned. With `code`, each
        whole word has a twin for its use in a defined name, and the twins follow in order of their
        words' ids: `twins` tells which is whose.
    """
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    alphabet = _alphabet(texts, settings.max_chars)
    learner = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    learner.normalizer = _normalizer(settings, learning=True)
    learner.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    trainer = trainers.WordPieceTrainer(
        vocab_size=settings.vocabulary,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[UNKNOWN, *(_CONTINUES + character for character in alphabet)],
        continuing_subword_prefix=_CONTINUES,
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    pieces = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    vocabulary = dict(pieces)
    if settings.code:
        for piece, _ in pieces:
            if re.fullmatch(r"[^\W\d_]+", piece):
                vocabulary[NAME_MARK + piece] = len(vocabulary)
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
    tokenizer.normalizer = _normalizer(settings, learning=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_WORD), "removed", invert=True)
    tokenizer.enable_truncation(settings.max_tokens)
    return tokenizer, len(pieces)


def _alphabet(texts: Sequence[str], max_chars: int) -> list[str]:
    """Return the most frequent letters and digits of some texts, ordered by code point."""
    counts = np.zeros(_CODE_POINTS, np.int64)
    for start in range(0, len(texts), _COUNTED_TEXTS):
        read = "".join(text[:max_chars] for text in texts[start : start + _COUNTED_TEXTS]).lower()
        counts += np.bincount(
            np.frombuffer(read.encode("utf-32-le"), np.uint32), minlength=len(counts)
        )
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    readable = [c for c in map(chr, order.tolist()) if unicodedata.category(c)[0] in "LN"]
    return sorted(readable[:_ALPHABET])


def twins(tokenizer: Tokenizer, learned: int) -> list[int]:
    """Return, for each id from `learned` on, the id of the same word outside names."""
    vocabulary = tokenizer.get_vocab()
    words = {index: piece for piece, index in vocabulary.items()}
    return [vocabulary[words[i].removeprefix(NAME_MARK)] for i in range(learned, len(words))]


def _normalizer(settings: TokenizerSettings, learning: bool) -> normalizers.Normalizer:
    """Build the reading rules; while pieces are learned names are not marked and words may repeat."""
    from tokenizers import Regex, normalizers

    def replace(pattern: str, by: str) -> normalizers.Normalizer:
        return normalizers.Replace(Regex(pattern), by)

    steps = [replace(rf"\A[\s\S]{{{settings.max_chars}}}\K[\s\S]+", "")]
    if settings.code:
        steps.append(replace(_CAMEL_CASE, " "))
    steps.append(normalizers.Lowercase())
    if settings.code and not learning:
        steps.append(replace(_DEFINITION, NAME_MARK))
        steps += [replace(_NEXT_NAME_WORD, f" {NAME_MARK}")] * (_MAX_NAME_WORDS - 1)
    steps.append(replace(rf"[^\p{{L}}\p{{N}}{NAME_MARK}]+", " "))
    if settings.distinct and not learning:
        # Keep the last of equal words. The regular expression looks ahead over the whole text, so
        # its cost grows with the square of `max_chars`.
        last = rf"(?<![\p{{L}}\p{{N}}{NAME_MARK}])(\p{{L}}+) (?=(?:.* )?\1(?: |\z))"
        steps.append(replace(last, ""))
    return normalizers.Sequence(steps)
