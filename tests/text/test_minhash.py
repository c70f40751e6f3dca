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
from curate.text.minhash import EMPTY, DisjointSets, Shingling, units
from curate.text.minhash.bloom import BloomIndex, bloom_size
from curate.text.minhash.index import BLOCK, KeyIndex, decode, encode, merged, sort_keys
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


def components(n, pairs):
    sets = DisjointSets(n)
    sets.join(*pairs.T)
    return sets.roots().copy()


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


def pairs_in(keys, filled=None):
    """What an index of some blocks finds, as a sorted array of pairs; twins first, as the stage does."""
    n = keys.shape[1]
    filled = np.ones(n, bool) if filled is None else filled
    assert n <= BLOCK
    index = KeyIndex([sort_keys(keys, filled)], n)
    twins = index.first_pairs(0, 0)
    active = np.ones(n, bool)
    active[decode(twins)[:, 1]] = False
    codes = [twins, *(index.near_pairs(band, 0, active) for band in range(1, len(keys)))]
    return decode(np.unique(np.concatenate(codes)))


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
    texts = near_duplicates(60, length)
    array = pa.array(texts)
    everything = np.array(list(itertools.combinations(range(len(texts)), 2)))
    sets = [set(runs) for runs in sets_by_hand(texts, shingling)]
    truth = np.array([jaccard_by_hand(sets[i], sets[j]) for i, j in everything])
    wanted = set(map(tuple, everything[truth >= 0.8]))
    assert len(wanted) > 50
    bands, rows = minhash.bands_and_rows(0.8, 128, 0.95)
    candidates = pairs_in(*minhash.band_keys(array, shingling, bands, rows, seed=3))
    assert (candidates[:, 0] < candidates[:, 1]).all()
    assert len(np.unique(candidates, axis=0)) == len(candidates)
    verified = candidates[minhash.jaccard(array, array, candidates, shingling) >= 0.8]
    found = set(map(tuple, verified))
    assert found <= wanted  # precision 1
    missing = wanted - found
    clusters = components(len(texts), verified)
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
    bands, rows = minhash.bands_and_rows(0.8, 128, 0.95)
    pairs = pairs_in(*minhash.band_keys(array, WORDS, bands, rows, 0))
    assert len(pairs) < 16 * bands * 600
    assert not components(600, pairs).any()


def test_any_cut_and_any_number_of_threads_sign_alike(monkeypatch):
    texts = [*near_duplicates(30), "", None, "É" * 50, "x", "你好" * 30] * 2
    whole = pa.array(texts)
    expected = minhash.signatures(whole, WORDS, 64, 5)
    parts = pa.chunked_array([whole[:7], whole[7:7], whole[7:200], whole[200:]])
    assert np.array_equal(minhash.signatures(parts, WORDS, 64, 5, threads=2), expected)
    keys = minhash.band_keys(whole, WORDS, 9, 7, 5)
    monkeypatch.setattr(units, "_CHUNK_BYTES", 700)
    monkeypatch.setattr(units, "_PIECE_BYTES", 3000)
    assert np.array_equal(minhash.signatures(whole, WORDS, 64, 5, threads=2), expected)
    assert np.array_equal(minhash.signatures(whole[50:60], WORDS, 64, 5), expected[50:60])
    for found, wanted in zip(
        minhash.band_keys(parts, WORDS, 9, 7, 5, threads=3), keys, strict=True
    ):
        assert np.array_equal(found, wanted)
    assert not np.array_equal(minhash.signatures(whole, WORDS, 64, 6), expected)


def mix_by_hand(value):
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) % 2**64
    return value ^ value >> 31


def bits_by_hand(n, seed):
    start = mix_by_hand(seed)
    return [mix_by_hand((start + i) * 0x9E3779B97F4A7C15 % 2**64) for i in range(1, n + 1)]


def word_by_hand(data):
    eights = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    total = eights[0]
    for more in eights[1:]:
        total = (mix_by_hand(total) + more) % 2**64
    return mix_by_hand(total)


