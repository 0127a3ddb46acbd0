"""A search as the scheduler sees it: points become trials, and what they came to is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lip_ray.engine.plan import PlannedTrial, plan
from lip_ray.engine.study import Point, Study
from lip_ray.engine.trainable import Config
from lip_ray.records import Cause
from lip_ray.store import Reader
from lip_ray.sweep import Sweep


@dataclass
class _Open:
    """A point in flight."""

    point: Point
    left: set[str]
    """Its trials, and their sources, that have not ended."""
    stopped: str = ""
    short: str = ""
    """Of GPU memory: why."""
    lost: bool = False
    """Whether a trial was given up or broken off: the point stays open for the next run."""


@dataclass
class Points:
    """Supplies the trials of one point after another and scores each once its trials have ended.

    A point whose worker was lost or killed gets no score: the same command tries it again.
    """

    sweep: Sweep
    study: Study
    reader: Reader
    take_in: Callable[[Sequence[PlannedTrial]], Sequence[Config]]
    """Makes planned trials known, and configurations of those with levels left."""
    cause: Callable[[str], tuple[Cause, str] | None]
    """Why a trial was given up, if it was."""
    exhausted: bool = False
    _open: dict[int, _Open] = field(default_factory=dict)

    def more(self) -> Sequence[Config]:
        """The trials of the next point that has any left; none while enough are in flight."""
        assert self.sweep.search
        while len(self._open) < self.sweep.search.at_once:
            point = self.study.ask()
            if point is None:
                self.exhausted = not self._open  # what another process leaves over may come yet
                return ()
            configs = self._begun(point)
            if configs:
                return configs
        return ()

    def ended(self, trial_id: str) -> None:
        """A trial is complete, was stopped, given up or broken off."""
        for number, one in list(self._open.items()):
            if trial_id in one.left:
                one.left.discard(trial_id)
                self._judge(one, trial_id)
                if not one.left:
                    del self._open[number]
                    self._tell(one)

    def hopeless(self, trial_id: str, report: dict[str, Any]) -> bool:
        """Whether a trial is stopped with the level that it reports."""
        if report["ending"]:
            return False
        reason = self.study.hopeless(trial_id, report["level"], report["psnr_selected_db"])
        for one in self._open.values():
            if reason and trial_id in one.left:
                one.stopped = reason
        return bool(reason)

    def _begun(self, point: Point) -> Sequence[Config]:
        planned = planned_point(self.sweep, point, self.reader)
        configs = self.take_in(planned)
        one = _Open(point=point, left={config["trial_id"] for config in configs})
        if one.left:
            self._open[point.number] = one
        else:
            self._tell(one)
        return configs

    def _judge(self, one: _Open, trial_id: str) -> None:
        cause = self.cause(trial_id)
        if cause and cause[0] is Cause.OUT_OF_MEMORY:
            one.short = cause[1]
        elif cause:
            one.lost = True

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


def kinds_of(sweep: Sweep) -> list[str]:
    """The kinds of all trials that a sweep will have, sources included."""
    typical = replace(sweep, trials=sweep.typical_trials())
    return [planned.trial.kind for planned in plan(typical, {})]
