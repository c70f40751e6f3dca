"""A language model that answers from hashes: an input to tests of what uses one, at no cost."""

import hashlib
import json
import random
import re

from curate.llm.base import Chosen, Generated, Scored


class MadeModel:
    """Answers any request at once, always the same way; counts what it was asked."""

    def __init__(self):
        self.calls = 0

    def generate(self, requests):
        """Fill the schema with words of the prompt; about one answer in ten is cut off."""
        for index, request in enumerate(requests):
            self.calls += 1
            draw = _random(repr(request))
            words = re.findall(r"\w+", str(request.prompt)[-400:]) or ["nothing"]
            text = json.dumps(_fill(json.loads(request.schema), draw, words))
            cut = draw.random() < 0.1
            yield (
                index,
                Generated(text[:-5] if cut else text, "length" if cut else "stop", len(words), 9),
            )

    def score(self, requests):
        """Take a number of nats for each word."""
        for index, request in enumerate(requests):
            self.calls += 1
            tokens = len(request.continuation.split()) or 1
            nats = _random(request.prompt + request.continuation).uniform(0.5, 6)
            yield index, Scored(-nats * tokens, tokens, len(request.prompt.split()))

    def choose(self, requests):
        """Give each label a share."""
        for index, request in enumerate(requests):
            self.calls += 1
            draw = _random(request.prompt)
            shares = [draw.random() + 0.01 for _ in request.labels]
            probabilities = tuple(share / sum(shares) for share in shares)
            yield index, Chosen(probabilities, len(request.prompt.split()))


def _random(text: str) -> random.Random:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest()
    return random.Random(digest)


def _fill(schema: dict, draw: random.Random, words: list[str]) -> object:
    if "enum" in schema:
        return draw.choice(schema["enum"])
    if schema["type"] == "object":
        return {name: _fill(part, draw, words) for name, part in schema["properties"].items()}
    if schema["type"] == "array":
        return [_fill(schema["items"], draw, words) for _ in range(schema.get("minItems", 1))]
    if schema["type"] == "integer":
        return draw.randint(schema.get("minimum", 0), schema.get("maximum", 9))
    return " ".join(draw.choices(words, k=draw.randint(2, 8)))
