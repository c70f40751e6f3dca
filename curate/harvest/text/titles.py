"""The title of a web page without what every page of its site carries."""

from __future__ import annotations

import re
from collections.abc import Container

from curate.harvest.text.texts import collapsed, plain, says_little

MAX_TITLE_CHARS = 300
_SEPARATOR = re.compile(r"\s[|\-\u2013\u2014:·•»«~/>]{1,2}\s|[|»]|::|:\s")
_NAME = re.compile(r"[\W_]+")

# Titles of no page in particular, compared without case and punctuation.
_NOTHING = re.compile(
    r"(?:untitled|new|no|blank|default|test|sample|web)?\s?(?:document|page|title)(?:\s\d+)?"
    r"|(?:home|main|front|index|start)\s?(?:page)?(?: of\b.{0,40})?|welcome(?: to\b.{0,60})?"
    r"|(?:\d{3} )?(?:page |file |object |document |site |error )?(?:not found|moved|moved permanently"
    r"|forbidden|unauthorized|access denied|unavailable|temporarily unavailable|bad request)"
    r"|(?:http )?error(?: \d{3})?(?: page| message)?|\d{3} (?:not found|error|forbidden|found|ok)"
    r"|(?:log|sign) ?(?:in|on|up|out)(?: (?:to|or|with|page|required|for free).{0,40})?|register"
    r"|registration|search(?: results?(?: for\b.{0,60})?)?|results?|just a moment"
    r"|attention required.{0,40}|access to this page.{0,60}|are you a robot|please wait.{0,20}"
    r"|redirect(?:ing)?(?: to\b.{0,40})?|loading|site ?map|contact(?: us)?|about(?: us)?|privacy policy"
    r"|privacy|terms(?: (?:of|and) (?:use|service|conditions))?|cookies?(?: policy)?|help|faqs?|links?"
    r"|(?:shopping|your) (?:cart|basket|account)|checkout|guestbook|forums?|blogs?|news|archives?"
    r"|apache2? .{0,40}default page|it works|.{0,60}domain (?:is )?for sale.{0,40}"
)


def names_nothing(title: str) -> bool:
    """Tell whether a title is one that any page could have: "Home", "404 Not Found"."""
    return _NOTHING.fullmatch(_NAME.sub(" ", title).strip().casefold()) is not None


def clean_title(
    title: str, headings: list[str], site: str | None = None, host: str | None = None
) -> str:
    """Take the name of the site, and what else stands around it, out of a title.

    :param headings: the headings of the page, the main one first; a part of the title that is one of
        them is the title.
    :param site: the name of the site, if the page gives it.
    """
    title = collapsed(title)[:MAX_TITLE_CHARS]
    names = {name for name in (plain(site or ""), plain(host or "")) if name}
    if headings and _is_name_of_site(title, names):
        return title if says_little(headings[0]) else headings[0][:MAX_TITLE_CHARS]
    parts = title_parts(title)
    if len(parts) < 2:
        return title
    known = {plain(heading) for heading in headings}
    named = [part for part in parts if plain(part) in known and not says_little(part)]
    if named:
        return max(named, key=len).strip()
    for part, outer in ((parts[-1], True), (parts[0], False)):
        if _is_name_of_site(part, names) and not says_little(rest := _without(title, part, outer)):
            return rest
    return title


def title_parts(title: str) -> list[str]:
    """Split a title where something may have been put before or behind it."""
    return [part for part in _SEPARATOR.split(title) if part.strip()]


def without_parts(title: str, shared: Container[str]) -> str:
    """Take outer parts out of a title as long as they are among `shared` and something is left."""
    parts = title_parts(title)
    while len(parts) > 1 and (parts[0] in shared or parts[-1] in shared):
        outer = parts[-1] in shared
        title = _without(title, parts[-1] if outer else parts[0], outer)
        parts = parts[:-1] if outer else parts[1:]
    return title


def _is_name_of_site(text: str, names: set[str]) -> bool:
    """Tell whether a text is the name of a site, or a good part of its host."""
    name = plain(text)
    return len(name) > 2 and any(name == n or (name in n and len(n) < 3 * len(name)) for n in names)


def _without(title: str, part: str, outer: bool) -> str:
    rest = title[: title.rindex(part)] if outer else title[title.index(part) + len(part) :]
    return rest.strip(" |-\u2013\u2014:·•»«~/>\t")
