"""The web: pages from WARC, WET and folders of HTML."""

from curate.harvest.web.source import WebHarvest

__all__ = ["WebHarvest"]
