import pytest

from curate.errors import CurateError
from curate.report.blocks import Item, Lines, Table, to_markdown
from curate.report.inspect import describe, describe_drops, folder_of, walk
from tests.report.conftest import make_pair


def table_of(report, title):
    (section,) = (s for s in report.sections if s.title.startswith(title))
    return next(block for block in section.blocks if isinstance(block, Table))


def items_of(report, title):
    (section,) = (s for s in report.sections if s.title.startswith(title))
    return [block for block in section.blocks if isinstance(block, Item)]


def test_a_folder_of_shards_shows_its_counts_and_records(made):
    run, _ = made
    report = describe(folder_of(run.folder, "out"), "main", rows=2, seed=0)
    assert table_of(report, "Shards").note.startswith("22 pairs in 1 shards, ")
    counts = {row[:2]: row[2:] for row in table_of(report, "Counts").rows}
    assert counts["source", "made"] == ("22", "100.0%")
    assert counts["group", "group-0"] == ("12", "54.5%")
    assert counts["license", "(none)"] == ("22", "100.0%")
    assert len(items_of(report, "2 of 22")) == 2


def test_records_of_one_source_can_be_drawn(made):
    run = made[0] if isinstance(made, tuple) else made
    folder = folder_of(run.folder, "out")
    sources = set(run.shards("out").to_polars(["source"])["source"].drop_nulls())
    for source in sources:
        report = describe(folder, "main", rows=5, seed=0, source=source)
        shown = [dict(item.fields)["source"] for item in report.sections[-1].blocks]
        assert set(shown) == {source}
    with pytest.raises(CurateError, match="no record here has the source 'gone'; there are"):
        describe(folder, "main", rows=1, seed=0, source="gone")


def test_a_side_or_stage_that_is_not_there_is_named(made):
    run, _ = made
    with pytest.raises(CurateError, match="no stage 'x' there; it has read, clean, exact, out"):
        folder_of(run.folder, "x")
    folder = folder_of(run.folder, "clean")
    with pytest.raises(CurateError, match="no side 'held_out'; it has main, dropped"):
        describe(folder, "held_out", 1, 0)
    with pytest.raises(CurateError, match="--stage is for run folders"):
        folder_of(folder, "clean")


def test_drops_are_shown_by_reason(made):
    run, _ = made
    (section,) = describe_drops(folder_of(run.folder, "clean"), rows=5, seed=0).sections
    assert section.title == "query_few_chars: 1"
    (item,) = section.blocks
    assert ("query", "Sum") in item.fields
    of_all = [s.title for s in describe_drops(run.folder, rows=1, seed=0).sections]
    assert of_all == ["clean, query_few_chars: 1", "exact, exact_duplicate: 1"]
    nothing = describe_drops(folder_of(run.folder, "read"), rows=1, seed=0)
    assert isinstance(nothing.sections[0].blocks[0], Lines)


def test_a_pair_is_walked_from_its_source_to_the_shards(made):
    run, pairs = made
    report = walk(run, pairs[5].id[:12])
    assert report.title.startswith(pairs[5].id)
    (read,) = items_of(report, "Where it came from: read")
    assert {("path", "sum.py"), ("line", "5"), ("source", "made")} <= set(read.fields)
    steps = [(row[0], row[1]) for row in table_of(report, "What each stage did").rows]
    assert steps == [(name, "kept") for name in ("read", "clean", "exact", "out")]
    assert report.sections[-1].title == "As it is now: out"


def test_a_dropped_pair_is_walked_to_where_it_was_dropped(made):
    run, pairs = made
    rows = table_of(walk(run, pairs[22].id), "What each stage did").rows
    assert [row[:2] for row in rows] == [("read", "kept"), ("clean", "dropped")]
    assert "dropped as query_few_chars" in rows[-1][2]


def test_copies_are_told_apart_by_their_fate(made):
    run, pairs = made
    rows = table_of(walk(run, pairs[3].id), "What each stage did").rows
    assert [row[:2] for row in rows] == [
        ("read", "kept (2 with this id)"),
        ("clean", "kept (2 with this id)"),
        ("exact", "kept"),
        ("exact", "dropped"),
        ("out", "kept"),
    ]


def test_parents_are_shown_or_said_to_be_missing(made):
    run, pairs = made
    report = walk(run, pairs[23].id)
    (parent,) = items_of(report, "Parents")
    assert parent.title == f"{pairs[7].id}, first in read"
    assert f"{'f' * 32}: not a record of this run" in to_markdown(report)


def test_an_id_that_is_unknown_or_not_unique_is_refused(made):
    run, _ = made
    unknown = make_pair(999).id
    with pytest.raises(CurateError, match=f"begins with '{unknown}'"):
        walk(run, unknown)
    with pytest.raises(CurateError, match=r"23 records have an id .*, …"):
        walk(run, "")
