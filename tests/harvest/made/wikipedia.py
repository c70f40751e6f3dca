"""A small wiki in all the ways its dumps are packed, with some pages that are broken."""

import bz2
import gzip
from html import escape
from pathlib import Path

TOWNS = ["Ābele", "Brēžgis", "Čornaja", "Dagda", "Ežerūns", "Feimani", "Gaigalova", "Kaunata"]
NAMESPACES = {-2: "Media", 1: "Talk", 6: "Datei", 10: "Template", 14: "Kategorie"}


def header(code: str = "de", project: str = "wikipedia") -> str:
    names = "".join(
        f'<namespace key="{key}" case="first-letter">{name}</namespace>\n'
        for key, name in NAMESPACES.items()
    )
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10"'
        f' xml:lang="{code}">\n  <siteinfo>\n    <sitename>Wiki</sitename>\n'
        f"    <dbname>{code}wiki</dbname>\n    <base>http://{code}.{project}.org/wiki/Main_Page</base>\n"
        f"    <case>first-letter</case>\n    <namespaces>\n{names}</namespaces>\n  </siteinfo>\n"
    )


def page(
    title: str,
    text: str,
    number: int = 1,
    namespace: int = 0,
    timestamp: str = "2024-01-02T03:04:05Z",
    redirect: str | None = None,
) -> str:
    to = f'    <redirect title="{escape(redirect)}" />\n' if redirect else ""
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{namespace}</ns>\n"
        f"    <id>{number}</id>\n{to}    <revision>\n      <id>{number + 1000}</id>\n"
        f"      <timestamp>{timestamp}</timestamp>\n      <model>wikitext</model>\n"
        f'      <text xml:space="preserve">{escape(text)}</text>\n'
        "    </revision>\n  </page>\n"
    )


def dump(pages: list[str], code: str = "de") -> str:
    return f"{header(code)}{''.join(pages)}</mediawiki>\n"


def multistream(pages: list[str], code: str = "de", together: int = 2) -> bytes:
    """Pack as Wikimedia does: the header, some pages each, and the end are bz2 streams."""
    groups = ["".join(pages[at : at + together]).encode() for at in range(0, len(pages), together)]
    return b"".join(map(bz2.compress, [header(code).encode(), *groups, b"</mediawiki>\n"]))


def name_of(number: int) -> str:
    return f"{TOWNS[number % len(TOWNS)]} ({'abcdefghij'[number // 10]}{'abcdefghij'[number % 10]})"


def article(number: int) -> str:
    town, other = name_of(number), name_of(number + 3)
    return (
        f"{{{{Infobox|name={town}|map=[[Datei:x.svg|thumb|A [[map]]]]}}}}\n"
        f"'''{town}''' is a town with about {number}00 people{{{{efn|more}}}} in the lake"
        f" district.<ref>A note</ref> It lies near [[{other}|the next]], on a river 🐟.\n\n"
        f"== History ==\nThe town was first named in a deed of the year {1200 + number}, when it fell"
        f" to the [[bishop]].\n\n=== Later ===\nThe railway came in 1861, and the people of"
        f" [[{name_of(number + 5)}]] were glad of it and came in great number.\n"
        "{| class=x\n| a table\n|}\n== See also ==\n* [[Lakes]]\n* [[Rivers]]\n"
    )


def pages(first: int, count: int, timestamp: str = "2024-01-02T03:04:05Z") -> list[str]:
    return [
        page(name_of(n), article(n), n, timestamp=timestamp) for n in range(first, first + count)
    ]


def make(folder: Path) -> dict[str, object]:
    odd = [
        page("Town", "#REDIRECT [[Dagda (ad)]]", 900, redirect="Dagda (ad)"),
        page("Talk:Town", "What do you think of this article?", 901, namespace=1),
        page("Dagda", "'''Dagda''' may be:\n* [[Dagda (ad)]]\n{{disambiguation}}", 902),
        page("Empty", "", 903),
        "  <page>\n    <title>Broken & torn</title>\n  </page>\n",
        page("Unclosed", "{{" * 50 + "[[" * 50 + "<ref>" * 50 + " words of no sense", 904),
    ]
    (folder / "dewiki.xml").write_text(dump([*pages(0, 12), *odd]), "utf-8")
    (folder / "dewiki2.xml.gz").write_bytes(gzip.compress(dump(pages(12, 12)).encode(), mtime=0))
    old = dump(pages(24, 8, "2014-01-02T03:04:05Z"), "bg")
    (folder / "bgwiki.xml.bz2").write_bytes(bz2.compress(old.encode("utf-16")))
    (folder / "dewiki3-multistream.xml.bz2").write_bytes(multistream(pages(32, 8)))
    cut = gzip.compress(dump(pages(40, 30)).encode(), mtime=0)
    (folder / "dewiki4.xml.gz").write_bytes(cut[: len(cut) // 2])
    return {"path": str(folder)}
