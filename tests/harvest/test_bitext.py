import gzip
import json
import re
import tarfile
import time
import zipfile
from collections import Counter

import pytest

from curate.harvest.bitext.debian import paragraphs, read_description
from curate.harvest.bitext.html import read_page
from curate.harvest.bitext.po import plain_message, read_catalogue
from curate.harvest.bitext.source import BitextHarvest
from curate.harvest.bitext.text import Text, refusal, without_number
from curate.harvest.bitext.tmx import read_units
from curate.harvest.text.languages import (
    in_script,
    is_english_instead,
    known_tag,
    split_language,
    written,
)
from curate.schema import to_table
from curate.text.languages import NAMES, language_name
from tests.harvest.made.bitext import english, german, russian
from tests.harvest.reading import harvested

GERMAN = "Das Haus steht am Ende der langen Straße."
ENGLISH = "The house stands at the end of the long street."


def read(path, **settings):
    return harvested(BitextHarvest(path=str(path), **settings))


def queries(found):
    return [(pair.query, pair.positives[0].text) for pair in found.pairs]


# -- languages -------------------------------------------------------------------------------------


def test_names_of_languages():
    assert len(NAMES) > 100
    assert language_name("pt-BR") == "Brazilian Portuguese"
    assert language_name("de-AT") == "German"
    assert language_name("tlh") == "tlh"
    assert [written(tag) for tag in ("de-DE", "zh-TW", "pt-BR", "pt-PT", "en")] == [
        "de", "zh-TW", "pt-BR", "pt", "en",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "tag"),
    [("de", "de"), ("pt_BR", "pt-BR"), ("zh-cn", "zh-CN"), ("zh_Hant", "zh-Hant"), ("docs", None),
     ("zh-index", None), ("xx", None), ("", None), ("or", None)],
)  # fmt: skip
def test_tags(text, tag):
    assert known_tag(text) == tag


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("faq/zh-cn/kernel.zh-cn.html", ("zh-CN", "faq/kernel.html")),
        ("de-DE.tar.xz/de-DE/apt.html", ("de-DE", "apt.html")),
        ("locale/pt_BR/LC_MESSAGES/x.po", ("pt-BR", "locale/LC_MESSAGES/x.po")),
        ("x.po", (None, "x.po")),
    ],
)
def test_languages_of_paths(path, expected):
    assert split_language(path) == expected


def test_scripts():
    assert in_script("Это так", "ru")
    assert in_script("モジュール os.path.join(PATH, NAME)", "ja")
    assert not in_script("Run it", "zh-CN")
    assert not in_script("Это", "de")
    assert in_script("Ово", "sr")
    assert in_script("Ovo", "sr")
    assert is_english_instead("The name of the file is in the list", "de")
    assert not is_english_instead("De naam of het adres is niet in die lijst, of is leeg", "nl")
    assert not is_english_instead("The name of the file is in the list", "en-GB")


# -- what is a pair --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (ENGLISH, GERMAN, None),
        (ENGLISH, ENGLISH.upper(), "same_text"),
        ("a, 1.5", "2.5", "no_words"),
        (ENGLISH, f"{ENGLISH} Or not.", "not_translated"),
        (
            "The x of the y is z, run it with the foo bar baz now",
            "Mit run it with the foo bar baz now",
            "not_translated",
        ),
        ("Footnotes", "Fußnoten", "short_text"),
        (ENGLISH, GERMAN * 4, "length_ratio"),
        ("word " * 2_000, GERMAN, "too_long"),
    ],
)
def test_rules(one, other, reason):
    assert refusal(Text(one, "en"), Text(other, "de"), 3.0) == reason


def test_section_numbers_that_give_pairs_away():
    assert without_number("14.3.2. Monitoring", "14.3.2. 監視") == ("Monitoring", "監視")
    assert without_number("3 trees", "4 Bäume") == ("3 trees", "4 Bäume")
    assert without_number("1.", "1.") == ("1.", "1.")


# -- gettext ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (":func:`range` and :meth:`~list.append` or :keyword:`!if`", "range and append or if"),
        (
            "see :ref:`the part <x-y>` and `here <https://x.org>`_, ``a *b*``",
            "see the part and here, a b",
        ),
        ("*one* **two** 3 * 4 * 5 [#]_::", "one two 3 * 4 * 5:"),
        ("An example. ::", "An example."),
        ("<b>Bold</b> &amp; <br/>more", "Bold &\nmore"),
        ("cp <source> <target>", "cp <source> <target>"),
        ("%(name)s has {0} `", "%(name)s has {0} `"),
        ("a\n  b", "a\nb"),
    ],
)
def test_messages_without_markup(message, expected):
    assert plain_message(message) == expected


