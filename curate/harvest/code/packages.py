"""What a package says of itself: name, version, licence and address, by manifest or licence text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import PurePosixPath
from typing import Any

from curate.harvest.code.definitions import plain
from curate.harvest.text.spdx import is_license_file, license_of_texts, spdx

MAX_MANIFEST_BYTES = 1 << 20
"""A longer manifest or licence text says nothing."""
_MAX_CHARS = 500


@dataclass(frozen=True, slots=True)
class Package:
    """What all records of one package share.

    :param license: an SPDX expression; None if it states none.
    """

    name: str | None = None
    version: str | None = None
    license: str | None = None
    url: str | None = None


def is_manifest(path: str) -> bool:
    """Tell whether a file says something of its package: a manifest or a licence text."""
    name = _name(path)
    return name in _READERS or is_license_file(name)


def package_of(files: Mapping[str, bytes]) -> Package:
    """Read the manifests and licence texts of one package.

    :param files: contents by path; of two that say the same thing, the one further up counts.
    """
    stated: list[Package] = []
    for name, reader in _READERS.items():
        paths = (path for path in files if _name(path) == name)
        for path in sorted(paths, key=_by_depth):
            try:
                stated.append(reader(files[path].decode("utf-8", "replace")))
            except (ValueError, TypeError, AttributeError, RecursionError):
                continue  # a broken manifest says nothing
    texts = [data for path, data in files.items() if is_license_file(_name(path))]
    stated.append(Package(license=license_of_texts(texts)))
    return merged(stated)


def merged(stated: Iterable[Package]) -> Package:
    """Join what several manifests say: the first that says it counts."""
    held = list(stated)

    def first(part: str) -> str | None:
        values = (getattr(package, part) for package in held)
        return next(
            (plain(v.strip()) for v in values if v and 0 < len(v.strip()) < _MAX_CHARS), None
        )

    return Package(first("name"), first("version"), first("license"), first("url"))


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _by_depth(path: str) -> tuple[int, str]:
    return len(PurePosixPath(path).parts), path


# --- metadata of Python distributions -------------------------------------------------------------

_HOME = ("homepage", "home", "documentation", "repository", "source", "source code")
_LICENSE_CHARS = 64


def normal_name(name: str) -> str:
    """Normalise a distribution's name (PyPA: name normalisation)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def stated_license(meta: Message) -> str | None:
    """Return the SPDX expression, else a short `License` field, else the classifiers."""
    expression = meta.get("License-Expression")
    if expression:
        return str(expression)
    named = str(meta.get("License") or "").strip()
    if named and named != "UNKNOWN" and "\n" not in named and len(named) <= _LICENSE_CHARS:
        return named
    return " AND ".join(_classified(meta)) or None


def _classified(meta: Message) -> list[str]:
    classifiers = [str(value) for value in meta.get_all("Classifier") or []]
    return [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]


def home_page(meta: Message) -> str | None:
    """Return the home page, else the first of the project's web addresses."""
    urls: dict[str, str] = {}
    for value in meta.get_all("Project-URL") or []:
        label, _, url = str(value).partition(",")
        urls.setdefault(label.strip().lower(), url.strip())
    return _page([str(meta.get("Home-page") or "")], urls)


def _page(first: list[str], urls: Mapping[str, str]) -> str | None:
    """Return the best web address: the first ones, then by their labels, then any."""
    found = [*first, *(urls.get(label, "") for label in _HOME), *urls.values()]
    return next((url for url in found if url.startswith(("https://", "http://"))), None)


def _metadata(text: str) -> Package:
    meta = message_from_string(text)
    if not meta["Name"]:
        return Package()
    stated = [stated_license(meta), *_classified(meta)]
    known = next(filter(None, map(spdx, filter(None, stated))), None)
    return Package(
        normal_name(str(meta["Name"])), str(meta["Version"] or ""), known, home_page(meta)
    )


# --- other manifests ------------------------------------------------------------------------------


def _pyproject(text: str) -> Package:
    data = tomllib.loads(text)
    project = data.get("project") or data.get("tool", {}).get("poetry") or {}
    stated = project.get("license")
    stated = stated.get("text") if isinstance(stated, dict) else stated
    urls = {str(k).lower(): _text(url) for k, url in (project.get("urls") or {}).items()}
    address = _page([_text(project.get("homepage")), _text(project.get("repository"))], urls)
    name, version = _text(project.get("name")), _text(project.get("version"))
    return Package(normal_name(name), version, spdx(_text(stated)), address)


def _cargo(text: str) -> Package:
    package = tomllib.loads(text).get("package") or {}
    stated = _text(package.get("license")).replace("/", " OR ")
    address = web_address(_text(package.get("repository")))
    name, version = _text(package.get("name")), _text(package.get("version"))
    return Package(name, version, spdx(stated), address)


def _package_json(text: str) -> Package:
    """Read `package.json` of npm or `composer.json` of PHP."""
    data = json.loads(text)
    stated = data.get("license") or data.get("licenses")
    stated = stated[0] if isinstance(stated, list) and stated else stated
    stated = stated.get("type") if isinstance(stated, dict) else stated
    places = data.get("repository"), data.get("homepage")
    addresses = [p.get("url") if isinstance(p, dict) else p for p in places]
    address = next(filter(None, (web_address(_text(a)) for a in addresses)), None)
    return Package(
        _text(data.get("name")), _text(data.get("version")), spdx(_text(stated)), address
    )


_MODULE = re.compile(r"^module[ \t]+\"?([\w./~-]{1,300})", re.MULTILINE)


def _go_mod(text: str) -> Package:
    found = _MODULE.search(text)
    if found is None:
        return Package()
    path = found.group(1)
    host = path.partition("/")[0]
    return Package(path, url=f"https://{path}" if "." in host else None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_READERS: dict[str, Callable[[str], Package]] = {
    "METADATA": _metadata,
    "PKG-INFO": _metadata,
    "pyproject.toml": _pyproject,
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "composer.json": _package_json,
    "go.mod": _go_mod,
}
"""How to read each manifest; the first that states a thing counts."""

_SCP = re.compile(r"(?:ssh://)?git@([\w.-]+)[:/](.+)", re.DOTALL)
_SHORT = re.compile(r"(?:github:)?([\w-]+/[\w.-]+)")
_ADDRESS = re.compile(
    r"(?:git\+)?(?:https?|git|ssh)://(?:[^/@\s]*@)?([\w.-]+(?::\d+)?)(/[^\s?#]*)?"
)


def web_address(remote: str) -> str | None:
    """Return the web page of a repository's address, without user names, passwords and `.git`."""
    remote = remote.strip()
    if found := _SCP.fullmatch(remote):
        host, path = found.group(1), "/" + found.group(2)
    elif found := _ADDRESS.match(remote):
        host, path = found.group(1), found.group(2) or ""
    elif found := _SHORT.fullmatch(remote):
        host, path = "github.com", "/" + found.group(1)
    else:
        return None
    address = f"https://{host}{path.rstrip('/').removesuffix('.git')}"
    return plain(address) if len(address) < _MAX_CHARS else None
