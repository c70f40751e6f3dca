"""`harvest.stackexchange` on small dumps written here, and on real ones against a count by patterns."""

import bz2
import gzip
import itertools
import json
import re
import time
from collections import Counter
from html import unescape

import py7zr
import pytest
import zstandard

from curate.harvest.reading import bounds
from curate.harvest.reading.files import File
from curate.harvest.stackexchange.links import load_links
from curate.harvest.stackexchange.sites import language_of, license_of, site_of, source_of
from curate.harvest.stackexchange.source import StackExchangeHarvest
from curate.schema import to_table
from curate.stage import Piece
from tests.harvest.made.stackexchange import answer, link, make, question, row, table
from tests.harvest.reading import harvested


def write(folder, rows, links=(), site="garden.stackexchange.com"):
    """Write the tables of a site and return the settings that read them."""
    home = folder / site
    home.mkdir(parents=True, exist_ok=True)
    (home / "Posts.xml").write_bytes(table(rows))
    if links:
        (home / "PostLinks.xml").write_bytes(table(links))
    return {"path": str(folder)}


def read(folder, rows, links=(), **settings):
    return harvested(StackExchangeHarvest(**write(folder, rows, links), **settings))


def pairs_of(result, kind):
    return [pair for pair in result.pairs if pair.kind == kind]


THREAD = [
    question(
        1,
        "Which &amp; why?",
        "<p>Two <b>kinds</b></p><pre>  a &lt; b\n  c</pre>",
        AcceptedAnswerId=4,
    ),
    answer(2, 1, "<p>The one.</p><p>Or not.</p>", Score=10),
    answer(3, 1, "<p>Poor.</p>", Score=0),
    answer(4, 1, "<p>Accepted.</p>", Score=-2, ContentLicense="CC BY-SA 4.0"),
]


# -- pairs -----------------------------------------------------------------------------------------


def test_a_thread(tmp_path):
    result = read(tmp_path, THREAD)
    (first,) = pairs_of(result, "title-body")
    assert (first.query, first.positives[0].text) == (
        "Which &amp; why?",
        "Two kinds\n\n  a < b\n  c",
    )
    assert (first.source, first.group) == ("stackexchange/garden", "garden.stackexchange.com/1")
    assert (first.license, first.url) == ("CC-BY-SA-3.0", "https://garden.stackexchange.com/q/1")
    assert (first.language, first.scores) == ("en", {"score": 2})
    assert json.loads(first.meta) == {"question": 1, "score": 2}
    second, third = pairs_of(result, "question-answer")
    assert second.query == f"{first.query}\n\n{first.positives[0].text}"
    assert [doc.text for doc in second.positives] == ["The one.\n\nOr not."]
    assert (second.scores, second.positives[0].scores) == ({"score": 2}, {"score": 10})
    assert (second.url, second.group) == ("https://garden.stackexchange.com/a/2", first.group)
    assert second.license == "CC-BY-SA-3.0 AND CC-BY-SA-4.0"
    assert json.loads(third.meta) == {
        "question": 1,
        "answer": 4,
        "question_score": 2,
        "score": -2,
        "accepted": True,
    }
    (drop,) = result.drops
    assert (drop.reason, drop.url) == ("low_score", "https://garden.stackexchange.com/a/3")
    assert "score 0" in drop.detail


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_any_order_gives_the_same_pairs(tmp_path, order):
    found = read(tmp_path / "some", [THREAD[i] for i in order])
    usual = read(tmp_path / "usual", THREAD)
    assert {pair.id for pair in found.pairs} == {pair.id for pair in usual.pairs}
    assert found.reasons == usual.reasons


