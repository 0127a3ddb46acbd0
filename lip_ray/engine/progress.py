"""What a person sees while a sweep runs: a live panel on a terminal, plain lines elsewhere."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
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

HEARTBEAT_S = 60.0


@dataclass
class Tally:
    """What is done and what is left, and the frontier so far."""

    planned: Sequence[PlannedTrial]
    started: float = field(default_factory=time.monotonic)
    levels_now: int = 0
    """Levels finished by this run."""

    def __post_init__(self) -> None:
        self._of = {planned.trial.id: planned for planned in self.planned}
        self._left = {planned.trial.id: planned.levels_left for planned in self.planned}
        self._psnr: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.trials_failed = 0

    @property
    def levels(self) -> int:
        """All levels of the sweep."""
        return sum(planned.trial.levels for planned in self.planned)

    @property
    def levels_done(self) -> int:
        """Those in the store."""
        return self.levels - sum(self._left.values())

    @property
    def trials_done(self) -> int:
        """Trials without a missing level."""
        return sum(left == 0 for left in self._left.values())

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this run so far; unknown before its first level."""
        if not self.levels_now:
            return None
        pace = (time.monotonic() - self.started) / self.levels_now
        return pace * sum(self._left.values())

    def label(self, trial_id: str) -> str:
        """The trial in a few words."""
        planned = self._of[trial_id]
        return f"{planned.label} seed {planned.trial.seed_used}"

    def count(self, trial_id: str, report: dict[str, Any]) -> None:
        """Take in one finished level."""
        planned = self._of[trial_id]
        self._left[planned.trial.id] = planned.trial.levels - report["level"] - 1
        self.levels_now += 1
        if report["psnr_selected_db"] is not None:
            self._psnr[planned.label][report["density"]].append(report["psnr_selected_db"])

    def frontier(self) -> Table:
        """Mean selected PSNR by density, of the levels finished in this run."""
        densities = sorted({d for row in self._psnr.values() for d in row}, reverse=True)
        table = Table()
        table.add_column("density")
        for density in densities:
            table.add_column(f"{density:.3g}", justify="right")
        for label, row in self._psnr.items():
            cells = [f"{fmean(row[d]):.2f}" if d in row else "" for d in densities]
            table.add_row(escape(label), *cells)
        return table

    def line(self) -> str:
        """Where the sweep stands."""
        failed = f", {self.trials_failed} given up" if self.trials_failed else ""
        left = self.seconds_left
        time_left = f", {clock(left)} left" if left is not None else ""
        return (
            f"{self.levels_done}/{self.levels} levels, "
            f"{self.trials_done}/{len(self.planned)} trials{failed}{time_left}"
        )


class Progress(tune.Callback):
    """Tune's callback; every hook takes microseconds, since Tune waits for it."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self._console = console
        self._live = Live(console=console, refresh_per_second=2) if console.is_terminal else None
        self._last_line = time.monotonic()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore that never happens."""
        return tune.Callback, ()

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.update(Text(self._tally.line()))
            self._live.stop()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A level is in the store."""
        trial_id = trial.config["trial_id"]  # the result's own `trial_id` is Tune's
        self._tally.count(trial_id, result)
        if not self._live:
            label = self._tally.label(trial_id)
            self._print(f"{label}  {_level(result)}  [{self._tally.line()}]")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker failed; Tune starts the trial again while retries last."""
        self._print(f"{self._tally.label(trial.config['trial_id'])}: failed, going on once more")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker failed, and retries are used up."""
        self._tally.trials_failed += 1
        self._print(f"{self._tally.label(trial.config['trial_id'])}: given up")

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Keep the panel, or the log, alive."""
        if self._live:
            self._live.update(self._panel())
        elif time.monotonic() - self._last_line > HEARTBEAT_S:
            self._print(f"[{self._tally.line()}]")

    def _panel(self) -> Group:
        bar = ProgressBar(total=self._tally.levels, completed=self._tally.levels_done, width=60)
        parts: list[Any] = [bar, Text(self._tally.line())]
        if self._tally.levels_now:
            parts += [Text("selected PSNR in dB, mean over seeds:"), self._tally.frontier()]
        return Group(*parts)

    def _print(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


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
        f"{report['outcome']}  {report['fit_s']:.1f} s"
    )


def clock(seconds: float) -> str:
    """A duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
