"""An n-gram model as a folder of plain arrays, and the perplexity of texts under it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from curate.errors import CurateError, MissingExtraError
from curate.shards import write_bytes
from curate.text.ngram.estimate import Level, estimate
from curate.text.ngram.tokens import BEGIN, UNKNOWN, piece_lengths, place_in_text, read

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SETTINGS = "ngram.json"
"""The file that says that a folder is an n-gram model."""
_FORMAT = 1
_PIECE_BYTES = 1 << 22
_MOST = 60.0  # nats; its exponential, 1e26, is still far from what float32 holds
_TOKENIZER = "tokenizer.json"


class NgramModel:
    """A language model of subwords."""

    def __init__(self, tokenizer: Tokenizer, levels: list[Level], density: float) -> None:
        """:param levels: the n-grams of each order from 1.

        :param density: at most so many subwords for each character count, see `perplexity`.
        """
        self.tokenizer = tokenizer
        self.levels = levels
        self.density = density
        self.order = len(levels)
        self.vocabulary = len(levels[0].codes)
        self._chars = piece_lengths(tokenizer)

    @classmethod
    def train(cls, tokenizer: Tokenizer, ids: np.ndarray, order: int, prune: int) -> NgramModel:
        """Estimate a model from what a tokenizer read (`tokens.read`); see `estimate`."""
        levels = estimate(ids[ids != UNKNOWN], tokenizer.get_vocab_size(), order, prune)
        return cls(tokenizer, levels, _density(ids, piece_lengths(tokenizer)))

    def perplexity(self, texts: pl.Series, threads: int = 1) -> np.ndarray:
        """Return exp of the mean of -ln p(token) over a text's subwords and its end.

        Of a text that is cut to pieces only as many count as the densest hundredth of the training
        text has. Letters of another script come one by one, each easy to tell from the one before:
        by the plain mean a Russian page was the most English of a sample of the web.

        :param texts: n strings.
        :return: float64 [n], at most 1e26; NaN where a text is null or has nothing but white space.
        """
        sizes = np.cumsum(texts.str.len_bytes().fill_null(0).to_numpy().astype(np.int64))
        places = np.searchsorted(sizes, np.arange(0, sizes.max(initial=0), _PIECE_BYTES))
        starts = np.unique(np.append(places, 0))
        pieces = [
            texts.slice(start, length)
            for start, length in zip(starts, np.diff(starts, append=len(texts)), strict=True)
        ]
        if threads == 1:
            return np.concatenate([self._perplexity(piece) for piece in pieces])
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(self._perplexity, pieces)))

    def _perplexity(self, texts: pl.Series) -> np.ndarray:
        if not len(texts):
            return np.zeros(0)
        ids = read(self.tokenizer, texts)
        begins = np.flatnonzero(ids == BEGIN)
        pieces = np.diff(begins, append=len(ids)) - 2
        counted = np.minimum(pieces, self.density * np.add.reduceat(self._chars[ids], begins)) + 1
        sums = np.add.reduceat(self.log_probabilities(ids).astype(np.float64), begins)
        found: np.ndarray = np.where(pieces > 0, np.exp(np.minimum(-sums / counted, _MOST)), np.nan)
        return found

    def log_probabilities(self, ids: np.ndarray) -> np.ndarray:
        """Return ln p(token | what stands before it in its text).

        :param ids: int32 [total]; see `tokens.read`.
        :return: float32 [total]; 0 for `BEGIN`.
        """
        size = np.uint64(self.vocabulary)
        result: np.ndarray = self.levels[0].log_probability[ids]
        place = place_in_text(ids)
        # The number, in its level, of the n-gram that ends at each token; -1 where it is unknown.
        number = ids.astype(np.int64)
        for n in range(2, self.order + 1):
            level, shorter = self.levels[n - 1], self.levels[n - 2]
            rows = np.flatnonzero((number >= 0) & (place >= n - 1))
            codes = number[rows].astype(np.uint64) * size + ids[rows - (n - 1)].view(np.uint32)
            longer = np.full(len(ids), -1)
            longer[rows] = _find(level.codes, codes)
            hit = np.flatnonzero(longer >= 0)
            result[hit] = level.log_probability[longer[hit]]
            # Elsewhere the shorter n-gram counts, with the weight of the context if that is known.
            missed = np.flatnonzero((longer < 0) & (place >= n - 1))
            context = number[missed - 1]
            known = context >= 0
            result[missed[known]] += shorter.back_off[context[known]]
            number = longer
        return result

    def save(self, folder: Path) -> None:
        """Write the model into a folder that exists."""
        self.tokenizer.save(str(folder / _TOKENIZER))
        for n, level in enumerate(self.levels, 1):
            for name in Level.__slots__:
                np.save(folder / f"{n}-{name}.npy", getattr(level, name))
        settings = {"format": _FORMAT, "order": self.order, "density": self.density}
        write_bytes(folder / SETTINGS, json.dumps(settings).encode())


def _density(ids: np.ndarray, lengths: np.ndarray) -> float:
    """Return how many subwords per character all but the densest hundredth of some text has."""
    begins = np.flatnonzero(ids == BEGIN)
    pieces = np.diff(begins, append=len(ids)) - 2
    chars = np.add.reduceat(lengths[ids], begins)
    some = chars > 0
    pieces, chars = pieces[some], chars[some]
    order = np.argsort(pieces / chars, kind="stable")
    read = np.cumsum(chars[order])
    place = order[np.searchsorted(read, 0.99 * read[-1])]
    return float(pieces[place] / chars[place])


def _find(codes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return where values stand in a sorted array, int64; -1 where they are not in it."""
    if not len(codes):
        return np.full(len(wanted), -1)
    order = np.argsort(wanted)  # in order they find what they need in the cache: six times faster
    wanted = wanted[order]
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    found = np.empty(len(wanted), np.int64)
    found[order] = np.where(codes[place] == wanted, place, -1)
    return found


def load_ngram_model(folder: str | Path) -> NgramModel:
    """Open what `NgramModel.save` wrote; its arrays are memory-mapped.

    :raises CurateError: if the folder holds no such model.
    :raises MissingExtraError: if `tokenizers` is not installed.
    """
    folder = Path(folder)
    if not (folder / SETTINGS).is_file():
        raise CurateError(
            f"{folder}: not an n-gram model: it has no {SETTINGS}; train one with `train.ngram`"
        )
    settings = json.loads((folder / SETTINGS).read_bytes())
    if settings["format"] != _FORMAT:
        raise CurateError(
            f"{folder}: format {settings['format']!r}, this version reads {_FORMAT}: train it anew"
        )
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "train") from None
    levels = [
        Level(*(np.load(folder / f"{n}-{name}.npy", mmap_mode="r") for name in Level.__slots__))
        for n in range(1, settings["order"] + 1)
    ]
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    return NgramModel(tokenizer, levels, settings["density"])
