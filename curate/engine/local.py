"""The local engine: runs a recipe on this machine, in worker processes, resuming what was begun."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from curate.account import Account
from curate.engine.expect import Expected, Sampler, expect
from curate.engine.licensing import LicenseShare, license_shares
from curate.engine.parts import (
    Job,
    JoinPieces,
    MapShard,
    ReadBlock,
    ReadPieces,
    apply_global,
    ask_about,
    make,
    start_worker,
    write_part,
)
from curate.engine.pieces import buckets_for, has_pieces, joins_of
from curate.engine.progress import PlainReporter, Reporter, default_reporter
from curate.engine.run import Run, RunLog
from curate.engine.store import (
    Artefact,
    Part,
    Store,
    folder_checksums,
    make_key,
    side_from_parts,
)
from curate.engine.usage import PeakMemory, give_back
from curate.errors import CurateError, RecipeError
from curate.llm.answers import Answers
from curate.llm.base import LanguageModel, LaterError, UnusableServerError
from curate.llm.budget import Budget
from curate.llm.collect import NoExampleError
from curate.llm.prices import dollars
from curate.llm.recorded import Recorded, Usage, unusable_counts
from curate.llm.settings import LLM
from curate.recipe import Node, Recipe, Reference
from curate.shards import (
    Manifest,
    Shards,
    Side,
    open_shard,
    open_side,
    write_bytes,
    write_manifest,
    write_shard,
)
from curate.stage import (
    MAIN,
    Ask,
    Build,
    Built,
    Global,
    Inputs,
    Joined,
    Map,
    Outcome,
    Source,
    Stage,
    Unit,
)

if TYPE_CHECKING:
    from curate.llm.batch import Batch

BATCH_ROWS = 8192
ASK_ROWS = 1024
"""Records that are handed at a time to a stage that asks: enough to fill the batches of a model, also
where it asks about few of them."""
OpenModel = Callable[[LLM], LanguageModel]
T = TypeVar("T", np.ndarray, pa.Table)


@dataclass(frozen=True, slots=True)
class Step:
    """What a run would do with one stage."""

    name: str
    stage: str
    artefact: str
    reused: bool
    parts_done: int = 0
    parts: int | None = None
    """How many parts its input has; None where that is known only when it runs."""
    licenses: tuple[LicenseShare, ...] = ()
    """The licences in a sample of a source, if the recipe does not take all."""
    asks: Expected | None = None
    """What it would ask a language model."""
    unknown: str = ""
    """Why that is not known."""
    batches: tuple[Batch, ...] = ()
    """The batches of its language model that are under way, for this stage or another."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    recipe: Recipe,
    output: Path,
    *,
    workers: int | None = None,
    batch: int = BATCH_ROWS,
    wait: bool = True,
    reporter: Reporter | None = None,
    open_model: OpenModel | None = None,
    max_cost: float | None = None,
    max_tokens: int | None = None,
) -> Run:
    """Run every stage that has no finished artefact, and return the run.

    :param output: the folder that holds the store and the runs; made if missing.
    :param workers: worker processes; by default one per core. 1 works in this process.
    :param batch: records held in memory at a time per worker.
    :param wait: wait for another run that computes the same artefact, rather than stop.
    :param open_model: loads a language model when the first question is asked that has no recorded
        answer yet.
    :param max_cost: USD that the answers of language models may cost that are not recorded yet.
    :param max_tokens: tokens that they may take, of prompts and completions together.
    :raises BusyError: if another run holds an artefact and `wait` is false.
    :raises BudgetError: if there is more to be asked than may be spent; what was answered is recorded.
    """
    # Threads that wait by spinning are 5% faster on idle cores and ten times slower on busy ones.
    # It counts only if torch is not loaded yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    store = Store(output / "store")
    reporter = reporter or default_reporter()
    budget = None
    if max_cost is not None or max_tokens is not None:
        budget = Budget(max_cost, max_tokens)
    open_model = open_model or partial(LLM.open, ledger=store.batches)
    engine = _Engine(recipe, store, workers or cores(), batch, wait, reporter, open_model, budget)
    with store.in_use(reporter.say):
        store.sweep()
        return engine.run(output)


