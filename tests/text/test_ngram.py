"""The n-gram model: against Kneser-Ney written with dictionaries, by hand, and by what it must sum to."""

import json
import random
import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.stage import model_sort
from curate.text.ngram.estimate import discounts, estimate
from curate.text.ngram.model import NgramModel, load_ngram_model
from curate.text.ngram.tokens import BEGIN, END, UNKNOWN, normal_form, read, train_tokenizer
from tests.contracts.records import HOSTILE, make_pairs

A, B, C = 3, 4, 5


class Reference:
    """Interpolated modified Kneser-Ney as Chen and Goodman write it, with dictionaries."""

    def __init__(self, texts, order, prune, vocabulary):
        self.order, self.uniform = order, 1 / (vocabulary - 1)
        raw = [Counter() for _ in range(order + 1)]
        for text in texts:
            for n in range(1, order + 1):
                raw[n].update(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        self.counts, self.discounts, self.pruned = [None], [None], [None]
        for n in range(1, order + 1):
            counts = raw[n]
            if n < order:
                before = defaultdict(set)
                for gram in raw[n + 1]:
                    before[gram[1:]].add(gram[0])
                begins = {g: c for g, c in raw[n].items() if g[0] == BEGIN and n > 1}
                counts = {g: len(words) for g, words in before.items()} | begins
            if n == 1:
                counts = {g: c for g, c in counts.items() if g != (BEGIN,)}
            self.counts.append(defaultdict(dict))
            for gram, count in counts.items():
                self.counts[n][gram[:-1]][gram[-1]] = count
            self.discounts.append(self.discount(list(counts.values())))
            self.pruned.append({g for g, c in raw[n].items() if n > 2 and c <= prune})

    @staticmethod
    def discount(counts):
        n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
        if not (n1 and n2 and n3):
            return [0, 0.5, 1, 1.5]
        y = n1 / (n1 + 2 * n2)
        found = [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return found if all(0 <= d <= k for k, d in enumerate(found)) else [0, 0.5, 1, 1.5]

    def probability(self, word, context):
        """p(word | context); the context has fewer words than the order."""
        n = len(context) + 1
        shorter = self.probability(word, context[1:]) if context else self.uniform
        following = self.counts[n].get(context)
        if not following:
            return shorter
        taken = {
            w: c if (*context, w) in self.pruned[n] else self.discounts[n][min(c, 3)]
            for w, c in following.items()
        }
        total = sum(following.values())
        own = following.get(word, 0) - taken.get(word, 0)
        return (own + sum(taken.values()) * shorter) / total

    def of_text(self, text):
        """ln p of each token after `BEGIN`."""
        return [
            np.log(self.probability(text[i], tuple(text[max(0, i - self.order + 1) : i])))
            for i in range(1, len(text))
        ]


def drawn(rng, texts, words, longest=12):
    """Draw texts in which some words follow others."""
    made = []
    for _ in range(texts):
        text, word = [BEGIN], 0
        for _ in range(rng.randint(0, longest)):
            word = (word * 2 + rng.choice([0, 0, 0, 1, rng.randrange(words)])) % words
            text.append(3 + word)
        made.append([*text, END])
    return made


def flat(texts):
    return np.array([i for text in texts for i in text], np.int32)


def untied(levels):
    """A model whose tokenizer reads nothing that matters here."""
    return NgramModel(train_tokenizer(pl.Series(["a"]), 256), levels, 1.0)


# -- probabilities ---------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    texts=st.integers(1, 60),
    words=st.integers(1, 9),
    order=st.integers(1, 4),
    prune=st.integers(0, 2),
)
def test_probabilities_are_those_of_the_reference(seed, texts, words, order, prune):
    rng = random.Random(seed)
    train, other = drawn(rng, texts, words), drawn(rng, 20, words + 1)  # one word it never saw
    vocabulary = 3 + words + 1
    reference = Reference(train, order, prune, vocabulary)
    model = untied(estimate(flat(train), vocabulary, order, prune))
    found = model.log_probabilities(flat([*train, *other]))
    expected = [p for text in [*train, *other] for p in [0.0, *reference.of_text(text)]]
    assert found == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("prune", [0, 1])
def test_probabilities_after_any_context_sum_to_one(prune):
    rng = random.Random(5)
    train, vocabulary = drawn(rng, 80, 6), 10
    model = untied(estimate(flat(train), vocabulary, 4, prune))
    contexts = [text[:-1] for text in [*drawn(rng, 20, 6, 6), [BEGIN, 9, 9, UNKNOWN, END]]]
    for context in contexts:
        texts = [[*context, word] for word in range(1, vocabulary)]
        ends = np.cumsum([len(text) for text in texts]) - 1
        total = np.exp(model.log_probabilities(flat(texts))[ends].astype(float)).sum()
        assert total == pytest.approx(1, abs=1e-5)


def test_a_bigram_model_by_hand():
    """`a b` and `a c`: every number can be checked on paper."""
    model = untied(estimate(flat([[BEGIN, A, B, END], [BEGIN, A, C, END]]), 6, 2, 0))
    # Different words before a: 1, b: 1, c: 1, the end: 2; five in all. None has three, so the
    # discounts are 0.5 and 1, which leaves (3 * 0.5 + 1) / 5 to share among five words.
    a = c = 0.5 / 5 + 0.5 / 5
    end = 1 / 5 + 0.5 / 5
    # After the begin: a twice. After a: b once, c once. After c: the end once.
    expected = [(2 - 1) / 2 + 1 / 2 * a, 0.5 / 2 + 0.5 * c, 0.5 + 0.5 * end]
    found = model.log_probabilities(flat([[BEGIN, A, C, END]]))
    assert np.exp(found[1:]) == pytest.approx(expected)


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 5], [100, 40, 20, 10, 7])
    y = 100 / 180
    expected = [0, 1 - 2 * y * 0.4, 2 - 3 * y * 0.5, 3 - 4 * y * 0.5]
    assert discounts(counts) == pytest.approx(expected)


