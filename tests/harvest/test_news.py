import csv
import gzip
import io
import json
import re
import zipfile
from collections import Counter

import pytest

from curate.harvest.news.articles import Article, columns_of, readable
from curate.harvest.news.source import NewsHarvest
from curate.schema import to_table
from tests.harvest.made.news import ATOM, FEED, entry, item, make, row
from tests.harvest.made.web import html, http, paragraph, record
from tests.harvest.reading import harvested


def news(folder, name, content, **settings):
    """Harvest one file."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return harvested(NewsHarvest(path=str(path), **settings))


def table(*rows, **form):
    written = io.StringIO()
    csv.writer(written, **form).writerows(rows)
    return written.getvalue()


# -- pages -----------------------------------------------------------------------------------------


def test_an_article_page_gives_its_body_and_its_description(tmp_path):
    summary = "A short account of the tides, by one who watched them for a year."
    text = html("tides", 1, f'<meta name="description" content="{summary}">')
    found = news(tmp_path, "a.warc", record("https://a.example/1", http(text.encode())))
    body, lead = found.pairs
    assert (body.kind, body.query) == ("title-body", "All about tides, part 1")
    assert body.positives[0].text.startswith(paragraph("tides", 1))
    assert (lead.kind, lead.positives[0].text) == ("headline-summary", summary)
    assert body.source == "news"
    assert (body.group, body.url, body.language) == (
        "https://a.example/1",
        "https://a.example/1",
        "en-GB",
    )


def test_a_description_that_the_body_begins_with_is_no_summary(tmp_path):
    text = html(
        "tides", 1, f'<meta name="description" content="{paragraph("tides", 1)[:100]} ...">'
    )
    assert news(tmp_path, "a.html", text).kinds == {"title-body": 1}


def test_the_front_page_of_a_site_is_no_article(tmp_path):
    found = news(tmp_path, "a.warc", record("https://a.example/", http(html("x", 1).encode())))
    assert found.reasons == {"not_article": 1}


# -- feeds -----------------------------------------------------------------------------------------


def test_rss(tmp_path):
    found = news(tmp_path, "a.xml", FEED.format(items=item(3)))
    body, lead = found.pairs
    assert body.query == lead.query == "Harbour opens its gate number 3 & waits"
    assert body.positives[0].text == f"{paragraph('gates', 3)}\n{paragraph('ships', 3)}"
    assert (
        lead.positives[0].text == "The gate was opened at 3 o'clock; ships from all over came in."
    )
    assert (body.url, body.group, body.language) == (*("https://harbour.example/3",) * 2, "en-GB")
    assert json.loads(body.meta) == {"file": "a.xml", "item": 0}


def test_atom_and_its_licence(tmp_path):
    items = (
        '<rights/><license xmlns="http://cc">http://creativecommons.org/licenses/by/2.5/</license>'
        + entry(1)
    )
    body, lead = news(tmp_path, "feed", ATOM.format(items=items)).pairs
    assert body.query == "Das Tor Nummer 1 ist offen"
    assert body.positives[0].text == paragraph("Häfen", 1)
    assert lead.positives[0].text == f"Kurz: {paragraph('Tore', 1)}"
    assert (body.language, body.license, body.url) == ("de", "CC-BY-2.5", "https://hafen.example/1")


def test_rdf_in_another_encoding(tmp_path):
    text = f"""<?xml version="1.0" encoding="iso-8859-1"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
    xmlns="http://purl.org/rss/1.0/"><item><title>Das Tor der Häfen öffnet</title>
    <description>{paragraph("Häfen", 1)}</description></item></rdf:RDF>"""
    (pair,) = news(tmp_path, "a.rdf", text.encode("latin-1")).pairs
    assert (pair.kind, pair.query) == ("headline-summary", "Das Tor der Häfen öffnet")


def test_a_json_feed_and_an_article_in_json(tmp_path):
    feed = {
        "version": "1",
        "language": "en",
        "items": [
            {
                "title": "The gate is open now",
                "content_html": f"<p>{paragraph('x', 1)}</p>",
                "url": "https://a.b/1",
            }
        ],
    }
    (pair,) = news(tmp_path, "a.json", json.dumps(feed)).pairs
    assert (pair.query, pair.positives[0].text, pair.url) == (
        "The gate is open now",
        paragraph("x", 1),
        "https://a.b/1",
    )
    one = json.dumps(
        {"headline": "The gate is open now", "articleBody": paragraph("x", 1)}, indent=1
    )
    assert news(tmp_path, "b.json", one).pairs[0].positives[0].text == paragraph("x", 1)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xml", "", "damaged"),
        ("a.xml", "<map/>", "damaged"),
        ("a.xml", FEED.format(items=""), "empty"),
        ("a.xml", b"\xff\xfe\x00", "damaged"),
        ("a.rss", "<a>" * 100_000, "damaged"),
        ("a.json", "[" * 100_000, "truncated"),
        ("a.json", '{"a": ' * 100_000, "damaged"),
        ("a.json", '{"items": 5}', "bad_value"),
        ("a.txt", " \n \n", "empty"),
        ("a.bin", b"\0\1\2", "no_news"),
    ],
)
def test_files_without_an_article(tmp_path, name, content, reason):
    found = news(tmp_path, name, content)
    assert (found.kept, found.reasons) == (0, {reason: 1})
    assert found.drops[0].detail.startswith(name)


def test_a_feed_that_is_cut_off_gives_the_items_before(tmp_path):
    text = FEED.format(items="".join(item(n) for n in range(9)))
    found = news(
        tmp_path, "a.xml", text[: text.index("<title>Harbour opens its gate number 5") + 20]
    )
    assert found.kept == 5
    assert found.reasons["damaged"] == 1


def test_entities_are_neither_expanded_nor_fetched(tmp_path):
    (tmp_path / "secret").write_text("SECRET " * 40)
    many = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    text = f"""<!DOCTYPE rss SYSTEM "http://127.0.0.1:9/x.dtd" [<!ENTITY e0 "aaaaaaaaaa">{many}
    <!ENTITY f SYSTEM "file://{tmp_path}/secret">]><rss><channel>
    <item><title>This is the first title</title><description>&f; {paragraph("x", 1)}</description></item>
    <item><title>This is another title</title><description>&e11; {paragraph("x", 2)}</description></item>
    </channel></rss>"""
    found = news(tmp_path, "a.xml", text)
    assert found.kept + len(found.drops) >= 1
    texts = [pair.positives[0].text for pair in found.pairs]
    assert not any("SECRET" in text or len(text) > 1_000 for text in texts)


# -- tables ----------------------------------------------------------------------------------------


def test_columns_are_found_by_name(tmp_path):
    rows = [row(n) for n in range(3)]
    found = news(tmp_path, "a.csv", table(list(rows[0]), *(r.values() for r in rows)))
    assert found.kinds == {"title-body": 3, "headline-summary": 3}
    body = found.pairs[0]
    assert body.query == "Council votes on bridge number 0"
    assert body.positives[0].text == rows[0]["body"]
    assert body.url == "https://council.example/0"
    assert json.loads(body.meta)["file"] == "a.csv"


@pytest.mark.parametrize("text", [paragraph("shares", 1), paragraph("shares", 1) * 5])
def test_columns_without_names_are_told_by_their_length(tmp_path, text):
    rows = [[n % 4, f"Shares of company {n} rise again", text] for n in range(9)]
    found = news(tmp_path, "a.csv", table(*rows, quoting=csv.QUOTE_ALL))
    assert found.kinds == {"title-body" if len(text) > 500 else "headline-summary": 9}
    assert found.pairs[0].query == "Shares of company 0 rise again"


def test_columns_are_named_by_settings(tmp_path):
    rows = [["The first line of all", paragraph("x", n), "note"] for n in range(3)]
    text = table(["a", "b", "c"], *rows)
    assert news(tmp_path, "a.csv", text).reasons == {"no_columns": 1}
    assert news(tmp_path, "a.csv", text, title="a", body="b").kinds == {"title-body": 3}
    assert news(tmp_path, "a.csv", text, title="a", body="z").reasons == {"no_columns": 1}
    named = news(tmp_path, "b.csv", table(*rows), header=("title", "summary", "x"))
    assert named.kinds == {"headline-summary": 3}


def test_lines_of_json_also_in_a_zip(tmp_path):
    line = json.dumps(
        {"title": "Läufer gewinnt den Lauf", "text": paragraph("Läufe", 1), "lang": "de"}
    )
    text = "\n".join([line, "{", line.replace("Läufer", "\\ud800"), "[1]", ""])
    plain = news(tmp_path, "a.jsonl", text)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("README.txt", "These are rows.")
        archive.writestr("in/a.jsonl", text)
    zipped = harvested(NewsHarvest(path=str(tmp_path / "a.zip")))
    for found in (plain, zipped):
        assert [p.language for p in found.pairs] == ["de", "de"]
        assert found.reasons == {"damaged": 1, "no_title": 1}
    assert zipped.drops[0].detail.startswith("a.zip/in/a.jsonl: byte")


def test_what_a_table_lacks(tmp_path):
    rows = [
        ["title", "text"],
        ["", paragraph("x", 1)],
        ["Title", paragraph("x", 1)],
        ["A title of four words", ""],
        ["A title of four words", "Too short."],
        ["A title of four words", paragraph("x", 1), "more"],
    ]
    found = news(tmp_path, "a.csv", table(*rows))
    assert [d.reason for d in found.drops] == [
        "no_title",
        "weak_title",
        "no_text",
        "short_text",
        "damaged",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It #39;s the bank #39;s day", "It's the bank's day"),
        (
            "quot;We will, quot; he said of the #36;10 million",
            '"We will, " he said of the $10 million',
        ),
        ("A second\\team for \\$5", "A second team for $5"),
        ("&lt;b&gt;Bold&lt;/b&gt; &amp;lt;i&amp;gt;x&amp;lt;/i&amp;gt;", "Bold x"),
        ("<p>One</p><p>two</p>", "One\ntwo"),
        (["One", "two"], "One\ntwo"),
        ("a < b and c", "a < b and c"),
        (None, ""),
    ],
)
def test_texts_are_made_readable(text, expected):
    assert readable(text) == expected


def test_values_that_are_no_text():
    with pytest.raises(ValueError, match="no text"):
        readable({"a": 1})
    assert columns_of([], None, None, None) is None


# -- text files ------------------------------------------------------------------------------------


def test_one_article_a_file(tmp_path):
    title = "\n\tA storm over the town\n\n"
    text = f"{title}{title}\t{paragraph('x', 1)}\n\n\tMore of it.\n"
    (pair,) = news(tmp_path, "a.txt", text).pairs
    assert (pair.query, pair.positives[0].text) == (
        "A storm over the town",
        paragraph("x", 1) + "\nMore of it.",
    )


def test_many_articles_a_file(tmp_path):
    texts = [f"A storm over town {n}\n{paragraph('x', n)}\nMore \xe9." for n in range(3)]
    found = news(tmp_path, "a.txt", "\r\n\r\n".join(texts).encode("cp1252"))
    assert [p.query for p in found.pairs] == [f"A storm over town {n}" for n in range(3)]
    assert found.pairs[2].positives[0].text.endswith("More \xe9.")
    assert [json.loads(p.meta)["item"] for p in found.pairs] == [0, 1, 2]


def test_nothing_is_lost_of_what_was_made(tmp_path):
    found = harvested(NewsHarvest(**make(tmp_path)))
    to_table(found.pairs, "pairs")
    inputs = Counter()
    inputs["a.warc"] = 20 + 12
    inputs |= dict.fromkeys(["front.warc", "page.html", "other.xml", "deep.json", "other.csv"], 1)
    inputs |= {
        "feed.rss": 10,
        "atom.xml": 10,
        "feed.json": 6,
        "council.csv": 30,
        "plain.csv.gz": 30,
    }
    inputs |= {"runs.jsonl": 24, "tables.zip": 24, "texts.zip": 11 + 5 + 1 + 1}
    by_file = Counter(d.detail.partition(":")[0].partition("/")[0] for d in found.drops)
    kinds = {(json.loads(p.meta)["file"].partition("/")[0], p.meta) for p in found.pairs}
    by_file.update(name for name, _ in kinds)
    assert {n: c for n, c in by_file.items() if n not in ("cut.xml", "bomb.xml")} == inputs


# -- real news -------------------------------------------------------------------------------------


def test_ag_news(data):
    path = data / "news" / "ag_news_test.csv.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    assert (
        len(
            [line for line in lines if re.fullmatch(r'"[1-4]","(?:[^"]|"")*","(?:[^"]|"")*"', line)]
        )
        == 7_600
    )
    found = harvested(NewsHarvest(path=str(path)))
    assert found.kept + len(found.drops) == 7_600
    # titles of one or two words, such as "Oil prices", and a few stubs
    assert found.kept >= 7_480
    assert set(found.kinds) == {"headline-summary"}
    assert not any(
        re.search(r"#\d\d;|quot;|\\|</?(?:b|font|a)\b", p.positives[0].text) for p in found.pairs
    )


def test_abc(data):
    path = data / "news" / "abc_2006.zip"
    blocks = 0
    with zipfile.ZipFile(path) as archive:
        for name in ("abc/rural.txt", "abc/science.txt"):
            lines = archive.read(name).decode("latin-1").split("\n")
            pairs = zip(["", *lines], lines, strict=False)
            blocks += sum(bool(line.strip()) and not before.strip() for before, line in pairs)
    assert blocks == 3_189
    found = harvested(NewsHarvest(path=str(path)))
    assert found.kept + len(found.drops) == 3_189 + 1  # the README
    # headings within articles stand between empty lines, too: "Support", "Grain prices"
    assert found.kinds["title-body"] >= 3_130


def test_wikinews(data):
    found = harvested(
        NewsHarvest(path=str(data / "news" / "wikinews_fr.zip"), language="fr", license="CC-BY-2.5")
    )
    assert found.kinds == {"title-body": 100}
    assert {p.license for p in found.pairs} == {"CC-BY-2.5"}
    assert not any(p.query in p.positives[0].text.split("\n")[0] for p in found.pairs)


def test_news_pages(data):
    found = harvested(NewsHarvest(path=str(data / "news_html" / "html")))
    assert found.kept + len(found.drops) == 181
    assert found.kinds["title-body"] >= 174
    assert found.kinds["headline-summary"] >= 95


def test_agencies_leave_no_marks_and_hyphens_that_nobody_sees_go():
    article = Article(
        "Oil falls\xad again (Reuters)",
        "By Jo O'Neil\nLONDON (Reuters) - Oil fell.",
        "By Jo van Dam. AP - It fell.",
    )
    plain = article.unmarked()
    assert (plain.title, plain.body, plain.summary) == ("Oil falls again", "Oil fell.", "It fell.")
    kept = Article(
        "What AP is (and is not)", "AP was founded in 1846 - long ago.", "By June. It fell."
    )
    assert kept.unmarked() == kept
