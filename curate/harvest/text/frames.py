"""What the pages of a site have in common, and so says nothing of any one of them.

Pages of a site that were fetched together stand together in a web archive, mostly in one block. A line
that is on many of them is part of the site's frame, and so is a title that several have, or a heading
that is the same but for its numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from curate.harvest.text.extract import Page, Section, host_of
from curate.harvest.text.titles import title_parts, without_parts

MIN_PAGES = 3
"""Fewer pages may say the same by chance, or because one quotes the other."""
MIN_SHARE = 0.2
"""Of the pages of a site in a block, those that a line must be on."""
_MENU_CELLS, _MENU_CHARS = 3, 25
_NUMBER = re.compile(r"\d[\d.,]*")
_NOTICE_CHARS = 300
_NOTICE = re.compile(
    r"\bjavascript\b.{0,80}\b(?:enabled?|disabled|required|turn)"
    r"|\b(?:enable|requires?|without|activate|disabled)\b.{0,40}\bjavascript\b"
    r"|\b(?:uses?|accept|our use of) cookies\b|\bcookie (?:policy|settings|preferences|notice)\b"
    r"|\ball rights reserved\b|\bcopyright (?:\(c\)|©|\d{4})|^©|\byour browser (?:does not|doesn't)",
    re.IGNORECASE,
)


class Frames:
    """The frames of the sites of a block.

    :param pages: what was found; none is changed before all have been seen.
    """

    def __init__(self, pages: Iterable[Page]) -> None:
        self._pages: Counter[str] = Counter()
        self._lines: Counter[tuple[str, str]] = Counter()
        self._titles: Counter[tuple[str, str]] = Counter()
        self._headings: Counter[tuple[str, str]] = Counter()
        parts: Counter[tuple[str, str]] = Counter()
        seen = set[tuple[str, str]]()
        for page in pages:
            host = host_of(page.url)
            if host and (host, page.text) not in seen:  # one page may have several addresses
                seen.add((host, page.text))
                self._pages[host] += 1
                self._lines.update((host, line) for line in set(page.text.split("\n")))
                self._titles[host, page.title or ""] += 1
                self._headings.update((host, _NUMBER.sub("0", s.heading)) for s in page.sections)
                parts.update((host, part) for part in set(title_parts(page.title or "")))
        self._parts: dict[str, set[str]] = {}
        for (host, part), count in parts.items():
            if count >= MIN_PAGES:
                self._parts.setdefault(host, set()).add(part)

    def take_off(self, page: Page) -> None:
        """Take what belongs to the site, and rows of menus, out of a page."""
        host = host_of(page.url) or ""
        least = max(MIN_PAGES, MIN_SHARE * self._pages[host])
        page.text = self._cleaned(page.text, host, least)
        page.sections = [
            Section(section.heading, text)
            for section in page.sections
            if self._headings[host, _NUMBER.sub("0", section.heading)] < least
            and (text := self._cleaned(section.text, host, least))
        ]
        if page.title:
            page.shared_title = self._titles[host, page.title] >= MIN_PAGES
            page.title = without_parts(page.title, self._parts.get(host, ()))

    def _cleaned(self, text: str, host: str, least: float) -> str:
        lines = (line for line in text.split("\n") if self._lines[host, line] < least)
        return "\n".join(line for line in lines if not (_is_menu(line) or _is_notice(line)))


def _is_menu(line: str) -> bool:
    """Tell whether a line is a row of many short cells."""
    cells = line.count(" | ") + 1
    return cells >= _MENU_CELLS and len(line) < _MENU_CHARS * cells


def _is_notice(line: str) -> bool:
    """Tell whether a line is about the page and not about its subject."""
    return len(line) <= _NOTICE_CHARS and _NOTICE.search(line) is not None
