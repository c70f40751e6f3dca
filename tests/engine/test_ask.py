"""Stages that ask a language model: what is asked again, and what becomes of a run that is killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from curate.engine.local import run
from curate.llm.answers import Answers
from curate.llm.prompts import FOLDER
from curate.recipe import Recipe
from curate.shards import read_shards
from tests.engine.conftest import Told
from tests.llm.made import MadeModel

RECIPE = """
llm: {model: made}
stages:
  code:     {harvest.python: {packages: [tqdm], stdlib: false, topics: false, summaries: false}}
  some:     {sample: {from: code.passages, count: 40}}
  written:  {synthesize.fret: {prompt: FRET, candidates: 2, max_chars: 500,
             sampling: {temperature: 0.7, max_tokens: 50}}}
  returned: {filter.consistency: {encoder: MODEL, corpus: code.passages, k: 1000}}
  likely:   {filter.likelihood: {margin: -10}}
  near:     {mine.retrieve: {encoder: MODEL, lexical: bm25, corpus: code.passages, same: 0.8, top: 4}}
  graded:   {mine.rerank: {corpus: code.passages, max_chars: 600}}
  fused:    {mine.fuse: {scores: [query_likelihood, relevance], constant: 0}}
  chosen:   {mine.select: {positive: best, score: rrf, negatives: lowest, count: 1}}
  shards:   {shards: {corpus: [code.passages]}}
"""
FROM_WRITTEN = ["written", "returned", "likely", "near", "graded", "fused", "chosen", "shards"]


@pytest.fixture
def prompt(tmp_path):
    return shutil.copy(FOLDER / "fret-code.j2", tmp_path / "fret.j2")


@pytest.fixture
def text(model, prompt):
    return RECIPE.replace("MODEL", str(model)).replace("FRET", str(prompt))


@pytest.fixture
def ask(text, tmp_path):
    """Run the recipe with overrides; return the run, the stages that ran, and the model's calls."""

    def ask(*overrides, output=tmp_path / "output"):
        told, made = Told(), MadeModel()
        opened = []

        def open_model(llm):
            opened.append(llm.model)
            return made

        recipe = Recipe.parse(text, overrides=overrides)
        finished = run(recipe, output, workers=1, reporter=told, open_model=open_model)
        assert bool(opened) == bool(made.calls)
        return finished, told.ran, made.calls

    return ask


def asked(finished) -> dict[str, int]:
    """Return how many calls the rows of each stage rest on, asked now or before."""
    accounts = {name: artefact.account for name, artefact in finished.artefacts.items()}
    return {name: account.asked["calls"] for name, account in accounts.items() if account.asked}


def test_unchanged_nothing_is_asked(ask):
    first, ran, calls = ask()
    assert ran[2:] == FROM_WRITTEN
    assert set(asked(first)) == {"written", "likely", "graded"}
    usages = {row["name"]: row["llm"] for row in first.stage_rows() if row["llm"]}
    live = {name: usage["asked"] for name, usage in usages.items()}
    assert calls == sum(live.values()) > 200
    # `graded` asks about the pair's own passage what `likely` has asked.
    assert usages["graded"]["recorded"] > 0
    assert {n: live[n] + usages[n]["recorded"] for n in live} == asked(first)
    second, ran, calls = ask()
    assert (ran, calls) == ([], 0)
    assert asked(second) == asked(first)
    assert not any(row["llm"] for row in second.stage_rows())


def test_one_word_of_a_prompt_runs_what_depends_on_it(ask, prompt):
    _, ran, _ = ask()
    assert ran[:2] == ["code", "some"]
    text = prompt.read_text()
    assert "a short sentence" in text
    prompt.write_text(text.replace("a short sentence", "a brief sentence"))
    _, ran, calls = ask()
    assert ran == FROM_WRITTEN
    assert calls
    prompt.write_text(text)
    _, ran, calls = ask()
    assert (ran, calls) == ([], 0)


def test_a_setting_that_no_question_depends_on_asks_nothing(ask):
    ask()
    _, ran, calls = ask("written.grounded=0.1")
    assert ran[0] == "written"
    assert calls == 0, "what passes a stricter rule was asked about before"


def test_another_model_is_asked_anew_and_both_keep_their_answers(ask):
    first, _, calls = ask()
    other, ran, again = ask("llm.model=other")
    assert ran == FROM_WRITTEN
    assert again == calls
    assert first.artefacts["shards"].key != other.artefacts["shards"].key
    assert ask()[1:] == ([], 0)


