import gzip
import json
import random
import re
import shutil
import tarfile
from collections import Counter

import pytest

from curate.harvest.papers.citations import MARK, Sentences, refusal, without_markers
from curate.harvest.papers.files import FORMATS
from curate.harvest.papers.ids import both, key, keys, license_of_acl, license_of_url
from curate.harvest.papers.source import FormatName, PapersHarvest
from curate.harvest.papers.text import abstract_of, plain, title_of
from curate.stage import Piece
from tests.harvest.made import papers as made
from tests.harvest.reading import harvested


def read(path, **settings):
    return harvested(PapersHarvest(path=str(path), **settings))


# -- LaTeX, titles, abstracts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (r"Schr\"odinger's {\'E}lan, G\"{o}del", "Schrödinger's Élan, Gödel"),
        (r"Erd\H{o}s, Fran\c{c}ois, \v{C}ech, na\"{\i}ve", "Erdős, François, Čech, naïve"),
        (r"{\L}ukasz \O stergaard, Gau\ss{}", "Łukasz Østergaard, Gauß"),
        (r"The {\it fine} \emph{and} \textbf{bold}", "The fine and bold"),
        (r"R\&D at 50\% ``cost''", 'R&D at 50% "cost"'),
        (r"Ref.~[3], see~\cite{a,b}.", "Ref. [3], see."),
        ("A title\n  on two lines", "A title on two lines"),
        (
            r"Formulas $\'e_{1}~{x}$ stay, $$a--b$$ too",
            r"Formulas $\'e_{1}~{x}$ stay, $$a--b$$ too",
        ),
        (r"http://a.org/~smith", "http://a.org/~smith"),
        ("A dollar $ alone -- and a dash", "A dollar $ alone \u2013 and a dash"),
        ("Stanford\u00e2\u20ac\u2122s parser", "Stanford\u2019s parser"),
        ("nul\0 and \ud800 surrogate", "nul and surrogate"),
    ],
)
def test_latex_becomes_text(typed, expected):
    assert plain(typed) == expected


def test_titles():
    assert title_of("[On gastrin (author's transl)].") == "On gastrin"
    assert title_of("Editorial.") == title_of(" ... ") == title_of("x" * 2_000) == ""


@pytest.mark.parametrize(
    ("abstract", "reason"),
    [
        ("", "no_abstract"),
        ("No abstract available.", "no_abstract"),
        ("This paper has been withdrawn by the author due to an error in Eqn. 8.", "withdrawn"),
        ("Too short to say anything.", "short_abstract"),
        ("Scores 1 2 3: " + "0.25 13 7.5 " * 20, "not_prose"),
        ("Charge that was withdrawn from the cell is measured over two hundred cycles.", None),
        (
            "We show that the estimator is consistent under assumptions which are easy to check.",
            None,
        ),
    ],
)
def test_abstracts(abstract, reason):
    text, found = abstract_of(abstract)
    assert found == reason
    assert bool(text) == (reason is None)


def test_labels_of_abstracts_go():
    body = "Background A drug was tested on sixty patients, who were followed for a year."
    assert abstract_of(f"Abstract {body}")[0] == abstract_of(f"ABSTRACT: {body}")[0] == body
    summary = "Summary statistics of sixty patients, who were followed for a year, are given."
    assert abstract_of(summary)[0] == summary


# -- ids and licences ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "value", "expected"),
    [
        ("arxiv", "oai:arXiv.org:1601.00104", "arxiv:1601.00104"),
        ("arxiv", "http://arxiv.org/abs/math.GT/0309136v2", "arxiv:math/0309136"),
        ("arxiv", "quant-ph/9901001", "arxiv:quant-ph/9901001"),
        ("arxiv", "1601", None),
        ("acl", "p05-1022", "acl:P05-1022"),
        ("acl", "2022.acl-long.138", "acl:2022.acl-long.138"),
        ("acl", "http://example.org/paper.pdf", None),
        ("doi", "https://doi.org/10.1000/ABC", "doi:10.1000/abc"),
        ("doi", "10.48550/arXiv.2104.06921", "arxiv:2104.06921"),
        ("doi", "10.18653/v1/P16-1001", "acl:P16-1001"),
        ("doi", "", None),
        ("s2", 77490025, "s2:77490025"),
        ("s2", -1, None),
        ("s2", True, None),
        ("s2", 1.5, None),
    ],
)
def test_ids_have_one_spelling(scheme, value, expected):
    assert key(scheme, value) == expected


