"""A static encoder: a text's vector is the mean of its word pieces' vectors, made unit length.

No attention, no layers: training takes seconds and encoding tens of thousands of texts a second on a
CPU. It is saved as sentence-transformers saves a `StaticEmbedding` with a `Normalize` behind it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.shards import write_bytes

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

_ENCODE_BATCH = 8192
_WEIGHTS = "embedding.weight"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids of n texts, end to end.

    :param ids: int32 [total].
    :param offsets: int64 [n + 1]; text i has the ids `ids[offsets[i]:offsets[i + 1]]`.
    """

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def bags(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids of some texts, int64 [sum of lengths], and where each begins, int64 [n]."""
        import torch

        lengths = self.offsets[rows + 1] - self.offsets[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        places = np.arange(starts[-1]) + np.repeat(self.offsets[rows] - starts[:-1], lengths)
        return torch.from_numpy(self.ids[places].astype(np.int64)), torch.from_numpy(starts[:-1])


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> Tokens:
    """Tokenise texts in threads; no special tokens are added."""
    pieces: list[np.ndarray] = []
    lengths = [np.zeros(1, np.int64)]
    for start in range(0, len(texts), _ENCODE_BATCH):
        batch = list(texts[start : start + _ENCODE_BATCH])
        found = [encoding.ids for encoding in tokenizer.encode_batch_fast(batch, False, False)]
        lengths.append(np.array([len(ids) for ids in found], np.int64))
        pieces.append(np.concatenate([np.array(ids, np.int32) for ids in found]))
    ids = np.concatenate(pieces) if pieces else np.zeros(0, np.int32)
    return Tokens(ids, np.cumsum(np.concatenate(lengths)))


@cache
def _mean_of_bags() -> Any:
    """Return the mean of the vectors of each bag, differentiable; torch is imported on first use."""
    import torch
    from torch.nn.functional import embedding_bag

    class MeanOfBags(torch.autograd.Function):
        """`embedding_bag(mode="mean")` with a backward pass that is an `embedding_bag` itself.

        The gradient of a token's vector is the sum over the bags that hold it: with the ids sorted,
        these are bags of bags. On a CPU that is several times faster than torch's own backward pass,
        and sums in a fixed order.
        """

        @staticmethod
        def forward(
            context: Any, weights: torch.Tensor, ids: torch.Tensor, starts: torch.Tensor
        ) -> torch.Tensor:
            context.save_for_backward(ids, starts)
            context.shape = weights.shape
            return embedding_bag(ids, weights, starts, mode="mean")

        @staticmethod
        def backward(context: Any, *gradients: torch.Tensor) -> Any:
            ids, starts = context.saved_tensors
            (gradient,) = gradients
            lengths = torch.diff(starts, append=torch.tensor([len(ids)]))
            bags = torch.repeat_interleave(torch.arange(len(starts)), lengths)
            shares = gradient / lengths.clamp(min=1)[:, None]
            ordered, order = torch.sort(ids, stable=True)
            tokens, counts = torch.unique_consecutive(ordered, return_counts=True)
            begins = torch.cumsum(counts, 0) - counts
            result = torch.zeros(context.shape)
            result[tokens] = embedding_bag(bags[order], shares, begins, mode="sum")
            return result, None, None

    return MeanOfBags


def embed(weights: torch.Tensor, tokens: Tokens, rows: np.ndarray) -> torch.Tensor:
    """Return the unit vectors of some texts, float32 [len(rows), d]; zeros for a text of no tokens.

    :param weights: the vector of each token, float32 [vocabulary, d].
    """
    from torch.nn import functional

    ids, starts = tokens.bags(rows)
    return functional.normalize(_mean_of_bags().apply(weights, ids, starts), dim=1)


class StaticEncoder:
    """A tokenizer and a table of vectors."""

    def __init__(self, tokenizer: Tokenizer, weights: torch.Tensor) -> None:
        """:param weights: float32 [vocabulary, d]."""
        if len(weights) != tokenizer.get_vocab_size():
            raise ValueError(
                f"{len(weights)} vectors for {tokenizer.get_vocab_size()} tokens: the tokenizer is "
                "not the one that the vectors were trained with"
            )
        self.tokenizer = tokenizer
        self.weights = weights
        self.dimension = weights.shape[1]

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors, float32 [len(texts), d]."""
        import torch

        tokens = tokenize(self.tokenizer, texts)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), _ENCODE_BATCH):
                rows = np.arange(start, min(start + _ENCODE_BATCH, len(texts)))
                vectors[rows] = embed(self.weights, tokens, rows).numpy()
        return vectors

    encode_passages = encode_queries

    def save(self, folder: Path) -> None:
        """Write a folder that `SentenceTransformer(folder)` loads."""
        from safetensors.torch import save_file

        inner = folder / "0_StaticEmbedding"
        inner.mkdir(parents=True, exist_ok=True)
        (folder / "1_Normalize").mkdir(exist_ok=True)
        save_file({_WEIGHTS: self.weights.contiguous()}, inner / "model.safetensors")
        self.tokenizer.save(str(inner / "tokenizer.json"))
        modules = [("0_StaticEmbedding", "StaticEmbedding"), ("1_Normalize", "Normalize")]
        listed = [
            {
                "idx": index,
                "name": str(index),
                "path": path,
                "type": f"sentence_transformers.models.{name}",
            }
            for index, (path, name) in enumerate(modules)
        ]
        config: dict[str, Any] = {
            "similarity_fn_name": "cosine",
            "prompts": {},
            "default_prompt_name": None,
        }
        write_bytes(folder / "modules.json", json.dumps(listed, indent=1).encode())
        write_bytes(
            folder / "config_sentence_transformers.json", json.dumps(config, indent=1).encode()
        )

    @classmethod
    def load(cls, folder: Path) -> StaticEncoder:
        """Read what `save`, or sentence-transformers, wrote."""
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        module = json.loads((folder / "modules.json").read_bytes())[0]
        inner = folder / str(module["path"])
        tokenizer = Tokenizer.from_file(str(inner / "tokenizer.json"))
        tokenizer.no_padding()
        return cls(tokenizer, load_file(inner / "model.safetensors")[_WEIGHTS])
