"""SIGKILL in the middle of a large file, then the same command: nothing lost, doubled or read again."""

import gzip
import json
import random
import signal
import time

import pytest

from curate.harvest.reading import bounds
from tests.engine.small import contents, start

BLOCKS = 6
KILLS = 4
WORDS = [
    f"{a}{b}" for a in ("re", "un", "pre", "out", "over") for b in ("turn", "load", "set", "run")
]


def prose(rng, words):
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def posts(rng):
    """Questions and their answers, far from each other."""
    yield b'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
    number = 0
    while True:
        number += 1
        if number % 2:
            kind = f'PostTypeId="1" Title="{prose(rng, 8)[:-1]}?"'
        else:
            kind = f'PostTypeId="2" ParentId="{rng.randrange(1, number, 2)}"'
        body = "".join(f"&lt;p&gt;{prose(rng, 60)}&lt;/p&gt;&#xA;" for _ in range(4))
        score = rng.randrange(9)
        yield (
            f'  <row Id="{number}" {kind} CreationDate="2019-01-01T00:00:00.000" Score="{score}" '
            f'Body="{body}" ContentLicense="CC BY-SA 4.0" />\n'
        ).encode()


def comments(rng):
    """Comments of threads, replies before and behind their parents."""
    number = 0
    while True:
        number += 1
        thread = rng.randrange(4000)
        parent = f"t1_c{rng.randrange(1, number + 500)}" if number % 3 else f"t3_{thread}"
        comment = {
            "id": f"c{number}", "link_id": f"t3_{thread}", "parent_id": parent, "score": 3,
            "author": "someone", "subreddit": "tests", "body": prose(rng, 90), "created_utc": number,
        }  # fmt: skip
        if parent.startswith("t1_"):
            comment["link_id"] = f"t3_{int(parent[4:]) % 4000}"
        yield json.dumps(comment).encode() + b"\n"


SOURCES = {"harvest.stackexchange": ("Posts.xml.gz", posts), "harvest.reddit": ("RC.gz", comments)}


@pytest.mark.parametrize("stage", SOURCES)
def test_a_killed_harvest_goes_on_where_it_was(tmp_path, stage):
    name, made = SOURCES[stage]
    dump = tmp_path / "dump"
    dump.mkdir()
    size, lines = 0, made(random.Random(4))
    with gzip.open(dump / name, "wb", compresslevel=1) as file:
        while size < BLOCKS * bounds.BLOCK_BYTES:
            size += file.write(next(lines))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"stages:\n  pairs: {{{stage}: {{path: {dump}}}}}\n")

    assert start(recipe, tmp_path / "undisturbed").wait() == 0
    expected = contents(tmp_path / "undisturbed")

    rng, output, killed = random.Random(7), tmp_path / "killed", 0
    finished: dict[str, int] = {}
    for _ in range(KILLS):
        process = start(recipe, output)
        while process.poll() is None and len(parts_of(output)) == len(finished):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        parts = parts_of(output)
        assert finished.items() <= parts.items(), "a finished block was read again"
        finished = parts
    assert killed, "every run was faster than its death"
    assert finished, "no run finished a block before it was killed"
    assert start(recipe, output).wait() == 0
    assert finished.items() <= parts_of(output).items(), "a finished block was read again"
    assert contents(output) == expected


def parts_of(output):
    """Return when each finished part was made."""
    folder = output / "store" / "parts"
    return (
        {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.exists() else {}
    )
