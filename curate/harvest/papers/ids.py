"""The names of papers, one spelling each, so that what different sources say of a paper comes together.

A key is a scheme and a normal form: `arxiv:quant-ph/9901001`, `acl:P05-1022`, `doi:10.1000/182`,
`s2:77490025`. The DOIs that arXiv and the ACL Anthology give out are turned into their own ids.
"""

from __future__ import annotations

import re
from typing import Any

SCHEMES = ("arxiv", "acl", "doi", "s2")
"""In the order in which a paper is named after them."""

_ARXIV = re.compile(
    r"(?:oai:arxiv\.org:|arxiv:|https?://(?:\w{1,20}\.)?arxiv\.org/\w{1,5}/)?"
    r"(\d{4}\.\d{4,5}|[a-z-]{2,20}(?:\.[a-z]{2})?/\d{7})(?:v\d{1,3})?(?:\.pdf)?",
    re.IGNORECASE,
)
_ACL = re.compile(r"[A-Z]\d{2}-\d{4,5}|\d{4}\.[a-z0-9_]{1,40}(?:-[a-z0-9_]{1,40})?\.\d{1,5}", re.I)
_DOI = re.compile(r"(?:doi:\s?|https?://(?:dx\.)?doi\.org/)?(10\.\d{4,9}/[!-~]{1,200})", re.I)
_FOREIGN = (("10.48550/arxiv.", "arxiv"), ("10.18653/v1/", "acl"), ("10.3115/v1/", "acl"))
_S2 = re.compile(r"\d{1,18}")


def key(scheme: str, value: Any) -> str | None:
    """Return the key of a paper; None if that is no id of the scheme.

    :param value: as a source writes it: with a version, as a URL, as a number.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return _KEYS[scheme](text) if len(text) < 300 else None


def _arxiv(text: str) -> str | None:
    match = _ARXIV.fullmatch(text)
    if match is None:
        return None
    archive, slash, number = match[1].lower().partition("/")
    return f"arxiv:{archive.partition('.')[0]}/{number}" if slash else f"arxiv:{archive}"


def _acl(text: str) -> str | None:
    match = _ACL.fullmatch(text)
    if match is None:
        return None
    return f"acl:{text.upper() if text[0].isalpha() else text.lower()}"


def _doi(text: str) -> str | None:
    match = _DOI.fullmatch(text)
    if match is None:
        return None
    doi = match[1].lower()
    for prefix, scheme in _FOREIGN:
        if doi.startswith(prefix) and (own := key(scheme, doi.removeprefix(prefix))):
            return own
    return f"doi:{doi}"


def _s2(text: str) -> str | None:
    return f"s2:{text}" if _S2.fullmatch(text) else None


_KEYS = {"arxiv": _arxiv, "acl": _acl, "doi": _doi, "s2": _s2}


def keys(**ids: Any) -> tuple[str, ...]:
    """Return the keys of a paper by its ids, without those that are none, the paper's name first."""
    found = dict.fromkeys(made for scheme in SCHEMES if (made := key(scheme, ids.get(scheme))))
    return tuple(sorted(found, key=lambda made: SCHEMES.index(made.partition(":")[0])))


_URLS = {
    "arxiv": "https://arxiv.org/abs/",
    "acl": "https://aclanthology.org/",
    "doi": "https://doi.org/",
    "s2": "https://api.semanticscholar.org/CorpusID:",
}


def url_of(name: str) -> str | None:
    """Return the web address of a key; None if it is none."""
    scheme, _, value = name.partition(":")
    return _URLS[scheme] + value if scheme in _URLS else None


# -- licences --------------------------------------------------------------------------------------

ARXIV_METADATA = "CC0-1.0"
S2 = "ODC-By-1.0"
SCISUMMNET = "CC-BY-4.0"
_CC = re.compile(r"creativecommons\.org/licenses/(by(?:-nc)?(?:-sa|-nd)?)/(\d\.\d)")
_OTHERS = {
    "creativecommons.org/publicdomain/zero/1.0": "CC0-1.0",
    "creativecommons.org/publicdomain/mark/1.0": "CC-PDM-1.0",
    "creativecommons.org/licenses/publicdomain": "CC-PDDC",
    "arxiv.org/licenses/nonexclusive-distrib/1.0": "LicenseRef-arXiv-nonexclusive-distrib-1.0",
}


def license_of_url(url: Any) -> str | None:
    """Return the SPDX identifier of a licence by its address."""
    if not isinstance(url, str):
        return None
    if match := _CC.search(url):
        return f"CC-{match[1].upper()}-{match[2]}"
    return next((name for part, name in _OTHERS.items() if part in url), None)


def license_of_acl(name: str, year: int | None = None) -> str:
    """Return the licence of a paper of the ACL Anthology: another one before 2016.

    :param name: its key, which begins with the year.
    :param year: the year, for a paper whose key is none of the Anthology's.
    """
    if match := re.match(r"acl:(\d{4})\.|acl:[A-Z](\d\d)-", name):
        year = int(match[1] or match[2])
        year += 0 if match[1] else 1900 if year > 50 else 2000
    return "CC-BY-NC-SA-3.0" if year is not None and year < 2016 else "CC-BY-4.0"


def both(first: str, second: str) -> str:
    """Return the licence of a record that is made of two texts; CC0 asks for nothing."""
    if second in (first, ARXIV_METADATA):
        return first
    return second if first == ARXIV_METADATA else f"{first} AND {second}"
