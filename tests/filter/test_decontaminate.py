"""`filter.decontaminate`: what it must find and must not, on made texts and on real ones."""

import csv
import gzip
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curate.encode import load_encoder
from curate.engine.local import run
from curate.errors import CurateError, MissingExtraError
from curate.filter.decontaminate import Decontaminate
from curate.recipe import Recipe
from curate.report.blocks import to_markdown
from curate.report.run import run_report
from curate.schema import Doc, Pair, Passage
from curate.stage import Inputs
from curate.text.normalise import words
from tests.contracts.harness import Quiet, shards_of, treat
from tests.contracts.records import HOSTILE, Records
from tests.harvest.conftest import data  # noqa: F401

NUMBERS = [f"word{number}" for number in range(400)]


def pair(query, *texts):
    return Pair("qa", query, [Doc(text, id="d") for text in texts], "here", "g")


def sentence(start, count):
    return " ".join(NUMBERS[start : start + count])


def given(**texts):
    return {"given": texts, "name": "set"}


OFF = {"exact": False, "ngram": None, "jaccard": None, "cosine": None}


def only(**settings):
    """Return settings that leave one method on, for both sides."""
    return {side: OFF | settings for side in ("query", "passage")}


@pytest.fixture
def decontaminate(run_global):
    """Return the details of what is dropped by row of the input, None for what is kept."""

    def decontaminate(records, *against, **settings):
        kind = "passages" if isinstance(records[0], Passage) else "pairs"
        records = [replace(record, id=str(row)) for row, record in enumerate(records)]
        result = run_global(Decontaminate(against=list(against), **settings), records, kind)
        dropped = result.dropped.to_pylist()
        fates = {row["id"]: f"{row['drop_reason']}: {row['drop_detail']}" for row in dropped}
        return [fates.get(str(row)) for row in range(len(records))]

    return decontaminate


# -- sides and roles -------------------------------------------------------------------------------


def test_each_side_is_compared_with_its_own(decontaminate):
    query, passage, text = sentence(0, 4), sentence(10, 30), sentence(50, 9)
    held_out = given(query=[query], passage=[passage], text=[text])
    records = [
        pair(query.upper() + "?", "other"),
        pair(passage, "other"),
        pair(text, "other"),
        pair("other", passage),
        pair("other", query),
        pair("other", text),
        pair("other", "another", passage),
        pair("other", "another"),
        pair(query, passage),
    ]
    found = decontaminate(records, held_out)
    assert found == [
        "query_in_evaluation: set: query 1: exact, the same text",
        None,
        "query_in_evaluation: set: text 1: exact, the same text",
        "passage_in_evaluation: set: passage 1: exact, the same text",
        None,
        "passage_in_evaluation: set: text 1: exact, the same text",
        "passage_in_evaluation: set: passage 1: exact, the same text",
        None,
        "query_in_evaluation: set: query 1: exact, the same text",
    ]
    crossed = decontaminate(records, held_out, crosswise=True)
    assert [row is None for row in crossed] == [False] * 7 + [True, False]
    queries_alone = decontaminate(records, held_out, passage=OFF)
    assert [row is None for row in queries_alone] == [False, True, False] + [True] * 5 + [False]


def test_passages_are_compared_with_and_without_titles(decontaminate, tmp_path):
    folder = beir(tmp_path / "set")
    records = [
        Passage("the first text", "here", "g"),
        Passage("the first text", "here", "g", title="Another title"),
        Passage("text", "here", "g", title="The Title"),
        Passage("The title the first text.", "here", "g"),
        Passage("the second text", "here", "g", title="Untitled"),
        Passage("no such text", "here", "g", title="Title"),
        Passage(None, "here", "g", title="Title"),
    ]
    found = decontaminate(records, str(folder), passage={"jaccard": None})
    assert [row and row.split(": ")[2] for row in found] == [
        "passage a",
        "passage a",
        None,
        "passage a",
        "passage b",
        None,
        None,
    ]


# -- methods ---------------------------------------------------------------------------------------


