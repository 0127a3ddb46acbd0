"""What trials of stores from before schema version 6 mean is read off their specs."""

from pathlib import Path

import every_kind
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.records import Facets
from lip_ray.store import Reader, compact, merge

VIEWS = ("trials", "settings", "frontier", "matching", "transfer", "sensing")


def without_facets(path: Path) -> None:
    """Have a file as an older version wrote it."""
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.drop_columns(list(Facets.names())).replace_schema_metadata(), path)


def said(store: Path) -> dict[str, list[str]]:
    """All rows of the views, in some order."""
    reader = Reader(store)
    return {view: sorted(map(repr, reader.sql(f"from {view}").to_pylist())) for view in VIEWS}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What views say of a store of today."""
    path = tmp_path_factory.mktemp("today")
    every_kind.store(path)
    return said(path)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The same store, its trials as an older version wrote them."""
    every_kind.store(tmp_path / "older")
    for path in (tmp_path / "older" / "trials").glob("*.parquet"):
        without_facets(path)
    return tmp_path / "older"


def test_loose_files(older: Path, expected: dict[str, list[str]]) -> None:
    assert said(older) == expected


def test_some_trials_alone(older: Path) -> None:
    trial = every_kind.TRIALS["moved"]
    frame = Reader(older).frame("trials", trials=[trial.id])
    assert list(frame["setting"]) == [trial.facets().setting]


def test_compaction_stores_what_was_lacking(older: Path, expected: dict[str, list[str]]) -> None:
    compact(older, grace_s=0)
    [part] = (older / "compacted").glob("trials-*.parquet")
    assert pa.compute.all(pq.read_table(part)["setting"].is_valid()).as_py()
    assert said(older) == expected


def test_parts_of_an_older_version(older: Path, expected: dict[str, list[str]]) -> None:
    compact(older, grace_s=0)
    [part] = (older / "compacted").glob("trials-*.parquet")
    without_facets(part)
    assert said(older) == expected


def test_merging_takes_rows_of_both_versions_for_one(tmp_path: Path, older: Path) -> None:
    every_kind.store(tmp_path / "today")
    merged = merge(tmp_path / "today", older)
    assert merged.copied == 0
    assert merged.conflicts == ()
