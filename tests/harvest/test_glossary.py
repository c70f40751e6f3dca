import gzip
import json
import re
from collections import Counter

import pytest

from curate.harvest.glossary.dictd import license_stated
from curate.harvest.glossary.source import GlossaryHarvest
from curate.harvest.glossary.text import read_entry, shown
from curate.schema import to_table
from tests.harvest.made.glossary import number, write_dictionary
from tests.harvest.reading import harvested


def read(folder, **settings):
    return harvested(GlossaryHarvest(path=str(folder), **settings))


# -- entries ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("bit bucket", "bit bucket"),
        (" spamvertize", "spamvertize"),
        ("right (right parenthesis)", "right"),
        ("Manqala (http://mancala.example.org/a_(b))", "Manqala"),
        ("(http://example.org/)", "http://example.org/"),
        ("* (asterisk)", "*"),
        ("f(x)", "f(x)"),
    ],
)
def test_references_show_their_text(reference, expected):
    assert shown(reference) == expected


def test_an_entry_of_foldoc():
    text = (
        "*LISP\nStarLISP\n\n   <language, AI> (StarLISP) An extension of {Common LISP}\n"
        "   for the {Connection\n   Machine} by X <x@example.org>.\n\n   See the __whole__ code:\n\n"
        "       (foo)\n       (bar)\n\n   {Home page (http://example.org/)}.\n\n"
        '   E-mail: <x@example.org>.\n\n   [X, Y, "The Essential", 1986].\n\n   (2014-12-17)\n\n'
    )
    entry = read_entry(text, ["*lisp", "starlisp"])
    assert entry.heads == ("*LISP", "StarLISP")
    assert entry.fields == ("language", "AI")
    assert entry.definition == (
        "(StarLISP) An extension of Common LISP for the Connection Machine by X.\n\n"
        "See the whole code:\n\n(foo)\n(bar)"
    )
    assert not entry.reference


def test_an_entry_of_the_jargon_file():
    text = (
        "ABEND\n /a'bend/, n.\n\n    [ABnormal END]\n\n    1. Abnormal end; see {\n    crash}s. “\n"
        "    well-\n    known” (a/\n    b).\n\n    2. Another.\n\n    A\n\n"
    )
    entry = read_entry(text, ["abend"])
    assert entry.heads == ("ABEND",)
    assert entry.definition.split("\n\n") == [
        "[ABnormal END]",
        "1. Abnormal end; see crashs. “well-known” (a/b).",
        "2. Another.",
    ]


@pytest.mark.parametrize(
    ("body", "reference"),
    [
        ("   See {x}.", True),
        ("   <jargon> See {x}. See also {y z}.", True),
        ("   Synonym of {x}.", True),
        ("   {x}.", True),
        ('   ["A Paper on the Subject", X. Y., 1992].', True),
        ("   See {x} in the garden, which is large; it is a tree. It is green.", False),
        ("   A tree.", False),
    ],
)
def test_what_only_points_elsewhere(body, reference):
    assert read_entry(f"tree\n\n{body}\n", ["tree"]).reference is reference


def test_other_layouts_of_dictd():
    freedict = read_entry("Haus /haʊs/ <n>\n1. house\n2. building\n", ["haus"])
    assert (freedict.heads, freedict.definition) == (("Haus",), "1. house 2. building")
    wordnet = read_entry("dog\n    n 1: an animal [syn: {hound}]\n    2: a person\n", ["dog"])
    assert wordnet.definition == "n 1: an animal [syn: hound] 2: a person"


@pytest.mark.parametrize(
    ("text", "license_"),
    [
        ("under the GNU Free Documentation\nLicense, Version 1.1 or any later version; with no\n"
         "Invariant Sections", "GFDL-1.1-no-invariants-or-later"),
        ("This document is in the public domain.", "LicenseRef-public-domain"),
        ("https://creativecommons.org/licenses/by-sa/3.0/", "CC-BY-SA-3.0"),
        ("All rights reserved.", None),
    ],
)  # fmt: skip
def test_licences_that_are_stated(text, license_):
    assert license_stated(text) == license_


