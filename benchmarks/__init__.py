"""Measurements that anyone can repeat: `python -m benchmarks.NAME`; the last line is one JSON object."""
