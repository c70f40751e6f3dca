"""Web archives and pages as crawlers leave them, made for tests."""

import gzip
import zipfile
from pathlib import Path

TOPICS = [
    "tides",
    "bridges",
    "lichens",
    "comets",
    "glaciers",
    "sourdough",
    "locks",
    "beehives",
    "滑雪",
    "мосты",
]


def paragraph(topic: str, number: int) -> str:
    """Return some sentences, different for each number."""
    return (
        f"Much has been written about {topic}, and number {number} of our series says what is new. "
        f"It was seen for {number} years, in {number + 3} places, by people who know {topic} well."
    )


def html(topic: str, number: int, head: str = "", links: str = "") -> str:
    """Return a page with a title, two sections and, on request, links."""
    return f"""<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8">
<title>All about {topic}, part {number} | Fieldnotes</title>
<meta property="og:site_name" content="Fieldnotes">{head}</head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li></ul></nav>
<main><article><h1>All about {topic}, part {number}</h1>
<p>{paragraph(topic, number)}</p>{links}
<h2>What do {topic} look like in winter {number}?</h2>
<p>{paragraph("winter and " + topic, number + 100)}</p><p>{paragraph("ice on " + topic, number + 7)}</p>
<h2>Sources</h2><p>{paragraph("books", number)}</p>
</article></main><footer>© 2024 Fieldnotes, all rights reserved</footer></body></html>"""


def http(
    body: bytes, media: str = "text/html; charset=utf-8", status: str = "200 OK", more: str = ""
) -> bytes:
    """Return what a server answers."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {media}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def record(
    url: str,
    body: bytes,
    type_: str = "response",
    media: str = "application/http; msgtype=response",
) -> bytes:
    """Return a record of a WARC."""
    head = (
        f"WARC/1.0\r\nWARC-Type: {type_}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2024-05-01T00:00:00Z\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def url_of(topic: str, number: int) -> str:
    """Return the address of a page."""
    return f"https://fieldnotes.example/{TOPICS.index(topic)}/{number}"


def linking(topic: str, number: int) -> str:
    """Return a paragraph with a link to the page before it."""
    other = TOPICS[(number + 1) % len(TOPICS)]
    target = url_of(other, number)
    anchor = f"the study of {other} in spring {number}"
    return (
        f'<p>We came back from {topic} with notes on <a href="{target}#part">{anchor}</a>, which'
        f" is a thing to be read on its own. Or <a href='{target}'>click here</a>.</p>"
    )


def pages() -> list[bytes]:
    """Return records of 80 pages that link to each other."""
    made = []
    for number in range(8):
        for topic in TOPICS:
            license_ = '<link rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">'
            text = html(topic, number, license_ if number % 2 else "", linking(topic, number))
            made.append(record(url_of(topic, number), http(text.encode())))
    return made


def bad_records() -> list[bytes]:
    """Return records that give nothing, each for another reason."""
    page = html("bad luck", 1).encode()
    return [
        record("https://a.example/request", b"GET / HTTP/1.1\r\n\r\n", "request"),
        record("https://a.example/gone", http(page, status="404 Not Found")),
        record("https://a.example/image", http(b"\x89PNG\r\n", "image/png")),
        record("https://a.example/empty", http(b"<html><body></body></html>")),
        record(
            "https://a.example/short",
            http(b"<html><title>Some title here</title><p>Short.</p></html>"),
        ),
        record(
            "https://a.example/title",
            http(html("x", 1).replace("All about x, part 1 | Fieldnotes", "Home").encode()),
        ),
        record("https://a.example/br", http(b"\x0b\x02\x80", more="Content-Encoding: br\r\n")),
        record(url_of("tides", 0), http(page)),
        record("https://a.example/nul", http(b"\0" * 3000 + b"\xff\xfe\xd8")),
        record("https://a.example/deep", http(b"<html>" + b"<div>" * 5000 + b"x")),
        b"this is no record at all\r\n\r\n",
        record("https://a.example/after", http(html("after", 1).encode())),
    ]


def plain(number: int) -> str:
    """Return the text of a page as a WET has it."""
    texts = [paragraph(f"locks of kind {number}", n + 10 * number) for n in range(3)]
    return "\n".join([f"A plain text number {number} on locks", "Home", "Menu", *texts, "About us"])


def make(folder: Path) -> dict[str, object]:
    """Write a WARC, packed and plain, a WET, an ARC, pages in a folder and in a zip."""
    records = pages()
    (folder / "a.warc").write_bytes(b"".join(records[:40] + bad_records()))
    (folder / "b.warc.gz").write_bytes(b"".join(gzip.compress(r, mtime=0) for r in records[40:]))
    (folder / "cut.warc.gz").write_bytes(gzip.compress(b"".join(records[:3]), mtime=0)[:-300])
    wet = [
        record(f"https://wet.example/{n}", plain(n).encode(), "conversion", "text/plain")
        for n in range(9)
    ]
    (folder / "c.warc.wet").write_bytes(b"".join(wet))
    body = http(html("arcs", 1).encode("latin-1"))
    arc = (
        f"http://arc.example/1 10.0.0.1 20100101000000 text/html {len(body)}\n".encode()
        + body
        + b"\n"
    )
    (folder / "d.arc").write_bytes(
        b"filedesc://d.arc 0.0.0.0 20100101000000 text/plain 8\n1 0 made\n" + arc
    )
    site = folder / "site"
    site.mkdir()
    for number in range(12):
        head = f'<link rel="canonical" href="https://site.example/{number}">' if number % 3 else ""
        (site / f"{number}.html").write_text(html("beehives", number + 20, head), "utf-8")
    (site / "wide.html").write_text(html("wide", 1), "utf-16")
    (site / "none.html").write_bytes(b"\x00\x01\x02" * 50)
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.html", html("zips", number + 40))
        archive.writestr("style.css", "body {}")
    return {"path": str(folder)}
