"""Addresses of machines on the public internet."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from curate.text.personal.masking import Pattern

_NOBODYS_4 = tuple(
    IPv4Network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
        *("1.0.0.1", "1.1.1.1", "8.8.4.4", "8.8.8.8", "9.9.9.9", "208.67.220.0/23"),
    )
)
"""Ranges of special use (RFC 6890), multicast, reserved, and public name servers."""
_NOBODYS_6 = tuple(
    IPv6Network(network)
    for network in (
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        *("2001:4860:4860::/48", "2606:4700:4700::/48", "2620:fe::/48"),
    )
)
_COUNTING = "0123456789012345678901234567890"
_VERSION = re.compile(r"(?i)(?:version|release|build|ver|v)\W*")
_LOW, _LOWEST = 64, 12
"""Of version numbers and object identifiers all four parts are lower than the one, or the first two lower
than the other. So are those of 0.6% of addresses."""


def _is_ipv4(before: str, find: str, after: str) -> bool:
    try:
        address = IPv4Address(find)
    except ValueError:
        return False
    parts = address.packed
    if _VERSION.search(before) or max(parts) < _LOW or max(parts[:2]) < _LOWEST:
        return False
    if before.startswith("."):
        return False  # among the numbers of a drawing: `1.3 2.161.5.5 0 1`
    made_up = len(set(parts[:3])) == 1 or parts[3] == 0 or find.replace(".", "") in _COUNTING
    return not (made_up or any(address in network for network in _NOBODYS_4))


def _is_ipv6(before: str, find: str, after: str) -> bool:
    try:
        address = IPv6Address(find)
    except ValueError:
        return False
    return not any(address in network for network in _NOBODYS_6)


IP = (
    Pattern(
        "ip",
        r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
        r"(?i)((?-u:\b)(?:version|release|build|ver|v)[^0-9A-Za-z]{0,3}|\.[0-9]+[ ,-]|^|[^0-9A-Za-z_.-])"
        r"([0-9]{1,3}(?:\.[0-9]{1,5}){3,}(?-u:\b))()",
        _is_ipv4,
    ),
    Pattern(
        "ip",
        r"[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]*:",
        r"(^|[^0-9A-Za-z_:.])([23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]+(?-u:\b))()",
        _is_ipv6,
    ),
)
