"""A language model that answers files of requests within a day: OpenAI's Batch API, and others' like it.

What is asked is put into files; `settle` submits them, waits, and takes the results, so that the same,
asked again, is answered. It may be asked again by another process, a day later: the ledger knows.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock

from curate.errors import CurateError
from curate.llm.answers import key_of
from curate.llm.base import (
    Choose,
    Chosen,
    Deferred,
    Generate,
    Generated,
    LaterError,
    Score,
    Scored,
    UnansweredError,
)
from curate.llm.batch.client import ENDED, AwayError, Client, Look, UnknownError, UnsureError
from curate.llm.batch.ledger import Batch, Ledger, Noted
from curate.llm.batch.results import read_answer, read_results
from curate.llm.batch.spool import Limits, RequestFile, Sort, Spool, file_of, remove_left_behind
from curate.llm.batch.writer import Writer
from curate.llm.openai.server import Server

_GROUP = 1_000  # results in one write
_FIRST_LOOK, _LONGEST_LOOK, _SLOWER = 0.5, 60.0, 1.5  # seconds between looks, and how they grow
_AWAY = 30  # looks in a row that a server may miss: half an hour
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0  # seconds until what is not sure is looked for


class WaitingError(CurateError):
    """Batches are under way, and the run does not wait for them any longer."""

    exit_code = 5


class BatchModel(Deferred):
    """Answers from batches.

    :param model: as the server names it.
    :param identity: under which its answers are recorded.
    :param ledger: the file in which batches are noted; request files lie beside it.
    :param wait: seconds that `settle` may take before the run ends; None: any.
    :param file_requests: requests in a file, at most.
    :param file_mb: millions of bytes in a file, at most.
    :param tries: how often a request is submitted, at most.
    """

    def __init__(
        self,
        model: str,
        identity: str,
        ledger: Path,
        url: str,
        *,
        key_variable: str,
        timeout: float,
        tries: int,
        extra: dict[str, Any],
        wait: float | None,
        file_requests: int,
        file_mb: float,
    ) -> None:
        """:raises MissingExtraError: if a package is not installed."""
        self._server = Server(
            url.rstrip("/"), os.environ.get(key_variable, "").strip(), key_variable
        )
        self._identity = identity
        self._tries = tries
        self._wait = wait
        self._deadline: float | None = None
        self._client = Client(self._server, timeout, tries)
        self._writer = Writer(self._server, model, extra, timeout, tries)
        self._ledger = Ledger(ledger)
        self._folder = ledger.with_suffix("")
        self._submitting = FileLock(f"{ledger}.submit.lock")
        self._spool = Spool(self._folder, Limits(file_requests, int(file_mb * 1e6)), self._note)
        self._needed: set[str] = set()  # names of the batches that hold what was asked for
        self._reached, self._away = False, 0
        self._held = False  # because the server's queue is full
        remove_left_behind(self._folder, [batch.name for batch in self._ledger.batches()])
        self._close = weakref.finalize(self, _close, self._client, self._writer, self._ledger)

    def close(self) -> None:
        """Close connections and files."""
        self._close()

    # -- asking --------------------------------------------------------------------------

    def generate(self, requests: Sequence[Generate]) -> Iterator[tuple[int, Generated]]:
        """Yield a text for each request, once all of them are there.

        :raises LaterError: if some are not; those are put into files if they are in no batch yet.
        :raises UnansweredError: if the server answers some of them never.
        """
        keys = [key_of(self._identity, request) for request in requests]
        noted = self._ledger.find(keys, self._server.url)
        failed = {n: told for n, key in enumerate(keys) if (told := self._failure(noted.get(key)))}
        missing = [
            n
            for n, key in enumerate(keys)
            if n not in failed
            and ((at := noted.get(key)) is None or at.state in ("again", "failed"))
        ]
        self._put([(keys[n], requests[n]) for n in missing if keys[n] not in self._spool])
        waiting = {at.batch for at in noted.values() if at.state == "waiting"}
        self._needed |= waiting
        if missing or waiting:
            raise LaterError
        for n, key in enumerate(keys):
            if n not in failed:
                yield n, read_answer(noted[key].told or "")
        if failed:
            self._complain([keys[n] for n in failed], failed)

    def score(self, requests: Sequence[Score]) -> Iterator[tuple[int, Scored]]:
        """:raises CurateError: always."""
        raise CurateError(cannot(self._server.url))

    def choose(self, requests: Sequence[Choose]) -> Iterator[tuple[int, Chosen]]:
        """:raises CurateError: always."""
        raise CurateError(cannot(self._server.url))

    def recorded(self, requests: Sequence[Generate | Score | Choose]) -> None:
        """Forget answers that are recorded now."""
        self._ledger.forget([key_of(self._identity, request) for request in requests])

    def _failure(self, noted: Noted | None) -> str | None:
        """Return why a request is not submitted any more; None if it is, or need not be."""
        if noted is None or noted.state not in ("again", "failed"):
            return None
        told = noted.told or ""
        if noted.tries >= self._tries:
            return told
        if noted.state == "failed" and not self._writer.learns(told):
            return told
        return None

    def _complain(self, keys: list[str], failed: dict[int, str]) -> NoReturn:
        self._ledger.forget(keys)  # who runs again wants them to be submitted again
        last = list(failed.values())[-1]
        raise UnansweredError(
            f"{len(failed):,} requests were not answered in their batches, the last because: {last}. What"
            " was answered is kept: run again to submit those once more, or set `llm.on_failure: drop` to"
            " go on without what fails",
            failed,
        )

    def _put(self, missing: list[tuple[str, Generate]]) -> None:
        """Put requests into files."""
        if missing:
            written = self._writer.write([request for _, request in missing])
            for (key, _), (sort, body) in zip(missing, written, strict=True):
                self._spool.add(sort, key, body)

    def _note(self, sort: Sort, file: RequestFile) -> None:
        """Note a whole file as a batch to be submitted."""
        batch = Batch(
            file.name,
            self._server.url,
            self._identity,
            sort.path,
            sort.by_words,
            len(file.keys),
            time.time(),
        )
        self._ledger.note(batch, file.keys)
        self._needed.add(file.name)

    # -- submitting and waiting ----------------------------------------------------------

    def settle(self, tell: Callable[[str], None]) -> None:
        """Submit what was asked for, and wait until all of it is answered or must be submitted again.

        :param tell: is told how far it is.
        :raises WaitingError: if that takes longer than it may.
        :raises CurateError: if a batch is refused or was cancelled.
        """
        if self._deadline is None and self._wait is not None:
            self._deadline = time.monotonic() + self._wait
        self._spool.close()
        delay = _FIRST_LOOK
        while batches := self._under_way():
            self._step(batches)
            batches = self._under_way()
            if batches:
                tell(_state_of(batches))
                delay = self._pause(batches, delay)

    def _step(self, batches: list[Batch]) -> None:
        """Submit and look once. A server that was there may be away for a while."""
        try:
            self._submit(batches)
            self._look(self._under_way())
        except AwayError:
            self._away += 1
            if not self._reached or self._away > _AWAY:
                raise
        else:
            self._reached, self._away = True, 0

    def _under_way(self) -> list[Batch]:
        batches = self._ledger.batches(self._server.url)
        return [batch for batch in batches if batch.name in self._needed]

    def _pause(self, batches: list[Batch], delay: float) -> float:
        """Wait until the server is to be asked again; return how long to wait the next time."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise WaitingError(
                    f"{_state_of(batches)}: the results are not here yet; the same command, later, takes"
                    " them and goes on"
                )
            delay = min(delay, left)
        time.sleep(delay)
        return min(_LONGEST_LOOK, delay * _SLOWER)

    def _submit(self, batches: list[Batch]) -> None:
        """Submit batches that are not submitted yet; one process at a time, so that each is once."""
        if self._held or all(batch.id for batch in batches):
            return
        with self._submitting:
            for batch in self._under_way():  # another process may have submitted some meanwhile
                if batch.id is None and not self._held:
                    self._submit_one(batch)

    def _submit_one(self, batch: Batch) -> None:
        path = file_of(self._folder, batch.name)
        file_id, sent, reason = batch.file_id, batch.sent, UnsureError("")
        for attempt in range(self._tries):
            # It may be there though that was never confirmed: to this process, or to one that was killed.
            if sent and (found := self._client.find(file_id, batch.name, sent)):
                self._ledger.note_id(batch.name, found)
                return
            if not path.exists():
                self._give_up(batch, "its file is gone")
                return
            if file_id is None:
                file_id = self._client.upload(path)
                self._ledger.note_file(batch.name, file_id)
            sent = time.time()
            self._ledger.note_sent(batch.name)
            try:
                self._ledger.note_id(
                    batch.name, self._client.create(file_id, batch.endpoint, batch.name)
                )
                return
            except UnsureError as error:
                reason = error
                time.sleep(min(_LONGEST_DELAY, _FIRST_DELAY * 2**attempt))
            except CurateError:
                self._ledger.note_file(batch.name, None)
                raise
        if not reason.limited:
            raise CurateError(
                f"{self._server.url} does not take a batch ({reason}); whether it did is found out by the"
                " same command, which goes on from there"
            )
        self._hold(batch, str(reason))

    def _hold(self, batch: Batch, reason: str) -> None:
        """Submit nothing more until a batch is at its end, as the server's queue is full.

        :raises CurateError: if none is under way.
        """
        self._ledger.renew(batch.name)
        if any(other.id for other in self._under_way()):
            self._held = True
            return
        self._give_up(batch, reason)
        raise CurateError(
            f"{self._server.url} has no room for a batch of {batch.requests:,} requests ({reason}): set"
            " `llm.file_requests` lower, or run again when others' batches are done"
        )

    def _give_up(self, batch: Batch, reason: str) -> None:
        """Take back a batch that was not treated; its requests are put into others."""
        self._ledger.end(batch.name, reason, tried=False)
        file_of(self._folder, batch.name).unlink(missing_ok=True)

    def _look(self, batches: list[Batch]) -> None:
        """Ask how far batches are, and take the results of those at their end."""
        for batch in batches:
            if batch.id is None:
                continue
            try:
                look = self._client.look(batch.id)
            except UnknownError as error:
                raise CurateError(
                    f"{error}; if the batch is of another account, set its key; else delete"
                    f" {self._ledger.path} to submit again what is not answered"
                ) from None
            if look.status in ENDED:
                self._end(batch, look)
            else:
                self._ledger.note_status(batch.name, look.status, look.done)

    def _end(self, batch: Batch, look: Look) -> None:
        """Take the results of a batch; what has none is to be submitted again."""
        if look.status == "failed":
            self._refused(batch, look)
            return
        for file_id in look.files:
            group = []
            lines = self._client.lines(file_id)
            for result in read_results(self._server, lines, batch.by_words):
                group.append(result)
                if len(group) == _GROUP:
                    self._ledger.take(batch.name, group)
                    group = []
            self._ledger.take(batch.name, group)
        cancelled = look.status == "cancelled"
        left = self._ledger.end(batch.name, f"the batch is {look.status}", tried=not cancelled)
        file_of(self._folder, batch.name).unlink(missing_ok=True)
        self._held = False
        if cancelled:
            raise CurateError(
                f"the batch {batch.id} was cancelled on the server, with {left:,} of its"
                f" {batch.requests:,} requests not answered; run again to submit those once more"
            )

    def _refused(self, batch: Batch, look: Look) -> None:
        """Deal with a batch none of whose requests the server will treat."""
        if look.full:
            self._hold(batch, look.errors)
            return
        self._give_up(batch, look.errors)
        raise CurateError(
            f"{self._server.url} refuses the batch {batch.id} of {batch.requests:,} requests:"
            f" {look.errors}"
        )


def cannot(url: str) -> str:
    """Say what no batch can do, and what to use instead."""
    return (
        f"the Batch API of {url} gives no log-probabilities, so it can only `generate`: use the backend"
        " `openai` with a server that does (vLLM's), or `local`, or leave out what asks for them"
    )


def _state_of(batches: Sequence[Batch]) -> str:
    """Say what is under way, in a few words."""
    requests, done = sum(b.requests for b in batches), sum(b.done for b in batches)
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(min(b.noted for b in batches)))
    names = ", ".join(b.id or "one not submitted yet" for b in batches[:3])
    more = f" and {len(batches) - 3} others" if len(batches) > 3 else ""
    return f"{requests:,} requests wait in {names}{more} since {since}, {done:,} are treated"


def _close(client: Client, writer: Writer, ledger: Ledger) -> None:
    client.close()
    writer.close()
    ledger.close()