def test_a_paper_is_named_after_its_best_id():
    assert keys(s2=7, doi="10.1000/x", arxiv="1601.00104")[0] == "arxiv:1601.00104"
    assert keys(doi="10.48550/arXiv.1601.00104", arxiv="1601.00104v3") == ("arxiv:1601.00104",)


def test_licences():
    assert license_of_acl("acl:P15-1001") == license_of_acl("acl:W99-0604") == "CC-BY-NC-SA-3.0"
    assert license_of_acl("acl:P16-1001") == license_of_acl("acl:2022.acl-long.1") == "CC-BY-4.0"
    assert license_of_url("http://creativecommons.org/licenses/by-nc-sa/4.0/") == "CC-BY-NC-SA-4.0"
    assert license_of_url("http://arxiv.org/licenses/nonexclusive-distrib/1.0/").startswith(
        "LicenseRef"
    )
    assert license_of_url(None) is None
    assert both("CC-BY-4.0", "CC0-1.0") == both("CC0-1.0", "CC-BY-4.0") == "CC-BY-4.0"
    assert both("CC-BY-SA-4.0", "ODC-By-1.0") == "CC-BY-SA-4.0 AND ODC-By-1.0"


# -- citing sentences ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Trees are parsed fast (Smith et al., 2004).", "Trees are parsed fast."),
        ("Trees are parsed (Smith, 2004; Jones and Lee, 2005a,b) fast.", "Trees are parsed fast."),
        ("Smith et al (2004) parse trees.", "Smith et al. parse trees."),
        ("In (Smith and Jones, 2004), trees grow.", "In Smith and Jones, trees grow."),
        ("(Li and Roth, 2002) grow trees.", "Li and Roth grow trees."),
        ("As in (e.g. Smith (2004), Lee (2005)), trees grow.", "As in Smith, Lee, trees grow."),
        ("Trees grow [12], [3-5] fast [1, 2].", "Trees grow fast."),
        ("As shown in [12], trees grow.", "As shown in prior work, trees grow."),
        ("[12] grows trees.", "Prior work grows trees."),
        (f"Trees {MARK}, {MARK} grow in {MARK}.", "Trees grow in prior work."),
        (
            "Trees (such as oaks) grow (see Section 2).",
            "Trees (such as oaks) grow (see Section 2).",
        ),
        ("Trees (planted in 2004) grow.", "Trees (planted in 2004) grow."),
        ("Segmenters (Beeferman and Berger, 1999, pp. 198-200) cut.", "Segmenters cut."),
    ],
)
def test_markers_go_and_sentences_stay(sentence, expected):
    assert without_markers(sentence) == expected


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("For details, see Smith and Jones.", "says_little"),
        ("", "says_little"),
        ("and the extraction of keywords from long documents.", "not_prose"),
        ("System P R F1 Smith 62.0 76.5 67.5 Jones 61.6 64.4 77.4 69.4 73.2", "not_prose"),
        (
            "Let $a$ and $b$ and $c$ and $d$ and $e$ be smooth vector fields on manifolds.",
            "not_prose",
        ),
        ("Words " * 400, "not_prose"),
        ("Perceptrons are trained on dependency treebanks with averaged weights.", None),
    ],
)
def test_what_is_no_query(query, reason):
    assert refusal(query) == reason


def test_sentences_do_not_end_at_abbreviations():
    text = "Smith et al. (2004) say so, cf. Fig. 3. J. Lee denies it [4]. Who is right?"
    starts = {Sentences(text).around(text.index(word)) for word in ("Smith", "cf", "Lee", "Who")}
    assert [text[a:b].strip() for a, b in sorted(starts)] == [
        "Smith et al. (2004) say so, cf. Fig. 3.",
        "J. Lee denies it [4].",
        "Who is right?",
    ]


def test_markers_of_any_length_take_linear_time():
    for bad in ("(A" * 2_000, "(" * 4_000, "A" * 4_000 + " 2004)", "[1," * 1_300, MARK * 4_000):
        without_markers(bad)
        refusal(bad)


# -- formats ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    made.make(folder)
    return folder


