"""Recorded answers: exact, the first one wins, shared by processes, safe against a kill."""

import json
import math
import multiprocessing
import os
import pickle
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import CurateError
from curate.llm.answers import Answers, Which, token_counts
from curate.llm.base import (
    Choose,
    Chosen,
    Generate,
    Generated,
    Message,
    Sampling,
    Score,
    Scored,
)

MODEL = "made@1"


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path / "answers.sqlite")


def scored(n):
    return Scored(-float(n) / 3, n + 1, 5)


def test_every_kind_comes_back_as_it_was(answers):
    answered = [
        (Generate("Write:", seed=3, stop="\n"), Generated("a \ud800 lone ü 🙂\0", "length", 7, 2)),
        (
            Generate((Message("system", "Be brief."), Message("user", "Hi")), schema="{}"),
            Generated("", "refused", 9, 0),
        ),
        (Score("p", " c"), Scored(-0.1 - 0.2, 3, 4)),
        (Score("p", " d"), Scored(-math.inf, 1, 4)),
        (Choose("p", ("yes", "no")), Chosen((1 / 3, 2 / 3), 8)),
    ]
    assert answers.put(MODEL, answered) == [answer for _, answer in answered]
    answers.close()
    requests = [request for request, _ in answered]
    again = Answers(answers.path).get(MODEL, [*requests, Score("p", " e")])
    assert again == [*(answer for _, answer in answered), None]
    assert [type(a) for a in again[:-1]] == [type(a) for _, a in answered]


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_come_back_bit_for_bit(tmp_path_factory, values):
    answers = Answers(tmp_path_factory.mktemp("floats") / "a.sqlite")
    request = Choose("p", ("a",))
    (back,) = answers.put(MODEL, [(request, Chosen(tuple(values), 1))])
    assert [v.hex() for v in back.probabilities] == [v.hex() for v in values]
    answers.close()


def test_each_field_of_a_request_is_in_the_key(answers):
    base = Generate("p", Sampling(temperature=0.5), "{}", 1, "x")
    others = [
        Generate("q", Sampling(temperature=0.5), "{}", 1, "x"),
        Generate((Message("user", "p"),), Sampling(temperature=0.5), "{}", 1, "x"),
        Generate((Message("assistant", "p"),), Sampling(temperature=0.5), "{}", 1, "x"),
        Generate("p", Sampling(temperature=0.6), "{}", 1, "x"),
        Generate("p", Sampling(temperature=0.5, top_p=0.9), "{}", 1, "x"),
        Generate("p", Sampling(temperature=0.5, max_tokens=9), "{}", 1, "x"),
        Generate("p", Sampling(temperature=0.5), None, 1, "x"),
        Generate("p", Sampling(temperature=0.5), "{}", 2, "x"),
        Generate("p", Sampling(temperature=0.5), "{}", 1, None),
        Generate("p", Sampling(temperature=0.5), "{}", 1, "x", 1),
        Score("p", "x"),
        Score("px", ""),
        Choose("p", ("x",)),
        Choose("p", ("x", "y")),
        Choose("p", ("y", "x")),
    ]
    answers.put(MODEL, [(base, Generated("base", "stop", 1, 1))])
    assert answers.get(MODEL, others) == [None] * len(others)
    assert answers.get("other model", [base]) == [None]
    for request in others:
        kinds = {
            Generate: Generated("o", "stop", 1, 1),
            Score: scored(1),
            Choose: Chosen((1.0,), 1),
        }
        answers.put(MODEL, [(request, kinds[type(request)])])
    assert answers.count() == 1 + len(others)


def test_the_first_answer_stays(answers):
    request = Score("p", " c")
    assert answers.put(MODEL, [(request, scored(1)), (request, scored(2))]) == [scored(1)] * 2
    assert answers.put(MODEL, [(request, scored(3))]) == [scored(1)]
    assert answers.get(MODEL, [request, request]) == [scored(1), scored(1)]
    assert answers.count() == 1


def test_only_a_failure_gives_way(answers):
    request, other = Generate("p"), Score("p", " c")
    misleading = Generated('"finish":"failed"', "stop", 1, 1)
    answers.put(MODEL, [(request, misleading), (other, Scored(math.nan, 0, 0, "failed"))])
    assert answers.put(MODEL, [(request, Generated("b", "stop", 1, 1)), (other, scored(2))]) == [
        misleading,
        scored(2),
    ]
    assert answers.put(MODEL, [(other, Scored(math.nan, 0, 0, "failed"))]) == [scored(2)]


