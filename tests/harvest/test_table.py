"""`harvest.table`: layouts, columns by name, BEIR folders; real tables against counts of other means."""

import gzip
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.harvest.table.source import TableHarvest
from curate.schema import to_table
from tests.harvest.reading import harvested


@pytest.fixture
def harvest(tmp_path):
    """Read rows given as objects (to JSON lines), or a text as it is."""

    def read(rows, name="a.jsonl", **settings):
        path = tmp_path / name
        text = rows if isinstance(rows, str) else "\n".join(json.dumps(row) for row in rows)
        path.write_text(text, "utf-8")
        return harvested(TableHarvest(path=str(path), **settings))

    return read


def texts(pair):
    return pair.query, [doc.text for doc in pair.positives], [doc.text for doc in pair.negatives]


# -- layouts ---------------------------------------------------------------------------------------

CTX = [{"title": "T", "text": "good"}], [{"title": "", "text": "bad"}]
LAYOUTS = {
    "flagembedding": {"query": "q", "pos": ["good"], "neg": ["bad"], "id": 3},
    "sentence-transformers": {"anchor": "q", "positive": "good", "negative": "bad"},
    "n-tuples": {"query": "q", "positive": "good", "negative_1": "bad", "negative_2": None},
    "passage": {"query": "q", "passage": "good", "negatives": ["bad"]},
    "places": ["q", "good", "bad"],
}


