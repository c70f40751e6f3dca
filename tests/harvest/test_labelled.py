"""`harvest.labelled`: triplets of NLI, STS, duplicates and classes; real sets against other counts."""

import csv
import gzip
import json
import random
from collections import Counter

import pytest

from curate.harvest.labelled import classes as labelled_classes
from curate.harvest.labelled.classes import survey
from curate.harvest.labelled.source import LabelledHarvest
from curate.schema import to_table
from tests.harvest.reading import harvested


@pytest.fixture
def harvest(tmp_path):
    """Read rows given as objects (to JSON lines), or a text as it is."""

    def read(rows, name="a.jsonl", **settings):
        path = tmp_path / name
        text = rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows)
        path.write_text(text, "utf-8")
        return harvested(LabelledHarvest(path=str(path), **settings))

    return read


def triplets(result):
    return {
        (p.query, p.positives[0].text, tuple(sorted(doc.text for doc in p.negatives)))
        for p in result.pairs
    }


# -- NLI -------------------------------------------------------------------------------------------

NLI = [
    ("a man eats", "someone eats", "entailment"),
    ("a dog runs", "an animal moves", "ENTAILMENT"),
    ("a man eats", "a man sleeps", "contradiction"),
    ("a man eats", "a man is hungry", "neutral"),
    ("a man eats", "a person eats", "entailment"),
    ("a cat", "a bird", "contradiction"),
    ("a cow", "a cow?", "-"),
    ("a man eats", "someone eats", "entailment"),
]


@pytest.mark.parametrize(
    "names",
    [
        ("premise", "hypothesis", "label"),
        ("sentence1", "sentence2", "gold_label"),
        ("sentence_A", "sentence_B", "entailment_judgment"),
    ],
)
def test_rows_of_one_premise_make_triplets(harvest, names):
    result = harvest([dict(zip(names, row, strict=True)) for row in NLI])
    assert triplets(result) == {
        ("a man eats", "someone eats", ("a man sleeps",)),
        ("a man eats", "a person eats", ("a man sleeps",)),
        ("a dog runs", "an animal moves", ()),
    }
    assert result.reasons == {"negative": 2, "neutral": 1, "no_label": 1, "duplicate": 1}
    assert result.kinds == {"nli": 3}
    groups = {(pair.query, pair.group) for pair in result.pairs}
    assert len(groups) == 2
    assert not any(pair.symmetric for pair in result.pairs)


def test_labels_may_be_numbers(harvest):
    order = {"entailment": 0, "neutral": 1, "contradiction": 2}
    rows = [
        {"premise": p, "hypothesis": h, "label": order.get(label.lower(), -1)}
        for p, h, label in NLI
    ]
    assert harvest(rows).reasons == {"negative": 2, "neutral": 1, "no_label": 1, "duplicate": 1}


def test_a_positive_has_no_more_negatives_than_asked(harvest):
    rows = [{"premise": "p", "hypothesis": f"no {i}", "label": "contradiction"} for i in range(9)]
    rows += [{"premise": "p", "hypothesis": f"yes {i}", "label": "entailment"} for i in range(5)]
    pairs = harvest(rows).pairs
    assert {len(pair.negatives) for pair in pairs} == {4}
    assert len({frozenset(doc.text for doc in pair.negatives) for pair in pairs}) > 1
    assert {len(pair.negatives) for pair in harvest(rows, negatives=0).pairs} == {0}


# -- STS -------------------------------------------------------------------------------------------

STS = [{"sentence1": "a", "sentence2": f"b{i}", "similarity_score": str(i)} for i in range(6)]


def test_graded_pairs_are_symmetric_and_carry_their_grade(harvest):
    result = harvest(
        [*STS, STS[0] | {"similarity_score": "high"}, STS[1] | {"similarity_score": None}]
    )
    assert [pair.positives[0].label for pair in result.pairs] == [0, 1, 2, 3, 4, 5]
    assert all(pair.symmetric for pair in result.pairs)
    assert result.reasons == {"bad_value": 1, "no_label": 1}


