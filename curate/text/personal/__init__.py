"""Where texts hold what belongs to somebody: addresses, numbers, keys. Found by patterns and checked.

A kind of find has one pattern or several. Each has a hint, a regular expression that is fast and true of
every text with a find, so that most texts are read by hints alone. Of what a pattern finds, each
different find is checked once: checksums, ranges that are nobody's, placeholders. Patterns are in the
syntax of Rust and take linear time on any text.

| kind     | what                                                     | nobody's, and left alone         |
|----------|----------------------------------------------------------|----------------------------------|
| `email`  | addresses in ASCII                                       | example.org, noreply@, a@2x.png  |
| `phone`  | +49 30 .., (212) 555-.., and any number behind `phone:`  | 555-0100 to 555-0199             |
| `ip`     | public IPv4 and IPv6 addresses                           | private, documentation, versions |
| `card`   | payment cards: issuer, length, Luhn's check digit        | numbers that issuers test with   |
| `iban`   | bank accounts: country, length, check digits             | the registry's examples          |
| `secret` | private keys, tokens of known services, JWTs, passwords  | placeholders                     |
"""

from collections.abc import Sequence

from curate.text.personal.contacts import EMAIL, PHONE
from curate.text.personal.machines import IP
from curate.text.personal.masking import Pattern, mask, own_pattern
from curate.text.personal.money import CARD, IBAN
from curate.text.personal.secrets import SECRET

PATTERNS: dict[str, Sequence[Pattern]] = {
    "secret": SECRET,
    "email": EMAIL,
    "iban": IBAN,
    "card": CARD,
    "ip": IP,
    "phone": PHONE,
}
"""By kind, in the order in which they are sought: the surest first."""

__all__ = ["PATTERNS", "Pattern", "mask", "own_pattern"]