def shares_words(left, right, size):
    """Tell whether two texts share `size` words in a row, half of them distinct."""
    left, right = (text.split(" ") for text in words(pl.Series([left, right])))
    runs = [
        {tuple(side[i : i + size]) for i in range(len(side) - size + 1)} for side in (left, right)
    ]
    return any(len(set(run)) * 2 >= size for run in runs[0] & runs[1])


@pytest.mark.parametrize("size", [1, 2, 5, 13])
def test_ngrams_are_those_of_brute_force(decontaminate, size):
    rng = random.Random(size)
    vocabulary = ["a", "b", "\u4f60", "d\u00e9", "e", "f", "g", "h", "i"]
    texts = [" ".join(rng.choices(vocabulary[: size + 2], k=rng.randint(1, 40))) for _ in range(60)]
    texts += [
        f"{' '.join(text.split(' ')[:20])} {rng.choice(texts)}" for text in rng.sample(texts, 30)
    ]
    rng.shuffle(texts)
    held_out, records = texts[:10], texts[10:]
    found = decontaminate(
        [pair(None, text) for text in records],
        given(passage=held_out),
        **only(ngram=size, min_words=size),
    )
    expected = [any(shares_words(text, other, size) for other in held_out) for text in records]
    assert [row is not None for row in found] == expected
    assert size < 5 or 0 < sum(expected) < len(expected)


def test_a_short_text_counts_where_it_stands_as_a_whole(decontaminate):
    short, shorter = sentence(0, 9), sentence(20, 7)
    records = [
        pair("q", f"Before. {short}, after"),
        pair("q", sentence(0, 8) + " and so on"),
        pair("q", f"x{short}"),
        pair("q", f"Before. {shorter} after"),
        pair("q", "Before: word8 " + short),
    ]
    found = decontaminate(records, given(passage=[short, shorter]), **only(ngram=13))
    assert [row is not None for row in found] == [True, False, False, False, True]
    assert found[0].endswith("ngram, 100.0% of its n-grams")


def test_rows_of_digits_say_nothing(decontaminate):
    matrix = "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"
    records = [pair("q", f"the matrix {matrix} is one")]
    held_out = given(passage=[f"{sentence(0, 30)} {matrix} {sentence(30, 30)}"])
    assert decontaminate(records, held_out, **only(ngram=13)) == [None]


def test_a_share_of_the_ngrams_may_be_needed(decontaminate):
    held_out = given(passage=[sentence(0, 112)])
    records = [pair("q", sentence(0, count)) for count in (12, 13, 62, 112)]
    records.append(pair("q", f"{sentence(0, 62)} {sentence(0, 62)}"))
    least = {share: only(ngram=13, min_share=share) for share in (0, 0.5, 0.51)}
    found = {share: decontaminate(records, held_out, **s) for share, s in least.items()}
    assert [row and row.split(", ")[1] for row in found[0]] == [
        None,
        "1.0% of its n-grams",
        "50.0% of its n-grams",
        "100.0% of its n-grams",
        "50.0% of its n-grams",
    ]
    assert [row is not None for row in found[0.5]] == [False, False, True, True, True]
    assert [row is not None for row in found[0.51]] == [False, False, False, True, False]


