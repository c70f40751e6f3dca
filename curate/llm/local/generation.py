"""Text generation: many answers at a time, of which each ends when it does.

The answers to one prompt share its lane, so the prompt is computed once for all of them. When answers
end, waiting prompts take their place. Tokens that a schema leaves no choice about are not drawn; they
are computed in one pass with the token before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from curate.llm.base import Generate, Generated
from curate.llm.local.lanes import PROMPT, Lanes, Piece, Tokens, common_prefix
from curate.llm.local.network import Network
from curate.llm.local.sampling import draw, uniforms
from curate.llm.local.tokens import Tokenizer

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher

Answers = list[tuple[int, Generated]]


@dataclass(slots=True)
class _Row:
    """An answer in the making.

    :param fresh: how many of its last tokens are not computed yet.
    """

    number: int
    request: Generate
    prompt: Tokens
    draws: np.ndarray
    matcher: LLMatcher | None
    tokens: list[int] = field(default_factory=list)
    fresh: int = 0
    lane: int = -1
    branch: int = 0
    text: str = ""
    finish: Literal["stop", "length"] | None = None

    @property
    def answer(self) -> tuple[int, Generated]:
        assert self.finish is not None
        counts = len(self.prompt), len(self.tokens)
        return self.number, Generated(self.text, self.finish, *counts)


@dataclass(slots=True)
class _Job:
    """A prompt with its answers.

    :param tokens: the prompt, and what the schema makes every answer begin with.
    """

    tokens: Tokens
    rows: list[_Row]

    @property
    def room(self) -> int:
        """The most columns that it may need."""
        return len(self.tokens) + sum(row.request.sampling.max_tokens for row in self.rows)


def generate(
    network: Network,
    tokenizer: Tokenizer,
    requests: Sequence[Generate],
    prompts: Sequence[Tokens],
    batch: int,
) -> Iterator[Answers]:
    """Answer requests, `batch` at a time; yield (number of the request, answer) as they are done.

    :param prompts: the requests' prompts, at least one token each.

    :raises CurateError: if a schema cannot be followed.
    """
    jobs = _jobs(tokenizer, requests, prompts, batch)
    yield [row.answer for job in jobs for row in job.rows if row.finish]
    waiting = sorted(
        (job for job in jobs if not job.rows[0].finish), key=lambda job: job.room, reverse=True
    )
    prefix = network.prefix(common_prefix({job.tokens for job in waiting}))
    while waiting:
        # Lanes are as long as the longest needs: those that need less than half come later.
        wave = [job for job in waiting if 2 * job.room > waiting[0].room]
        waiting = waiting[len(wave) :]
        column = network.layers * network.layer_bytes
        most = max(network.cache_bytes // (wave[0].room * column), 1)
        lanes = Lanes(min(most, len(wave), batch), wave[0].room, prefix, keep=True)
        yield from _Wave(network, tokenizer, lanes, wave, batch).answers()


def _jobs(
    tokenizer: Tokenizer, requests: Sequence[Generate], prompts: Sequence[Tokens], batch: int
) -> list[_Job]:
    """Bring requests with one prompt and schema together, at most `batch` of them."""
    matchers: dict[str, LLMatcher] = {}
    jobs: dict[tuple[Tokens, str | None], _Job] = {}
    full = []
    for number, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
        matcher = None
        if request.schema is not None:
            if request.schema not in matchers:
                matchers[request.schema] = tokenizer.matcher(request.schema)
            matcher = matchers[request.schema].deep_copy()
        count = request.sampling.max_tokens
        row = _Row(number, request, prompt, uniforms(request.draw, prompt, count), matcher)
        _force(row, tokenizer)
        key = prompt + tuple(row.tokens), request.schema
        job = jobs.setdefault(key, _Job(key[0], []))
        if len(job.rows) == batch:
            full.append(job)
            job = jobs[key] = _Job(key[0], [])
        row.branch, row.fresh = len(job.rows), 0
        job.rows.append(row)
    return [*full, *jobs.values()]


class _Wave:
    """Jobs that are worked off with the same lanes."""

    def __init__(
        self, network: Network, tokenizer: Tokenizer, lanes: Lanes, jobs: list[_Job], batch: int
    ) -> None:
        self.network = network
        self.tokenizer = tokenizer
        self.lanes = lanes
        self.batch = batch
        self.waiting = jobs[::-1]
        self.free = list(range(lanes.count))[::-1]
        self.active: list[_Row] = []

    def answers(self) -> Iterator[Answers]:
        while self.waiting or self.active:
            if admitted := self._admit():
                yield self._begin(admitted)
            if self.active:
                yield self._go_on()

    def _admit(self) -> list[_Job]:
        """Give free lanes to waiting jobs, as many as may be computed together."""
        admitted: list[_Job] = []
        rows, tokens = len(self.active), 0
        while self.waiting and self.free:
            job = self.waiting[-1]
            rows += len(job.rows)
            tokens += len(job.tokens) - self.lanes.shared
            if rows > self.batch or (admitted and tokens > self.network.pass_tokens):
                break
            admitted.append(self.waiting.pop())
            lane = self.free.pop()
            self.lanes.clear(lane)
            for row in job.rows:
                row.lane = lane
        return admitted

    def _begin(self, jobs: list[_Job]) -> Answers:
        """Compute prompts and draw the first token of their answers."""
        shared = self.lanes.shared
        own = [job.tokens[shared:] for job in jobs]
        pieces = [
            Piece(job.rows[0].lane, PROMPT, tokens, shared)
            for job, tokens in zip(jobs, own, strict=True)
        ]
        logits = self._logits(pieces)
        of_job = np.repeat(np.arange(len(jobs)), [len(job.rows) for job in jobs])
        return self._take([row for job in jobs for row in job.rows], logits[of_job])

    def _go_on(self) -> Answers:
        """Compute the newest tokens of all answers in the making and draw the next ones."""
        pieces = [
            Piece(
                row.lane,
                row.branch,
                row.tokens[-row.fresh :],
                len(row.prompt) + len(row.tokens) - row.fresh,
            )
            for row in self.active
        ]
        rows, self.active = self.active, []
        return self._take(rows, self._logits(pieces))

    def _logits(self, pieces: list[Piece]) -> torch.Tensor:
        ends = np.cumsum([len(piece.tokens) for piece in pieces]) - 1
        return self.network.logits(self.lanes.place(pieces), ends)

    def _take(self, rows: list[_Row], logits: torch.Tensor) -> Answers:
        """Draw a token for each row; return the answers that end with it, and free their lanes."""
        logits = _masked(logits, rows)
        at = np.array([row.draws[len(row.tokens)] for row in rows])
        drawn = draw(logits, [row.request.sampling for row in rows], at)
        for row, token in zip(rows, drawn, strict=True):
            _append(row, token, self.tokenizer)
        self.active += [row for row in rows if not row.finish]
        busy = {row.lane for row in self.active}
        self.free += sorted({row.lane for row in rows} - busy, reverse=True)
        return [row.answer for row in rows if row.finish]


def _masked(logits: torch.Tensor, rows: list[_Row]) -> torch.Tensor:
    """Rule out what schemas do not allow."""
    import torch

    bound = [(number, row.matcher) for number, row in enumerate(rows) if row.matcher]
    if not bound:
        return logits
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

    bits = allocate_token_bitmask(len(rows), logits.shape[1])  # all allowed
    for number, matcher in bound:
        fill_next_token_bitmask(matcher, bits, number)
    allowed = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, : logits.shape[1]]
    mask = torch.from_numpy(allowed).to(logits.device)
    return logits.masked_fill(mask == 0, -torch.inf)


def _append(row: _Row, token: int, tokenizer: Tokenizer) -> None:
    """Add a drawn token to an answer, and what follows from it."""
    row.tokens.append(token)
    row.fresh = 1
    if token in tokenizer.ends:
        _finish(row, "stop", tokenizer)
        return
    if row.matcher:
        row.matcher.consume_token(token)
    _force(row, tokenizer)
    stop = row.request.stop
    if stop and row.matcher is None:
        # The stop, if it is new, is within the tokens of its bytes.
        tail = tokenizer.decode(row.tokens[-len(stop.encode()) - 4 :])
        if stop in tail:
            _finish(row, "stop", tokenizer)
            row.text = row.text.partition(stop)[0]


def _force(row: _Row, tokenizer: Tokenizer) -> None:
    """Add the tokens that the schema leaves no choice about; end the answer if it is complete."""
    limit = row.request.sampling.max_tokens
    if row.matcher and not row.matcher.is_stopped():
        forced = row.matcher.compute_ff_tokens()[: limit - len(row.tokens)]
        row.matcher.consume_tokens(forced)
        row.tokens += forced
        row.fresh += len(forced)
    if row.matcher and row.matcher.is_stopped():
        _finish(row, "stop", tokenizer)
    elif len(row.tokens) >= limit:
        _finish(row, "length", tokenizer)


def _finish(row: _Row, finish: Literal["stop", "length"], tokenizer: Tokenizer) -> None:
    row.finish = finish
    row.text = tokenizer.decode(row.tokens)
