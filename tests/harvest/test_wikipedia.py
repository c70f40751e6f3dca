import bz2
import gzip
import re
import time
from collections import Counter
from html import unescape
from pathlib import Path

import mwparserfromhell
import pytest
from lxml import etree

from curate.harvest.reading import bounds
from curate.harvest.wikipedia import dump as wiki_dump
from curate.harvest.wikipedia.dump import Site, site_of
from curate.harvest.wikipedia.markup import sections
from curate.harvest.wikipedia.prose import prose_of, sentences, text_of
from curate.harvest.wikipedia.source import WikipediaHarvest
from curate.schema import to_table
from tests.harvest.made.wikipedia import dump, header, make, multistream, page, pages
from tests.harvest.reading import harvested

PROSE = "The town lies on a river, and its people are known far and wide for their bread."
MORE = "It was first named in a deed of the year, when the bishop gave all of it to the abbey."


def read(path, **settings):
    return harvested(WikipediaHarvest.model_validate({"path": str(path), **settings}))


def read_pages(tmp_path, *texts, code="en", **settings):
    (tmp_path / "wiki.xml").write_text(dump(list(texts), code), "utf-8")
    return read(tmp_path, **settings)


def shown(wikitext, **settings):
    """Return the passages that a section of wikitext gives."""
    (section,) = sections(wikitext, Site().media)
    limits = {"max_chars": 1000, "passages": 8} | settings
    return [text_of(passage) for passage in prose_of(section.wikitext, **limits).passages]


# -- pages -----------------------------------------------------------------------------------------


def test_an_article_gives_its_lead_and_its_sections(tmp_path):
    text = f"{PROSE}\n\n{MORE}\n==Past==\n{MORE}\n\n===Early===\n{PROSE}\n==Now==\n{PROSE} {MORE}"
    found = read_pages(tmp_path, page("Old Town", text, 7))
    assert [(p.kind, p.query, p.positives[0].text) for p in found.pairs] == [
        ("title-lead", "Old Town", f"{PROSE}\n\n{MORE}"),
        ("section-passage", "Old Town Past", MORE),
        ("section-passage", "Old Town Past Early", PROSE),
        ("section-passage", "Old Town Now", f"{PROSE} {MORE}"),
    ]
    first = found.pairs[0]
    assert first.source == "wikipedia/en"
    assert first.language == first.positives[0].language == "en"
    assert first.url == "https://en.wikipedia.org/wiki/Old_Town"
    assert {pair.group for pair in found.pairs} == {"wikipedia/en/7"}
    assert first.meta == '{"page": "7", "revision": "1007", "section": 0, "part": 0}'


def test_the_licence_is_that_of_the_day_of_the_revision(tmp_path):
    days = ["2014-05-01T00:00:00Z", "2023-06-06T23:59:59Z", "2023-06-07T00:00:00Z", ""]
    found = read_pages(tmp_path, *(page(f"T{n}", PROSE, n, 0, d) for n, d in enumerate(days)))
    versions = ["3.0", "3.0", "4.0", "3.0"]
    assert [pair.license for pair in found.pairs] == [f"CC-BY-SA-{v}" for v in versions]


def test_another_wiki_has_the_licence_that_the_recipe_says(tmp_path):
    head = header().replace("http://de.wikipedia.org/wiki", "https://wiki.example.org/w")
    (tmp_path / "a.xml").write_text(f"{head}{page('Ä & B', PROSE)}</mediawiki>")
    (pair,) = read(tmp_path, license="CC0-1.0").pairs
    assert (pair.source, pair.license) == ("wiki.example.org", "CC0-1.0")
    assert pair.url == "https://wiki.example.org/w/%C3%84_%26_B"
    assert read(tmp_path).pairs[0].license == "NOASSERTION"


def test_the_header_of_a_dump_says_what_site_it_is_of():
    site = site_of(header("pt", "wikinews"))
    assert (site.source, site.language, site.license) == ("wikinews/pt", "pt", "CC-BY-2.5")
    assert site.articles == "https://pt.wikinews.org/wiki/"
    assert {"datei", "kategorie", "file"} <= site.media
    assert site.key("a_b  c") == "wikinews/pt:A b c"
    assert site_of("") == Site()
    assert site_of("<case>case-sensitive</case>").key("ant") == "mediawiki:ant"


