"""What a plan expects of language models against what the run takes, and runs that may take no more."""

import json
import random
import re

import pytest
from typer.testing import CliRunner

from curate.cli import app
from curate.engine import local
from curate.engine.local import plan, run
from curate.llm.answers import Answers
from curate.recipe import Recipe
from tests.engine.conftest import Told
from tests.llm.priced import Priced, count_tokens

RECIPE = """
llm: {LLM}
stages:
  read:     {harvest.table: {path: FILE, record: passages}}
  written:  {synthesize.fret: {prompt: PROMPT, candidates: 2, max_chars: 500, sampling: {max_tokens: 60}}}
"""
PROMPT = """---
purpose: Write a query.
source: made for tests
variables: {passage: data}
schema:
  type: object
  properties:
    task: {type: string, enum: [find]}
    query: {type: string}
  required: [task, query]
---
Write a query for this passage:
{{ passage }}
"""


def write_passages(path, count, seed=0):
    """Write passages, one in four of which is too long or too short to be asked about."""
    draw = random.Random(seed)
    words = [f"{a}{b}{c}" for a in "bdfglmn" for b in "aeiou" for c in ("r", "st", "mp", "x")]
    with path.open("w") as file:
        for number in range(count):
            length = draw.choice([5, *[60, 80, 100] * 2, 300])
            text = " ".join(draw.choices(words, k=length))
            file.write(
                json.dumps({"title": f"passage {number}", "text": f"{number} {text}"}) + "\n"
            )


@pytest.fixture
def text(tmp_path):
    """Return a recipe over so many passages, in YAML."""

    def text(count, **llm):
        path, prompt = tmp_path / f"{count}.jsonl", tmp_path / "short.j2"
        write_passages(path, count)
        prompt.write_text(PROMPT)
        named = RECIPE.replace("FILE", str(path)).replace("PROMPT", str(prompt))
        return named.replace("{LLM}", json.dumps(llm))

    return text


@pytest.fixture
def recipe(text):
    """Return the same as a recipe."""
    return lambda count, **llm: Recipe.parse(text(count, **llm))


def read(recipe, output):
    """Run the stages before those that ask."""
    with pytest.raises(Exception, match="the budget is spent: 0 tokens"):
        run(recipe, output, workers=1, reporter=Told(), max_tokens=0)


def used(recipe, output):
    """Run, and return what the last stage asked."""
    return run(recipe, output, workers=1, reporter=Told()).stage_rows()[-1]["llm"]


def within(expected, usage, share):
    """Tell whether an estimate is as near as that."""
    takes = expected.takes
    low, high = takes.completion_tokens
    assert low == high, "answers were recorded"
    pairs = [
        (takes.calls, usage["asked"]),
        (takes.prompt_tokens, usage["prompt_tokens"]),
        (low, usage["completion_tokens"]),
    ]
    return all(abs(guess - real) <= share * real for guess, real in pairs)


# -- the plan --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizes", "added", "attempts", "count"),
    [(True, 0, 3, 300), (True, 40, 1, 150), (False, 0, 1, 150)],
)
def test_a_plan_with_a_probe_is_within_a_tenth(recipe, tmp_path, tokenizes, added, attempts, count):
    server_side = Priced(tokenizes, added)
    with server_side.serving() as server:
        llm = {"backend": "openai", "model": "made", "url": server.url, "attempts": attempts}
        asking = recipe(count, **llm, price={"prompt": 1, "completion": 4})
        read(asking, tmp_path)
        (_, blind) = plan(asking, tmp_path)
        assert not server_side.came, "a plan asks nothing"
        low, high = blind.asks.takes.completion_tokens
        (_, step) = plan(asking, tmp_path, probe=count // 2)
        probed = server_side.came.total()
        assert count / 3 < probed < count
        (_, same) = plan(asking, tmp_path)
        assert same.asks.takes.calls == step.asks.takes.calls
        assert server_side.came.total() == probed
        usage = used(asking, tmp_path)
    assert within(step.asks, usage, 0.1)
    assert set(server_side.came.values()) == {1}, "what the probe asked was asked again"
    assert low < usage["completion_tokens"] < high
    cost, _ = step.asks.cost
    assert cost == pytest.approx(usage["cost"], rel=0.1)
    by = {(True, 0): "the server's tokenizer", (False, 0): "a token for every 4 bytes, corrected"}
    assert step.asks.takes.counted_by.startswith(by.get((tokenizes, added), "the server's"))
    assert step.asks.takes.again > 0.1
    assert step.asks.rows == step.asks.sampled == count


def test_of_many_records_a_sample_tells(recipe, tmp_path):
    with Priced().serving() as server:
        asking = recipe(5_000, backend="openai", model="made", url=server.url)
        read(asking, tmp_path)
        (_, step) = plan(asking, tmp_path)
        takes = step.asks.takes
    assert step.asks.rows == 5_000
    assert 2_000 <= step.asks.sampled < 5_000
    assert 0 < step.asks.error < 0.02
    lines = (tmp_path / "5000.jsonl").read_text().splitlines()
    texts = [text for line in lines if 200 <= len(text := json.loads(line)["text"]) <= 500]
    assert takes.calls == pytest.approx(2 * len(texts), rel=0.05)
    before, after = PROMPT.split("---\n")[2].strip("\n").split("{{ passage }}")
    read_for = [count_tokens(f"{before}```\n{text}\n```{after}\n") for text in texts]
    assert takes.prompt_tokens == pytest.approx(2 * sum(read_for), rel=0.05)


def test_prompts_of_the_model_in_this_process_are_counted_exactly(recipe, tmp_path, make_model):
    from transformers import LlamaConfig

    folder = make_model(LlamaConfig, num_attention_heads=4, intermediate_size=64)
    asking = recipe(30, model=str(folder))
    read(asking, tmp_path)
    (_, blind) = plan(asking, tmp_path)
    assert blind.asks.cost == (0, 0)
    (_, step) = plan(asking, tmp_path, probe=15)
    usage = used(asking, tmp_path)
    assert step.asks.takes.calls == usage["asked"]
    assert step.asks.takes.prompt_tokens == pytest.approx(usage["prompt_tokens"], abs=0.5)
    assert within(step.asks, usage, 0.1)
    assert step.asks.takes.seconds > 0


def test_what_is_recorded_is_not_expected_again(recipe, tmp_path):
    with Priced().serving() as server:
        asking = recipe(100, backend="openai", model="made", url=server.url)
        read(asking, tmp_path)
        (_, before) = plan(asking, tmp_path)
        with pytest.raises(Exception, match="the budget is spent"):
            run(asking, tmp_path, workers=1, reporter=Told(), max_tokens=10_000)
        recorded = Answers(tmp_path / "store" / "answers.sqlite").count()
        (_, after) = plan(asking, tmp_path)
    assert recorded > 20
    assert after.asks.takes.calls == before.asks.takes.calls - recorded
    assert after.asks.recorded == recorded


# -- the command line ------------------------------------------------------------------------------


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the command line; return the exit code and what it printed, with single spaces."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        words = [str(word) for word in arguments]
        result = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "output")])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.exit_code, re.sub(r"\s+", " ", result.output)

    return call


