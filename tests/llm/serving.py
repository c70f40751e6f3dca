"""Servers on loopback for tests: one that answers at once, and a proxy that injects faults."""

import asyncio
import json
import random
import threading
import time
from collections import Counter

import aiohttp
from aiohttp import web

from curate.llm.settings import LLM

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"query": {"type": "string", "maxLength": 60}},
        "required": ["query"],
        "additionalProperties": False,
    }
)
FORCED = {"word": "quokka"}  # what the probe of a schema allows only


class Serving:
    """An aiohttp application in a thread of its own, from `with` to its end.

    :param handle: a coroutine that answers a POST.
    """

    def __init__(self, handle):
        self.handle = handle
        self.loop = asyncio.new_event_loop()

    def __enter__(self):
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.url = self._run(self._start())
        return self

    def __exit__(self, *error):
        self._run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def _start(self):
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/{path:.*}", self.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _end(self):
        await self._runner.cleanup()

    def llm(self, **settings):
        """Return settings that name this server."""
        return LLM(backend="openai", model="made", url=self.url, **settings)

    def model(self, **settings):
        """Open a client of this server."""
        return self.llm(**settings).open()


def completion(text, finish="stop", chat=False, **choice):
    """Return a completion as servers write it."""
    part = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "choices": [{"index": 0, "finish_reason": finish, **part, **choice}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def error(status, message, **more):
    """Return an error as servers write it."""
    return web.json_response({"error": {"message": message, **more}}, status=status)


def prompt_of(body):
    """Return the text, or the last turn, of a request."""
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


def made_answer(body):
    """Return the text that answers a request: of its schema if it has one."""
    if "response_format" not in body:
        return f"answer to {prompt_of(body)[-40:]}"
    properties = body["response_format"]["json_schema"]["schema"]["properties"]
    return json.dumps(FORCED if "word" in properties else {"query": prompt_of(body)[-40:]})


async def answer_at_once(request):
    """Answer any request, always the same way."""
    body = await request.json()
    return web.json_response(completion(made_answer(body), chat="messages" in body))


def serving(reply):
    """Serve what a plain function makes of (path, body): a response, or a text to complete with."""

    async def handle(request):
        body = await request.json()
        made = reply(request.path, body)
        if isinstance(made, str):
            return web.json_response(completion(made, chat="messages" in body))
        return web.json_response(made) if isinstance(made, dict) else made

    return Serving(handle)


REPLIES = {
    "429": lambda: web.Response(status=429, headers={"Retry-After": "0.02"}, text="slow down"),
    "500": lambda: error(500, "out of memory"),
    "drop": web.Response,
    "refusal": lambda: error(400, "this cannot be answered", code="content_filter"),
}


class Faults:
    """A proxy that passes requests on to a server, but to each fault a share of them.

    It remembers the requests by their bodies: how often each came, and which were answered.

    :param share: of the requests, for each of `kinds`; a request is never treated so twice.
    """

    KINDS = ("429", "500", "drop", "lost", "slow", "cut", "malformed")
    """`lost` is answered by the server, but the connection breaks before that is told."""
    OF_ANSWERS = ("cut_answer", "malformed_answer", "refusal")
    """The request is answered, but not usably."""

    def __init__(self, upstream, share, slow, seed=0):
        self.upstream, self.share, self.slow = upstream, share, slow
        self.random = random.Random(seed)
        self.came, self.injected = Counter(), Counter()
        self.answered, self.again = set(), []
        self.session = None

    async def handle(self, request):
        body = await request.read()
        if b"quokka" not in body:  # a probe may be repeated by another process
            if body in self.answered:
                self.again.append(body)
            self.came[body] += 1
        began = time.monotonic()
        place = self.random.random() / self.share
        kinds = self.KINDS + self.OF_ANSWERS
        kind = kinds[int(place)] if self.came[body] == 1 and place < len(kinds) else None
        if kind is not None:
            self.injected[kind] += 1
        if kind == "drop":
            request.transport.abort()
        reply = await self.treat(request, body, kind)
        # What took long may be told after the client gave it up.
        if kind in (None, *self.OF_ANSWERS) and time.monotonic() - began < self.slow / 8:
            self.answered.add(body)
        return reply

    async def treat(self, request, body, kind):
        if kind in REPLIES:
            return REPLIES[kind]()
        if kind == "slow":
            await asyncio.sleep(self.slow)
        if self.session is None:
            self.session = aiohttp.ClientSession()
        async with self.session.post(
            self.upstream + request.path.removeprefix("/v1"), data=body, headers=request.headers
        ) as reply:
            text, status = await reply.text(), reply.status
        if kind == "lost":
            request.transport.abort()
        elif kind == "cut":
            text = text[: len(text) // 2]
        elif kind == "malformed":
            text = text.replace('"', "'", 5)
        elif kind in self.OF_ANSWERS:
            text = _worse(json.loads(text), kind)
        return web.Response(status=status, text=text, content_type="application/json")


def _worse(reply, kind):
    choice = reply["choices"][0]
    holder, name = (choice["message"], "content") if "message" in choice else (choice, "text")
    if kind == "cut_answer":
        holder[name], choice["finish_reason"] = holder[name][:-4], "length"
    else:
        holder[name] = holder[name].replace('"', "", 1)
    return json.dumps(reply)
