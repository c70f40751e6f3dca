"""Text of records made safe and short for terminals and Markdown, and numbers made readable."""

from __future__ import annotations

import re

# Record text is data from outside: on a terminal, escape sequences could move the cursor, retitle the
# window or hide lines, and bidirectional controls could reorder what is read.
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c)", re.DOTALL)
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#])")


def clean(text: str) -> str:
    """Remove escape sequences, control characters and bidirectional controls; keep line ends."""
    text = text.replace("\r\n", "\n").expandtabs(4)
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


def one_line(text: str, chars: int = 200) -> str:
    """Return a clean text as one line of at most `chars` characters."""
    return cut(" ".join(clean(text[: 4 * chars]).split()), chars)


def cut(text: str, chars: int) -> str:
    """Return at most `chars` characters, the last of them an ellipsis if some are left out."""
    return text if len(text) <= chars else f"{text[: chars - 1].rstrip()}…"


def excerpt(text: str | None, lines: int = 8, chars: int = 600) -> str:
    """Return the first lines that are not blank, clean; an ellipsis says that there is more."""
    if text is None:
        return "(no text)"
    whole = [line.rstrip() for line in clean(text[: 8 * chars]).split("\n")]
    written = [line for line in whole if line]
    shown = cut("\n".join(written[:lines]), chars)
    more = len(written) > lines or len(text) > 8 * chars
    return f"{shown}\n…" if more and not shown.endswith("…") else shown


def markdown(text: str) -> str:
    """Escape a text so that Markdown shows it as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", " ".join(clean(text).split()).replace("&", "&amp;"))


def size(count: float) -> str:
    """Write a number of bytes: 12.3 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def seconds(value: float) -> str:
    """Write a duration: 3.2 s, 4 min 5 s, 2 h 10 min, 3 d 4 h."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def number(value: object) -> str:
    """Write a number with its thousands apart and at most four significant decimals."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return one_line(str(value), 80)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
