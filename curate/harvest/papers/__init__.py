"""Papers: titles, abstracts and citations, from the archives that publish them."""

from curate.harvest.papers.source import PapersHarvest

__all__ = ["PapersHarvest"]
