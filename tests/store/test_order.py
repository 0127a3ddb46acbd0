"""Rows of a table come in the same order each time, however many threads have read them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import every_kind
import pytest

from lip_ray.store import Reader, Writer
from lip_ray.store.schema import TABLES
from lip_ray.store.views import JOINED, ROW_KEY

Make = Callable[..., Any]

ONLY_WHERE_ASKED_FOR = {"weights", "networks", "pictures"}
"""Tables with what is large: none of these trials stores it."""


@pytest.fixture
def reader(tmp_path: Path, level_record: Make, trial_record: Make) -> Reader:
    """Thirty trials of two levels, with rows in every table of levels."""
    writer = Writer.open(tmp_path)
    for number in range(30):
        trial_id = f"{number * 7 % 30:016x}"
        writer.write_trial(trial_record(trial_id))
        for level in (0, 1):
            writer.write_level([level_record(trial_id, level)])
    return Reader(tmp_path)


@pytest.mark.parametrize("table", sorted({*JOINED} - ONLY_WHERE_ASKED_FOR))
def test_rows_are_in_the_order_of_what_tells_them_apart(table: str, reader: Reader) -> None:
    key = [name for name in ROW_KEY if name in TABLES[table].names]
    rows = reader.frame(table)[key].apply(tuple, axis="columns").to_list()
    assert len(rows) >= 30
    assert rows == sorted(set(rows))


def test_the_rows_of_some_trials_are_in_the_same_order(tmp_path: Path) -> None:
    reader = every_kind.store(tmp_path)
    whole = reader.frame("choices")
    chosen = sorted(whole["trial_id"].unique())[1::2]
    some = reader.frame("choices", trials=chosen)
    same = whole[whole["trial_id"].isin(chosen)].reset_index(drop=True)
    assert some.equals(same)
