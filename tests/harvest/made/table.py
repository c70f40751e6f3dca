"""Tables of every format and layout, with bad rows among the good."""

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

WORDS = ("réservoir", "ключ", "鍵を開ける", "مفتاح", "\U0001d54f", "plain words", "a, b", 'a "b" c')


def make(folder):
    """Write tables of pairs; all rows together are more than 100."""
    questions = [
        {
            "question": f"What is {WORDS[i % 8]} number {i}?",
            "answer": f"It is the {i}th, {WORDS[i % 8]}.",
        }
        for i in range(40)
    ]
    lines = [json.dumps(row, ensure_ascii=bool(i % 2)) for i, row in enumerate(questions)]
    bad = [
        '{"question": "cut off',
        "[]",
        "7",
        '{"question": "no answer", "answer": ""}',
        "\x00\x01",
    ]
    bad += ['{"question": "half a \\ud83d character", "answer": "NaN is \\ud83d"}', '{"other": 1}']
    (folder / "lines.jsonl").write_text("\n".join([*lines, *bad]), "utf-8")
    (folder / "latin.jsonl").write_bytes(b'{"question": "caf\xe9?", "answer": "un caf\xe9"}\n')
    elements = [json.dumps(row) for row in questions[:20]]
    damaged = f"[{','.join(elements[:10])}{','.join(elements[10:])}"
    with gzip.open(folder / "damaged.json.gz", "wt", encoding="utf-8") as file:
        file.write(damaged)
    medi = [
        {
            "query": ["Represent the question", f"question {i}"],
            "pos": ["Represent the text", f"good text {i}"],
            "neg": ["Represent the text", f"bad text {i}"],
            "task_name": f"task{i % 2}",
        }
        for i in range(12)
    ]
    (folder / "medi.json").write_text(json.dumps({"train": medi, "test": medi[:2]}), "utf-8")
    with (folder / "quoted.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "positive", "negative_1", "negative_2"])
        for i in range(30):
            writer.writerow([f"query {i}", f"two\nlines, {WORDS[i % 8]} {i}", f"wrong {i}", ""])
        writer.writerow(["too", "short"])
    triples = [
        f"what does {i} mean\tit means a number\tnothing at all about {i}" for i in range(10)
    ]
    (folder / "triples.tsv").write_text("\n".join(triples), "utf-8")
    table = pa.table(
        {
            "anchor": [f"anchor {i}" for i in range(20)],
            "positive": [None if i == 3 else f"positive {i}" for i in range(20)],
            "negative": [f"negative {i}" for i in range(20)],
        }
    )
    pq.write_table(table, folder / "rows.parquet", row_group_size=7)
    feather.write_feather(table.slice(0, 5), folder / "rows.feather", compression="uncompressed")
    (folder / "broken.parquet").write_bytes((folder / "rows.parquet").read_bytes()[:-30])
    return {"path": str(folder), "source": "made"}
