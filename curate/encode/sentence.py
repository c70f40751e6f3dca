"""Any model that `SentenceTransformer` loads, as an encoder.

A transformer's time goes into products of matrices, and into texts that are padded to the longest of
their batch. So batches are of texts of about the same length, as many as fill a budget of characters,
small enough on a CPU for the caches; and where the processor multiplies bfloat16 faster, it does.
all-MiniLM-L6-v2 on two cores with AVX-512 BF16, texts of 80 tokens: 3 times the texts a second by
bfloat16, 1.5 to 2 times more by the batches; a vector's cosine with float32's is 0.9999 or more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from curate.encode.neighbours import fast_bfloat16
from curate.errors import CurateError, MissingExtraError

# A token has about four characters, a batch about 1,000 tokens on a CPU and 32,000 on a GPU.
_BATCH_CHARS = {"cpu": 4_000, "cuda": 128_000}
_TOKEN_CHARS = 4
# No tokenizer makes less than one token of so many characters; what is beyond is cut off before.
_LONGEST_TOKEN = 100
_MANY = 1 << 16


class HowToRun(BaseModel):
    """How a model is run, as `encoder.json` says; see `encode.model` for the meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_chars: int | None = None


class SentenceEncoder:
    """A model run by sentence-transformers, with the prompts that it was saved with."""

    def __init__(self, folder: str | Path, run: HowToRun | None = None) -> None:
        """:raises MissingExtraError: if sentence-transformers is not installed.

        :raises CurateError: if the folder cannot be loaded, or the device is not there.
        """
        run = run or HowToRun()
        self.device = _device(run.device)
        self.bfloat16 = _uses_bfloat16(run.dtype, self.device)
        self.batch_chars = run.batch_chars or _BATCH_CHARS[self.device]
        self.model = _load(Path(folder), self.device)
        self.dimension = int(self.model.get_embedding_dimension() or 0)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Encode with the model's prompt for queries, if it has one."""
        return self._encode(self.model.encode_query, texts)

    def encode_passages(self, texts: Sequence[str]) -> np.ndarray:
        """Encode with the model's prompt for documents, if it has one."""
        return self._encode(self.model.encode_document, texts)

    def _encode(self, encode: Callable[..., Any], texts: Sequence[str]) -> np.ndarray:
        import torch

        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for batch in self._batches(texts):
            read = [texts[row][: self._readable] for row in batch.tolist()]
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                found = encode(
                    read, batch_size=len(read), convert_to_tensor=True, show_progress_bar=False
                )
            unit = torch.nn.functional.normalize(found.float(), dim=1)
            vectors[batch] = unit.cpu().numpy()
        return vectors

    @property
    def _readable(self) -> int:
        """How many characters of a text are handed to the tokenizer."""
        tokens = self.model.get_max_seq_length()
        return int(tokens) * _LONGEST_TOKEN if tokens and math.isfinite(tokens) else _MANY

    def _batches(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """Give the rows of the texts that are not empty, batch by batch, long texts first.

        To begin with the longest shows at once whether memory is enough.
        """
        longest = self._readable // _LONGEST_TOKEN * _TOKEN_CHARS
        rows = np.array([row for row, text in enumerate(texts) if text.strip()], np.int64)
        lengths = np.array([min(len(texts[row]), longest) for row in rows.tolist()], np.int64)
        order = np.argsort(-lengths, kind="stable")
        rows, lengths = rows[order], lengths[order]
        start = 0
        while start < len(rows):
            stop = start + max(1, self.batch_chars // int(lengths[start]))
            yield rows[start:stop]
            start = stop


def _load(folder: Path, device: str) -> Any:
    """Load a model from its folder, and from nowhere else."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise MissingExtraError("sentence-transformers", "encoders") from None
    from curate.llm.packaged import quiet_transformers

    try:
        with quiet_transformers():
            return SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CurateError(f"{folder}: sentence-transformers cannot load it: {reason}") from None


def _device(wanted: str) -> Literal["cpu", "cuda"]:
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise CurateError("device 'cuda': there is no GPU here that torch can use; use 'auto'")
    return "cuda" if there and wanted != "cpu" else "cpu"


def _uses_bfloat16(dtype: str, device: str) -> bool:
    import torch

    if dtype == "auto":
        return torch.cuda.is_bf16_supported() if device == "cuda" else fast_bfloat16()
    return dtype == "bfloat16"