def plan(
    recipe: Recipe, output: Path, *, probe: int = 0, open_model: OpenModel = LLM.open
) -> list[Step]:
    """Say what a run would do; reads the store, runs nothing, and writes nothing but answers to probes.

    :param probe: ask about so many requests of each stage that asks a language model, to see what its
        answers take; the run does not ask them again.
    """
    store = Store(output / "store", create=False)
    engine = _Engine(recipe, store, 1, BATCH_ROWS, False, PlainReporter(), open_model)
    return [engine.plan(node, probe) for node in recipe.nodes.values()]


@dataclass
class _Engine:
    recipe: Recipe
    store: Store
    workers: int
    batch: int
    wait: bool
    reporter: Reporter
    open_model: OpenModel = LLM.open
    budget: Budget | None = None
    keys: dict[str, str] = field(default_factory=dict)
    done: dict[str, Artefact] = field(default_factory=dict)
    units: dict[str, list[Unit]] = field(default_factory=dict)
    asked: dict[str, Usage] = field(default_factory=dict)
    pool: ProcessPoolExecutor | None = None

    # -- the whole recipe ----------------------------------------------------------------

    def run(self, output: Path) -> Run:
        self._refuse_unable()
        with RunLog(output, self.recipe) as log, self.reporter.live(), self._pool_closed():
            for node in self.recipe.nodes.values():
                self._run_stage(node, log)
        return Run(log.folder, self.recipe, dict(self.done))

    def _run_stage(self, node: Node, log: RunLog) -> None:
        name = self._artefact_name(node)
        artefact = self.store.find(name)
        started = time.monotonic()
        reused = artefact is not None
        if artefact is None:
            self.reporter.start(node.name, node.stage.help())
            with self.store.lock(name, self.wait, self.reporter.say):
                artefact = self.store.find(name)  # another run may have made it while we waited
                reused = artefact is not None
                artefact = artefact or self._make(node, name)
        seconds = time.monotonic() - started
        self.done[node.name] = artefact
        self.reporter.finish(node.name, artefact.account, seconds, reused)
        log.finished(node, artefact, seconds, reused, self.asked.get(node.name))

    def _refuse_unable(self) -> None:
        """Stop, before anything runs, if a model cannot do what a stage that would run asks of it.

        Or if what it costs is limited, but not known.

        :raises RecipeError: saying which stage it is.
        """
        asking = {
            n: node.stage for n, node in self.recipe.nodes.items() if isinstance(node.stage, Ask)
        }
        capped = self.budget is not None and self.budget.max_cost is not None
        if not any(
            stage.llm.must_be_seen(stage.needs()) or (capped and stage.llm.known_price() is None)
            for stage in asking.values()
        ):
            return
        for name, node in self.recipe.nodes.items():
            artefact = self._artefact_name(node)
            if name in asking and self.store.find(artefact) is None:
                if capped:
                    _refuse_without_price(name, asking[name].llm)
                _refuse_if_unable(name, asking[name])

    def plan(self, node: Node, probe: int = 0) -> Step:
        name = self._artefact_name(node)
        artefact = self.store.find(name)
        if artefact is not None:
            self.done[node.name] = artefact
            return Step(node.name, node.stage.name, name, reused=True)
        if isinstance(node.stage, Ask):
            _refuse_if_unable(node.name, node.stage)
            return replace(self._planned(node, name, probe), batches=self._batches(node.stage))
        return self._planned(node, name, probe)

    def _batches(self, stage: Ask) -> tuple[Batch, ...]:
        return tuple(stage.llm.batches(self.store.batches))

    def _planned(self, node: Node, name: str, probe: int) -> Step:
        """Say what a run would do with a stage that is not finished."""
        if any(r.stage is not None and r.stage not in self.done for r in node.main):
            return Step(node.name, node.stage.name, name, reused=False, unknown=self._missing(node))
        if isinstance(node.stage, Source):
            return self._plan_source(node, node.stage, name)
        if isinstance(node.stage, Build):
            return Step(node.name, node.stage.name, name, reused=False)
        names = [part for part, _ in self._part_names(node, name)]
        step = Step(node.name, node.stage.name, name, False, self._ready(names), len(names))
        if isinstance(node.stage, Ask):
            return replace(step, **self._asks(node, node.stage, name, probe))
        return step

    def _missing(self, node: Node) -> str:
        """Say which stages must run before it is known what a stage would do."""
        references = chain(node.main, *node.refs.values())
        missing = dict.fromkeys(
            r.stage for r in references if r.stage is not None and r.stage not in self.done
        )
        return f"known after {', '.join(missing)}" if missing else ""

    def _asks(self, node: Node, stage: Ask, name: str, probe: int) -> dict[str, Any]:
        """Estimate what a stage would ask: `asks`, or why that is `unknown`."""
        if missing := self._missing(node):
            return {"unknown": missing}
        inputs = self._inputs(node)
        parts = [
            index
            for part, index in self._part_names(node, name)
            if self.store.find_part(part) is None
        ]
        numbers = np.arange(len(inputs.main))
        rows = numbers[np.isin(numbers // ASK_ROWS, parts)]
        with TemporaryDirectory() as folder:
            context = LocalContext(Path(folder), cores(), self.reporter)
            fitted = stage.fit(inputs, context)
            sampler = Sampler(stage, inputs, fitted, rows, self.store.answers)
            try:
                return {"asks": expect(sampler, probe, self.open_model)}
            except NoExampleError as error:
                return {"unknown": str(error)}

    def _plan_source(self, node: Node, stage: Source, name: str) -> Step:
        licenses = () if stage.licenses.any else tuple(license_shares(stage))
        if type(stage).cut is not Source.cut:  # into parts that only reading tells
            return Step(node.name, stage.name, name, False, licenses=licenses)
        names = [_block_part(stage, name, unit) for unit in self.units[node.name]]
        ready = self._ready(names)
        return Step(node.name, stage.name, name, False, ready, len(names), licenses)

    def _ready(self, parts: list[str]) -> int:
        return sum(self.store.part_folder(part).exists() for part in parts)

    # -- keys ----------------------------------------------------------------------------

    def _artefact_name(self, node: Node) -> str:
        material: dict[str, Any] = node.stage.material()
        material["inputs"] = [self._reference_key(r) for r in node.main]
        material["refs"] = {
            name: [self._reference_key(r) for r in references]
            for name, references in node.refs.items()
        }
        if node.kind == "metrics":  # its tables name the models as the recipe does
            material["names"] = {name: [str(r) for r in rs] for name, rs in node.refs.items()}
        if isinstance(node.stage, Source):
            self.units[node.name] = node.stage.units()
            material["units"] = [[u.name, u.fingerprint] for u in self.units[node.name]]
        self.keys[node.name] = folder = make_key(material)
        if isinstance(node.stage, Build) and not node.stage.takes:
            folder = make_key([folder, node.stage.model_dump(mode="json")])
        return f"{node.stage.name}-{folder}"

    def _reference_key(self, reference: Reference) -> str:
        if reference.path is not None:
            return make_key(folder_checksums(reference.path))
        assert reference.stage is not None
        return f"{self.keys[reference.stage]}.{reference.side}"

    # -- inputs --------------------------------------------------------------------------

    def _shards(self, references: Iterable[Reference]) -> Shards:
        sides = [self.done[r.stage].shards(r.side) for r in references if r.stage is not None]
        joined = sides[0] if sides else Shards("pairs", [])
        for side in sides[1:]:
            joined = joined + side
        return joined

    def _inputs(self, node: Node) -> Inputs:
        records, models = {}, {}
        for name, ref in node.stage.refs().items():
            references = node.refs[name]
            if ref.kind in ("pairs", "passages"):
                if references:
                    records[name] = self._shards(references)
            else:
                models[name] = [(str(r), self._folder(r)) for r in references]
        return Inputs(self._shards(node.main), records, models)

    def _folder(self, reference: Reference) -> Path:
        if reference.path is not None:
            return reference.path
        assert reference.stage is not None
        return self.done[reference.stage].verified_folder()

    # -- one stage -----------------------------------------------------------------------

    def _make(self, node: Node, name: str) -> Artefact:
        started = time.monotonic()
        context = LocalContext(
            self.store.work_folder(name), self.workers, self.reporter, self.store.vectors
        )
        target = self.store.artefact_folder(name)
        with PeakMemory() as memory, self.store.new_folder(target) as folder:
            if isinstance(node.stage, Build):
                sides, account = self._build(node, node.stage, folder, context)
            else:
                parts = self._make_parts(node, name, context)
                sides = self._sides(node, parts, target)
                account = sum((part.account for part in parts), Account())
            account.check(name)
            if isinstance(node.stage, Ask):
                context.note(**node.stage.sum_up(open_side(folder, sides[MAIN]).tables()))
            info = {
                "stage": node.stage.name,
                "version": node.stage.version,
                "settings": node.stage.row_settings(),
                **_what_it_asks(node.stage, account),
                "key": self.keys[node.name],
                "kind": node.kind,
                "inputs": {
                    "from": [str(r) for r in node.main],
                    **{field_name: [str(r) for r in rs] for field_name, rs in node.refs.items()},
                },
                "account": account.to_dict(),
                "notes": context.notes,
                "seconds": round(time.monotonic() - started, 3),
                "peak_bytes": memory.bytes,
            }
            write_manifest(folder, Manifest(sides, info))
        self.store.forget_work(name)
        found = self.store.find(name)
        assert found is not None
        return found

    def _sides(self, node: Node, parts: list[Part], target: Path) -> dict[str, Side]:
        return {
            side: side_from_parts(parts, side, kind, target) for side, kind in node.written.items()
        }

    def _build(
        self, node: Node, stage: Build, folder: Path, context: LocalContext
    ) -> tuple[dict[str, Side], Account]:
        built: Built = stage.build(self._inputs(node), folder, context)
        context.note(files=folder_checksums(folder) if not built.sides else {})
        account = Account(built.inputs, built.kept, built.dropped)
        for side, listed in built.sides.items():
            account.outputs[side] = 0
            for table in open_side(folder, listed).tables():
                account.count_outputs(side, table)
        return built.sides, account

    def _part_names(self, node: Node, name: str) -> list[tuple[str, Any]]:
        """Return the name of each part and what it is made of.

        A part of a map is named by its own content, so that it is found again when other shards are
        added; a part of another stage by the artefact, on whose inputs it depends.
        """
        stage = node.stage
        shards = self._shards(node.main)
        if isinstance(stage, Map):
            material = stage.material()
            return [
                (f"{stage.name}-{make_key([material, info.checksum])}", (path, info))
                for path, info in shards.files
            ]
        if isinstance(stage, Ask):
            # Shards may be small, and a language model is fast only with many questions at a time.
            count = -(-len(shards) // ASK_ROWS) if stage.takes else 1
            return [(f"{name}-{ASK_ROWS}-{index:06d}", index) for index in range(count)]
        return [(f"{name}-{index:06d}", index) for index in range(shards.count)]

    def _make_parts(self, node: Node, name: str, context: LocalContext) -> list[Part]:
        stage = node.stage
        if isinstance(stage, Source):
            return self._read_source(node, stage, name, context)
        names = self._part_names(node, name)
        found = {part: self.store.find_part(part) for part, _ in names}
        missing = {part: what for part, what in names if found[part] is None}
        if isinstance(stage, Global):
            if missing:
                self._run_global(node, stage, missing, context)
        elif isinstance(stage, Ask):
            if missing:
                self._run_ask(node, stage, missing, context)
        else:
            assert isinstance(stage, Map)
            jobs = [
                MapShard(self.store.root, part, node.written, self.batch, stage, what)
                for part, what in missing.items()
            ]
            tally = _Tally(self.reporter, [p.account.inputs for p in found.values() if p])
            known = sum(info.rows for _, info in self._shards(node.main).files)
            for inputs in self._each(jobs):
                tally.count(inputs)
                tally.tell(known)
        return [found[part] or Part.read(self.store.part_folder(part)) for part, _ in names]

    def _read_source(
        self, node: Node, stage: Source, name: str, context: LocalContext
    ) -> list[Part]:
        """Read an outside input block by block, then join what it left to be joined."""
        units, blocks = self.units[node.name], _Blocks(self.units[node.name])
        tally = _Tally(self.reporter)
        scratch, buckets = context.folder, buckets_for(units)

        def jobs() -> Iterator[Job]:
            for block in blocks.of(stage):
                part = _block_part(stage, name, block)
                blocks.parts.append(part)
                made = self.store.find_part(part)
                job = (self.store.root, part, node.written, self.batch, stage, block)
                if not isinstance(stage, Joined):
                    if made is None:
                        yield ReadBlock(*job)
                elif made is None or not has_pieces(scratch, part):
                    if made is not None:  # its pieces went with the scratch of another run
                        self.store.discard(made.folder)
                    yield ReadPieces(*job, scratch, buckets)
                if made is not None:
                    tally.count(made.account.inputs)

        for inputs in self._each(jobs()):
            tally.count(inputs)
            tally.tell(round(blocks.expected * tally.mean))
        parts = list(blocks.parts)
        if isinstance(stage, Joined):
            parts += self._join(node, stage, name, scratch, blocks.parts)
        return [Part.read(self.store.part_folder(part)) for part in parts]

    def _join(
        self, node: Node, stage: Joined, name: str, scratch: Path, blocks: list[str]
    ) -> list[str]:
        groups = joins_of(scratch, blocks)
        names = [f"{name}-join-{group.start:04d}" for group in groups]
        jobs = (
            JoinPieces(
                self.store.root, part, node.written, self.batch, stage, scratch, blocks, group
            )
            for part, group in zip(names, groups, strict=True)
            if self.store.find_part(part) is None
        )
        for done, _ in enumerate(self._each(jobs), 1):
            self.reporter.advance(done, len(groups), "joins")
        return names

    def _run_global(
        self, node: Node, stage: Global, missing: dict[str, int], context: LocalContext
    ) -> None:
        inputs = self._inputs(node)
        fitted = stage.fit(inputs, context)
        rows = [info.rows for _, info in inputs.main.files]
        starts = np.concatenate([[0], np.cumsum(rows)]).tolist()

        def apply(part: str) -> int:
            index = missing[part]
            table = inputs.main.shard(index)
            outcomes = apply_global(stage, table, starts[index], fitted, self.batch)
            return write_part(self.store, part, node.written, outcomes).account.inputs

        # What was fitted may be large, so it is shared by threads rather than sent to processes; nearly
        # all of the work is done by Arrow and polars, which let go of the interpreter.
        done = starts[-1] - sum(rows[index] for index in missing.values())
        with ThreadPoolExecutor(self.workers) as threads:
            for inputs_done in threads.map(apply, missing):
                done += inputs_done
                self.reporter.advance(done, starts[-1], "rows")

    def _run_ask(
        self, node: Node, stage: Ask, missing: dict[str, int], context: LocalContext
    ) -> None:
        inputs = self._inputs(node)
        fitted = stage.fit(inputs, context)
        watched = _Watched(self.reporter, len(inputs.main))
        with closing(Answers(self.store.answers)) as answers:
            model = Recorded(
                stage.llm.identity(),
                lambda: self.open_model(stage.llm),
                answers,
                watched.usage,
                attempts=stage.llm.attempts,
                on_failure=stage.llm.on_failure,
                price=stage.llm.known_price(),
                budget=self.budget,
            )
            table = inputs.main.to_arrow()
            while missing:
                later: dict[str, int] = {}
                for part, index in missing.items():
                    rows = table.slice(index * ASK_ROWS, ASK_ROWS).combine_chunks()
                    outcomes = watched.rows(ask_about(stage, rows, fitted, model))
                    try:
                        write_part(self.store, part, node.written, outcomes)
                    except LaterError:
                        later[part] = index
                        model.put_off()
                if later:  # what all parts ask is sent together, then they are tried once more
                    model.settle(watched.waiting)
                missing = later
        self.asked[node.name] = model.usage
        del model
        give_back()

    # -- workers -------------------------------------------------------------------------

    def _each(self, jobs: Iterable[Job]) -> Iterator[int]:
        """Do jobs in any order, in workers if there are several; give the inputs of each.

        A job may carry a block of a file, so only some are taken at a time.
        """
        jobs = iter(jobs)
        first = list(islice(jobs, 2))
        if self.workers == 1 or len(first) < 2:
            yield from map(make, chain(first, jobs))
            return
        if self.pool is None:
            self.pool = ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("spawn"), initializer=start_worker
            )
        jobs = chain(first, jobs)
        pending: set[Future[int]] = set()
        try:
            while True:
                for job in islice(jobs, 2 * self.workers - len(pending)):
                    pending.add(self.pool.submit(make, job))
                if not pending:
                    return
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise CurateError(
                "a worker process was killed, most often for want of memory; use fewer --workers "
                "or a smaller --batch, then run again: finished parts are kept"
            ) from None
        finally:
            for future in pending:
                future.cancel()

    @contextmanager
    def _pool_closed(self) -> Iterator[None]:
        try:
            yield
        finally:
            if self.pool is not None:
                self.pool.shutdown(cancel_futures=True)


def _block_part(stage: Source, name: str, block: Unit) -> str:
    """Name the part of a block by its content, so that it is found again when other files are added.

    With pieces to join it is named by the artefact too, since they lie in its scratch.

    :param name: the artefact's.
    """
    of = [name] if isinstance(stage, Joined) else []
    return f"{stage.name}-{make_key([stage.material(), block.name, block.fingerprint, *of])}"


class _Tally:
    """Counts inputs for whoever watches."""

    def __init__(self, reporter: Reporter, finished: Iterable[int] = ()) -> None:
        """:param finished: the inputs of the parts that an earlier run made."""
        self._reporter = reporter
        self._counts = list(finished)

    def count(self, inputs: int) -> None:
        """Count a part."""
        self._counts.append(inputs)

    def tell(self, total: int) -> None:
        """Report how many of `total` inputs were counted."""
        self._reporter.advance(sum(self._counts), total, "rows")

    @property
    def mean(self) -> float:
        return sum(self._counts) / len(self._counts)


class _Blocks:
    """The blocks of a source's units, cut while they are asked for."""

    def __init__(self, units: list[Unit]) -> None:
        self._units = units
        self._begun = 0
        self.parts: list[str] = []

    def of(self, stage: Source) -> Iterator[Unit]:
        """Cut the units of a stage."""
        for unit in self._units:
            self._begun += 1
            yield from stage.cut(unit)

    @property
    def expected(self) -> float:
        """How many blocks there will be, if the other units are like those that are begun."""
        return len(self.parts) * len(self._units) / self._begun


def _refuse_if_unable(name: str, stage: Ask) -> None:
    """:raises RecipeError: if its model cannot do what a stage asks of it.

    Whether a server can is not known while it is away: then what it is asked first tells.
    """
    with suppress(UnusableServerError):
        if problem := stage.llm.inability(stage.needs()):
            raise RecipeError(f"stage {name} ({stage.name}): {problem}")


def _refuse_without_price(name: str, llm: LLM) -> None:
    """:raises RecipeError: if it is not known what the tokens of a stage's model cost."""
    if llm.known_price() is None:
        raise RecipeError(
            f"stage {name}: --max-cost, but it is not known what {llm.model!r} at {llm.url} costs: set"
            " `llm.price: {prompt: .., completion: ..}`, in USD per million tokens, or use --max-tokens"
        )


def _what_it_asks(stage: Stage, account: Account) -> dict[str, Any]:
    """Return the model and the prompts of a stage that asks, and the cost in USD, for its manifest."""
    if not isinstance(stage, Ask):
        return {}
    told = {k: v for k, v in stage.material().items() if k in ("llm", "prompts")}
    price, asked = stage.llm.known_price(), account.asked
    tokens = asked.get("prompt_tokens", 0), asked.get("completion_tokens", 0)
    return told | {"cost": None if price is None else price.cost(*tokens)}


class _Watched:
    """Tells whoever watches how far a stage is that asks a language model."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self._reporter = reporter
        self._total = total
        self._done = self._kept = 0

    def rows(self, outcomes: Iterator[tuple[int, Outcome]]) -> Iterator[tuple[int, Outcome]]:
        """Hand on outcomes, counting them."""
        for inputs, outcome in outcomes:
            self._done += inputs
            self._kept += len(outcome.kept)
            yield inputs, outcome

    def waiting(self, told: str) -> None:
        """Report how far batches of requests are."""
        self._reporter.advance(self._done, self._total, "rows", told)

    def usage(self, usage: Usage) -> None:
        """Report what was asked so far, and what came of it."""
        detail = (
            f"{usage.asked:,} calls, {usage.tokens_per_second:,.0f} tokens/s, {self._kept:,} kept"
        )
        if usage.cost:
            detail += f", {dollars(usage.cost)}"
        if usage.recorded:
            detail += f", {usage.recorded:,} answered before"
        detail = ", ".join([detail, *unusable_counts(usage.unusable)])
        self._reporter.advance(self._done, self._total, "rows", detail)


class LocalContext:
    """What this engine lends to global and build stages; see `curate.stage.Context`."""

    def __init__(
        self, folder: Path, threads: int, reporter: Reporter, vectors: Path | None = None
    ) -> None:
        self.folder = folder
        self.threads = threads
        self.vectors = vectors
        self._reporter = reporter
        self._notes_file = folder / "notes.json"
        self.notes: dict[str, Any] = {}
        if self._notes_file.exists():
            self.notes = json.loads(self._notes_file.read_bytes())

    def memo(self, name: str, compute: Callable[[], T]) -> T:
        """Return what an earlier run stored under `name`, or compute and store it."""
        array, table = self.folder / f"{name}.npy", self.folder / f"{name}.arrow"
        if array.exists():
            return cast(T, np.load(array, mmap_mode="r"))
        if table.exists():
            return cast(T, open_shard(table))
        value = compute()
        if isinstance(value, np.ndarray):
            temporary = array.with_suffix(".tmp.npy")
            np.save(temporary, value)
            temporary.rename(array)
        else:
            write_shard(self.folder, table.name, value)
        return value

    def progress(self, done: int, total: int, unit: str = "rows") -> None:
        """Pass it on to whoever watches."""
        self._reporter.advance(done, total, unit)

    def note(self, **facts: Any) -> None:
        """Remember facts; they survive a kill."""
        self.notes.update(facts)
        write_bytes(self._notes_file, json.dumps(self.notes).encode())
