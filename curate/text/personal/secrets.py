"""What opens something: private keys, tokens, passwords."""

from __future__ import annotations

import re

from curate.text.personal.masking import Pattern

_PLACEHOLDER = re.compile(
    r"(?i)example|sample|placeholder|dummy|fake|redacted|change|your|insert|replace|test|foo|bar\b|x{4}|\.{3}"
    r"|\*{3}|0{6}|1234|abcd|passw|passwd|pwd|secret|token|(?:api|access|private)_?key|none|null|true|false"
)
_EXAMPLE_JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lI"
)
_TOKENS = (
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{60,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abeoprs]-[A-Za-z0-9-]{10,}",
    r"sk-[A-Za-z0-9_-]{20,}",
    r"[rs]k_live_[A-Za-z0-9]{16,}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"hf_[A-Za-z0-9]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"pypi-[A-Za-z0-9_-]{50,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{32,}",
    r"dop_v1_[a-f0-9]{64}",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)


def _is_token(before: str, find: str, after: str) -> bool:
    return (
        len(set(find)) >= 12
        and any(map(str.isdigit, find))
        and (any(map(str.isupper, find)) or not find.startswith("sk-"))
        and not find.startswith(_EXAMPLE_JWT)
        and not re.search(r"(?i)example|xxxx|0{8}|12345678|abcdefgh", find)
    )


def _is_key(before: str, find: str, after: str) -> bool:
    body = find.split("-----")[2]
    return len(re.findall(r"[A-Za-z0-9+/=]", body)) >= 64 and not _PLACEHOLDER.search(body[:32])


def _is_password(before: str, find: str, after: str) -> bool:
    return (
        len(set(find)) >= 5
        and any(map(str.isdigit, find))
        and any(map(str.isalpha, find))
        and not _PLACEHOLDER.search(find)
    )


def _is_assigned(before: str, find: str, after: str) -> bool:
    quoted = before[-1] in "\"'`"
    # Without quotes it may be a name: `password = form.field1`.
    return _is_password(before, find, after) and (
        quoted or not re.fullmatch(r"[A-Za-z_][\w.:]*", find)
    )


SECRET = (
    Pattern(
        "secret",
        r"PRIVATE KEY",
        r"()(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:(?s:.*?)-----END [A-Z0-9 ]*PRIVATE KEY"
        r"(?: BLOCK)?-----|[A-Za-z0-9+/=\s]{64,}))()",
        _is_key,
    ),
    Pattern(
        "secret",
        "|".join(_TOKENS),
        rf"(^|[^A-Za-z0-9_])({'|'.join(_TOKENS)})()",
        _is_token,
    ),
    Pattern(
        "secret",
        r"://[^\s/:@]+:[^\s/@]+@",
        r"(://[^\s/:@\x22'<>]+:)([^\s/:@\x22'<>{}$%*]{3,})(@)",
        _is_password,
    ),
    Pattern(
        "secret",
        r"(?i)(?:passw|pwd|passphrase|secret|key|token)[\w-]*[\x22'\]]*\s*[:=]",
        r"(?i)((?:passw(?:or)?d|passwd|(?:(?-u:\b)|_)pwd|passphrase|secret|api[_-]?key|(?:access|private)[_-]?key"
        r"|(?:access|auth|api|bearer|bot)[_-]?token)(?:[_-]?(?:key|id|string|value|[0-9]))?"
        r"[\x22'\]]{0,2}\s{0,3}(?::|=|:=|=>)\s{0,3}[bru]?"
        r"[\x22'`]?)([^\s\x22'`<>(){}\[\],;$%*\\&]{8,128})()",
        _is_assigned,
    ),
)
