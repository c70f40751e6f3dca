"""Questions and answers in JSON-LD, as pages state them for search engines (schema.org `FAQPage`)."""

from __future__ import annotations

import json
from typing import Any

from curate.harvest.faq.text import Faq, Question, clean_answer, clean_question
from curate.harvest.text.extract import language_tag, spdx
from curate.harvest.text.html import text_of
from curate.licenses import NOASSERTION

_PAGES = frozenset(("FAQPage", "QAPage", "WebPage", "Article"))


def read_jsonld(text: str) -> Faq:
    """Read the questions of a JSON-LD document, however deep in it they are.

    JSON that cannot be read is a fault of the `Faq`.
    """
    faq = Faq()
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        faq.faults.append(f"JSON: {error}")
        return faq
    nodes = _nodes(root)
    named = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str)}
    for node in nodes:
        types = _types(node)
        if "Question" in types and (question := _question(node, named)):
            faq.questions.append(question)
        if not types.isdisjoint(_PAGES):
            faq.url = faq.url or _url(node)
            faq.language = faq.language or language_tag(_text(node.get("inLanguage")))
            license_ = spdx(_text(node.get("license")))
            faq.license = faq.license or (None if license_ == NOASSERTION else license_)
    return faq


def _nodes(root: Any) -> list[dict[str, Any]]:
    """Return all objects of a document in its order, without recursion."""
    found, stack = [], [root]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            found.append(value)
            stack += reversed(value.values())
        elif isinstance(value, list):
            stack += reversed(value)
    return found


def _types(node: dict[str, Any]) -> set[str]:
    stated = node.get("@type", node.get("type"))
    names = stated if isinstance(stated, list) else [stated]
    return {name.rpartition("/")[2].rpartition(":")[2] for name in names if isinstance(name, str)}


def _question(node: dict[str, Any], named: dict[str, Any]) -> Question | None:
    """Return a question with its first answer that has a text; None if it asks nothing."""
    text = next((t for key in ("name", "text", "headline") if (t := _text(node.get(key)))), "")
    if not text:
        return None
    answers: list[Any] = []
    for key in ("acceptedAnswer", "suggestedAnswer"):
        stated = node.get(key)
        answers += stated if isinstance(stated, list) else [stated]
    found = (_answer(answer, named) for answer in answers)
    answer = next(filter(None, found), "")
    address = _url(node) or ""
    return Question(clean_question(text), clean_answer(answer), address.partition("#")[2] or None)


def _answer(answer: Any, named: dict[str, Any]) -> str:
    if isinstance(answer, dict):
        whole = answer if "text" in answer else named.get(str(answer.get("@id")), answer)
        return _text(whole.get("text")) or _text(whole.get("articleBody"))
    return _text(answer)


def _text(value: Any) -> str:
    """Return the readable text of a value, which may be HTML, tagged with a language, or one of many."""
    for _ in range(3):
        if isinstance(value, list):
            value = value[0] if value else None
        if isinstance(value, dict):
            value = value.get("@value", value.get("name"))
    if not isinstance(value, str):
        return ""
    return text_of(value.encode("utf-8", "replace").decode().replace("\0", ""))


def _url(node: dict[str, Any]) -> str | None:
    entity = node.get("mainEntityOfPage")
    stated = [node.get("url"), entity, node.get("@id")]
    stated += [entity.get("@id"), entity.get("url")] if isinstance(entity, dict) else []
    for value in stated:
        if (
            isinstance(value, str)
            and value.startswith(("http://", "https://"))
            and len(value) < 2_000
        ):
            return value.encode("utf-8", "replace").decode()
    return None
