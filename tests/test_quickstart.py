"""The quick start as a user runs it, judged by what it promises."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from curate import read_shards

ROOT = Path(__file__).parent.parent


def _run(output: Path, *more: str) -> float:
    command = [sys.executable, "-m", "curate", "run", "pipelines/quickstart.yaml"]
    started = time.monotonic()
    subprocess.run([*command, "--output", str(output), *more], cwd=ROOT, check=True)
    return time.monotonic() - started


def _stages(output: Path) -> list[dict]:
    return json.loads((output / "runs/latest/run.json").read_bytes())["stages"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_quick_start_beats_bm25_and_runs_again_at_once(tmp_path):
    seconds = _run(tmp_path)
    again = _run(tmp_path)
    assert all(row["reused"] for row in _stages(tmp_path))
    assert again < 15, f"an unchanged run took {again:.1f} s"

    proof = tmp_path / "runs/latest/stages/proof"
    metrics = json.loads((proof / "metrics.json").read_bytes())
    assert metrics["queries"] >= 2000
    gains = {
        gain["baseline"]: gain
        for gain in metrics["differences"]
        if (gain["system"], gain["metric"]) == ("final", "nDCG@10")
    }
    assert gains["bm25"]["ratio"] >= 1.25
    assert all(gain["difference"]["low"] > 0 for gain in gains.values())

    trained_on = read_shards(tmp_path / "runs/latest/stages/shards").to_polars(["group"])["group"]
    held_out = read_shards(tmp_path / "runs/latest/stages/parts", "held_out")
    assert not set(trained_on) & set(held_out.to_polars(["group"])["group"])
    _loads_in_sentence_transformers(tmp_path / "runs/latest/stages/final")
    print(f"quick start: {seconds:.0f} s, again {again:.1f} s")  # noqa: T201


def _loads_in_sentence_transformers(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from curate.encode import load_encoder

    texts = ["Return the shortest path.", "def getUserName(self):\n    return self._name"]
    theirs = SentenceTransformer(str(folder)).encode(texts)
    np.testing.assert_allclose(load_encoder(folder).encode_queries(texts), theirs, atol=1e-6)
