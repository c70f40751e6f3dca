"""The Batch API: each request answered once and paid once, whatever happens between."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from typer.testing import CliRunner

import curate.llm.batch.model as module
from curate.cli import app
from curate.errors import CurateError
from curate.llm.answers import Answers
from curate.llm.base import Generate, LaterError, Message, Sampling, UnansweredError
from curate.llm.batch import Ledger, WaitingError
from curate.llm.recorded import Recorded
from tests.llm.batching import BatchServer
from tests.llm.serving import SCHEMA

KEY = "sk-planted-77aa01"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look often, and have a key that must stand nowhere."""
    monkeypatch.setattr(module, "_FIRST_LOOK", 0.01)
    monkeypatch.setattr(module, "_LONGEST_LOOK", 0.05)
    monkeypatch.setattr(module, "_FIRST_DELAY", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def server(tmp_path):
    with BatchServer(tmp_path / "server") as server:
        yield server


def requests(count=10, prompt="what is number {}?"):
    sampling = Sampling(temperature=0.7, max_tokens=40)
    return [Generate(prompt.format(n), sampling, SCHEMA, seed=n) for n in range(count)]


class Asking:
    """A stage's way of asking: by tables, which are tried until all of their answers are there."""

    def __init__(self, folder, llm, **settings):
        self.answers, self.ledger = Answers(folder / "answers.sqlite"), folder / "batches.sqlite"
        self.told = []
        self.model = Recorded(
            llm.identity(), lambda: llm.open(self.ledger), self.answers, **settings
        )

    def tables(self, tables, ask=Recorded.generate):
        found = {}
        while len(found) < len(tables):
            for number, table in enumerate(tables):
                if number not in found:
                    try:
                        found[number] = ask(self.model, table)
                        self.model.take_asked()
                    except LaterError:
                        self.model.put_off()
            if len(found) < len(tables):
                self.model.settle(self.told.append)
        return [found[number] for number in range(len(tables))]

    def __call__(self, asked):
        return self.tables([asked])[0]


@pytest.fixture
def asking(tmp_path, server):
    """Open a client of the server as a new process would."""
    return lambda recorded=None, **settings: Asking(
        tmp_path, server.llm(**settings), **recorded or {}
    )


def assert_paid_once(server, count):
    assert len(server.paid()) == count
    assert set(server.paid().values()) <= {1}


def waiting_requests(asking):
    return sum(batch.requests for batch in Ledger(asking().ledger).batches())


# -- the ordinary way ------------------------------------------------------------------------


def test_all_tables_are_asked_in_one_batch_and_matched_by_their_keys(server, asking):
    asked = requests(30)
    client = asking()
    server.plan({"looks": 1})
    found = client.tables([asked[:10], asked[10:20], asked[5:30]])
    (batch,) = server.batches()
    assert batch["request_counts"]["total"] == 30
    assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
    assert [json.loads(a.text)["query"] for a in found[2] if a.finish == "stop"]
    alone = Recorded(
        "alone", server.llm().model_copy(update={"backend": "openai"}).open, asking().answers
    )
    assert found == [alone.generate(t) for t in (asked[:10], asked[10:20], asked[5:30])]
    assert_paid_once(server, 30)
    usage = client.model.usage
    assert (usage.asked, usage.recorded, usage.prompt_tokens) == (30, 15, 300)
    assert re.match(r"30 requests wait in batch_\w+ since \d{4}-", client.told[0])


def test_what_openai_has_answered_serves_a_batch_and_the_other_way(server, asking, tmp_path):
    asked = requests(8)
    once = server.llm().model_copy(update={"backend": "openai"})
    alone = Recorded(once.identity(), once.open, Answers(tmp_path / "answers.sqlite"))
    alone.generate(asked[:4])
    assert asking()(asked)[:4] == alone.generate(asked[:4])
    assert_paid_once(server, 4)
    count = len(server.asked_at_once())
    alone.generate(asked)
    assert len(server.asked_at_once()) == count == 4


def test_what_follows_from_an_answer_is_asked_in_a_second_batch(server, asking):
    def two_steps(model, table):
        first = model.generate(table)
        return model.generate([Generate(f"{a.text}: and then?", schema=SCHEMA) for a in first])

    client = asking()
    found = client.tables([requests(10), requests(10, "{}, another?"), requests(5)], two_steps)
    assert [len(table) for table in found] == [10, 10, 5]
    assert [b["request_counts"]["total"] for b in server.batches()] == [20, 20]
    assert (client.model.usage.asked, client.model.usage.recorded) == (40, 10)


def test_unusable_answers_are_asked_again_in_a_batch(server, asking):
    found = asking({"attempts": 6})(requests(60))
    sizes = [batch["request_counts"]["total"] for batch in server.batches()]
    assert sizes[0] == 60
    assert 0 < sizes[1] < 20
    assert {answer.finish for answer in found} == {"stop"}


def test_files_keep_to_both_limits(server, asking):
    asking(file_requests=7)(requests(20))
    assert [b["request_counts"]["total"] for b in server.batches()] == [7, 7, 6]
    size = max(path.stat().st_size for path in (server.folder / "files").iterdir())
    asking(file_mb=size / 2e6)(requests(20, "{}, another?"))
    inputs = [server.folder / "files" / b["input_file_id"] for b in server.batches()[3:]]
    assert len(inputs) > 4
    assert all(path.stat().st_size <= size / 2 for path in inputs)
    assert_paid_once(server, 40)
    assert not list(asking().ledger.with_suffix("").glob("*.jsonl")), "files of ended batches stay"


def test_conversations_and_texts_to_continue_go_where_they_are_answered(tmp_path, asking):
    serves = ("/v1/chat/completions", "/v1/completions")
    with BatchServer(tmp_path / "both", serves) as server:
        client = Asking(tmp_path, server.llm())
        talk = Generate((Message("system", "be brief"), Message("user", "well \ud800?")))
        text, chat = client([Generate("once upon"), talk])
        assert (text.text, chat.text) == ("answer to once upon", "answer to well ??")
        assert {b["endpoint"] for b in server.batches()} == set(serves)


def test_a_model_that_only_takes_batches_is_sent_the_schema_as_a_field(tmp_path):
    with BatchServer(tmp_path / "batches only", serves=()) as server:
        found = Asking(tmp_path, server.llm())(requests(20))
    assert "stop" in {a.finish for a in found} <= {"stop", "length"}


def test_the_same_asked_by_two_at_a_time_is_paid_once(server, asking):
    first, second = asking(wait=0), asking()
    server.plan({"looks": 3})
    with pytest.raises(WaitingError):
        first(requests(10))
    assert second(requests(10)) == first(requests(10))
    assert_paid_once(server, 10)


# -- faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["expired", "completed"])
def test_exactly_what_is_missing_is_submitted_again(server, asking, end):
    server.plan(
        {"end": end, "answered": 6}
        if end == "expired"
        else {"errors": {"1": 429, "7": 500, "8": 503}},
        {"lost": [2]},
    )
    found = asking()(requests(10))
    assert len(found) == 10
    assert all(answer.text for answer in found)
    sizes = [batch["request_counts"]["total"] for batch in server.batches()]
    assert sizes == ([10, 4, 1] if end == "expired" else [10, 3, 1])
    assert_paid_once(server, 10)


def test_what_is_never_answered_ends_the_run_and_is_submitted_by_the_next(server, asking):
    server.plan({"errors": {"3": 500}}, {"errors": {"0": 500}})
    with pytest.raises(
        UnansweredError, match=r"1 requests were not answered .* 500: it went wrong"
    ):
        asking(tries=2)(requests(10))
    assert asking().answers.count() == 9
    assert len(asking(tries=2)(requests(10))) == 10
    assert_paid_once(server, 10)


def test_what_is_wrong_is_not_submitted_again(server, asking):
    server.plan({"errors": {"2": 400, "5": 400}})
    found = asking({"on_failure": "drop"})(requests(10))
    assert [n for n, answer in enumerate(found) if answer.finish == "failed"] == [2, 5]
    assert len(server.batches()) == 1


def test_a_refusal_by_a_filter_is_an_answer(server, asking):
    server.plan({"errors": {"2": 400}, "told": "blocked by content_filter"})
    assert asking()(requests(5))[2].finish == "refused"


def test_the_limit_is_told_by_its_other_name_where_that_is_asked_for(server, asking):
    server.plan({"errors": {"0": 400, "1": 400}, "told": "use 'max_completion_tokens' instead"})
    found = asking()(requests(2))
    assert all(answer.text for answer in found)
    file = server.folder / "files" / server.batches()[1]["input_file_id"]
    bodies = [json.loads(line)["body"] for line in file.read_text().splitlines()]
    assert all(b["max_completion_tokens"] == 40 and "max_tokens" not in b for b in bodies)


def test_a_batch_that_was_made_though_the_connection_broke_is_not_made_again(server, asking):
    server.plan({"drop": True}, {"create": 503}, {"create": 429})
    asking()(requests(10))
    asking()(requests(10, "{}, another?"))
    assert len(server.batches()) == 2
    assert_paid_once(server, 20)


def test_a_full_queue_is_waited_for(server, asking):
    full = {"end": "failed", "failure": ("token_limit_exceeded", "Enqueued token limit reached")}
    server.plan({"looks": 2}, full)
    asking(file_requests=5)(requests(10))
    assert [b["status"] for b in server.batches()] == ["completed", "failed", "completed"]
    assert_paid_once(server, 10)
    server.plan(full)
    with pytest.raises(
        CurateError, match=r"limit reached.*set `llm.file_requests` lower"
    ) as raised:
        asking()(requests(4, "{}, another?"))
    assert "\n" not in str(raised.value)
    asking(file_requests=2)(requests(4, "{}, another?"))
    assert [b["request_counts"]["total"] for b in server.batches()[-2:]] == [2, 2]


def test_a_cancelled_batch_ends_the_run_and_keeps_what_is_answered(server, asking):
    server.plan({"end": "cancelled", "answered": 7})
    with pytest.raises(CurateError, match="was cancelled on the server, with 3 of its 10 requests"):
        asking()(requests(10))
    assert len(asking(tries=1)(requests(10))) == 10
    assert [b["request_counts"]["total"] for b in server.batches()] == [10, 3]
    assert_paid_once(server, 10)


@pytest.mark.parametrize(
    ("fault", "line"),
    [
        (
            "file",
            r"answers 413 to the file of [\d,]+ bytes: set `llm.file_mb` or `llm.file_requests`",
        ),
        ("batch", "answers 400 to the batch: not now; the key is Bearer .key."),
        ("key", "answers 401; the environment variable OPENAI_API_KEY is refused: not now"),
        ("validation", "refuses the batch batch_.* of 5 requests: no such field .line 7."),
    ],
)
def test_a_refusal_is_one_clear_line_and_can_be_mended(server, asking, fault, line):
    failure = {"end": "failed", "failure": ("invalid", "no such field")}
    server.plan({"batch": {"create": 400}, "key": {"create": 401}}.get(fault, failure))
    if fault == "file":
        server.plan()
        server._write("largest.json", 100)
    with pytest.raises(CurateError, match=line) as raised:
        asking()(requests(5))
    assert "\n" not in str(raised.value)
    assert KEY not in str(raised.value)
    server._write("largest.json", 1 << 30)
    server._write("plans.json", [])
    assert len(asking()(requests(5))) == 5
    assert_paid_once(server, 5)


def test_a_server_that_is_away_and_one_without_batches_are_told(tmp_path, server, asking):
    llm = server.llm(tries=1).model_copy(update={"url": "http://127.0.0.1:9/v1"})
    with pytest.raises(CurateError, match=r"no server answers at http://127.0.0.1:9/v1"):
        Asking(tmp_path, llm)(requests(1))
    server.plan({"looks": 9})
    with pytest.raises(WaitingError):
        asking(wait=0)(requests(1))
    for path in (server.folder / "batches").iterdir():
        path.unlink()
    with pytest.raises(CurateError, match=r"if the batch is of another account.*batches.sqlite"):
        asking()(requests(1))


def test_a_server_that_was_there_may_be_away_for_a_while(server, asking):
    client = asking(tries=1)
    server.plan({"looks": 2})

    def tell(told):
        if not client.told:
            server.__exit__()
            threading.Timer(0.3, server.__enter__).start()
        client.told.append(told)

    with pytest.raises(LaterError):
        client.model.generate(requests(5))
    client.model.settle(tell)
    assert len(client.told) > 3, "it was away for some looks"
    assert len(client(requests(5))) == 5
    assert_paid_once(server, 5)


def test_broken_lines_are_not_answered_and_foreign_ones_left_alone(server, asking):
    client = asking()
    server.plan({"looks": 1})
    finish = BatchServer.treat

    def spoil(self, batch, plan):
        finish(self, batch, plan)
        path = self.folder / "files" / batch["output_file_id"]
        first, *rest = path.read_text().splitlines()
        foreign = json.loads(rest[0]) | {"custom_id": "of another"}
        bad = [first[:30], "[1]", '{"custom_id": 5}', json.dumps(foreign)]
        path.write_text("\n".join([*bad, *rest]))
        BatchServer.treat = finish

    BatchServer.treat = spoil
    assert len(client(requests(6))) == 6
    assert [b["request_counts"]["total"] for b in server.batches()] == [6, 1]


# -- to end and to go on ---------------------------------------------------------------------


def test_a_run_ends_when_it_may_wait_no_longer_and_another_takes_the_results(server, asking):
    server.plan({"looks": 2})
    with pytest.raises(WaitingError, match=r"5 requests wait in batch_.* the same command, later"):
        asking(wait=0)(requests(5))
    assert waiting_requests(asking) == 5
    server.restart()
    client = asking()
    assert len(client(requests(5))) == 5
    assert client.model.usage.asked == 5
    assert waiting_requests(asking) == 0
    assert_paid_once(server, 5)


def test_batches_that_nobody_asks_for_any_more_are_not_waited_for(server, asking):
    server.plan({"looks": 10**6})
    with pytest.raises(WaitingError):
        asking(wait=0)(requests(5))
    assert len(asking()(requests(5, "{}, another?"))) == 5


PROGRAM = """
import sys
from pathlib import Path
import curate.llm.batch.model as module
from tests.llm.test_batch import Asking, requests
from tests.llm.batching import BatchServer
from curate.llm.settings import LLM
module._FIRST_LOOK = 0.01
llm = LLM(backend="openai-batch", model="made", url=sys.argv[2], file_requests=50)
client = Asking(Path(sys.argv[1]), llm)
client.tables([requests(50), requests(70)])
"""


@pytest.mark.parametrize(
    "moment", ["create", "download", pytest.param("answered", marks=pytest.mark.slow)]
)
def test_a_killed_process_never_pays_twice(server, asking, tmp_path, moment):
    server.plan(
        *{
            "create": [{}, {"hang": True}],
            "download": [{"cut": 2000}, {}],
            "answered": [{}, {"looks": 10**6}],
        }[moment]
    )
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path, server.url])
    ledger = Ledger(tmp_path / "batches.sqlite")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if (server.folder / "hanging.json").exists():
            break
        # The first batch is taken, and the second one waits, so no answer could be recorded.
        if moment == "answered" and len(server.batches()) == 2 and len(ledger.batches()) == 1:
            break
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert asking().answers.count() == 0
    paid = sum(server.paid().values())
    assert paid == {"create": 0, "download": 50, "answered": 50}[moment]
    assert len(server.batches()) == 2
    for batch in server.batches():
        if batch["status"] == "in_progress":
            server._write(f"batches/{batch['id']}.json", batch | {"plan": {}})
    server._write("cut.json", {})
    client = asking(file_requests=50)
    client.tables([requests(50), requests(70)])
    assert len(server.batches()) == 2, "something was submitted twice"
    assert_paid_once(server, 70)
    assert client.answers.count() == client.model.usage.asked == 70


