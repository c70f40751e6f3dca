"""The `local` backend: a transformers model in this process."""

from curate.llm.local.model import LocalModel

__all__ = ["LocalModel"]
