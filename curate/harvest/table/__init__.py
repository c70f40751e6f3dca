"""Tables of pairs or passages in the layouts that others publish."""

from curate.harvest.table.source import TableHarvest

__all__ = ["TableHarvest"]
