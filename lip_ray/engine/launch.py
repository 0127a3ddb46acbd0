"""Running a sweep: Ray Tune decides where and when, the store what is left to do."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import ray
from ray import tune
from rich.console import Console

from lip_ray import __version__
from lip_ray.engine.failures import Failure, FailureLog, Watchdog
from lip_ray.engine.guard import CLUSTER_PATIENCE_S, OWN_PATIENCE_S, end_process, guarded
from lip_ray.engine.mps import lacks_mps, turns_remark
from lip_ray.engine.plan import PlannedTrial, as_stored, typical_plan
from lip_ray.engine.preflight import refuse_unready
from lip_ray.engine.progress import Progress, Tally
from lip_ray.engine.ray_private import withhold_keys
from lip_ray.engine.ray_session import Session, most, nodes, ray_at, this_machine
from lip_ray.engine.resources import Allocation
from lip_ray.engine.search_points import Points, shares_of
from lip_ray.engine.sources import copied, elsewhere, refuse_left_out
from lip_ray.engine.stopper import RunStopper
from lip_ray.engine.study import Study
from lip_ray.engine.trackers import callbacks
from lip_ray.engine.trainable import Config, config_of, run_trial
from lip_ray.engine.tune_searcher import PlanSearcher
from lip_ray.records import Standing, SweepRecord
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep

withhold_keys()

INCOMPLETE = 1
"""The exit status of a process that cannot go on."""

Worker = Callable[[Config], None]

DRIVER_PATIENCE_S = 60.0
"""The seconds that the driver itself waits for a store that cannot be written to. It does nothing
else meanwhile; its workers wait longer."""

COMPILING = "compiling the kernels of sparse execution, once on this machine: ten to twenty seconds"

PENDING = 200
"""The most trials that wait for a machine, from which an autoscaler sees the demand."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a launch ended."""

    planned: tuple[PlannedTrial, ...]
    """The planned trials with their present levels in the store; empty for a search."""
    points: tuple[int, int] | None = None
    """For a search: how many points have a score, and how many points it has."""
    failures: tuple[Failure, ...] = ()
    """The trials that failed."""
    problem: str = ""
    """Why the run ended early by itself: the store could not be written to."""
    unnoted: str = ""
    """Why the store has no row of a failure, where it could not be written to at that moment."""

    @property
    def complete(self) -> bool:
        """Whether the store now has the whole sweep."""
        told, total = self.points or (0, 0)
        return told == total and all(planned.levels_left == 0 for planned in self.planned)

    @property
    def interrupted(self) -> bool:
        """Whether a person or a scheduler ended the run: nothing failed, yet levels are missing."""
        return not (self.complete or self.failures or self.problem)

    @property
    def line(self) -> str:
        """How much of the sweep the store has, in words."""
        if self.points:
            return "{}/{} points".format(*self.points)
        tally = Tally(self.planned)
        levels = f"{tally.levels_done}/{tally.levels} levels"
        return f"{levels} of {tally.trials_done}/{len(self.planned)} trials"


def launch(
    sweep: Sweep,
    store: str,
    console: Console,
    *,
    address: str | None = None,
    worker: Worker = run_trial,
) -> Summary:
    r"""Run the missing levels of the sweep, here or on the cluster at `address`.

    Ctrl-C lets levels in flight end and begins no others; a second one, or SIGTERM, ends it at
    once. Either way recorded levels stay, and the same call resumes. Raises LaunchError or
    StoreError before any trial begins.
    """
    planned = typical_plan(sweep)
    kinds, shares = [one.trial.kind for one in planned], shares_of(sweep, planned)
    if address is None:
        Allocation.of(sweep.run, kinds, [this_machine()], shares=shares)
    patience_s = min(sweep.run.store_patience_s, DRIVER_PATIENCE_S)
    writer = Writer.open(store, patience_s=patience_s)
    take_sources(sweep, planned, store, console)
    launched = _Launch(sweep, planned, Reader(store), writer, console)
    if launched.nothing_left:
        launched.note_sweep()
        return launched.summary()
    trackers = callbacks(sweep.run.trackers, sweep=sweep.name, store=writer.folder)
    launched.compile_kernels()
    with ray_at(address) as session:
        in_turns = refuse_unready(writer.where) if address else [platform.node()] * lacks_mps()
        most_nodes = most() if address else ()
        allocation = Allocation.of(sweep.run, kinds, nodes(), most_nodes, shares=shares)
        if in_turns and allocation.shares_gpus:
            console.print(turns_remark(in_turns), highlight=False, markup=False)
        launched.note_sweep()
        patience_s = CLUSTER_PATIENCE_S if address else OWN_PATIENCE_S
        launched.fit(allocation, session, worker, trackers, patience_s=patience_s)
    return launched.summary()


def take_sources(
    sweep: Sweep, planned: Sequence[PlannedTrial], store: str, console: Console
) -> None:
    """Copy into the store those sources that another has complete, and say so.

    Raises UserError where the store was published without what is needed and nothing is copied in
    its place.
    """
    stored = as_stored(planned, Reader(store).levels_done())
    found = elsewhere(sweep, store, stored)
    refuse_left_out(stored, store, found.levels if found else ())
    for line in copied(found, store) if found else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