@pytest.mark.parametrize(
    ("min_score", "texts"),
    [(-3, {"A", "B", "C"}), (1, {"A", "C"}), (9, {"A", "C"}), (10, {"A", "C"}), (100, {"C"})],
)
def test_scores_are_numbers(tmp_path, min_score, texts):
    rows = [
        question(1, "T", AcceptedAnswerId=4),
        answer(2, 1, "A", Score=10),
        answer(3, 1, "B", Score=-2),
        answer(4, 1, "C", Score=0),
    ]
    found = pairs_of(read(tmp_path, rows, min_score=min_score), "question-answer")
    assert {pair.positives[0].text for pair in found} == texts


def test_a_missing_score_is_none(tmp_path):
    rows = [row(Id=1, PostTypeId=1, Title="T", Body="B", AcceptedAnswerId=3)]
    rows += [row(Id=n, PostTypeId=2, ParentId=1, Body=f"A{n}") for n in (2, 3)]
    result = read(tmp_path, rows, license="CC0-1.0")
    assert [pair.positives[0].text for pair in result.pairs] == ["B", "A3"]
    assert all(not pair.scores and not pair.positives[0].scores for pair in result.pairs)
    assert {pair.license for pair in result.pairs} == {"CC0-1.0"}
    assert result.reasons == {"low_score": 1}


def test_notes_of_the_site_are_left_out(tmp_path):
    note = "<blockquote>\n<p><strong>Possible Duplicate:</strong><br>\n<a href='x'>Other</a></p>\n"
    body = f"{note}</blockquote>\n\n<p>My case.</p><blockquote>quoted</blockquote>"
    (pair,) = read(tmp_path, [question(1, "Is it so? [closed]", body)]).pairs
    assert (pair.query, pair.positives[0].text) == ("Is it so?", "My case.\n\nquoted")


# -- duplicates ------------------------------------------------------------------------------------


def test_duplicates(tmp_path):
    rows = [question(n, f"Title {n}") for n in (5, 6, 7, 8, 9, 10)]
    links = [
        link(9, 6),
        link(7, 9),
        link(6, 9),
        link(8, 5, 1),
        link(10, 99),
        link(8, 8),
        link(1, "x"),
    ]
    result = read(tmp_path, rows, links)
    first, second = pairs_of(result, "duplicate-question")
    assert (first.query, first.positives[0].text, first.symmetric) == ("Title 9", "Title 6", True)
    assert json.loads(first.meta) == {"question": 9, "duplicate_of": 6}
    assert (second.query, second.positives[0].text) == ("Title 7", "Title 9")
    assert result.reasons == {"repeated": 1, "no_question": 1, "bad_row": 2}
    groups = {pair.query: pair.group.rpartition("/")[2] for pair in pairs_of(result, "title-body")}
    assert groups == {
        "Title 5": "5",
        "Title 6": "6",
        "Title 7": "6",
        "Title 8": "8",
        "Title 9": "6",
        "Title 10": "10",
    }
    assert first.group == second.group == "garden.stackexchange.com/6"
    where = next(drop.detail for drop in result.drops if drop.reason == "no_question")
    assert re.match(r"garden.stackexchange.com/PostLinks.xml: byte \d+: .* 99", where)


def test_duplicates_of_one_title_say_nothing(tmp_path):
    rows = [question(1, "Same title"), question(2, "same Title")]
    assert read(tmp_path, rows, [link(2, 1)]).reasons == {"same_text": 1}


def test_a_long_chain_of_duplicates_is_one_group(tmp_path):
    order = list(range(1, 2_001))
    ends = [(order[i * 7 % 1_999], order[i * 7 % 1_999 + 1]) for i in range(1_999)]
    write(tmp_path, [], [link(*pair) for pair in ends])
    path = tmp_path / "garden.stackexchange.com/PostLinks.xml"
    links = load_links((File(path, "PostLinks.xml"),), "a")
    assert {links.thread(n) for n in order} == {1}
    assert links.of(1) == [2]
    assert links.of(1_000) == [999, 1_001]
    assert links.thread(5_000) == 5_000
    assert links.of(5_000) == []


