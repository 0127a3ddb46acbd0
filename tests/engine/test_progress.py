"""What a person reads while a sweep runs."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lip_ray.engine.plan import plan
from lip_ray.engine.progress import Progress, Tally, clock
from lip_ray.sweep import Sweep


@pytest.fixture
def tally(tiny: Path) -> Tally:
    """Sixteen levels, of which the first trial's four are done."""
    sweep = Sweep.from_yaml(tiny)
    return Tally(plan(sweep, {sweep.trials[0].id: 4}))


def report(level: int, **changes: Any) -> dict[str, Any]:
    return {
        "level": level,
        "density": (1.0, 0.5, 0.25, 0.12)[level],
        "psnr_selected_db": 27.0 - level,
        "psnr_peak_db": 28.0 - level,
        "frechet": None,
        "ending": None,
        "outcome": "budget",
        "accuracy": None,
        "fit_s": 1.25,
    } | changes


def test_counts_follow_the_reports(tally: Tally) -> None:
    assert tally.line() == "4/16 levels, 1/4 trials, 3 waiting"
    tally.begin(tally.planned[1].trial.id)
    assert tally.line() == "4/16 levels, 1/4 trials, 1 running, 2 waiting"
    second = tally.planned[1].trial.id
    for level in range(4):
        tally.count(second, report(level))
    assert (tally.levels_done, tally.trials_done) == (8, 2)
    assert tally.line().startswith("8/16 levels, 2/4 trials, ")
    assert tally.line().endswith(" left")


def test_levels_that_end_together_are_no_pace(
    tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    beside = [planned.trial.id for planned in tally.planned[1:3]]
    for trial_id in beside:
        tally.begin(trial_id)
    for level in range(3):
        now += 60
        for trial_id in beside:
            tally.count(trial_id, report(level))
            assert tally.pace_s == pytest.approx(60 * (level + 1) / tally.levels_now)
        assert tally.pace_s == 30


def test_a_search_tells_its_points_and_not_how_long_it_takes(tiny: Path) -> None:
    tally = Tally((), lambda: "3/60 points")
    assert tally.line() == "3/60 points, 0/0 levels, 0/0 trials"
    tally.add(plan(Sweep.from_yaml(tiny), {}))
    tally.begin(tally.planned[0].trial.id)
    tally.count(tally.planned[0].trial.id, report(0))
    assert tally.line().startswith("3/60 points, 1/16 levels, 0/4 trials, 1 running, 3 waiting, ")
    assert tally.line().endswith(" levels/min")


def test_a_level_that_runs_again_is_not_counted_twice(tally: Tally) -> None:
    second = tally.planned[1].trial.id
    tally.count(second, report(0))
    tally.count(second, report(0))
    assert tally.levels_done == 5


def test_a_trial_that_another_run_has_finished_is_done(tally: Tally) -> None:
    console = Console(file=io.StringIO(), width=100)
    trial = tally.planned[1].trial
    found = {"level": 3, "ending": "found complete", "reason": "by another run"}
    progress = Progress(tally, console)
    progress.on_trial_result(0, [], SimpleNamespace(config={"trial_id": trial.id}), found)
    assert (tally.levels_done, tally.trials_done, tally.pace_s) == (8, 2, None)
    short = {"level": -1, "ending": "store", "reason": "disk full"}
    progress.on_trial_result(0, [], SimpleNamespace(config={"trial_id": trial.id}), short)
    assert tally.levels_done == 8
    last = console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
    assert last == "magnitude seed 1: store: disk full"


def test_the_frontier_is_the_mean_over_seeds(tally: Tally) -> None:
    magnitude = [p.trial.id for p in tally.planned if p.label == "magnitude"]
    for trial_id, psnr in zip(magnitude, (20.0, 30.0), strict=True):
        tally.count(trial_id, report(1, psnr_selected_db=psnr))
    tally.count(magnitude[0], report(2, psnr_selected_db=None))
    console = Console(file=io.StringIO(), width=100)
    console.print(tally.frontier())
    assert "25.00" in console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_lines_in_a_pipe(tally: Tally) -> None:
    console = Console(file=io.StringIO(), width=40)
    trial = tally.planned[1].trial
    tune_trial = SimpleNamespace(config={"trial_id": trial.id})
    with Progress(tally, console) as progress:
        progress.on_trial_result(0, [], tune_trial, report(1) | {"trial_id": "Tune's own"})
        progress.on_trial_recover(0, [], tune_trial)
        tally.give_up(trial.id)
        progress.on_step_end(0, [])
        progress.on_step_end(0, [])
    level, recovered, broken = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert level.startswith(
        "magnitude seed 1  level 1  density 0.5  selected 26.00 dB  peak 27.00 dB  all steps  1.2 s"
    )
    assert "6/16 levels" in level
    assert recovered == "magnitude seed 1: failed, going on once more"
    assert broken == "magnitude seed 1: failed"
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_live_panel_on_a_terminal(tally: Tally) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    tune_trial = SimpleNamespace(config={"trial_id": tally.planned[1].trial.id})
    with Progress(tally, console) as progress:
        progress.on_trial_result(0, [], tune_trial, report(1))
        progress.on_step_end(0, [])
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "6/16 levels" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (90061, "25 h 01 min")],
)
def test_durations_as_people_say_them(seconds: float, text: str) -> None:
    assert clock(seconds) == text