@pytest.mark.parametrize(
    ("text", "namespace", "reason"),
    [
        ("#REDIRECT [[A]]", 0, "redirect"),
        ("#WEITERLEITUNG: [[A]]", 0, "redirect"),
        (PROSE, 10, "not_article"),
        ("", 0, "no_text"),
        ("and so on, it says, but where it began is not told here.", 0, "no_prose"),
        (f"'''A''' may be:\n* {PROSE}\n{{{{Disambiguation|geo}}}}", 0, "disambiguation"),
        (f"{PROSE} __DISAMBIG__", 0, "disambiguation"),
        (f"{PROSE}\n{{{{Begriffsklärung}}}}", 0, "disambiguation"),
        ("Too short.", 0, "short"),
        (f"{{{{Infobox\n|a={PROSE}\n}}}}", 0, "no_prose"),
        (
            f"Parts of it.  Some of the many parts are listed.\n{'* [[one of the parts]]' * 30}",
            0,
            "list",
        ),
    ],
)
def test_what_is_no_article_or_has_no_prose_is_a_drop(tmp_path, text, namespace, reason):
    found = read_pages(tmp_path, page("A", text, 3, namespace))
    assert (found.pairs, dict(found.reasons)) == ([], {reason: 1})
    assert "wiki.xml: page 3 'A'" in found.drops[0].detail


def test_a_page_that_only_names_a_template_of_disambiguations_is_an_article(tmp_path):
    text = f"{{{{nota disambigua|x}}}}\n{PROSE}{{{{disambiguation needed|date=May}}}}"
    assert read_pages(tmp_path, page("A", text)).kinds == {"title-lead": 1}


def test_dumps_without_numbers_of_namespaces_are_told_by_names(tmp_path):
    old = [page("Talk:A", PROSE), page("Star: A", PROSE, 2)]
    found = read_pages(tmp_path, *(p.replace("<ns>0</ns>", "") for p in old))
    assert [pair.query for pair in found.pairs] == ["Star: A"]


# -- packing and cutting ---------------------------------------------------------------------------


def straddling(text: str) -> bytes:
    """Pack as pbzip2 does: streams that begin anywhere."""
    data = text.encode()
    return b"".join(bz2.compress(data[at : at + 700]) for at in range(0, len(data), 700))


PACKED = {
    "a.xml": lambda listed: dump(listed).encode(),
    "bom.xml": lambda listed: dump(listed).encode("utf-8-sig"),
    "a.xml.gz": lambda listed: gzip.compress(dump(listed).encode()),
    "a.xml.bz2": lambda listed: bz2.compress(dump(listed).encode()),
    "wide.xml": lambda listed: dump(listed).encode("utf-16"),
    "wide.xml.bz2": lambda listed: bz2.compress(dump(listed).encode("utf-16")),
    "a-multistream.xml.bz2": multistream,
    "a-pbzip2.xml.bz2": lambda listed: straddling(dump(listed)),
}


