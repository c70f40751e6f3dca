"""Reddit: comments and what they reply to, from monthly dumps."""

from curate.harvest.reddit.source import RedditHarvest

__all__ = ["RedditHarvest"]
