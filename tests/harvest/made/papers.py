"""Papers in every format that `harvest.papers` reads, citing each other across the files."""

import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

TOPICS = (
    (
        "Café-Modelle für naïve Übersetzung 日本語",
        "machine translation of café menus into 日本語 text",
    ),
    ("Entangled Photons in Lossy Fibres", "entangled photon pairs in lossy optical fibres"),
    (
        "Parsing Arabic العربية Treebanks",
        "dependency parsing of treebanks for Arabic العربية newswire",
    ),
    (
        "Coral Reefs under Thermal Stress",
        "bleaching of coral reefs in years of unusual thermal stress",
    ),
    ("Sparse Kernels on Graphs", "sparse kernel methods for regression on large random graphs"),
)


def title(number: int) -> str:
    return f"{TOPICS[number % len(TOPICS)][0]}, Part {number}"


def abstract(number: int) -> str:
    topic = TOPICS[number % len(TOPICS)][1]
    return (
        f"We study {topic} and report case number {number} in detail.\n  "
        "A simple estimator is shown to be consistent, and experiments support the theory."
    )


def sentence(number: int) -> str:
    return f"Consistent estimators were derived for {TOPICS[number % len(TOPICS)][1]}"


def oai_record(name: str, title: str, abstract: str) -> str:
    return (
        f"<record><header><identifier>oai:arXiv.org:{name}</identifier></header><metadata>"
        '<oai_dc:dc xmlns:oai_dc="http://www.openarchives.org/OAI/2.0/oai_dc/"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{title}</dc:title><dc:description>{abstract}</dc:description>"
        "<dc:description>Comment: 12 pages</dc:description></oai_dc:dc></metadata></record>"
    )


def oai(records: list[str]) -> bytes:
    body = "".join(records)
    return f'<?xml version="1.0"?><OAI-PMH><ListRecords>{body}</ListRecords></OAI-PMH>'.encode()


def acl_paper(name: str, title: str, abstract: str) -> str:
    return (
        f'<paper id="1"><title>{title}</title><abstract>{abstract}</abstract>'
        f'<url hash="0a1b2c3d">{name}</url></paper>'
    )


def acl(papers: list[str]) -> bytes:
    body = "".join(papers)
    return f'<?xml version="1.0"?><collection id="x"><volume id="1">{body}</volume></collection>'.encode()


def lines(rows: list[object]) -> bytes:
    texts = (row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows)
    return "".join(f"{text}\n" for text in texts).encode()


def tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def scisumm(cited: dict[str, tuple[str, str]], citing: dict[str, list[str]]) -> dict[str, bytes]:
    """Return the documents of papers by id, and of the ids that cite each of them."""
    members = {}
    for name, (heading, text) in cited.items():
        xml = f'<PAPER><S sid="0">{heading}</S><ABSTRACT><S sid="1">{text}</S></ABSTRACT></PAPER>'
        rows = [
            {
                "citance_No": number,
                "citing_paper_id": other,
                "raw_text": "",
                "clean_text": f"{sentence(number)} (Smith et al, 2004).",
            }
            for number, other in enumerate(citing.get(name, ()))
        ]
        members[f"set/{name}/Reference_XML/{name}.xml"] = xml.encode()
        members[f"set/{name}/citing_sentences.json"] = json.dumps(rows).encode()
    return members


def unarxive(name: str, number: int, cited: list[str]) -> dict[str, object]:
    text = " ".join(f"{sentence(n)} {{{{cite:r{n}}}}}." for n in range(len(cited)))
    return {
        "paper_id": name,
        "_source_hash": "0",
        "metadata": {
            "id": name,
            "title": title(number),
            "abstract": abstract(number),
            "license": "http://creativecommons.org/licenses/by/4.0/",
        },
        "abstract": {"text": abstract(number)},
        "body_text": [{"section": "Introduction", "text": text, "cite_spans": []}],
        "bib_entries": {f"r{n}": {"ids": {"arxiv_id": other}} for n, other in enumerate(cited)},
        "ref_entries": {},
    }


def s2orc(number: int, cited: list[int]) -> dict[str, object]:
    return {
        "paper_id": str(number),
        "title": title(number),
        "abstract": abstract(number),
        "doi": f"10.1000/{number}",
        "outbound_citations": [str(n) for n in cited],
    }


def pdf_parse(number: int, cited: list[int]) -> dict[str, object]:
    paragraphs = []
    for other in cited:
        text = f"{sentence(other)} [{other}]. Nothing else is said."
        start = text.index("[")
        span = {"start": start, "end": text.index("]") + 1, "ref_id": f"BIBREF{other}"}
        paragraphs.append({"text": text, "cite_spans": [span]})
    return {
        "paper_id": str(number),
        "_pdf_hash": "0",
        "abstract": [],
        "body_text": paragraphs,
        "bib_entries": {f"BIBREF{n}": {"title": title(n), "link": str(n)} for n in cited},
    }


