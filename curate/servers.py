"""Where servers are, and where the keys to them: what settings may say of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit


def check_url(setting: str, url: str) -> None:
    """Refuse a URL that is none, or that holds what must not be stored.

    :param setting: how the recipe names it.
    :raises ValueError: saying what is wrong; a part that may be a key is not shown.
    """
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(
            f"{setting}: it may hold neither a user nor a query, as it is stored; put the key into the "
            "environment variable that `key_variable` names"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{setting}: {url!r} is no URL such as http://127.0.0.1:8000/v1")


def check_key_variable(setting: str, name: str) -> None:
    """Refuse what cannot be the name of an environment variable.

    :raises ValueError: without showing it.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(
            f"{setting}: what is given cannot be the name of an environment variable (it is not "
            "shown here, in case it is the key itself); export the key and give its name"
        )
