import random

import pytest

from curate.arrange.split import Split
from curate.schema import Doc, Pair, Passage, from_table

VOCABULARY = [f"word{i}" for i in range(3000)]


def text(seed, length=60):
    return " ".join(random.Random(seed).choices(VOCABULARY, k=length))


def pair(query, passage, group, *more):
    return Pair("qa", query, [Doc(t) for t in (passage, *more)], "here", group)


def reasons(result):
    return dict(
        zip(
            result.dropped["query"].to_pylist(),
            result.dropped["drop_reason"].to_pylist(),
            strict=True,
        )
    )


def test_named_groups_go_to_the_held_out_side(run_global):
    pairs = [pair(f"query {i}", text(i), f"group{i % 4}") for i in range(40)]
    result = run_global(Split(held_out_groups=["group1", "group9"]), pairs, shards=3)
    held_out = result.sides["held_out"]
    assert set(held_out["group"].to_pylist()) == {"group1"}
    assert set(held_out["split"].to_pylist()) == {"held_out"}
    assert set(result.kept["group"].to_pylist()) == {"group0", "group2", "group3"}
    assert set(result.kept["split"].to_pylist()) == {"train"}
    assert held_out.schema.equals(result.kept.schema)
    assert len(held_out) == 10
    assert result.notes["missing_groups"] == ["group9"]
    assert result.notes["held_out_groups"] == 1


def test_what_leaks_is_dropped_with_its_reason(run_global):
    secret = text(1)
    near = secret.replace(secret.split()[30], "changed")
    pairs = [
        pair("copy", secret.upper() + " .", "train"),
        pair("near", near, "train"),
        pair("second positive", text(2), "train", near),
        pair("secret query?", text(3), "train"),
        pair("half", " ".join(secret.split()[:30]) + " " + text(4, 30), "train"),
        pair("clean", text(5), "train"),
        pair("Secret  query", secret, "test"),
        pair("also held out", secret, "test"),
    ]
    result = run_global(Split(held_out_groups=["test"]), pairs)
    assert reasons(result) == {
        "copy": "copy_of_held_out",
        "near": "near_duplicate_of_held_out",
        "second positive": "near_duplicate_of_held_out",
        "secret query?": "query_of_held_out",
    }
    assert result.kept["query"].to_pylist() == ["half", "clean"]
    assert result.sides["held_out"]["query"].to_pylist() == ["Secret  query", "also held out"]
    details = result.dropped["drop_detail"].to_pylist()
    assert details[0] == f"of {pairs[6].id}"
    assert details[1].startswith(f"of {pairs[6].id}, Jaccard similarity 0.8")
    assert all(record.split == "train" for record in from_table(result.kept))


def test_leaks_may_be_let_through(run_global):
    secret = text(1)
    pairs = [
        pair("copy", secret, "train"),
        pair("near", secret.replace(secret.split()[30], "changed"), "train"),
        pair("secret query", text(3), "train"),
        pair("secret query", secret, "test"),
    ]
    split = Split(held_out_groups=["test"], near_duplicates=None, same_query="keep")
    assert reasons(run_global(split, pairs)) == {"copy": "copy_of_held_out"}


def test_texts_that_say_nothing_leak_nothing(run_global):
    pairs = [
        pair("", "", "train"),
        Pair("qa", "none", [], "here", "train"),
        Pair("qa", "null", [Doc(None, id="x")], "here", "train"),
        pair("", "", "test"),
        Pair("qa", "null text", [Doc(None, id="x")], "here", "test"),
    ]
    assert len(run_global(Split(held_out_groups=["test"]), pairs).kept) == 3


def test_passages(run_global):
    secret = text(1)
    records = [
        Passage(t, "here", g) for t, g in ((secret, "a"), (text(2), "a"), (f"{secret} x", "b"))
    ]
    result = run_global(Split(held_out_groups=["b"]), records, kind="passages")
    assert result.kept["text"].to_pylist() == [text(2)]
    assert result.dropped["drop_reason"].to_pylist() == ["near_duplicate_of_held_out"]


def held_out_groups(run_global, names, **settings):
    records = [Passage(f"text of {name}", "here", name) for name in names]
    result = run_global(Split(near_duplicates=None, **settings), records, kind="passages")
    return set(result.sides["held_out"]["group"].to_pylist())


def test_a_share_of_the_groups_stays_put_when_groups_are_added(run_global):
    names = [f"group{i}" for i in range(1000)]
    few = held_out_groups(run_global, names[:500], held_out=0.2)
    many = held_out_groups(run_global, names, held_out=0.2)
    assert few == many & set(names[:500])
    assert 150 < len(many) < 250
    assert held_out_groups(run_global, names, held_out=0.1) < many
    assert held_out_groups(run_global, names, held_out=0.2, seed=1) != many
    named = held_out_groups(run_global, names, held_out=0.1, held_out_groups=["group1", "group2"])
    assert named == held_out_groups(run_global, names, held_out=0.1) | {"group1", "group2"}


@pytest.mark.parametrize(("shards", "batch"), [(1, 1000), (4, 3), (9, 1)])
def test_same_rows_for_any_cut(run_global, shards, batch):
    pairs = [pair(f"query {i % 40}", text(i % 30), f"group{i % 7}") for i in range(60)]
    whole = run_global(Split(held_out=0.3), pairs, shards=1)
    cut = run_global(Split(held_out=0.3), pairs, shards=shards, batch=batch)
    assert cut.kept.equals(whole.kept)
    assert cut.dropped.equals(whole.dropped)
    assert cut.sides["held_out"].equals(whole.sides["held_out"])


def test_nothing_at_all(run_global):
    assert len(run_global(Split(held_out=0.5), [], shards=1).kept) == 0


def test_all_held_out(run_global):
    pairs = [pair(f"query {i}", text(i), "only") for i in range(5)]
    result = run_global(Split(held_out_groups=["only"]), pairs)
    assert (len(result.kept), len(result.sides["held_out"])) == (0, 5)


def test_holding_nothing_out_is_refused():
    with pytest.raises(ValueError, match="held_out_groups"):
        Split().check()