def test_scores_make_positives_and_negatives(harvest):
    result = harvest(STS, min_score=4, max_score=1)
    assert triplets(result) == {("a", "b4", ("b0", "b1")), ("a", "b5", ("b0", "b1"))}
    assert result.reasons == {"negative": 2, "low_label": 2}
    assert [pair.positives[0].label for pair in result.pairs] == [4, 5]
    with pytest.raises(ValueError, match="max_score needs a greater min_score"):
        harvest(STS, max_score=1)


def test_what_fits_two_forms_is_refused(harvest):
    rows = [
        {"sentence_A": "a", "sentence_B": "b", "relatedness_score": 4, "entailment_judgment": "x"}
    ]
    with pytest.raises(ValueError, match="form: say which one it is, nli or sts"):
        harvest(rows)
    with pytest.raises(ValueError, match="columns: say which hold texts and label"):
        harvest([{"sentence1": "a", "sentence2": "b", "label": 1}])
    assert harvest([{"sentence1": "a", "sentence2": "b", "label": 1}], form="duplicates").kept == 1


# -- duplicates ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), (1, 0), (True, False), ("true", "False")])
def test_questions_that_are_no_duplicates_are_negatives_of_both(harvest, yes, no):
    rows = [
        ("q1", "q2", yes),
        ("q1", "q3", no),
        ("q4", "q1", no),
        ("q4", "q5", yes),
        ("q1", "", yes),
    ]
    names = ("question1", "question2", "is_duplicate")
    result = harvest([dict(zip(names, row, strict=True)) for row in rows])
    assert triplets(result) == {("q1", "q2", ("q3", "q4")), ("q4", "q5", ("q1",))}
    assert result.reasons == {"negative": 2, "empty": 1}
    assert result.kinds == {"duplicates": 2}


def test_a_text_given_as_both_is_a_positive(harvest):
    rows = [{"question1": "a", "question2": "b", "is_duplicate": i} for i in (1, 0)]
    assert triplets(harvest(rows)) == {("a", "b", ())}


# -- classes ---------------------------------------------------------------------------------------


def classes(count=200, labels=4):
    return [{"text": f"text {i}", "label": f"class {i % labels}"} for i in range(count)]


def class_of(text):
    return int(text.split()[1]) % 4


def test_positives_are_of_the_class_and_negatives_are_not(harvest):
    result = harvest(classes())
    assert len(result.pairs) == 200
    for pair in result.pairs:
        assert class_of(pair.positives[0].text) == class_of(pair.query)
        assert pair.positives[0].text != pair.query
        assert len(pair.negatives) == 4
        assert all(class_of(doc.text) != class_of(pair.query) for doc in pair.negatives)
        assert json.loads(pair.meta)["class"] == f"class {class_of(pair.query)}"
    to_table(result.pairs, "pairs")


def test_a_split_by_group_cuts_no_pair(harvest):
    result = harvest(classes())
    group = {pair.query: pair.group for pair in result.pairs}
    assert all(group[pair.positives[0].text] == pair.group for pair in result.pairs)
    sizes = Counter(group.values())
    assert 8 <= min(sizes.values()) <= max(sizes.values()) <= 15


def test_the_order_of_rows_does_not_matter_but_the_seed_does(harvest):
    rows = classes()
    first = triplets(harvest(rows))
    random.Random(3).shuffle(rows)
    assert triplets(harvest(rows)) == first
    assert triplets(harvest(rows, seed=1)) != first


def test_large_classes_are_paired_in_parts(harvest, monkeypatch):
    monkeypatch.setattr(labelled_classes, "BUCKET_TEXTS", 20)
    result = harvest(classes())
    assert len(result.pairs) == 200
    assert len({pair.group for pair in result.pairs}) > 200 / 15


