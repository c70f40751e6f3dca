"""vLLM's engine: its settings, several engines, their end; what all backends do is in test_backends."""

import importlib.util
import os
import signal

import psutil
import pytest

from curate.errors import CurateError, MissingExtraError
from curate.llm.base import Generate, Sampling, Score, UnansweredError
from curate.llm.settings import LLM

SAMPLING = Sampling(temperature=1.0, max_tokens=10)
REQUESTS = [Generate(f"Number {n}:", SAMPLING, seed=n) for n in range(48)]
SMALL = {"backend": "vllm", "max_model_len": 1024, "memory": 0.12, "dtype": "float32"}


@pytest.fixture
def folder(tmp_path):
    """A folder that has a model's name only."""
    (tmp_path / "config.json").write_text("{}")
    return str(tmp_path)


def test_answers_of_two_engines_are_not_taken_for_each_other(folder):
    local, vllm = LLM(model=folder), LLM(backend="vllm", model=folder)
    assert local.identity() != vllm.identity()
    assert vllm.identity() == LLM(model=folder, **SMALL | {"dtype": "auto"}).identity()
    assert vllm.identity() != LLM(model=folder, **SMALL).identity()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "vllm", "batch": 8}, "llm.batch: the backend 'vllm' has no such setting"),
        ({"backend": "vllm", "url": "http://127.0.0.1/v1"}, "llm.url: .*'openai' has"),
        ({"data_parallel": 2}, "llm.data_parallel: .*'local' has no such setting, 'vllm' has"),
    ],
)
def test_settings_of_other_backends_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        LLM(**settings).check()


def test_what_must_be_installed_is_said(folder):
    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed")
    with pytest.raises(MissingExtraError, match=r"'vllm'.*curate\[vllm\]"):
        LLM(backend="vllm", model=folder).open()


def processes():
    """Return the running processes of engines, by what vLLM calls them."""
    children = psutil.Process().children(recursive=True)
    return {p: p.name() for p in children if p.name().startswith("VLLM")}


def ended(found):
    gone, alive = psutil.wait_procs(list(found), timeout=30)
    return len(gone) == len(found) and not alive


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_engines_share_the_requests(smollm2):
    """Two engines, each with processes of its own, give the answers that one gives."""
    model = LLM(model=str(smollm2), **SMALL | {"data_parallel": 2}).open()
    workers = [p for p, name in processes().items() if "Worker" in name]
    assert len(workers) == 2
    before = [p.cpu_times().user for p in workers]
    shared = dict(model.generate(REQUESTS))
    assert sorted(shared) == list(range(len(REQUESTS)))
    spent = [p.cpu_times().user - b for p, b in zip(workers, before, strict=True)]
    assert min(spent) > 0.2 * max(spent)
    found = processes()
    model.close()
    assert ended(found)

    model = LLM(model=str(smollm2), **SMALL).open()
    alone = dict(model.generate(REQUESTS))
    assert sum(alone[n] == shared[n] for n in alone) >= 0.95 * len(alone)
    _refuses_what_is_too_long(model)
    _is_ended_by_the_end_of_a_process(model)


def _refuses_what_is_too_long(model):
    requests = [
        Generate("long " * 2000),
        Generate("One", SAMPLING),
        Generate("a " * 1020, SAMPLING),
    ]
    answers = model.generate(requests)
    assert next(answers)[0] == 1
    with pytest.raises(UnansweredError, match="engine reads 1024: cut the prompt") as failed:
        next(answers)
    assert sorted(failed.value.failed) == [0, 2]
    with pytest.raises(UnansweredError, match="engine reads 1024"):
        list(model.score([Score("long " * 2000, " text")]))
    with pytest.raises(CurateError, match="this schema cannot be followed"):
        list(model.generate([Generate("x", schema='{"type": "nothing"}')]))


def _is_ended_by_the_end_of_a_process(model):
    found = processes()
    worker = next(p for p, name in found.items() if "Worker" in name)
    answers = model.generate([Generate(f"{n}:", Sampling(max_tokens=200)) for n in range(600)])
    next(answers)
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(CurateError, match=r"vLLM's engine ended.*run again"):
        list(answers)
    model.close()
    assert ended(found)
