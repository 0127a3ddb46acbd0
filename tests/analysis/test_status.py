"""How far sweeps have come, counted by hand."""

import pandas as pd
import pytest

from lip_ray.analysis import status_table

NOON = pd.Timestamp("2026-01-02 12:00")


def sweep_rows(name: str, hours: int, trials: dict[str, int]) -> list[dict[str, object]]:
    return [
        {
            "sweep": name,
            "sweep_id": f"{name}-id",
            "trial_id": trial_id,
            "levels": levels,
            "requested_at": NOON + pd.Timedelta(hours=hours),
        }
        for trial_id, levels in trials.items()
    ]


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


@pytest.fixture
def sweeps() -> pd.DataFrame:
    """An older sweep of two trials, and a newer one that shares one of them."""
    newer = sweep_rows("newer", 2, {"b": 3, "c": 1})
    return pd.DataFrame(newer + sweep_rows("older", 1, {"a": 2, "b": 3}))


def test_every_sweep_has_a_row_the_latest_last(sweeps: pd.DataFrame) -> None:
    levels = pd.DataFrame(
        level_rows("a", ["budget", "collapsed"]) + level_rows("b", ["budget", "diverged"])
    )
    older, newer = status_table(sweeps, levels).to_dict("records")
    assert older == {
        "sweep": "older",
        "sweep_id": "older-id",
        "trials": 2,
        "trials_done": 1,
        "levels": 5,
        "levels_done": 4,
        "collapsed": 1,
        "diverged": 1,
        "failed": 0,
        "last_fit": NOON + pd.Timedelta(minutes=1),
    }
    assert (newer["trials_done"], newer["levels_done"], newer["levels"]) == (0, 2, 4)


def test_a_level_of_several_images_counts_once(sweeps: pd.DataFrame) -> None:
    twice = level_rows("a", ["budget", "budget"])
    table = status_table(sweeps, pd.DataFrame(twice + twice))
    assert table["levels_done"].tolist() == [2, 0]


def test_nothing_begun_is_all_zeros(sweeps: pd.DataFrame) -> None:
    levels = pd.DataFrame(level_rows("a", ["budget"])).iloc[:0]
    table = status_table(sweeps, levels)
    assert table["levels_done"].tolist() == [0, 0]
    assert table["last_fit"].isna().all()


def test_no_sweeps_no_rows(sweeps: pd.DataFrame) -> None:
    levels = pd.DataFrame(level_rows("a", ["budget"]))
    assert status_table(sweeps.iloc[:0], levels).empty
