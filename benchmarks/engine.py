"""What scheduling costs: beside trials that only sleep, with trials that do nothing, by its parts.

    python benchmarks/engine.py sleeping                 # 200 trials of 5 s on 2 slots: 9 minutes
    python benchmarks/engine.py pending                  # 2,000 trials of no length
    python benchmarks/engine.py done                     # 2,000 trials that the store has
    python benchmarks/engine.py parts                    # what one trial pays for, one by one

The workers are those of `lip run` but for what they do: they note when they begin and end.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from ray import tune
from rich.console import Console

from lip_ray.engine.launch import launch
from lip_ray.engine.resources import Slot
from lip_ray.engine.trainable import Config, config_of, run_trial
from lip_ray.records import LevelRecord, Outcome
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep
from lip_ray.sweep.run import Run
from lip_ray.trials import from_json

MEMORY_LIMIT_MB = 500
PLAN_LIMIT_S = 10.0
SLEEP_LIMIT = 1.10
LONG_S = 60.0
"""The length of a trial to which the cost found with short ones is carried over."""

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def sleeping(
    trials: int = 200,
    seconds: Annotated[float, typer.Option(help="That a trial sleeps.")] = 5.0,
    slots: int = 2,
) -> None:
    """Compare wall time with that of trials without gaps; the exit status says whether the target
    is met."""
    with beside() as folder:
        found = scheduled(folder, trials, seconds, slots)
    ratio = found.wall_s / (trials * seconds / slots)
    later = 1 + statistics.mean(found.gaps_s) / LONG_S
    print(f"{trials} trials of {seconds:g} s on {slots} slots, {found.processes} processes")
    print(f"  wall ÷ ideal {ratio:.3f}, of that {found.begin_s:.1f} s until the first trial began")
    print(f"  between two trials of a slot: {spread_ms(found.gaps_s)}")
    print(f"  so with trials of {LONG_S:g} s: {later:.3f} and the beginning (extrapolated)")
    raise typer.Exit(int(ratio > SLEEP_LIMIT))


@app.command()
def pending(trials: Annotated[int, typer.Option(min=20)] = 2000, slots: int = 2) -> None:
    """Print how fast trials that take no time begin, and how much memory the driver takes."""
    with beside() as folder:
        found = scheduled(folder, trials, 0.0, slots)
    print(f"{trials} trials of no length on {slots} slots, {found.processes} processes")
    print(f"  {trials / (found.wall_s - found.begin_s):.1f} trials a second: {found.pace()}")
    print(f"  {found.begin_s:.1f} s until the first trial began")
    print(f"  between two trials of a slot: {spread_ms(found.gaps_s)}")
    print(f"  the driver with all of them pending: {found.driver_mb[0]:.0f} MB of memory")
    print(f"  once they have run, as Tune forgets none: {found.driver_mb[1]:.0f} MB")
    raise typer.Exit(int(found.driver_mb[0] > MEMORY_LIMIT_MB))


@app.command()
def done(trials: int = 2000) -> None:
    """Print the seconds until `lip run` finds that the store has the whole sweep."""
    with beside() as folder:
        sweep = of_many(trials, folder)
        writer = Writer.open(folder / "store")
        for trial in sweep.trials:
            writer.write_level([level_of_nothing(trial.id)])
        started = time.perf_counter()
        again = of_many(trials, folder)
        read_s = time.perf_counter() - started
        summary = launch(again, str(folder / "store"), Console(quiet=True))
        total_s = time.perf_counter() - started
    assert summary.complete
    print(f"{trials} trials, all in the store: {total_s:.1f} s, of that {read_s:.1f} s the file")
    raise typer.Exit(int(total_s > PLAN_LIMIT_S))


@app.command()
def parts(rounds: int = 5) -> None:
    """Print what a trial costs beside its work: a process once per slot, the rest for every
    trial."""
    with beside() as folder:
        sweep = of_many(1, folder)
        [trial] = sweep.trials
        writer = Writer.open(folder / "store")
        reader = Reader(folder / "store")
        text = trial.model_dump_json()
        slot = Slot(cpus=1, gpus=0, memory_gb=None, at_once=1)
        config = config_of(trial, store=str(folder / "store"), run=Run(), slot=slot)
        numbers = iter(range(10**9))
        table: dict[str, Callable[[], Any]] = {
            "once a process: import ray.tune": partial(imported, "ray.tune"),
            "once a process: import the worker, torch included": partial(
                imported, "lip_ray.engine.trainable"
            ),
            "once a trial: its spec": partial(from_json, text),
            "once a trial: what the store has of it": reader.levels_done,
            "once a level: its rows, safe on disk": lambda: writer.write_level(
                [level_of_nothing(f"{next(numbers):016x}")]
            ),
        }
        writer.write_level([level_of_nothing(trial.id)])
        with_nothing_left = timed(partial(run_trial, config), rounds)
        for name, action in table.items():
            print(f"  {name:<50} {spread_ms(timed(action, rounds))}")
        print(f"  {'a worker that finds nothing left, in all':<50} {spread_ms(with_nothing_left)}")


class Found:
    """The notes of the workers."""

    def __init__(self, log: Path, started: float, ended: float, first_mb: float) -> None:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        by_process: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for process, begin, end in rows:
            by_process[process].append((begin, end))
        self._begins = sorted(begin for _, begin, _ in rows)
        self.processes = len(by_process)
        self.begin_s = self._begins[0] - started
        self.wall_s = ended - started
        self.gaps_s = [
            later - end
            for times in by_process.values()
            for (_, end), (later, _) in pairwise(sorted(times))
        ]
        self.driver_mb = first_mb, peak_mb()
        """This process's peak memory when the first trial ran, and in all."""

    def pace(self) -> str:
        """Trials a second of the first and of the last tenth."""
        tenth = len(self._begins) // 10
        first, last = (
            (tenth - 1) / (times[-1] - times[0])
            for times in (self._begins[:tenth], self._begins[-tenth:])
        )
        return f"{first:.0f} in the first tenth, {last:.0f} in the last"


