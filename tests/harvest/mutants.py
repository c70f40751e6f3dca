"""Damage for samples: bit flips, cuts and splices, from a seed; and a bound on how long reading takes."""

import bz2
import gzip
import lzma
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from curate.harvest.reading.damage import DamagedError
from curate.harvest.reading.files import File
from curate.harvest.reading.unpacking import unpacked

PACKERS = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
ARCHIVES = (".tar.gz", ".tar.xz", ".tgz", ".zip", ".whl", ".dict.dz")


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Damage data in one to three ways.

    :param other: of another sample, for splices.
    """
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(_WAYS)(rng, data, other)
    return data


def _flips(rng, data, other):
    damaged = bytearray(data)
    for _ in range(rng.choice([1, 3, 30, 300]) if damaged else 0):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _cut_off(rng, data, other):
    return data[: rng.randrange(len(data) + 1)]


def _cut_out(rng, data, other):
    begin, end = _span(rng, data)
    return data[:begin] + data[end:]


def _doubled(rng, data, other):
    begin, end = _span(rng, data)
    return data[:end] + data[begin:]


def _spliced(rng, data, other):
    begin, end = _span(rng, other)
    at = rng.randrange(len(data) + 1)
    return data[:at] + other[begin:end] + data[at:]


def _noise(rng, data, other):
    at = rng.randrange(len(data) + 1)
    piece = rng.choice(
        [b"\0" * 50, b"<" * 3000, b"{{" * 2000, b"[" * 5000, b"\xff\xfe", b"&a;" * 99]
    )
    return data[:at] + piece + data[at:]


_WAYS = [_flips, _cut_off, _cut_out, _doubled, _spliced, _noise]


def _span(rng, data):
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.randrange(1, 5000))


def mutant(rng: random.Random, file: File, most: int, other: bytes) -> bytes:
    """Return a damaged file: its packed bytes, or its content packed again, cut to `most` bytes first."""
    raw = file.path.read_bytes()
    suffix = file.path.suffix
    inside = suffix in PACKERS and not file.path.name.endswith(ARCHIVES)
    if inside and rng.random() < 0.8:
        return PACKERS[suffix](mutate(rng, excerpt(file, most), other))
    return mutate(rng, raw if file.path.name.endswith(ARCHIVES) else raw[:most], other)


def excerpt(file: File, most: int) -> bytes:
    """Return the first bytes of a file's content."""
    held = bytearray()
    try:
        for piece in unpacked(file):
            held += piece
            if len(held) > most:
                break
    except DamagedError:
        pass
    return bytes(held[:most])


@contextmanager
def bounded(seconds: int, what: str) -> Iterator[None]:
    """Fail if the block takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{what}: longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
