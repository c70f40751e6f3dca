"""What tokens cost: a small table of hosted models, which the user's own price overrides."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field

from curate.yaml12 import Loader

TABLE = Path(__file__).parent / "prices.yaml"
_MILLION = 1_000_000
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(BaseModel):
    """What tokens cost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: float = Field(ge=0)
    """USD for a million tokens of prompts."""
    completion: float = Field(ge=0)
    """USD for a million tokens of completions."""

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Return what so many tokens cost, in USD."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / _MILLION

    @property
    def nothing(self) -> bool:
        """Whether tokens cost nothing."""
        return not self.prompt and not self.completion


FREE = Price(prompt=0, completion=0)


def listed_price(model: str, url: str, *, batch: bool = False) -> Price | None:
    """Look up what a hosted model costs; None if the table does not know it.

    The price is the host's: the same model costs something else elsewhere.

    :param url: where it is asked.
    :param batch: whether it is asked by the host's Batch API.
    """
    host = _table().get(urlsplit(url).hostname or "")
    if host is None or (batch and "batch" not in host):
        return None
    listed = host["models"].get(model) or host["models"].get(_DATED.sub("", model))
    if listed is None:
        return None
    share = host["batch"] if batch else 1
    return Price(prompt=listed[0] * share, completion=listed[1] * share)


def dollars(cost: float) -> str:
    """Write an amount of money: `$12.34`, and small ones with two digits that say something."""
    if cost == 0 or cost >= 1:
        return f"${cost:,.2f}"
    return f"${cost:.2f}" if cost >= 0.1 else f"${cost:.2g}" if cost >= 1e-4 else "under $0.0001"


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.load(TABLE.read_text("utf-8"), Loader)
    return table
