"""Numbers of payment cards and bank accounts, told by their check digits."""

from __future__ import annotations

import re

from curate.text.personal.masking import Pattern

_ISSUERS = re.compile(
    r"4\d{15}|4\d{18}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[689]\d)\d{11}|62\d{14,17}"
)
_GROUPED = re.compile(
    r"\d+|(\d{4})([ -])\d{4}\2\d{4}\2\d{1,4}(?:\2\d{3})?|\d{4}([ -])\d{6}\3\d{4,5}"
)
_TEST_CARDS = frozenset(
    (
        *("4111111111111111", "4242424242424242", "4012888888881881", "4222222222222"),
        *("4000056655665556", "4000000000000002", "5555555555554444", "5105105105105100"),
        *("5200828282828210", "2223003122003222", "378282246310005", "371449635398431"),
        *("378734493671000", "6011111111111117", "6011000990139424", "3530111333300000"),
        *("3566002020360505", "30569309025904", "38520000023237", "36227206271667"),
    )
)


def _is_card(before: str, find: str, after: str) -> bool:
    digits = find.replace(" ", "").replace("-", "")
    if len(before) > 1 or after or not _GROUPED.fullmatch(find):
        return False
    if not _ISSUERS.fullmatch(digits) or digits in _TEST_CARDS:
        return False
    # Long numbers without spaces are rather counts and ids.
    return len(set(digits)) > 3 and (len(digits) < 19 or digits != find) and _luhn(digits)


def _luhn(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


CARD = (
    Pattern(
        "card",
        r"[0-9](?:[ -]?[0-9]){12}",
        r"((?-u:\b)[0-9A-F]{4} |^|[^0-9A-Za-z_.,+/=#*-])([0-9](?:[ -]?[0-9]){12,18}(?-u:\b))"
        r"((?: [0-9A-F]{4}(?-u:\b)|\.[0-9]|\*)?)",
        _is_card,
    ),
)

_IBAN_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA", 30: "JO KW MU", 31: "MT SC",
    32: "LC", 33: "RU",
}  # fmt: skip
"""Countries by the length of their account numbers (ISO 13616 registry)."""
_EXAMPLE_IBANS = frozenset(
    (
        *("GB82WEST12345698765432", "GB29NWBK60161331926819", "DE89370400440532013000"),
        *("FR1420041010050500013M02606", "CH9300762011623852957", "NL91ABNA0417164300"),
        *("BE68539007547034", "ES9121000418450200051332", "IT60X0542811101000000123456"),
        *("AT611904300234573201", "PL61109010140000071219812874", "SE4550000000058398257466"),
        *("NO9386011117947", "DK5000400440116243", "FI2112345600000785"),
        *("IE29AIBK93115212345678", "GR1601101250000000012300695", "PT50000201231234567890154"),
    )
)


def _is_iban(before: str, find: str, after: str) -> bool:
    compact = find.replace(" ", "")
    moved = compact[4:] + compact[:4]
    number = "".join(str(int(character, 36)) for character in moved)
    return compact not in _EXAMPLE_IBANS and int(number) % 97 == 1


def _iban_of(length: int, countries: str) -> str:
    groups, rest = divmod(length - 4, 4)
    tail = rf" ?[A-Z0-9]{{{rest}}}" if rest else ""
    return rf"(?:{countries.replace(' ', '|')})[0-9]{{2}}(?: ?[A-Z0-9]{{4}}){{{groups}}}{tail}"


IBAN = (
    Pattern(
        "iban",
        r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4} ?[A-Z0-9]{3}",
        rf"(^|[^0-9A-Za-z])((?:{'|'.join(_iban_of(*item) for item in _IBAN_LENGTHS.items())})(?-u:\b))()",
        _is_iban,
    ),
)