@pytest.mark.parametrize("row", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_in_common_use_are_known(harvest, row):
    (pair,) = harvest([row]).pairs
    assert texts(pair) == ("q", ["good"], ["bad"])
    assert pair.kind == "query-passage"
    assert [doc.origin for doc in pair.negatives] == ["gold"]


def test_tevatron(harvest):
    good, bad = CTX
    row = {"query_id": "7", "query": "q", "positive_passages": good, "negative_passages": bad}
    (pair,) = harvest([row]).pairs
    assert texts(pair) == ("q", ["T good"], ["bad"])
    assert json.loads(pair.meta)["id"] == "7"


def test_berri(harvest):
    good, bad = CTX
    hard = [{"title": None, "text": ["hard"]}, {"title": "T", "text": "good"}]
    row = {"question": "find it [SEP] q", "answers": ["a"], "positive_ctxs": good}
    (pair,) = harvest([row | {"negative_ctxs": bad, "hard_negative_ctxs": hard}]).pairs
    assert texts(pair) == ("q", ["T good"], ["hard", "bad"])
    assert pair.task == "find it"
    full = [{"query": "find it </s> q", "document": "good", "label": i} for i in (1, 0)]
    result = harvest(full)
    assert [(pair.task, *texts(pair)) for pair in result.pairs] == [("find it", "q", ["good"], [])]
    assert result.reasons == {"low_label": 1}


def test_medi(harvest):
    row = {"query": ["Ask", "q"], "pos": ["Answer", "good"], "neg": ["Answer", "bad"]}
    result = harvest(json.dumps([row | {"task_name": "squad"}] * 2), "a.json")
    for pair in result.pairs:
        assert texts(pair) == ("q", ["good"], ["bad"])
        assert (pair.task, pair.source) == ("Ask", "table/squad")
    many = row | {"pos": [["Answer", "one"], ["Answer", "two"]], "task_name": "x"}
    assert texts(harvest([many]).pairs[0])[1] == ["one", "two"]


def test_sets_and_questions_and_titles(harvest):
    (pair,) = harvest([{"set": ["a", "b", "c"]}]).pairs
    assert texts(pair) == ("a", ["b", "c"], [])
    assert (pair.kind, pair.symmetric) == ("paraphrase", True)
    (pair,) = harvest([{"question": "q", "answer": "a"}]).pairs
    assert pair.kind == "question-answer"
    (pair,) = harvest([{"title": "t", "abstract": "a"}]).pairs
    assert (pair.kind, *texts(pair)) == ("title-abstract", "t", ["a"], [])


def test_triples_of_ms_marco(harvest):
    text = 'what is "it"\tit is a thing, they say\tnothing of the kind\n'
    (pair,) = harvest(text, "triples.train.small.tsv").pairs
    assert texts(pair) == ('what is "it"', ["it is a thing, they say"], ["nothing of the kind"])


def test_a_text_where_a_list_may_stand_is_one_item(harvest):
    """FlagEmbedding once trained on single characters (its issue 1388)."""
    (pair,) = harvest([{"query": "q", "pos": "good", "neg": "bad"}]).pairs
    assert texts(pair) == ("q", ["good"], ["bad"])


def test_scores_of_teachers_stay_with_their_documents(harvest):
    row = {
        "query": "q",
        "pos": ["a", "b"],
        "neg": ["c"],
        "pos_scores": ["0.9", 1],
        "neg_scores": [0],
    }
    (pair,) = harvest([row]).pairs
    assert [doc.scores for doc in pair.positives] == [{"teacher": 0.9}, {"teacher": 1.0}]
    assert pair.negatives[0].scores == {"teacher": 0.0}
    (pair,) = harvest([row | {"neg_scores": [0, 1]}]).pairs
    assert pair.negatives[0].scores == {}


# -- columns by name -------------------------------------------------------------------------------


def test_columns_by_name(harvest):
    row = {"q": {"text": "find", "how": "search"}, "yes": ["good", "better"], "no1": "bad"}
    more = {"g": "2.5", "s": -1, "lang": "de", "lic": "CC0-1.0", "u": "http://x", "t": 7, "i": "id"}
    columns = {"query": "q.text", "positive": "yes", "negative": ["no1", "no2"], "task": "q.how"}
    columns |= {"label": "g", "score": "s", "language": "lang", "license": "lic", "url": "u"}
    (pair,) = harvest([row | more], columns={**columns, "group": "t", "id": "i"}, kind="mine").pairs
    assert texts(pair) == ("find", ["good", "better"], ["bad"])
    assert (pair.kind, pair.task, pair.language, pair.license) == (
        "mine",
        "search",
        "de",
        "CC0-1.0",
    )
    assert (pair.url, pair.group, pair.scores) == ("http://x", "7", {"score": -1.0})
    assert [doc.label for doc in pair.positives] == [2.5, 2.5]
    assert json.loads(pair.meta) == {"file": "a.jsonl", "byte": 0, "id": "id"}


def test_only_the_columns_of_the_layout_are_read(tmp_path):
    rows = {"anchor": ["a"], "positive": ["b"], "negative": ["c"], "vector": [[1.0] * 9]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    source = TableHarvest(path=str(tmp_path))
    assert source.needs(list(rows)) == ["anchor", "positive", "negative"]
    assert texts(harvested(source).pairs[0]) == ("a", ["b"], ["c"])


def test_title_and_text_are_a_passage_or_a_pair(harvest):
    rows = [{"h": "title", "b": "body"}, {"h": "Title", "b": "Title and more"}]
    columns = {"title": "h", "text": "b"}
    assert [texts(p)[:2] for p in harvest(rows, columns=columns).pairs] == [
        ("title", ["body"]),
        ("Title", ["Title and more"]),
    ]
    found = harvest([row | {"q": "which"} for row in rows], columns=columns | {"query": "q"}).pairs
    assert [texts(p)[1] for p in found] == [["title body"], ["Title and more"]]


def test_columns_that_are_not_there_are_refused(harvest):
    with pytest.raises(ValueError, match=r"columns: say which .* there are: x, y"):
        harvest([{"x": "a", "y": "b"}])
    with pytest.raises(ValueError, match="there are: query, passage"):
        harvest([{"query": "a", "passage": "b"}], columns={"query": "wrong", "positive": "passage"})


def test_rows_of_another_layout_are_drops(harvest):
    result = harvest([{"query": "a", "passage": "b"}, {"x": 1}, {"question": "c", "answer": "d"}])
    assert result.kinds == {"query-passage": 1, "question-answer": 1}
    assert result.reasons == {"no_layout": 1}


# -- what is no pair -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"query": "", "pos": ["a"]}, "empty"),
        ({"query": " \0 ?!", "pos": ["a"]}, "empty"),
        ({"query": "q", "pos": []}, "no_positive"),
        ({"query": "q", "pos": None}, "no_positive"),
        ({"query": "q", "pos": ["", " "]}, "empty"),
        ({"query": "q", "pos": "Q"}, "same_text"),
        ({"query": "q", "pos": "[deleted]"}, "deleted"),
        ({"query": "q", "pos": "https://a.b/c http://d.e"}, "only_url"),
        ({"query": {"a": 1}, "pos": "a"}, "bad_value"),
        ({"query": 5, "pos": "a"}, "bad_value"),
        ({"query": "q", "pos": [{"text": 5}]}, "bad_value"),
        ({"query": "q", "pos": "x" * 1_000_001}, "bad_value"),
        ({"query": "q", "pos": "a", "pos_scores": ["high"]}, "bad_value"),
    ],
)
def test_what_says_nothing_is_a_drop(harvest, row, reason):
    result = harvest([row])
    assert (result.reasons, result.pairs) == ({reason: 1}, [])
    assert result.drops[0].detail.startswith("a.jsonl: byte 0: ")


