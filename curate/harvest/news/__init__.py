"""News: articles from WARC, feeds, tables and archives."""

from curate.harvest.news.source import NewsHarvest

__all__ = ["NewsHarvest"]
