"""Made translations in each format, some of them damaged or not translated."""

import io
import tarfile
import zipfile
from pathlib import Path

WORDS = ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben"]


def german(n: int) -> str:
    return f"Dieser Satz mit der Nummer {n} steht für sich, {WORDS[n % 7]} mal am Tag."


def english(n: int) -> str:
    return f"This sentence with the number {n} stands alone, {n % 7} times a day."


def russian(n: int) -> str:
    return f"Это предложение под номером {n} стоит само по себе."  # noqa: RUF001


def catalogue(messages: int) -> str:
    header = (
        'msgid ""\nmsgstr ""\n"Language: de\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    )
    entries = [f'msgid "{english(n)}"\nmsgstr "{german(n)}"\n\n' for n in range(messages)]
    entries += [
        '#, fuzzy\nmsgid "a fuzzy one"\nmsgstr "ein vager"\n\n',
        'msgid "an open one"\nmsgstr ""\n\n',
        'msgid "one file here"\nmsgid_plural "%d files here"\n'
        'msgstr[0] "eine Datei hier"\nmsgstr[1] "%d Dateien hier"\n\n',
        '#~ msgid "an old one"\n#~ msgstr "ein alter"\n\n',
    ]
    return header + "".join(entries)


def memory(units: int) -> str:
    body = "".join(
        f'<tu tuid="{n}"><tuv xml:lang="en-US"><seg>{english(n)} &amp; <ph x="1">%s</ph>more</seg></tuv>'
        f'<tuv xml:lang="ru"><seg>{russian(n)} &amp; ещё</seg></tuv></tu>\n'
        for n in range(units)
    )
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE tmx [<!ENTITY bomb "bomb">]>\n<tmx version="1.4">'
        f'<header srclang="en-US"/><body>{body}'
        '<tu><tuv xml:lang="en"><seg>&bomb;</seg></tuv></tu></body></tmx>'
    )


def page(texts: list[str]) -> bytes:
    paragraphs = "".join(f'<div class="para">{text}</div>' for text in texts)
    return f"<html><body><h1>{texts[0]}</h1>{paragraphs}</body></html>".encode()


def description(n: int, language: str, short: str, long: str) -> str:
    head = f"Package: p{n}\nDescription-md5: {n:032x}\nDescription-{language}: {short}\n"
    return f"{head} {long}\n .\n {long}\n\n"


def make(folder: Path) -> dict[str, object]:
    (folder / "po").mkdir()
    (folder / "po" / "messages.de.po").write_text(catalogue(30), "utf-8")
    (folder / "po" / "broken.ru.po").write_text(
        'msgid "one\nmsgstr\n\nmsgid "two words"\nmsgstr "два слова"\n'
    )
    (folder / "memory.tmx").write_text(memory(30), "utf-8")
    (folder / "lines.en").write_text("".join(english(n) + "\n" for n in range(30)), "utf-8")
    (folder / "lines.de").write_text("".join(german(n) + "\n" for n in range(29)), "utf-8")
    with zipfile.ZipFile(folder / "opus.zip", "w") as archive:
        archive.writestr("Made.en-ru.en", "".join(english(n) + "\n" for n in range(100, 120)))
        archive.writestr("Made.en-ru.ru", "".join(russian(n) + "\n" for n in range(100, 120)))
        archive.writestr("README", "Nothing to read.")
    rows = [f"{english(n)}\t{russian(n)}\t0.{n}\n" for n in range(200, 220)]
    (folder / "table.en-ru.tsv").write_text("".join(rows) + "alone\n", "utf-8")
    for language, text in (("en-US", english), ("de-DE", german), ("ru-RU", russian)):
        with tarfile.open(folder / f"{language}.tar.xz", "w:xz") as tar:
            data = page([text(n) for n in range(300, 312)] + ["The same in all."])
            info = tarfile.TarInfo(f"{language}/page.html")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for language, text in (("en", english), ("de", german)):
        stanzas = [description(n, language, text(n), text(n + 1)) for n in range(400, 410)]
        (folder / f"Translation-{language}").write_text("".join(stanzas) + "Broken: yes\n", "utf-8")
    return {"path": str(folder), "score": 2}