def s2_fulltext(number: int, cited: list[int]) -> dict[str, object]:
    text = f"{title(number)}\n{abstract(number)}\n"
    spans: dict[str, list[dict[str, object]]] = {"paragraph": [], "bibref": [], "bibentry": []}
    spans["title"] = [{"start": 0, "end": len(title(number))}]
    spans["abstract"] = [{"start": len(title(number)) + 1, "end": len(text)}]
    for other in cited:
        start = len(text)
        text += f"{sentence(other)} "
        mark = {"start": len(text), "end": len(text) + 3, "attributes": {"ref_id": f"b{other}"}}
        text += "[1].\n"
        spans["bibref"].append(mark)
        spans["paragraph"].append({"start": start, "end": len(text)})
        known = {"id": f"b{other}", "matched_paper_id": other}
        spans["bibentry"].append({"start": 0, "end": 1, "attributes": known})
    layers = {name: json.dumps(layer) for name, layer in spans.items()}
    return {
        "corpusid": number,
        "externalids": {"arxiv": None, "doi": None},
        "content": {"text": text, "annotations": layers},
    }


def s2_tables(numbers: list[int]) -> dict[str, bytes]:
    papers = [
        {"corpusid": n, "externalids": {"DOI": f"10.1000/{n}"}, "title": title(n)} for n in numbers
    ]
    abstracts = [
        {"corpusid": n, "openaccessinfo": {"externalids": {}}, "abstract": abstract(n)}
        for n in numbers
    ]
    citations = [
        {
            "citationid": n,
            "citingcorpusid": n,
            "citedcorpusid": n + 1,
            "contexts": [f"{sentence(n)} (Smith et al., 2004)."] if n % 3 else None,
        }
        for n in numbers
    ]
    return {
        "papers": lines([*papers, {"corpusid": None, "externalids": None, "title": "Lost"}]),
        "abstracts": lines(abstracts),
        "citations": lines(citations),
    }


def make(folder: Path) -> dict[str, object]:
    """Write some two hundred inputs, a few of them bad."""
    names = [f"quant-ph/05010{n:02d}" for n in range(30)]
    records = [oai_record(name, title(n), abstract(n)) for n, name in enumerate(names)]
    records += [
        oai_record("0704.0001", "Gone", "This paper has been withdrawn by the author."),
        oai_record("0704.0002", "Bad &nothing; Markup", abstract(1)),
        '<record><header status="deleted"><identifier>0704.0003</identifier></header></record>',
    ]
    (folder / "arxiv.xml").write_bytes(oai(records))
    kaggle = [
        {"id": f"2101.{n:05d}", "submitter": "x", "title": title(n), "abstract": abstract(n)}
        for n in range(20)
    ]
    (folder / "arxiv.json.gz").write_bytes(
        gzip.compress(lines([*kaggle, "{broken", "[1]"]), mtime=0)
    )
    papers = [acl_paper(f"2022.acl-long.{n}", title(n), abstract(n)) for n in range(1, 11)]
    (folder / "2022.acl.xml").write_bytes(acl([*papers, acl_paper("P05-1001", "", abstract(1))]))
    cited = {f"P05-10{n:02d}": (title(n), abstract(n)) for n in range(10, 18)}
    citing = {name: ["P05-1010", "W99-0001", "2022.acl-long.1"] for name in cited}
    members = scisumm(cited, citing) | {"set/README": b"Sentences that cite"}
    (folder / "scisumm.tar.xz").write_bytes(lzma.compress(tar(members)))
    rows = [unarxive(f"2212.{n:05d}", n, names[n : n + 4]) for n in range(8)]
    member = {"sample/arXiv_src_2212_001.jsonl": lines(rows)}
    (folder / "unarxive.tar.gz").write_bytes(gzip.compress(tar(member), mtime=0)[:-12])
    numbers = list(range(100, 110))
    (folder / "metadata.jsonl").write_bytes(lines([s2orc(n, [n + 1, 7]) for n in numbers]))
    (folder / "pdf_parses.jsonl").write_bytes(lines([pdf_parse(n, [n - 1, 300]) for n in numbers]))
    for name, data in s2_tables(list(range(200, 210))).items():
        (folder / f"{name}.jsonl").write_bytes(data)
    (folder / "s2orc.jsonl").write_bytes(lines([s2_fulltext(n, [n - 1, 201]) for n in (205, 206)]))
    (folder / "notes.txt").write_text("no papers here")
    return {"path": str(folder)}
