import gzip
import json
import re
from collections import Counter

import pytest

from curate.harvest.web.source import WebHarvest, url_key
from curate.licenses import NOASSERTION
from curate.schema import to_table
from tests.harvest.made.web import (
    TOPICS,
    html,
    http,
    linking,
    make,
    pages,
    paragraph,
    plain,
    record,
    url_of,
)
from tests.harvest.reading import harvested


def archive(folder, *records, name="a.warc"):
    (folder / name).write_bytes(b"".join(records))
    return WebHarvest(path=str(folder))


def page(url, text, **more):
    return record(url, http(text.encode(), **more))


def by_kind(found, kind):
    return [pair for pair in found.pairs if pair.kind == kind]


# -- pairs -----------------------------------------------------------------------------------------


def test_a_page_gives_its_title_and_its_headings(tmp_path):
    license_ = '<a rel="license" href="http://creativecommons.org/licenses/by/3.0/">CC</a>'
    found = harvested(
        archive(tmp_path, page("https://www.a.example/1", html("tides", 1, license_)))
    )
    title, winter = found.pairs
    assert (title.kind, title.query) == ("title-text", "All about tides, part 1")
    assert title.positives[0].text.startswith(paragraph("tides", 1))
    assert title.source == "web"
    assert (title.group, title.url) == ("a.example", "https://www.a.example/1")
    assert (title.language, title.license) == ("en-GB", "CC-BY-3.0")
    assert json.loads(title.meta) == {"file": "a.warc", "position": 0}
    assert (winter.kind, winter.query) == (
        "heading-section",
        "What do tides look like in winter 1?",
    )
    assert (
        winter.positives[0].text
        == f"{paragraph('winter and tides', 101)}\n{paragraph('ice on tides', 8)}"
    )
    assert json.loads(winter.meta) == {"file": "a.warc", "position": 0, "section": 0}


def test_a_short_heading_stands_under_the_title(tmp_path):
    text = html("tides", 1).replace("What do tides look like in winter 1?", "3. In winter:")
    found = harvested(archive(tmp_path, page("https://a.example/1", text)))
    assert by_kind(found, "heading-section")[0].query == "All about tides, part 1: In winter"


def test_the_title_is_not_in_the_text_once_more(tmp_path):
    text = html("tides", 1).replace("<article>", "<article><p>All About Tides - Part 1</p>")
    found = harvested(archive(tmp_path, page("https://a.example/1", text)))
    assert found.pairs[0].positives[0].text.startswith("Much has been")


def test_long_texts_are_cut_at_a_paragraph(tmp_path):
    (tmp_path / "a.html").write_text(html("tides", 1), "utf-8")
    pair = harvested(WebHarvest(path=str(tmp_path), max_chars=300)).pairs[0]
    assert len(pair.positives[0].text) <= 300
    assert (
        pair.positives[0].text == paragraph("tides", 1) + "\nWhat do tides look like in winter 1?"
    )


def test_links_become_pairs_where_their_target_is_there_in_any_file_and_order(tmp_path):
    source = page("https://a.example/from", html("tides", 4, links=linking("tides", 4)))
    other = TOPICS[5]
    target = page(url_of(other, 4) + "/index.html", html(other, 4))
    for names in (("1.warc", "2.warc"), ("2.warc", "1.warc")):
        folder = tmp_path / names[0]
        folder.mkdir()
        archive(folder, source, name=names[0])
        found = harvested(archive(folder, target, name=names[1]))
        (pair,) = by_kind(found, "anchor-target")
        assert pair.query == f"the study of {other} in spring 4"
        title = next(p for p in by_kind(found, "title-text") if other in p.query)
        assert pair.positives == title.positives
        assert (pair.group, pair.url) == ("fieldnotes.example", title.url)
        assert json.loads(pair.meta)["from"] == "https://a.example/from"


@pytest.mark.parametrize(
    "anchor",
    ["click here", "Read more...", "here", "https://a.b/c", "the next page", "x y", "w" * 200],
)
def test_links_that_say_nothing_are_not_followed(tmp_path, anchor):
    link = f'<p>{paragraph("links", 1)} See <a href="https://b.example/1">{anchor}</a>, too.</p>'
    records = (
        page("https://a.example/1", html("tides", 1, links=link)),
        page("https://b.example/1", html("locks", 2)),
    )
    assert not by_kind(harvested(archive(tmp_path, *records)), "anchor-target")