@pytest.mark.parametrize("name", PACKED)
def test_every_packing_gives_the_same_records_however_it_is_cut(tmp_path, monkeypatch, name):
    listed = [p for n in range(40) for p in pages(n, 1)]
    expected = read_pages(tmp_path, *listed, code="de")
    (tmp_path / "wiki.xml").unlink()
    (tmp_path / name).write_bytes(PACKED[name](listed))
    whole = read(tmp_path)
    monkeypatch.setattr(bounds, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(wiki_dump, "GROUP_BYTES", 1500)
    assert sum(1 for unit in WikipediaHarvest(path=str(tmp_path)).units()) == 1
    small = read(tmp_path)
    blocks = sum(1 for u in stage(tmp_path).units() for _ in stage(tmp_path).cut(u))
    assert blocks > 1 or "wide" in name or name.endswith("gz")
    for found in (whole, small):
        assert [p.id for p in found.pairs] == [p.id for p in expected.pairs]
        assert found.reasons == expected.reasons


def stage(path):
    return WikipediaHarvest(path=str(path))


def test_workers_unpack_the_streams_of_a_multistream_dump(tmp_path, monkeypatch):
    monkeypatch.setattr(wiki_dump, "GROUP_BYTES", 1000)
    (tmp_path / "a.xml.bz2").write_bytes(multistream(pages(0, 40)))
    (unit,) = stage(tmp_path).units()
    blocks = list(stage(tmp_path).cut(unit))
    assert len(blocks) > 5
    assert all(isinstance(block.payload.part, wiki_dump.Streams) for block in blocks)
    assert sum(block.size for block in blocks) == unit.size


# -- damage ----------------------------------------------------------------------------------------


def test_a_damaged_stream_of_many_is_one_drop(tmp_path):
    data = bytearray(multistream(pages(0, 40)))
    starts = list(wiki_dump.stream_starts(written(tmp_path / "a.xml.bz2", data)))
    data[starts[6] + 200 : starts[6] + 220] = bytes(20)
    written(tmp_path / "a.xml.bz2", data)
    found = read(tmp_path)
    assert found.kinds["title-lead"] == 38
    assert found.reasons["damaged"] == 1
    assert f"byte {starts[0]}" in next(d.detail for d in found.drops if d.reason == "damaged")


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.xml.gz", gzip.compress),
        ("a.xml.bz2", bz2.compress),
        ("a.xml", bytes),
        ("m.xml.bz2", None),
    ],
)
def test_of_a_truncated_dump_the_pages_before_are_kept(tmp_path, name, pack):
    listed = pages(0, 60)
    data = pack(dump(listed).encode()) if pack else multistream(listed, together=20)
    written(tmp_path / name, data[: len(data) * 2 // 3])
    found = read(tmp_path)
    assert found.reasons["truncated"] >= 1
    assert found.kinds["title-lead"] >= (20 if "bz2" not in name or not pack else 0)


@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        ("<page><title>A</title>&boom;</page>", {"damaged": 1}),
        ("<page><title>A</title><revision><text>a < b</text></revision></page>", {"damaged": 1}),
        ("<page><title>A</title></page>", {"damaged": 1}),
        ("<page><revision><text>no title</text></revision></page>", {"damaged": 1}),
        (page("A", PROSE).replace("<page>", "<pabe>"), {"damaged": 1}),
        (page("A", PROSE).replace("</page>", "</pabe>"), {"damaged": 1}),
        (page("A", "nul").replace("nul", "\0"), {"damaged": 1}),
        ("<page>" + "<a>" * 100_000 + "</page>", {"damaged": 1}),
        ("some words", {"damaged": 1}),
        (page("A", "x" * (5 << 20)), {"too_long": 1}),
        (page("A", "x" * (25 << 20)), {"too_long": 1}),
        (
            page("A", PROSE).replace("<revision>", "<contributor>").replace("</revision>", ""),
            {"damaged": 1},
        ),
    ],
)
def test_a_broken_page_is_one_drop_and_the_others_are_read(tmp_path, broken, reasons):
    for name, pack in (("a.xml", bytes), ("a.xml.bz2", bz2.compress)):
        folder = tmp_path / name.replace(".", "")
        folder.mkdir()
        text = dump([page("B", PROSE, 2), broken, page("C", MORE, 3)])
        written(folder / name, pack(text.encode()))
        found = read(folder)
        assert [pair.query for pair in found.pairs] == ["B", "C"]
        assert dict(found.reasons) == reasons
        assert all("byte" in drop.detail for drop in found.drops)


