"""Synthesize: passages in, pairs out, written by a language model."""
