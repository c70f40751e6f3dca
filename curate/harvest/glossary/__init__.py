"""Terms and definitions from dictionaries and tables."""

from curate.harvest.glossary.source import GlossaryHarvest

__all__ = ["GlossaryHarvest"]