@pytest.fixture(scope="module")
def everything(folder):
    return read(folder)


def test_every_format_has_a_name():
    assert set(FORMATS) == set(FormatName.__args__)


def test_all_formats_in_one_folder(everything):
    counts = Counter((pair.kind, pair.source) for pair in everything.pairs)
    assert counts == {
        ("title-abstract", "papers/arxiv"): 50,
        ("title-abstract", "papers/acl"): 10,
        ("title-abstract", "papers/scisummnet"): 8,
        ("title-abstract", "papers/unarxive"): 8,
        ("title-abstract", "papers/s2orc"): 22,  # 10 of metadata, 10 abstracts, 2 of full texts
        ("citation-abstract", "papers/scisummnet"): 24,
        ("citation-abstract", "papers/unarxive"): 32,
        ("citation-abstract", "papers/s2orc"): 19,  # 9 of PDFs, 6 of citations, 4 of full texts
        ("title-citing-title", "papers/scisummnet"): 15,
        ("title-citing-title", "papers/unarxive"): 24,
        ("title-citing-title", "papers/s2orc"): 13,
    }


def test_all_that_is_bad_is_told(everything):
    reasons = everything.reasons
    for reason in ("bad_json", "bad_xml", "deleted", "withdrawn", "no_title", "truncated"):
        assert reasons[reason] >= 1, reason
    assert reasons["unknown_format"] == 2  # notes.txt, and the README in the archive
    assert reasons["unknown_paper"] == 31


def test_records_are_complete(everything):
    for pair in everything.pairs:
        (positive,) = pair.positives
        assert pair.query == pair.query.strip()
        assert positive.text == positive.text.strip()
        assert pair.license
        assert pair.url.startswith("https://")
        assert pair.group.partition(":")[0] in ("arxiv", "acl", "doi", "s2")
        assert json.loads(pair.meta)["at"]


def test_citations_join_across_files(everything):
    pairs = [p for p in everything.pairs if p.source == "papers/unarxive"]
    (pair,) = [
        p
        for p in pairs
        if p.kind == "citation-abstract"
        and json.loads(p.meta)["citing"] == "arxiv:2212.00002"
        and p.group == "arxiv:quant-ph/0501003"
    ]
    assert pair.query == f"{made.sentence(1)}."
    assert pair.positives[0].text == " ".join(made.abstract(3).split())
    assert pair.license == "CC-BY-4.0"
    assert pair.url == "https://arxiv.org/abs/quant-ph/0501003"
    (titles,) = [
        p
        for p in pairs
        if p.kind == "title-citing-title"
        and json.loads(p.meta)["citing"] == "arxiv:2212.00002"
        and p.group == pair.group
    ]
    assert (titles.query, titles.positives[0].text) == (made.title(3), made.title(2))


def test_only_what_may_be_cited_is_kept_for_joining(folder, tmp_path):
    def helping(path):
        stage = PapersHarvest(path=str(path))
        found = (f for u in stage.units() for b in stage.cut(u) for f in stage.harvest(b))
        return [f for f in found if isinstance(f, Piece) and not f.counts]

    shutil.copy(folder / "arxiv.xml", tmp_path)
    assert helping(tmp_path) == []
    fingerprint = PapersHarvest(path=str(tmp_path)).units()[0].fingerprint
    shutil.copy(folder / "unarxive.tar.gz", tmp_path)
    assert len(helping(tmp_path)) == 39
    assert PapersHarvest(path=str(tmp_path)).units()[0].fingerprint != fingerprint