def test_a_capped_run_ends_and_goes_on_to_equal_rows(recipe, text, tmp_path, call, monkeypatch):
    monkeypatch.setattr(local, "ASK_ROWS", 64)
    server_side, cap = Priced(), 12_000
    with server_side.serving() as server:
        llm = {"backend": "openai", "model": "made", "url": server.url}
        asking, path = recipe(150, **llm), tmp_path / "recipe.yaml"
        path.write_text(text(150, **llm))
        code, said = call("run", path, "--workers", 1, "--max-tokens", "12_000")
        spent = server_side.read + server_side.written
        assert (code, spent <= cap) == (4, True)
        assert cap - spent < 1_000, "it ended before what it may spend was spent"
        (line,) = re.findall(r"error: .*", said)
        assert f"{spent:,} tokens" in line
        assert "--max-tokens 12,000" in line
        code, planned = call("plan", path)
        assert code == 0
        assert "questions are answered already" in planned
        code, said = call("run", path, "--workers", 1, "--max-tokens", 10**9)
        assert code == 0, said
        assert set(server_side.came.values()) == {1}
        assert "written: 150 in" in said
        whole = run(asking, tmp_path / "uncapped", workers=1, reporter=Told())
    capped = run(asking, tmp_path / "output", workers=1, reporter=Told())
    assert len(whole.shards("written")) > 50
    for side in ("main", "dropped"):
        ours = capped.shards("written", side).to_arrow()
        assert ours.equals(whole.shards("written", side).to_arrow())


def test_a_report_tells_tokens_and_money(text, tmp_path, call):
    server_side = Priced()
    with server_side.serving() as server:
        llm = {"backend": "openai", "model": "made", "url": server.url}
        llm["price"] = {"prompt": 1, "completion": 10}
        path = tmp_path / "recipe.yaml"
        path.write_text(text(30, **llm))
        code, first = call("run", path, "--workers", 1, "--max-cost", 5)
        assert code == 0, first
        _, second = call("run", path, "--workers", 1)
    read, written = server_side.read, server_side.written
    cost = f"${(read + 10 * written) / 1e6:.2g}"
    calls = server_side.came.total()
    assert f"{calls} LLM calls of {read:,} + {written:,} tokens" in first
    assert f"written made {calls} {read:,} {written:,} {cost} {calls} {cost}" in first
    assert f"written made {calls} {read:,} {written:,} {cost} 0 $0.00" in second
    rows = json.loads((tmp_path / "output/runs/latest/run.json").read_bytes())["stages"]
    assert rows[-1]["llm"] is None


def test_a_cost_that_is_not_known_cannot_be_limited(text, tmp_path, call):
    path = tmp_path / "recipe.yaml"
    path.write_text(text(3, backend="openai", model="made", url="http://127.0.0.1:9/v1"))
    code, said = call("run", path, "--max-cost", 5)
    assert code == 2
    assert "it is not known what 'made' at http://127.0.0.1:9/v1 costs: set `llm.price" in said
    assert not list((tmp_path / "output").glob("runs/*"))
    code, planned = call("plan", path)
    assert code == 0
    assert "written unknown unknown unknown unknown unknown" in planned
    assert "known after read" in planned


def test_a_schema_that_no_answer_can_be_made_of_leaves_the_plan_standing(text, tmp_path):
    described = text(9)
    prompt = PROMPT.replace("query: {type: string}", "query: {type: string, pattern: '^[0-9]+$'}")
    (tmp_path / "short.j2").write_text(prompt)
    asking = Recipe.parse(described)
    read(asking, tmp_path)
    (_, step) = plan(asking, tmp_path)
    assert step.asks is None
    assert "no example can be made" in step.unknown