def test_near_duplicates_by_jaccard(decontaminate):
    """Of 40 words with one replaced 37 of 41 pairs of words are shared, with eight far fewer."""
    whole = NUMBERS[:40]
    changed = {n: [*whole] for n in (1, 8)}
    for n, text in changed.items():
        for place in range(3, 40, 40 // n)[:n]:
            text[place] = f"change{place}"
    records = [pair("q", " ".join(text)) for text in changed.values()]
    found = decontaminate(records, given(passage=[" ".join(whole)]), **only(jaccard=0.8))
    assert found == [
        f"passage_in_evaluation: set: passage 1: minhash, Jaccard similarity {37 / 41:.2f}",
        None,
    ]


def test_neighbours_of_an_encoder(model, tmp_path):
    texts = ["read the file", "write a socket", "sort the list of rows", ""]
    records = [pair(text, text) for text in [*texts, "file the read"]]
    encoder = load_encoder(model)
    vectors = encoder.encode_queries([record.query for record in records])
    held_out = encoder.encode_queries(texts[:2])
    expected = (vectors @ held_out.T).max(1) >= 0.9
    for cuts in (1, 3):
        inputs = Inputs(
            shards_of(records, "pairs", tmp_path, cuts), {}, {"encoder": [("m", model)]}
        )
        stage = Decontaminate(
            against=[given(query=texts[:2])], encoder=str(model), **only(cosine=0.9)
        )
        treated = treat(stage, inputs, tmp_path / f"work{cuts}")
        assert [row["query"] for row in treated.dropped] == [
            record.query for record, near in zip(records, expected, strict=True) if near
        ]
        assert treated.dropped[0]["drop_detail"] == "set: query 1: embedding, cosine 1.000"
    assert expected.tolist()[:2] == [True, True]


# -- Unicode, sizes --------------------------------------------------------------------------------


def test_hostile_texts_are_found_as_copies_and_only_those(decontaminate):
    telling = [text for text in HOSTILE if text.strip("\x00 \n\t")]
    records = [pair(text, None) for text in HOSTILE]
    found = decontaminate(records, given(query=telling), **only(exact=True))
    assert [row is not None for row in found] == [text in telling for text in HOSTILE]
    found = decontaminate(records, given(query=["nothing of the kind"]))
    assert not any(found)


def test_forms_of_unicode_are_one_text(decontaminate, tmp_path):
    table = tmp_path / "set.jsonl"
    table.write_text(
        '{"q": "Caf\\u00e9 \\ud83d\\udc4d"}\n{"q": "lone \\ud800 surrogate"}\n', "utf-8"
    )
    records = [pair("CAFE\u0301 \U0001f44d", "x"), pair("cafe", "x"), pair("lone ? surrogate", "x")]
    found = decontaminate(
        records, {"path": str(table), "columns": {"query": "q"}}, query=OFF | {"exact": True}
    )
    assert [row is not None for row in found] == [True, False, True]


def test_scripts_without_spaces_are_compared_by_characters(decontaminate):
    japanese = (
        "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8\u306b\u306f\u7a7a\u767d\u304c\u306a\u3044"
    )
    records = [pair("q", f"\u3053\u308c{japanese}\u3067\u3059"), pair("q", japanese[:12])]
    found = decontaminate(records, given(passage=[japanese]), **only(ngram=13))
    assert [row is not None for row in found] == [True, False]


def test_a_text_of_a_megabyte(decontaminate):
    rng = random.Random(0)
    long = " ".join(f"w{rng.randrange(50_000)}" for _ in range(170_000))
    inside = " ".join(long.split(" ")[100_000:100_030])
    found = decontaminate([pair("q", long), pair("q", "x" * 10**6)], given(passage=[inside]))
    assert [row is not None for row in found] == [True, False]


@pytest.mark.parametrize(("shards", "batch"), [(1, 1000), (5, 3)])
def test_same_rows_for_any_cut(run_global, shards, batch):
    records = [pair(sentence(i, 20), sentence(2 * i, 40)) for i in range(100)]
    stage = Decontaminate(against=[given(query=[sentence(50, 20)], passage=[sentence(10, 30)])])
    result = run_global(stage, records, shards=shards, batch=batch)
    plain = run_global(stage, records, shards=2)
    assert result.dropped.equals(plain.dropped)
    assert 10 < len(plain.dropped) < 90
    assert result.notes == plain.notes


# -- evaluation sets -------------------------------------------------------------------------------


def beir(folder, splits=None):
    folder.mkdir()
    corpus = [
        {"_id": "a", "title": "The title", "text": "the first text"},
        {"_id": "b", "title": "", "text": "the second text"},
    ]
    queries = [{"_id": f"q{n}", "text": f"query number{n}"} for n in range(4)]
    with gzip.open(folder / "corpus.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in corpus)
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    for split, (query, passage, grade) in (splits or {}).items():
        path = folder / (f"qrels/{split}.tsv" if split else "qrels.tsv")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"query-id\tcorpus-id\tscore\n{query}\t{passage}\t{grade}\n")
    return folder


SPLITS = {"train": ("q0", "a", 1), "dev": ("q1", "a", 0), "test": ("q2", "b", 1)}


@pytest.mark.parametrize(
    ("splits", "settings", "queries", "passages"),
    [
        (None, {}, "0123", "ab"),
        ({"": ("q3", "a", 1)}, {}, "3", "ab"),
        (SPLITS, {}, "12", "ab"),
        (SPLITS, {"corpus": "relevant"}, "12", "b"),
        (SPLITS, {"splits": ["train"], "corpus": "relevant"}, "0", "a"),
        (SPLITS, {"splits": ["test", "train"], "corpus": "none"}, "02", ""),
    ],
)
def test_splits_and_corpus_of_a_beir_folder(
    decontaminate, tmp_path, splits, settings, queries, passages
):
    records = [pair(f"query number{n}", "x") for n in range(4)]
    records += [pair("x", "the first text"), pair("x", "the second text")]
    source = {"path": str(beir(tmp_path / "set", splits))} | settings
    found = decontaminate(records, source, **only(exact=True))
    assert [row and row.split(": ")[2] for row in found] == [
        *(f"query q{n}" if str(n) in queries else None for n in range(4)),
        *(f"passage {name}" if name in passages else None for name in "ab"),
    ]


ROWS = [
    {"name": "one", "question": "first query", "answers": ["passage a", "passage b"], "n": 1},
    {"name": "two", "question": None, "answers": [], "n": 2},
    {"name": "three", "question": "third query", "answers": ["passage c"], "n": 3},
]


def arrow_stream(path, table):
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def arrow_file(path, table):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def json_lines(path, table):
    text = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("set.jsonl", json_lines),
        ("set.jsonl.gz", json_lines),
        ("set.parquet", lambda path, table: pq.write_table(table, path)),
        ("set.arrow", arrow_file),
        ("stream.arrow", arrow_stream),
    ],
)
def test_tables(decontaminate, tmp_path, name, write):
    write(tmp_path / name, pa.Table.from_pylist(ROWS))
    source = {
        "path": str(tmp_path / name),
        "columns": {"query": "question", "passage": ["answers"]},
    }
    records = [pair(f"{n} query", "x") for n in ("first", "second", "third")]
    records += [pair("x", f"Passage {letter}!") for letter in "abcd"]
    found = decontaminate(records, source | {"id": "name"}, **only(exact=True))
    assert [row and row.split(": ")[1:3] for row in found] == [
        [name, "query one"],
        None,
        [name, "query three"],
        *([[name, "passage one"]] * 2),
        [name, "passage three"],
        None,
    ]


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited_tables(decontaminate, tmp_path, suffix, delimiter):
    path = tmp_path / f"set.{suffix}"
    path.write_text(f"a{delimiter}b\nfirst text{delimiter}x\nsecond text{delimiter}y\n")
    source = {"path": str(path), "columns": {"text": "a"}}
    found = decontaminate([pair("x", "first text"), pair("second text", "y")], source)
    assert [row.split(": ")[2] for row in found] == ["text 1", "text 2"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "against: 'nowhere' is neither a folder nor a file"),
        ("folder", "a BEIR folder needs corpus.jsonl or corpus.jsonl.gz"),
        ("set.txt", r"against: '.*set.txt' is no table that can be read: .jsonl, .csv"),
        ("set.jsonl", "needs columns, such as"),
        ({"path": "beir", "splits": ["nope"]}, r"no split 'nope': name some of \['train'\]"),
        ("beir", r"no split but train: name some of \['train'\] in `splits`"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_run(tmp_path, source, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "set.txt").touch()
    (tmp_path / "set.jsonl").touch()
    beir(tmp_path / "beir", {"train": ("q0", "a", 1)})
    settings = {"path": source} if isinstance(source, str) else source
    if settings["path"] != "nowhere":
        settings["path"] = str(tmp_path / settings["path"])
    with pytest.raises((ValueError, CurateError), match=message):
        Decontaminate(against=[settings]).check()


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        ('{"a": "x"}\n', {"query": "b"}, r"line 1: no column 'b'; it has \['a'\]"),
        ('{"a": 7}\n', {"query": "a"}, "line 1: needs a text, got 7"),
        ("not json\n", {"query": "a"}, "line 1: not valid JSON"),
        ('{"a": " "}\n', {"query": "a"}, "set.jsonl: an evaluation set without texts"),
    ],
)
def test_bad_rows_are_one_clear_error(run_global, tmp_path, content, columns, message):
    path = tmp_path / "set.jsonl"
    path.write_text(content)
    stage = Decontaminate(against=[{"path": str(path), "columns": columns}])
    with pytest.raises(CurateError, match=message):
        run_global(stage, [pair("q", "p")])


