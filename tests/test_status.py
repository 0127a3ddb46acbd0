"""How far sweeps and searches have come, counted by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lip_ray.records import Standing
from lip_ray.status import (
    FRESH_S,
    failures_table,
    kinds_table,
    running_table,
    status_table,
)

NOON = pd.Timestamp("2026-01-02 12:00")
KINDS = {"a": "trajectory", "b": "trajectory", "c": "transfer", "d": "transfer"}

Frames = dict[str, Any]


def sweep_rows(name: str, hours: int, trials: dict[str, int]) -> list[dict[str, object]]:
    return [
        {
            "sweep": name,
            "sweep_id": f"{name}-id",
            "trial_id": trial_id,
            "levels": levels,
            "kind": KINDS[trial_id],
            "requested_at": NOON + pd.Timedelta(hours=hours),
        }
        for trial_id, levels in trials.items()
    ]


def point_row(number: int, trial_id: str | None, levels: int | None = 2) -> dict[str, object]:
    return {
        "search": "widths",
        "search_id": "widths-id",
        "number": number,
        "trial_id": trial_id,
        "levels": levels,
        "kind": None if trial_id is None else KINDS[trial_id],
        "asked_at": NOON + pd.Timedelta(minutes=90 + number),
    }


def level_rows(trial_id: str, outcomes: list[str]) -> list[dict[str, object]]:
    return [
        {
            "trial_id": trial_id,
            "level": level,
            "outcome": outcome,
            "finished_at": NOON + pd.Timedelta(minutes=level),
        }
        for level, outcome in enumerate(outcomes)
    ]


def failure_row(trial_id: str, minute: int = 0, **changes: object) -> dict[str, object]:
    return {
        "trial_id": trial_id,
        "kind": KINDS[trial_id],
        "pruner": "magnitude",
        "prior": "skip",
        "task": "denoising",
        "image": "camera",
        "seed": 0,
        "level": 1,
        "cause": "died",
        "reason": "killed",
        "traceback": "",
        "source_id": None,
        "host": "here",
        "failed_at": NOON + pd.Timedelta(minutes=minute),
        "open": True,
    } | changes


def noted(trial_id: str, seconds: float = 1.0) -> tuple[Standing, float, str]:
    return Standing(trial_id=trial_id, level=1, step=30, steps=100, psnr_db=25.5), seconds, "here"


def empty(rows: list[dict[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(rows).iloc[:0]


@pytest.fixture
def frames() -> Frames:
    """An older sweep of two trials, a newer one that shares one of them, nothing begun."""
    newer = sweep_rows("newer", 2, {"b": 3, "c": 1})
    return {
        "sweeps": pd.DataFrame(newer + sweep_rows("older", 1, {"a": 2, "b": 3})),
        "points": empty([point_row(0, "a")]),
        "levels": empty(level_rows("a", ["budget"])),
        "failures": empty([failure_row("a")]),
        "standings": [],
    }


def test_every_sweep_has_a_row_the_latest_last(frames: Frames) -> None:
    frames["levels"] = pd.DataFrame(
        level_rows("a", ["budget", "collapsed"]) + level_rows("b", ["budget", "diverged"])
    )
    older, newer = status_table(**frames).to_dict("records")
    assert older == {
        "sweep": "older",
        "sweep_id": "older-id",
        "trials": 2,
        "done": 1,
        "running": 0,
        "waiting": 1,
        "given_up": 0,
        "levels": 5,
        "levels_done": 4,
        "collapsed": 1,
        "diverged": 1,
        "failed": 0,
        "last_fit": NOON + pd.Timedelta(minutes=1),
    }
    assert (newer["done"], newer["levels_done"], newer["levels"]) == (0, 2, 4)


def test_a_level_of_several_images_counts_once(frames: Frames) -> None:
    twice = level_rows("a", ["budget", "budget"])
    frames["levels"] = pd.DataFrame(twice + twice)
    assert status_table(**frames)["levels_done"].tolist() == [2, 0]


def test_nothing_begun_is_all_zeros(frames: Frames) -> None:
    table = status_table(**frames)
    assert table["levels_done"].tolist() == [0, 0]
    assert table["waiting"].tolist() == table["trials"].tolist() == [2, 2]
    assert table["last_fit"].isna().all()


@pytest.mark.parametrize("table", [status_table, kinds_table])
def test_no_sweeps_no_rows(frames: Frames, table: Callable[..., pd.DataFrame]) -> None:
    frames["sweeps"] = frames["sweeps"].iloc[:0]
    assert table(**frames).empty


@pytest.mark.parametrize(
    ("levels_done", "failed", "seconds", "state"),
    [
        (1, False, None, "waiting"),
        (1, False, 1.0, "running"),
        (1, False, FRESH_S, "waiting"),
        (1, True, None, "given_up"),
        (1, True, 1.0, "running"),
        (1, True, FRESH_S, "given_up"),
        (2, False, None, "done"),
        (2, True, None, "done"),
        (2, True, 1.0, "done"),
    ],
)
def test_a_trial_is_in_one_state(
    frames: Frames, levels_done: int, failed: bool, seconds: float | None, state: str
) -> None:
    """A note grows old where a worker was killed; a failure is past once the trial is complete."""
    frames["sweeps"] = pd.DataFrame(sweep_rows("alone", 1, {"a": 2}))
    frames["levels"] = pd.DataFrame(level_rows("a", ["budget"] * levels_done))
    if failed:
        frames["failures"] = pd.DataFrame([failure_row("a"), failure_row("a", 1)])
    frames["standings"] = [] if seconds is None else [noted("a", seconds)]
    [row] = status_table(**frames)[["done", "running", "waiting", "given_up"]].to_dict("records")
    assert {name for name, number in row.items() if number} == {state}
    assert sum(row.values()) == 1


def test_a_search_is_a_row_with_the_trials_it_asked_for(frames: Frames) -> None:
    frames["points"] = pd.DataFrame(
        [point_row(1, "c"), point_row(0, "a"), point_row(2, "c"), point_row(3, None, None)]
    )
    frames["levels"] = pd.DataFrame(level_rows("a", ["budget", "failed"]))
    table = status_table(**frames)
    assert table["sweep"].tolist() == ["older", "widths", "newer"], "by when its first was asked"
    search = table.iloc[1]
    assert (search["trials"], search["done"], search["levels"]) == (2, 1, 4), "each trial once"
    assert search["failed"] == 1


def test_kinds_count_each_trial_once(frames: Frames) -> None:
    frames["points"] = pd.DataFrame([point_row(0, "c"), point_row(1, "d")])
    frames["levels"] = pd.DataFrame(level_rows("a", ["budget"] * 2) + level_rows("b", ["budget"]))
    frames["failures"] = pd.DataFrame([failure_row("d")])
    frames["standings"] = [noted("b")]
    same = {"trials": 2, "waiting": 0, "given_up": 0, "done": 0, "running": 0, "levels_done": 0}
    assert kinds_table(**frames).to_dict("records") == [
        same | {"kind": "trajectory", "done": 1, "running": 1, "levels": 5} | {"levels_done": 3},
        same | {"kind": "transfer", "waiting": 1, "given_up": 1, "levels": 4},
    ]


def test_running_trials_are_those_noted_lately() -> None:
    unknown = Standing(trial_id="c", level=0, step=1, steps=9), 0.5, "there"
    table = running_table([noted("a", 3.0), unknown, noted("b", FRESH_S)])
    assert table["trial_id"].tolist() == ["a", "c"]
    assert table.iloc[0].to_dict() == {
        "trial_id": "a",
        "level": 1,
        "step": 30,
        "steps": 100,
        "psnr_db": 25.5,
        "host": "here",
        "noted_s": 3.0,
    }
    assert pd.isna(table["psnr_db"][1])
    assert list(running_table([])) == list(table)


def test_failures_are_the_last_of_each_trial_that_is_incomplete() -> None:
    rows = [
        failure_row("b", 5, cause="source", source_id="a", reason="its source was given up"),
        failure_row("a", 3, reason="the second time"),
        failure_row("a", 1, reason="the first time"),
        failure_row("c", 9, open=False),
    ]
    table = failures_table(pd.DataFrame(rows))
    assert table["trial_id"].tolist() == ["a", "b"]
    assert table["reason"].tolist() == ["the second time", "its source was given up"]
    assert table["times"].tolist() == [2, 1]
    assert "traceback" not in table
    assert failures_table(empty(rows)).empty


def test_the_tables_of_an_empty_store(tmp_path: Path) -> None:
    from lip_ray.store import Reader, Writer

    Writer.open(tmp_path)
    reader = Reader(tmp_path)
    names = ("sweeps", "points", "levels", "failures")
    frames = {name: reader.frame(name) for name in names} | {"standings": reader.standings()}
    assert status_table(**frames).empty
    assert kinds_table(**frames).empty
    assert failures_table(frames["failures"]).empty
    assert running_table(frames["standings"]).empty