@pytest.mark.parametrize("counts", [[], [1, 1], [2, 2, 3], [1, 2, 3, *[4] * 9]])
def test_discounts_of_too_few_counts_are_fixed(counts):
    assert discounts(np.array(counts, int)).tolist() == [0, 0.5, 1, 1.5]


def test_pruned_n_grams_are_gone():
    train = flat(drawn(random.Random(1), 60, 8))
    whole, pruned = (estimate(train, 12, 4, prune) for prune in (0, 1))
    sizes = [[len(level.codes) for level in levels] for levels in (whole, pruned)]
    assert sizes[0][:2] == sizes[1][:2]
    assert all(many > few for many, few in zip(sizes[0][2:], sizes[1][2:], strict=True))


def test_an_unknown_character_is_unlikely_even_after_others():
    """Else a text in a foreign script would be the most likely of all."""
    tokenizer = train_tokenizer(pl.Series(["ab"]), 256)
    train = [[BEGIN, A, *[UNKNOWN] * 9, B, END]] * 50
    model = NgramModel.train(tokenizer, flat(train), 3, 0)
    found = np.exp(model.log_probabilities(flat([[BEGIN, *[UNKNOWN] * 5, END]])))
    assert (found[1:6] < 0.1).all()


# -- tokens ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean():
    return pl.Series([pair.query for pair in make_pairs(1, 400, hostile=0)])


@pytest.fixture(scope="module")
def model(clean):
    tokenizer = train_tokenizer(clean, 300)
    return NgramModel.train(tokenizer, read(tokenizer, clean), 4, 0)


def test_normal_form():
    texts = [
        "\u201cIt\u2019s  1999 \u2014 \u00bd off\u201d\n",
        "\uff37\uff29DE\tX",
        "\u200b",
        "",
        None,
    ]
    texts += ["\u00ab\u0663\u00bb \u2212 \u4e00"]
    expected = ['"it\'s 0000 - 0\u20440 off"', "wide x", "", "", "", '"0" - \u4e00']
    assert normal_form(pl.Series(texts)).to_list() == expected


def test_tokens_spell_the_normal_form(model, clean):
    vocabulary = {i: piece for piece, i in model.tokenizer.get_vocab().items()}
    ids = read(model.tokenizer, clean)
    spelled = "".join("\n" if i == BEGIN else vocabulary[i] for i in ids.tolist() if i != END)
    assert spelled.replace("\n ", "\n").split("\n")[1:] == normal_form(clean).to_list()
    assert UNKNOWN not in ids


def test_names_of_special_tokens_are_text(model):
    ids = read(model.tokenizer, pl.Series(["<s> </s> <unk>"])).tolist()
    assert (ids[0], ids[-1]) == (BEGIN, END)
    assert not {BEGIN, END} & set(ids[1:-1])


def test_every_text_is_read_alike_in_any_company(model):
    texts = [*HOSTILE, None, "", "a plain text"]
    alone = [read(model.tokenizer, pl.Series([text], dtype=pl.String)) for text in texts]
    assert np.array_equal(read(model.tokenizer, pl.Series(texts)), np.concatenate(alone))


