"""The network of a language model: tokens in lanes in, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.errors import CurateError
from curate.llm.local.lanes import ATTENTION, PROMPT, Lanes, Piece, Prefix, Step, Tokens, attend
from curate.llm.packaged import quiet_transformers

if TYPE_CHECKING:
    import torch

# Caches of one call on a CPU; activations and logits of a pass come to less.
_CPU_CACHE_BYTES = 600 << 20
# Longer passes are not faster on a CPU: its products are at full speed from about 128 tokens.
_CPU_PASS_TOKENS, _GPU_PASS_TOKENS = 2048, 16384
_LOGIT_BYTES = 200 << 20


class Network:
    """A causal transformers model whose attention is that of `Lanes`.

    :param source: a folder with a checkpoint, or a name on a model hub.
    :raises CurateError: if the model does not compute this way.
    """

    def __init__(self, source: str, device: str, dtype: torch.dtype, local: bool) -> None:
        import torch
        from transformers import AttentionInterface, AutoModelForCausalLM

        AttentionInterface.register(ATTENTION, attend)
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, attn_implementation=ATTENTION, local_files_only=local
            )
        self.device = torch.device(device)
        self.model = model.train(False).to(self.device)
        self._head = self.model.get_output_embeddings()
        self._head.forward = self._project
        self._precise = False
        self._full_weight: torch.Tensor | None = None
        config = self.model.config.get_text_config()
        self.vocabulary: int = config.vocab_size
        self.context: int | None = getattr(config, "max_position_embeddings", None)
        self.layers: int = config.num_hidden_layers
        self.layer_bytes = self._probe()
        on_cpu = self.device.type == "cpu"
        self.pass_tokens = _CPU_PASS_TOKENS if on_cpu else _GPU_PASS_TOKENS
        self.pass_logits = max(_LOGIT_BYTES // (4 * self.vocabulary), 1)

    @property
    def cache_bytes(self) -> int:
        """What the caches of one call may hold."""
        import torch

        if self.device.type == "cpu":
            return _CPU_CACHE_BYTES
        return torch.cuda.mem_get_info(self.device)[0] // 3

    def logits(self, step: Step, outputs: np.ndarray, precise: bool = False) -> torch.Tensor:
        """Compute a forward pass.

        :param outputs: which of the step's tokens to give logits for, int64 [n].
        :param precise: compute the logits themselves in float32.
        :return: [n, vocabulary].
        """
        import torch

        self._precise = precise
        with torch.inference_mode():
            result = self.model(
                input_ids=self._row(step.ids),
                position_ids=self._row(step.positions),
                logits_to_keep=torch.from_numpy(outputs).to(self.device),
                use_cache=False,
                step=step,
            )
        logits: torch.Tensor = result.logits[0]
        return logits

    def prefix(self, tokens: Tokens) -> Prefix | None:
        """Compute what prompts share; None if it is nothing."""
        if not tokens:
            return None
        lanes = Lanes(1, len(tokens), None, keep=True)
        self.logits(lanes.place([Piece(0, PROMPT, tokens, 0)]), np.empty(0, np.int64))
        held = [lanes.buffers[layer] for layer in sorted(lanes.buffers)]
        return [(keys[0, : len(tokens)], values[0, : len(tokens)]) for keys, values in held]

    def _project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Stand in for the output layer's `forward`.

        A logit near 20 is rounded to a multiple of 1/8 in bfloat16: too coarse to tell labels apart.
        """
        from torch.nn.functional import linear

        if not self._precise:
            return linear(hidden, self._head.weight, self._head.bias)
        if self._full_weight is None:
            self._full_weight = self._head.weight.float()
        bias = None if self._head.bias is None else self._head.bias.float()
        return linear(hidden.float(), self._full_weight, bias)

    def _row(self, values: np.ndarray) -> torch.Tensor:
        import torch

        return torch.from_numpy(values)[None].to(self.device)

    def _probe(self) -> int:
        """Return the bytes of one layer of one column, having seen that all layers use lanes."""
        try:
            prefix = self.prefix((0,))
        except TypeError as error:
            raise CurateError(f"{self._name()} cannot be run this way: {error}") from error
        if prefix is None or len(prefix) != self.layers:
            raise CurateError(
                f"{self._name()} has layers without attention, so its prompts cannot lie in one row; "
                "use a model that has attention in every layer"
            )
        return sum(part.nbytes for part in prefix[0])

    def _name(self) -> str:
        return type(self.model).__name__
