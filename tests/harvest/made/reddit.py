"""A made forum: threads whose posts come in a later file, in every format of the dumps."""

import bz2
import json
import lzma
from pathlib import Path

import zstandard

TOPICS = [
    "gardens",
    "ovens",
    "rivers",
    "bicycles",
    "Żółw",
    "lenses",
    "кошки",
    "tents",
    "looms",
    "日本",
]


def comment(name: str, link: str, parent: str, body: str, **fields: object) -> dict[str, object]:
    """Return a comment as a dump has it."""
    usual = {"author": "ann", "score": 3, "subreddit": "made", "stickied": False}
    ids = {"id": name, "link_id": f"t3_{link}", "parent_id": parent}
    return usual | ids | {"body": body} | fields


def post(name: str, title: str, selftext: str = "", **fields: object) -> dict[str, object]:
    """Return a submission as a dump has it."""
    usual = {"author": "bob", "score": 5, "subreddit": "made", "num_comments": 4}
    return usual | {"id": name, "title": title, "selftext": selftext} | fields


def lines(*rows: dict[str, object]) -> bytes:
    """Return rows as a dump has them."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def thread(number: int) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return a post, and its comments: two that pair, and two with something wrong."""
    topic, link = TOPICS[number % len(TOPICS)], f"p{number}"
    wrong = [
        {"body": "lol"},
        {"score": -number},
        {"author": "[deleted]", "body": "[removed]"},
        {"author": "AutoModerator"},
        {"distinguished": "moderator"},
        {"parent_id": "t1_nowhere"},
        {"body": "see https://example.org/" + "a" * 200},
        {"body": "word " * 1_000},
        {"id": f"a{number}"},
    ]
    title = f"What should I know about {topic} before I buy the {number}th of them?"
    link_text = f"[{topic}](http://a.b/c) \U0001f600"
    answer = (
        f"&gt; {title}\n\n**You** &amp; I would need {number} hours to learn about {link_text}."
    )
    reply = f"I have had {topic} for {number} years, and never more trouble than with any other."
    odd = f"This one has something odd about it, as everybody can see at once: {number}."
    comments = [
        comment(f"b{number}", link, f"t1_a{number}", reply, score=number + 1),
        comment(f"a{number}", link, f"t3_{link}", answer, score=number),
        comment(f"c{number}", link, f"t1_b{number}", odd) | wrong[number % len(wrong)],
        comment(f"d{number}", link, f"t1_c{number}", f"{odd} And {topic} too, whatever they say."),
    ]
    return post(link, title, f"I *only* have `{number}`." if number % 2 else ""), comments


def make(folder: Path) -> dict[str, object]:
    """Write months and a subreddit, packed in every way, some lines of them damaged."""
    threads = [thread(number) for number in range(160)]
    rows = [row for _, comments in threads for row in comments]
    posts = [submission for submission, _ in threads]
    first = lines(*rows[:50]) + b'{"id": "broken", "body"\n\n' + lines(*rows[50:60])
    (folder / "RC_2010-01.zst").write_bytes(zstandard.compress(first))
    (folder / "RC_2010-02.bz2").write_bytes(bz2.compress(lines(*rows[60:120])))
    (folder / "RC_2010-03.xz").write_bytes(lzma.compress(lines(*rows[120:160])))
    (folder / "RS_2010-05.zst").write_bytes(zstandard.compress(lines(*posts[:80])))
    (folder / "RS_2010-06").write_bytes(b'["no row"]\n\xff\xfe\n' + lines(*posts[80:]))
    # Cut in its second block of 128 KiB, so that some of it can be read.
    (folder / "made_comments.zst").write_bytes(zstandard.compress(lines(*rows[150:]))[:-200])
    return {"path": str(folder)}
