"""Throughput and memory of the harvesters that read large dumps, beside plain parsers on the same files.

    CURATE_DATA=FOLDER python -m benchmarks.harvest [--mb 250 1000] [--only stackexchange]

From the small real dumps below CURATE_DATA larger ones are made (ids and titles differ in every copy)
and packed. Each is harvested by `curate run` with both cores: whole processes, from start to end, with
joins and shards. Peak memory is that of all its processes together, resident less shared. The baseline
reads the smallest of the files in one process, without filters, joins or output:

    stackexchange  lxml.etree.iterparse, and lxml.html text of every body
    reddit         zstandard and json.loads of every line
    wikipedia      lxml.etree.iterparse, and mwparserfromhell's strip_code of every article
    warc, crawl    warcio, and trafilatura.extract (its fast way) of every page

`warc` holds the news pages of `news_html`; `crawl` the records of `warc`, pages of all kinds with a tag
every 27 bytes. Rates are megabytes (10^6) of unpacked input a second; of both WARC files, of HTML. The
last line is JSON; its keys without a size are those of the largest.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from benchmarks.measure import measured

MB = 1_000_000
Copies = Iterator[bytes]


# -- larger dumps ----------------------------------------------------------------------------------


def posts(data: Path) -> Copies:
    """Give copies of the rows of all sites; every site of every copy has ids of its own."""
    ids = re.compile(rb' (Id|ParentId|AcceptedAnswerId)="(\d+)"')
    sites = []
    for path in sorted(data.glob("stackexchange/*/Posts.xml.gz")):
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        sites.append(b"".join(line for line in lines if b"<row " in line))
    yield b'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
    number = 0
    while True:
        for rows in sites:
            base = number * 100_000

            def moved(match: re.Match[bytes], base: int = base) -> bytes:
                return b' %s="%d"' % (match[1], int(match[2]) + base)

            yield ids.sub(moved, rows)
            number += 1


def comments(data: Path) -> Copies:
    """Give copies of the comments of two months, with ids of their own."""
    import zstandard

    ids = re.compile(rb'("(?:id|link_id|parent_id)": ?")((?:t\d_)?\w+)"')
    lines = b""
    for path in sorted(data.glob("reddit/RC_*.zst")):
        with path.open("rb") as file:
            lines += zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file).read()
    number = 0
    while True:
        yield ids.sub(rb"\g<1>\g<2>z%d" % number + b'"', lines)
        number += 1


def pages(data: Path) -> Copies:
    """Give copies of the pages of the English sample, with titles of their own."""
    dump = bz2.decompress(next(data.glob("wikipedia/enwiki-*.bz2")).read_bytes())
    begin = dump.index(b"<page>")
    yield dump[:begin]
    body = dump[begin : dump.rindex(b"</page>") + len(b"</page>")] + b"\n"
    number = 0
    while True:
        yield body.replace(b"</title>", b" %d</title>" % number) if number else body
        number += 1


def responses(data: Path) -> Copies:
    """Give the 181 news pages as WARC responses, with addresses of their own in every copy."""
    pages = [
        gzip.decompress(path.read_bytes()) for path in sorted(data.glob("news_html/html/*.gz"))
    ]
    number = 0
    while True:
        for place, html in enumerate(pages):
            target = f"https://site{place}.example/copy{number}/page.html"
            yield response(html, target)
        number += 1


def response(html: bytes, target: str) -> bytes:
    """Write a page as a WARC record."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
    headers = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {target}\r\n"
        f"WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{uuid5(NAMESPACE_URL, target)}>"
        f"\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}"
    )
    return headers.encode() + b"\r\n\r\n" + http + b"\r\n\r\n"


def crawled(data: Path) -> Copies:
    """Give copies of the records of all WARC files, with addresses of their own."""
    target = re.compile(rb"(?m)^(WARC-Target-URI: <?https?://[^/\s>]+)")
    records = b""
    for path in sorted(data.glob("warc/*.warc*")):
        raw = path.read_bytes()
        records += gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    number = 0
    while True:
        yield target.sub(rb"\g<1>/copy%d" % number, records)
        number += 1


@contextmanager
def packed(path: Path) -> Iterator[Callable[[bytes], object]]:
    """Give a function that writes to a file, packed as its suffix says."""
    if path.name.endswith(".warc.gz"):  # a member for each record
        with path.open("wb") as file:
            yield lambda record: file.write(gzip.compress(record, 1))
        return
    with _opened(path) as file:
        yield file.write


def _opened(path: Path) -> Any:
    if path.suffix == ".bz2":
        return bz2.open(path, "wb", compresslevel=1)
    if path.suffix == ".zst":
        import zstandard

        return zstandard.open(path, "wb")
    return path.open("wb")


def enlarge(copies: Copies, size: int, path: Path, end: bytes) -> int:
    """Write copies until the unpacked size is reached; return it."""
    written = 0
    with packed(path) as write:
        while written < size:
            piece = next(copies)
            write(piece)
            written += len(piece)
        write(end)
    return written + len(end)


# -- baselines -------------------------------------------------------------------------------------