def test_what_is_longer_than_any_word_is_learned_in_time():
    """At once; uncut, this word takes half a minute."""
    texts = pl.Series(["x" * 100_000 + " word" * 2_000, ""])
    tokenizer = train_tokenizer(texts, 300)
    vocabulary = {i: piece for piece, i in tokenizer.get_vocab().items()}
    assert max(map(len, vocabulary.values())) == 64
    ids = read(tokenizer, texts)
    parts = np.split(ids, np.flatnonzero(ids == BEGIN)[1:])
    spelled = ["".join(vocabulary[i] for i in part[1:-1].tolist()) for part in parts]
    assert spelled == [f" {text}" if text else "" for text in texts]


def test_rare_characters_are_unknown():
    tokenizer = train_tokenizer(pl.Series(["plain words " * 2_000 + "ж"]), 256)
    assert read(tokenizer, pl.Series(["ж"])).tolist().count(UNKNOWN) == 1


def test_subwords_are_the_same_in_every_process(clean):
    texts = clean.to_list()
    code = (
        "import sys, json, polars as pl\n"
        "from curate.text.ngram.tokens import train_tokenizer\n"
        "print(train_tokenizer(pl.Series(json.load(sys.stdin)), 300).to_str())"
    )
    given = json.dumps(texts).encode()
    there = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, check=True
    )
    assert there.stdout.decode().strip() == train_tokenizer(clean, 300).to_str()


# -- perplexity ------------------------------------------------------------------------------------


def test_perplexity_is_of_the_mean_over_subwords_and_end(model):
    texts = pl.Series(["Read the file of a list and return how many there were.", "read the list"])
    ids = read(model.tokenizer, texts)
    logs, begins = model.log_probabilities(ids), np.flatnonzero(ids == BEGIN)
    means = [part[1:].astype(float).mean() for part in np.split(logs, begins[1:])]
    assert model.perplexity(texts) == pytest.approx(np.exp(-np.array(means)))


def test_a_text_in_pieces_counts_by_its_characters(model):
    """Single letters are easy to tell from each other, and no clean text where that has words."""
    text = " ".join("qzv" * 20)
    ids = read(model.tokenizer, pl.Series([text]))
    most = model.density * (len(text) + 1)
    assert 0.1 < model.density < 0.6
    assert len(ids) - 2 > most
    total = model.log_probabilities(ids).astype(float).sum()
    assert model.perplexity(pl.Series([text]))[0] == pytest.approx(np.exp(-total / (most + 1)))


def test_texts_without_characters_have_none(model):
    found = model.perplexity(pl.Series(["", None, " \n\t", "\u200b", "x"]))
    assert np.isnan(found).tolist() == [True, True, True, True, False]
    assert model.perplexity(pl.Series([], dtype=pl.String)).shape == (0,)


def test_threads_and_pieces_change_no_perplexity(model, clean, monkeypatch):
    texts = pl.concat([clean, pl.Series([*HOSTILE, None]), clean.head(50)])
    plain = model.perplexity(texts)
    monkeypatch.setattr("curate.text.ngram.model._PIECE_BYTES", 3_000)
    for threads in (1, 3):
        assert np.array_equal(model.perplexity(texts, threads), plain, equal_nan=True)


def test_shuffled_words_and_other_letters_are_odd(model, clean):
    rng = random.Random(0)
    texts = [pair.query for pair in make_pairs(2, 200, hostile=0)]
    shuffled = [" ".join(rng.sample(text.split(), len(text.split()))) for text in texts]
    good, odd = model.perplexity(pl.Series(texts)), model.perplexity(pl.Series(shuffled))
    assert np.quantile(good, 0.95) < np.quantile(odd, 0.05)
    assert model.perplexity(pl.Series(["Прочитать файл"]))[0] > odd.max()


# -- the folder ------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_and_mapped(model, clean, tmp_path):
    model.save(tmp_path)
    opened = load_ngram_model(tmp_path)
    assert isinstance(opened.levels[-1].codes, np.memmap)
    assert np.array_equal(opened.perplexity(clean), model.perplexity(clean))
    assert model_sort(tmp_path) == "n-gram model"
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npy"}


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(CurateError, match="not an n-gram model: it has no ngram"):
        load_ngram_model(tmp_path)


def test_a_model_of_another_format_is_refused(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "ngram.json").write_text('{"format": 9, "order": 4}')
    with pytest.raises(CurateError, match="format 9, this version reads 1: train it anew"):
        load_ngram_model(tmp_path)