def test_what_cannot_be_paired_is_a_drop(harvest):
    rows = [*classes(8, 1), {"text": "alone", "label": "other"}, {"text": "", "label": "x"}]
    rows += [
        {"text": "a", "label": None},
        {"text": "a", "label": [1]},
        {"text": "text 0", "label": "class 0"},
    ]
    result = harvest(rows)
    assert len(result.pairs) == 8
    assert result.reasons == {"single": 1, "empty": 1, "no_label": 2, "duplicate": 1}
    assert {doc.text for pair in result.pairs for doc in pair.negatives} == {"alone"}


def test_clusters_and_lists_in_a_document(harvest):
    rows = {"train": [[f"t{i}", i % 2] for i in range(10)], "test": [["t", 0]]}
    result = harvest(json.dumps(rows), "a.json", form="clustering", parts=("train",))
    assert result.kinds == {"clustering": 10}
    assert {json.loads(pair.meta)["part"] for pair in result.pairs} == {"train"}


def test_the_sample_of_negatives_is_bounded_and_fair(monkeypatch):
    monkeypatch.setattr(labelled_classes, "SAMPLED_TEXTS", 100)
    few = survey(0, ((f"class {i % 5}", f"text {i}") for i in range(10_000)))
    assert Counter(label for label, _ in few.sample) == {f"class {i}": 16 for i in range(5)}
    assert few.counts == {f"class {i}": 2000 for i in range(5)}
    many = survey(0, ((f"class {i // 2}", f"text {i}") for i in range(10_000)))
    assert len(many.sample) == 100
    assert len(many.counts) == 5000
    same = list((f"class {i // 2}", f"text {i}") for i in range(10_000))
    assert survey(0, same).sample == many.sample
    assert survey(0, [("a", "x" * 5000)]).sample == []


# -- real data -------------------------------------------------------------------------------------


def sick(data):
    with (data / "eval_sts" / "sick_train.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_sick_as_nli(data):
    """Counted by `csv`: every different entailed pair, with the contradictions of its premise."""
    rows = sick(data)
    entailed = {(r["sentence1"], r["sentence2"]) for r in rows if r["entailment"] == "ENTAILMENT"}
    against = Counter(r["sentence1"] for r in rows if r["entailment"] == "CONTRADICTION")
    result = harvested(LabelledHarvest(path=str(data / "eval_sts" / "sick_train.tsv"), form="nli"))
    found = {(pair.query, pair.positives[0].text) for pair in result.pairs}
    assert found == entailed
    assert result.reasons["negative"] == against.total()
    assert result.reasons["neutral"] == sum(r["entailment"] == "NEUTRAL" for r in rows)
    with_negatives = sum(bool(pair.negatives) for pair in result.pairs)
    assert with_negatives == sum(premise in against for premise, _ in entailed)


def test_sick_and_semeval_as_sts(data):
    """Every row is a pair, but for the 71 of SemEval whose sentences are the same."""
    rows = sick(data)
    result = harvested(LabelledHarvest(path=str(data / "eval_sts" / "sick_train.tsv"), form="sts"))
    assert len(result.pairs) == len(rows) == 3836
    assert sum(p.positives[0].label for p in result.pairs) == pytest.approx(
        sum(float(r["relatedness_1_5"]) for r in rows)
    )
    path = data / "eval_sts" / "semeval_sts_genres_not_in_stsb.tsv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1:-1]
    same = sum(len({part.strip() for part in line.split("\t")[:2]}) == 1 for line in lines)
    result = harvested(LabelledHarvest(path=str(path)))
    assert len(result.pairs) == 6399 - same
    assert result.reasons == {"same_text": same}


def test_clinc_as_classes(data):
    path = data / "eval_classification" / "clinc150_data_full.json.gz"
    train = json.loads(gzip.decompress(path.read_bytes()))["train"]
    label_of = {text.strip(): label for text, label in train}
    result = harvested(LabelledHarvest(path=str(path), form="classification", parts=("train",)))
    assert len(result.pairs) == len(train) == 14_988
    for pair in result.pairs:
        assert label_of[pair.positives[0].text] == label_of[pair.query]
        assert label_of[pair.query] not in {label_of[doc.text] for doc in pair.negatives}