def test_links_of_menus_are_not_followed(tmp_path):
    menu = '<ul><li><a href="https://b.example/1">All the locks of the world</a></li></ul>'
    text = html("tides", 1).replace("<main>", menu + "<main>")
    records = page("https://a.example/1", text), page("https://b.example/1", html("locks", 2))
    assert not by_kind(harvested(archive(tmp_path, *records)), "anchor-target")


def test_links_of_a_page_and_to_a_page_are_few(tmp_path):
    links = "".join(
        f'<p>{paragraph("links", n)} See <a href="https://b.example/{n}">the lock number {n}</a>.</p>'
        for n in range(9)
    )
    targets = [page(f"https://b.example/{n}", html("locks", n)) for n in range(9)]
    many = [
        page(
            f"https://{n}.example/",
            html("comets", n, links=links.replace("lock number", f"{n}th lock at")),
        )
        for n in range(3)
    ]
    archive(tmp_path, *many, *targets)
    found = harvested(WebHarvest(path=str(tmp_path), max_links=2))
    counts = Counter(pair.url for pair in by_kind(found, "anchor-target"))
    assert counts == {"https://b.example/0": 2, "https://b.example/1": 2}


def test_a_page_that_was_fetched_twice_is_kept_once(tmp_path):
    urls = ["http://a.example/x", "https://www.a.example/x/", "https://a.example/x/index.html#top"]
    found = harvested(archive(tmp_path, *(page(url, html("tides", 1)) for url in urls)))
    assert (found.kept, found.reasons) == (1, {"duplicate_url": 2})


def test_kinds_are_chosen(tmp_path):
    make(tmp_path)
    found = harvested(WebHarvest(path=str(tmp_path), kinds=("anchor-target",)))
    assert set(found.kinds) == {"anchor-target"}


def test_settings_stand_in_for_what_pages_do_not_say(tmp_path):
    (tmp_path / "a.html").write_text(html("tides", 1).replace(' lang="en-GB"', ""), "utf-8")
    found = harvested(WebHarvest(path=str(tmp_path), license="CC0-1.0", language="gd"))
    assert {(p.license, p.language, p.group) for p in found.pairs} == {("CC0-1.0", "gd", "a.html")}


def test_the_text_of_a_wet_record_is_its_long_lines(tmp_path):
    text = plain(3) + "\n" + "Menu " * 40
    found = harvested(
        archive(tmp_path, record("https://a.example/1", text.encode(), "conversion", "text/plain"))
    )
    (pair,) = found.pairs
    assert pair.query == "A plain text number 3 on locks"
    assert pair.positives[0].text == "\n".join(
        paragraph("locks of kind 3", n + 30) for n in range(3)
    )


def test_an_arc(tmp_path):
    body = http(html("arcs", 1).encode())
    arc = (
        f"http://a.example/1 10.0.0.1 20100101000000 text/html {len(body)}\n".encode()
        + body
        + b"\n"
    )
    (tmp_path / "a.arc.gz").write_bytes(
        gzip.compress(b"filedesc://a 0.0.0.0 20100101000000 text/plain 2\n1\n" + arc * 2)
    )
    found = harvested(WebHarvest(path=str(tmp_path)))
    assert by_kind(found, "title-text")[0].url == "http://a.example/1"
    assert found.reasons == {"not_response": 1, "duplicate_url": 1}


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://www.A.example/x/?b=1#c", "a.example/x?b=1"),
        ("http://a.example/index.php", "a.example"),
        ("mailto:x@y.z", None),
        ("http://[x", None),
        (None, None),
    ],
)
def test_addresses_of_one_page_have_one_key(url, key):
    assert url_key(url) == key


