"""vLLM's asynchronous engine: it batches continuously what it is asked, and shares what prompts share.

The engine runs in processes of its own, of which there are `data_parallel` groups; vLLM gives each its
GPUs, and each request to the group that has the least to do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.llm.openai.server import FailedError

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    # A process that is forked from one with threads may hang.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""What vLLM's processes are told, unless the user's environment tells them otherwise."""
_ON_CPU = {
    # To compile takes longer than it saves.
    "enforce_eager": True,
    # A prompt that is computed in parts, with a seed, ends the engine: its random numbers are taken back,
    # which torch's generator can only do on a GPU.
    "enable_chunked_prefill": False,
}
_AHEAD = 2  # requests that are under way for each that is computed, so that none is waited for
_END_SECONDS = 60.0  # that its processes have to end by themselves


class Engine:
    """A model that vLLM runs; made and used within one event loop.

    :param source: a folder with a checkpoint, or a name on a model hub.
    :param memory: the share of each GPU's memory, or of the machine's where there is no GPU, that it
        may take.
    """

    def __init__(
        self,
        source: str,
        *,
        dtype: str,
        tensor_parallel: int,
        data_parallel: int,
        max_model_len: int | None,
        memory: float,
    ) -> None:
        """:raises CurateError: if the engine does not start."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = AsyncEngineArgs(
            model=source,
            dtype=dtype,
            tensor_parallel_size=tensor_parallel,
            data_parallel_size=data_parallel,
            max_model_len=max_model_len,
            gpu_memory_utilization=memory,
            enable_prefix_caching=True,
            # The library that `local` follows schemas with.
            structured_outputs_config={"backend": "guidance"},
            # A logit near 20 is a multiple of 1/8 in bfloat16: too coarse to tell labels apart.
            hf_overrides={"head_dtype": "float32"},
            **(_ON_CPU if current_platform.is_cpu() else {}),
            disable_log_stats=True,
            use_tqdm_on_load=False,
        )
        try:
            self._engine: Any = AsyncLLM.from_engine_args(
                arguments, usage_context=UsageContext.LLM_CLASS
            )
        except (RuntimeError, ValueError, OSError, AssertionError) as error:
            raise CurateError(
                f"vLLM cannot run {source!r}: {error} (what it wrote above may say more; `llm.memory`, "
                "`llm.max_model_len`, `llm.tensor_parallel` and `llm.data_parallel` decide what it needs)"
            ) from error
        config = self._engine.vllm_config
        self.context: int = config.model_config.max_model_len
        self.limit: int = _AHEAD * config.scheduler_config.max_num_seqs * data_parallel
        self._numbers = count()

    async def complete(self, tokens: Sequence[int], sampling: SamplingParams) -> RequestOutput:
        """Continue a text.

        :raises FailedError: if the engine will not.
        :raises CurateError: if it has ended.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        prompt = {"prompt_token_ids": list(tokens)}
        last: RequestOutput | None = None
        try:
            async for output in self._engine.generate(prompt, sampling, str(next(self._numbers))):
                last = output
        except EngineDeadError:
            raise CurateError(
                "vLLM's engine ended; what it wrote above says why. What was answered is recorded: run "
                "again to go on from there"
            ) from None  # of each request under way
        except ValueError as error:
            raise FailedError(str(error)) from error
        if last is None or last.outputs[0].finish_reason not in ("stop", "length"):
            raise FailedError("vLLM ended the answer before it was whole")
        return last

    async def close(self) -> None:
        """End the engine's processes, and let its memory go."""
        self._engine.shutdown(timeout=_END_SECONDS)
        del self._engine  # at the end of Python it could not end itself