def test_each_message_has_one_fate(tmp_path):
    (tmp_path / "x.po").write_text(
        'msgid ""\nmsgstr "Language: de_AT\\n"\n\n'
        f'#: a.c:1\nmsgid "{ENGLISH}"\nmsgstr ""\n"{GERMAN}"\n\n'
        '#, fuzzy\nmsgid "a fuzzy one"\nmsgstr "ein vager"\n\n'
        'msgid "an open one"\nmsgstr ""\n\n'
        'msgctxt "menu"\nmsgid "_Open the file"\nmsgstr "Datei _öffnen"\n\n'
        'msgid "one file here"\nmsgid_plural "%d files here"\n'
        'msgstr[0] "eine Datei hier"\nmsgstr[1] "%d Dateien hier"\n\n'
        'msgid "    x = 1\\n    y = 2"\nmsgstr "    x = 1"\n\n'
        '#~ msgid "an old one"\n#~ msgstr "ein alter"\n',
        "utf-8",
    )
    found = read(tmp_path, license="CC0-1.0")
    assert queries(found)[::2] == [
        (ENGLISH, GERMAN),
        ("Open the file", "Datei öffnen"),
        ("one file here", "eine Datei hier"),
        ("%d files here", "%d Dateien hier"),
    ]
    assert queries(found)[1::2] == [(b, a) for a, b in queries(found)[::2]]
    assert found.kept == 3
    assert found.reasons == {"fuzzy": 1, "untranslated": 1, "obsolete": 1, "code": 1}
    there, back = found.pairs[:2]
    assert there.task == "Given a sentence in English, find its translation in German"
    assert back.task == "Given a sentence in German, find its translation in English"
    assert (there.language, there.positives[0].language, there.symmetric) == ("en", "de", True)
    assert (there.kind, there.source, there.license) == ("translation", "bitext/po", "CC0-1.0")
    assert there.group == back.group == "x.po"
    assert json.loads(there.meta)["line"] == 4


def test_a_damaged_entry_costs_no_other(tmp_path):
    text = f'msgid "one\nmsgstr\n\nmsgid "{ENGLISH}"\nmsgstr "{GERMAN}"\n\nmsgstr "x"\n'
    (tmp_path / "de.po").write_text(text, "utf-8")
    found = read(tmp_path)
    assert queries(found)[0] == (ENGLISH, GERMAN)
    assert found.reasons == {"damaged": 2}
    assert found.pairs[0].language == "en"
    (tmp_path / "de.po").rename(tmp_path / "x.po")
    assert read(tmp_path).reasons == {"unknown_language": 1}
    assert len(read(tmp_path, language="de").pairs) == 2


