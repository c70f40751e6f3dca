import itertools
import random
import time

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text import minhash
from curate.text.minhash import EMPTY, Shingling
from curate.text.normalise import normalise, words

WORDS = Shingling("words", 5)
CHARS = Shingling("chars", 5)
some_texts = st.lists(
    st.text(st.sampled_from("aB1 _\n\té你好👍\u0301\x00.+"), max_size=25), min_size=1, max_size=8
)
shinglings = st.builds(Shingling, st.sampled_from(["words", "chars"]), st.integers(1, 6))


def sets_by_hand(texts, shingling):
    """The sets of shingles as strings."""
    form = words if shingling.unit == "words" else normalise
    found = []
    for text in form(pl.Series(texts, dtype=pl.String)).fill_null("").to_list():
        units = text.split() if shingling.unit == "words" else list(text)
        joiner = " " if shingling.unit == "words" else ""
        last = max(len(units) - shingling.size, 0)
        runs = [units[i : i + shingling.size] for i in range(last + 1)] if units else []
        found.append([joiner.join(run) for run in runs])
    return found


def jaccard_by_hand(left, right):
    left, right = set(left), set(right)
    return len(left & right) / max(len(left | right), 1)


def near_duplicates(count, length=60, seed=0):
    """Texts of random words, each followed by copies with more and more words replaced."""
    rng = random.Random(seed)
    vocabulary = [f"word{i}" for i in range(5000)]
    texts = []
    for _ in range(count):
        text = rng.choices(vocabulary, k=length)
        for changes in (0, 1, 2, 3, 5):
            copy = list(text)
            for place in rng.sample(range(length), changes):
                copy[place] = rng.choice(vocabulary)
            texts.append(" ".join(copy))
    rng.shuffle(texts)
    return texts


@settings(deadline=None)
@given(some_texts, shinglings)
def test_shingles_are_those_of_the_definition(texts, shingling):
    hashes, offsets = minhash.shingles(pa.array(texts), shingling)
    expected = sets_by_hand(texts, shingling)
    assert np.diff(offsets).tolist() == [len(runs) for runs in expected]
    flat = list(itertools.chain(*expected))
    pairs = set(zip(flat, hashes.tolist(), strict=True))
    assert len(pairs) == len(set(flat)) == len(set(hashes.tolist()))


@settings(deadline=None)
@given(some_texts, shinglings)
def test_true_jaccard_equals_sets_of_strings(texts, shingling):
    array = pa.chunked_array([pa.array(texts)])
    pairs = np.array(list(itertools.product(range(len(texts)), repeat=2)))
    sets = sets_by_hand(texts, shingling)
    expected = [jaccard_by_hand(sets[i], sets[j]) for i, j in pairs]
    found = minhash.jaccard(array, array, pairs, shingling)
    assert np.allclose(found, expected, atol=1e-12)


def test_signatures_estimate_jaccard_without_bias():
    texts = near_duplicates(40)
    array = pa.array(texts)
    pairs = np.array([(i, j) for i in range(200) for j in range(i)])
    truth = minhash.jaccard(array, array, pairs, WORDS)
    pairs, truth = pairs[truth > 0.05], truth[truth > 0.05]
    assert len(pairs) > 300
    errors = np.empty((8, len(pairs)))
    for seed in range(8):
        signed = minhash.signatures(array, WORDS, 128, seed)
        deviation = np.sqrt(np.maximum(truth * (1 - truth), 1e-9) / 128)
        errors[seed] = (minhash.agreement(signed, signed, pairs) - truth) / deviation
    varied = errors[:, truth < 1]
    assert np.abs(varied).max() < 5.5
    assert abs(varied.mean()) < 0.15  # pairs share texts, so they are not independent
    assert 0.85 < varied.std() < 1.15
    assert not errors[:, truth == 1].any()