# -- dictionaries ----------------------------------------------------------------------------------

LONG = "   A thing that is described at some length here.\n\n"


@pytest.mark.parametrize("dz", [True, False])
def test_aliases_share_a_definition(tmp_path, dz):
    entries = [(["big word", "bigword", "x"], f"Big-Word\nX\n\n{LONG}")]
    write_dictionary(tmp_path, "d", entries, dz=dz)
    found = read(tmp_path)
    assert [p.query for p in found.pairs] == ["Big-Word", "X"]
    assert len({p.positives[0].id for p in found.pairs}) == len({p.group for p in found.pairs}) == 1
    assert found.reasons == {"same_term": 1}


def test_each_entry_of_the_index_has_one_fate(tmp_path):
    entries = [
        (["00-database-info"], "00-database-info\nIt is in the public domain.\n"),
        (["00-database-url"], "00-database-url\n  https://example.org/\n"),
        (["a", "b"], f"A\nB\n\n{LONG}"),
        (["c"], "c\n\n   Short.\n"),
        (["d"], "d\n\n   See {a}.\n"),
    ]
    more = f"far\t{number(10_000)}\tB\nbad\t?\tB\nlong\tA\t{number(1 << 30)}\nin\tB\tB\n\n"
    write_dictionary(tmp_path, "d", entries, more)
    found = read(tmp_path, language="en")
    assert found.reasons == {
        "metadata": 2, "short_definition": 1, "only_reference": 1, "points_nowhere": 1,
        "bad_index_line": 1, "too_long": 1, "overlapping": 1,
    }  # fmt: skip
    pair = found.pairs[0]
    assert (pair.kind, pair.query, pair.source) == ("term-definition", "A", "glossary/d")
    assert (pair.license, pair.url) == ("LicenseRef-public-domain", "https://example.org/")
    assert (pair.language, pair.positives[0].language) == ("en", "en")
    assert json.loads(pair.meta)["file"] == "d.index"
    assert len(found.pairs) == 2


