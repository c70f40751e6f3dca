"""What people write in forums: cleaned, and judged by whether it says something of its own.

`short` and the like are meant to be general: what nobody would learn from, whatever the forum.
"""

from __future__ import annotations

import re

from curate.harvest.text.markdown import plain_text

ENOUGH_WORDS, ENOUGH_LETTERS = 3, 8
"""Different words, or letters of a script without spaces, that make a text more than a noise."""
_HEAD_CHARS = 60
_MIN_QUOTE_CHARS, _QUOTES = 15, " \"'\u2018\u2019\u201c\u201d.\u2026"

_URL = re.compile(r"(?:https?://|www\.)\S+")
_GAP = re.compile(r"\n{3,}")
_COURTESY = re.compile(
    r"(?:many |ok,? |oh,? |ah,? )?(?:thanks|thank you|thx|sorry|congrat\w*|ha(?:ha)+|lol)\b",
    re.IGNORECASE,
)
_STICKER = re.compile(r"!\[(?:gif|img|emote|video)\]\([^()\s]{0,200}\)")
_SMALL_PRINT = re.compile(r"(?<![\w^])\^++(?:\(([^()\n]{0,1000})\)|(?=\w))")
_BOT_TEXT = re.compile(
    r"\bi(?:['\u2019]?m| am) an? (?:\w{1,20} )?bot\b"
    r"|\b(?:action|message|comment|reply|post) (?:was|is|has been) (?:\w{1,20} )?"
    r"(?:automatically|by an? (?:\w{1,20} )?bot)\b"
    r"|\bbeep,? boop\b"
    r"|\byour (?:submission|post|comment|link) (?:has been|was) (?:automatically )?removed\b"
)
_C1 = re.compile("[\x80-\x9f]")
_MISREAD = re.compile("[\xc2-\xf4][\x80-\xbf]{1,3}")


def reddit_text(raw: str) -> str:
    """Return the plain text of what Reddit's interface gives: Markdown, with `&`, `<`, `>` escaped."""
    text = repaired(raw)
    if "&" in text:
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    if "](" in text:
        text = _STICKER.sub("", text)
    if "^" in text:
        text = _SMALL_PRINT.sub(r"\1", text)
    if ">!" in text:
        text = text.replace(">!", "").replace("!<", "")
    return plain_text(text)


def repaired(text: str) -> str:
    """Return a text whose UTF-8 was once read as Latin-1, as in the oldest dumps, as it was meant."""
    if text.isascii() or not _C1.search(text):
        return text
    return _MISREAD.sub(_reread, text)


def _reread(found: re.Match[str]) -> str:
    try:
        return found[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def said(text: str) -> int:
    """Return how many characters a text has besides its URLs; 0 if they make no words.

    Those of a text that begins with thanks, an apology or a laugh count half: there is seldom more in it.
    """
    if "://" in text or "www." in text:
        text = _URL.sub("", text).strip()
    head = text[:_HEAD_CHARS]
    if len(set(head.split())) < ENOUGH_WORDS:
        letters = 0 if head.isascii() else len(set(filter(str.isalpha, head)))
        return len(text) if letters >= ENOUGH_LETTERS else 0
    return len(text) // 2 if _COURTESY.match(head) else len(text)


def own_words(reply: str, parent: str) -> str:
    """Take out of a reply the lines that it quotes of its parent, which would give the pair away."""
    lines = reply.split("\n")
    own = [line for line in lines if not _is_quoted(line.strip(_QUOTES), parent)]
    return reply if len(own) == len(lines) else _GAP.sub("\n\n", "\n".join(own)).strip()


def _is_quoted(line: str, parent: str) -> bool:
    return len(line) >= _MIN_QUOTE_CHARS and line in parent


def by_machine(text: str) -> bool:
    """Tell whether a text says that it was written by a program, or is a moderator's form letter."""
    low = text.lower()
    hinted = "bot" in low or "automatically" in low or "removed" in low or "beep" in low
    return hinted and bool(_BOT_TEXT.search(low))