@pytest.mark.parametrize(("shingling", "length"), [(WORDS, 60), (CHARS, 10)])
def test_candidates_against_all_pairs(shingling, length):
    texts = near_duplicates(120, length)
    array = pa.array(texts)
    everything = np.array(list(itertools.combinations(range(len(texts)), 2)))
    sets = [set(runs) for runs in sets_by_hand(texts, shingling)]
    truth = np.array([jaccard_by_hand(sets[i], sets[j]) for i, j in everything])
    wanted = set(map(tuple, everything[truth >= 0.8]))
    assert len(wanted) > 100
    bands, rows = minhash.bands_and_rows(0.8, 128, 0.95)
    signed = minhash.signatures(array, shingling, 128, seed=3)
    candidates = minhash.candidates(signed, bands, rows)
    assert (candidates[:, 0] < candidates[:, 1]).all()
    assert len(np.unique(candidates, axis=0)) == len(candidates)
    verified = candidates[minhash.jaccard(array, array, candidates, shingling) >= 0.8]
    found = set(map(tuple, verified))
    assert found <= wanted  # precision 1
    missing = wanted - found
    clusters = minhash.components(len(texts), verified)
    assert sum(clusters[i] != clusters[j] for i, j in missing) <= 0.05 * len(wanted)


def test_candidates_between_two_sides():
    texts = near_duplicates(60)
    left, right = pa.array(texts[:150]), pa.array(texts[150:])
    bands, rows = minhash.bands_and_rows(0.8, 128, 0.95)
    signed = [minhash.signatures(side, WORDS, 128, 0) for side in (left, right)]
    pairs = minhash.candidates_between(*signed, bands, rows)
    similarity = minhash.jaccard(left, right, pairs, WORDS)
    found = set(map(tuple, pairs[similarity >= 0.8]))
    every = np.array(list(itertools.product(range(150), range(150))))
    wanted = set(map(tuple, every[minhash.jaccard(left, right, every, WORDS) >= 0.8]))
    assert found <= wanted
    assert len(found) >= 0.95 * len(wanted) > 20


def test_every_member_of_a_crowded_bucket_is_linked():
    rng = random.Random(1)
    text = [f"w{i}" for i in range(100)]
    near = [" ".join([*text, f"end{rng.random()}"]) for _ in range(300)]
    array = pa.array([" ".join(text)] * 300 + near)
    signed = minhash.signatures(array, WORDS, 128, 0)
    bands, rows = minhash.bands_and_rows(0.8, 128, 0.95)
    pairs = minhash.candidates(signed, bands, rows)
    assert len(pairs) < 16 * bands * 600
    assert not minhash.components(600, pairs).any()


def test_any_cut_and_any_number_of_threads_sign_alike(monkeypatch):
    texts = [*near_duplicates(30), "", None, "É" * 50, "x", "你好" * 30] * 2
    whole = pa.array(texts)
    expected = minhash.signatures(whole, WORDS, 64, 5)
    parts = pa.chunked_array([whole[:7], whole[7:7], whole[7:200], whole[200:]])
    assert np.array_equal(minhash.signatures(parts, WORDS, 64, 5, threads=2), expected)
    monkeypatch.setattr(minhash, "_CHUNK_BYTES", 700)
    monkeypatch.setattr(minhash, "_PIECE_BYTES", 3000)
    assert np.array_equal(minhash.signatures(whole, WORDS, 64, 5, threads=2), expected)
    assert np.array_equal(minhash.signatures(whole[50:60], WORDS, 64, 5), expected[50:60])
    assert not np.array_equal(minhash.signatures(whole, WORDS, 64, 6), expected)


def mix_by_hand(value):
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) % 2**64
    return value ^ value >> 31


def bits_by_hand(n, seed):
    start = mix_by_hand(seed)
    return [mix_by_hand((start + i) * 0x9E3779B97F4A7C15 % 2**64) for i in range(1, n + 1)]


def test_signature_is_that_of_the_definition_and_never_changes():
    """Computed in whole numbers of Python; stored signatures stay comparable while this holds."""
    text, size, seed = "the quick brown fox jumps over the lazy dog", 5, 7
    value_of, base = bits_by_hand(256, 0), 0x9E3779B97F4A7C15
    units = text.split()
    hashes = []
    for first in range(len(units) - size + 1):
        run = " ".join(units[first : first + size]).encode()
        total = sum(value_of[byte] * pow(base, i, 2**64) for i, byte in enumerate(run))
        hashes.append(mix_by_hand(total % 2**64) >> 32)
    bits = [bit >> 32 for bit in bits_by_hand(8, seed + 1)]
    expected = [
        min((value * (factor | 1) + shift) % 2**32 for value in hashes)
        for factor, shift in zip(bits[:4], bits[4:], strict=True)
    ]
    assert minhash.signatures(pa.array([text.title()]), WORDS, 4, seed).tolist() == [expected]
    assert expected == [1705182415, 332014796, 959534801, 86898571]


