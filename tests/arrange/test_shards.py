"""The stage `shards`: files by source, texts filled in, nothing lost."""

import re
from collections import Counter

import pytest

from curate.arrange.shards import WriteShards
from curate.errors import CurateError
from curate.schema import Doc, Pair, Passage, from_table
from curate.shards import Shards, open_side, read_shards
from curate.stage import Inputs
from tests.contracts.harness import Quiet, shards_of
from tests.contracts.records import make_pairs


class Context:
    threads = 1
    progress = Quiet().advance


@pytest.fixture
def write(tmp_path):
    """Run the stage and return its folder and what it says it built."""

    def write(records, corpus=None, cuts=2, **options):
        source = tmp_path / f"in{len(list(tmp_path.iterdir()))}"
        source.mkdir()
        inputs = Inputs(shards_of(records, "pairs", source, cuts))
        if corpus is not None:
            inputs.records["corpus"] = shards_of(corpus, "passages", source)
        folder = source / "out"
        folder.mkdir()
        built = WriteShards(**options).build(inputs, folder, Context())
        assert (built.inputs, built.kept, built.dropped) == (len(records), len(records), {})
        return folder, built.sides["main"]

    return write


def pairs_of(folder, side):
    return from_table(open_side(folder, side).to_arrow())


def files(side):
    return {info.path: info.rows for info in side.shards}


def test_sources_have_files_of_their_own(write):
    records = make_pairs(2, 90)
    folder, side = write(records)
    counts = Counter(pair.source for pair in records)
    assert sum(files(side).values()) == 90
    for path in files(side):
        assert re.fullmatch(r"[A-Za-z0-9._-]+-00000\.arrow", path)
        sources = {
            p.source for p in from_table(Shards("pairs", [entry(folder, side, path)]).to_arrow())
        }
        assert len(sources) == 1
        assert files(side)[path] == counts[sources.pop()]
    assert files(side)["unknown-00000.arrow"] == counts[None]
    assert Counter(p.id for p in pairs_of(folder, side)) == Counter(p.id for p in records)


def entry(folder, side, path):
    (info,) = [info for info in side.shards if info.path == path]
    return str(folder / path), info


def test_names_of_files_are_safe_and_different(write):
    sources = [
        "a/b",
        "a b",
        "a-b-2",
        "../../etc/passwd",
        "",
        "unknown",
        "\u65e5\u672c",
        "..",
        "A-B",
    ]
    records = [Pair("k", source, [Doc("p")], source, "g") for source in sources]
    folder, side = write([*records, Pair("k", "no source", [Doc("p")], None, "g")])
    assert len(files(side)) == len(sources)
    assert {path.name for path in folder.iterdir()} == set(files(side))
    assert {pair.query for pair in pairs_of(folder, side)} == {*sources, "no source"}


@pytest.mark.parametrize("by", ["source", "kind", "all"])
def test_files_have_at_most_so_many_rows(write, by):
    records = make_pairs(2, 95)
    folder, side = write(records, by=by, max_rows=10)
    assert max(files(side).values()) == 10
    if by == "all":
        assert files(side) == {f"pairs-{i:05d}.arrow": min(10, 95 - 10 * i) for i in range(10)}
        assert [p.id for p in pairs_of(folder, side)] == [p.id for p in records]


def test_the_cut_of_the_input_does_not_matter(write):
    records = make_pairs(2, 60)
    written = [write(records, cuts=cuts, max_rows=7)[1].shards for cuts in (1, 3, 60)]
    assert written[0] == written[1] == written[2]


def test_texts_are_filled_in(write):
    records = make_pairs(2, 90)
    texts = {d.id: d.text for p in records for d in p.positives[:1] if d.text is not None}
    for before, after in zip(
        sorted(records, key=order), sorted(pairs_of(*write(records)), key=order), strict=True
    ):
        for column in ("positives", "negatives", "candidates"):
            docs, filled = getattr(before, column), getattr(after, column)
            assert [doc.id for doc in filled] == [doc.id for doc in docs]
            known = [doc.text if doc.text is not None else texts[doc.id] for doc in docs]
            assert [doc.text for doc in filled] == known
            assert [doc.scores.keys() for doc in filled] == [doc.scores.keys() for doc in docs]


def order(pair):
    return (pair.id, [d.id for d in pair.candidates], str(pair.scores))


def test_a_corpus_knows_what_no_pair_knows(write):
    passage = Passage("a text of the corpus", "s", "g")
    pair = Pair("k", "q", [Doc("p")], "s", "g", negatives=[Doc(None, id=passage.id), Doc("own")])
    with pytest.raises(
        CurateError, match=rf"passage {passage.id} in `negatives`: name .* `corpus`"
    ):
        write([pair])
    (found,) = pairs_of(*write([pair], corpus=[passage]))
    assert [doc.text for doc in found.negatives] == ["a text of the corpus", "own"]


def test_nothing_gives_no_files(write):
    folder, side = write([])
    assert side.shards == []
    assert list(folder.iterdir()) == []


def test_the_artefact_is_a_folder_of_shards(tmp_path):
    from curate.recipe import Recipe
    from tests.contracts.harness import execute
    from tests.contracts.records import Records

    recipe = Recipe({"r": Records(rows=40), "s": WriteShards()})
    artefact = execute(recipe, tmp_path)["s"]
    assert len(read_shards(artefact.folder)) == 40
    assert artefact.account.outputs == {"main": 40}
