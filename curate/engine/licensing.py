"""What the licences of a recipe would drop, told from a sample before anything runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from curate.licenses import NOASSERTION
from curate.schema import Record
from curate.stage import Drop, Joined, Piece, Source, Unit

SAMPLE_UNITS = 8
SAMPLE_FOUND = 250
"""What is looked at of each unit in the sample: its first so many records, pieces and drops."""


@dataclass(frozen=True, slots=True)
class LicenseShare:
    """One licence in the sample of a source.

    :param share: of the sampled records, 0 to 1.
    :param records: how many records the sample has, of all licences.
    :param refusal: why the recipe drops it; None if it passes.
    """

    license: str
    share: float
    records: int
    refusal: str | None


def license_shares(stage: Source) -> list[LicenseShare]:
    """Sample the licences of a source: the beginnings of some of its units, evenly chosen."""
    units = stage.units()
    step = max(1, -(-len(units) // SAMPLE_UNITS))
    counts = Counter(
        record.license or NOASSERTION for record in _sampled(stage, units[::step][:SAMPLE_UNITS])
    )
    total = sum(counts.values())
    return [
        LicenseShare(name, count / total, total, stage.licenses.refusal(name))
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def _sampled(stage: Source, units: list[Unit]) -> Iterator[Record]:
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for unit in units:
        found = (item for block in stage.cut(unit) for item in stage.harvest(block))
        for item in islice(found, SAMPLE_FOUND):
            if isinstance(item, Piece):
                pieces[item.key].append(item)
            elif not isinstance(item, Drop):
                yield from item
    if isinstance(stage, Joined):
        for key, held in pieces.items():
            for fate in stage.join(key, held):
                if not isinstance(fate, Drop):
                    yield from fate