def test_texts_without_shingles_resemble_nothing():
    texts = pa.array(["", None, "+-*/ ?", "\n", "one", "one", "One."])
    signed = minhash.signatures(texts, WORDS, 16, 0)
    assert (signed[:4] == EMPTY).all()
    assert (signed[4:] == signed[4]).all()
    assert minhash.candidates(signed, 8, 2).tolist() == [[4, 5], [4, 6]]
    assert minhash.candidates_between(signed[:5], signed, 8, 2).tolist() == [
        [4, 4],
        [4, 5],
        [4, 6],
    ]
    assert minhash.jaccard(texts, texts, np.array([[0, 1], [0, 4], [4, 6]]), WORDS).tolist() == [
        0,
        0,
        1,
    ]


def test_characters_tell_short_texts_apart_by_their_symbols():
    texts = pa.array(["what is c++", "what is c#", "What  is C++"])
    pairs = np.array([[0, 1], [0, 2]])
    assert minhash.jaccard(texts, texts, pairs, WORDS).tolist() == [1, 1]
    near, same = minhash.jaccard(texts, texts, pairs, CHARS)
    assert near < 0.8
    assert same == 1


def test_no_texts_at_all():
    signed = minhash.signatures(pa.chunked_array([], pa.string()), WORDS, 16, 0)
    assert signed.shape == (0, 16)
    assert minhash.candidates(signed, 8, 2).shape == (0, 2)
    assert minhash.candidates_between(signed, signed, 8, 2).shape == (0, 2)
    none = pa.chunked_array([], pa.string())
    assert minhash.jaccard(none, none, np.zeros((0, 2), np.int64), WORDS).shape == (0,)
    assert minhash.components(0, np.zeros((0, 2), np.int64)).shape == (0,)


def test_a_text_of_a_million_characters():
    rng = random.Random(0)
    text = " ".join(f"w{rng.randrange(10**18)}" for _ in range(50_000))
    texts = pa.array([text, "short one here", text + " more"])
    began = time.process_time()
    signed = minhash.signatures(texts, WORDS, 128, 0)
    pairs = minhash.candidates(signed, 18, 7)
    assert pairs.tolist() == [[0, 2]]
    assert minhash.jaccard(texts, texts, pairs, WORDS)[0] == pytest.approx(49_996 / 49_997)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_reach_the_recall_with_the_most_rows(threshold):
    bands, rows = minhash.bands_and_rows(threshold, 128, 0.95)
    assert bands * rows <= 128
    assert 1 - (1 - threshold**rows) ** bands >= 0.95
    fewer = 128 // (rows + 1)
    assert rows == 128 or 1 - (1 - threshold ** (rows + 1)) ** fewer < 0.95


def test_bands_beat_the_optimum_of_datasketch_at_the_threshold():
    lsh = pytest.importorskip("datasketch").MinHashLSH(0.8, 128)
    assert minhash.chance(0.8, lsh.b, lsh.r) < 0.5
    assert minhash.chance(0.8, *minhash.bands_and_rows(0.8, 128, 0.95)) > 0.95


def test_too_few_permutations_are_refused():
    with pytest.raises(ValueError, match=r"permutations: 16 .* use at least 29"):
        minhash.bands_and_rows(0.1, 16, 0.95)
    assert minhash.bands_and_rows(0.1, 29, 0.95) == (29, 1)


@settings(deadline=None)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29))))
def test_components_name_their_smallest_row(n, edges):
    edges = [(a % n, b % n) for a, b in edges]
    expected = list(range(n))
    for _ in range(n):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    assert minhash.components(n, pairs).tolist() == expected
