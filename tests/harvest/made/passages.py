"""Documents of every format, with bad ones among the good."""

import gzip
import zlib


def pdf(pages, title="A made file"):
    """Write a PDF by hand: each page a list of lines."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    objects.append(f"<< /Title ({title}) >>".encode())
    kids = []
    for lines in pages:
        shown = "".join(f"({line}) Tj 0 -14 Td\n" for line in lines)
        data = zlib.compress(f"BT /F1 12 Tf 72 720 Td\n{shown}ET".encode("latin-1"))
        head = f"<< /Length {len(data)} /Filter /FlateDecode >>\nstream\n".encode()
        objects.append(head + data + b"\nendstream")
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R"
        objects.append(f"{page} /Resources << /Font << /F1 3 0 R >> >> >>".encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    rows = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n{rows}".encode()
    out += (
        f"trailer\n<< /Size {size} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF".encode()
    )
    return bytes(out)


def make(folder):
    """Write more than 100 documents."""
    for i in range(90):
        text = " ".join(
            f"Sentence {n} of text {i} says “{n * i}” — enough." for n in range(i % 9 + 3)
        )
        (folder / f"text-{i}.txt").write_text(text, "utf-8")
    for i in range(10):
        body = "\n\n".join(
            f"Раздел {n}: другие вещи. 次の文は{n}です。終わり。 And more words here."
            for n in range(9)
        )
        (folder / f"notes-{i}.md").write_text(
            f"# Notes {i}\n\n{body}\n\n## More\n\n{body}", "utf-8"
        )
    paragraphs = "".join(
        f"<p>Paragraph {n} has words that a reader reads with care.</p>" for n in range(9)
    )
    page = f"<html><title>Page</title><body><h1>Page</h1>{paragraphs}<h2>Part</h2>{paragraphs}"
    (folder / "page.html").write_text(page, "utf-8")
    sentences = [f"Line {n} of the file has some words in it." for n in range(20)]
    (folder / "file.pdf").write_bytes(pdf([sentences, sentences[:5]]))
    (folder / "empty.pdf").write_bytes(pdf([[]]))
    (folder / "damaged.pdf").write_bytes(b"%PDF-1.4\nnothing")
    (folder / "short.txt").write_text("Too short.", "utf-8")
    (folder / "binary.txt").write_bytes(bytes(range(32)) * 20)
    with gzip.open(folder / "long.txt.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"Line {n} of a long text that is packed.\n" for n in range(2000))
    return {"path": str(folder), "source": "made", "overlap": 1}
