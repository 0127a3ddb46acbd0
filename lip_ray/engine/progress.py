"""The display of a running sweep: a live panel on a terminal, plain lines elsewhere."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from statistics import fmean
from typing import Any

from ray import tune
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lip_ray.engine.plan import PlannedTrial
from lip_ray.records import Standing
from lip_ray.store import StoreError
from lip_ray.trials import AbstractTrial

HEARTBEAT_S = 60.0
LINES_A_MINUTE = 30
"""The most levels per minute that get a line each in a log; more of them are only counted."""

SHOWN_IN_FLIGHT = 8
SHOWN_BEST = 12
"""The number of rows of the panel, which has to fit on a terminal."""

DRAW_S = 0.5
"""Seconds between two drawings of the panel."""

LOOK_S = 5.0
"""Seconds between two looks of the panel into the store for the progress of running trials."""

ENDED = {"budget": "all steps", "stopped": "stopped early"}
"""How fits end as usual, in words, by their outcome; the other outcomes are words already."""

KIND_COLUMNS = ("running", "waiting", "done", "failed")


class Tally:
    """The counts of done and remaining levels, and the frontier so far."""

    def __init__(
        self, planned: Iterable[PlannedTrial], points: Callable[[], str] | None = None
    ) -> None:
        """`points` gives the progress of a search, whose trials are not all known."""
        self._points = points
        self.levels_now = 0
        """The number of levels finished by this run."""
        self._begun: float | None = None
        """When a worker had the first trial: what Ray takes before it says nothing about levels."""
        self._of: dict[str, PlannedTrial] = {}
        self._left: dict[str, int] = {}
        self._running: set[str] = set()
        self.given_up: dict[str, None] = {}
        """Ids of trials that will not run again, in their order."""
        self._psnr: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.add(planned)

    def add(self, planned: Iterable[PlannedTrial]) -> None:
        """Add trials, as a search finds them; known ones stay as they are."""
        for one in planned:
            self._of.setdefault(one.trial.id, one)
            self._left.setdefault(one.trial.id, one.levels_left)

    @property
    def planned(self) -> tuple[PlannedTrial, ...]:
        """All trials, in the order they came."""
        return tuple(self._of.values())

    @property
    def levels(self) -> int:
        """All levels of the sweep."""
        return sum(planned.trial.levels for planned in self._of.values())

    @property
    def levels_done(self) -> int:
        """How many levels are in the store."""
        return self.levels - sum(self._left.values())

    @property
    def trials_done(self) -> int:
        """Trials without a missing level."""
        return sum(left == 0 for left in self._left.values())

    @property
    def pace_s(self) -> float | None:
        """Seconds per level since the first trial began; None before the first level.

        Levels of trials that run side by side end together, so the time between two levels says
        nothing.
        """
        if self._begun is None or not self.levels_now:
            return None
        return (time.monotonic() - self._begun) / self.levels_now

    def find(self, trial_id: str) -> tuple[AbstractTrial, str]:
        """The trial with this id, and its label."""
        return self._of[trial_id].trial, self.label(trial_id)

    def knows(self, trial_id: str) -> bool:
        """Whether the trial is part of this sweep."""
        return trial_id in self._of

    def label(self, trial_id: str) -> str:
        """The trial in a few words."""
        planned = self._of[trial_id]
        return f"{planned.label} seed {planned.trial.seed_used}"

    def begin(self, trial_id: str) -> None:
        """Note that a worker has the trial."""
        self._begun = self._begun or time.monotonic()
        self._running.add(trial_id)

    def end(self, trial_id: str) -> None:
        """Note that no worker has the trial any more."""
        self._running.discard(trial_id)

    def give_up(self, trial_id: str) -> None:
        """Note that the trial failed and will not run again."""
        self.end(trial_id)
        self.given_up[trial_id] = None

    def count(self, trial_id: str, report: dict[str, Any]) -> None:
        """Count one finished level."""
        planned = self._of[trial_id]
        self._left[trial_id] = planned.trial.levels - report["level"] - 1
        self.levels_now += 1
        if report["psnr_selected_db"] is not None:
            self._psnr[planned.label][report["density"]].append(report["psnr_selected_db"])

    def found(self, trial_id: str, level: int) -> None:
        """Count levels up to this one, which were in the store already."""
        left = self._of[trial_id].trial.levels - level - 1
        self._left[trial_id] = min(self._left[trial_id], left)

    def kinds(self) -> dict[str, dict[str, int]]:
        """For each kind of trial, how many are running, waiting, done and failed."""
        counts: dict[str, dict[str, int]] = {}
        for trial_id, planned in self._of.items():
            row = counts.setdefault(planned.trial.kind, dict.fromkeys(KIND_COLUMNS, 0))
            row[self._state(trial_id)] += 1
        return counts

    def _state(self, trial_id: str) -> str:
        if not self._left[trial_id]:
            return "done"
        if trial_id in self.given_up:
            return "failed"
        return "running" if trial_id in self._running else "waiting"

    def frontier(self) -> Table:
        """Mean selected PSNR by density, of the levels finished in this run: the best labels, by
        the sparsest level that they have."""
        densities = sorted({d for row in self._psnr.values() for d in row}, reverse=True)
        table = Table()
        table.add_column("density")
        for density in densities:
            table.add_column(f"{density:.3g}", justify="right")
        means = {
            label: {density: fmean(values) for density, values in row.items()}
            for label, row in self._psnr.items()
        }
        best = sorted(
            means, key=lambda label: (min(means[label]), -means[label][min(means[label])])
        )
        for label in best[:SHOWN_BEST]:
            cells = [f"{means[label][d]:.2f}" if d in means[label] else "" for d in densities]
            table.add_row(escape(label), *cells)
        return table

    def line(self) -> str:
        """The state of the sweep in words."""
        kinds = self.kinds().values()
        counted = {name: sum(row[name] for row in kinds) for name in KIND_COLUMNS}
        parts = [
            *([self._points()] if self._points else []),
            f"{self.levels_done}/{self.levels} levels",
            f"{self.trials_done}/{len(self._of)} trials",
            *(f"{n} {name}" for name, n in counted.items() if n and name != "done"),
        ]
        if self.pace_s is not None:
            parts.append(f"{60 / self.pace_s:.3g} levels/min")
            if not self._points:
                parts.append(f"{clock(self.pace_s * sum(self._left.values()))} left")
        return ", ".join(parts)


class Progress(tune.Callback):
    """Tune's callback; every hook takes microseconds, since Tune waits for it."""

    def __init__(
        self,
        tally: Tally,
        console: Console,
        *,
        standings: Callable[[], Sequence[Standing]] = tuple,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`standings` gives the progress of running trials, `stopping` whether Ctrl-C was
        pressed."""
        self._tally = tally
        self._console = console
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None
        self._in_flight = _Watcher(standings)
        self._stopping = stopping
        self._said_so = False
        self._drawn = 0.0
        self._told_given_up = 0
        self._minute = time.monotonic()
        self._lines = 0
        self._untold = 0

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore that never happens."""
        return tune.Callback, ()

    def __enter__(self) -> "Progress":
        if self._live:
            self._in_flight.start()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the panel as one line."""
        if self._live:
            self._in_flight.stop()
            self._live.update(Text(self._tally.line()))
            self._live.stop()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a worker has the trial."""
        self._tally.begin(trial.config["trial_id"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Count a stored level, or show the reason that the worker gives instead."""
        trial_id = trial.config["trial_id"]  # the result's own `trial_id` is Tune's
        if result["ending"]:
            self._tally.found(trial_id, result["level"])
            self._print(f"{self._tally.label(trial_id)}: {result['ending']}: {result['reason']}")
            return
        self._tally.count(trial_id, result)
        self._lines += 1
        if self._live:
            return
        if self._lines > LINES_A_MINUTE:
            self._untold += 1
        else:
            self._print(f"{self._tally.label(trial_id)}  {_level(result)}  [{self._tally.line()}]")

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that no worker has the trial any more."""
        self._tally.end(trial.config["trial_id"])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Note that a worker failed; Tune starts the trial again while retries last."""
        self._tally.end(trial.config["trial_id"])
        self._print(f"{self._tally.label(trial.config['trial_id'])}: failed, going on once more")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Refresh the panel or the log."""
        if self._stopping() and not self._said_so:
            self._said_so = True
            self._print("levels in flight are finished first; Ctrl-C again to stop at once")
        for trial_id in list(self._tally.given_up)[self._told_given_up :]:
            self._print(f"{self._tally.label(trial_id)}: failed")
        self._told_given_up = len(self._tally.given_up)
        if self._live:
            if time.monotonic() - self._drawn > DRAW_S:
                self._live.update(self._panel())
                self._drawn = time.monotonic()
        elif time.monotonic() - self._minute > HEARTBEAT_S:
            untold = f"{self._untold} more levels  " if self._untold else ""
            self._print(f"{untold}[{self._tally.line()}]")
            self._minute, self._lines, self._untold = time.monotonic(), 0, 0

    def _panel(self) -> Group:
        bar = Table.grid()  # a line of its own
        bar.add_row(ProgressBar(self._tally.levels, self._tally.levels_done, width=60))
        parts: list[Any] = [bar, Text(self._tally.line()), _kinds_table(self._tally)]
        if self._in_flight.latest:
            parts.append(_in_flight_table(self._tally, self._in_flight.latest))
        if self._tally.levels_now:
            parts += [Text("selected PSNR in dB, mean over seeds:"), self._tally.frontier()]
        return Group(*parts)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Watcher(threading.Thread):
    """Reads progress from the store in a thread of its own, so that a slow store delays nobody."""

    def __init__(self, look: Callable[[], Sequence[Standing]]) -> None:
        super().__init__(daemon=True)
        self.latest: Sequence[Standing] = ()
        self._look = look
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(LOOK_S):
            with suppress(StoreError):  # it is looked at again
                self.latest = self._look()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()


def _kinds_table(tally: Tally) -> Table:
    table = Table()
    table.add_column("kind")
    for name in KIND_COLUMNS:
        table.add_column(name, justify="right")
    for kind, row in tally.kinds().items():
        table.add_row(kind, *(str(row[name]) for name in KIND_COLUMNS))
    return table


def _in_flight_table(tally: Tally, standings: Sequence[Standing]) -> Table:
    table = Table("in flight", "level", "step", "PSNR")
    known = [s for s in standings if tally.knows(s.trial_id)]
    for standing in known[:SHOWN_IN_FLIGHT]:
        psnr = "" if standing.psnr_db is None else f"{standing.psnr_db:.2f} dB"
        table.add_row(
            escape(tally.label(standing.trial_id)),
            str(standing.level),
            f"{standing.step}/{standing.steps}",
            psnr,
        )
    if len(known) > SHOWN_IN_FLIGHT:
        table.add_row(f"and {len(known) - SHOWN_IN_FLIGHT} more", "", "", "")
    return table


def _level(report: dict[str, Any]) -> str:
    psnr = "".join(
        f"  {name} {report[key]:.2f} dB"
        for name, key in (("selected", "psnr_selected_db"), ("peak", "psnr_peak_db"))
        if report[key] is not None
    )
    if report["accuracy"] is not None:
        psnr += f"  accuracy {report['accuracy']:.4f}"
    if report["frechet"] is not None:
        psnr += f"  Fréchet {report['frechet']:.4g}"
    return (
        f"level {report['level']}  density {report['density']:.4g}{psnr}  "
        f"{_ended(report['outcome'])}  {report['fit_s']:.1f} s"
    )


def _ended(outcomes: str) -> str:
    """How the fits of a level ended, in words."""
    return ", ".join(ENDED.get(one, one) for one in outcomes.split(", "))


def clock(seconds: float) -> str:
    """A duration in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
