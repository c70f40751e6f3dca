"""How much is read, held and passed on at a time, and what is too much.

Modules use these by `bounds.NAME`, so that all agree wherever they are changed.
"""

from __future__ import annotations

BLOCK_BYTES = 8 << 20
"""About how long a block is: what a worker reads at a time, and what a killed run reads again at most."""
MAX_RECORD_BYTES = 16 << 20
"""A longer line or element is dropped; so is a longer document or member of an archive."""
MAX_SILENCE_BYTES = 256 << 20
"""A stream that goes on for so long without a boundary is a bomb, or no such stream."""
READ_BYTES = 1 << 20
"""Bytes to read or to pass on at once."""