def test_the_content_of_a_catalogue_is_no_path(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text('msgid "secret text here"\nmsgstr "geheimer Text hier"\n')
    assert all(m.state == "damaged" for m in read_catalogue(str(secret)).messages)


def test_encodings_that_catalogues_state(tmp_path):
    header = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=ISO-8859-2\\n"\n\n'
    text = f'{header}msgid "the long street"\nmsgstr "długa ulica ł"\n'
    (tmp_path / "pl.po").write_bytes(text.encode("iso-8859-2"))
    assert queries(read(tmp_path))[0] == ("the long street", "długa ulica ł")


# -- memories --------------------------------------------------------------------------------------


def tmx(body, header='<header srclang="de-DE"/>', doctype=""):
    return f'<?xml version="1.0"?>{doctype}<tmx version="1.4">{header}<body>{body}</body></tmx>'


def unit(**variants):
    inner = "".join(f'<tuv xml:lang="{k}"><seg>{v}</seg></tuv>' for k, v in variants.items())
    return f"<tu>{inner}</tu>"


def test_units_of_a_memory(tmp_path):
    body = (
        unit(en=ENGLISH, de=GERMAN, fr="La maison est au bout de la longue rue.")
        + '<tu tuid="1"><prop type="source-document">https://example.org/a</prop><tuv lang="EN-US">'
        "<seg>The <hi>small</hi> <bpt i='1'>\\b</bpt>tree<ept i='1'>\\b0</ept></seg></tuv>"
        "<tuv lang='de'><seg>Der kleine Baum</seg></tuv></tu>"
        + unit(en="alone here")
        + unit(en="&bomb; of it", de="&bomb; davon")
        + "</tu><tu><tuv>"
    )
    (tmp_path / "a.tmx").write_text(
        tmx(body, doctype="<!DOCTYPE x [<!ENTITY bomb SYSTEM '/etc/passwd'>]>")
    )
    found = read(tmp_path)
    assert queries(found)[::2] == [
        (GERMAN, ENGLISH),
        (GERMAN, "La maison est au bout de la longue rue."),
        ("Der kleine Baum", "The small tree"),
    ]
    assert [p.url for p in found.pairs[::2]] == [None, None, "https://example.org/a"]
    assert found.reasons == {"no_counterpart": 1, "damaged": 3}
    assert found.pairs[0].group != found.pairs[-1].group


def test_memories_in_blocks_and_in_utf16(tmp_path, monkeypatch):
    text = tmx("".join(unit(en=english(n), de=german(n)) for n in range(100)))
    (tmp_path / "a.tmx").write_text(text, "utf-16")
    whole = queries(read(tmp_path))
    assert len(whole) == 200
    monkeypatch.setattr("curate.harvest.reading.bounds.BLOCK_BYTES", 2_000)
    assert queries(read(tmp_path)) == whole
    (tmp_path / "a.tmx").write_text(text, "utf-8")
    assert queries(read(tmp_path)) == whole


def test_hostile_memories():
    started = time.monotonic()
    deep = b"<tu>" + b"<seg>" * 100_000 + b"</tu>"
    for data in (deep, b"<tu " * 100_000, b"</tu>" * 10_000, b"<tu>\xff\xfe\0</tu>", b"<tu/></tu>"):
        assert all(isinstance(found, tuple) or not found.variants for found in read_units(data, 0))
    assert time.monotonic() - started < 10


# -- lines -----------------------------------------------------------------------------------------


def test_files_side_by_side(tmp_path, monkeypatch):
    (tmp_path / "n.en").write_text("".join(f"{english(n)}\n" for n in range(50)))
    (tmp_path / "n.de.gz").write_bytes(gzip.compress("\r\n".join(map(german, range(48))).encode()))
    (tmp_path / "n.ru").write_text("".join(f"{russian(n)}\n" for n in range(50)))
    (tmp_path / "README").write_text("no text")
    (tmp_path / "alone.fr").write_text("seul")
    found = read(tmp_path)
    assert found.kept == 48
    assert found.reasons == {"no_counterpart": 2}
    assert queries(found)[:4] == [
        (english(0), german(0)), (german(0), english(0)),
        (english(0), russian(0)), (russian(0), english(0)),
    ]  # fmt: skip
    assert found.pairs[5].group == "n:2"
    monkeypatch.setattr("curate.harvest.bitext.lines.BLOCK_BYTES", 500)
    source = BitextHarvest(path=str(tmp_path))
    assert len(list(source.cut(source.units()[0]))) > 10
    assert queries(read(tmp_path)) == queries(found)


def test_files_side_by_side_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "de-en.txt.zip", "w") as archive:
        archive.writestr("X.de-en.de", f"{GERMAN}\n{GERMAN}\n")
        archive.writestr("X.de-en.en", f"{ENGLISH}\n\n")
        archive.writestr("X.de-en.ids", "1\n2\n")
    found = read(tmp_path)
    assert queries(found) == [(ENGLISH, GERMAN), (GERMAN, ENGLISH)]
    assert found.reasons == {"no_words": 1}


