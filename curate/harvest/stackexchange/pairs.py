"""The pairs of a thread of Stack Exchange, once its posts are together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import orjson

from curate.harvest.stackexchange.sites import source_of
from curate.schema import Doc, Pair, Record
from curate.stage import Drop


class Post(NamedTuple):
    """What is kept of a post until it meets its thread, or the other end of a link.

    :param kind: `title` is a question without its text, for a link.
    :param accepted: the answer that a question's asker accepted.
    """

    kind: Literal["question", "answer", "title"]
    number: int
    text: str
    score: int | None
    license: str
    title: str = ""
    group: str = ""
    accepted: int | None = None


class Link(NamedTuple):
    """A duplicate link, and where it was found."""

    kind: Literal["link"]
    duplicate: int
    original: int
    where: str


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the pairs of one thread, or of one link.

    :param key: what the posts have in common; for messages.
    """

    key: str
    host: str
    language: str | None

    def title_body(self, post: Post) -> list[Record] | Drop:
        """Pair the title of a question with its body."""
        if not post.title or not post.text:
            return self.drop("no_text", post, "an empty body" if post.title else "an empty title")
        meta = {"question": post.number, "score": post.score}
        return self._pair("title-body", post.title, post.text, post, post, meta)

    def question_answer(self, question: Post, post: Post) -> list[Record] | Drop:
        """Pair a question, title and body, with an answer."""
        query = f"{question.title}\n\n{question.text}".strip()
        if not query or not post.text:
            return self.drop("no_text", post, "an empty body" if query else "an empty question")
        meta = {
            "question": question.number,
            "answer": post.number,
            "question_score": question.score,
            "score": post.score,
            "accepted": post.number == question.accepted,
        }
        return self._pair("question-answer", query, post.text, question, post, meta)

    def duplicate(self, post: Post, original: Post) -> list[Record] | Drop:
        """Pair the titles of a duplicate and of the question that was asked before."""
        if not post.title or not original.title:
            return self.drop("no_text", post, "an empty title")
        if post.title.casefold() == original.title.casefold():
            return self.drop("same_text", post, "both ends have the same title")
        meta = {"question": post.number, "duplicate_of": original.number}
        return self._pair("duplicate-question", post.title, original.title, post, original, meta)

    def drop(self, reason: str, post: Post, detail: str) -> Drop:
        """Reject a post."""
        detail = f"{self.key}: post {post.number}: {detail}"
        return Drop(reason, detail, source_of(self.host), self._url(post))

    def _pair(
        self, kind: str, query: str, text: str, asked: Post, told: Post, meta: dict[str, Any]
    ) -> list[Record]:
        licenses = sorted({asked.license, told.license})
        doc = Doc(text, language=self.language, scores=_scores(told))
        return [
            Pair(
                kind=kind,
                query=query,
                positives=[doc],
                source=source_of(self.host),
                group=asked.group,
                symmetric=kind == "duplicate-question",
                language=self.language,
                license=" AND ".join(licenses),
                url=self._url(told if told.kind == "answer" else asked),
                scores=_scores(asked),
                meta=orjson.dumps(meta).decode(),
            )
        ]

    def _url(self, post: Post) -> str:
        return f"https://{self.host}/{'a' if post.kind == 'answer' else 'q'}/{post.number}"


def _scores(post: Post) -> dict[str, float]:
    return {} if post.score is None else {"score": post.score}