def test_entities_are_neither_expanded_nor_fetched(tmp_path):
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'
    for entity in ("&b;", "&c;"):
        inside = page("A", "x").replace(">x<", f">{entity}{PROSE}<")
        (tmp_path / "a.xml").write_text(bomb + dump([inside, page("B", MORE)]))
        found = read(tmp_path)
        assert [pair.query for pair in found.pairs] == ["B"]
        assert found.reasons == {"damaged": 1}


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (b"", {}),
        (b"no dump at all", {"truncated": 1}),
        (header().encode(), {}),
        (bz2.compress(b"\0" * (300 << 20), 1), {"bomb": 1}),
        (bz2.compress(header().encode()) * 2 + bz2.compress(b"x" * (300 << 20)), {"bomb": 1}),
        (bz2.compress(header().encode()) * 2 + b"BZh91AY&SY and no more than that", {"damaged": 1}),
    ],
    ids=["empty", "text", "header", "bomb", "bomb in a stream", "false start"],
)
def test_what_is_no_dump_is_a_drop(tmp_path, data, reasons):
    written(tmp_path / "a.xml", data)
    assert dict(read(tmp_path).reasons) == reasons


def test_texts_that_arrow_refuses_do_not_come_about(tmp_path):
    text = f"{PROSE} &#xD800; &#x110000; &#0; &#99999999999; {MORE}\n\n&#xDFFF;{MORE}"
    found = read_pages(tmp_path, page("A\ufdd0", text))
    assert len(to_table(found.pairs, "pairs")) == len(found.pairs) >= 1


# -- wikitext --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        (f"'''The''' [[town (place)|town]]s of ''[[Ys]]''. {PROSE}", f"The towns of Ys. {PROSE}"),
        (f"Dall'''Acqua'' è '''B''' o. {PROSE}", f"Dall'Acqua è B o. {PROSE}"),
        (f"L''''harmonium''' is old. {PROSE}", f"L'harmonium is old. {PROSE}"),
        (f"{PROSE}<ref>A {{{{cite|x}}}} note</ref><ref name=x /> {MORE}", f"{PROSE} {MORE}"),
        (f"{PROSE}<!-- [[ {{{{ --> {MORE}", f"{PROSE} {MORE}"),
        (f"[[File:x.jpg|thumb|A [[map]] of it]]\n{PROSE}", PROSE),
        (f"[[Plik:x.jpg|mały|A [[map]] of it]]{PROSE}", PROSE),
        (f"{{{{Box|a={{{{b|[[c]]}}}}|d=e}}}}{PROSE}", PROSE),
        (f"{{| class=x\n! a\n|-\n| {{|\n| b\n|}}\n|}}\n{PROSE}", PROSE),
        (f"{PROSE}\n* one\n# two\n: three\n; four\n code\n----\n{MORE}", f"{PROSE}\n\n{MORE}"),
        (f"{PROSE}<br />{MORE}", f"{PROSE} {MORE}"),
        (f"<div class=x>\n{PROSE}\n</div>", PROSE),
        (f"<gallery>\na.jpg|b\n</gallery>\n{PROSE}\n[[Category:Towns]]\n[[fr:Ville]]", PROSE),
        (f"__NOTOC__{PROSE} H<sub>2</sub>O&nbsp;is &lt; 5&#37;.", f"{PROSE} H2O is < 5%."),
        (f"{PROSE} See [http://a.b the site] now.", f"{PROSE} See the site now."),
        (f"{PROSE} See http://a.b/c now. {MORE}", f"{PROSE} {MORE}"),
        (f"{PROSE} Its sum is <math>x^2</math> units. {MORE}", f"{PROSE} {MORE}"),
        (f"{PROSE} It is {{{{x|5}}}} wide. {MORE}", f"{PROSE} {MORE}"),
        (f"{PROSE} It is {{{{convert|5|km|mi}}}} wide.", f"{PROSE} It is 5 km wide."),
        (f"{PROSE} It is {{{{cvt|5|to|6|km}}}} wide.", f"{PROSE} It is 5 to 6 km wide."),
        (f"{PROSE} A {{{{lang|fr|mot}}}} here.", f"{PROSE} A mot here."),
        (f"{PROSE} A word ({{{{IPA|x}}}}; not {{{{y}}}}) here.", f"{PROSE} A word here."),
        (f"{PROSE} A word (; so) here ( ) .", f"{PROSE} A word (so) here."),
        (f"{PROSE}{{{{sfn|A|2000}}}} {MORE} {{{{cn}}}}", f"{PROSE} {MORE}"),
        (f"{PROSE} These are they:\n* one", PROSE),
        (f"'''A label'''\n\n{PROSE}", PROSE),
        (f"{PROSE}\n\n{MORE} {{{{ never closed", f"{PROSE}\n\n{MORE}"),
        (f"{PROSE}\n\n{MORE} [[ never closed", f"{PROSE}\n\n{MORE}"),
        (f"{PROSE}\n\n<small>{MORE}", PROSE),
    ],
)
def test_wikitext_gives_whole_sentences_without_markup(wikitext, text):
    assert shown(wikitext) == [text]


