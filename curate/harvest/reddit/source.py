"""Reddit's comments and submissions, as the dumps of Pushshift and its successors have them.

| kind          | query                       | passage   |
|---------------|-----------------------------|-----------|
| post-comment  | title and text of the post  | a comment |
| comment-reply | a comment                   | its reply |

The rules are those of E5 (Wang et al., "Text Embeddings by Weakly-Supervised Contrastive Pre-training",
2022, section 3): no comment above 4,096 characters, none with a score below 1. Those for what says
nothing are ours. Texts are cleaned only when a pair needs them, which is in the join.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import translate
from functools import lru_cache
from html import unescape
from typing import Any, ClassVar, NamedTuple

import numpy as np
import orjson
from pydantic import Field

from curate.harvest.base import StreamSource
from curate.harvest.reading.streams import Chunk
from curate.harvest.reddit.rules import by_machine, own_words, reddit_text, repaired, said
from curate.schema import Doc, Pair, Record
from curate.stage import Drop, Found, Joined, Piece

SOURCE = "reddit"
SITE = "https://www.reddit.com"
BOTS = (
    "AutoModerator",
    "*bot",
    "*bot_",
    "*_bot_*",
    "*-bot-*",
    "*-ModTeam",
    "TotesMessenger",
    "Decronym",
)
_MAX_NAME_CHARS, _MAX_AUTHOR_CHARS = 16, 64
_MARKUP_RATIO = 4
"""A raw text so many times longer than a text may be is not worth its cleaning."""
_USUAL_IDS = re.compile(r"([0-9a-z]{1,16}) t3_([0-9a-z]{1,16}) t([13])_([0-9a-z]{1,16})")
_GONE = frozenset(("deleted", "removed", "deleted by user", "removed by reddit"))


class _Comment(NamedTuple):
    """What the piece of a comment holds."""

    id: str
    parent: str
    """The id of the comment it replies to; empty if it replies to the post."""
    subreddit: str
    score: int | None
    fault: str | None
    """Why it is neither query nor passage, if that shows without reading it."""
    body: str
    """As it came."""


class _Post(NamedTuple):
    """What the piece of a submission holds."""

    fault: str | None
    title: str
    body: str


class _Text(NamedTuple):
    """A text that has been cleaned and judged.

    :param fault: why it is no query; None if it is one.
    :param said: how many characters it has besides URLs.
    """

    fault: str | None
    text: str
    said: int


class RedditHarvest(StreamSource, Joined):
    """Read dumps of Reddit as pairs of post and comment, and of comment and reply.

    What a line is, is told by its fields, so files of months (`RC_2006-01.zst`, `RS_2006-01.zst`) and of
    subreddits (`golang_comments.zst`) go together, in any order. Where both hold a comment, the first
    one counts. Parents are found in any file.

    Inputs are the comments, and lines that cannot be read. A comment is kept if it is the passage of a
    pair, whatever it is the query of. Submissions only help: they are no inputs, so those without
    comments are not counted. A comment is dropped for the first of:

    - `duplicate`: its id has been there before;
    - `deleted`: its text or author is, or was when the dump was made;
    - `moderator`: distinguished or stickied, so it speaks of the forum, not of the matter;
    - `bot`: by its author or its words;
    - `low_score`: below `min_score`, or without one;
    - `no_parent`: what it replies to is not in the files, or in another thread (a few of 2005);
    - `too_long`: more than `max_chars`;
    - `short`: next to nothing besides URLs and quotes of its parent (before `low_score` where that shows
      without reading it);
    - `bad_parent`: what it replies to is no query: deleted, a moderator's, a bot's, too long, or short.

    A comment with a low score may still be a query, since its reply may be good.
    """

    name: ClassVar[str] = "harvest.reddit"
    patterns: ClassVar[tuple[str, ...]] = (
        *("RC", "RC_*", "*_comments", "*_comments.*"),
        *("RS", "RS_*", "*_submissions", "*_submissions.*"),
    )

    min_score: int = 1
    """Votes that a comment needs to be a passage; one without a score is none."""
    max_chars: int = Field(4_096, ge=100)
    """A longer text is neither query nor passage."""
    min_query_chars: int = Field(25, ge=1)
    """A shorter post or comment, not counting URLs, is no query."""
    min_passage_chars: int = Field(50, ge=1)
    """A shorter comment, not counting URLs and quotes of its parent, is no passage."""
    bots: tuple[str, ...] = BOTS
    """Globs of the names whose posts and comments are neither query nor passage; case does not matter."""

    def read(self, chunk: Chunk, data: bytes) -> Iterator[Found]:
        """Read the lines of a block."""
        loads = orjson.loads
        position = chunk.start
        for line in data.split(b"\n"):
            if line and not line.isspace():
                try:
                    found = self._piece(loads(line))
                except ValueError as error:
                    detail = f"{chunk.file.name}: at byte {position} of its content: {error}"
                    yield Drop("damaged", detail, SOURCE)
                else:
                    yield found
            position += len(line) + 1

    def _piece(self, row: Any) -> Piece:
        """Return what a line adds to its thread.

        :raises ValueError: if it is neither a comment nor a submission.
        """
        if isinstance(row, dict):
            if "body" in row:
                return self._comment(row)
            if "title" in row:
                return self._post(row)
        raise ValueError("neither a comment nor a submission")

    def _comment(self, row: dict[str, Any]) -> Piece:
        name, link, parent = _ids(row)
        body, score = row["body"], row.get("score")
        fault = self._outcast(row, body)
        if fault is None and len(body) < min(self.min_query_chars, self.min_passage_chars):
            fault = "short"
        score = score if type(score) is int else None
        subreddit = str(row.get("subreddit") or "")[:_MAX_AUTHOR_CHARS]
        return Piece(link, [name, parent, subreddit, score, fault, self._bounded(body, fault)])

    def _post(self, row: dict[str, Any]) -> Piece:
        name, title, body = _base36(row.get("id")), row["title"], row.get("selftext") or ""
        if type(body) is not str:
            raise ValueError("a text that is none")
        gone = row.get("removed_by_category") or _is_gone(body)
        fault = "deleted" if gone else self._outcast(row, title)
        texts = [self._bounded(title, fault), self._bounded(body, fault)]
        return Piece(name, [fault, *texts], counts=False)

    def _outcast(self, row: dict[str, Any], text: object) -> str | None:
        """Return why a comment or post is out, whatever it says; None if it is not.

        :raises ValueError: if its text is none.
        """
        author, meta = row.get("author", "?"), row.get("_meta")
        if _is_gone(author) or _is_gone(text):
            return "deleted"
        if type(text) is not str:
            raise ValueError("a text that is none")
        if isinstance(meta, dict) and meta.get("was_deleted_later"):
            return "deleted"
        if row.get("distinguished") or row.get("stickied"):
            return "moderator"
        return "bot" if _is_bot(str(author)[:_MAX_AUTHOR_CHARS], self.bots) else None

    def _bounded(self, text: str, fault: str | None) -> str:
        """Return what of a raw text is worth keeping for the join."""
        if fault is not None and fault != "short":
            return ""
        return text[: _MARKUP_RATIO * self.max_chars + 1]

    def join(self, key: str, pieces: list[Piece]) -> Iterator[list[Record] | Drop]:
        """Pair the comments of a thread with what they reply to."""
        thread = _Thread(self, key)
        comments = [thread.add(piece) for piece in pieces]
        for comment in filter(None, comments):
            fate = thread.fate(comment)
            yield fate if isinstance(fate, Drop) else [fate]


class _Thread:
    """A post and its comments, whose texts are cleaned when they are needed."""

    def __init__(self, source: RedditHarvest, link: str) -> None:
        self._source, self._link = source, link
        self._comments: dict[str, _Comment] = {}
        self._post: _Post | None = None
        self._texts: dict[str, _Text] = {}

    def add(self, piece: Piece) -> _Comment | None:
        """Take a piece; return the comment, if it is one."""
        if piece.counts:
            comment = _Comment(*piece.data)
            self._comments.setdefault(comment.id, comment)
            return comment
        if self._post is None or self._post.fault is not None:
            self._post = _Post(*piece.data)
        return None

    def fate(self, comment: _Comment) -> Pair | Drop:
        """Return the pair of a comment, or why there is none."""
        source, score = self._source, comment.score
        if self._comments[comment.id] is not comment:
            return self._drop(comment, "duplicate", "its id has been there before")
        if comment.fault is not None:
            return self._drop(comment, comment.fault, "")
        if score is None or score < source.min_score:
            return self._drop(comment, "low_score", f"score {score}")
        parent = self._text(comment.parent)
        if parent is None:
            return self._drop(comment, "no_parent", f"replies to {comment.parent or 'the post'}")
        own = self._text(comment.id)
        assert own is not None
        if own.fault is not None and own.fault != "short":
            return self._drop(comment, own.fault, f"{len(own.text)} characters")
        if parent.fault is not None:
            return self._drop(
                comment, "bad_parent", f"replies to what is dropped as {parent.fault}"
            )
        text = own_words(own.text, parent.text)
        if (own.said if text is own.text else said(text)) < source.min_passage_chars:
            return self._drop(comment, "short", f"{len(text)} characters of its own")
        return self._pair(comment, parent.text, text)

    def _text(self, name: str) -> _Text | None:
        """Return the text of a comment, or of the post if the name is empty; None if it is not there."""
        known = self._texts.get(name)
        if known is None:
            unit = self._comments.get(name) if name else self._post
            if unit is not None:
                known = self._texts[name] = self._judged(unit)
        return known

    def _judged(self, unit: _Comment | _Post) -> _Text:
        source, ratio = self._source, _MARKUP_RATIO
        if unit.fault is not None:
            return _Text(unit.fault, "", 0)
        if len(unit.body) > ratio * source.max_chars:
            return _Text("too_long", "", 0)
        text = reddit_text(unit.body)
        if isinstance(unit, _Post):
            title = " ".join(unescape(repaired(unit.title)).split())
            text = f"{title}\n\n{text}" if text else title
        if len(text) > source.max_chars:
            return _Text("too_long", text, 0)
        if by_machine(text):
            return _Text("bot", text, 0)
        length = said(text)
        return _Text("short" if length < source.min_query_chars else None, text, length)

    def _pair(self, comment: _Comment, query: str, passage: str) -> Pair:
        link, source = self._link, self._source
        parent = f"t1_{comment.parent}" if comment.parent else f"t3_{link}"
        meta = {"id": f"t1_{comment.id}", "parent": parent, "subreddit": comment.subreddit}
        assert comment.score is not None
        return Pair(
            kind="comment-reply" if comment.parent else "post-comment",
            query=query,
            positives=[Doc(passage, language=source.language)],
            source=SOURCE,
            group=f"t3_{link}",
            language=source.language,
            license=source.license,
            url=self._url(comment),
            scores={"score": comment.score},
            meta=orjson.dumps(meta).decode(),
        )

    def _drop(self, comment: _Comment, reason: str, why: str) -> Drop:
        where = f"comment {comment.id} of thread {self._link}"
        detail = f"{where}: {why}" if why else where
        return Drop(reason, detail, SOURCE, self._url(comment), comment.body or None)

    def _url(self, comment: _Comment) -> str:
        return f"{SITE}/comments/{self._link}/_/{comment.id}"


# -- fields ----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _bots(globs: tuple[str, ...]) -> re.Pattern[str]:
    """Return an expression for the names that match a glob."""
    return re.compile("|".join(map(translate, globs)) or r"(?!)", re.IGNORECASE)


@lru_cache(maxsize=1 << 16)
def _is_bot(author: str, globs: tuple[str, ...]) -> bool:
    return bool(_bots(globs).match(author))


def _is_gone(text: object) -> bool:
    """Tell whether a text or an author has been deleted or removed."""
    if type(text) is not str:
        return text is None
    return text[:1] == "[" and text[1:-1].strip().lower() in _GONE


def _ids(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return the ids of a comment, of its post, and of the comment it replies to, empty if none.

    :raises ValueError: if the first or the second is missing.
    """
    name, link, parent = row.get("id"), row.get("link_id"), row.get("parent_id")
    usual = type(name) is str and _USUAL_IDS.fullmatch(f"{name} {link} {parent}")
    if usual:
        bare, kind = usual[2], usual[3]
        if kind == "1" or usual[4] == bare:
            return usual[1], bare, usual[4] if kind == "1" else ""
    bare = _base36(link)
    return _base36(name), bare, _parent(parent, bare)


def _base36(name: object) -> str:
    """Return an id without its prefix (`t1_`, `t3_`); some dumps have numbers instead.

    :raises ValueError: if it is no id.
    """
    if type(name) is str:
        bare = name[3:] if name[2:3] == "_" else name
        if len(bare) <= _MAX_NAME_CHARS and bare.isascii() and bare.isalnum():
            return bare
    elif type(name) is int and 0 <= name < 2**63:
        return np.base_repr(name, 36).lower()
    raise ValueError(f"no id: {str(name)[:40]!r}")


def _parent(name: object, link: str) -> str:
    """Return the id of the comment that is replied to; an empty one if it is the post."""
    if name is None:
        return ""
    bare = _base36(name)
    if type(name) is str and name[:3] == "t1_":
        return bare
    if bare == link:
        return ""
    return str(name) if str(name)[:3] == "t3_" else bare