def test_an_unpacked_scisummnet_reads_as_the_archive(folder, tmp_path):
    with tarfile.open(folder / "scisumm.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    packed, plain_ = read(folder / "scisumm.tar.xz"), read(tmp_path)
    assert Counter(pair.id for pair in packed.pairs) == Counter(pair.id for pair in plain_.pairs)
    assert packed.reasons == plain_.reasons


def test_a_paper_stays_with_its_citing_sentences(folder, monkeypatch):
    expected = Counter(pair.id for pair in read(folder / "scisumm.tar.xz").pairs)
    monkeypatch.setattr("curate.harvest.reading.bounds.BLOCK_BYTES", 1)
    assert Counter(pair.id for pair in read(folder / "scisumm.tar.xz").pairs) == expected


def test_small_blocks_give_the_same_records(folder, everything, monkeypatch):
    monkeypatch.setattr("curate.harvest.reading.bounds.BLOCK_BYTES", 1_000)
    small = read(folder)
    assert Counter(pair.id for pair in small.pairs) == Counter(p.id for p in everything.pairs)
    assert small.reasons == everything.reasons


def test_the_format_can_be_given(tmp_path):
    (tmp_path / "x.json").write_bytes(made.lines([{"id": "2101.00001", "title": "A Title"}]))
    assert read(tmp_path).reasons == {"unknown_format": 1}
    assert read(tmp_path, format="arxiv-json").reasons == {"no_abstract": 1}


def test_the_other_forms_of_oai(tmp_path):
    text = made.abstract(1)
    record = (
        '<record><header><identifier>x</identifier></header><metadata><arXiv xmlns="http://arxiv.org/'
        'OAI/arXiv/"><id>0704.0001</id><authors><author><keyname>Li</keyname></author></authors>'
        f"<title>A Title</title><comments>3 pages</comments><abstract>{text}</abstract></arXiv>"
        "</metadata></record>"
    )
    (tmp_path / "a.xml").write_bytes(made.oai([record]))
    (pair,) = read(tmp_path).pairs
    assert (pair.group, pair.query, pair.license) == ("arxiv:0704.0001", "A Title", "CC0-1.0")


def test_markup_of_the_anthology(tmp_path):
    paper = made.acl_paper(
        "P05-1022",
        "<fixed-case>B</fixed-case>ayes in <tex-math>O(n^2)</tex-math>",
        f"{made.abstract(1)} <i>More</i> at <url>https://a.org</url>.",
    )
    (tmp_path / "a.xml").write_bytes(made.acl([paper]))
    (pair,) = read(tmp_path).pairs
    assert pair.query == "Bayes in $O(n^2)$"
    assert pair.positives[0].text.endswith("More at https://a.org.")
    assert (pair.license, pair.url) == ("CC-BY-NC-SA-3.0", "https://aclanthology.org/P05-1022")


def test_a_marker_in_a_full_text(tmp_path):
    row = made.unarxive("2212.00001", 1, ["2212.00001"])
    row["body_text"] = [
        {
            "text": "Not this one. A spin chain with energy {{formula:f1}} was solved exactly in"
            " {{cite:r0}} (see {{figure:f2}}). Nor this."
        }
    ]
    row["ref_entries"] = {"f1": {"latex": "E = mc^2", "type": "formula"}}
    (tmp_path / "a.jsonl").write_bytes(made.lines([row]))
    (query,) = [p.query for p in read(tmp_path).pairs if p.kind == "citation-abstract"]
    assert query == "A spin chain with energy $E = mc^2$ was solved exactly in prior work."


def test_abstracts_of_scisummnet(tmp_path):
    text = " ".join(made.abstract(1).split())
    entry = "K. Lari and S. J. Young. 1990. The estimation of grammars. Speech and Language. "
    papers = {
        "P05-1001": f"<ABSTRACT><S>Trans- lation and pre- and post-processing. {text}</S></ABSTRACT>",
        "P05-1002": f"<ABSTRACT><S>{entry * 3}</S></ABSTRACT>",
        "P05-1003": f"<ABSTRACT><S>Figure 2: {text}</S></ABSTRACT>",
        "P05-1004": f"<ABSTRACT><S>{text} {'The paper goes on and on. ' * 200}</S></ABSTRACT>",
        "P05-1005": f"<S>A. Author, The City. Ab stract {text}</S><S>1 I n troduction Next.</S>",
        "P05-1006": f"<S>A. Author. Abstract {text.replace('a', ')a')}</S><S>1 Introduction</S>",
    }
    for name, body in papers.items():
        path = tmp_path / name / "Reference_XML" / f"{name}.xml"
        path.parent.mkdir(parents=True)
        path.write_text(f'<PAPER><S sid="0">Title of {name}</S>{body}</PAPER>')
        rows = [{"citing_paper_id": "W99-0001", "clean_text": f"{made.sentence(1)}."}]
        (tmp_path / name / "citing_sentences.json").write_text(json.dumps(rows))
    found = read(tmp_path, format="scisummnet")
    cited = {p.group: p.positives[0].text for p in found.pairs if p.kind == "citation-abstract"}
    assert set(cited) == {"acl:P05-1001", "acl:P05-1004", "acl:P05-1005"}
    assert cited["acl:P05-1001"] == f"Translation and pre- and post-processing. {text}"
    assert 1_000 < len(cited["acl:P05-1004"]) <= 2_000
    assert cited["acl:P05-1005"] == text
    assert {p.group for p in found.pairs if p.kind == "title-abstract"} == set(list(cited)[:2])


# -- hostile input ---------------------------------------------------------------------------------


def test_entities_and_external_files_are_refused(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    dtd = (
        f'<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
        f'<!ENTITY x SYSTEM "file://{secret}">]>'
    )
    records = [made.oai_record("0704.0001", "&b;", made.abstract(1))]
    records += [made.oai_record("0704.0002", "&x;", made.abstract(1))]
    data = made.oai(records).replace(b"<OAI-PMH>", dtd.encode() + b"<OAI-PMH>")
    (tmp_path / "bomb.xml").write_bytes(data)
    assert read(tmp_path / "bomb.xml").reasons == {"bad_xml": 2}
    xml = f'<?xml version="1.0"?>{dtd}<PAPER><S sid="0">&x; &b;</S></PAPER>'
    paper = tmp_path / "set" / "P05-1022" / "Reference_XML"
    paper.mkdir(parents=True)
    (paper / "P05-1022.xml").write_text(xml)
    found = read(tmp_path / "set")
    assert "secret" not in str(found.records) + str(found.drops)
    assert not found.records


@pytest.mark.parametrize(
    "row",
    [
        "null",
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"paper_id": "1", "title": "\\ud800", "outbound_citations": [1]}',
        '{"paper_id": {}, "title": [1], "abstract": 7, "outbound_citations": {"a": 1}}',
        '{"paper_id": 1, "title": "A Title", "outbound_citations": [null, {}, -1, 1e400, "x"]}',
    ],
)
@pytest.mark.parametrize(
    "name", [name for name, known in FORMATS.items() if known.boundary == b"\n"]
)
def test_rows_of_any_shape(tmp_path, name, row):
    (tmp_path / "a.jsonl").write_text(row + "\n")
    found = read(tmp_path, format=name)
    assert not found.records
    assert len(found.drops) >= (name != "s2-papers")


def test_annotations_of_any_shape(tmp_path):
    rows = []
    spans = [
        None,
        "x",
        "[1]",
        '[{"start": -5, "end": 3}]',
        '[{"start": 2, "end": 10000000}]',
        "[{}]",
    ]
    for span in spans:
        row = made.s2_fulltext(201, [202])
        row["content"]["annotations"] = dict.fromkeys(row["content"]["annotations"], span)
        rows.append(row)
    parse = made.pdf_parse(1, [2])
    parse["body_text"][0]["cite_spans"] = [{"start": "0", "end": None}, 7, {"ref_id": []}]
    (tmp_path / "a.jsonl").write_bytes(made.lines(rows))
    (tmp_path / "b.jsonl").write_bytes(made.lines([parse]))
    assert not read(tmp_path).records


def test_damaged_archives(folder, tmp_path):
    data = (folder / "scisumm.tar.xz").read_bytes()
    (tmp_path / "short.tar.xz").write_bytes(data[: len(data) // 2])
    (tmp_path / "no.tar.gz").write_bytes(b"\x1f\x8bno")
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "text.tar").write_bytes(b"this is not an archive" * 50)
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04no")
    found = read(tmp_path)
    assert len(found.drops) >= 5


def test_mutants_never_raise(folder, tmp_path):
    dice = random.Random(0)
    for number in range(150):
        source = dice.choice(sorted(folder.iterdir()))
        data = bytearray(source.read_bytes())
        for _ in range(dice.randint(1, 6)):
            at = dice.randrange(len(data) or 1)
            data = data or bytearray(b"x")
            match dice.randrange(3):
                case 0:
                    data[at] ^= 1 << dice.randrange(8)
                case 1:
                    del data[at : at + dice.randrange(1, 200)]
                case 2:
                    data[at:at] = data[: dice.randrange(1, 200)]
        path = tmp_path / f"{number}" / source.name
        path.parent.mkdir()
        path.write_bytes(data)
        read(path)


# -- the real data ---------------------------------------------------------------------------------


def unpacked(path):
    return gzip.decompress(path.read_bytes()).decode()


def test_arxiv(data):
    found = read(data / "science" / "arxiv_oai")
    texts = [unpacked(p) for p in (data / "science" / "arxiv_oai").iterdir()]
    records = [r for text in texts for r in re.findall(r"<record>.*?</record>", text, re.DOTALL)]
    assert found.kept + len(found.drops) == len(records) == 14_322
    assert found.kinds == {"title-abstract": found.kept}
    # Withdrawn ones and remarks of a line or two, most of them comments on other papers.
    said = [
        " ".join(re.search(r"(?s)<description>(.*?)<", record)[1].split()) for record in records
    ]
    withdrawn = sum(len(s) < 600 and bool(re.search(r"(?i)withdr|retract", s)) for s in said)
    assert abs(found.reasons["withdrawn"] - withdrawn) <= 10
    assert found.kept >= 14_200
    assert {pair.license for pair in found.pairs} == {"CC0-1.0"}


def test_anthology(data):
    path = data / "science" / "acl-anthology-2022.acl.xml.gz"
    text = unpacked(path)
    papers = re.findall(r"<paper .*?</paper>", text, re.DOTALL)
    found = read(path)
    assert found.kept == sum("<abstract>" in paper for paper in papers) == 774
    assert found.kept + len(found.drops) == len(papers)


def test_s2orc(data):
    path = data / "science" / "s2orc_metadata_sample.jsonl.gz"
    rows = [json.loads(line) for line in unpacked(path).splitlines()]
    found = read(path)
    cited = sum(len(set(row["outbound_citations"])) for row in rows)
    assert found.kept + len(found.drops) == len(rows) + cited
    with_abstract = sum(bool(row["abstract"]) for row in rows)
    # Lists of contents and tables are no abstracts.
    assert with_abstract - 5 <= found.kinds["title-abstract"] <= with_abstract == 488
    # The four citations inside the sample are of books under their own titles.
    assert found.reasons["same_paper"] == 4
    assert found.reasons["unknown_paper"] == cited - 4


@pytest.mark.slow
def test_scisummnet(data):
    path = data / "science" / "scisummnet2019.tar.xz"
    found = read(path)
    sentences, links, papers = 0, set(), set()
    with tarfile.open(path) as archive:
        for member in archive:
            cited = member.name.split("/")[1]
            papers.add(cited)
            if member.name.endswith(".json"):
                rows = json.load(archive.extractfile(member))
                sentences += len(rows)
                links |= {(cited, row["citing_paper_id"]) for row in rows}
    assert (sentences, len(papers)) == (16_589, 978)
    assert found.kept + len(found.drops) == sentences + len(papers) + len(links)
    # 85 papers have no abstract that is marked; 44 have figures, bibliographies or the like in its place.
    assert found.kinds["title-abstract"] >= 845
    # Of the others 1,035 cite papers whose abstract was not found; the rest are tables, fragments of
    # sentences, or say nothing.
    assert found.kinds["citation-abstract"] >= 14_000
    inside = sum(citing in papers and citing != cited for cited, citing in links)
    assert inside * 0.9 <= found.kinds["title-citing-title"] <= inside


def test_unarxive(data):
    path = data / "science" / "unarXive_data_sample.tar.gz"
    with tarfile.open(path) as archive:
        member = next(m for m in archive if m.name.endswith(".jsonl"))
        rows = [json.loads(line) for line in archive.extractfile(member)]
    found = read(path)
    assert found.kinds["title-abstract"] == len(rows) == 49
    entries = [entry for row in rows for entry in row["bib_entries"].values()]
    no_id = sum(not any(e.get("ids", {}).get(n) for n in ("arxiv_id", "doi")) for e in entries)
    assert found.reasons["no_id"] == no_id
    assert {pair.license for pair in found.pairs} == {"CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0"}


@pytest.mark.slow
def test_citations_meet_what_other_sources_tell(data):
    found = read(data / "science")
    pairs = [p for p in found.pairs if p.source == "papers/unarxive" and p.group != p.query]
    joined = [p for p in pairs if p.kind != "title-abstract"]
    assert joined
    assert found.kinds["title-abstract"] >= 16_000
    assert found.kinds["citation-abstract"] >= 14_000