def parse_posts(path: Path) -> None:
    """Parse every row, and the HTML of its body."""
    import lxml.etree
    import lxml.html

    with path.open("rb") as file:
        for _, row in lxml.etree.iterparse(file, tag="row"):
            body = row.get("Body") or ""
            if body.strip():
                lxml.html.fragment_fromstring(body, create_parent="div").text_content()
            row.clear()
            while row.getprevious() is not None:
                del row.getparent()[0]


def parse_comments(path: Path) -> None:
    """Parse every line."""
    import io

    import zstandard

    with path.open("rb") as file:
        reader = zstandard.ZstdDecompressor(max_window_size=2**31).stream_reader(file)
        for line in io.BufferedReader(cast(Any, reader), 1 << 20):
            json.loads(line)


def parse_pages(path: Path) -> None:
    """Strip every article of its markup."""
    import lxml.etree
    import mwparserfromhell

    with bz2.open(path) as file:
        for _, text in lxml.etree.iterparse(file, tag="{*}text"):
            mwparserfromhell.parse(text.text or "").strip_code()
            text.clear()


def parse_responses(path: Path) -> None:
    """Extract the text of every page."""
    import trafilatura

    for html in html_of(path):
        trafilatura.extract(html, fast=True, include_comments=False)


def html_of(path: Path) -> Iterator[bytes]:
    """Give the pages of a WARC file."""
    from warcio.archiveiterator import ArchiveIterator

    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            headers = record.http_headers if record.rec_type == "response" else None
            if headers is not None and "html" in (headers.get_header("Content-Type") or ""):
                yield record.content_stream().read()


# -- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dump:
    """How a dump is made, harvested, and read by the baseline."""

    name: str
    stage: str
    file: str
    copies: Callable[[Path], Copies]
    baseline: Callable[[Path], None]
    end: bytes = b""


DUMPS = [
    Dump("stackexchange", "harvest.stackexchange", "Posts.xml", posts, parse_posts, b"</posts>"),
    Dump("reddit", "harvest.reddit", "RC_2006-01.zst", comments, parse_comments),
    Dump(
        "wikipedia", "harvest.wikipedia", "enwiki-pages-articles.xml.bz2", pages, parse_pages,
        b"</mediawiki>",
    ),
    Dump("warc", "harvest.web", "pages.warc.gz", responses, parse_responses),
    Dump("crawl", "harvest.web", "crawl.warc", crawled, parse_responses),
]  # fmt: skip


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def harvest(dump: Dump, folder: Path) -> tuple[float, int, dict[str, Any]]:
    """Harvest a dump in processes of its own; return seconds, peak bytes and the stage's account."""
    recipe, output = folder / "recipe.yaml", folder / "output"
    recipe.write_text(f"stages:\n  pairs: {{{dump.stage}: {{path: {folder / 'dump'}}}}}\n")
    run = measured([sys.executable, "-m", "curate", "run", str(recipe), "--output", str(output)])
    (manifest,) = (output / "store" / "artefacts").glob("*/manifest.json")
    account = json.loads(manifest.read_bytes())["info"]["account"]
    return run.seconds, run.peak, account


def measure(dump: Dump, data: Path, sizes: list[int], scratch: Path) -> dict[str, float]:
    """Measure one dump at all sizes, the baseline at the smallest; print as it goes."""
    figures: dict[str, float] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=scratch) as made:
            folder = Path(made)
            (folder / "dump").mkdir()
            path = folder / "dump" / dump.file
            unpacked = enlarge(dump.copies(data), size * MB, path, dump.end)
            counted = sum(map(len, html_of(path))) if ".warc" in dump.file else unpacked
            seconds, peak, account = harvest(dump, folder)
            rate = counted / MB / seconds
            print(
                f"{dump.name}: {unpacked / MB:,.0f} MB, {counted / MB:,.0f} counted, in "
                f"{seconds:.1f} s: {rate:.1f} MB/s, peak {peak / MB:,.0f} MB, "
                f"{account['inputs']:,} inputs, {account['outputs']['main']:,} pairs",
                flush=True,
            )
            figures |= {f"{dump.name}_mb_s_{size}": rate, f"{dump.name}_peak_mb_{size}": peak / MB}
            if size == sizes[0]:
                plain = counted / MB / timed(lambda path=path: dump.baseline(path))  # type: ignore[misc]
                print(f"{dump.name}: baseline {plain:.1f} MB/s", flush=True)
    largest = {"mb_s": rate, "ratio": rate / plain, "peak_mb": peak / MB}
    return figures | {f"{dump.name}_{name}": value for name, value in largest.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, nargs="+", default=[250, 1000])
    parser.add_argument("--only", nargs="+", choices=[dump.name for dump in DUMPS])
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    if "CURATE_DATA" not in os.environ:
        sys.exit("CURATE_DATA must name the folder of the small real dumps")
    data, figures = Path(os.environ["CURATE_DATA"]), {}
    for dump in DUMPS:
        if not options.only or dump.name in options.only:
            figures |= measure(dump, data, options.mb, options.scratch)
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