def test_signature_is_that_of_the_definition_and_never_changes():
    """Computed in whole numbers of Python; stored signatures stay comparable while this holds."""
    text, size, seed = "the quick brown counterrevolutionaries jump over the lazy dog", 5, 7
    run_base = 0xD6E8FEB86659FD93
    words_hashed = [word_by_hand(word.encode()) for word in text.split()]
    hashes = []
    for first in range(len(words_hashed) - size + 1):
        total = 0
        for word in words_hashed[first : first + size]:
            total = (total * run_base + word) % 2**64
        hashes.append(mix_by_hand(total) >> 32)
    factors = [bit >> 32 | 1 for bit in bits_by_hand(4, seed + 1)]
    expected = [min(value * factor % 2**32 for value in hashes) for factor in factors]
    assert minhash.signatures(pa.array([text.title()]), WORDS, 4, seed).tolist() == [expected]
    assert expected == [881945911, 181195998, 980966500, 728283310]


def test_texts_without_shingles_resemble_nothing():
    texts = pa.array(["", None, "+-*/ ?", "\n", "one", "one", "One."])
    signed = minhash.signatures(texts, WORDS, 16, 0)
    assert (signed[:4] == EMPTY).all()
    assert (signed[4:] == signed[4]).all()
    keys, filled = minhash.band_keys(texts, WORDS, 8, 2, 0)
    assert filled.tolist() == [False] * 4 + [True] * 3
    assert pairs_in(keys, filled).tolist() == [[4, 5], [4, 6]]
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
    keys, filled = minhash.band_keys(pa.array([], pa.string()), WORDS, 8, 2, 0)
    assert pairs_in(keys, filled).shape == (0, 2)
    assert minhash.candidates_between(signed, signed, 8, 2).shape == (0, 2)
    none = pa.chunked_array([], pa.string())
    assert minhash.jaccard(none, none, np.zeros((0, 2), np.int64), WORDS).shape == (0,)
    assert components(0, np.zeros((0, 2), np.int64)).shape == (0,)


def test_a_text_of_a_million_characters():
    rng = random.Random(0)
    text = " ".join(f"w{rng.randrange(10**18)}" for _ in range(50_000))
    texts = pa.array([text, "short one here", text + " more"])
    began = time.process_time()
    pairs = pairs_in(*minhash.band_keys(texts, WORDS, 18, 7, 0))
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


@pytest.mark.parametrize(("threshold", "permutations"), [(0.8, 64), (0.5, 40), (0.2, 16)])
def test_balanced_is_the_optimum_of_datasketch(threshold, permutations):
    lsh = pytest.importorskip("datasketch").MinHashLSH(threshold, permutations)
    assert minhash.balanced(threshold, permutations) == (lsh.b, lsh.r)


def test_bands_by_recall_beat_the_optimum_at_the_threshold():
    assert minhash.chance(0.8, *minhash.balanced(0.8, 128)) < 0.5
    assert minhash.chance(0.8, *minhash.bands_and_rows(0.8, 128, 0.95)) > 0.95


def test_memory_limits_the_bands():
    assert minhash.bands_and_rows(0.8, 128, 0.95, most_bands=13) == (13, 7)
    assert minhash.bands_and_rows(0.8, 128, 0.95, most_bands=6) == (6, 4)
    assert minhash.balanced(0.8, 128, most_bands=6)[0] <= 6
    with pytest.raises(
        ValueError, match=r"bands: at most 1 find pairs of similarity 0\.8 .* at least 2"
    ):
        minhash.bands_and_rows(0.8, 128, 0.95, most_bands=1)


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
    assert components(n, pairs).tolist() == expected
    sets = DisjointSets(n)
    for some in np.array_split(pairs, 3):
        sets.join(*some.T)
    assert sets.find(np.arange(n)).tolist() == expected
    assert sets.roots().tolist() == expected
    assert sets.firsts().tolist() == [row == first for row, first in enumerate(expected)]


# -- the index, cut into blocks and partitions ------------------------------------------------------


