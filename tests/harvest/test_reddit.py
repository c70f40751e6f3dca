import json
import random
from collections import Counter

import pytest
import zstandard

from curate.harvest.reddit.source import RedditHarvest
from tests.harvest.made.reddit import comment, lines, make, post
from tests.harvest.reading import harvested

TITLE = "Which oven bakes the best bread at home?"
ANSWER = "A small electric one with a stone at its bottom bakes bread as well as any other does."
REPLY = "Mine has no stone, but a heavy iron pot inside of it gives the same crust, and more steam."


@pytest.fixture
def read(tmp_path):
    """Write rows to files, by name, and harvest them."""

    def read_(files, **settings):
        files = files if isinstance(files, dict) else {"RC_2010-01": files}
        for name, rows in files.items():
            data = rows if isinstance(rows, bytes) else lines(*rows)
            (tmp_path / name).write_bytes(data)
        return harvested(RedditHarvest(path=str(tmp_path), **settings))

    return read_


def fate_of(name, found):
    """Return the reason that a comment was dropped for; "kept" if it was not."""
    drops = [drop.reason for drop in found.drops if f"comment {name} of" in drop.detail]
    kept = ["kept" for pair in found.pairs if json.loads(pair.meta)["id"] == f"t1_{name}"]
    (fate,) = drops + kept
    return fate


def test_post_and_reply(read):
    found = read(
        [
            post("p1", TITLE, "I have *none* yet."),
            comment("c1", "p1", "t3_p1", ANSWER),
            comment("c2", "p1", "t1_c1", REPLY, score=7),
        ]
    )
    first, second = found.pairs
    assert (first.kind, first.query) == ("post-comment", f"{TITLE}\n\nI have none yet.")
    assert first.positives[0].text == second.query == ANSWER
    assert (second.kind, second.positives[0].text) == ("comment-reply", REPLY)
    assert second.scores == {"score": 7}
    assert second.url == "https://www.reddit.com/comments/p1/_/c2"
    assert first.group == second.group == "t3_p1"
    assert json.loads(second.meta) == {"id": "t1_c2", "parent": "t1_c1", "subreddit": "made"}
    assert (first.source, first.license, first.language) == ("reddit", "NOASSERTION", None)
    assert found.kept == 2
    assert not found.drops


def test_parents_come_later_and_elsewhere(read):
    files = {
        "RC_2010-01": [comment("c3", "p1", "t1_c2", ANSWER.upper())],
        "RC_2010-02.zst": zstandard.compress(
            lines(comment("c2", "p1", "t1_c1", REPLY), comment("c1", "p1", "t3_p1", ANSWER))
        ),
        "RS_2010-03": [post("p1", TITLE)],
    }
    found = read(files)
    assert found.kinds == {"comment-reply": 2, "post-comment": 1}
    assert not found.drops


def test_what_a_line_is_shows_in_its_fields(read):
    rows = [post("p1", TITLE), comment("c1", "p1", "t3_p1", ANSWER)]
    assert read({"RS_2010-01": rows}).kinds == read({"x_comments": rows}).kinds
    with pytest.raises(ValueError, match="holds no RC or RC_"):
        RedditHarvest(path=str(__file__.rpartition("/")[0])).check()


