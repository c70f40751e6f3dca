"""Two made sites: tables plain, packed and in an archive; answers before questions; bad rows."""

import gzip
from collections.abc import Iterable
from html import escape
from pathlib import Path

import py7zr

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n'
TOPICS = ["gardens", "ovens", "Żółw", "кошки", "日本", "tents"]


def row(**attributes: object) -> str:
    """Return a row as a dump has it."""
    values = {name: escape(str(value)).replace("\n", "&#xA;") for name, value in attributes.items()}
    return "<row " + " ".join(f'{name}="{value}"' for name, value in values.items()) + " />"


def question(number: int, title: str, body: str = "<p>Nothing helps.</p>", **more: object) -> str:
    """Return a question as a dump has it."""
    usual = {"CreationDate": "2016-01-02T03:04:05.678", "Score": 2}
    return row(Id=number, PostTypeId=1, **(usual | {"Body": body, "Title": title} | more))


def answer(number: int, parent: int, body: str = "<p>Wait a day.</p>", **more: object) -> str:
    """Return an answer as a dump has it."""
    usual = {"CreationDate": "2019-01-02T03:04:05.678", "Score": 1}
    return row(Id=number, PostTypeId=2, ParentId=parent, **(usual | {"Body": body} | more))


def link(post: object, related: object, kind: object = 3) -> str:
    """Return a link as a dump has it."""
    return row(Id=1, PostId=post, RelatedPostId=related, LinkTypeId=kind)


def table(rows: Iterable[str]) -> bytes:
    """Return a table as a dump has it."""
    return (HEAD + "".join(f"  {row}\r\n" for row in rows) + "</posts>").encode()


def thread(number: int) -> list[str]:
    """Return the rows of a thread: two answers that pair and two that do not, the question last."""
    topic, first = TOPICS[number % len(TOPICS)], 10 * number
    body = f"<p>All my <b>{topic}</b> no. {number}</p>\n<pre><code>if a &lt; b:\n    run()</code></pre>"
    return [
        answer(first + 1, first, f"<p>Ask {topic} &amp; co.</p><ul><li>once<li>twice</ul>"),
        answer(first + 2, first, f"<p>Take {number}.</p>", Score=-3),
        answer(first + 3, first, f"<p>Leave {topic}!</p>", Score=0),
        answer(first + 4, first, "<img src='x.png'>"),
        question(first, f"What of {topic} {number}?", body, AcceptedAnswerId=first + 3),
    ]


BAD = [
    '<row Id="5" PostTypeId="1" Body="cut',
    '<row Id="6" PostTypeId="1" Body="&undefined;" />',
    '<raw Id="7" />',
    question("x", "No number"),
    answer(8, "none"),
    answer(9001, 9000, "<p>To nothing.</p>"),
    row(Id=11, PostTypeId=5, Body="<p>A wiki.</p>"),
    question(9002, "", "<p>No title.</p>"),
    answer(9003, 10, "<p>No score.</p>", Score="many"),
]


def make(folder: Path) -> dict[str, object]:
    """Write two sites, one of them as an archive, and return the settings that read them."""
    plain, packed = folder / "garden.stackexchange.com", folder / "archived"
    plain.mkdir()
    packed.mkdir()
    rows = [row for number in range(1, 30) for row in thread(number)]
    (plain / "Posts.xml").write_bytes(table([*rows[:70], *BAD, *rows[70:]]))
    links = [
        link(10, 20),
        link(30, 20),
        link(20, 10),
        link(10, 40, 1),
        link(10, 9999),
        link("x", 1),
    ]
    (plain / "PostLinks.xml.gz").write_bytes(gzip.compress(table(links), mtime=0))
    (packed / "Posts.xml").write_bytes(table(rows[:25]))
    (packed / "PostLinks.xml").write_bytes(table([link(10, 20)]))
    with py7zr.SevenZipFile(folder / "ru.stackoverflow.com.7z", "w") as archive:
        for name in ("PostLinks.xml", "Posts.xml"):
            archive.write(packed / name, name)
            (packed / name).unlink()
    packed.rmdir()
    (folder / "stackoverflow.com-Posts.7z").write_bytes(b"7z\xbc\xaf\x27\x1c broken")
    return {"path": str(folder)}
