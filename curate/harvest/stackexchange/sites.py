"""The sites of Stack Exchange: their names, hosts, languages, and the licences of their posts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from curate.harvest.reading.files import File

_OWN_HOSTS = {
    "stackoverflow": "stackoverflow.com",
    "serverfault": "serverfault.com",
    "superuser": "superuser.com",
    "askubuntu": "askubuntu.com",
    "mathoverflow": "mathoverflow.net",
    "stackapps": "stackapps.com",
    "meta": "meta.stackexchange.com",
}
_SUFFIXES = (".stackexchange.com", ".com", ".net")
_FOREIGN = re.compile(r"(es|pt|ru|ja)\.(?:meta\.)?stackoverflow\.com")
_LANGUAGES = {
    "rus": "ru",
    "portuguese": "pt",
    # Sites about a language are written in it and in English by turns.
    **dict.fromkeys(("chinese", "esperanto", "french", "german", "italian", "korean", "latin")),
    **dict.fromkeys(("spanish", "ukrainian")),
}
_ODD = re.compile(r"[^a-z0-9.-]+")
_ARCHIVE = re.compile(r"(?:-(?:Posts|PostLinks))?\.(?:7z|zip)$", re.IGNORECASE)
_DATE = re.compile(r"[-_.](?:19|20)\d\d(?:[-_.]?\d\d){0,2}$")
_DAY = re.compile(r"[12]\d\d\d-[01]\d-[0-3]\d")
_LICENSES = (("2011-04-08", "CC-BY-SA-2.5"), ("2018-05-02", "CC-BY-SA-3.0"), ("", "CC-BY-SA-4.0"))
_MAX_LICENSE_CHARS = 64


@dataclass(frozen=True, slots=True)
class Site:
    """A site of which there is a dump.

    :param place: the folder or archive of its tables: no two dumps have the same.
    :param host: where its posts are to be found (`ai.stackexchange.com`).
    """

    place: str
    host: str

    @property
    def source(self) -> str:
        """Return its short name as the source of records."""
        return source_of(self.host)


@lru_cache(maxsize=1024)
def source_of(host: str) -> str:
    """Return the short name of a site as the source of records: `stackexchange/ai`."""
    suffix = next((s for s in _SUFFIXES if host.endswith(s)), "")
    return f"stackexchange/{host.removesuffix(suffix)}"


@lru_cache(maxsize=1024)
def language_of(host: str, default: str | None) -> str | None:
    """Return the language of a site; None if it is of several."""
    foreign = _FOREIGN.fullmatch(host)
    return foreign[1] if foreign else _LANGUAGES.get(host.partition(".")[0], default)


def is_links(file: File) -> bool:
    """Tell whether a table is PostLinks rather than Posts."""
    return "postlinks" in (file.member or PurePosixPath(file.name).name).lower()


def site_of(file: File, hosts: Mapping[str, str]) -> Site:
    """Tell the site of a table by the name of its folder or archive.

    :param hosts: hosts by the names of folders and archives, where the names do not tell them.
    """
    if file.member is None:
        place = PurePosixPath(file.name).parent
        name = place.name or file.path.resolve().parent.name
    else:
        place = PurePosixPath(file.name.removesuffix(f"/{file.member}"))
        place = place.with_name(_ARCHIVE.sub("", place.name))
        name = place.name
    host = hosts.get(name) or _host(_DATE.sub("", name.lower()))
    return Site(str(place).encode("utf-8", "replace").decode(), host)


def _host(name: str) -> str:
    """Return the host of a site's name, with or without its domain."""
    name = _ODD.sub("-", name)
    if name.endswith(_SUFFIXES):
        return name
    return _OWN_HOSTS.get(name) or f"{name}.stackexchange.com"


def license_of(stated: str | None, created: str | None, default: str) -> str:
    """Return the SPDX identifier of a post's licence.

    By what the post states, else by the day of its creation
    (https://stackoverflow.com/help/licensing).

    :param stated: its attribute ContentLicense, such as `CC BY-SA 4.0`.
    :param created: its attribute CreationDate, such as `2014-01-21T20:26:05.383`.
    :param default: the licence of what has neither.
    """
    if stated and len(stated) <= _MAX_LICENSE_CHARS:
        return stated.replace(" ", "-")
    return _license_on((created or "")[:10]) or default


@lru_cache(maxsize=16_384)
def _license_on(day: str) -> str | None:
    if not _DAY.fullmatch(day):
        return None
    return next(name for before, name in _LICENSES if not before or day < before)
