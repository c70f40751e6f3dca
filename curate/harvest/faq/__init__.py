"""Questions and answers from pages, manuals and structured data."""

from curate.harvest.faq.source import FaqHarvest

__all__ = ["FaqHarvest"]