# -- what is dropped -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (http(html("x", 1).encode(), status="301 Moved"), "http_status"),
        (http(b"%PDF", "application/pdf"), "not_html"),
        (http(b"\xff\xd8\xff\0\0", "text/html"), "not_html"),
        (b"no http", "not_html"),
        (http(b""), "not_html"),
        (http(b"<html><body></body></html>"), "no_text"),
        (
            http(b"<html><title>A good title</title><body><p>Hello there, you.</p></body>"),
            "short_text",
        ),
        (http(html("x", 1).replace("All about x, part 1", "Log in").encode()), "weak_title"),
        (
            http(
                re.sub("<title>.*?</h1>", "", html("x", 1), flags=re.S)
                .replace("What do x look like in winter 1?", "x")
                .encode()
            ),
            "no_title",
        ),
        (http(b"<p>" + b"<b>x</b>" * 30_000), "too_long"),
        (http(gzip.compress(b"\0" * (17 << 20)), more="Content-Encoding: gzip\r\n"), "bomb"),
        (
            http(("<title>List of things</title>" + "<p>Name of a thing</p>" * 50).encode()),
            "no_prose",
        ),
    ],
)
def test_what_is_no_page_is_dropped_with_its_place(tmp_path, body, reason):
    found = harvested(archive(tmp_path, record("https://a.example/1", body)))
    assert found.kept == 0
    (drop,) = found.drops
    assert drop.reason == reason
    assert drop.detail.startswith("a.warc: at byte 0: https://a.example/1: ")
    assert drop.url == "https://a.example/1"


def test_a_title_that_many_pages_have_is_no_title(tmp_path):
    texts = [
        re.sub("part .", "again", html("tides", n)).replace("winter", topic)
        for n, topic in enumerate(TOPICS[:4])
    ]
    found = harvested(
        archive(tmp_path, *(page(f"https://a.example/{n}", text) for n, text in enumerate(texts)))
    )
    assert set(found.kinds) == {"heading-section"}


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no"):
        WebHarvest(path=str(tmp_path)).check()


def test_a_file_without_a_telling_name_is_read_by_its_content(tmp_path):
    (tmp_path / "crawl").write_bytes(pages()[0])
    (tmp_path / "page").write_text(html("tides", 1), "utf-8")
    assert harvested(WebHarvest(path=str(tmp_path / "crawl"))).pairs[0].url == url_of("tides", 0)
    assert harvested(WebHarvest(path=str(tmp_path / "page"))).pairs[0].url is None


def test_nothing_is_lost_of_what_was_made(tmp_path):
    found = harvested(WebHarvest(**make(tmp_path)))
    # 80 + 12 records, 3 of a cut file (its damage alone is told), 9 of WET, 2 of ARC, 14 files, 6 members
    assert found.kept + len(found.drops) == 92 + 1 + 9 + 2 + 14 + 6
    assert found.reasons["truncated"] == 1
    to_table(found.pairs, "pairs")


# -- real archives ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_archives(data):
    found = harvested(WebHarvest(path=str(data / "warc")))
    assert found.kept + len(found.drops) == sum(records_by_pattern(data).values()) + 1
    html_responses = found.kept + sum(
        found.reasons[reason]
        for reason in (
            "short_text",
            "no_prose",
            "weak_title",
            "no_title",
            "too_long",
            "duplicate_url",
            "no_text",
        )
    )
    assert html_responses == 225 + 5  # with status 200, and the edge cases
    assert found.kinds["title-text"] >= 55
    assert found.kinds["heading-section"] >= 50
    assert found.kinds["anchor-target"] >= 4
    assert found.reasons["damaged"] == 1
    assert {p.license for p in found.pairs} >= {"CC-BY-4.0", NOASSERTION}


def records_by_pattern(data):
    """Count lines that begin a record, and ARC's, in the unpacked files."""
    counts = Counter()
    for path in (data / "warc").rglob("*.*arc*"):
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        counts[path.name] = len(
            re.findall(rb"(?m)^(?:WARC/\d\.\d+\r?$|(?:filedesc|http)://\S+ [\d.]+ \d{14} )", text)
        )
    return counts


def test_real_pages_in_a_folder(data):
    found = harvested(WebHarvest(path=str(data / "news_html" / "html")))
    assert found.kept + len(found.drops) == 181
    assert found.kinds["title-text"] >= 165
    assert found.kinds["heading-section"] >= 100
