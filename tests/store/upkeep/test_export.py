"""Export: a table or view as one file, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lip_ray.columns import REGISTRY
from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.store import QueryError, Reader, StoreError, Writer
from lip_ray.store.upkeep.export import export


@pytest.fixture
def store(
    tmp_path: Path,
    trial_record: Callable[..., TrialRecord],
    level_record: Callable[..., LevelRecord],
) -> Path:
    """One trial of two levels."""
    writer = Writer.open(tmp_path / "store")
    writer.write_trial(trial_record())
    for level in (0, 1):
        writer.write_level([level_record(level=level)])
    return tmp_path / "store"


@pytest.mark.parametrize("table", REGISTRY)
def test_parquet_holds_what_a_query_gives(store: Path, tmp_path: Path, table: str) -> None:
    """Every table and view, also those without rows."""
    expected = Reader(store).sql(f"from {table}")
    assert export(store, table, tmp_path / "out.parquet") == expected.num_rows
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column_names == expected.column_names
    assert sorted(map(repr, found.to_pylist())) == sorted(map(repr, expected.to_pylist()))


def test_csv_holds_the_same_numbers(store: Path, tmp_path: Path) -> None:
    """With a head of names."""
    assert export(store, "levels", tmp_path / "out.CSV") == 2
    expected = Reader(store).frame("levels")
    found = pd.read_csv(tmp_path / "out.CSV")
    assert list(found.columns) == list(expected.columns)
    assert found["psnr_selected_db"].tolist() == expected["psnr_selected_db"].tolist()


@pytest.mark.parametrize(
    ("table", "said"),
    [("level", "did you mean 'levels'"), ("LEVELS", "did you mean 'levels'"), ("x y", "'x y'")],
)
def test_an_unknown_table_is_named_with_the_nearest(
    store: Path, tmp_path: Path, table: str, said: str
) -> None:
    """And all that there are."""
    with pytest.raises(QueryError, match=said) as error:
        export(store, table, tmp_path / "out.csv")
    assert "reconstructions" in str(error.value)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["out", "out.json", "out.parquet.gz"])
def test_another_suffix_is_refused(store: Path, tmp_path: Path, name: str) -> None:
    """Before anything is read."""
    with pytest.raises(StoreError, match=r"must end in \.parquet or \.csv"):
        export(store, "levels", tmp_path / name)


def test_a_file_that_is_there_is_kept_unless_told_otherwise(store: Path, tmp_path: Path) -> None:
    """It may be somebody's work."""
    output = tmp_path / "out.csv"
    output.write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        export(store, "levels", output)
    assert output.read_text() == "mine"
    export(store, "levels", output, overwrite=True)
    assert len(pd.read_csv(output)) == 2


def test_a_file_that_cannot_be_written_leaves_nothing_behind(store: Path, tmp_path: Path) -> None:
    """No folder, no file; a folder in its place stays."""
    with pytest.raises(StoreError, match="cannot be written"):
        export(store, "levels", tmp_path / "none/out.csv")
    (tmp_path / "out.csv").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        export(store, "levels", tmp_path / "out.csv", overwrite=True)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
