"""The stage that trains an n-gram language model on clean text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from pydantic import Field

from curate.errors import CurateError, MissingExtraError
from curate.schema import Kind, first_positive
from curate.shards import Shards
from curate.stage import Build, Built, Context, Inputs, ModelSort
from curate.text.ngram.model import NgramModel, load_ngram_model
from curate.text.ngram.tokens import read, train_tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENIZER_CHARS = 20_000_000
_READ_AT_ONCE = 1 << 13
_HELD_OUT = 1_000
_QUANTILES = (0.05, 0.5, 0.9, 0.95, 0.99)


class NgramTraining(Build):
    """Train an n-gram language model on clean text, for `filter.perplexity`.

    Subwords by byte pair encoding, probabilities by interpolated modified Kneser-Ney (Chen and Goodman
    1998). Noted is the perplexity of one text in fifty that is held out, at most 1,000: what clean text
    has. Holds about 25 bytes in memory per character that is read.
    """

    name: ClassVar[str] = "train.ngram"
    takes: ClassVar[tuple[Kind, ...]] = ("pairs", "passages")
    makes: ClassVar[ModelSort] = "n-gram model"

    on: Literal["query", "passage"] = "passage"
    """Which text of a pair is read; of several positives the first."""
    order: int = Field(5, ge=2, le=8)
    """Subwords in the longest n-grams."""
    vocabulary: int = Field(16_000, ge=256)
    """Subwords to learn, at most."""
    prune: int = Field(1, ge=0)
    """Leave out the n-grams of three subwords and more that occur at most so often. 1 makes the model
    six times smaller than 0 and separates as well."""
    max_chars: int = Field(100_000_000, ge=1)
    """Characters to read; of more text a random part."""
    seed: int = Field(0, ge=0)
    """Draws which texts are read and which are held out."""

    def gives(self, main: Kind | None) -> dict[str, Kind]:
        """Return the kinds of its sides.

        :raises ValueError: if queries are to be read and the input is passages.
        """
        if main == "passages" and self.on == "query":
            raise ValueError("on: 'query' needs pairs, but the input is passages")
        return super().gives(main)

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Train and save."""
        usable, texts = self._draw(inputs.main)
        held_out = texts.head(min(len(texts) // 50, _HELD_OUT))
        model = self._train(texts.slice(len(held_out)), context)
        model.save(folder)
        clean = load_ngram_model(folder).perplexity(held_out, context.threads)
        context.note(
            texts=len(texts) - len(held_out),
            n_grams=[len(level.codes) for level in model.levels],
            clean_perplexity=_quantiles(clean),
        )
        lost = {"no_text": len(inputs.main) - usable, "not_sampled": usable - len(texts)}
        dropped = {reason: count for reason, count in lost.items() if count}
        return Built(len(inputs.main), len(texts), dropped)

    def _draw(self, records: Shards) -> tuple[int, pl.Series]:
        """Return how many texts can be used; and those to read, in a random order."""
        texts = pl.concat([pl.Series([], dtype=pl.String), *map(self._texts, records.tables())])
        texts = texts.filter(texts.str.contains(r"\S")).alias("text")
        order = pl.Series(np.random.default_rng(self.seed).permutation(len(texts)))
        read_before = texts.str.len_chars().cast(pl.Int64).gather(order).cum_sum().shift(1)
        return len(texts), texts.gather(order.filter(read_before.fill_null(0) < self.max_chars))

    def _texts(self, table: pa.Table) -> pl.Series:
        if "text" in table.column_names:
            column = table["text"]
        else:
            column = table["query"] if self.on == "query" else first_positive(table)
        return pl.Series(column, dtype=pl.String).drop_nulls()

    def _train(self, texts: pl.Series, context: Context) -> NgramModel:
        """Learn the subwords on some of the texts, then count n-grams of them in all."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtraError("tokenizers", "train") from None
        some = texts.filter(texts.str.len_chars().cast(pl.Int64).cum_sum() < _TOKENIZER_CHARS)
        context.progress(0, 0, "subwords")
        learned = context.memo(
            "tokenizer",
            lambda: pa.table({"json": [train_tokenizer(some, self.vocabulary).to_str()]}),
        )
        tokenizer = Tokenizer.from_str(learned["json"][0].as_py())
        ids = context.memo("tokens", lambda: _read(tokenizer, texts, context))
        if len(ids) == 2 * len(texts):
            raise CurateError(f"{len(texts)} texts without a visible character: nothing to learn")
        context.progress(0, 0, "n-grams")
        context.note(tokens=len(ids))
        return NgramModel.train(tokenizer, ids, self.order, self.prune)


def _read(tokenizer: Tokenizer, texts: pl.Series, context: Context) -> np.ndarray:
    pieces = [np.zeros(0, np.int32)]
    for start in range(0, len(texts), _READ_AT_ONCE):
        context.progress(start, len(texts), "texts")
        pieces.append(read(tokenizer, texts.slice(start, _READ_AT_ONCE)))
    return np.concatenate(pieces)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    """Return some quantiles, by their names; none of nothing."""
    found = values[~np.isnan(values)]
    return {
        f"{quantile:.0%}": round(float(np.quantile(found, quantile)), 1)
        for quantile in _QUANTILES
        if len(found)
    }
