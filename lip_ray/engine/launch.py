"""Running a sweep: Ray Tune decides where and when, the store what is left to do."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ray import tune
from rich.console import Console

from lip_ray import __version__
from lip_ray.engine.plan import PlannedTrial, plan
from lip_ray.engine.progress import Progress, Tally
from lip_ray.engine.room import Room
from lip_ray.engine.runtime import local_ray
from lip_ray.engine.searcher import PlanSearcher
from lip_ray.engine.trainable import config_of, run_trial
from lip_ray.records import SweepRecord
from lip_ray.running import Run
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial that was given up: its worker kept failing."""

    trial: str
    traceback: str
    """The last failure's, as the worker had it."""

    @property
    def reason(self) -> str:
        """The traceback's last line."""
        return self.traceback.splitlines()[-1].strip()


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a launch ended."""

    planned: tuple[PlannedTrial, ...]
    """As the store has them now."""
    failures: tuple[Failure, ...] = ()
    """The trials whose worker kept failing."""

    @property
    def complete(self) -> bool:
        """Whether the store now has the whole sweep."""
        return all(planned.levels_left == 0 for planned in self.planned)

    @property
    def interrupted(self) -> bool:
        """Whether a person or a scheduler ended it: nothing failed, yet levels are missing."""
        return not self.complete and not self.failures

    @property
    def line(self) -> str:
        """How much of the sweep the store has."""
        tally = Tally(self.planned)
        levels = f"{tally.levels_done}/{tally.levels} levels"
        return f"{levels} of {tally.trials_done}/{len(self.planned)} trials"


def launch(sweep: Sweep, store: str, console: Console) -> Summary:
    """Run what the store lacks of the sweep and return how it ended.

    Ctrl-C (or SIGTERM) ends it early: levels already recorded stay, the same call goes on from
    there. Raises LaunchError or StoreError before anything is written or computed.
    """
    room = Room.of(sweep.run)
    writer = Writer.open(store)
    before = plan(sweep, Reader(store).levels_done())
    writer.write_sweep(_sweep_record(sweep))
    failures: tuple[Failure, ...] = ()
    if any(planned.levels_left for planned in before):
        console.print(f"{sweep.name}: {Tally(before).line()}; {room.line}", highlight=False)
        with local_ray() as tune_folder:
            failures = _tune(sweep.run, room, before, str(writer.root), tune_folder, console)
    return Summary(planned=plan(sweep, Reader(store).levels_done()), failures=failures)


def _tune(
    run: Run,
    room: Room,
    planned: Sequence[PlannedTrial],
    store: str,
    folder: Path,
    console: Console,
) -> tuple[Failure, ...]:
    """One Tuner for the whole plan; its own state is thrown away afterwards."""
    configs = [
        config_of(
            p.trial,
            store=store,
            device=room.device,
            threads=run.cpus,
            checkpoint_s=run.checkpoint_s,
        )
        for p in planned
        if p.levels_left
    ]
    tally, searcher = Tally(planned), PlanSearcher(configs)
    with Progress(tally, console) as progress, _sigterm_as_interrupt():
        results = tune.Tuner(
            tune.with_resources(run_trial, room.resources(run)),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=min(room.trials_at_once, len(configs)),
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(folder),
                verbose=0,
                callbacks=[progress],
                failure_config=tune.FailureConfig(max_failures=run.retries),
            ),
        ).fit()
    waiting = [tally.label(config["trial_id"]) for config in searcher.waiting]
    return tuple(_failures(results, tally, waiting))


def _failures(results: tune.ResultGrid, tally: Tally, waiting: Sequence[str]) -> Iterator[Failure]:
    """What was given up, and what waited for that."""
    failed = False
    for place in range(len(results)):
        result = results[place]
        if result.error and result.config:
            trial = tally.label(result.config["trial_id"])
            failed = True
            yield Failure(trial=trial, traceback=str(result.error).strip())
    for trial in waiting if failed else ():
        yield Failure(trial=trial, traceback="its source was given up")


def _sweep_record(sweep: Sweep) -> SweepRecord:
    return SweepRecord(
        sweep=sweep.name,
        sweep_id=sweep.id,
        trial_ids=tuple(trial.id for trial in sweep.trials),
        specs=tuple(trial.model_dump_json() for trial in sweep.trials),
        levels=tuple(trial.levels for trial in sweep.trials),
        lip_ray_version=__version__,
        requested_at=datetime.now(UTC).replace(tzinfo=None),
    )


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """A scheduler's SIGTERM ends the run as Ctrl-C does: tidily."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