def test_only_linked_questions_are_sent_to_links(tmp_path):
    source = StackExchangeHarvest(**write(tmp_path, THREAD, [link(1, 3), link(7, 8)]))
    blocks = [block for unit in source.units() for block in source.cut(unit)]
    found = [piece for block in blocks for piece in source.harvest(block)]
    helping = [piece for piece in found if isinstance(piece, Piece) and not piece.counts]
    assert [piece.key.rpartition("/")[2] for piece in helping] == ["1=3"]


# -- files -----------------------------------------------------------------------------------------


def packed(folder, how, posts, links):
    """Write a site's tables in one of the ways that dumps come."""
    home = folder / "garden.stackexchange.com"
    home.mkdir(parents=True)
    suffixes = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.compress}
    if how in suffixes:
        (home / f"Posts.xml.{how}").write_bytes(suffixes[how](posts))
        (home / f"PostLinks.xml.{how}").write_bytes(suffixes[how](links))
    elif how == "7z":
        with py7zr.SevenZipFile(f"{home}.7z", "w") as archive:
            archive.writestr(b"<users/>", "Users.xml")
            archive.writestr(links, "PostLinks.xml")
            archive.writestr(posts, "Posts.xml")
    elif how == "7z each":
        for name, data in (("Posts", posts), ("PostLinks", links), ("Users", b"<users/>")):
            with py7zr.SevenZipFile(f"{home}-{name}.7z", "w") as archive:
                archive.writestr(data, f"{name}.xml")
    else:
        (home / "Posts.xml").write_bytes(posts.decode("utf-8-sig").encode("utf-16"))
        (home / "PostLinks.xml").write_bytes(links)
    return folder


@pytest.mark.parametrize("how", ["gz", "bz2", "zst", "7z", "7z each", "utf-16"])
def test_ways_that_dumps_come(tmp_path, how):
    rows = [*THREAD, question(7, "Other title", "<p>Żółw 日本</p>")]
    links = [link(7, 1)]
    plain = read(tmp_path / "plain", rows, links)
    folder = packed(tmp_path / "packed", how, table(rows), table(links))
    found = harvested(StackExchangeHarvest(path=str(folder)))
    facts = [{(p.id, p.group, p.url, p.source) for p in result.pairs} for result in (plain, found)]
    assert facts[0] == facts[1]
    assert len(facts[0]) == 5
    assert found.reasons == plain.reasons


def test_sites_below_a_folder_are_apart(tmp_path):
    for site in ("ai-2017", "ru.stackoverflow.com"):
        write(tmp_path, [*THREAD, question(9, "More of it")], [link(9, 1)], site)
    result = harvested(StackExchangeHarvest(path=str(tmp_path)))
    assert Counter((p.source, p.language) for p in result.pairs) == {
        ("stackexchange/ai", "en"): 5,
        ("stackexchange/ru.stackoverflow", "ru"): 5,
    }
    assert {p.url for p in pairs_of(result, "duplicate-question")} == {
        "https://ai.stackexchange.com/q/9",
        "https://ru.stackoverflow.com/q/9",
    }


def test_a_folder_names_its_own_site_and_is_in_the_key(tmp_path):
    write(tmp_path, THREAD, site="beer-2017")
    write(tmp_path, THREAD, site="math")
    units = {}
    for site in ("beer-2017", "math"):
        source = StackExchangeHarvest(path=str(tmp_path / site))
        assert {p.source for p in harvested(source).pairs} == {f"stackexchange/{site[:4]}"}
        (units[site],) = source.units()
    assert units["math"].fingerprint != units["beer-2017"].fingerprint
    named = StackExchangeHarvest(path=str(tmp_path / "math"), hosts={"math": "mathoverflow.net"})
    assert harvested(named).pairs[0].url == "https://mathoverflow.net/q/1"