def test_ids_of_old_dumps(read):
    found = read(
        [
            post("abc", TITLE),
            comment("c1", "", "", ANSWER, link_id=int("abc", 36), parent_id=None),
            comment("c2", "", "", REPLY, link_id="abc", parent_id="c1"),
            comment("", "", "", ANSWER + "!", id=7, link_id="t3_abc", parent_id=int("c2", 36)),
            comment("c4", "", "", REPLY + "!", link_id="t3_abc", parent_id=int("abc", 36)),
        ]
    )
    assert [json.loads(pair.meta)["parent"] for pair in found.pairs] == [
        "t3_abc",
        "t1_c1",
        "t1_c2",
        "t3_abc",
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"score": 0}, "low_score"),
        ({"score": -5}, "low_score"),
        ({"score": None}, "low_score"),
        ({"score": "many"}, "low_score"),
        ({"score": True}, "low_score"),
        ({"author": "[deleted]"}, "deleted"),
        ({"author": None}, "deleted"),
        ({"body": "[removed]"}, "deleted"),
        ({"body": "[ Removed by Reddit ]"}, "deleted"),
        ({"body": None}, "deleted"),
        ({"_meta": {"was_deleted_later": True}}, "deleted"),
        ({"author": "AutoModerator"}, "bot"),
        ({"author": "WikiTextBot"}, "bot"),
        ({"author": "bread-ModTeam"}, "bot"),
        (
            {"body": f"{ANSWER}\n\n^(I am a bot, and this action was performed automatically.)"},
            "bot",
        ),
        ({"body": f"{ANSWER} *Beep boop.*"}, "bot"),
        ({"body": f"{ANSWER} This comment was posted by a bot"}, "bot"),
        ({"distinguished": "moderator"}, "moderator"),
        ({"stickied": True}, "moderator"),
        ({"body": ANSWER * 50}, "too_long"),
        ({"body": "x" * 1_000_000}, "too_long"),
        ({"body": "lol"}, "short"),
        ({"body": ""}, "short"),
        ({"body": "ha" * 50}, "short"),
        ({"body": "\U0001f600" * 60}, "short"),
        ({"body": f"[{'a' * 90}](http://example.org)"}, "short"),
        ({"body": "https://example.org/" + "a" * 90}, "short"),
        ({"body": f"&gt; {TITLE}\n\nThis."}, "short"),
        ({"body": "Thanks. That makes a lot more sense to me than it did before."}, "short"),
        ({"parent_id": "t1_c9"}, "no_parent"),
        ({"parent_id": "t3_p2"}, "no_parent"),
    ],
)
def test_one_reason_each(read, fields, reason):
    found = read([post("p1", TITLE), comment("c1", "p1", "t3_p1", ANSWER) | fields])
    assert fate_of("c1", found) == reason
    assert not found.kept


@pytest.mark.parametrize(
    "fields",
    [
        {"author": "[deleted]"},
        {"selftext": "[removed]"},
        {"removed_by_category": "moderator"},
        {"stickied": True},
        {"author": "SomeBot"},
        {"title": "A loaf"},
        {"selftext": ANSWER * 50},
    ],
)
def test_what_is_no_query_is_a_bad_parent(read, fields):
    rows = [post("p1", TITLE) | fields, comment("c1", "p1", "t3_p1", ANSWER)]
    assert fate_of("c1", read(rows)) == "bad_parent"


def test_a_comment_with_a_low_score_is_a_query(read):
    found = read(
        [comment("c1", "p1", "t3_p1", ANSWER, score=-9), comment("c2", "p1", "t1_c1", REPLY)]
    )
    assert [fate_of("c1", found), fate_of("c2", found)] == ["low_score", "kept"]


def test_settings(read):
    rows = [
        post("p1", TITLE),
        comment("c1", "p1", "t3_p1", ANSWER, score=-2),
        comment("c2", "p1", "t3_p1", "Any with a stone in it.", author="cranky_bot"),
    ]
    settings = {"min_score": -2, "min_passage_chars": 20, "bots": [], "max_chars": 100}
    found = read(rows, language="en", license="CC0-1.0", **settings)
    assert len(found.pairs) == 2
    assert {pair.language for pair in found.pairs} == {"en"}
    assert {pair.license for pair in found.pairs} == {"CC0-1.0"}
    assert fate_of("c1", read(rows, min_score=-2, min_query_chars=60)) == "bad_parent"


def test_the_first_of_two_counts(read):
    files = {
        "RC_2010-01": [comment("c1", "p1", "t3_p1", ANSWER, score=0)],
        "bread_comments": [comment("c1", "p1", "t3_p1", ANSWER), post("p1", TITLE)],
        "bread_submissions": [post("p1", "[deleted by user]")],
    }
    assert read(files).reasons == {"low_score": 1, "duplicate": 1}


def test_a_later_post_replaces_a_deleted_one(read):
    rows = [
        post("p1", "[deleted by user]"),
        post("p1", TITLE),
        comment("c1", "p1", "t3_p1", ANSWER),
    ]
    assert read(rows).kept == 1


