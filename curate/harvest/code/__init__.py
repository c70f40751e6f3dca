"""Code: documented definitions from packages and trees, commits from repositories."""

from curate.harvest.code.source import CodeHarvest

__all__ = ["CodeHarvest"]