def test_posts_are_read_anew_when_links_change(tmp_path):
    source = StackExchangeHarvest(**write(tmp_path, THREAD, [link(1, 2)]))
    before = {unit.name: unit.fingerprint for unit in source.units()}
    write(tmp_path, THREAD, [link(1, 3)])
    after = {unit.name: unit.fingerprint for unit in source.units()}
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize("ends", ["\r\n", "\n", ""])
def test_blocks_of_any_size(tmp_path, monkeypatch, ends):
    rows = [*THREAD * 3, *(question(n, f"Title {n}", "<p>/> &gt;</p>") for n in range(20, 60))]
    write(tmp_path, [])
    path = tmp_path / "garden.stackexchange.com/Posts.xml"
    path.write_bytes(table(rows).replace(b"\r\n", ends.encode()))
    whole = harvested(StackExchangeHarvest(path=str(path)))
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 700)
    source = StackExchangeHarvest(path=str(path))
    assert sum(1 for unit in source.units() for _ in source.cut(unit)) >= 10
    small = harvested(source)
    assert [pair.id for pair in small.pairs] == [pair.id for pair in whole.pairs]
    assert small.drops == whole.drops
    assert whole.reasons == {"low_score": 3, "repeated": 2}


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        ('<row Id="5" PostTypeId="1" Body="cut', {"bad_row": 1}),
        ('<row Id="5" PostTypeId="1" Title="T" Body="x &undefined; y" />', {"bad_row": 1}),
        ('<row Id="5" PostTypeId="1" Title="T" Body="a<b" />', {"bad_row": 1}),
        ('<row Id="5" Id="6" PostTypeId="1" Title="T" Body="b" />', {"bad_row": 1}),
        ('<row Id="5" PostTypeId="1" Title="&#xD800;" Body="b" />', {"bad_row": 1}),
        ('<row Id="5" PostTypeId="1" Title="\0" Body="b" />', {"bad_row": 1}),
        ('<rwo Id="5" PostTypeId="1" Title="T" Body="b" />', {"bad_row": 1}),
        ("rubbish", {"bad_row": 1}),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', {"bad_row": 1}),
        ("<row />", {"bad_row": 1}),
        (row(Id=5, PostTypeId="one", Title="T"), {"bad_row": 1}),
        (question("five", "T"), {"bad_row": 1}),
        (question(5, "T", Score="9" * 5_000), {"bad_row": 1}),
        (question(5, "T", Score="1.5"), {"bad_row": 1}),
        (answer(5, "", "<p>A"), {"bad_row": 1}),
        (answer(5, 999, "<p>A"), {"no_question": 1}),
        (question(5, "", "<p>A"), {"no_text": 1}),
        (question(5, "T", "<p> &nbsp;<img></p>"), {"no_text": 1}),
        (answer(5, 1, "", Score=3), {"no_text": 1}),
        (row(Id=5, PostTypeId=4, Body="tag"), {"other_post": 1}),
        (question(1, "Again"), {"repeated": 1}),
    ],
)
def test_a_bad_row_takes_no_other_with_it(tmp_path, bad, reasons):
    result = read(tmp_path, [*THREAD[:2], bad, *THREAD[2:]])
    assert result.kinds == {"title-body": 1, "question-answer": 2}
    assert result.reasons == {"low_score": 1, **reasons}
    (drop,) = [drop for drop in result.drops if drop.reason in reasons]
    if "bad_row" in reasons:
        assert re.match(r"garden.stackexchange.com/Posts.xml: byte \d+: ", drop.detail)
        position = int(re.search(r"byte (\d+)", drop.detail)[1])
        path = tmp_path / "garden.stackexchange.com/Posts.xml"
        assert bad.encode()[:9] in path.read_bytes()[position : position + 30]
    assert len(drop.detail) < 400
    to_table(result.pairs, "pairs")


