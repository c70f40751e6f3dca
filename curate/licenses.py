"""Which licences a recipe takes: allowed and denied by name, before anything else sees a record.

    licenses: {deny: ["*-NC-*", NOASSERTION]}

Licences are SPDX identifiers where there is one (`CC-BY-SA-4.0`); `NOASSERTION`, SPDX's word for it, is
the licence of what states none.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict

NOASSERTION = "NOASSERTION"


class Licenses(BaseModel):
    """The licences that may pass; by default all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: tuple[str, ...] = ()
    """Globs of the licences to keep, `*` for any text; none means all. Case does not matter."""
    deny: tuple[str, ...] = ()
    """Globs of the licences to drop, also where `allow` names them."""

    @property
    def any(self) -> bool:
        """Tell whether every licence passes."""
        return not self.allow and not self.deny

    def refusal(self, license: str | None) -> str | None:  # noqa: A002  (the record's own name)
        """Return why a licence does not pass; None if it does."""
        name = (license or NOASSERTION).casefold()
        for pattern in self.deny:
            if fnmatchcase(name, pattern.casefold()):
                return f"{license or NOASSERTION} is denied by {pattern!r}"
        if self.allow and not any(fnmatchcase(name, p.casefold()) for p in self.allow):
            return f"{license or NOASSERTION} is not among the allowed: {', '.join(self.allow)}"
        return None