def test_what_is_recorded_is_counted_selected_and_pruned(answers):
    answers.put(MODEL, [(Score("p", f" {n}"), scored(n)) for n in range(4)])
    ends = ("stop", "length", "refused", "invalid", "failed", "length")
    texts = [(Generate("p", seed=n), Generated("t", end, 7, 2)) for n, end in enumerate(ends)]
    answers.put("other", texts)
    groups = {(g.model, g.kind, g.finish): g for g in answers.groups()}
    assert {key: group.answers for key, group in groups.items()} == {
        (MODEL, "score", "stop"): 4,
        ("other", "generate", "stop"): 1,
        ("other", "generate", "length"): 2,
        ("other", "generate", "refused"): 1,
        ("other", "generate", "invalid"): 1,
        ("other", "generate", "failed"): 1,
    }
    cut = groups["other", "generate", "length"]
    assert (cut.prompt_tokens, cut.completion_tokens) == (14, 4)
    assert [item.answer.finish for item in answers.items(Which(finish="length"))] == ["length"] * 2
    assert answers.prune(Which(before=time.time() - 60)) == 0
    assert answers.prune(Which("other", "length", time.time() + 60)) == 2
    assert answers.prune(Which(MODEL)) == 4
    assert answers.count() == 4


def test_nothing_to_do(answers):
    assert answers.get(MODEL, []) == []
    assert answers.put(MODEL, []) == []
    assert list(answers.items()) == []
    assert answers.count() == 0


def test_an_answer_of_the_wrong_kind_is_not_recorded(answers):
    with pytest.raises(AssertionError, match="Generated does not answer 'score'"):
        answers.put(
            MODEL, [(Score("p", " a"), scored(1)), (Score("p", " b"), Generated("", "stop", 1, 1))]
        )
    assert answers.count() == 0


def test_items_list_what_is_recorded_in_order(answers, monkeypatch):
    monkeypatch.setattr("curate.llm.answers._PAGE", 7)
    before = time.time()
    answers.put(MODEL, [(Score("p" * 500, f" {n}"), scored(n)) for n in range(20)])
    answers.put("other", [(Generate("p"), Generated("t", "stop", 1, 1))])
    items = list(answers.items(Which(MODEL)))
    assert [item.answer for item in items] == [scored(n) for n in range(20)]
    assert items[3].request == {"prompt": "p" * 500, "continuation": " 3"}
    assert len({item.key for item in items}) == 20
    assert all(before - 1 < item.created < time.time() + 1 for item in items)
    (other,) = answers.items(Which("other"))
    assert (other.model, other.kind, other.answer.text) == ("other", "generate", "t")
    assert other.request["sampling"] == Sampling().model_dump()
    assert len(list(answers.items())) == 21


def test_items_may_be_read_while_others_are_written(answers):
    answers.put(MODEL, [(Score("p", " 0"), scored(0))])
    for n, _ in enumerate(answers.items()):
        if n < 5:
            answers.put(MODEL, [(Score("p", f" {n + 1}"), scored(n + 1))])
    assert answers.count() == 6


def test_tokens_are_in_the_file(answers):
    answers.put(
        MODEL, [(Generate("p"), Generated("t", "stop", 11, 4)), (Score("p", " c"), scored(2))]
    )
    rows = sqlite3.connect(answers.path).execute(
        "SELECT prompt_tokens, completion_tokens FROM answers ORDER BY id"
    )
    assert rows.fetchall() == [(11, 4), (8, 0)]
    assert token_counts(Chosen((1.0,), 6)) == (6, 0)


def test_long_requests_are_compressed(answers):
    answers.put(MODEL, [(Score("word " * 2_000, " c"), scored(1)), (Score("p", " c"), scored(2))])
    rows = sqlite3.connect(answers.path).execute(
        "SELECT typeof(request), length(request) FROM answers ORDER BY id"
    )
    assert rows.fetchall() == [("blob", pytest.approx(80, abs=60)), ("text", 34)]


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "a.sqlite"
    Answers(path).count()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(CurateError, match=r"a\.sqlite: holds answers of format 7, .*format 1"):
        Answers(path).count()