def test_damaged_files_side_by_side(tmp_path):
    whole = gzip.compress("".join(f"{german(n * 7919)}\n" for n in range(2_000)).encode())
    (tmp_path / "n.de.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "n.en").write_text("".join(f"{english(n * 7919)}\n" for n in range(2_000)))
    found = read(tmp_path)
    assert found.kept > 500
    assert found.reasons["truncated"] == 1
    assert found.kept + len(found.drops) == 2_001


@pytest.mark.parametrize(
    ("name", "head", "settings"),
    [
        ("x.tsv", "en\tde\tscore\n", {}),
        ("x.en-de.tsv", "", {}),
        ("x.tsv", "", {"languages": ("en", "de")}),
    ],
)
def test_tables(tmp_path, name, head, settings):
    (tmp_path / name).write_text(
        f"{head}{ENGLISH}\t{GERMAN}\t1.25\r\n\nalone\n\t\tx\n{ENGLISH}\t{GERMAN}\tx\n"
    )
    found = read(tmp_path, score=2, **settings)
    assert queries(found)[:2] == [(ENGLISH, GERMAN), (GERMAN, ENGLISH)]
    assert [p.scores for p in found.pairs] == [{"alignment": 1.25}] * 2 + [{}] * 2
    assert found.reasons == {"no_counterpart": 1, "no_words": 1}


def test_tables_of_unknown_languages(tmp_path):
    (tmp_path / "x.tsv").write_text("a\tb\n")
    assert read(tmp_path).reasons == {"unknown_language": 1}


# -- pages -----------------------------------------------------------------------------------------


def test_blocks_of_a_page():
    page = read_page(
        "<html lang=de-AT><link rel=canonical href=https://example.org/><h1>Title</h1><nav><p>No</nav>"
        "<div class=para>One <b>bold</b><br>line<ul><li>item</ul>and more<pre>code</pre></div><p><p>Two"
        "<!-- no --><script>no</script>"
    )
    assert [(b.series, b.number, b.text) for b in page.blocks] == [
        ("h1.", 0, "Title"),
        ("li.", 0, "item"),
        ("div.para", 0, "One bold line and more"),
        ("p.", 1, "Two"),
    ]
    assert page.lengths["p."] == 2
    assert (page.language, page.url) == ("de-AT", "https://example.org/")


def test_pages_are_joined_by_place(tmp_path):
    def page(*texts):
        return "".join(f"<p>{text}</p>" for text in texts)

    pages = {
        "en/a.html": page(ENGLISH, "The same.", "Left as it is in the English one."),
        "de/a.html": page(GERMAN, "The same.", "Left as it is in the one of the English."),
        "ru/a.html": page("Дом стоит в конце улицы.", "Лишнее") + "<h1>Это заголовок</h1>",
        "de/b.html": page(GERMAN),
        "c.html": page(GERMAN),
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    found = read(tmp_path)
    assert queries(found) == [(ENGLISH, GERMAN), (GERMAN, ENGLISH)]
    assert found.pairs[0].group == "a.html"
    assert found.reasons == {
        "same_text": 1, "not_translated": 1, "unaligned": 2, "no_source": 2, "unknown_language": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "html",
    ["", "<p>" * 100_000, "<div>" * 50_000 + "x", "<p class='" + "x" * 100_000 + "'>a</p>" * 3],
)
def test_hostile_pages(html):
    started = time.monotonic()
    try:
        page = read_page(html)
    except ValueError:
        assert not html
    else:
        assert sum(page.lengths.values()) >= len(page.blocks)
    assert time.monotonic() - started < 10


# -- descriptions ----------------------------------------------------------------------------------


def test_paragraphs_of_descriptions():
    lines = [
        "A first-",
        "class part pre-",
        "and post-war,",
        " kept  as is",
        "* item",
        "and on",
        ".",
        "二つの",
        "行 x",
    ]
    assert paragraphs(lines) == [
        "A first-class part pre- and post-war,\nkept  as is\n* item and on",
        "二つの行 x",
    ]


def stanza(language, key, short, *long):
    body = "\n .\n".join(f" {text}" for text in long)
    return f"Package: p\nDescription-md5: {key}\nDescription-{language}: {short}\n{body}\n\n"


def test_descriptions_are_joined_by_hash(tmp_path):
    (tmp_path / "Translation-de").write_text(
        stanza("de", "a", "Haus am Ende der Straße", GERMAN, "Hier ist noch etwas mehr zu lesen.")
        + stanza("de", "b", "Baum im Garten", "Ein Baum, der im Garten steht und sonst nirgends.")
        + stanza("de", "c", "house at the street", "Es ist nicht übersetzt.")
        + "Broken: yes\n\n",
        "utf-8",
    )
    (tmp_path / "Translation-en").write_text(
        stanza(
            "en", "a", "house at the end of the street", ENGLISH, "Here is something more to read."
        )
        + stanza("en", "c", "house at the street", "It is short.")
    )
    found = read(tmp_path)
    assert found.kinds == {"translation": 6 + 2, "summary-description": 3}
    summaries = [(p.query, p.language) for p in found.pairs if p.kind == "summary-description"]
    assert sorted(summaries) == [
        ("Baum im Garten", "de"),
        ("Haus am Ende der Straße", "de"),
        ("house at the end of the street", "en"),
    ]
    assert (ENGLISH, GERMAN) in queries(found)
    assert {p.group for p in found.pairs} == {"package p"}
    assert found.reasons == {"damaged": 1, "short_text": 1}


def test_what_is_no_description():
    assert read_description("Package: p\nDescription-md5: x\n") is None
    assert read_description("Description-de: x\n") is None
    assert read_description(" only\n more") is None


# -- the stage -------------------------------------------------------------------------------------


def test_a_folder_without_bitext(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no bitext"):
        BitextHarvest(path=str(tmp_path)).check()


@pytest.mark.parametrize(
    "name", ["x.de.po", "x.tmx", "x.en-de.tsv", "de/x.html", "Translation-de", "x.de"]
)
@pytest.mark.parametrize(
    "content", [b"", b"\0\xff\xfe" * 99, b"\xff\xfe\0", b"\n\n\n\0\n\n", b"a\tb\n\n<tu>"]
)
def test_bytes_that_are_no_text(tmp_path, name, content):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "x.en").write_bytes(content[::-1])
    found = read(tmp_path, language="de")
    to_table(found.pairs, "pairs")


# -- the real translations -------------------------------------------------------------------------


def test_python_documentation(data):
    """A regular expression counts the messages and the translated ones; what is dropped says why."""
    folder = data / "bitext" / "python-docs-po"
    found = read(folder)
    texts = [
        gzip.decompress(path.read_bytes()).decode() for path in sorted(folder.rglob("*.po.gz"))
    ]
    assert len(texts) == 192
    string = r'(?:"(?:[^"\\\n]|\\.)*"\n)+'
    messages = re.compile(
        rf"(?m)^((?:#,[^\n]*\n)?)(?:msgctxt {string})?msgid ({string})msgstr ({string})"
    )
    active = [m.groups() for text in texts for m in messages.finditer(text + "\n")]
    active = [m for m in active if m[1] != '""\n']
    translated = sum("fuzzy" not in flags and other != '""\n' for flags, _, other in active)
    reasons = found.reasons
    assert found.kept + len(found.drops) - reasons["obsolete"] == len(active)
    dropped = {"same_text", "short_text", "no_words", "length_ratio", "not_translated", "code"}
    assert set(reasons) == dropped | {"fuzzy", "untranslated", "obsolete"}
    assert found.kept + sum(reasons[name] for name in dropped) == translated
    assert len(found.pairs) == 2 * found.kept > 17_000
    assert {p.language for p in found.pairs} == {"en", "es", "ja", "pl", "tr"}
    marked = [p for p in found.pairs if re.search(r":[a-z]+:`|`|::$", p.query)]
    assert len(marked) < 20  # mistakes of the translators


@pytest.mark.slow
def test_debian_handbook(data):
    """Another parser counts the paragraphs; a third of them were left in English."""
    from selectolax.lexbor import LexborHTMLParser

    folder = data / "bitext" / "debian-handbook"
    counts = Counter()
    for path in sorted(folder.glob("*.tar.xz")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    page = LexborHTMLParser(tar.extractfile(member).read())
                    counts[path.name[:2]] += len(page.css("div.para"))
    assert len(set(counts.values())) == 1
    found = read(folder)
    paras = [p for p in found.pairs if json.loads(p.meta)["series"] == "div.para"]
    inputs = 6 * counts["en"]
    assert 0.55 * inputs < len(paras) / 2 < 0.8 * inputs
    drops = [d for d in found.drops if ": div.para " in d.detail]
    assert 0.97 * inputs < len(paras) / 2 + len(drops) <= inputs
    assert len(found.pairs) > 30_000
    assert all(p.url.startswith("https://debian-handbook.info/") for p in found.pairs)
    assert not any(d.reason == "unaligned" and "div.para" in d.detail for d in found.drops)


@pytest.mark.slow
def test_debian_descriptions(data):
    """The fields are counted; each translation has its English description."""
    folder = data / "bitext" / "debian-descriptions"
    fields = Counter()
    for path in folder.glob("Translation-*.gz"):
        fields[path.name] += len(
            re.findall(rb"(?m)^Description-md5:", gzip.decompress(path.read_bytes()))
        )
    assert fields["Translation-en.gz"] == 14_844
    found = read(folder)
    assert found.kept + len(found.drops) == sum(fields.values())
    assert set(found.reasons) <= {"short_text", "same_text", "not_translated"}
    assert found.kept > 0.99 * sum(fields.values())
    both = Counter(
        (p.language, p.positives[0].language) for p in found.pairs if p.kind == "translation"
    )
    assert both["en", "de"] == both["de", "en"] > 3_900
    assert both["zh-CN", "en"] > 1_000
    assert found.kinds["summary-description"] > 42_000
