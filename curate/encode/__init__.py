"""Encoders: text in, unit vectors out; and exact neighbours among vectors."""

from curate.encode.base import Encoder, load_encoder

__all__ = ["Encoder", "load_encoder"]
