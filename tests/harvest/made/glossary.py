"""A made dictionary with aliases, a broken index line and entries that lie nowhere, and two tables."""

import gzip
from pathlib import Path

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SUBJECTS = ["relay", "résumé", "переводчик", "変換器", "converter", "Überlauf", "filter"]


def number(value: int) -> str:
    digits = DIGITS[value % 64]
    while value := value // 64:
        digits = DIGITS[value % 64] + digits
    return digits


def write_dictionary(
    folder: Path, name: str, entries: list[tuple[list[str], str]], more: str = "", dz: bool = True
) -> None:
    """Write a dictionary: for each entry what the index calls it, and its text."""
    text, index = b"", []
    for words, entry in entries:
        data = entry.encode()
        index += [f"{word}\t{number(len(text))}\t{number(len(data))}\n" for word in words]
        text += data
    (folder / f"{name}.index").write_text("".join(sorted(index)) + more, "utf-8")
    if dz:
        (folder / f"{name}.dict.dz").write_bytes(gzip.compress(text, mtime=0))
    else:
        (folder / f"{name}.dict").write_bytes(text)


def make(folder: Path) -> dict[str, object]:
    info = (
        "00-database-info\nThis is in the public domain.\n"
        "See http://example.org/ for more of it.\n\n"
    )
    entries = [
        (["00-database-url"], "00-database-url\n     http://example.org/words\n"),
        (["00-database-info"], info),
    ]
    for count in range(60):
        subject = SUBJECTS[count % len(SUBJECTS)]
        head = f"{subject} {count}"
        entries.append(
            (
                [head.lower(), f"the {head.lower()}"],
                f"{head}\nThe {head}\n\n   <made, test> A thing of number {count} that {{turns\n"
                f"   (turn)}} what comes into what goes, {count} times a day.\n\n   (2020-01-02)\n\n",
            )
        )
    entries.append((["only"], "only\n\n   See {relay 0}.\n\n"))
    write_dictionary(folder, "made", entries, "no numbers\nfar\tzzzz\tB\n")
    rows = [f"term {n}\tA definition of the term with the number {n}.\n" for n in range(30)]
    (folder / "plain.tsv").write_text("term\tdefinition\n" + "".join(rows) + "lonely\n", "utf-8")
    rows = [f'word {n},"A meaning, ""quoted"",\nof the word {n}."\n' for n in range(30)]
    (folder / "quoted.csv").write_text("word,meaning\n" + "".join(rows) + "short,no\n", "utf-8")
    (folder / "alone.index").write_text("alone\tA\tB\n", "utf-8")
    return {"path": str(folder), "language": "en", "license": "CC-BY-4.0"}
