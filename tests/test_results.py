"""What a notebook gets of a store."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lip_ray import open_store
from lip_ray.results import Results
from lip_ray.store import QueryError, StoreError

FIRST = Path(__file__).parent / "store" / "first_version"
TRIAL = "b6f43e67e912a542"


@pytest.fixture(scope="module")
def results() -> Results:
    """One trajectory of three levels."""
    return open_store(FIRST)


def test_tables_are_frames(results: Results) -> None:
    assert results.trials()["trial_id"].tolist() == [TRIAL]
    assert sorted(results.levels()["level"]) == [0, 1, 2]
    assert len(results.table("frontier")) == 3


def test_sql_answers_in_pandas_or_arrow(results: Results) -> None:
    query = "select level, kept from levels order by level"
    frame, rows = results.sql(query), results.arrow(query)
    assert rows.to_pandas().equals(frame)
    assert rows["kept"].to_pylist() == [828, 414, 207]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_masks_are_arrays_in_the_layers_shapes(results: Results, level: int) -> None:
    masks = results.masks(TRIAL, level)
    rows = results.sql(f"from masks where level = {level} order by position")
    assert list(masks) == rows["layer"].tolist()
    for mask, shape, kept in zip(masks.values(), rows["shape"], rows["kept"], strict=True):
        assert mask.dtype == np.bool_
        assert mask.shape == tuple(shape)
        assert mask.sum() == kept


def test_pictures_are_arrays(results: Results) -> None:
    clean = results.picture(TRIAL, 0, "camera", "clean")
    restored = results.picture(TRIAL, 2, "camera")
    assert clean.shape[:2] == restored.shape[:2] == (16, 16)
    assert clean.dtype == np.uint8


def test_what_is_not_there_is_said(results: Results, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no mask of level 9 of trial 'b6f43e67e912a542'"):
        results.masks(TRIAL, 9)
    with pytest.raises(StoreError, match="no picture 'clean' of 'camera' at level 2"):
        results.picture(TRIAL, 2, "camera", "clean")
    with pytest.raises(QueryError, match="levels"):
        results.table("level")
    with pytest.raises(QueryError, match="read only"):
        results.sql("delete from levels")
    with pytest.raises(StoreError, match="there is no store in"):
        open_store(tmp_path)


def test_a_sound_store_has_no_damaged_files(results: Results) -> None:
    results.levels()
    assert results.damaged == ()


def test_the_package_itself_stays_light() -> None:
    found = "[m for m in ('pandas', 'duckdb', 'torch', 'ray') if m in sys.modules]"
    heavy = f"import lip_ray, sys; print({found})"
    shown = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"
