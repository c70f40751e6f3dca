"""Where somebody is reached: e-mail addresses and telephone numbers."""

from __future__ import annotations

import re

from curate.text.personal.masking import Pattern

_NOT_PEOPLE = frozenset(
    (*("git", "hg", "svn", "nobody"), *("noreply", "no-reply", "donotreply", "mailer-daemon"))
)
_PLACEHOLDER_DOMAIN = re.compile(
    r"(?:.*\.)?(?:example\.\w+|(?:your|my|some)?-?domain\.\w+|\w*\.?(?:example|test|invalid|local"
    r"|localhost|localdomain))|(?:foo|bar|baz|foobar|xyz|abc|acme|email|mail|host|server)\.(?:com|org|net)"
)
_NOT_DOMAINS = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "html", "js", "json"),
        *("service", "socket", "target", "timer", "mount"),
        *("dot", "sum", "mean", "reshape", "transpose", "inv"),
    )
)
"""Ends of what looks like an address: files, units of systemd, products of matrices in Python."""


def _is_email(before: str, find: str, after: str) -> bool:
    local, _, domain = find.lower().rpartition("@")
    site, _, top = domain.rpartition(".")
    return (
        local not in _NOT_PEOPLE
        and top not in _NOT_DOMAINS
        # 126.com is a domain, and the end of `content@list.10.formats` is none.
        and not (len(top) > 4 and site.rpartition(".")[2].isdecimal())
        and not _PLACEHOLDER_DOMAIN.fullmatch(domain)
    )


EMAIL = (
    Pattern(
        "email",
        r"@[A-Za-z0-9]",
        r"()((?-u:\b)[A-Za-z0-9][A-Za-z0-9._%+'-]*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+"
        r"[A-Za-z]{2,24}(?-u:\b))()",
        _is_email,
    ),
)

_COUNTRY_CODE = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2(?:1[1-8]|[2-5]\d|6[0-9]|9[0-17-9])|3(?:5\d|7[0-8]|8[0-35-79])|42[013]|5(?:0\d|9\d)"
    r"|6(?:7[02-9]|8[0-35-9]|9[0-2])|8(?:00|08|5[02356]|7[08]|8[0-368])|9(?:6[0-8]|7[0-79]|9[2-68])"
)
"""The codes that the ITU has assigned (E.164)."""


_COUNTING = "0123456789012345"


def _digits(find: str) -> str:
    return re.sub(r"[^0-9]", "", find)


def _is_nobodys(digits: str) -> bool:
    """Tell a North American number that is kept for fiction (555-0100 to 555-0199), or one made up."""
    fiction = digits[-7:-2] == "55501" or digits[-10:-7] == "555"
    return fiction or digits in _COUNTING or digits == "2147483647"


def _is_international(before: str, find: str, after: str) -> bool:
    digits = _digits(find)
    if after or re.fullmatch(r"\+\d+\.\d+", find):
        return False  # a term of a sum, or a decimal
    if not 8 <= len(digits) <= 15 or len(set(digits)) < 4 or not _COUNTRY_CODE.match(digits):
        return False
    return not _is_nobodys(digits) and (digits[0] != "1" or len(digits) == 11)


def _is_american(before: str, find: str, after: str) -> bool:
    digits = _digits(find)[-10:]
    if len(set(re.findall(r"[.-]", find[-9:]))) > 1:
        return False  # 252.227-7013
    return digits[1:3] != "11" and digits[4:6] != "11" and not _is_nobodys(digits)


def _is_told(before: str, find: str, after: str) -> bool:
    digits = _digits(find)
    return 6 <= len(digits) <= 15 and len(set(digits)) > 2 and not _is_nobodys(digits)


_NUMBER = r"[0-9](?:[ .()/-]{0,2}[0-9])"
_END = r"(?-u:\b)"
_NO_SUM = r"(^|[^0-9A-Za-z_+/=.,*^)\]-])"
PHONE = (
    Pattern(
        "phone",
        r"\+\(?[0-9]",
        rf"{_NO_SUM}(\+1(?:[ .()/-]{{0,2}}[0-9]){{10}}{_END}|\+\(?{_NUMBER}{{7,14}}{_END})(\*?)",
        _is_international,
    ),
    Pattern(
        "phone",
        r"[0-9]{3}(?:-|\.|\) ?)[0-9]{3}[-.][0-9]{4}",
        rf"{_NO_SUM}((?:\+?1[ .-])?(?:\([2-9][0-9]{{2}}\) ?|[2-9][0-9]{{2}}[.-])[2-9][0-9]{{2}}[.-]"
        rf"[0-9]{{4}}{_END})()",
        _is_american,
    ),
    Pattern(
        "phone",
        r"(?i)(?:phone|fax|mobile|t[ée]l\w*|тел\w*)[ .:]{1,3}[+(]{0,2}[0-9]|[電电][話话]",
        r"(?i)(\b(?:(?:tele)?phone|tele?|t[ée]l(?:[ée]phone)?|(?:tele)?fax|mobile|tel[ée]fon[eo]?"
        r"|тел(?:ефон)?)\b[ .:]{1,3}|[電电][話话][ :\x{ff1a}]{0,2})"
        rf"([+(]{{0,2}}{_NUMBER}{{5,14}}{_END})()",
        _is_told,
    ),
)
