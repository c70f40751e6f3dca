"""Estimation of an n-gram model: interpolated modified Kneser-Ney, in whole arrays.

S. F. Chen and J. Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", TR-10-98,
1998, section 3.1.2; counts, discounts and pruning as in K. Heafield et al., "Scalable Modified
Kneser-Ney Language Model Estimation", ACL 2013.

An n-gram is known by its code: the number of its last n-1 words among the (n-1)-grams, times the size
of the vocabulary, plus its first word. So the n-grams of each order are one sorted array of 64-bit
integers, without hashing, and are counted by one sort of the codes that end at each token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curate.text.ngram.tokens import BEGIN, place_in_text


@dataclass(frozen=True, slots=True)
class Level:
    """The n-grams of one order, by their codes.

    :param codes: uint64 [m], sorted; of order 1 all words, in order.
    :param log_probability: float32 [m], ln p(last word | the others).
    :param back_off: float32 [m], ln of what is left for words not seen after this n-gram; of the
        highest order none.
    """

    codes: np.ndarray
    log_probability: np.ndarray
    back_off: np.ndarray


@dataclass(slots=True)
class _Counts:
    """The m n-grams of one order, sorted by code, while they are counted.

    :param codes: uint64 [m].
    :param raw: int32 [m], how often each occurs.
    :param context: int32 [m], the number of its first n-1 words among the (n-1)-grams.
    :param adjusted: int [m], how many different words stand before it; of the highest order, and of
        what begins a text, how often it occurs.
    """

    codes: np.ndarray
    raw: np.ndarray
    context: np.ndarray
    adjusted: np.ndarray


def estimate(ids: np.ndarray, vocabulary: int, order: int, prune: int) -> list[Level]:
    """Estimate the probabilities of all n-grams up to an order.

    :param ids: int32 [total], the tokens of texts, each from `BEGIN` to `END`, none unknown.
    :param prune: n-grams of three words and more that occur at most so often are left out; what
        they would have got goes to the shorter ones.
    :return: one `Level` for each order from 1.
    """
    levels: list[Level] = []
    size = np.uint64(vocabulary)
    # One share for each word that can follow: any but `BEGIN`.
    shorter = _Shorter(np.full(1, 1 / (vocabulary - 1)), np.ones(1, bool))
    for n, counts in enumerate(_adjusted(_count(ids, vocabulary, order), size), 1):
        keep = counts.raw > prune if n > 2 else np.ones(len(counts.raw), bool)
        probability, back_off = _smooth(counts, keep, shorter.probability, size)
        if levels:
            levels[-1].back_off[:] = np.log(back_off[shorter.keep])
        codes = counts.codes[keep]
        codes = shorter.numbers[codes // size] * size + codes % size
        levels.append(
            Level(
                codes,
                np.log(probability[keep], dtype=np.float32),
                np.zeros(len(codes) if n < order else 0, np.float32),
            )
        )
        shorter = _Shorter(probability, keep)
    levels[0].log_probability[BEGIN] = 0  # it always stands there
    return levels


class _Shorter:
    """What the next order needs of an order: probabilities, which are kept, their new numbers."""

    def __init__(self, probability: np.ndarray, keep: np.ndarray) -> None:
        self.probability = probability
        self.keep = keep
        self.numbers = (np.cumsum(keep) - 1).astype(np.uint64)


def _smooth(
    counts: _Counts, keep: np.ndarray, shorter: np.ndarray, size: np.uint64
) -> tuple[np.ndarray, np.ndarray]:
    """Return p(last word | the others), [m], and what each context leaves, [number of contexts].

    :param shorter: the probabilities of the n-grams of one word less.
    """
    adjusted = counts.adjusted
    taken = discounts(adjusted)[np.minimum(adjusted, 3)]
    taken[~keep] = adjusted[~keep]
    total = np.bincount(counts.context, adjusted, len(shorter))
    left = np.bincount(counts.context, taken, len(shorter))
    back_off = np.divide(left, total, out=np.ones(len(shorter)), where=total > 0)
    probability: np.ndarray = adjusted - taken
    del taken
    probability /= total[counts.context]
    lower = shorter[counts.codes // size]
    lower *= back_off[counts.context]
    probability += lower
    return probability, back_off


def discounts(adjusted: np.ndarray) -> np.ndarray:
    """Return what is taken from counts of 0, 1, 2, and of 3 and more: float64 [4].

    Chen and Goodman 1998, equation 17. Where the text is too short for it, so that a count of counts
    is zero or a discount is not between zero and the count, they are those that KenLM falls back to.
    """
    ones, twos, threes, fours = (int(np.count_nonzero(adjusted == k)) for k in (1, 2, 3, 4))
    if ones and twos and threes:
        y = ones / (ones + 2 * twos)
        found = [0, 1 - 2 * y * twos / ones, 2 - 3 * y * threes / twos, 3 - 4 * y * fours / threes]
        if all(0 <= discount <= k for k, discount in enumerate(found)):
            return np.array(found)
    return np.array([0, 0.5, 1, 1.5])


def _adjusted(counted: Iterator[_Counts], size: np.uint64) -> Iterator[_Counts]:
    """Set the adjusted counts of each order but the highest: by what the next order holds."""
    counts = next(counted)
    for n, longer in enumerate(counted, 1):
        different = np.bincount((longer.codes // size).view(np.int64), minlength=len(counts.codes))
        begins = (counts.codes % size == BEGIN) & (n > 1)
        counts.adjusted = np.where(begins, counts.raw, different).astype(np.int32)
        del different, begins
        yield counts
        counts = longer
    yield counts


def _count(ids: np.ndarray, vocabulary: int, order: int) -> Iterator[_Counts]:
    """Count the n-grams of each order from 1; at order 2 and above they lie within one text."""
    place = place_in_text(ids)
    raw = np.bincount(ids, minlength=vocabulary).astype(np.int32)
    raw[BEGIN] = 0  # it follows nothing
    yield _Counts(np.arange(vocabulary, dtype=np.uint64), raw, np.zeros(vocabulary, np.int32), raw)
    number = ids
    for n in range(2, order + 1):
        counts, number = _longer(ids, number, np.flatnonzero(place >= n - 1), n, vocabulary)
        yield counts
        del counts


def _longer(
    ids: np.ndarray, number: np.ndarray, ends: np.ndarray, n: int, vocabulary: int
) -> tuple[_Counts, np.ndarray]:
    """Count the n-grams that end at some places.

    :param number: int32 [total], which (n-1)-gram ends at each token.
    :param ends: int64 [m], where n-grams end.
    :return: the counts; and which n-gram ends at each token, int32 [total].
    """
    codes = number[ends].astype(np.uint64)
    codes *= np.uint64(vocabulary)
    codes += ids[ends - (n - 1)].view(np.uint32)
    by_code = np.argsort(codes)
    codes = codes[by_code]
    ends = ends[by_code]
    del by_code
    first = np.ones(len(codes), bool)
    first[1:] = codes[1:] != codes[:-1]
    starts = np.flatnonzero(first)
    raw = np.diff(starts, append=len(codes)).astype(np.int32)
    context = number[ends[starts] - 1]
    longer = np.zeros(len(ids), np.int32)
    longer[ends] = np.cumsum(first, dtype=np.int32) - 1
    return _Counts(codes[starts], raw, context, raw), longer
