"""Labelled sets, made into pairs and triplets."""

from curate.harvest.labelled.source import LabelledHarvest

__all__ = ["LabelledHarvest"]