def test_settings_are_checked(monkeypatch):
    for bad in ([], [{}], [{"path": "x", "mteb": "y"}], [{"given": {"title": ["x"]}}]):
        with pytest.raises(ValidationError):
            Decontaminate(against=bad)
    twice = Decontaminate(against=[given(query=["a"]), given(query=["b"])])
    with pytest.raises(ValueError, match="two sets are named 'set': give each a `name`"):
        twice.check()
    monkeypatch.setattr("curate.filter.decontaminate.sets.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="'mteb'"):
        Decontaminate(against=["mteb:NFCorpus"]).check()


def test_the_key_follows_the_contents(tmp_path):
    folder = beir(tmp_path / "set", SPLITS)
    stage = Decontaminate(against=[str(folder)])
    before = stage.material()
    assert stage.material() == before
    (folder / "queries.jsonl").write_text('{"_id": "q1", "text": "another"}\n')
    assert stage.material() != before


# -- the report ------------------------------------------------------------------------------------


def test_the_report_says_what_was_met(tmp_path):
    records = Records(rows=300, seed=5, hostile=0)
    query = "Sort the list of a table and return how many there were."
    stages = {
        "records": records,
        "clean": Decontaminate(
            against=[given(query=[query, "never asked at all"], passage=[sentence(0, 50)])]
        ),
    }
    made = run(Recipe(stages), tmp_path, workers=1, reporter=Quiet())
    report = to_markdown(run_report(made))
    dropped = made.artefacts["clean"].account.dropped["query_in_evaluation"]
    assert dropped > 1
    assert "## clean: evaluation sets met" in report
    assert "| set | query | 2 | 1 | 50.00% |" in report
    assert "| set | passage | 1 | 0 | 0.00% |" in report
    assert f"| set | query | 0 | 0 | {dropped} | 0 | {dropped} |" in report
    notes = made.artefacts["clean"].manifest.info["notes"]
    (example,) = next(t for t in notes["tables"] if t["title"].startswith("the least"))["rows"]
    shown = made.shards("clean", "dropped").to_arrow()["query"].to_pylist()
    assert example[3] in shown
    assert example[2] in query.lower()
    assert example[4] == query


# -- real texts ------------------------------------------------------------------------------------


def changed(text, rng, vocabulary):
    """Replace 5% of the words, one at least."""
    found = text.split()
    for place in rng.sample(range(len(found)), max(1, round(0.05 * len(found)))):
        found[place] = rng.choice(vocabulary)
    return " ".join(found)


def test_planted_texts_are_found_and_clean_ones_are_not(data, run_global):  # noqa: F811
    """Verbatim and with 5% of words changed, of 20 words at least: below that a word is more than 5%."""
    rng, folders = (
        random.Random(0),
        [data / "eval_ir" / name for name in ("cisi", "cranfield", "cosqa")],
    )
    sets = [one.load() for one in Decontaminate(against=list(map(str, folders))).against]
    items = [item for one in sets for item in rng.sample(one.items, 300)]
    vocabulary = sorted({word for item in items for word in item.forms[-1].split()})
    with gzip.open(data / "news" / "ag_news_test.csv.gz", "rt", encoding="utf-8") as file:
        news = [(row[1], row[2]) for row in csv.reader(file)][1:3001]
    sides = {"query": lambda text: pair(text, "no"), "passage": lambda text: pair("no", text)}
    verbatim = [sides[item.role](item.forms[-1]) for item in items]
    long = [item for item in items if len(item.forms[-1].split()) >= 20]
    near = [sides[item.role](changed(item.forms[-1], rng, vocabulary)) for item in long]
    clean = [pair(title, text) for title, text in news]
    stage = Decontaminate(against=list(map(str, folders)))
    dropped = set(
        run_global(stage, [*verbatim, *near, *clean], batch=10_000).dropped["id"].to_pylist()
    )
    found = [np.mean([p.id in dropped for p in part]) for part in (verbatim, near, clean)]
    assert found[0] == 1
    assert found[1] >= 0.99
    assert found[2] < 0.001


# -- MTEB ------------------------------------------------------------------------------------------

MAKE_CACHE = """
import datasets, json, sys
from pathlib import Path
root, tasks = Path(sys.argv[1]), json.loads(sys.argv[2])
for name, configs in tasks.items():
    folder = root / name
    for config, (split, rows) in configs.items():
        (folder / config).mkdir(parents=True)
        datasets.Dataset.from_list(rows).to_parquet(folder / config / f"{split}.parquet")
    entries = [
        f"- config_name: {c}\\n  data_files: [{{split: {s}, path: {c}/{s}.parquet}}]"
        for c, (s, _) in configs.items()
    ]
    (folder / "README.md").write_text("---\\nconfigs:\\n" + "\\n".join(entries) + "\\n---\\n")
    for config in configs:
        datasets.load_dataset(str(folder), config)
"""
LOAD = """
import json, sys
from curate.errors import CurateError
from curate.filter.decontaminate import EvaluationSet
try:
    one = EvaluationSet.model_validate(json.loads(sys.argv[1]))
    one.check()
    print(json.dumps(one.load().items))
except CurateError as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def load_task(tmp_path_factory):
    """Load a set in a process in whose cache two tasks lie as if they had been downloaded."""
    pytest.importorskip("mteb")
    root = tmp_path_factory.mktemp("mteb")
    env = os.environ | {"HF_HOME": str(root / "home"), "HF_HUB_OFFLINE": "1"}
    nfcorpus = {
        "corpus": ("corpus", [{"_id": n, "title": f"T {n}", "text": f"text {n}"} for n in "ab"]),
        "queries": ("queries", [{"_id": q, "text": f"query {q}"} for q in ("q1", "q2")]),
        "default": ("test", [{"query-id": "q1", "corpus-id": "b", "score": 1.0}]),
    }
    sentences = [{"sentence1": "one text", "sentence2": "another", "score": 3.0, "split": "x"}]
    sts = {"default": ("test", sentences)}
    tasks = {"nfcorpus": nfcorpus, "stsbenchmark-sts": sts}
    make = [sys.executable, "-c", MAKE_CACHE, str(root / "made"), json.dumps(tasks)]
    subprocess.run(make, env=env, check=True, capture_output=True)
    cache = root / "home" / "datasets"
    for name in tasks:  # what the library keeps of a folder it keeps of a hub under another name
        (cache / name).rename(cache / f"mteb___{name}")

    def load(source):
        done = subprocess.run(
            [sys.executable, "-c", LOAD, json.dumps(source)], env=env, capture_output=True, text=True,
            cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return load


@pytest.mark.slow
def test_a_retrieval_task_of_mteb(load_task):
    assert load_task("mteb:NFCorpus") == [
        ["query", "q1", ["query q1"]],
        ["passage", "a", ["text a", "T a text a"]],
        ["passage", "b", ["text b", "T b text b"]],
    ]
    relevant = load_task({"mteb": "NFCorpus", "corpus": "relevant"})
    assert [item[1] for item in relevant] == ["q1", "b"]


@pytest.mark.slow
def test_a_task_of_mteb_without_queries(load_task):
    assert load_task("mteb:STSBenchmark") == [
        ["text", "1", ["one text"]],
        ["text", "1", ["another"]],
    ]


@pytest.mark.slow
def test_a_task_that_cannot_be_had_is_named(load_task):
    message = load_task("mteb:SciFact")
    assert (
        "the data of the task 'SciFact' are neither in the cache nor can they be reached" in message
    )
    assert "mteb.get_task('SciFact').load_data()" in message
    assert load_task("mteb:NoSuchTask").startswith("mteb: no task 'NoSuchTask'")
