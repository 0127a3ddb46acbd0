"""A search as the scheduler sees it: which trials come when, and what is told of a point."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lip_ray.engine.plan import typical_plan
from lip_ray.engine.search_points import Points
from lip_ray.engine.study import Point
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep
from lip_ray.trials import AbstractTrial

SEARCH = """
name: searched
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 2, input_channels: 2}
  schedule: [1, 0.5]
  fit: {steps: 20, stopping: {kind: wmv, window: 10, stride: 5}}
grid: {seed: [0, 1]}
search:
  space: {fit.learning_rate: {kind: float, low: 0.001, high: 0.1, log: true}}
  objectives: [{column: psnr_selected_db, direction: maximize}]
  points: 3
  at_once: 2
"""

LEVEL = {"ending": None, "level": 0, "psnr_selected_db": 20.0}


class Scripted:
    """A study of three points, which notes what it is told."""

    def __init__(self, sweep: Sweep) -> None:
        rates = (0.01, 0.02, 0.03)
        self.points = [
            Point(number=n, params={}, trials=sweep.trials_at({"fit.learning_rate": rate}))
            for n, rate in enumerate(rates)
        ]
        self.left = list(self.points)
        self.told: list[tuple[int, str, str]] = []

    def ask(self) -> Point | None:
        return self.left.pop(0) if self.left else None

    def tell(self, number: int, *, problem: str = "", stopped: str = "") -> None:
        self.told.append((number, problem, stopped))

    def hopeless(self, trial_id: str, level: int, psnr_selected_db: float | None) -> str | None:
        return "far behind" if psnr_selected_db == 1.0 else None


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """Three points of two trials each, two points at once."""
    path = tmp_path / "searched.yaml"
    path.write_text(SEARCH)
    return Sweep.from_yaml(path)


@pytest.fixture
def study(sweep: Sweep) -> Scripted:
    """Of that sweep."""
    return Scripted(sweep)


@pytest.fixture
def points(sweep: Sweep, study: Scripted, tmp_path: Path) -> Points:
    """Over an empty store."""

    def take_in(planned: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"trial_id": one.trial.id} for one in planned if one.levels_left]

    Writer.open(tmp_path / "store")
    return Points(
        sweep=sweep,
        study=study,  # type: ignore[arg-type]
        reader=Reader(tmp_path / "store"),
        take_in=take_in,
    )


def ids(trials: Sequence[AbstractTrial]) -> list[str]:
    return [trial.id for trial in trials]


def given(points: Points) -> list[str]:
    return [config["trial_id"] for config in points.more()]


def test_no_more_points_than_allowed_are_in_flight(points: Points, study: Scripted) -> None:
    first, second, third = (ids(point.trials) for point in study.points)
    assert given(points) == first
    assert given(points) == second
    assert given(points) == [], "two are in flight"
    assert not points.exhausted
    points.ended(first[1])
    assert study.told == [], "its other seed is not there yet"
    points.ended(first[0])
    assert study.told == [(0, "", "")]
    assert given(points) == third
    assert given(points) == []
    for trial_id in (*second, *third):
        points.ended(trial_id)
    assert given(points) == []
    assert points.exhausted
    assert [number for number, _, _ in study.told] == [0, 1, 2]


def test_what_the_store_has_is_told_at_once(points: Points, study: Scripted) -> None:
    levels = dict.fromkeys(ids(study.points[0].trials), 2)
    points.reader = SimpleNamespace(levels_done=lambda: levels)  # type: ignore[assignment]
    assert given(points) == ids(study.points[1].trials)
    assert study.told == [(0, "", "")]


def test_hopeless_trials_are_told_as_stopped(points: Points, study: Scripted) -> None:
    first, second = given(points)
    assert not points.hopeless(first, LEVEL)
    assert not points.hopeless("another's", LEVEL)
    assert points.hopeless(second, LEVEL | {"psnr_selected_db": 1.0})
    assert not points.hopeless(first, LEVEL | {"ending": "store"})
    assert points.hopeless(first, LEVEL), "the point's score is decided"
    points.ended(first), points.ended(second)
    assert study.told == [(0, "", "far behind")]


def test_a_point_without_a_worker_is_left_for_the_next_run_but_not_one_without_memory(
    points: Points, study: Scripted
) -> None:
    lost, short = given(points), given(points)
    points.ended(lost[0], given_up=True)
    points.ended(lost[1])
    points.ended(short[0])
    points.ended(short[1], given_up=True, short="CUDA out of memory")
    assert study.told == [(1, "CUDA out of memory", "")]


def test_kinds_are_known_before_any_point_is(sweep: Sweep) -> None:
    assert [one.trial.kind for one in typical_plan(sweep)] == ["trajectory", "trajectory"]
