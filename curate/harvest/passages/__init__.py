"""Folders of documents, split into passages."""

from curate.harvest.passages.source import PassagesHarvest

__all__ = ["PassagesHarvest"]