# -- recipes ---------------------------------------------------------------------------------

RECIPE = """
llm: {{backend: {backend}, model: made, url: "{url}", attempts: 3, price: {{prompt: 1, completion: 2}}}}
stages:
  code:     {{harvest.python: {{packages: [tqdm], stdlib: false, topics: false, summaries: false}}}}
  some:     {{sample: {{from: code.passages, count: 60}}}}
  written:  {{synthesize.fret: {{candidates: 2, max_chars: 1200}}}}
"""


@pytest.fixture
def call(tmp_path, monkeypatch, server):
    """Call the command line; return the exit code and all that it printed."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("curate.engine.local.ASK_ROWS", 25)

    def call(command, *more, backend="openai-batch", recipe=RECIPE):
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe.format(backend=backend, url=server.url))
        output = tmp_path / f"output-{backend}"
        result = CliRunner().invoke(app, [command, str(path), *more, "--output", str(output)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.exit_code, result.output

    return call


def test_a_run_submits_few_batches_and_gives_the_rows_of_openai(call, server, tmp_path):
    from curate.shards import read_shards

    server.plan({"looks": 10**6})
    code, said = call("run", "--workers", "1", "--set", "llm.wait=0")
    assert code == 5
    assert re.search(r"error: \d+ requests wait in batch_\w+ since .*the same command, later", said)
    code, said = call("plan")
    assert code == 0
    (batch,) = server.batches()
    assert batch["request_counts"]["total"] > 50
    assert re.search(rf"made\W+{batch['id']}\W+{batch['request_counts']['total']}", said)
    server._write(
        f"batches/{batch['id']}.json", batch | {"plan": {"end": "expired", "answered": 40}}
    )
    code, said = call("run", "--workers", "1")
    assert code == 0, said
    keys = [server.keys(batch) for batch in server.batches()]
    assert len(keys[0] & keys[1]) == len(keys[0]) - 40
    assert len(keys) <= 5, "one for each try of all the tables"
    assert set(server.paid().values()) == {1}
    code, said = call("run", "--workers", "1", backend="openai")
    assert code == 0, said
    rows = [
        read_shards(tmp_path / f"output-{backend}" / "runs/latest/stages/written").to_arrow()
        for backend in ("openai", "openai-batch")
    ]
    assert rows[0].equals(rows[1])
    assert len(rows[0]) > 20
    output = tmp_path / "output-openai-batch"
    (usage,) = [
        row["llm"]
        for row in json.loads((output / "runs/latest/run.json").read_bytes())["stages"]
        if row["llm"]
    ]
    answers = Answers(output / "store" / "answers.sqlite")
    assert usage["asked"] == answers.count() == sum(server.paid().values())
    assert usage["recorded"] == 0
    files = [path for path in output.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_what_no_batch_can_do_is_refused_before_anything_runs(call, tmp_path):
    for command in ("plan", "run"):
        code, said = call(command, recipe=RECIPE + "  likely:   {{filter.likelihood: {{}}}}\n")
        assert code == 2
        assert "stage likely (filter.likelihood): the Batch API" in said
        assert "use the backend `openai`" in said
    assert not list(tmp_path.glob("output-openai-batch/store/artefacts/*"))
