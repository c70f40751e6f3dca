"""What an n-gram model reads: subwords of a text's normal form.

The normal form is that of CCNet in the main (Wenzek et al. 2020, arXiv:1911.00359): NFKC, lower case,
white space as one space, every digit a zero, quotes and dashes as ASCII. Layout tells nothing then,
and neither does which number or which dash it is. Words are cut with the space before them, and each
distinct word of a batch is split only once: that is several times faster than to split all of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow.compute as pc

from curate.text.normalise import normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BEGIN, END, UNKNOWN = 0, 1, 2
"""The ids of what stands before and after a text, and of a character that the model never saw."""
_SPECIAL = ["<s>", "</s>", "<unk>"]
_PLAIN = {
    "'": r"[\u{2018}-\u{201B}\u{2032}]",
    '"': r"[\u{201C}-\u{201F}\u{AB}\u{BB}]",
    "-": r"[\p{Pd}\u{2212}]",
}
_WORD = r" ?[\p{L}\p{M}]+(?:'[\p{L}\p{M}]+)*| ?0+| ?[^\s\p{L}\p{M}0]+"
# As SentencePiece has it by default; what is rarer is unknown, or a stray word of a foreign script
# would make a whole text in it likely.
_COVERAGE = 0.9995
_WORDS_AT_ONCE = 1 << 16
_WORDS_IN_LINE = 256
_LONGEST_WORD = 64


def read(tokenizer: Tokenizer, texts: pl.Series) -> np.ndarray:
    """Turn n texts into tokens; a null is as an empty text.

    :return: int32 [total], end to end, each text from `BEGIN` to `END`.
    """
    words, counts = _words(normal_form(texts))
    coded = pc.dictionary_encode(words.to_arrow())
    pieces, lengths = _split(tokenizer, coded.dictionary.to_pylist())
    which = coded.indices.to_numpy()
    taken = lengths[which]
    ends = np.cumsum(taken)
    places = np.arange(taken.sum()) + np.repeat(
        (np.cumsum(lengths) - lengths)[which] - ends + taken, taken
    )
    inner = np.diff(np.concatenate([[0], ends])[np.cumsum(counts)], prepend=0)
    stops = np.cumsum(inner + 2)
    ids = np.empty(2 * len(inner) + len(places), np.int32)
    ids[stops - inner - 2] = BEGIN
    ids[stops - 1] = END
    ids[np.arange(len(places)) + np.repeat(2 * np.arange(len(inner)) + 1, inner)] = pieces[places]
    return ids


def _split(tokenizer: Tokenizer, words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the subwords of some words, int32, end to end; and how many each word has.

    Some words are handed over at a time, as lines: for each by itself it takes twice as long.
    """
    starts = range(0, len(words), _WORDS_IN_LINE)
    lines = ["\n".join(words[start : start + _WORDS_IN_LINE]) for start in starts]
    pieces, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    for found in tokenizer.encode_batch(lines, add_special_tokens=False):
        pieces.append(np.array(found.ids, np.int32))
        counts.append(np.bincount(np.array(found.word_ids, np.int64)))
    return np.concatenate(pieces), np.concatenate(counts)


def piece_lengths(tokenizer: Tokenizer) -> np.ndarray:
    """Return how many characters each subword has, int64 [vocabulary]."""
    lengths = np.zeros(tokenizer.get_vocab_size(), np.int64)
    for piece, number in tokenizer.get_vocab().items():
        lengths[number] = len(piece)
    lengths[[BEGIN, END, UNKNOWN]] = 0, 0, 1
    return lengths


def place_in_text(ids: np.ndarray) -> np.ndarray:
    """Return how many tokens of its text stand before each token, int32 [total]."""
    begins = np.flatnonzero(ids == BEGIN)
    place = np.arange(len(ids), dtype=np.int32)
    place -= np.repeat(begins, np.diff(begins, append=len(ids))).astype(np.int32)
    return place


def normal_form(texts: pl.Series) -> pl.Series:
    """Return n strings: what the model reads of each text; null becomes empty."""
    form = normalise(texts.fill_null("")).str.replace_all(r"\p{N}", "0")
    for plain, pattern in _PLAIN.items():
        form = form.str.replace_all(pattern, plain)
    return form


def _words(form: pl.Series) -> tuple[pl.Series, np.ndarray]:
    """Cut normal forms into words: all of them, end to end; and how many each form has.

    What is longer than any word is cut further: to learn subwords takes the square of its length.
    """
    found = (" " + form).str.extract_all(_WORD)
    ends = np.cumsum(found.list.len().to_numpy().astype(np.int64))
    words = found.explode().drop_nulls()
    if (words.str.len_chars() > _LONGEST_WORD).any():
        cut = words.str.extract_all(rf"(?s).{{1,{_LONGEST_WORD}}}")
        ends = np.concatenate([[0], np.cumsum(cut.list.len().to_numpy().astype(np.int64))])[ends]
        words = cut.explode()
    return words, np.diff(ends, prepend=0)


def train_tokenizer(texts: pl.Series, vocabulary: int) -> Tokenizer:
    """Learn subwords by byte pair encoding; the same ones from the same texts, in every process.

    The pieces of one character are given in a fixed order, as the trainer would number them in the
    order of a hash table and decide ties by these numbers.

    :param texts: n strings; a null is as an empty text.
    :param vocabulary: how many subwords, at most.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    words, _ = _words(normal_form(texts))
    alphabet = _alphabet(words)
    learner = Tokenizer(models.BPE(unk_token=_SPECIAL[UNKNOWN]))
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit("\n")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=_SPECIAL,
        show_progress=False,
    )
    learner.train_from_iterator(_lines(words), trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in learned["merges"]]
    # A new one: the names of what begins and ends a text are not to be found in texts.
    tokenizer = Tokenizer(models.BPE(learned["vocab"], merges, unk_token=_SPECIAL[UNKNOWN]))
    tokenizer.pre_tokenizer = learner.pre_tokenizer
    return tokenizer


def _lines(words: pl.Series) -> Iterator[str]:
    for start in range(0, len(words), _WORDS_AT_ONCE):
        yield "\n".join(words.slice(start, _WORDS_AT_ONCE).to_list())


def _alphabet(words: pl.Series) -> list[str]:
    """Return the most frequent characters, ordered by code point."""
    counts = np.zeros(0x110000, np.int64)
    for line in _lines(words):
        codes = np.frombuffer(line.encode("utf-32-le"), np.uint32)
        counts += np.bincount(codes, minlength=len(counts))
    counts[ord("\n")] = 0
    order = np.argsort(-counts, kind="stable")
    covered = np.cumsum(counts[order])
    enough = int(np.searchsorted(covered, _COVERAGE * covered[-1])) + 1
    return [chr(i) for i in np.sort(order[:enough]) if counts[i]]
