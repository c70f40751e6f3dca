"""An embedding endpoint as a model of the recipe: a folder that says where it is and how it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from curate.encode.description import describe
from curate.schema import Kind
from curate.servers import check_key_variable, check_url
from curate.stage import Build, Built, Context, Inputs, execution


class EndpointModel(Build):
    """Name an OpenAI-compatible embedding endpoint as an encoder.

    It is asked when a stage encodes; equal texts are asked once, and every vector is recorded in the
    store before it is used, so no run pays for a text twice. A vector belongs to the name of the model,
    not to the URL: give another model another name. The key is read from the environment and is written
    nowhere.
    """

    name = "encode.endpoint"
    takes: ClassVar[tuple[Kind, ...]] = ()

    model: str = Field(..., min_length=1, examples=["text-embedding-3-small"])
    """The name that the endpoint knows the model by."""
    dimension: int = Field(..., ge=1, examples=[1536])
    """The length of its vectors; other answers are refused."""
    shorten: bool = False
    """Ask for vectors of this dimension where the model could give longer ones."""
    query_prefix: str = ""
    """What the model expects before a query, such as `query: `."""
    passage_prefix: str = ""
    """What the model expects before a passage."""
    max_chars: int = Field(8000, ge=1)
    """Characters that are sent of a text; endpoints refuse texts beyond their limit in tokens."""
    url: str = execution("https://api.openai.com/v1")
    """Where the endpoint is: what comes before `/embeddings`."""
    key_variable: str = execution("OPENAI_API_KEY")
    """The environment variable that holds the key; it may be unset for a server that asks for none."""
    batch: int = execution(64, ge=1)
    """Texts in one request, at most."""
    batch_chars: int = execution(100_000, ge=1)
    """Characters in one request, at most, unless a single text has more."""
    concurrency: int = execution(8, ge=1)
    """Requests at a time."""
    retries: int = execution(8, ge=0)
    """How often a request is repeated that was refused for the moment (408, 409, 429, 5xx), that found
    no connection or was answered in part, after a pause that doubles or that the endpoint asked for."""
    timeout: float = execution(120.0, gt=0)
    """Seconds that a request may take."""

    def check(self) -> None:
        """Refuse a URL that is none, or that holds what must not be stored."""
        check_url("url", self.url)
        check_key_variable("key_variable", self.key_variable)

    @property
    def identity(self) -> str:
        """What identifies its vectors."""
        return f"{self.model}, {self.dimension}" if self.shorten else self.model

    def build(self, inputs: Inputs, folder: Path, context: Context) -> Built:
        """Write the description."""
        describe(folder, "endpoint", self.model_dump(mode="json", exclude={"from_"}))
        return Built(0, 0)