def test_damage_costs_no_more_than_what_it_hits(tmp_path):
    entries = [
        ([f"w{n}"], f"w{n}\n\n   Thing {n} that is described {n * 7919} times.\n\n")
        for n in range(2_000)
    ]
    write_dictionary(tmp_path, "d", entries)
    packed = (tmp_path / "d.dict.dz").read_bytes()
    (tmp_path / "d.dict.dz").write_bytes(packed[: len(packed) // 2])
    found = read(tmp_path)
    assert 500 < found.kept < 1_500
    assert found.reasons == {"truncated": 2_000 - found.kept}
    (tmp_path / "d.dict.dz").write_bytes(b"no dictionary at all")
    assert read(tmp_path).reasons == {"points_nowhere": 2_000}


def test_a_dictionary_without_text(tmp_path):
    (tmp_path / "d.index").write_text("a\tA\tB\n")
    assert read(tmp_path).reasons == {"unreadable": 1}
    (tmp_path / "d.dict").write_text("text")
    with pytest.raises(ValueError, match="is none of"):
        GlossaryHarvest(path=str(tmp_path / "d.dict")).check()


def test_blocks_are_bounded(tmp_path, monkeypatch):
    entries = [([f"w{n}"], f"w{n}\n\n{LONG}") for n in range(100)]
    write_dictionary(tmp_path, "d", entries)
    whole = read(tmp_path).records
    monkeypatch.setattr("curate.harvest.glossary.dictd.BLOCK_BYTES", 1_000)
    source = GlossaryHarvest(path=str(tmp_path))
    (unit,) = source.units()
    assert len(list(source.cut(unit))) > 5
    assert read(tmp_path).records == whole


def test_hostile_entries_take_linear_time(tmp_path):
    body = "{" * 100_000 + "[" * 100_000 + "(" * 100_000 + " <a" * 50_000 + "__a" * 50_000 + "\n"
    write_dictionary(tmp_path, "d", [(["a"], f"a\n\n   {body}"), (["b"], "b\n" + "c\n" * 100_000)])
    found = read(tmp_path)
    assert found.kept + len(found.drops) == 2
    to_table(found.pairs, "pairs")


# -- tables ----------------------------------------------------------------------------------------


def test_tables_with_and_without_names(tmp_path):
    (tmp_path / "a.csv").write_text(
        'Nr,Term,Definition\n1,cat,"An animal,\nkept ""as"" a pet by many"\n2,dog,See cat.\n'
        '3,,Nobody knows what this one means\n4,"hen",bird\n5\n'
    )
    (tmp_path / "b.tsv").write_text("2NF\tThe second <b>normal</b> form &amp; so on\n")
    found = read(tmp_path)
    assert [(p.query, p.positives[0].text) for p in found.pairs] == [
        ("cat", 'An animal, kept "as" a pet by many'),
        ("2NF", "The second normal form & so on"),
    ]
    assert found.reasons == {
        "only_reference": 1, "no_term": 1, "short_definition": 1, "missing_column": 1,
    }  # fmt: skip


def test_columns_by_name(tmp_path):
    (tmp_path / "a.tsv").write_text(
        "Wort\tx\tErklärung\nHuhn\t1\tEin Vogel, der Eier legt, und zwar oft\n"
    )
    (pair,) = read(tmp_path, term="wort", definition="ERKLÄRUNG").pairs
    assert pair.query == "Huhn"
    assert read(tmp_path, term="gone").reasons == {"missing_column": 2}


# -- the real dictionaries -------------------------------------------------------------------------


def test_foldoc_and_the_jargon_file(data):
    """Every word of the indices is kept or dropped; 14,000 pairs at least.

    Missing are entries that only refer to others or to papers (4%; of the Jargon File, whose references
    follow tags such as `[techspeak]`, 5%), and those of a few words (1%).
    """
    found = read(data / "glossary", language="en")
    words = {}
    for name in ("foldoc", "jargon"):
        index = (data / "glossary" / f"{name}.index").read_text("utf-8")
        words[name] = re.findall(r"(?m)^(.*)\t[A-Za-z0-9+/]+\t[A-Za-z0-9+/]+$", index)
    inputs = {name: len(listed) for name, listed in words.items()}
    assert inputs == {"foldoc": 15_254, "jargon": 2_314}
    assert found.kept + len(found.drops) == sum(inputs.values())
    assert set(found.reasons) == {"metadata", "only_reference", "short_definition"}
    assert found.reasons["metadata"] == sum(
        w.startswith("00-database") for n in words.values() for w in n
    )
    sources = Counter(p.source for p in found.pairs)
    assert sources["glossary/foldoc"] > 0.94 * inputs["foldoc"]
    assert sources["glossary/jargon"] > 0.93 * inputs["jargon"]
    assert found.kept >= 14_000
    licenses = {p.source: p.license for p in found.pairs}
    assert licenses == {
        "glossary/foldoc": "GFDL-1.1-no-invariants-or-later",
        "glossary/jargon": "LicenseRef-public-domain",
    }
    marks = re.compile(r"[{}]|\(\d{4}-\d\d-\d\d\)|^<[a-z]", re.MULTILINE)
    marked = sum(bool(marks.search(p.positives[0].text)) for p in found.pairs)
    assert marked < 0.02 * found.kept  # braces of programs


def test_definitions_are_the_words_of_the_dictionary(data):
    """No word of a definition is missing in its entry, which a plain search in the text finds."""
    text = gzip.decompress((data / "glossary" / "jargon.dict.dz").read_bytes()).decode()
    flat = "".join(re.findall(r"\w", text))
    found = read(data / "glossary" / "jargon.index")
    for pair in found.pairs[::37]:
        for paragraph in pair.positives[0].text.split("\n\n"):
            assert "".join(re.findall(r"\w", paragraph)) in flat
