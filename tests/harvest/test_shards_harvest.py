import pytest

from curate import Recipe
from curate.errors import CurateError
from curate.harvest.shards import ShardsHarvest
from curate.schema import from_table
from tests.report.conftest import make_pair, write_pairs


def test_pairs_come_out_as_they_went_in(tmp_path):
    pairs = [make_pair(n, scores={"rank": 2.5}, parents=["a" * 32]) for n in range(7)]
    pairs.append(make_pair(8, query=""))
    pairs[0].negatives[0].text = None
    source = ShardsHarvest(path=write_pairs(tmp_path / "pairs", pairs))
    found = [record for unit in source.units() for got in source.harvest(unit) for record in got]
    assert found == pairs


def test_the_key_follows_the_content_and_not_the_folder(tmp_path):
    pairs = [make_pair(n) for n in range(4)]
    here = ShardsHarvest(path=write_pairs(tmp_path / "here", pairs))
    there = ShardsHarvest(path=write_pairs(tmp_path / "there", pairs))
    other = ShardsHarvest(path=write_pairs(tmp_path / "other", pairs[1:]))
    names = [[(u.name, u.fingerprint) for u in s.units()] for s in (here, there, other)]
    assert here.material() == there.material() == other.material()
    assert names[0] == names[1] != names[2]


def test_a_run_over_shards_keeps_their_rows(tmp_path):
    pairs = [make_pair(n) for n in range(9)]
    source = write_pairs(tmp_path / "pairs", pairs)
    run = Recipe({"read": ShardsHarvest(path=source)}).run(tmp_path / "output", workers=1)
    assert from_table(run.shards("read").to_arrow()) == pairs


def test_a_damaged_shard_is_refused_by_name(tmp_path):
    folder = write_pairs(tmp_path / "pairs", [make_pair(n) for n in range(4)])
    shard = folder / "p-1.arrow"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CurateError, match=r"p-1\.arrow: checksum"):
        Recipe({"read": ShardsHarvest(path=folder)}).run(tmp_path / "output", workers=1)


def test_what_is_no_folder_of_pairs_is_refused_before_the_run(tmp_path):
    with pytest.raises(CurateError, match="no manifest here"):
        Recipe({"read": ShardsHarvest(path=tmp_path)})
