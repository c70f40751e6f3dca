"""`filter.similarity` against cosines taken one by one."""

import numpy as np
import pytest

from curate.encode import load_encoder
from curate.encode import pairs as encode_pairs
from curate.filter import similarity as module
from curate.filter.similarity import SIMILARITY, SimilarityFilter
from curate.schema import Doc, Pair
from curate.stage import Inputs
from tests.contracts.harness import shards_of, treat
from tests.contracts.records import make_pairs


@pytest.fixture
def similar(model, tmp_path):
    def similar(records, cuts=2, **options):
        inputs = Inputs(
            shards_of(records, "pairs", tmp_path, cuts), {}, {"encoder": [("m", model)]}
        )
        stage = SimilarityFilter(encoder=str(model), **options)
        return treat(stage, inputs, tmp_path / f"work{len(list(tmp_path.iterdir()))}")

    return similar


def cosines(model, records) -> list[float]:
    """Return the cosine of each pair; NaN where a side is missing."""
    encoder, found = load_encoder(model), []
    docs = [pair.positives[0] for pair in records if pair.positives]
    texts = {doc.id: doc.text for doc in docs if doc.text is not None}
    for pair in records:
        text = texts.get(pair.positives[0].id) if pair.positives else None
        if pair.query is None or text is None:
            found.append(float("nan"))
        else:
            sides = encoder.encode_queries([pair.query])[0], encoder.encode_passages([text])[0]
            found.append(float(np.dot(*sides)))
    return found


def scores_of(found) -> dict[str, float]:
    """Return the stored cosine of each pair, kept or dropped, by id."""
    kept = {pair.id: pair.scores.get(SIMILARITY) for pair in found.kept}
    for row in found.dropped:
        stored = [s["value"] for s in row["scores"] if s["name"] == SIMILARITY]
        kept[row["id"]] = stored[0] if stored else None
    return kept


def test_similar_pairs_stay(similar, model):
    records = make_pairs(6, 150)
    expected = cosines(model, records)
    found = similar(records, threshold=0.3)
    kept = [p.id for p, c in zip(records, expected, strict=True) if c >= 0.3]
    assert [pair.id for pair in found.kept] == kept
    assert 20 < len(kept) < 120
    stored = scores_of(found)
    for pair, cosine in zip(records, expected, strict=True):
        assert stored[pair.id] == (None if np.isnan(cosine) else pytest.approx(cosine, abs=1e-5))
    reasons = {row["id"]: row["drop_reason"] for row in found.dropped}
    assert set(reasons.values()) == {"dissimilar", "no_positive"}
    unknown = {p.id for p, c in zip(records, expected, strict=True) if np.isnan(c)}
    assert {i for i, reason in reasons.items() if reason == "no_positive"} == unknown
    detail = next(row["drop_detail"] for row in found.dropped if row["drop_reason"] == "dissimilar")
    assert detail.endswith("at least 0.3 is kept")


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_a_quantile_drops_the_lowest(similar, model, share):
    records = make_pairs(7, 200, hostile=0)
    values = np.array(cosines(model, records))
    found = similar(records, threshold=None, quantile=share)
    assert len(found.dropped) == pytest.approx(share * len(records), abs=3)
    stored = scores_of(found)
    dropped = [stored[row["id"]] for row in found.dropped]
    assert max(dropped, default=-1) < min(stored[pair.id] for pair in found.kept)
    assert len(values) == len(stored)


def test_each_source_has_its_limit(similar, model):
    """Another threshold for one source, a quantile of its own pairs for another."""
    records = make_pairs(8, 200, hostile=0)
    per_source = {"python": {"threshold": 0.6}, "forum": {"threshold": None, "quantile": 0.5}}
    found = similar(records, threshold=0.1, per_source=per_source)
    values = dict(zip([p.id for p in records], cosines(model, records), strict=True))
    kept = {pair.id for pair in found.kept}
    forum = [values[p.id] for p in records if p.source == "forum"]
    for pair in records:
        least = {"python": 0.6, "forum": np.median(forum)}.get(pair.source, 0.1)
        if abs(values[pair.id] - least) > 1e-3:
            assert (pair.id in kept) == (values[pair.id] > least), pair.source


def test_the_histogram_counts_every_pair_once(similar, model):
    records = make_pairs(6, 150)
    values = np.array(cosines(model, records))
    values = values[~np.isnan(values)]
    (table,) = similar(records).notes["tables"]
    everyone = table["rows"][0]
    assert everyone[:2] == ["all", str(len(values))]
    for low, share in zip(table["columns"][2:], everyone[2:], strict=True):
        edge = float(low.removesuffix(">"))
        inside = (values >= edge - 1e-6) & (values < edge + 0.1 - 1e-6)
        assert share == f"{inside.mean():.1%}"
    assert sum(int(row[1]) for row in table["rows"][1:]) == len(values)


def test_batches_change_nothing(similar, monkeypatch):
    records = make_pairs(6, 100)
    whole = similar(records)
    monkeypatch.setattr(encode_pairs, "BATCH", 7)
    parts = similar(records, cuts=5)
    assert (parts.kept, parts.notes) == (whole.kept, whole.notes)


def test_nothing_to_compare(similar, monkeypatch):
    monkeypatch.setattr(module, "load_encoder", None)
    assert similar([]).kept == []


def test_equal_sides_are_alike(similar):
    records = [Pair("k", "read the file", [Doc("read the file")], "s", "g")]
    (pair,) = similar(records, threshold=1.0 - 1e-6).kept
    assert pair.scores[SIMILARITY] == pytest.approx(1)


def test_quantile_and_threshold_join(similar, model):
    """Each drops what it would drop alone; without either all pairs with two sides stay."""
    records = make_pairs(7, 200, hostile=0)
    ways = [
        {"threshold": 0.5},
        {"threshold": None, "quantile": 0.5},
        {"threshold": 0.5, "quantile": 0.5},
    ]
    first, second, both = ({p.id for p in similar(records, **way).kept} for way in ways)
    assert both == first & second
    assert first != second
    assert len(similar(records, threshold=None).kept) == len(records)