def test_negatives_that_are_positives_are_left_out(harvest):
    row = {"query": "q", "pos": ["good"], "neg": ["Good", "q", "", "bad", "bad"]}
    assert texts(harvest([row]).pairs[0])[2] == ["bad"]


def test_labels_decide_if_asked(harvest):
    rows = [{"query": "q", "passage": f"p{i}", "grade": str(i)} for i in range(4)]
    result = harvest(rows, columns={"query": "query", "positive": "passage", "label": "grade"})
    assert [pair.positives[0].label for pair in result.pairs] == [0, 1, 2, 3]
    columns = {"query": "query", "positive": "passage", "label": "grade"}
    result = harvest(rows, columns=columns, min_label=2)
    assert [pair.positives[0].label for pair in result.pairs] == [2, 3]
    assert result.reasons == {"low_label": 2}


def test_markup_is_resolved_if_asked(harvest):
    rows = [{"query": "a &gt; b", "passage": "<p>one</p><p>two &amp; three</p>"}]
    assert texts(harvest(rows).pairs[0])[0] == "a &gt; b"
    assert texts(harvest(rows, markup="entities").pairs[0])[0] == "a > b"
    found = harvest(rows, markup="html").pairs[0]
    assert texts(found)[:2] == ("a > b", ["one\n\ntwo & three"])


def test_what_has_no_group_is_one_with_its_query_or_its_file(harvest):
    rows = [
        {"query": "q", "passage": "a"},
        {"query": "q", "passage": "b"},
        {"query": "r", "passage": "c"},
    ]
    one, two, three = harvest(rows).pairs
    assert one.group == two.group != three.group
    assert {pair.group for pair in harvest(rows, group="file").pairs} == {"a.jsonl"}


def test_lone_surrogates_and_nul_do_not_reach_arrow(harvest):
    text = '{"query": "q\\ud83d\\u0000", "passage": "p\\udc00", "id": "\\ud800"}'
    result = harvest(text)
    assert texts(result.pairs[0]) == ("q\ufffd", ["p\ufffd"], [])
    to_table(result.pairs, "pairs")


# -- passages --------------------------------------------------------------------------------------


def test_rows_as_passages(harvest):
    rows = [{"_id": "1", "title": "T", "text": "body"}, {"_id": "2", "text": "alone"}, {"_id": "3"}]
    result = harvest(rows, record="passages", language="en")
    assert [(p.title, p.text, p.language) for p in result.passages] == [
        ("T", "body", "en"),
        (None, "alone", "en"),
    ]
    assert json.loads(result.passages[0].meta)["id"] == "1"
    assert result.reasons == {"no_layout": 1}
    assert TableHarvest(path="x", record="passages").gives(None) == {"main": "passages"}
    result = harvest([{"w": "words"}], record="passages", columns={"text": "w"})
    assert result.passages[0].text == "words"


# -- BEIR ------------------------------------------------------------------------------------------