class _Launch:
    """One Tuner for the whole plan; its own state is thrown away afterwards."""

    def __init__(
        self,
        sweep: Sweep,
        typical: Sequence[PlannedTrial],
        reader: Reader,
        writer: Writer,
        console: Console,
    ) -> None:
        """`typical` are the trials of the sweep; of a search, those of a typical point."""
        self._sweep = sweep
        self._typical = typical
        self._reader = reader
        self._writer = writer
        self._console = console
        self._study = Study(sweep, reader, writer) if sweep.search else None
        self._planned = () if sweep.search else as_stored(typical, reader.levels_done())
        self._tally = Tally(self._planned, self._told if self._study else None)
        self._failure_log = FailureLog(reader, writer, self._tally)
        self._problem = ""

    @property
    def nothing_left(self) -> bool:
        """Whether the store has all levels of the sweep."""
        if self._study:
            return self._study.told == self._study.total
        return not any(planned.levels_left for planned in self._planned)

    def note_sweep(self) -> None:
        """Write to the store what the sweep asks for; points of a search are written one by one."""
        if not self._study:
            self._writer.write_sweep(sweep_record(self._sweep))

    def compile_kernels(self) -> None:
        """Compile the kernels of sparse execution where trials need them, or all workers would wait
        for the first of them to do so."""
        planned = self._typical if self._study else self._planned
        if any(one.trial.is_sparse for one in planned if one.levels_left):
            from lip_ray.fits.sparse.loading import load  # numba takes half a second

            load(lambda: self._console.print(COMPILING, highlight=False))

    def summary(self) -> Summary:
        """The present state of the run."""
        done = self._reader.levels_done()
        return Summary(
            planned=as_stored(self._planned, done),
            points=(self._study.told, self._study.total) if self._study else None,
            failures=tuple(self._failure_log.failures),
            problem=self._problem,
            unnoted=self._failure_log.unwritten,
        )

    def fit(
        self,
        allocation: Allocation,
        session: Session,
        worker: Worker,
        trackers: Sequence[tune.Callback],
        *,
        patience_s: float,
    ) -> None:
        """Run until no trial is left that can run; trials that are still incomplete failed or were
        stopped.

        Where Ray itself has died, `patience_s` ago if that is its GCS, it ends this process.
        """
        run, tally = self._sweep.run, self._tally
        begins = f"{self._sweep.name}: {tally.line()}; {allocation.line}"
        self._console.print(begins, highlight=False)
        if self._reader.damaged:
            lost = ", ".join(self._reader.damaged)
            told = f"damaged or missing, so their levels run again: {lost}: see lip store check"
            self._console.print(told, highlight=False)
        points = self._points(allocation)
        searcher = PlanSearcher(
            self._configs(allocation, self._planned),
            self._failure_log,
            at_once=run.concurrent,
            supply=points,
        )
        watchdog = Watchdog(
            self._failure_log, limit_s=run.level_limit_s, now=time.monotonic, kill=ray.kill
        )
        stopper = RunStopper(searcher, watchdog.running, points.hopeless if points else None)
        progress = Progress(
            tally, self._console, standings=self._standings, stopping=lambda: stopper.interrupted
        )
        tuner = tune.Tuner(
            tune.with_resources(worker, allocation.request),
            tune_config=tune.TuneConfig(search_alg=searcher, num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(session.folder),
                verbose=0,
                stop=stopper,
                callbacks=[watchdog, progress, *trackers],
                failure_config=tune.FailureConfig(max_failures=run.retries),
            ),
        )
        died = partial(self._end_without_ray, progress, session)
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(self._pending(allocation))
        with progress, stopper.on_signals(), guarded(died, patience_s=patience_s):
            tuner.fit()
        self._problem = searcher.store_problem

    def _end_without_ray(self, progress: Progress, session: Session, said: str) -> None:
        """Say what has happened to Ray, and end this process."""

        def last_words() -> None:
            progress.stop()
            self._console.print(said, markup=False, highlight=False, soft_wrap=True)
            self._console.file.flush()
            session.end()

        end_process(INCOMPLETE, last_words)

    def _told(self) -> str:
        assert self._study
        return f"{self._study.told}/{self._study.total} points"

    def _points(self, allocation: Allocation) -> Points | None:
        if self._study is None:
            return None

        def take_in(planned: Sequence[PlannedTrial]) -> Sequence[Config]:
            self._tally.add(planned)
            return self._configs(allocation, planned)

        return Points(
            sweep=self._sweep,
            study=self._study,
            reader=self._reader,
            take_in=take_in,
        )

    def _configs(self, allocation: Allocation, planned: Sequence[PlannedTrial]) -> list[Config]:
        """The configurations of workers, for trials with levels left."""
        return [
            config_of(
                one.trial,
                store=self._writer.where,
                run=self._sweep.run,
                slot=allocation.slots[allocation.slot_name(one.trial)],
            )
            for one in planned
            if one.levels_left
        ]

    def _standings(self) -> list[Standing]:
        return [standing for standing, _, _ in self._reader.standings()]

    def _pending(self, allocation: Allocation) -> int:
        """How many trials Tune holds ready: enough for a process that ends one to get another."""
        return max(1, min(PENDING, 2 * allocation.trials_at_once))


def sweep_record(sweep: Sweep) -> SweepRecord:
    """The record of the sweep for the store."""
    return SweepRecord(
        sweep=sweep.name,
        sweep_id=sweep.id,
        trial_ids=tuple(trial.id for trial in sweep.trials),
        kinds=tuple(trial.kind for trial in sweep.trials),
        specs=tuple(trial.model_dump_json() for trial in sweep.trials),
        levels=tuple(trial.levels for trial in sweep.trials),
        lip_ray_version=__version__,
        requested_at=datetime.now(UTC).replace(tzinfo=None),
    )
