"""News in all the forms that `harvest.news` reads, made for tests."""

import csv
import gzip
import json
import zipfile
from pathlib import Path

from tests.harvest.made.web import bad_records, html, http, pages, paragraph, record

FEED = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE rss [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;">]>
<rss version="2.0" xmlns:content="http://purl.org/rss/1.0/modules/content/">
<channel><title>Harbour News</title><language>en-gb</language>{items}</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="de">{items}</feed>"""


def item(number: int) -> str:
    """Return an item of RSS with a description and a content of its own."""
    return f"""<item><title>Harbour opens its gate number {number} &amp;amp; waits</title>
<link>https://harbour.example/{number}</link>
<description>The gate was opened at {number} o'clock; &lt;b&gt;ships&lt;/b&gt; from all over came in.
</description>
<content:encoded><![CDATA[<p>{paragraph("gates", number)}</p><p>{paragraph("ships", number)}</p>]]>
</content:encoded></item>"""


def entry(number: int) -> str:
    """Return an entry of Atom."""
    return f"""<entry><title type="html">Das Tor Nummer {number} ist offen</title>
<link rel="alternate" href="https://hafen.example/{number}"/>
<summary>Kurz: {paragraph("Tore", number)}</summary>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>{paragraph("Häfen", number)}</p></div>
</content></entry>"""


def row(number: int) -> dict[str, str]:
    """Return a row of a table."""
    return {
        "headline": f"Council votes on bridge number {number}",
        "short_description": f"After {number} years of talk, there is a decision on the bridge.",
        "body": f'{paragraph("bridges", number)}\n"Quoted", they say.\n{paragraph("rivers", number)}',
        "link": f"https://council.example/{number}",
    }


def tables(folder: Path) -> None:
    """Write tables with and without names, quoted over several lines, and some broken."""
    with (folder / "council.csv").open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(row(0)))
        writer.writeheader()
        writer.writerows(row(number) for number in range(30))
    rows = [
        [str(n % 4), f"Shares of company {n} rise again", f"{paragraph('shares', n)} \\$5 #39;s"]
        for n in range(30)
    ]
    with gzip.open(folder / "plain.csv.gz", "wt", encoding="utf-8", newline="") as opened:
        csv.writer(opened, quoting=csv.QUOTE_ALL).writerows(rows)
    lines = [
        json.dumps({"title": f"Läufer {n} gewinnt den Lauf", "text": paragraph("Läufe", n)})
        for n in range(20)
    ]
    lines += [
        '{"title": "cut',
        '{"title": "\\ud800 alone in the dark", "text": 7}',
        '{"title": null, "text": "x"}',
        "[]",
    ]
    (folder / "runs.jsonl").write_text("\n".join(lines), "utf-8")
    with zipfile.ZipFile(folder / "tables.zip", "w") as archive:
        archive.writestr("set/a.jsonl", "\n".join(lines))
    (folder / "other.csv").write_text("a,b\n1,2\n3,4\n", "utf-8")


def make(folder: Path) -> dict[str, object]:
    """Write a WARC, pages, feeds, tables and texts, some of them broken."""
    (folder / "a.warc").write_bytes(b"".join(pages()[:20] + bad_records()))
    (folder / "front.warc").write_bytes(
        record("https://front.example/", http(html("fronts", 1).encode()))
    )
    (folder / "page.html").write_text(html("pages", 3), "utf-8")
    items = "".join(item(number) for number in range(10))
    (folder / "feed.rss").write_text(FEED.format(items=items), "utf-8")
    (folder / "cut.xml").write_text(FEED.format(items=items)[:2500], "utf-8")
    (folder / "atom.xml").write_text(ATOM.format(items="".join(map(entry, range(10)))), "utf-8")
    (folder / "other.xml").write_text("<map><x/></map>", "utf-8")
    bomb = '<!DOCTYPE rss [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {y} "{("&" + x + ";") * 10}">'
        for x, y in zip("abcdefgh", "bcdefghi", strict=True)
    )
    bomb += '<!ENTITY f SYSTEM "file:///etc/passwd">]>'
    bomb += "<rss><channel><item><title>&i; &f;</title></item></channel></rss>"
    (folder / "bomb.xml").write_text(bomb, "utf-8")
    feed = {
        "version": "https://jsonfeed.org/version/1.1",
        "items": [row(n) for n in range(5)] + [{"x": 1}],
    }
    (folder / "feed.json").write_text(json.dumps(feed), "utf-8")
    (folder / "deep.json").write_text("[" * 100_000, "utf-8")
    tables(folder)
    texts = [
        f"A storm over town number {n}\n{paragraph('storms', n)}\nMore of it." for n in range(10)
    ]
    with zipfile.ZipFile(folder / "texts.zip", "w") as archive:
        archive.writestr("many.txt", "\n\n".join([*texts, "Short\nNothing here."]).encode("cp1252"))
        for n in range(5):
            title = f"\n\tUne tempête numéro {n} sur la ville\n\n"
            archive.writestr(f"one/{n}.txt", f"{title}{title}\n\t{paragraph('é', n)}\n")
        archive.writestr("empty.txt", " \n")
        archive.writestr("keys.key", "storm\n")
    return {"path": str(folder)}
