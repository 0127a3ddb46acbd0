"""A search as seen by the scheduler: points become trials, and scores when these end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lip_ray.engine.gpu_share import gpu_share
from lip_ray.engine.plan import PlannedTrial, plan
from lip_ray.engine.study import Point, Study
from lip_ray.engine.trainable import Config
from lip_ray.store import Reader
from lip_ray.sweep import Sweep


@dataclass
class _Open:
    """A point whose trials are running."""

    point: Point
    left: set[str]
    """Those of its trials and their sources that have not ended."""
    stopped: str = ""
    short: str = ""
    """Why GPU memory did not suffice; empty where it did."""
    lost: bool = False
    """Whether a trial failed, so that the point is left for the next run."""


@dataclass
class Points:
    """Supplies the trials of one point after another and scores each once its trials have ended.

    A point whose worker was lost or killed gets no score: the same command tries it again.
    """

    sweep: Sweep
    study: Study
    reader: Reader
    take_in: Callable[[Sequence[PlannedTrial]], Sequence[Config]]
    """Registers planned trials, and returns configurations of those with levels left."""
    exhausted: bool = False
    _in_vain: bool = False
    """True after the sampler returned no point, until the next trial ends."""
    _open: dict[int, _Open] = field(default_factory=dict)

    def more(self) -> Sequence[Config]:
        """The trials of the next point that has any left; empty while enough are running."""
        assert self.sweep.search
        while len(self._open) < self.sweep.search.at_once and not self._in_vain:
            point = self.study.ask()
            if point is None:
                self._in_vain = True
                self.exhausted = not self._open  # what another process leaves over may come yet
                return ()
            configs = self._begun(point)
            if configs:
                return configs
        return ()

    def ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        """Note that a trial is complete or was stopped, or failed; `short` is why GPU memory did
        not suffice."""
        self._in_vain = False
        for number, one in list(self._open.items()):
            if trial_id in one.left:
                one.left.discard(trial_id)
                one.short = one.short or short
                one.lost |= given_up and not short
                if not one.left:
                    del self._open[number]
                    self._tell(one)

    def hopeless(self, trial_id: str, report: dict[str, Any]) -> bool:
        r"""Whether to stop a trial after the level that it reports.

        It is stopped if it is far behind or another trial of its point was, so that the score is
        decided.
        """
        mine = [one for one in self._open.values() if trial_id in (t.id for t in one.point.trials)]
        if report["ending"] or not mine:
            return False
        [one] = mine  # no point is asked for twice
        one.stopped = one.stopped or (
            self.study.hopeless(trial_id, report["level"], report["psnr_selected_db"]) or ""
        )
        return bool(one.stopped)

    def _begun(self, point: Point) -> Sequence[Config]:
        planned = planned_point(self.sweep, point, self.reader)
        configs = self.take_in(planned)
        one = _Open(point=point, left={config["trial_id"] for config in configs})
        if one.left:
            self._open[point.number] = one
        else:
            self._tell(one)
        return configs

    def _tell(self, one: _Open) -> None:
        if one.lost:
            return
        if one.short:
            self.study.tell(one.point.number, problem=one.short)
        elif one.stopped:
            self.study.tell(one.point.number, stopped=one.stopped)
        else:
            self.study.tell(one.point.number)


def planned_point(sweep: Sweep, point: Point, reader: Reader) -> tuple[PlannedTrial, ...]:
    """The trials of a point and their sources, with the levels that the store has."""
    several = len(point.trials) > 1
    return tuple(
        replace(one, label=f"point {point.number}" + (f" {one.label}" if several else ""))
        for one in plan(replace(sweep, trials=point.trials), reader.levels_done())
    )


def shares_of(sweep: Sweep, planned: Sequence[PlannedTrial]) -> dict[str, set[float]]:
    """The shares of a GPU that trials of each kind have by their size; empty for a search, whose
    points may have any, and where no trial asks for one."""
    if sweep.search or not sweep.run.asks_by_size:
        return {}
    found: dict[str, set[float]] = {}
    for one in planned:
        found.setdefault(one.trial.kind, set()).add(gpu_share(one.trial))
    return found
