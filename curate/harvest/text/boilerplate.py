"""What of a web page is there for the site: menus, tables of contents, footers, forms."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TAGS = ("nav", "footer", "aside", "form", "button", "select", "textarea", "svg")
_SILENT = ("script", "style", "noscript", "template")
_NEVER, _ALWAYS = frozenset(("html", "head", "body", "main", "article")), frozenset(_TAGS + _SILENT)
_NAMES = re.compile(
    r"(?:\A|[\s_-])(?:nav|docnav|navbar|navigation|navheader|navfooter|toc|breadcrumbs?|menu|footer"
    r"|cookies?|share|sharing|social|comments?|pagination|skip-link)(?:\Z|[\s_-])",
    re.IGNORECASE,
)


def is_boilerplate(element: Any) -> bool:
    """Tell by its tag, class and id whether an element of HTML, as lxml has it, is there for the site."""
    if element.tag in _ALWAYS:
        return True
    names = element.get("class"), element.get("id")
    if names == (None, None) or element.tag in _NEVER:
        return False
    return _is_named_so(f"{names[0]} {names[1]}"[:300])


@lru_cache(4_096)
def _is_named_so(names: str) -> bool:
    return _NAMES.search(names) is not None
