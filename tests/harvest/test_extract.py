import contextlib
import gzip
import json
import re
import time
from collections import Counter

import pytest

from curate.harvest.reading.charset import decoded_html
from curate.harvest.text import extract as module
from curate.harvest.text.extract import ExtractionError, extract, host_of, language_tag, spdx
from curate.harvest.text.frames import Frames
from curate.harvest.text.texts import is_prose, says_little, shortened, without_title
from curate.harvest.text.titles import clean_title, names_nothing
from curate.licenses import NOASSERTION
from tests.harvest.made.web import html, linking, paragraph

WORD = re.compile(r"\w+")


def f1(ours, gold):
    """The harmonic mean of precision and recall of the words of a text, counted with repetition."""
    one, other = Counter(WORD.findall(ours)), Counter(WORD.findall(gold))
    common = (one & other).total()
    if not common:
        return float(one == other)
    precision, recall = common / one.total(), common / other.total()
    return 2 * precision * recall / (precision + recall)


def test_f1_by_hand():
    assert f1("a b c d", "a b b") == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert (f1("", ""), f1("a", ""), f1("", "a")) == (1, 0, 0)


def test_a_page():
    head = '<meta name="description" content="What is  new.">'
    head += '<link rel="license" href="//creativecommons.org/licenses/by/4.0/">'
    page = extract(html("tides", 3, head, linking("tides", 3)), "https://a.example/x/")
    assert page.title == "All about tides, part 3"
    assert (page.language, page.license, page.description) == ("en-GB", "CC-BY-4.0", "What is new.")
    assert paragraph("tides", 3) in page.text
    assert "Home" not in page.text
    assert "reserved" not in page.text
    heads = [s.heading for s in page.sections]
    assert "What do tides look like in winter 3?" in heads
    winter = page.sections[heads.index("What do tides look like in winter 3?")]
    assert winter.text.split("\n") == [
        paragraph("winter and tides", 103),
        paragraph("ice on tides", 10),
    ]
    assert [link.anchor for link in page.links] == [
        "the study of glaciers in spring 3",
        "click here",
    ]
    assert {link.url.partition("#")[0] for link in page.links} == {"https://fieldnotes.example/4/3"}


def test_the_address_is_where_it_was_found_else_what_it_says():
    head = '<link rel="canonical" href="https://a.example/own"><meta property="og:url" content="https://b.example">'
    assert extract(html("x", 1, head)).url == "https://a.example/own"
    assert extract(html("x", 1, head), "https://c.example/").url == "https://c.example/"
    assert (
        extract(html("x", 1, '<meta property="og:url" content="https://b.example/">')).url
        == "https://b.example/"
    )
    assert extract(html("x", 1, '<link rel="canonical" href="javascript:x">')).url is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.de", "CC-BY-SA-4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/3.0/us/", "CC-BY-NC-ND-3.0"),
        ("http://creativecommons.org/licenses/by-nd-nc/1.0", "CC-BY-NC-ND-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("http://www.nationalarchives.gov.uk/doc/open-government-licence/version/2/", "OGL-UK-2.0"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3-or-later"),
        ("https://example.org/terms", NOASSERTION),
    ],
)
def test_licences(url, expected):
    assert spdx(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("en", "en"),
        ("pt_br", "pt-BR"),
        ("ZH-hant-tw", "zh-Hant-TW"),
        ("Japanese", None),
        ("", None),
        ("e", None),
    ],
)
def test_language_tags(text, expected):
    assert language_tag(text) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://www.A.example:80/x", "a.example"),
        ("ftp://a.b", None),
        ("http://[bad", None),
        (None, None),
        ("x", None),
    ],
)
def test_hosts(url, expected):
    assert host_of(url) == expected


# -- charsets --------------------------------------------------------------------------------------

RUSSIAN = "<html><meta charset=windows-1251><p>Приливы и мосты: что нового, что известно давно?"


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        (RUSSIAN.encode("cp1251"), None),
        (RUSSIAN.encode("cp1251"), "utf-8"),
        (RUSSIAN.encode("utf-8"), "windows-1251"),
        (RUSSIAN.encode("utf-8-sig"), "koi8-r"),
        (RUSSIAN.encode("utf-16"), None),
        (RUSSIAN.replace("windows-1251", "x").encode("koi8-r"), "KOI8-R"),
        (RUSSIAN.replace("<meta charset=windows-1251>", "").encode("cp1251") * 5, None),
        (RUSSIAN.encode("utf-8")[:-1] + b"\xd0", None),
    ],
)
def test_encodings_said_wrongly_or_not_at_all(data, charset):
    assert "Приливы и мосты: что нового, что известно давно" in decoded_html(data, charset)


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("shift_jis", "shift_jis"),
        ("euc_jp", "EUC-JP"),
        ("iso2022_jp", "iso-2022-jp"),
        ("gb18030", "gb2312"),
        ("big5", "big5"),
    ],
)
def test_encodings_of_east_asia(encoding, said):
    text = "<p>山川 今日 天氣" if encoding == "big5" else "<p>山川 今日 天気"
    assert decoded_html(text.encode(encoding), said) == text


@pytest.mark.parametrize(
    "charset", ["idna", "unicode_escape", "none", "utf-7", "x" * 999, "base64", "\0"]
)
def test_encodings_that_are_none(charset):
    assert decoded_html(b"<p>caf\xc3\xa9 \\u0041", charset) == "<p>café \\u0041"
    assert decoded_html(b"<p>caf\xe9 and so on, as it is", charset).startswith("<p>caf")


