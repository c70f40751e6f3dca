"""Rules on length, symbols, repetition and more: cheap, explained, and the first of all filters."""

from curate.filter.rules.c4 import C4
from curate.filter.rules.gopher import GopherQuality, GopherRepetition
from curate.filter.rules.stage import Rules

__all__ = ["C4", "GopherQuality", "GopherRepetition", "Rules"]
