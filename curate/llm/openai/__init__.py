"""Language models behind an OpenAI-compatible server: hosted, vLLM's, llama.cpp's."""

from curate.llm.openai.model import ServerModel
from curate.llm.openai.scoring import cannot

__all__ = ["ServerModel", "cannot"]
