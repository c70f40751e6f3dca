"""Engines run the stages of a recipe: store, workers, resume, accounting, progress."""