def test_entities_are_neither_expanded_nor_fetched(tmp_path):
    home = tmp_path / "garden.stackexchange.com"
    home.mkdir()
    levels = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    bomb = f'<!DOCTYPE p [<!ENTITY e0 "lol">{levels}<!ENTITY x SYSTEM "http://x.invalid/">]>'
    rows = [question(1, "T", "B").replace('"B"', f'"{e}"') for e in ("&e12;", "&x;")]
    (home / "Posts.xml").write_bytes((bomb + "".join([*rows, THREAD[0]])).encode())
    result = harvested(StackExchangeHarvest(path=str(tmp_path)))
    assert [pair.query for pair in result.pairs] == ["Which &amp; why?"]
    assert set(result.reasons) == {"bad_row"}


@pytest.mark.parametrize("how", ["gz", "7z"])
def test_damaged_files_are_drops(tmp_path, how):
    posts = table(question(n, f"Title {n}", f"<p>{n * 7919}</p>") for n in range(3_000))
    folder = packed(tmp_path, how, posts, table([]))
    path = next(path for path in folder.rglob(f"*.{how}") if "Links" not in path.name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    result = harvested(StackExchangeHarvest(path=str(folder)))
    assert set(result.reasons) <= {"truncated", "damaged", "bad_row"}
    assert result.drops
    assert path.name in " ".join(drop.detail for drop in result.drops)
    assert how == "7z" or len(result.pairs) > 1_000


def test_hostile_blocks_take_linear_time(tmp_path):
    home = tmp_path / "garden.stackexchange.com"
    home.mkdir()
    for piece in (
        b"<row ",
        b"<row />",
        b"/>",
        b'<row Id="1" ' + b'a="b" ' * 9,
        b"<row Id='1'><b />",
    ):
        (home / "Posts.xml").write_bytes(piece * (400_000 // len(piece)))
        started = time.process_time()
        assert not harvested(StackExchangeHarvest(path=str(tmp_path))).pairs
        assert time.process_time() - started < 20


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match=r"holds no Posts\.xml"):
        StackExchangeHarvest(path=str(tmp_path)).check()


def test_the_made_dump(tmp_path):
    result = harvested(StackExchangeHarvest(**make(tmp_path)))
    assert result.kinds == {"title-body": 34, "question-answer": 68, "duplicate-question": 3}
    assert result.reasons["damaged"] == 1


# -- sites and licences ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "member", "host", "source", "language"),
    [
        ("ai.stackexchange.com/Posts.xml", None, "ai.stackexchange.com", "ai", "en"),
        ("x/ai-2017/Posts.xml.gz", None, "ai.stackexchange.com", "ai", "en"),
        ("ai_20240402/Posts.xml", None, "ai.stackexchange.com", "ai", "en"),
        ("superuser/Posts.xml", None, "superuser.com", "superuser", "en"),
        ("Math Overflow/Posts.xml", None, "math-overflow.stackexchange.com", "math-overflow", "en"),
        ("a.7z/Posts.xml", "Posts.xml", "a.stackexchange.com", "a", "en"),
        (
            "es.stackoverflow.com-Posts.7z/Posts.xml",
            "Posts.xml",
            "es.stackoverflow.com",
            None,
            "es",
        ),
        ("ja.meta.stackoverflow.com.7z/x/Posts.xml", "x/Posts.xml", None, None, "ja"),
        ("french.stackexchange.com/Posts.xml", None, "french.stackexchange.com", "french", None),
        ("rus.stackexchange.com/Posts.xml", None, "rus.stackexchange.com", "rus", "ru"),
        ("meta.stackexchange.com/Posts.xml", None, "meta.stackexchange.com", "meta", "en"),
    ],
)
def test_sites(tmp_path, name, member, host, source, language):
    site = site_of(File(tmp_path / name, name, member), {})
    host = host or site.host
    assert (site.host, language_of(site.host, "en")) == (host, language)
    assert source_of(site.host) == f"stackexchange/{source or host.removesuffix('.com')}"
    assert site_of(File(tmp_path / name, name, member), {}).place == site.place


@pytest.mark.parametrize(
    ("stated", "created", "license_"),
    [
        ("CC BY-SA 2.5", "2024-01-01T00:00:00.000", "CC-BY-SA-2.5"),
        (None, "2011-04-07T23:59:59.999", "CC-BY-SA-2.5"),
        (None, "2011-04-08T00:00:00.000", "CC-BY-SA-3.0"),
        ("", "2018-05-01T23:59:59.999", "CC-BY-SA-3.0"),
        (None, "2018-05-02T00:00:00.000", "CC-BY-SA-4.0"),
        (None, None, "X"),
        (None, "yesterday", "X"),
        ("x" * 100, "2015-01-01", "CC-BY-SA-3.0"),
    ],
)
def test_licences(stated, created, license_):
    assert license_of(stated, created, "X") == license_


# -- real dumps ------------------------------------------------------------------------------------

TAG = re.compile(r"<[^>]*>")


def counted(data):
    """Count the pairs of each kind by patterns over the raw XML, without any parser."""
    counts = Counter()
    for path in sorted((data / "stackexchange").glob("*/Posts.xml.gz")):
        text = gzip.decompress(path.read_bytes()).decode()
        posts = [dict(re.findall(r' (\w+)="([^"]*)"', line)) for line in text.split("\n")]
        titles = {post["Id"]: post["Title"] for post in posts if post.get("PostTypeId") == "1"}
        accepted = {post.get("AcceptedAnswerId") for post in posts}
        bare = {post["Id"] for post in posts if "Body" in post and not seen(post["Body"])}
        answers = [p for p in posts if p.get("PostTypeId") == "2" and p["ParentId"] in titles]
        good = [p for p in answers if p["Id"] in accepted or int(p["Score"]) >= 1]
        counts["title-body"] += len(titles.keys() - bare)
        counts["question-answer"] += sum(post["Id"] not in bare for post in good)
        counts["low_score"] += len(answers) - len(good)
        links = path.with_name("PostLinks.xml.gz")
        found = gzip.decompress(links.read_bytes()).decode() if links.exists() else ""
        ends = re.findall(r'PostId="(\d+)" RelatedPostId="(\d+)" LinkTypeId="3"', found)
        counts["duplicate-question"] += sum(a in titles and b in titles for a, b in ends)
        counts["no_question"] += sum(a not in titles or b not in titles for a, b in ends)
    return counts


def seen(body):
    """Tell whether anything is left of a body without its tags."""
    return unescape(TAG.sub("", unescape(body))).strip()


@pytest.fixture(scope="module")
def real(data):
    return harvested(StackExchangeHarvest(path=str(data / "stackexchange")))


def test_counts_agree_exactly_with_patterns(data, real):
    expected = counted(data)
    found = real.kinds | real.reasons
    assert {name: found[name] for name in expected} == dict(expected)
    assert real.kinds["question-answer"] >= 4_000
    assert real.kinds["title-body"] == 421 + 663 + 225 + 181 + 397 + 612  # as SOURCE.md has them
    assert set(real.reasons) == {"other_post", "low_score", "no_question"}


def test_real_pairs_are_whole(real):
    names = {"ai", "beer", "coffee", "genai", "matheducators", "quantumcomputing"}
    assert {pair.source for pair in real.pairs} == {f"stackexchange/{name}" for name in names}
    assert all(set(pair.license.split(" AND ")) <= LICENSES for pair in real.pairs)
    for pair in real.pairs:
        assert pair.query == pair.query.strip() != ""
        assert pair.positives[0].text == pair.positives[0].text.strip() != ""
        assert pair.url.startswith("https://")
    texts = [doc.text for pair in real.pairs for doc in pair.positives]
    marked = [text for text in texts if re.search(r"</?(p|li|ul|strong|blockquote)>", text)]
    assert len(marked) == 1  # a question about its own HTML
    assert to_table(real.pairs, "pairs").num_rows == len(real.pairs)


LICENSES = {"CC-BY-SA-3.0", "CC-BY-SA-4.0"}
