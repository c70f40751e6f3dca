"""The quick start as a user runs it, judged by what it promises."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from curate import read_shards
from curate.schema import from_table
from curate.shards import read_manifest

ROOT = Path(__file__).parent.parent
PEAK_BYTES = 4 * 2**30
NO_NETWORK = """
import sys

def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.bind"):
        raise RuntimeError(f"network access: {event} {arguments}")

sys.addaudithook(refuse)
"""


def _run(output: Path, *more: str) -> float:
    """Run the recipe where every use of the network, in any of its processes, is an error."""
    (output / "site").mkdir(exist_ok=True)
    (output / "site" / "sitecustomize.py").write_text(NO_NETWORK)
    command = [sys.executable, "-m", "curate", "run", "pipelines/quickstart.yaml"]
    environment = os.environ | {"PYTHONPATH": str(output / "site")}
    started = time.monotonic()
    subprocess.run(
        [*command, "--output", str(output), *more], cwd=ROOT, check=True, env=environment
    )
    return time.monotonic() - started


def _stages(output: Path) -> list[dict]:
    return json.loads((output / "runs/latest/run.json").read_bytes())["stages"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quick_start_beats_bm25_and_runs_again_at_once(tmp_path):
    seconds = _run(tmp_path)
    again = _run(tmp_path)
    assert all(row["reused"] for row in _stages(tmp_path))
    assert not any(row["llm"] for row in _stages(tmp_path)), "a language model was asked again"
    assert again < 15, f"an unchanged run took {again:.1f} s"
    peaks = [
        read_manifest(tmp_path / "runs/latest/stages" / row["name"]) for row in _stages(tmp_path)
    ]
    assert max(manifest.info["peak_bytes"] for manifest in peaks) < PEAK_BYTES

    proof = tmp_path / "runs/latest/stages/proof"
    metrics = json.loads((proof / "metrics.json").read_bytes())
    assert metrics["queries"] >= 2000
    gains = {
        gain["baseline"]: gain
        for gain in metrics["differences"]
        if (gain["system"], gain["metric"]) == ("final", "nDCG@10")
    }
    assert gains["bm25"]["ratio"] >= 1.25
    del gains["without"]  # a hundred pairs more or less are not expected to show
    assert all(gain["difference"]["low"] > 0 for gain in gains.values())

    trained_on = read_shards(tmp_path / "runs/latest/stages/shards").to_polars(["group"])["group"]
    held_out = read_shards(tmp_path / "runs/latest/stages/parts", "held_out")
    assert not set(trained_on) & set(held_out.to_polars(["group"])["group"])
    _holds_synthetic_pairs(tmp_path)
    _loads_in_sentence_transformers(tmp_path / "runs/latest/stages/final")
    print(f"quick start: {seconds:.0f} s, again {again:.1f} s")  # noqa: T201


def _holds_synthetic_pairs(output: Path) -> None:
    """Real queries of the language model, with the scores that chose their passages."""
    pairs = read_shards(output / "runs/latest/stages/shards").to_arrow()
    written = [pair for pair in from_table(pairs) if pair.source == "fret"]
    assert len(written) >= 50
    scores = {"query_likelihood", "relevance", "rrf"}
    for pair in written:
        assert pair.task
        assert {"likelihood_margin", "likelihood_lift", "consistency_rank"} <= set(pair.scores)
        for doc in (*pair.positives, *pair.negatives):
            assert doc.text
            assert scores <= set(doc.scores)
    notes = read_manifest(output / "runs/latest/stages/chosen").info["notes"]
    assert 0 <= notes["moved_share"] < 1


def _loads_in_sentence_transformers(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from curate.encode import load_encoder

    texts = ["Return the shortest path.", "def getUserName(self):\n    return self._name"]
    theirs = SentenceTransformer(str(folder)).encode(texts)
    np.testing.assert_allclose(load_encoder(folder).encode_queries(texts), theirs, atol=1e-6)
