"""A server that counts: what it read, what it wrote, and how often each request came."""

import hashlib
import json
import random
import re
from collections import Counter

from aiohttp import web

from tests.llm.serving import completion, error, prompt_of, serving

TOKEN = re.compile(r"\w{1,4}|[^\w\s]|\s+")


def count_tokens(text):
    """Count tokens by a rule of the server's own."""
    return len(TOKEN.findall(text))


class Priced:
    """Answers with texts of many lengths, now and then cut off, and tells the tokens.

    :param tokenizes: whether it offers to tokenize.
    :param added: tokens that it reads besides the prompt.
    """

    def __init__(self, tokenizes=True, added=0):
        self.tokenizes, self.added = tokenizes, added
        self.came = Counter()
        self.read = self.written = 0

    def __call__(self, path, body):
        if path.endswith("/tokenize"):
            text = body["content"]
            found = {"tokens": list(range(count_tokens(text)))}
            return web.json_response(found) if self.tokenizes else error(404, "no such path")
        if "seed" not in body:  # the client finds out what the server can do
            return json.dumps({"word": "quokka"})
        properties = body["response_format"]["json_schema"]["schema"]["properties"]
        self.came[json.dumps(body, sort_keys=True)] += 1
        prompt = prompt_of(body)
        draw = random.Random(hashlib.blake2b(f"{prompt}{body['seed']}".encode()).digest())
        words = re.findall(r"[a-z]{3,}", prompt)[-60:]
        query = " ".join(draw.choices(words, k=draw.randint(3, 20)))
        text = json.dumps({"task": properties["task"]["enum"][0], "query": query})
        finish = "stop"
        if draw.random() < 0.2:
            text, finish = text[:-6], "length"
        made = completion(text, finish, chat="messages" in body)
        read, written = count_tokens(prompt) + self.added, count_tokens(text)
        made["usage"] = {"prompt_tokens": read, "completion_tokens": written}
        self.read += read
        self.written += written
        return made

    def serving(self):
        """Serve, from `with` to its end."""
        return serving(self)