@pytest.fixture
def beir(tmp_path):
    """Write a collection in BEIR's layout."""

    def write(qrels, name="qrels.tsv", corpus=None):
        docs = corpus or [{"_id": str(i), "title": f"t{i}", "text": f"d{i}"} for i in range(5)]
        with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as file:
            file.write("\n".join(json.dumps(doc) for doc in docs))
        queries = [{"_id": q, "text": f"query {q}"} for q in "ab"] + [{"_id": "c", "text": ""}]
        (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(qrels)
        return str(tmp_path)

    return write


HEADER = "query-id\tcorpus-id\tscore\n"


def test_judgements_join_queries_and_documents(beir):
    path = beir(
        HEADER + "a\t1\t2\na\t2\t0\nb\t1\t1\nb\t9\t1\nz\t1\t1\nc\t1\t1\nb\t1\t1\na\t3\tx\na\t3\n"
    )
    result = harvested(TableHarvest(path=path))
    assert [
        (p.query, p.positives[0].text, p.positives[0].label, p.group) for p in result.pairs
    ] == [
        ("query a", "t1 d1", 2.0, "table/a"),
        ("query b", "t1 d1", 1.0, "table/b"),
    ]
    meta = json.loads(result.pairs[0].meta)
    assert meta == {"file": "qrels.tsv", "byte": 25, "query_id": "a", "document_id": "1"}
    assert result.reasons == {
        "low_label": 1,
        "unknown_document": 1,
        "unknown_query": 1,
        "empty": 1,
        "duplicate": 1,
        "bad_value": 1,
        "damaged": 1,
    }


def test_judgements_of_a_split_and_of_trec(beir):
    path = beir(HEADER + "a\t1\t1\n", "qrels/train.tsv")
    beir("a 0 2 1\nb 0 3 2\n".replace(" ", "\t"), "qrels/test.tsv")
    assert len(harvested(TableHarvest(path=path)).pairs) == 3
    assert len(harvested(TableHarvest(path=path, split="test")).pairs) == 2
    assert len(harvested(TableHarvest(path=path, record="passages")).passages) == 5
    with pytest.raises(ValueError, match="no judgements of 'dev'"):
        TableHarvest(path=path, split="dev").check()


# -- the recipe ------------------------------------------------------------------------------------


def test_where_a_file_lies_is_not_in_the_key(tmp_path):
    assert "path" not in TableHarvest(path=str(tmp_path)).row_settings()


# -- real data -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_flattened_reddit_gives_all_its_pairs_though_some_files_are_damaged(data):
    """Counted by a regular expression: 64,856 pairs, of which 96 say nothing and are drops."""
    folder = data / "reddit" / "statement_response"
    count = damaged = 0
    for path in sorted(folder.glob("*.json.gz")):
        text = gzip.decompress(path.read_bytes()).decode()
        count += len(re.findall(r'"aSentId": ?\d+, ?"answer": ?"', text))
        damaged += len(re.findall(r'"corpus": ?"reddit"\}\s*\{', text))
    result = harvested(TableHarvest(path=str(folder), group="file", markup="entities"))
    assert count == 64_856
    empty = {"only_url", "same_text", "empty", "deleted"}
    dropped = sum(n for reason, n in result.reasons.items() if reason in empty)
    assert len(result.pairs) + dropped == count
    assert len(result.pairs) >= 64_700
    assert result.reasons["damaged"] == damaged
    assert result.reasons["truncated"] == 1
    assert len({pair.group for pair in result.pairs}) == 135
    assert not any("&gt;" in pair.query for pair in result.pairs[:5000])


@pytest.mark.parametrize(
    ("name", "judged", "zero"),
    [
        ("cranfield", 1837, 225),
        ("cisi", 3114, 0),
        ("cosqa", 1000, 0),
        ("msmarco_dl19_subset5k", 4102, 0),
    ],
)
def test_beir_folders_give_a_pair_for_every_positive_judgement(data, name, judged, zero):
    """The figures are those of the data's own description; one document of cranfield is empty."""
    result = harvested(TableHarvest(path=str(data / "eval_ir" / name)))
    assert len(result.pairs) + result.reasons["empty"] == judged - zero
    assert result.reasons["low_label"] == zero
    assert result.reasons["empty"] <= 1


def test_a_csv_of_news_without_a_header(data):
    path = str(data / "news" / "ag_news_test.csv.gz")
    result = harvested(TableHarvest(path=path, columns={"title": "1", "text": "2"}))
    assert len(result.pairs) == 7600
    assert result.kinds == {"title-text": 7600}


def test_forum_texts_lose_their_markup_and_what_is_short_goes(tmp_path):
    rows = [
        {
            "query": "What does &gt; *mean* in [this](http://x.org)?",
            "positive": "> It\n\nis **more**.",
        },
        {"query": "Why?", "positive": "Because it is so, and has been for years."},
        {"query": "Why is the sky blue today?", "positive": "**No.**"},
    ]
    path = tmp_path / "forum.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = harvested(
        TableHarvest(path=str(path), markup="markdown", min_query_chars=10, min_passage_chars=8)
    )
    (pair,) = found.pairs
    assert pair.query == "What does > mean in this?"
    assert "**" not in pair.positives[0].text
    assert found.reasons == {"short": 2}
