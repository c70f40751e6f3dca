"""Sources that are cut into blocks and whose pairs join what lies apart, run by the engine."""

import gzip
import json
import random
from collections import Counter

import pytest

from curate import Recipe
from curate.engine import pieces
from curate.engine.local import plan
from curate.engine.pieces import PieceWriter, buckets_for, has_pieces, joins_of, read_pieces
from curate.harvest.reading import bounds
from curate.licenses import Licenses
from curate.schema import from_table
from curate.stage import Piece, Unit
from tests.contracts.harness import execute, files, rows
from tests.engine.replies import Replies

LICENSES = ("MIT", "CC-BY-NC-4.0")


@pytest.fixture
def messages(tmp_path):
    """Three files with messages in random order: half of the parents lie in another file."""
    rng = random.Random(3)
    made = [
        {"id": n, "to": rng.randrange(-20, 3000), "text": f"message {n} " + "é" * rng.randrange(40)}
        for n in range(3000)
    ]
    for message in made:
        message |= {"thread": message["id"] % 50, "license": LICENSES[message["id"] % 4 == 0]}
        if message["to"] >= 0:
            message["to"] = message["to"] // 50 * 50 + message["thread"]
    lines = [json.dumps(message).encode() + b"\n" for message in made]
    rng.shuffle(lines)
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(lines[:1200]) + b"{broken\n")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b"".join(lines[1200:2000])))
    (folder / "c.jsonl").write_bytes(b"".join(lines[2000:]))
    return folder, made


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(bounds, "READ_BYTES", 4_000)
    monkeypatch.setattr(pieces, "JOIN_BYTES", 40_000)


def test_replies_find_their_parents_wherever_they_lie(messages, small_blocks, tmp_path):
    folder, made = messages
    artefact = execute(Recipe({"a": Replies(path=str(folder))}), tmp_path / "out")["a"]
    texts = {message["id"]: message["text"] for message in made}
    expected = Counter(
        (texts[message["to"]], message["text"]) for message in made if message["to"] >= 0
    )
    pairs = from_table(artefact.shards("main").to_arrow())
    assert Counter((pair.query, pair.positives[0].text) for pair in pairs) == expected
    roots = sum(message["to"] < 0 for message in made)
    assert artefact.account.dropped == {"broken": 1, "no_parent": roots}
    assert artefact.account.inputs == 3001
    assert len(artefact.manifest.sides["main"].shards) > 4


def test_workers_batches_and_the_cut_change_no_row(messages, small_blocks, tmp_path, monkeypatch):
    recipe = Recipe({"a": Replies(path=str(messages[0]))})
    plain = execute(recipe, tmp_path / "plain")["a"]
    spread = execute(recipe, tmp_path / "spread", workers=2)["a"]
    assert rows(execute(recipe, tmp_path / "batch", batch=7)["a"]) == rows(plain)
    assert Counter(map(str, rows(spread)["main"])) == Counter(map(str, rows(plain)["main"]))
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 1 << 20)
    whole = execute(recipe, tmp_path / "whole")["a"]
    assert rows(whole)["main"] == rows(plain)["main"]
    assert files(execute(recipe, tmp_path / "two", workers=2)["a"]) == files(spread)


def test_a_run_that_stopped_reads_only_what_is_left(messages, small_blocks, tmp_path, monkeypatch):
    recipe = Recipe({"a": Replies(path=str(messages[0]))})
    expected = rows(execute(recipe, tmp_path / "plain")["a"])
    plain = {"read": Replies.read, "join": Replies.join}
    seen = {"read": [], "join": []}

    def stops(name, after):
        def method(self, what, *more):
            seen[name].append(what)
            if len(seen[name]) > after:
                raise KeyboardInterrupt
            yield from plain[name](self, what, *more)

        return method

    for name, after in (("read", 3), ("read", 8), ("join", 30)):
        monkeypatch.setattr(Replies, "read", stops("read", after if name == "read" else 10**6))
        monkeypatch.setattr(Replies, "join", stops("join", after if name == "join" else 10**6))
        with pytest.raises(KeyboardInterrupt):
            execute(recipe, tmp_path / "out")
    for name, method in plain.items():
        monkeypatch.setattr(Replies, name, method)
    chunks = [(chunk.file.name, chunk.start) for chunk in seen["read"]]
    again = len(chunks) - len(set(chunks))
    assert again == 2, "other blocks are read again than those that were being read at a stop"
    assert rows(execute(recipe, tmp_path / "out")["a"]) == expected
    assert not list((tmp_path / "out" / "store" / "work").iterdir()), "scratch stays"


def test_licenses_drop_what_they_refuse_and_the_plan_says_how_much(messages, tmp_path):
    folder, made = messages
    stage = Replies(path=str(folder), licenses=Licenses(deny=("*-nc-*",)))
    recipe = Recipe({"a": stage})
    (step,) = plan(recipe, tmp_path / "out")
    shares = {found.license: found for found in step.licenses}
    assert shares["MIT"].refusal is None
    assert "denied by '*-nc-*'" in shares["CC-BY-NC-4.0"].refusal
    assert abs(shares["CC-BY-NC-4.0"].share - 0.25) < 0.15
    account = execute(recipe, tmp_path / "out")["a"].account
    refused = sum(m["to"] >= 0 and m["license"] == "CC-BY-NC-4.0" for m in made)
    assert account.dropped["license"] == refused
    assert account.kept == sum(m["to"] >= 0 for m in made) - refused
    allowing = Licenses(allow=("mit",))
    assert allowing.refusal("MIT") is None
    assert "not among the allowed: mit" in allowing.refusal(None)
    assert not plan(Recipe({"a": Replies(path=str(folder))}), tmp_path / "out")[0].licenses


def test_pieces_come_back_key_by_key_in_their_order(tmp_path):
    made = [Piece(f"k{n % 7}", {"n": n, "é": "\U0001f600\n\u2028"}, n % 2 == 0) for n in range(90)]
    for block in range(3):
        writer = PieceWriter(tmp_path, str(block), 16)
        for piece in made[block * 30 : block * 30 + 30]:
            writer.add(piece)
        assert not has_pieces(tmp_path, str(block))
        writer.close()
        assert has_pieces(tmp_path, str(block))
    blocks = ["0", "1", "2"]
    groups = joins_of(tmp_path, blocks)
    assert [bucket for group in groups for bucket in group] == list(range(16))
    found = dict(item for group in groups for item in read_pieces(tmp_path, blocks, group))
    assert found == {f"k{k}": [p for p in made if p.key == f"k{k}"] for k in range(7)}
    assert joins_of(tmp_path, []) == []


def test_buckets_grow_with_the_input():
    sizes = [0, 10, 10**8, 10**10, 10**13]
    counts = [buckets_for([Unit("a", "b", size=size)]) for size in sizes]
    assert counts == [16, 16, 32, 4096, 4096]