def test_headings_are_read_as_text():
    text = "=== ''The'' [[year|Year]] <sup>1</sup> ===\na\n"
    text += "==B==\nb\n== ==\nc\n=====D===\nd\n==E== <!-- x -->\ne"
    found = [section.headings for section in sections(text, Site().media)]
    assert found == [(), ("The Year 1",), ("B",), ("B", "==D"), ("E",)]


def test_a_long_section_gives_passages_of_whole_sentences():
    paragraph = " ".join([PROSE, MORE] * 4)
    found = shown("\n\n".join([paragraph] * 3), max_chars=400, passages=3)
    assert [len(text) <= 400 for text in found] == [True] * 3
    assert all(text.endswith(".") for text in found)
    assert paragraph.startswith(found[0])
    assert shown("word " * 500, max_chars=300, passages=2) == [("word " * 60).strip()] * 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One is here. Two is there! Is three? Four", 4),
        ("Dr. A. B. Smith of St. Ives came in 5.3 hours, e.g. by train. He left.", 2),
        ("U.S. Navy ships. Others.", 2),
        ("これは文です。次の文です。", 2),
        ("यह एक वाक्य है। यह दूसरा है।", 2),
        ('He said "no." Then he left.', 2),
        ("", 0),
    ],
)
def test_sentences_end_in_any_script(text, count):
    found = list(sentences(text))
    assert "".join(found) == text
    assert len(found) == count