def test_texts_are_plain(read):
    body = (
        "It\u00e2\u0080\u0099s **true** &amp; simple:\r\n\r\n* use a [stone](http://a.b/_\\(c\\))\r\n"
        "* and ![gif](giphy|abc) `x &lt; y*z` ^(small print)\r\n\r\n"
        "&gt;!a spoiler!&lt; is &amp;nbsp; here"
    )
    found = read(
        [post("p1", "Bread &amp; butter: what  goes with it?"), comment("c1", "p1", "t3_p1", body)]
    )
    (pair,) = found.pairs
    assert pair.query == "Bread & butter: what goes with it?"
    assert pair.positives[0].text == (
        "It\u2019s true & simple:\n\n- use a stone\n- and x < y*z small print\n\na spoiler is here"
    )


def test_quotes_of_the_parent_go(read):
    other = "Somebody wrote this in another place."
    body = f"&gt; {ANSWER}\n\n{REPLY}\n\n&gt; {other}\n\n\u201c{ANSWER}\u201d"
    found = read([comment("c1", "p1", "t3_p1", ANSWER), comment("c2", "p1", "t1_c1", body)])
    assert found.pairs[0].positives[0].text == f"{REPLY}\n\n{other}"


def test_languages_without_spaces(read):
    answer = "小さな電気オーブンに石を敷いて焼くのが一番よいと思います。" * 2
    found = read(
        [
            post("p1", "家でパンを焼くならどのオーブンがよいでしょうか、教えてください。"),
            comment("c1", "p1", "t3_p1", answer),
        ]
    )
    assert found.pairs[0].positives[0].text == answer


def test_damaged_lines(read):
    good = lines(post("p1", TITLE))
    bad = [
        b"{",
        b"[]",
        b"7",
        b"{}",
        b"\xff",
        b"\0",
        b"[" * 100_000,
        b'{"body": "\\ud800", "id": "c", "link_id": "t3_p1"}',
        b'{"body": {}, "id": "c", "link_id": "t3_p1"}',
        b'{"body": "x", "id": "c", "link_id": "t3_"}',
        b'{"body": "x", "id": [], "link_id": "t3_p1"}',
        b'{"body": "x", "id": "c", "link_id": "t3_p1", "parent_id": {}}',
        b'{"body": "x", "id": "' + b"c" * 1000 + b'", "link_id": "t3_p1"}',
        b'{"title": 5, "id": "p1"}',
        b'{"title": "x", "selftext": [1], "id": "p1"}',
        b'{"title": "x"}',
        b'{"body": "x", "id": -1, "link_id": 1e300}',
    ]
    data = good + b"\n".join(bad) + b"\n \n\n" + lines(comment("c1", "p1", "t3_p1", ANSWER))
    found = read(data)
    assert found.reasons == {"damaged": len(bad)}
    assert found.kept == 1
    positions = [len(good) + sum(len(line) + 1 for line in bad[:n]) for n in range(len(bad))]
    assert [f"RC_2010-01: at byte {n} of" in d.detail for n, d in zip(positions, found.drops)]  # noqa: B905


def test_odd_values_are_no_trouble(read):
    found = read(
        [
            post("p1", TITLE + "\0", subreddit=None),
            comment("c1", "p1", "t3_p1", ANSWER + "\0\ufeff\U000f0000", score=2**63 - 1, author=5),
            comment("c2", "p1", "t1_c2", ANSWER, subreddit=["x"] * 100, _meta=3),
            comment("c3", "p1", "t1_c4", ANSWER, distinguished=0),
            comment("c4", "p1", "t1_c3", REPLY, stickied=None),
        ]
    )
    assert found.kept == 3
    assert fate_of("c2", found) == "short"
    assert found.pairs[0].positives[0].text == ANSWER


