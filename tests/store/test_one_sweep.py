"""A reader that is narrowed to one sweep has that sweep's trials in every table and view."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.records import Standing
from lip_ray.store import Reader, StoreError, Writer, compact

Make = Callable[..., Any]

FULL, QUICK, SOURCE = "a" * 16, "b" * 16, "c" * 16


@pytest.fixture(params=["loose", "compacted"])
def store(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    trial_record: Make,
    level_record: Make,
    sweep_record: Make,
    point_record: Make,
    score_record: Make,
    failure_record: Make,
) -> Path:
    """Two runs of one sweep, of one trial each, their source, and a search with a point of both."""
    writer = Writer.open(tmp_path / "store")
    for trial in (FULL, QUICK, SOURCE):
        writer.write_trial(trial_record(trial, source_ids=(SOURCE,) if trial != SOURCE else ()))
        for level in (0, 1):
            writer.write_level([level_record(trial, level)])
    for trial, sweep_id in ((FULL, "1" * 16), (QUICK, "2" * 16)):
        asked = {"kinds": ("trajectory",), "specs": ("{}",), "levels": (2,)}
        writer.write_sweep(sweep_record(sweep_id, (trial,), **asked))
    writer.write_point(point_record())
    writer.write_score(score_record())
    writer.write_failure(failure_record(QUICK))
    if request.param == "compacted":
        compact(tmp_path / "store", grace_s=0)
    return tmp_path / "store"


TABLES = ("trials", "levels", "masks", "curves", "choices", "reconstructions", "settings")


@pytest.mark.parametrize("table", TABLES)
def test_tables_and_views_have_the_trials_that_it_asked_for(store: Path, table: str) -> None:
    every, one = Reader(store), Reader(store, sweep="1" * 16)
    assert set(every.frame(table)["trial_id"]) == {FULL, QUICK, SOURCE}
    assert set(one.frame(table)["trial_id"]) == {FULL}
    assert set(one.frame(table, trials=[FULL, QUICK])["trial_id"]) == {FULL}
    assert one.frame(table, trials=[QUICK]).empty
    assert one.sql(f"select distinct trial_id from {table}").to_pylist() == [{"trial_id": FULL}]


def test_a_name_is_all_its_runs_and_sources_stay_out(store: Path) -> None:
    named = Reader(store, sweep="study")
    assert set(named.frame("trials")["trial_id"]) == {FULL, QUICK}
    assert set(named.levels_done()) == {FULL, QUICK}
    assert set(named.frame("sweeps")["sweep_id"]) == {"1" * 16, "2" * 16}
    assert named.frame("points").empty
    assert list(named.frame("failures")["trial_id"]) == [QUICK]


def test_a_search_is_a_sweep(store: Path) -> None:
    search = Reader(store, sweep="widths")
    assert set(search.frame("points")["trial_id"]) == {FULL, QUICK}
    assert len(search.frame("pareto")) == 1
    assert search.frame("sweeps").empty
    assert Reader(store, sweep="1" * 16).frame("scores").empty


def test_trials_in_flight_are_its_own(store: Path) -> None:
    writer = Writer.open(store)
    for trial in (FULL, QUICK):
        writer.note_standing(Standing(trial_id=trial, level=1, step=3, steps=9, psnr_db=20.0))
    one = Reader(store, sweep="2" * 16)
    assert [standing.trial_id for standing, _, _ in one.standings()] == [QUICK]
    assert len(Reader(store).standings()) == 2


def test_a_sweep_that_grows_is_read_as_it_is_now(store: Path, sweep_record: Make) -> None:
    one = Reader(store, sweep="study")
    asked = {"kinds": ("trajectory",), "specs": ("{}",), "levels": (2,)}
    Writer.open(store).write_sweep(sweep_record("3" * 16, (SOURCE,), **asked))
    assert set(one.frame("trials")["trial_id"]) == {FULL, QUICK, SOURCE}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("studdy", "no sweep 'studdy' in .*; did you mean 'study'"),
        ("3" * 16, rf"there are: study \({'1' * 16}, {'2' * 16}\), widths$"),
        ("", "no sweep ''"),
        ("x' or 'a' = 'a", "no sweep"),
    ],
)
def test_a_wrong_name_lists_those_there_are(store: Path, wrong: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Reader(store, sweep=wrong)


def test_an_empty_store_has_none(tmp_path: Path) -> None:
    Writer.open(tmp_path)
    with pytest.raises(StoreError, match="there are: none"):
        Reader(tmp_path, sweep="study")
