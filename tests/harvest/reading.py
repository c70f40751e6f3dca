"""Runs a source by itself, without an engine, and checks its accounts: what tests of sources need."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from curate.schema import Pair, Passage, Record
from curate.stage import Drop, Joined, Piece, Source


@dataclass
class Harvested:
    """All that a source made of its input, in order."""

    records: list[Record] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    kept: int = 0

    @property
    def pairs(self) -> list[Pair]:
        return [record for record in self.records if isinstance(record, Pair)]

    @property
    def passages(self) -> list[Passage]:
        return [record for record in self.records if isinstance(record, Passage)]

    @property
    def kinds(self) -> Counter:
        return Counter(pair.kind for pair in self.pairs)

    @property
    def reasons(self) -> Counter:
        return Counter(drop.reason for drop in self.drops)

    def add(self, found: list[Record] | Drop) -> None:
        if isinstance(found, Drop):
            assert found.detail, f"a drop for {found.reason} says nothing of where and what"
            self.drops.append(found)
        else:
            assert found, "an input that leaves nothing is a drop"
            self.records += found
            self.kept += 1


def harvested(source: Source) -> Harvested:
    """Read all that a source reads, as the engine does, with the pieces of a key brought together."""
    source.check()
    result, pieces = Harvested(), defaultdict(list)
    names = Counter()
    for unit in source.units():
        for block in source.cut(unit):
            names[block.name] += 1
            for found in source.harvest(block):
                if isinstance(found, Piece):
                    assert isinstance(source, Joined)
                    pieces[found.key].append(found)
                else:
                    result.add(found)
    assert not names or max(names.values()) == 1, "two blocks of one name"
    for key, held in pieces.items():
        fates = list(source.join(key, held))
        assert len(fates) == sum(piece.counts for piece in held), f"{key}: an input without a fate"
        for fate in fates:
            result.add(fate)
    return result