def test_blocks_and_partitions_find_what_a_dictionary_finds(monkeypatch):
    monkeypatch.setattr("curate.text.minhash.index.BLOCK", 64)
    monkeypatch.setattr("curate.text.minhash.index.PLACE_BITS", 6)
    rng = np.random.default_rng(0)
    n = 1000
    values = rng.integers(0, 2**64, 400, np.uint64) >> np.uint64(6) << np.uint64(6)
    keys = rng.choice(values, (2, n))
    filled = rng.random(n) < 0.9
    blocks = [
        sort_keys(keys[:, at : at + 64], filled[at : at + 64], threads=2) for at in range(0, n, 64)
    ]
    index = KeyIndex(blocks, n)
    assert index.partitions == 16
    everything = np.ones(n, bool)
    found = [index.near_pairs(1, part, everything) for part in range(16)]
    assert sum(map(len, found)) == len(np.unique(np.concatenate(found)))
    assert all(len(part) for part in found)
    expected = {
        (i, j)
        for i, j in itertools.combinations(np.flatnonzero(filled).tolist(), 2)
        if keys[1, i] == keys[1, j]
    }
    assert set(map(tuple, decode(np.concatenate(found)).tolist())) == expected
    active = rng.random(n) < 0.5
    some = np.concatenate([index.near_pairs(1, part, active) for part in range(16)])
    both = {(i, j) for i, j in expected if active[i] and active[j]}
    assert set(map(tuple, decode(some).tolist())) == both
    firsts = np.concatenate([index.first_pairs(0, part) for part in range(16)])
    assert components(n, decode(firsts))[~filled].tolist() == np.flatnonzero(~filled).tolist()


def test_more_rows_than_codes_can_tell_apart_are_refused():
    with pytest.raises(ValueError, match="4,294,967,297 texts: cluster at most 4,294,967,296"):
        KeyIndex([], 2**32 + 1)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 99)), max_size=6), st.integers(1, 20))
def test_merged_codes_are_the_sorted_union(lists, most):
    parts = [np.unique(np.array(part, np.uint64)) for part in lists]
    blocks = list(merged(parts, most))
    assert all(0 < len(block) <= most + len(parts) for block in blocks)
    flat = [code for block in blocks for code in block.tolist()]
    assert flat == sorted({code for part in lists for code in part})


def test_codes_sort_as_pairs_do():
    pairs = np.array([[0, 1], [0, 2**32 - 1], [5, 6], [2**31, 2**31 + 1]])
    codes = encode(*pairs.T)
    assert (np.diff(codes.astype(object)) > 0).all()
    assert decode(codes).tolist() == pairs.tolist()


# -- Bloom filters ----------------------------------------------------------------------------------


def test_bloom_filters_miss_no_earlier_text_and_seldom_invent_one():
    rng = np.random.default_rng(1)
    keys = rng.integers(0, 2**64, (4, 30_000), np.uint64)
    copies = rng.choice(np.arange(10_000, 30_000), 3_000, replace=False)
    origins = rng.integers(0, copies)
    keys[rng.integers(0, 4, 3_000), copies] = keys[
        0, 0
    ]  # agrees with the first in one band or none
    keys[2, copies] = keys[2, origins]
    filled = rng.random(30_000) < 0.95
    index = BloomIndex(4, 30_000, 0.01)
    starts = range(0, 30_000, 7_000)
    found = [index.add(keys[:, at : at + 7_000], filled[at : at + 7_000], 2) for at in starts]
    seen = np.concatenate(found)
    known = [set() for _ in range(4)]
    expected = np.zeros(30_000, bool)
    for row in np.flatnonzero(filled):
        for band, before in enumerate(known):
            expected[row] |= int(keys[band, row]) in before
            before.add(int(keys[band, row]))
    assert not (expected & ~seen).any()
    wrong = (seen & ~expected).sum() / (~expected).sum()
    assert wrong < 0.01


def test_bloom_sizes_are_those_of_the_textbook():
    bits, hashes = bloom_size(1, 0.01)
    assert bits == pytest.approx(9.585, abs=0.001)
    assert hashes == 7
    assert bloom_size(20, 1e-5)[0] == pytest.approx(1.4427 * np.log2(20 / 1e-5), rel=1e-3)
