"""Wikipedia: sections, leads and links, from dumps of its pages."""

from curate.harvest.wikipedia.source import WikipediaHarvest

__all__ = ["WikipediaHarvest"]
