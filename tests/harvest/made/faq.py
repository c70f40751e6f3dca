"""Made pages of questions in each format, some of them damaged."""

import json
import zipfile
from pathlib import Path

GERMAN = "Das geht in {} Schritten, die im Handbuch einzeln beschrieben sind: siehe dort, ä 漢字."
ANSWER = "It is done in {} steps, each of which is written down in the manual: see there."


def page(language: str, questions: int) -> str:
    sections = "".join(
        f"<div class='section'><h2 id='q{n}'>{n}.1. Was ist die Frage {n}?</h2>"
        f"<p>{GERMAN.format(n)}</p></div>"
        for n in range(questions)
    )
    return (
        f"<html lang='{language}'><head><link rel='canonical' href='https://example.org/{language}'>"
        f"</head><body><nav><h2>Menu?</h2></nav><h1>Questions</h1>{sections}</body></html>"
    )


def jsonld(questions: int, start: int = 0) -> dict[str, object]:
    asked = [
        {
            "@type": "Question",
            "name": f"How is thing {n} done?",
            "acceptedAnswer": {"@type": "Answer", "text": f"<p>{ANSWER.format(n)}</p>"},
        }
        for n in range(start, start + questions)
    ]
    return {
        "@context": "https://schema.org",
        "@type": "FAQPage",
        "url": f"https://example.org/faq/{start}",
        "mainEntity": asked,
    }


def make(folder: Path) -> dict[str, object]:
    (folder / "de").mkdir()
    (folder / "de" / "fragen.html").write_text(page("de", 25), "utf-8")
    (folder / "empty.html").write_text("")
    (folder / "none.html").write_text("<p>Nothing is asked here.", "utf-8")
    (folder / "faq.json").write_text(json.dumps(jsonld(20)), "utf-8")
    (folder / "broken.json").write_text('{"@type": "FAQPage", "mainEntity": [', "utf-8")
    lines = [json.dumps(jsonld(2, start)) for start in range(100, 120, 2)]
    (folder / "faqs.jsonl").write_text(
        "\n".join([*lines, "{broken", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")]),
        "utf-8",
    )
    pod = "".join(f"=head2 How does C<f({n})> work?\n\n{ANSWER.format(n)}\n\n" for n in range(20))
    (folder / "perl.pod").write_text("=head1 NAME\n\nperl\n\n" + pod, "utf-8")
    markdown = "".join(f"## Why is {n} odd?\n\n{ANSWER.format(n)}\n\n" for n in range(20))
    (folder / "FAQ.md").write_text("# Questions\n\n" + markdown, "utf-8")
    with zipfile.ZipFile(folder / "site.zip", "w") as archive:
        archive.writestr("de-AT/page.de-AT.html", page("de-AT", 10))
        archive.writestr("logo.png", b"\x89PNG")
    return {"path": str(folder), "language": "en"}
