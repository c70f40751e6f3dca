"""Recipes that ask a server: what is refused before a run, what is told of it, and what is not."""

import json

import pytest
from typer.testing import CliRunner

from curate.cli import app
from curate.errors import RecipeError
from curate.llm.answers import Answers
from curate.llm.prompts import FOLDER
from curate.llm.settings import LLM
from curate.recipe import Recipe
from tests.llm.serving import error, prompt_of, serving

KEY = "sk-planted-3f9a51"
RECIPE = """
llm: {{backend: openai, model: made, url: "{url}", on_failure: drop, tries: 2}}
stages:
  code:     {{harvest.python: {{packages: [click], stdlib: false, topics: false, summaries: false}}}}
  some:     {{sample: {{from: code.passages, count: 40}}}}
  written:  {{synthesize.fret: {{candidates: 2, max_chars: 500}}}}
"""
SCORED = "  likely:   {{filter.likelihood: {{}}}}\n"


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Call the command line; return the exit code and all that it printed."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def call(command, recipe=None, *more):
        if recipe is not None:
            path = tmp_path / "recipe.yaml"
            path.write_text(recipe)
            more = (str(path), *more)
        result = CliRunner().invoke(app, [command, *more, "--output", str(tmp_path / "output")])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.exit_code, result.output

    return call


class Keyed:
    """A server that knows the key, and repeats it where it can."""

    def __init__(self):
        self.came = 0

    def __call__(self, path, body):
        self.came += 1
        number = self.came % 10
        if number == 3:
            return error(400, f"no such thing for {KEY}")
        if number == 5:
            return error(400, f"refused to {KEY}", code="content_filter")
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is None:
            return f"no schema, {number}"
        properties = schema["properties"]
        if "word" in properties:
            return json.dumps({"word": "quokka"})
        written = {
            "task": properties["task"]["enum"][0],
            "query": f"the {prompt_of(body)[-60:-20]}",
        }
        return json.dumps(written)[: -9 if number == 7 else None]


def test_a_key_is_sent_and_stands_nowhere(call, tmp_path):
    seen = []
    reply = Keyed()
    with serving(reply) as server:
        handle = server.handle

        async def noting(request):
            seen.append(request.headers["Authorization"])
            return await handle(request)

        server.handle = noting
        code, said = call("run", RECIPE.format(url=server.url), "--workers", "1")
    assert code == 0, said
    output = tmp_path / "output"
    answers = Answers(output / "store" / "answers.sqlite")
    ends = {item.answer.finish for item in answers.items()}
    assert {"stop", "refused", "invalid", "failed"} <= ends
    code, listed = call("answers", None, "--export", str(tmp_path / "exported.jsonl"))
    assert code == 0, listed
    texts = [said, listed, (tmp_path / "exported.jsonl").read_text()]
    texts += [str(item) for item in answers.items()]
    files = [path for path in output.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert not [text for text in texts if KEY in text]
    assert "failed" in listed
    account = json.loads((output / "runs/latest/run.json").read_text())["stages"][-1]["llm"]
    assert account["unusable"]["failed"] > 0


def test_a_key_in_the_recipe_is_refused_and_not_repeated(call):
    recipe = RECIPE.format(url="http://127.0.0.1:9/v1").replace("tries: 2", f"key_variable: {KEY}")
    code, said = call("run", recipe)
    assert code == 2
    assert "export the key and give its name" in said
    assert KEY not in said


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"url": "127.0.0.1:8000"}, "llm.url: '127.0.0.1:8000' is no URL"),
        ({"url": f"http://user:{KEY}@host/v1"}, "neither a user nor a query"),
        (
            {"backend": "local", "url": "http://host/v1"},
            "'local' has no such setting, 'openai' has",
        ),
        ({"batch": 8}, "'openai' has no such setting, 'local' has"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, line):
    with pytest.raises(ValueError, match=line) as raised:
        LLM(**{"backend": "openai", "model": "m"} | settings).check()
    assert KEY not in str(raised.value)


def test_what_changes_answers_is_in_the_key_and_what_does_not_is_not(tmp_path):
    def material(**settings):
        prompt = str(FOLDER / "fret-code.j2")
        llm = {"backend": "openai", "model": "m"} | settings
        stages = {
            "code": {"harvest.python": {"packages": ["click"]}},
            "written": {"synthesize.fret": {"from": "code.passages", "prompt": prompt, "llm": llm}},
        }
        text = json.dumps({"stages": stages})
        return Recipe.parse(text).nodes["written"].stage.material()

    same = [{"url": "http://other/v1"}, {"concurrency": 3}, {"tries": 9}, {"key_variable": "K"}]
    other = [{"model": "n"}, {"attempts": 2}, {"on_failure": "drop"}, {"extra": {"top_k": 5}}]
    assert all(material(**settings) == material() for settings in same)
    assert all(material(**settings) != material() for settings in other)


def test_what_a_server_cannot_do_is_refused_before_anything_runs(call, tmp_path):
    with serving(lambda path, body: "no log-probabilities") as server:
        recipe = (RECIPE + SCORED).format(url=server.url)
        for command in ("plan", "run"):
            code, said = call(command, recipe)
            assert code == 2
            assert f"stage likely (filter.likelihood): the server at {server.url} does not" in said
            assert "use a server that does (vLLM's), or the backend `local`" in said
    assert not list((tmp_path / "output" / "store").glob("artefacts/*"))


def test_a_server_that_is_away_is_told_when_it_is_asked(call):
    code, said = call("run", (RECIPE + SCORED).format(url="http://127.0.0.1:9/v1"))
    assert code == 1
    assert (
        "no server answers at http://127.0.0.1:9/v1: start it, or set the right `llm.url`" in said
    )
    assert said.count("error: ") == 1


def test_answers_are_listed_exported_and_pruned(call, tmp_path):
    with serving(Keyed()) as server:
        call("run", RECIPE.format(url=server.url), "--workers", "1")
    answers = Answers(tmp_path / "output" / "store" / "answers.sqlite")
    count = answers.count()
    failed = sum(item.answer.finish == "failed" for item in answers.items())
    assert 0 < failed < count
    file = tmp_path / "failed.jsonl"
    code, said = call("answers", None, "--finish", "failed", "--export", str(file))
    assert code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == failed
    assert {line["answer"]["finish"] for line in lines} == {"failed"}
    assert f"wrote {failed} answers" in said
    assert "0 answers" in call("answers", None, "--older-than", "1h", "--prune", "--yes")[1]
    assert "0 answers" in call("answers", None, "--model", "other", "--prune", "--yes")[1]
    code, said = call("answers", None, "--finish", "failed", "--prune", "--yes")
    assert f"forgot {failed} answers" in said
    assert answers.count() == count - failed
    call("answers", None, "--model", "made", "--prune", "--yes")
    assert answers.count() == 0


def test_no_answers_are_told_so(call):
    code, said = call("answers", None)
    assert code == 1
    assert "no answers are recorded here" in said


def test_a_bad_schema_of_a_recipe_says_so():
    with pytest.raises(RecipeError, match=r"backend: Input should be 'local', .*, 'openai' or"):
        Recipe.parse("llm: {backend: remote}\nstages: {code: {harvest.python: {}}}")