def scheduled(folder: Path, trials: int, seconds: float, slots: int) -> Found:
    """Let `lip run`'s scheduler run trials that only sleep."""
    log = folder / "log"

    def sleep(config: Config) -> None:
        begin = time.monotonic()
        time.sleep(seconds)
        level = {"ending": None, "level": 0, "density": 1.0, "outcome": "budget", "fit_s": seconds}
        scores = dict.fromkeys(("psnr_selected_db", "psnr_peak_db", "accuracy", "frechet"))
        with log.open("a") as file:
            file.write(json.dumps([os.getpid(), begin, time.monotonic()]) + "\n")
        tune.report(level | scores)

    first_mb: list[float] = []

    def look() -> None:
        while not log.exists():
            time.sleep(0.05)
        first_mb.append(peak_mb())

    watcher = threading.Thread(target=look, daemon=True)
    sweep = of_many(trials, folder, concurrent=slots)
    started = time.monotonic()
    watcher.start()
    launch(sweep, str(folder / "store"), Console(quiet=True), worker=sleep)
    ended = time.monotonic()
    watcher.join()
    return Found(log, started, ended, first_mb[0])


def peak_mb() -> float:
    """The most memory that this process has held, in 2²⁰ bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def of_many(trials: int, folder: Path, **run: Any) -> Sweep:
    """A sweep of this many trials with one level each."""
    return Sweep.build(
        {
            "name": "many",
            "trial": {
                "images": {"kind": "builtin", "name": "camera", "size": [16, 16]},
                "task": {"kind": "denoising", "sigma": 25},
                "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
                "schedule": [1],
                "fit": {"steps": 10, "stopping": {"kind": "wmv", "window": 5, "stride": 1}},
            },
            "grid": {"seed": list(range(trials))},
            "run": {"most_trials": max(trials, 1)} | run,
        },
        folder=folder,
    )


def level_of_nothing(trial_id: str) -> LevelRecord:
    """The row of a level without a fit."""
    return LevelRecord(
        trial_id=trial_id,
        level=0,
        image="camera",
        kept=1,
        total=1,
        kept_all=1,
        total_all=1,
        effective=1,
        outcome=Outcome.BUDGET,
    )


def imported(module: str) -> None:
    """Start a Python that imports a module and ends."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)


def timed(action: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    action()
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return found


def spread_ms(seconds: list[float]) -> str:
    """Median, and lowest and highest, in milliseconds."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{1000 * middle:.4g} ms [{1000 * low:.3g}, {1000 * high:.3g}]"


@contextmanager
def beside() -> Iterator[Path]:
    """A folder that is removed afterwards."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


if __name__ == "__main__":
    app()
