"""Stack Exchange: questions, answers and duplicates from the dumps of its sites."""

from curate.harvest.stackexchange.source import StackExchangeHarvest

__all__ = ["StackExchangeHarvest"]
