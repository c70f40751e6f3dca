"""Text to tokens and back, and the grammars that a schema makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.llm.base import Message
from curate.llm.local.lanes import Tokens
from curate.llm.packaged import quiet_transformers, require, source_of
from curate.llm.schemas import JSON_FORM

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


def load_tokenizer(name_or_path: str) -> Tokenizer:
    """Load the tokenizer of a model, without the model.

    :param name_or_path: as for `LocalModel.load`.
    :raises CurateError: if the model, or a package that it needs, is not there.
    """
    require("transformers")
    from transformers import AutoConfig

    source, local = source_of(name_or_path)
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=local)
        return Tokenizer(source, config.get_text_config().vocab_size, local)
    except OSError as error:
        raise CurateError(f"the model {source!r} cannot be loaded: {error}") from error


class Tokenizer:
    """A model's tokenizer.

    :param source: as for `Network`.
    :param vocabulary: how many tokens the network knows; it may be more than the tokenizer does.
    """

    def __init__(self, source: str, vocabulary: int, local: bool) -> None:
        from transformers import AutoTokenizer, GenerationConfig

        with quiet_transformers():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(source, local_files_only=local)
            try:
                ends = GenerationConfig.from_pretrained(source, local_files_only=local).eos_token_id
            except OSError:  # a checkpoint need not have one
                ends = None
        self._vocabulary = vocabulary
        more = [ends] if isinstance(ends, int) else ends or []
        self.ends = sorted({*more, self._tokenizer.eos_token_id} - {None})
        start = self._tokenizer.bos_token_id
        begins = start is not None and self._tokenizer("a").input_ids[0] == start
        self._start: Tokens = (start,) if begins else ()

    def prompts(self, prompts: Sequence[str | tuple[Message, ...]]) -> list[Tokens]:
        """Tokenize texts to continue, and conversations to answer.

        :raises CurateError: if there are conversations, and the model has no form for them.
        :raises ValueError: if a prompt has no token.
        """
        texts = [p if isinstance(p, str) else self._conversation(p) for p in prompts]
        many = self.texts(texts)
        for number, (prompt, tokens) in enumerate(zip(prompts, many, strict=True)):
            if isinstance(prompt, str):
                many[number] = self._start + tokens
            if not many[number]:
                raise ValueError(f"the prompt of request {number} has no token: {prompt!r}")
        return many

    def texts(self, texts: Sequence[str]) -> list[Tokens]:
        """Tokenize texts as they are."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return [tuple(tokens) for tokens in encoded.input_ids]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def matcher(self, schema: str) -> LLMatcher:
        """Return what says which tokens may follow in JSON of a schema.

        :raises CurateError: if the schema cannot be followed.
        """
        from llguidance import LLMatcher

        try:
            grammar = LLMatcher.grammar_from_json_schema(schema, overrides=JSON_FORM)  # type: ignore[arg-type]
            matcher = LLMatcher(self._grammar_tokenizer, grammar, log_level=0)
            problem = matcher.get_error()
        except ValueError as error:
            problem = str(error)
        if problem:
            raise CurateError(
                f"this schema cannot be followed: {problem.splitlines()[0]}: {schema}"
            )
        return matcher

    @cached_property
    def _grammar_tokenizer(self) -> LLTokenizer:
        require("llguidance")
        from llguidance.hf import from_tokenizer

        return from_tokenizer(self._tokenizer, n_vocab=self._vocabulary, eos_token=self.ends)

    def _conversation(self, messages: tuple[Message, ...]) -> str:
        if not self._tokenizer.chat_template:
            raise CurateError(
                "this model has no chat template: it continues texts and answers no conversations"
            )
        turns = [{"role": message.role, "content": message.content} for message in messages]
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        return text
