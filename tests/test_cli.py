"""The command line over a real, small recipe: harvested, trained on and evaluated in seconds."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from curate import Recipe, __version__, read_shards
from curate.cli import app
from curate.engine.store import Store
from tests.report.conftest import HOSTILE, make_pair, write_pairs

CURATE = [sys.executable, "-c", "from curate.cli import main; main()"]
RECIPE = """\
params: {count: 2}
stages:
  code:   {harvest.python: {packages: [click, rich, joblib], stdlib: false, topics: false}}
  clean:  {filter.rules: {}}
  parts:  {split: {held_out_groups: [click]}}
  model:  {train.contrastive: {epochs: 1, dimension: 16, tokenizer: {vocabulary: 500}}}
  found:  {mine.retrieve: {from: parts, encoder: model, top: 10}}
  hard:   {mine.select: {count: "${count}"}}
  out:    {shards: {}}
  proof:  {evaluate.retrieval: {from: parts.held_out, models: [model], samples: 100}}
"""
STAGES = ["code", "clean", "parts", "model", "found", "hard", "out", "proof"]


def call(*arguments, **options):
    return CliRunner().invoke(app, [str(a) for a in arguments], **options)


def refused(code, *arguments):
    """Call a command that must fail in a way that the user can mend; return its lines."""
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert all(line.startswith("error: ") for line in result.stderr.splitlines())
    return [line.removeprefix("error: ") for line in result.stderr.splitlines()]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A recipe that has run, as a user runs it: its folder, and what the process said."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "small.yaml").write_text(RECIPE)
    done = subprocess.run(
        [*CURATE, "run", "small.yaml", "--workers", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture
def here(world, tmp_path, monkeypatch):
    """A copy of that folder, to change."""
    folder = shutil.copytree(world[0], tmp_path / "here", symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def latest(folder):
    return (folder / "output" / "runs" / "latest").resolve()


def reused(folder):
    rows = json.loads((latest(folder) / "run.json").read_bytes())["stages"]
    return [row["name"] for row in rows if row["reused"]]


# -- run, plan -------------------------------------------------------------------------------


def test_run_shows_progress_and_a_report(world):
    folder, done = world
    progress = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert progress == STAGES
    for title in (
        "What became of the records",
        "Evaluation: proof",
        "Pairs of `out`, for example",
        "Dropped, for example",
        "A search: proof",
        "Where everything lies",
    ):
        assert f"\n{title}\n" in done.stdout
    assert re.search(r"^bm25 .*0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", done.stdout, re.MULTILINE)
    assert re.search(r"^model - bm25 +nDCG@10 +[+-]0\.\d{3} \[", done.stdout, re.MULTILINE)
    report = (latest(folder) / "report.md").read_text()
    assert report.startswith(f"# Run {latest(folder).name}\n\n## What became of the records\n\n| ")
    assert f"model        output/runs/{latest(folder).name}/stages/model/" in done.stdout


def test_the_commands_that_the_report_offers_work(world, monkeypatch):
    folder, done = world
    monkeypatch.chdir(folder)
    offered = re.findall(r"^ +curate (inspect .+)$", done.stdout, re.MULTILINE)
    assert len(offered) == 3
    for line in offered:
        assert call(*line.split()).exit_code == 0


def test_an_unchanged_run_reuses_everything(here):
    assert call("run", "small.yaml").exit_code == 0
    assert reused(here) == STAGES


def test_a_changed_setting_runs_only_what_depends_on_it(here):
    planned = call("plan", "small.yaml", "--set", "params.count=1")
    assert "2 of 8 stages would run; 6 are reused" in planned.stdout
    before = (here / "output" / "runs" / "latest").readlink()
    assert call("run", "small.yaml", "--set", "params.count=1", "--workers", 1).exit_code == 0
    assert (here / "output" / "runs" / "latest").readlink() != before
    assert reused(here) == [s for s in STAGES if s not in ("hard", "out")]
    assert call("run", "small.yaml", "--set", "proof.samples=200").exit_code == 0
    assert reused(here) == STAGES[:-1]


def test_plan_before_a_run_makes_no_folder(here):
    planned = call("plan", "small.yaml", "--output", "fresh")
    assert planned.exit_code == 0
    assert "8 of 8 stages would run" in planned.stdout
    assert re.search(r"^code +run: \d+ parts +outside +harvest\.python: Read", planned.stdout, re.M)
    assert re.search(r"^found +run +parts; encoder: model +mine\.retrieve", planned.stdout, re.M)
    assert not Path("fresh").exists()


def test_plan_says_how_far_a_stage_is(here):
    shutil.rmtree(next(here.glob("output/store/artefacts/filter.rules-*")))
    planned = call("plan", "small.yaml").stdout
    assert re.search(r"^clean +go on: (\d+) of \1 parts are done", planned, re.MULTILINE)


def test_a_busy_artefact_is_not_waited_for_if_so_asked(here):
    artefact = json.loads((latest(here) / "run.json").read_bytes())["stages"][-1]["artefact"]
    shutil.rmtree(here / "output" / "store" / "artefacts" / artefact)
    with Store(here / "output" / "store").lock(artefact, False, print):
        result = call("run", "small.yaml", "--no-wait")
    assert result.exit_code == 3
    error = result.stderr.splitlines()[-1]
    assert error.startswith(f"error: {artefact} is being computed by process {os.getpid()}")


def test_an_interrupted_run_says_that_it_goes_on(here):
    process = subprocess.Popen(
        [*CURATE, "run", "small.yaml", "--output", "other", "--workers", "1"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("code: ")
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("error: interrupted; what is finished is kept")
    assert "Traceback" not in said
    assert re.search(
        r"^code +be reused", call("plan", "small.yaml", "--output", "other").stdout, re.M
    )


# -- inspect, stages -------------------------------------------------------------------------


def test_inspect_shows_runs_folders_and_drops(here):
    assert "stages: code, clean, parts" in call("inspect", "output/runs/latest").stdout
    shown = call("inspect", "output/runs/latest/stages/out", "--rows", 2)
    assert re.search(r"^source +python-docstrings +[\d,]+ +\d+\.\d%", shown.stdout, re.MULTILINE)
    assert "drawn at random" in shown.stdout
    held_out = call("inspect", "output/runs/latest", "--stage", "parts", "--side", "held_out")
    assert re.search(r"^group +click +\d+ +100\.0%", held_out.stdout, re.MULTILINE)
    dropped = call("inspect", "output/runs/latest", "--stage", "code", "--dropped", "--rows", 1)
    assert re.search(r"^short_summary: \d+$", dropped.stdout, re.MULTILINE)
    model = call("inspect", "output/runs/latest", "--stage", "model")
    assert "setting dimension" in model.stdout
    assert "model.safetensors" in model.stdout
    assert "recall@100" in call("inspect", "output/runs/latest/stages/proof").stdout


def test_inspect_walks_a_pair_back_to_its_file(here):
    pairs = read_shards("output/runs/latest/stages/out").to_polars(["id", "source", "negatives"])
    mined = pairs.filter(pl.col("negatives").list.len() > 0, source="python-docstrings")
    pair = mined["id"][0]
    shown = call("inspect", pair[:10]).stdout
    assert shown.startswith(pair)
    assert re.search(r"^ +path (rich|joblib)/.+\.py$", shown, re.MULTILINE)
    assert re.search(r"^ +line \d+$", shown, re.MULTILINE)
    assert re.search(r"^parts +kept +split: None -> train", shown, re.MULTILINE)
    assert re.search(r"^hard +kept +negatives: 0 -> [12]", shown, re.MULTILINE)
    assert shown == call("inspect", pair, "--run", "output/runs/latest").stdout


def test_inspect_refuses_what_it_does_not_know(here):
    assert "neither a folder nor an id" in refused(1, "inspect", "nothing")[0]
    assert "neither a folder nor an id" in refused(1, "inspect", "abc12")[0]
    assert "has an id that begins with 'abcdef0123'" in refused(1, "inspect", "abcdef0123")[0]
    assert "no manifest here" in refused(1, "inspect", ".")[0]
    assert "not a run folder" in refused(1, "inspect", "abcdef", "--output", "none")[0]


def test_record_text_has_no_power_over_the_terminal(tmp_path):
    source = write_pairs(tmp_path / "p[b]airs", [make_pair(1, query=HOSTILE), make_pair(2)])
    recipe = tmp_path / "hostile.yaml"
    recipe.write_text(f'stages:\n  read: {{harvest.shards: {{path: "{source}"}}}}\n')
    shown = [
        call("run", recipe, "--output", tmp_path / "output").stdout,
        call("inspect", source).stdout,
        call("inspect", make_pair(1, query=HOSTILE).id, "--output", tmp_path / "output").stdout,
    ]
    for text in shown:
        assert "Open [bold]the[/bold] red window | <b>now</b> `x`" in text
        assert not {"\x1b", "\x07", "\u202e"} & set(text)


def test_stages_lists_and_describes():
    listed = call("stages").stdout
    assert re.search(r"^harvest\.shards +nothing +pairs +Read a folder", listed, re.MULTILINE)
    described = call("stages", "mine.select").stdout
    assert re.search(r"^below +number > 0, <= 1 +0\.95 +The highest share", described, re.MULTILINE)
    assert refused(2, "stages", "mine.selct") == [
        "no stage is called 'mine.selct'; did you mean 'mine.select'?"
    ]


# -- evaluate, train -------------------------------------------------------------------------


def test_evaluate_on_a_beir_folder(here):
    beir = here / "beir"
    (beir / "qrels").mkdir(parents=True)
    texts = ["def read(file): ...", "def write(file, text): ...", "class Table: ..."]
    lines = [json.dumps({"_id": f"d{n}", "title": "", "text": t}) for n, t in enumerate(texts)]
    (beir / "corpus.jsonl").write_text("\n".join(lines))
    queries = [{"_id": f"q{n}", "text": q} for n, q in enumerate(["read file", "write text"])]
    (beir / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\td0\t1\nq1\td1\t1\n")
    model = "output/runs/latest/stages/model"
    shown = call("evaluate", model, "beir").stdout
    assert re.search(r"^bm25 .*\n^model +\d\.\d{3} \[", shown, re.MULTILINE)
    alone = json.loads(call("evaluate", model, "beir", "--no-bm25", "--json").stdout)
    assert [system["name"] for system in alone["systems"]] == ["model"]
    assert alone["queries"] == 2
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq0\tnope\t1\n")
    (error,) = refused(1, "evaluate", model, "beir")
    assert error.endswith("test.tsv, line 2: there is no passage 'nope'")
    assert (
        "not a model folder" in refused(1, "evaluate", "beir", "output/runs/latest/stages/out")[0]
    )


def test_evaluate_on_an_sts_table(here):
    rows = ["read file\tread files\t5", "read file\tdraw table\t1", "open a path\ta path\t3"]
    Path("sts.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    shown = call("evaluate", "output/runs/latest/stages/model", "sts.tsv").stdout
    assert re.search(r"^spearman +-?\d", shown, re.MULTILINE)


def test_train_is_a_run_that_resumes(here):
    shards = latest(here).relative_to(here) / "stages" / "out"
    Path("train.yaml").write_text(f"pairs: {shards}\ndimension: 8\nepochs: 1\nnegatives: 1\n")
    first = call("train", "train.yaml", "--workers", 1)
    assert first.exit_code == 0, first.output
    assert "Evaluation" not in first.stdout
    weights = latest(here) / "stages" / "model" / "0_StaticEmbedding" / "model.safetensors"
    assert weights.stat().st_size > 0
    assert call("train", "train.yaml").exit_code == 0
    assert reused(here) == ["pairs", "model"]
    Path("train.yaml").write_text(f"pairs: {shards}\ndimension: 4\nepochs: 1\noutput: elsewhere\n")
    assert call("train", "train.yaml", "--workers", 1).exit_code == 0
    assert Path("elsewhere/runs/latest/stages/model/modules.json").is_file()


def test_train_refuses_with_the_line_of_its_file(here):
    shards = "output/runs/latest/stages/out"
    Path("t.yaml").write_text(f"pairs: {shards}\n\nepochz: 3\ndimension: x\n")
    lines = refused(2, "train", "t.yaml")
    assert "t.yaml:3: stage model (train.contrastive), epochz: no such setting; did you" in lines[1]
    assert "t.yaml:4: stage model (train.contrastive), dimension: " in lines[0]
    Path("t.yaml").write_text("epochs: 3\npairs: [a]\n")
    assert refused(2, "train", "t.yaml")[0].startswith("t.yaml:2: pairs: give the folder")
    Path("t.yaml").write_text("epochs: 3\npairs: nowhere\n")
    (error,) = refused(2, "train", "t.yaml")
    assert error.startswith("t.yaml:2: stage pairs (harvest.shards): ")
    assert "no manifest here" in error
    assert refused(2, "train", "none.yaml") == [
        "none.yaml: cannot read the configuration: No such file or directory"
    ]


# -- clean -----------------------------------------------------------------------------------


def test_clean_lists_asks_and_removes(here):
    store = here / "output" / "store"
    assert call("run", "small.yaml", "--set", "hard.count=1").exit_code == 0
    assert "every artefact belongs to a run" in call("clean", "--yes").stdout
    listed = call("clean", "--keep-runs", 1, "--dry-run").stdout
    assert re.search(r"^run +small-\S+ +1 ", listed, re.MULTILINE)
    assert re.search(r"^artefact +mine\.select-\w+ +1 ", listed, re.MULTILINE)
    artefacts = set((store / "artefacts").iterdir())
    refusal = call("clean", "--keep-runs", 1, input="n\n")
    assert refusal.exit_code == 1
    assert set((store / "artefacts").iterdir()) == artefacts
    assert "every artefact belongs" in call("clean", "--keep-runs", 1, "--older-than", "1d").stdout
    removed = call("clean", "--keep-runs", 1, input="y\n")
    assert re.search(r"removed \d+ folders, ", removed.stdout)
    gone = {path.name.split("-")[0] for path in artefacts - set((store / "artefacts").iterdir())}
    assert gone == {"mine.select", "shards"}
    assert len(list((here / "output" / "runs").iterdir())) == 2  # one, and the link to it
    assert call("run", "small.yaml", "--set", "hard.count=1").exit_code == 0
    assert reused(here) == STAGES


def test_clean_leaves_a_store_in_use_alone(here):
    shutil.rmtree(here / "output" / "runs")
    with Store(here / "output" / "store").in_use(print):
        result = call("clean", "--yes")
    assert result.exit_code == 3
    assert f"the run of process {os.getpid()} works here" in result.stderr
    assert call("clean", "--yes").exit_code == 0


# -- errors ----------------------------------------------------------------------------------

HEAD = "stages:\n  code: {harvest.python: {packages: [click]}}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            HEAD + "  clean: {filter.rules: {min_query_char: 3}}\n",
            r":3: stage clean \(filter\.rules\), min_query_char: no such setting; did you mean",
        ),
        (
            HEAD + "  clean:\n    filter.rules:\n      min_query_chars: many\n",
            r":5: stage clean \(filter\.rules\), min_query_chars: .*integer.*, got 'many'",
        ),
        (
            HEAD + "  found: {mine.retrieve: {encoder: models/none}}\n",
            r":3: stage found \(mine\.retrieve\), encoder: 'models/none' is neither a stage above",
        ),
        (
            HEAD + "  hard: {mine.select: {from: code.passages}}\n",
            r":3: stage hard \(mine\.select\), from: takes pairs, but code\.passages gives pass",
        ),
        (HEAD + "  clean: {filter.rule: {}}\n", r":3: stage clean: no stage is called 'filter\.ru"),
        (
            HEAD + "  a: {filter.rules: {from: b}}\n  b: {filter.rules: {}}\n",
            r":3: stage a \(filter\.rules\), from: no stage above is named 'b'",
        ),
        (HEAD + "  clean: {filter.rules: {\n", r":\d: not valid YAML: "),
        (HEAD + "  code: {filter.rules: {}}\n", r":3: 'code' appears twice"),
        (
            HEAD + '  clean: {filter.rules: {min_query_chars: "${k}"}}\n',
            r":3: stage|:3: no parameter 'k'",
        ),
        ("[1]\n", r": a recipe is a mapping"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_recipe_is_one_line_with_its_place(tmp_path, monkeypatch, command, text, expected):
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text(text)
    (line,) = refused(2, command, "wrong.yaml")
    assert re.match("wrong\\.yaml(" + expected + ")", line), line
    assert os.listdir() == ["wrong.yaml"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("params.k", "write params.NAME=VALUE"),
        ("params.k=3", "no such parameter; there are count"),
        ("params.count.x=3", "count is 2, which has no parts to set"),
        ("clen.k=3", "no such stage; did you mean 'clean'?"),
        ("hard.count={", "'{' is not a YAML value"),
    ],
)
def test_a_wrong_override_is_one_line(here, override, expected):
    (line,) = refused(2, "plan", "small.yaml", "--set", override)
    assert line.startswith(f"--set {override}: ")
    assert expected in line


def test_a_missing_recipe_and_wrong_use(here):
    assert refused(2, "run", "none.yaml") == [
        "none.yaml: cannot read the recipe: No such file or directory"
    ]
    Path("binary.yaml").write_bytes(b"\xff\xfe")
    assert "not UTF-8 text" in refused(2, "run", "binary.yaml")[0]
    for wrong in (
        ["nothing"],
        ["run"],
        ["run", "small.yaml", "--engine", "cloud"],
        ["run", "small.yaml", "--workers", "0"],
        ["clean", "--older-than", "soon"],
    ):
        result = call(*wrong)
        assert result.exit_code == 2, wrong
        assert "Traceback" not in result.output


def test_errors_keep_their_brackets_and_lose_their_escapes(tmp_path):
    (line,) = refused(2, "run", tmp_path / "[bold]\x1b[31m.yaml")
    assert "/[bold].yaml: cannot read" in line


def test_a_bug_shows_its_traceback(here, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Recipe, "load", broken)
    result = call("run", "small.yaml")
    assert isinstance(result.exception, RuntimeError)


# -- itself ----------------------------------------------------------------------------------


def test_help_teaches_and_loads_nothing_heavy():
    assert call("--version").stdout == f"curate {__version__}\n"
    for command in ("run", "plan", "train", "inspect", "stages", "evaluate", "clean"):
        shown = call(command, "--help").stdout
        assert "Examples" in shown or "A configuration" in shown, command
    code = (
        "import sys, curate.cli; heavy = {'torch', 'transformers', 'numpy', 'pyarrow', 'polars'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_stage_names_are_completed():
    done = subprocess.run(
        CURATE,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "_CURATE_COMPLETE": "complete_bash",
            "COMP_WORDS": "curate stages filter.c",
            "COMP_CWORD": "2",
        },
    )
    assert "filter.consistency" in done.stdout.splitlines()