HOSTILE = [
    *("{{", "}}", "[[", "{|\n", "<ref>", "<!--", "[[a|", "=", "'", "<b>", "<i>[[a", "(", "({{x}}"),
    *(
        "\n=a=\n",
        "a {{x}} b",
        "[http://x ",
        "\n[[a|b]] ",
        "<math>",
        "<ref <ref ",
        "\n\n<ref <ref x",
        ". ",
    ),
    *(
        "{{disambig",
        "a disambiguation ",
        "\n<b>[[a|b]]</b>\n\n",
        "&amp;",
        "__a",
        "\n==[[a]]==\n",
        "-{",
    ),
    "<b>" * 150 + "</b>" * 150 + "\n\n",
    "\n\n" + "<b>a" * 8 + "[[a|" * 4 + "zz" * 3000,
    f"\n\n[[a|{PROSE}]] [[b]] {MORE} [[c|d]].",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_wikitext_takes_linear_time(tmp_path, piece):
    text = (piece * (300_000 // len(piece)))[:300_000]
    started = time.monotonic()
    read_pages(tmp_path, page("A", text))
    assert time.monotonic() - started < 10


# -- links -----------------------------------------------------------------------------------------

SENTENCE = (
    "The long river that runs through the valley is fed by the snows of [[{}]] in the spring."
)


def test_a_link_is_paired_with_the_lead_of_its_target_in_another_file(tmp_path):
    for name, of in (
        ("a.xml", page("River", SENTENCE.format("high Peak|the peak"), 1)),
        ("b.xml", page("High Peak", f"{MORE}\n\n{PROSE}", 2, 0, "2010")),
    ):
        (tmp_path / name).write_text(dump([of], "en"))
    (pair,) = [p for p in read(tmp_path).pairs if p.kind == "link-lead"]
    assert pair.query == SENTENCE.format("x").replace("[[x]]", "the peak")
    assert pair.positives[0].text == f"{MORE}\n\n{PROSE}"
    assert pair.group == "wikipedia/en/2"
    assert pair.url == "https://en.wikipedia.org/wiki/High_Peak"
    assert pair.license == "CC-BY-SA-3.0 AND CC-BY-SA-4.0"
    assert '"from": "https://en.wikipedia.org/wiki/River"' in pair.meta


def test_targets_of_another_language_or_no_lead_are_drops(tmp_path):
    (tmp_path / "a.xml").write_text(dump([page("River", SENTENCE.format("Peak"))], "en"))
    (tmp_path / "b.xml").write_text(dump([page("Peak", PROSE)], "de"))
    found = read(tmp_path)
    assert "link-lead" not in found.kinds
    (drop,) = found.drops
    assert drop.reason == "no_target"
    assert drop.detail.startswith("a.xml: page 1 'River': links to 'Peak'")


@pytest.mark.parametrize(
    "target",
    [
        "Talk:Peak",
        "fr:Peak",
        "1999",
        "River]] (near [[Summit]]) [[River",
        "12 May 1999",
        "River",
        "#part",
        "Kategorie:Peaks|x",
    ],
)
def test_dates_other_namespaces_and_the_page_itself_are_no_targets(tmp_path, target):
    found = read_pages(tmp_path, page("River", SENTENCE.format(target)))
    assert (found.kinds, found.drops) == ({"title-lead": 1}, [])


def test_links_are_chosen_from_different_sentences_with_few_links(tmp_path):
    crowded = (
        "Around it lie [[Aaa]], [[Bbb]] and [[Ccc]], which are all of them towns of some size."
    )
    text = " ".join([crowded, *(SENTENCE.format(f"Peak {name}") for name in "DEFG")])
    chosen = [d.detail for d in read_pages(tmp_path, page("River", text), links=3).drops]
    assert len(chosen) == 3
    assert all("Peak" in detail for detail in chosen)
    assert len(read_pages(tmp_path, page("River", text), links=9).drops) == 5
    assert read_pages(tmp_path, page("River", text), links=0).drops == []


def test_a_popular_target_keeps_a_fixed_choice_of_links(tmp_path):
    rivers = [page(f"River {n}", SENTENCE.format("Peak"), n) for n in range(20)]
    found = read_pages(tmp_path, page("Peak", PROSE, 99), *rivers, links_to_target=5)
    assert found.kinds["link-lead"] == 5
    assert found.reasons == {"popular_target": 15}
    again = read_pages(tmp_path, *reversed(rivers), page("Peak", PROSE, 99), links_to_target=5)
    metas = [{p.meta for p in f.pairs if p.kind == "link-lead"} for f in (found, again)]
    assert metas[0] == metas[1]


def test_the_made_wiki_gives_all_kinds_and_reasons(tmp_path):
    found = harvested(WikipediaHarvest.model_validate(make(tmp_path)))
    assert set(found.kinds) == {"title-lead", "section-passage", "link-lead"}
    assert {"redirect", "not_article", "disambiguation", "damaged", "truncated"} <= set(
        found.reasons
    )
    assert {p.language for p in found.pairs} == {"de", "bg"}


# -- real dumps ------------------------------------------------------------------------------------

SAMPLES = {
    "wikipedia/en": ("enwiki-pages-articles1-shortened.xml.bz2", 206, 100, 2256),
    "wikipedia/it": ("itwiki-small-dump.xml.gz", 747, 65, 8157),
    "wikipedia/ltg": ("ltgwiki-small.xml.gz", 2004, 195, 2402),
    "wikipedia/bg": ("bgwiki-pages-articles-shortened.xml.bz2", 3, 0, 87),
}
"""Pages, redirects and headings, as SOURCE.md gives them or a regular expression counts."""
HEADING = re.compile(r"^(={2,6})[^=\n].*?=+\s*$", re.MULTILINE)
LINKS = {"no_target", "popular_target"}
WHOLE_PAGES = {"redirect", "not_article", "disambiguation", "no_text"}


@pytest.fixture(scope="module")
def real(data):
    return read(data / "wikipedia")


def content(data, name) -> str:
    raw = (data / "wikipedia" / name).read_bytes()
    raw = bz2.decompress(raw) if name.endswith("bz2") else gzip.decompress(raw)
    return raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")


@pytest.mark.parametrize("source", SAMPLES)
def test_every_page_and_heading_of_a_real_dump_has_a_fate(data, real, source):
    name, page_count, redirects, headings = SAMPLES[source]
    text = content(data, name)
    listed = re.findall(r"<page>.*?</page>", text, re.DOTALL)
    assert len(listed) == page_count
    assert text.count("<redirect") == redirects
    assert len(HEADING.findall(unescape(text))) == pytest.approx(headings, rel=0.015)
    drops = Counter(drop.reason for drop in real.drops if drop.source == source)
    # a redirect outside the namespace of articles is dropped for that
    wanted = [p for p in listed if "<ns>0</ns>" in p]
    assert drops["redirect"] == pytest.approx(sum("<redirect" in p for p in wanted), abs=1)
    assert drops["not_article"] == page_count - len(wanted)
    pairs = [pair for pair in real.pairs if pair.source == source]
    kept = {pair.meta.partition('"part"')[0] for pair in pairs if pair.kind != "link-lead"}
    lost = sum(n for reason, n in drops.items() if reason not in WHOLE_PAGES | LINKS)
    articles = page_count - sum(drops[reason] for reason in WHOLE_PAGES)
    others = re.compile(r"<redirect|\{\{(?:disambig|zeimeibu š|cytys z)", re.IGNORECASE)
    headed = sum(len(HEADING.findall(unescape(p))) for p in wanted if not others.search(p))
    # headings in comments, tables and <nowiki> are none
    assert len(kept) + lost == pytest.approx(articles + headed, rel=0.01, abs=3)


def test_the_samples_give_as_many_pairs_as_they_should(real):
    sections_of = Counter(p.source for p in real.pairs if p.kind == "section-passage")
    assert sections_of["wikipedia/en"] >= 3_400
    assert sections_of["wikipedia/bg"] >= 5
    assert sections_of.total() >= 8_000
    distinct = {(p.group, p.query) for p in real.pairs if p.kind == "section-passage"}
    assert sum(group.startswith("wikipedia/en/") for group, _ in distinct) >= 1_480
    assert len(distinct) >= 4_200
    assert real.kinds["title-lead"] >= 1_300
    assert real.kinds["link-lead"] >= 350
    assert {p.license for p in real.pairs} == {"CC-BY-SA-3.0"}  # all are from before 2023


def test_no_debris_is_left_in_real_passages(real):
    texts = [pair.positives[0].text for pair in real.pairs] + [pair.query for pair in real.pairs]
    debris = re.compile(
        r"\{|\}|\[\[|\]\]|\||==|'''|thumb\||</?[a-z]+>|https?://|__[A-Z]+__|&[a-z]+;|[\ufdd0-\ufdef]"
    )
    assert [text[:200] for text in texts if debris.search(text)] == []
    assert all(text == text.strip() for text in texts)


def test_passages_are_what_the_parser_alone_makes_of_whole_pages(data, real):
    """Compare sentences with `strip_code` of mwparserfromhell, which sees each page as a whole."""
    root = etree.fromstring(content(data, SAMPLES["wikipedia/en"][0]).encode())
    texts = {p.findtext("{*}id"): p.findtext("{*}revision/{*}text") for p in root.iter("{*}page")}
    groups = sorted({p.group for p in real.pairs if p.source == "wikipedia/en"})[:12]
    found = expected = 0
    for group in groups:
        code = mwparserfromhell.parse(texts[group.rpartition("/")[2]])
        whole = " ".join(code.strip_code().replace("''", "").split())
        for pair in real.pairs:
            if pair.group == group and pair.kind != "link-lead":
                parts = [s.strip() for s in sentences(pair.positives[0].text) if "(" not in s]
                found += sum(" ".join(part.split()) in whole for part in parts)
                expected += len(parts)
    assert expected > 1_000
    # the rest has shown templates ({{convert}}), which the parser leaves out
    assert found / expected > 0.95