def test_a_truncated_file_is_read_as_far_as_it_goes(read):
    rows = [
        comment(f"c{n}", "p1", "t3_p1", f"{ANSWER} {random.Random(n).random()}")
        for n in range(2000)
    ]
    packed = zstandard.compress(lines(post("p1", TITLE), *rows))
    found = read({"RC_2010-01.zst": packed[: len(packed) // 2]})
    assert found.reasons == {"truncated": 1}
    assert 100 < found.kept < 2000


def test_mutants_never_fail(tmp_path):
    (tmp_path / "whole").mkdir()
    make(tmp_path / "whole")
    source = (tmp_path / "whole" / "RS_2010-06").read_bytes()
    source += (
        zstandard.ZstdDecompressor()
        .decompressobj()
        .decompress((tmp_path / "whole" / "RC_2010-01.zst").read_bytes())
    )
    chance = random.Random(0)
    for _ in range(150):
        mutant = bytearray(source)
        for _ in range(chance.randrange(1, 200)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        start = chance.randrange(len(mutant))
        del mutant[start : start + chance.randrange(500)]
        (tmp_path / "RC_2010-01").write_bytes(mutant)
        found = harvested(RedditHarvest(path=str(tmp_path / "RC_2010-01")))
        for pair in found.pairs:
            assert pair.query.strip() == pair.query != ""
            (pair.query + pair.positives[0].text).encode("utf-8")


# -- the real dumps --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def comments(data):
    """The comments of the two real months, by id, read by other means."""
    rows = []
    for path in sorted((data / "reddit").glob("RC_*.zst")):
        machine = zstandard.ZstdDecompressor(max_window_size=2**31)
        text = machine.stream_reader(path.open("rb")).read().decode()
        rows += [json.loads(line) | {"file": path.name} for line in text.splitlines()]
    return {row["id"]: row for row in rows}


@pytest.fixture(scope="module")
def real(data):
    return harvested(RedditHarvest(path=str(data / "reddit")))


def test_real_counts(comments, real):
    """Every comment has a fate, and what needs no reading agrees with a count by `json` alone."""
    parents = {name: comments.get(row["parent_id"][3:]) for name, row in comments.items()}
    parents = {
        n: p if comments[n]["parent_id"].startswith("t1_") else None for n, p in parents.items()
    }
    same = Counter(
        row["file"] for n, row in comments.items() if (p := parents[n]) and p["file"] == row["file"]
    )
    assert same == {"RC_2005-12.zst": 314, "RC_2006-01.zst": 1_304}

    # Six replies of 2005 have a parent in another thread, since two posts of one link were merged.
    parents = {
        n: p if p and p["link_id"] == comments[n]["link_id"] else None for n, p in parents.items()
    }
    assert sum(same.values()) + 30 - 6 == sum(p is not None for p in parents.values())

    assert real.kept + len(real.drops) == len(comments) == 1_075 + 3_666
    left = {n: row for n, row in comments.items() if row["author"] != "[deleted]"}
    assert real.reasons["deleted"] == len(comments) - len(left)
    long = {n: row for n, row in left.items() if len(row["body"]) >= 25}
    good = {n: row for n, row in long.items() if row["score"] >= 1}
    assert real.reasons["low_score"] == len(long) - len(good)
    orphans = [n for n in good if parents[n] is None]
    assert real.reasons["no_parent"] == len(orphans)

    # What is left fails by its text, or its parent's: counted here by raw lengths, of which the stage
    # takes off markup, URLs, quotes, and half of what begins with thanks.
    of_some = {n: row for n, row in good.items() if parents[n] is not None}
    asked = {n: row for n, row in of_some.items() if parents[n]["author"] != "[deleted]"}
    asked = {n: row for n, row in asked.items() if len(parents[n]["body"]) >= 25}
    pairs = [n for n, row in asked.items() if 50 <= len(row["body"].strip()) <= 4_096]
    assert 0.95 * len(pairs) <= real.kept <= len(pairs)
    assert real.kinds == {"comment-reply": real.kept}
    assert real.reasons.keys() == {
        "deleted",
        "low_score",
        "no_parent",
        "short",
        "bad_parent",
        "too_long",
    }


def test_real_pairs_are_as_the_rules_say(comments, real):
    for pair in real.pairs:
        meta = json.loads(pair.meta)
        reply, parent = comments[meta["id"][3:]], comments[meta["parent"][3:]]
        assert reply["parent_id"] == meta["parent"]
        assert pair.scores["score"] == reply["score"] >= 1
        assert "[deleted]" not in (reply["author"], parent["author"], pair.query)
        assert pair.group == reply["link_id"] == parent["link_id"]
        assert 25 <= len(pair.query) <= 4_096
        assert 50 <= len(pair.positives[0].text) <= 4_096


def test_real_texts_are_clean(real):
    texts = [text for pair in real.pairs for text in (pair.query, pair.positives[0].text)]
    for debris in ("](http", "&gt;", "&amp;", "\r", "\u00e2\u0080"):
        assert not [text for text in texts if debris in text]