def test_somebody_elses_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "theirs.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(CurateError, match="format 0"):
        Answers(path).get(MODEL, [Score("p", " c")])
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_schema").fetchall()
    assert tables == [("theirs",)]
    (tmp_path / "text").write_text("not a database, but long enough to look at" * 9)
    with pytest.raises(CurateError, match="text: cannot use the recorded answers"):
        Answers(tmp_path / "text").count()


def test_threads_share_an_object(answers):
    def work(name):
        for n in range(50):
            answers.put(MODEL, [(Score(f"p{name}", f" {n}"), scored(n))])

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count() == 200


def test_an_opened_object_can_be_sent_to_a_worker(answers):
    answers.put(MODEL, [(Score("p", " c"), scored(1))])
    sent = pickle.loads(pickle.dumps(answers))
    assert sent.get(MODEL, [Score("p", " c")]) == [scored(1)]


# -- Several processes, and their end --------------------------------------------------------


def write_same_keys(path, name, start, results):
    """Record answers that only this process gives, to questions that all ask."""
    answers = Answers(path)
    start.wait()
    kept = []
    for first in range(0, 300, 10):
        group = [
            (Score("p", f" {n}"), Scored(float(name), n + 1, 1)) for n in range(first, first + 10)
        ]
        kept += answers.put(MODEL, group)
    results.put(kept)


def test_processes_that_write_the_same_keys_agree(tmp_path):
    path = tmp_path / "answers.sqlite"
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=write_same_keys, args=(path, name, start, results))
        for name in range(3)
    ]
    for worker in workers:
        worker.start()
    kept = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert kept[0] == kept[1] == kept[2]
    assert Answers(path).get(MODEL, [Score("p", f" {n}") for n in range(300)]) == kept[0]
    assert len(Answers(path).get(MODEL, [])) == 0
    assert Answers(path).count() == 300


WRITER = """
import sys
from curate.llm.answers import Answers
from curate.llm.base import Score, Scored
answers, first = Answers(sys.argv[1]), int(sys.argv[2])
for n in range(first, first + 1_000_000):
    requests = [Score(f"p{n}" * 200, f" {i}") for i in range(5)]
    answers.put("made@1", [(r, Scored(-n / 3, i + 1, 1)) for i, r in enumerate(requests)])
    print(n, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_put_returned_for(tmp_path):
    path, first = tmp_path / "answers.sqlite", 0
    draw = random.Random(5)
    for _ in range(4):
        command = [sys.executable, "-c", WRITER, str(path), str(first)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        said = [writer.stdout.readline()]
        threading.Timer(draw.uniform(0.01, 0.3), os.kill, (writer.pid, signal.SIGKILL)).start()
        said += writer.stdout.readlines()
        assert writer.wait() == -signal.SIGKILL
        returned = [int(line) for line in said if line.endswith("\n")]
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
        requests = [Score(f"p{n}" * 200, f" {i}") for n in returned for i in range(5)]
        kept = Answers(path).get(MODEL, requests)
        assert kept == [Scored(-n / 3, i + 1, 1) for n in returned for i in range(5)]
        assert Answers(path).count() % 5 == 0  # whole transactions only
        first = returned[-1] + 1
    assert first > 4


def test_many_answers_take_seconds(answers):
    """On 2 cores 20,000 take about 1 s to put and 0.6 s to get; the limit leaves room."""
    requests = [Score(f"passage {n} " * 30, f" query {n}") for n in range(20_000)]
    start = time.perf_counter()
    for first in range(0, len(requests), 256):
        group = requests[first : first + 256]
        answers.put(MODEL, [(request, scored(n)) for n, request in enumerate(group)])
    assert None not in answers.get(MODEL, requests)
    assert time.perf_counter() - start < 20


def test_the_file_holds_plain_json(answers):
    answers.put(MODEL, [(Score("p", " c"), scored(2))])
    (text,) = sqlite3.connect(answers.path).execute("SELECT answer FROM answers").fetchone()
    assert json.loads(text) == {
        "logprob": -2 / 3,
        "tokens": 3,
        "prompt_tokens": 5,
        "finish": "stop",
    }