def test_manifests_tell_the_model_and_the_prompts(ask, prompt):
    finished, _, _ = ask()
    info = finished.artefacts["written"].manifest.info
    assert info["llm"] == "made"
    assert info["prompts"] == {"prompt": prompt.read_text()}
    assert "prompt" not in info["settings"]


def test_the_dropped_of_what_makes_pairs_are_the_passages_that_went_in(ask):
    finished, _, _ = ask()
    written = finished.artefacts["written"]
    assert written.manifest.sides["dropped"].kind == "passages"
    dropped = finished.shards("written", "dropped").to_arrow()
    assert set(dropped["drop_reason"].to_pylist()) <= {
        "passage_too_short",
        "passage_too_long",
        "no_usable_query",
    }
    assert written.account.inputs == 40


# -- kills -----------------------------------------------------------------------------------------

PROGRAM = """
import json
import sys
from pathlib import Path
from curate.engine.local import run
from curate.engine.progress import PlainReporter
from curate.llm.answers import _key
from curate.llm.settings import LLM
from curate.recipe import Recipe


def refuse_network(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.bind"):
        raise RuntimeError(f"network access: {event} {arguments}")


class Logged:
    \"\"\"The real model; every question is written down before it is asked.\"\"\"

    def __init__(self, llm):
        self.model, self.id = LLM.open(llm), llm.identity()

    def __getattr__(self, name):
        def ask(requests):
            with open(sys.argv[3], "a") as log:
                log.writelines(_key(self.id, request)[0] + "\\n" for request in requests)
            return getattr(self.model, name)(requests)

        return ask


if __name__ == "__main__":
    sys.addaudithook(refuse_network)
    recipe, output = Recipe.load(sys.argv[1]), Path(sys.argv[2])
    run(recipe, output, workers=1, reporter=PlainReporter(), open_model=Logged)
"""


class Killed:
    """Runs the recipe in processes of their own, against the real model and without a network."""

    def __init__(self, folder, text):
        self.folder, self.output = folder, folder / "output"
        self.recipe, self.program = folder / "ask.yaml", folder / "program.py"
        self.recipe.write_text(text)
        self.program.write_text(PROGRAM)
        self.answers = self.output / "store" / "answers.sqlite"

    def start(self, log):
        command = [sys.executable, self.program, self.recipe, self.output, log]
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    def recorded(self) -> set[str]:
        if not self.answers.exists():
            return set()
        return {item.key for item in Answers(self.answers).items()}


@pytest.mark.timeout(600)
def test_a_killed_run_asks_no_answered_question_again(tmp_path, text):
    killed = Killed(tmp_path, text.replace("model: made", "model: smollm2"))
    rng = random.Random(3)
    stages = set()
    for number, more in enumerate(rng.sample([8, 30, 90, 160], 3)):
        before, log = killed.recorded(), tmp_path / f"asked{number}"
        process = killed.start(log)
        while process.poll() is None and len(killed.recorded()) < len(before) + more:
            time.sleep(rng.uniform(0.05, 0.3))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
        asked_now = set(log.read_text().split())
        assert asked_now, "killed before it asked anything"
        assert not asked_now & before, "an answered question was asked again"
        assert before <= killed.recorded(), "an answer was lost"
        stages.add(len(list((killed.output / "runs/latest/stages").iterdir())))
    before, log = killed.recorded(), tmp_path / "asked-last"
    process = killed.start(log)
    _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert not set(log.read_text().split() if log.exists() else ()) & before
    assert_rows_are_of_the_answers(killed, tmp_path / "replayed")


def assert_rows_are_of_the_answers(killed, output):
    """Run all again from the recorded answers alone: a model that is asked anything fails the test."""
    (output / "store").mkdir(parents=True)
    for path in killed.answers.parent.glob("answers.sqlite*"):
        shutil.copy(path, output / "store" / path.name)

    def refuse(llm):
        raise AssertionError("the rows do not follow from the recorded answers")

    recipe = Recipe.load(killed.recipe)
    replayed = run(recipe, output, workers=1, reporter=Told(), open_model=refuse)
    for stage in (*FROM_WRITTEN, "shards"):
        ours = read_shards(killed.output / "runs/latest/stages" / stage).to_arrow()
        assert replayed.shards(stage).to_arrow().equals(ours), stage
    rows = json.loads((killed.output / "runs/latest/run.json").read_bytes())["stages"]
    assert [row["name"] for row in rows][-1] == "shards"
    assert len(ours)