# -- titles, prose, frames -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "headings", "expected"),
    [
        ("Storm at sea | Fieldnotes", [], "Storm at sea"),
        ("Fieldnotes: Storm at sea", [], "Storm at sea"),
        ("Storm at sea - Weather - Fieldnotes", ["Storm at sea"], "Storm at sea"),
        ("Fieldnotes", ["Storm at sea"], "Storm at sea"),
        ("Storm at sea - what now", [], "Storm at sea - what now"),
        ("Home | Fieldnotes", [], "Home | Fieldnotes"),
        ("Storm at sea | example.org", [], "Storm at sea"),
    ],
)
def test_titles_lose_the_name_of_the_site(title, headings, expected):
    assert clean_title(title, headings, "Fieldnotes", "example.org") == expected


@pytest.mark.parametrize(
    "title",
    [
        "Home",
        "404 Not Found",
        "Untitled Document",
        "Welcome to our site",
        "Log in",
        "Search results for x",
    ],
)
def test_titles_of_no_page(title):
    assert names_nothing(title)


@pytest.mark.parametrize(
    "title",
    [
        "Search for survivors goes on",
        "Home to 300 species",
        "Sign-up reopened for race",
        "News from the north",
    ],
)
def test_titles_that_only_begin_like_those(title):
    assert not names_nothing(title)


def test_judgements_of_texts():
    assert says_little("Oil")
    assert not says_little("山川の天気")
    assert says_little("2024 12 01")
    assert is_prose("This is a sentence, which is longer than the items of a menu usually are.")
    assert not is_prose(
        "Home News Sport Weather Travel Money Culture Books Film Music Games Food More"
    )
    assert is_prose("ประเทศไทยเป็นประเทศที่มีวัฒนธรรมและประวัติศาสตร์ยาวนานมากกว่าเจ็ดร้อยปี")
    assert shortened("one\ntwo\nthree", 9) == "one\ntwo"
    assert shortened("onetwothree", 4) == "onet"
    assert without_title("A Title\na title!\nText", "A title") == "Text"
    assert without_title("A title", "A title") == "A title"


def test_what_the_pages_of_a_site_share_is_taken_off():
    found = []
    for number in range(4):
        page = extract(html(f"tides {number}", number), f"https://a.example/{number}")
        page.text += "\nA | B | C | D\nPlease enable JavaScript to see this page."
        page.text += "\nEvery page of this site ends with these words, which say nothing."
        page.title = f"The Notes: {page.title}"
        found.append(page)
    frames = Frames(found)
    for number, page in enumerate(found):
        frames.take_off(page)
        assert page.title == f"All about tides {number}, part {number}"
        assert page.text.endswith(paragraph("books", number))
        assert not page.shared_title


# -- hostile pages ---------------------------------------------------------------------------------

P = f"<p>{paragraph('x', 1)}</p>"


@pytest.mark.parametrize(
    "body",
    [
        "<div>" * 9_000 + P,
        ("<div>" * 250 + P * 10 + "</div>" * 250) * 20,
        "<ul><li>" * 5_000 + "x",
        "<table><tr><td colspan=1000000000 rowspan=99999>cell, text</td></tr></table>" * 50 + P,
        "<table><tr><td>" * 3_000 + "text",
        "<blockquote>" * 6_000 + P,
        "<form>" * 200 + P * 1_000,
        '<article><div class="entry-content">' * 200 + P * 1_000,
        "<p>" + "<a href='http://a.b/c'>some text</a> and " * 5_000,
        "<p>" + "&amp;" * 300_000,
        "<h1>" + " | " * 300_000 + "</h1>" + P,
        "<pre>" + "{ ('x') }\n" * 50_000,
        "<p>" + "<span>a" * 9_000,
        "<!--" * 5_000 + P,
        "<" * 15_000,
        "\ud800\x00\x01" * 1_000 + P,
    ],
)
def test_no_page_takes_long_or_fails(body):
    begin = time.monotonic()
    with contextlib.suppress(ExtractionError):
        extract(f"<html><title>A title</title><body>{body}").text.encode()
    assert time.monotonic() - begin < 20


def test_pages_too_long(monkeypatch):
    monkeypatch.setattr(module, "MAX_TAGS", 30)
    with pytest.raises(ExtractionError, match="tags"):
        extract(html("x", 1) + "<p>" * 30)


def test_a_fault_of_the_extractor_is_told(monkeypatch):
    class Broken:
        load_html = staticmethod(module._trafilatura().load_html)

        @staticmethod
        def bare_extraction(*_, **__):
            raise RecursionError("deep")

    monkeypatch.setattr(module, "_trafilatura", lambda: Broken)
    with pytest.raises(ExtractionError, match="RecursionError: deep") as caught:
        extract(html("x", 1))
    assert caught.value.reason == "unreadable"


# -- real pages ------------------------------------------------------------------------------------


def test_the_gold_bodies_of_the_news_pages(data):
    gold = json.loads(gzip.decompress((data / "news_html/ground-truth.json.gz").read_bytes()))
    scores, balanced = [], []
    for name, truth in gold.items():
        page = decoded_html(gzip.decompress((data / f"news_html/html/{name}.html.gz").read_bytes()))
        scores.append(f1(extract(page, recall=True).text, truth["articleBody"]))
        balanced.append(f1(extract(page).text, truth["articleBody"]))
    assert len(scores) == 181
    assert sum(scores) / 181 >= 0.96
    assert sum(balanced) / 181 >= 0.955
