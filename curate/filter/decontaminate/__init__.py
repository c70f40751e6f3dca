"""Keeping evaluation sets out of training data."""

from curate.filter.decontaminate.sets import EvaluationSet
from curate.filter.decontaminate.stage import Decontaminate

__all__ = ["Decontaminate", "EvaluationSet"]
