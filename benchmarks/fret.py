"""FRet over many passages against a loopback server that answers at once: memory, a kill, progress.

    python -m benchmarks.fret [--count 10000]

The server, another process, answers by a hash of the prompt from a fixed set of answers, some of which
are not JSON. The run is a process of its own, which is killed when half of the answers are recorded; the
same command then goes on. Checked is that it asks exactly for what was not recorded, and that the rows
are those of a run that nobody killed. The last line is JSON: `replayed_s`, the seconds of the run that
nobody killed; `peak_mb`, the most that a run held in all its processes; `answers_s`, how many answers the
run took in a second, all told.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from curate.llm.answers import Answers
from curate.shards import read_shards

_CANDIDATES = 4
_RECIPE = """
llm: {{backend: openai, model: made, url: "{url}"}}
stages:
  read:     {{harvest.table: {{path: "{passages}", record: passages}}}}
  written:  {{synthesize.fret: {{candidates: {candidates}}}}}
"""
_WORDS = """
sort filter merge parse load write close open count group split join read list map table row
column number text value name file path key index query passage stream block token score label page link
order price total report error retry limit cache queue worker thread socket header body
""".strip().split()
_SECONDS_BETWEEN_SAMPLES = 0.2


def write_passages(path: Path, count: int) -> None:
    """Write passages that are asked about, all different."""
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            text = " ".join(draw.choices(_WORDS, k=draw.randint(60, 200)))
            file.write(
                json.dumps({"title": f"passage {number}", "text": f"{number} {text}"}) + "\n"
            )


# -- the server ------------------------------------------------------------------------------


class Server:
    """Answers from a fixed set; counts what came twice."""

    def __init__(self) -> None:
        draw = random.Random(1)
        task = "Given a description of what code does, find the code that does it"
        queries = [" ".join(draw.choices(_WORDS, k=draw.randint(3, 12))) for _ in range(500)]
        self.texts = [json.dumps({"task": task, "query": query}) for query in queries]
        self.texts += [text[:-20] for text in self.texts[:25]]
        self.came: dict[bytes, int] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request to generate."""
        raw = await request.read()
        body = json.loads(raw)
        text = '{"word": "quokka"}'  # what the client's probe of the server forces
        if "seed" in body:
            digest = hashlib.blake2b(raw, digest_size=8).digest()
            self.came[digest] = self.came.get(digest, 0) + 1
            text = self.texts[int.from_bytes(digest) % len(self.texts)]
        message = {"text": text, "message": {"role": "assistant", "content": text}}
        choice = {"index": 0, "finish_reason": "stop", **message}
        usage = {"prompt_tokens": len(raw) // 4, "completion_tokens": len(text) // 4}
        return web.json_response({"choices": [choice], "usage": usage})

    async def count(self, request: web.Request) -> web.Response:
        """Tell how many requests came, and how many of them more than once; begin anew."""
        told = {"came": len(self.came), "again": sum(n > 1 for n in self.came.values())}
        if "clear" in request.query:
            self.came.clear()
        return web.json_response(told)

    async def serve(self) -> None:
        """Print the port and answer for ever."""
        app = web.Application()
        app.router.add_post("/v1/{path:.*}", self.answer)
        app.router.add_get("/count", self.count)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


@contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own; give its address."""
    command = [sys.executable, "-m", "benchmarks.fret", "--serve"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait()


def counted(address: str, *, clear: bool = False) -> dict[str, int]:
    """Ask the server what came to it."""
    from urllib.request import urlopen

    with urlopen(f"{address}/count{'?clear' if clear else ''}", timeout=30) as reply:
        return dict(json.load(reply))


# -- the run ---------------------------------------------------------------------------------


def run(recipe: Path, output: Path, kill_at: int | None = None) -> dict[str, Any]:
    """Run the recipe in a process of its own; measure it, and perhaps kill it.

    :param kill_at: how many recorded answers it is killed at.
    """
    command = [sys.executable, "-m", "curate", "run", str(recipe), "--output", str(output)]
    started, peak = time.perf_counter(), 0
    answers = Answers(output / "store" / "answers.sqlite")
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            peak = max(peak, _held(process.pid))
            if kill_at is not None and answers.path.exists() and answers.count() >= kill_at:
                process.send_signal(signal.SIGKILL)
            time.sleep(_SECONDS_BETWEEN_SAMPLES)
        said.seek(0)
        lines = said.read().splitlines()
    expected = 0 if kill_at is None else -signal.SIGKILL
    if process.returncode != expected:
        raise SystemExit(f"the run ended with {process.returncode}: {lines[-5:]}")
    shown = [line for line in lines if line.startswith("written: ")]
    return {"seconds": time.perf_counter() - started, "peak": peak, "shown": shown}


def _held(pid: int) -> int:
    """Return the bytes that a process and those below it hold."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:  # it ended meanwhile
        return 0
    return total


def measure(count: int, folder: Path, address: str) -> dict[str, float]:
    """Kill a run and go on with it; then run undisturbed, and compare."""
    passages, recipe = folder / "passages.jsonl", folder / "fret.yaml"
    write_passages(passages, -(-count // _CANDIDATES))
    url = f"{address}/v1"
    recipe.write_text(_RECIPE.format(url=url, passages=passages, candidates=_CANDIDATES))
    begun = run(recipe, folder / "killed", kill_at=count // 2)
    recorded = Answers(folder / "killed" / "store" / "answers.sqlite").count()
    counted(address, clear=True)
    resumed = run(recipe, folder / "killed")
    rest = counted(address, clear=True)
    print(f"killed at {recorded:,} recorded answers; the rest took {resumed['seconds']:.1f} s")
    whole = run(recipe, folder / "whole")
    for line in whole["shown"]:
        print(f"shown: {line}")
    told = counted(address)
    if told["again"] or rest["again"] or rest["came"] != told["came"] - recorded:
        raise SystemExit(f"asked again: of {told} {recorded:,} were recorded, then came {rest}")
    stage = "runs/latest/stages/written"
    ours, theirs = (read_shards(folder / name / stage).to_arrow() for name in ("killed", "whole"))
    if not ours.equals(theirs):
        raise SystemExit("the rows differ")
    print(f"{told['came']:,} generations, {len(ours):,} pairs, equal rows")
    peak = max(one["peak"] for one in (begun, resumed, whole))
    return {
        "replayed_s": round(whole["seconds"], 1),
        "peak_mb": round(peak / 1e6, 1),
        "answers_s": round(told["came"] / whole["seconds"], 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="generations")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(Server().serve())
        return
    os.environ["COLUMNS"] = "200"
    with tempfile.TemporaryDirectory() as folder, serving() as address:
        print(json.dumps(measure(given.count, Path(folder), address)))


if __name__ == "__main__":
    main()
