"""The `vllm` backend: vLLM's engine, run by this process."""

from curate.llm.vllm.model import VllmModel

__all__ = ["VllmModel"]
