"""The command line. Commands import what they need when they are called, so that help comes at once."""

from curate.cli.app import app, main

__all__ = ["app", "main"]
