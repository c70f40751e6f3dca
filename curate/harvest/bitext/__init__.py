"""Translations from message catalogues, memories, aligned lines and parallel pages."""

from curate.harvest.bitext.source import BitextHarvest

__all__ = ["BitextHarvest"]
