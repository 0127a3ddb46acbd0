"""Running a sweep: Ray Tune decides where and when, the store what is left to do."""

import math
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
from lip_ray.engine.runtime import available_cpus, gpus, local_ray  # before ray: sets its options
from lip_ray.engine.searcher import PlanSearcher
from lip_ray.engine.trainable import config_of, run_trial
from lip_ray.records import SweepRecord
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Run, Sweep


class LaunchError(ValueError):
    """The machine lacks what the sweep's `run` block asks for."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a launch ended."""

    planned: tuple[PlannedTrial, ...]
    """As the store has them now."""
    errors: tuple[str, ...]
    """One line for every trial whose worker kept failing."""

    @property
    def complete(self) -> bool:
        """Whether the store now has the whole sweep."""
        return all(planned.levels_left == 0 for planned in self.planned)


def launch(sweep: Sweep, store: str, console: Console) -> Summary:
    """Run what the store lacks of the sweep and return how it ended.

    Ctrl-C (or SIGTERM) ends it early: levels already recorded stay, the same call goes on from
    there. Raises LaunchError or StoreError before anything is computed.
    """
    writer = Writer.open(store)
    before = plan(sweep, Reader(store).levels_done())
    writer.write_sweep(_sweep_record(sweep))
    if not any(planned.levels_left for planned in before):
        return Summary(planned=before, errors=())
    with local_ray() as tune_folder:
        device = device_of(sweep.run, gpus())
        errors = _tune(sweep.run, before, device, str(Path(store).resolve()), tune_folder, console)
    after = plan(sweep, Reader(store).levels_done())
    return Summary(planned=after, errors=tuple(errors))


def device_of(run: Run, gpus: float) -> str:
    """`cpu` or `cuda`, from what is asked and how many GPUs Ray has. Raises LaunchError."""
    if run.cpus > available_cpus():
        raise LaunchError(
            f"run.cpus: a trial asks for {run.cpus} cores, but there are {available_cpus()}"
        )
    if run.device == "cuda" and not gpus:
        raise LaunchError("run.device: cuda is asked for, but there is no GPU; allowed: auto, cpu")
    return "cpu" if run.device == "cpu" or not gpus else "cuda"


def _tune(
    run: Run,
    planned: Sequence[PlannedTrial],
    device: str,
    store: str,
    folder: Path,
    console: Console,
) -> list[str]:
    """One Tuner for the whole plan; its own state is thrown away afterwards."""
    configs = [
        config_of(p.trial, store=store, device=device, threads=run.cpus)
        for p in planned
        if p.levels_left
    ]
    resources = {"cpu": run.cpus} | ({"gpu": run.gpus} if device == "cuda" else {})
    with Progress(Tally(planned), console) as progress, _sigterm_as_interrupt():
        results = tune.Tuner(
            tune.with_resources(run_trial, resources),
            tune_config=tune.TuneConfig(
                search_alg=PlanSearcher(configs),
                num_samples=-1,
                max_concurrent_trials=_at_once(run, device, len(configs)),
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=str(folder),
                verbose=0,
                callbacks=[progress],
                failure_config=tune.FailureConfig(max_failures=run.retries),
            ),
        ).fit()
    return [_last_line(error) for error in results.errors]


def _at_once(run: Run, device: str, trials: int) -> int:
    """As many trials as there is room for, so that Tune never holds more of them pending."""
    room = available_cpus() // run.cpus
    if device == "cuda":
        room = min(room, math.floor(gpus() / run.gpus))
    return max(1, min(room, trials, run.concurrent or trials))


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


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else repr(error)


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
