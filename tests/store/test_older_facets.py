"""What trials of stores from before schema version 6 mean is read off their specs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import every_kind
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.records import Facets
from lip_ray.store import Reader, Writer, compact, merge

VIEWS = ("trials", "settings", "frontier", "matching", "transfer", "sensing")


def without_facets(path: Path) -> None:
    """Have a file as an older version wrote it."""
    without(path, *Facets.names(), "epoch")


def without(path: Path, *columns: str) -> None:
    """Have a file as a version wrote it that did not know these columns."""
    rows = pq.read_table(path, partitioning=None)
    pq.write_table(rows.drop_columns(list(columns)).replace_schema_metadata(), path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of every kind of trial, of the first defaults; tests copy it."""
    path = tmp_path_factory.mktemp("stored")
    with every_kind.first_defaults():
        every_kind.store(path, without=every_kind.NEWER)
    return path


def said(store: Path) -> dict[str, list[str]]:
    """All rows of the views, in some order."""
    reader = Reader(store)
    return {view: sorted(map(repr, reader.sql(f"from {view}").to_pylist())) for view in VIEWS}


@pytest.fixture(scope="module")
def expected(stored: Path) -> dict[str, list[str]]:
    """What views say of such a store where the classes of trials say what they mean."""
    return said(stored)


@pytest.fixture
def older(stored: Path, tmp_path: Path) -> Path:
    """The same store, its trials as an older version wrote them."""
    shutil.copytree(stored, tmp_path / "older")
    for path in (tmp_path / "older" / "trials").glob("*.parquet"):
        without_facets(path)
    return tmp_path / "older"


def test_loose_files(older: Path, expected: dict[str, list[str]]) -> None:
    assert said(older) == expected


@pytest.mark.parametrize("table", ["sweeps", "points"])
def test_kinds_of_trials_that_were_asked_for(
    tmp_path: Path, table: str, sweep_record: Any, point_record: Any
) -> None:
    asked = [every_kind.TRIALS[name] for name in ("moved", "generator")]
    said = {
        "trial_ids": tuple(trial.id for trial in asked),
        "kinds": tuple(trial.kind for trial in asked),
        "specs": tuple(trial.model_dump_json() for trial in asked),
        "levels": tuple(trial.levels for trial in asked),
    }
    writer = Writer.open(tmp_path)
    writer.write_sweep(replace(sweep_record(), **said))
    writer.write_point(point_record(0, **said))
    writer.write_point(
        point_record(1, trial_ids=(), kinds=(), specs=(), levels=(), problem="does not go")
    )
    today = repr(Reader(tmp_path).sql(f"from {table} order by all").to_pylist())
    points = Reader(tmp_path).points("widths", "e" * 16)
    for path in (tmp_path / table).glob("*.parquet"):
        rows = pq.read_table(path, partitioning=None)
        pq.write_table(rows.drop_columns(["kind"]).replace_schema_metadata(), path)
    older = Reader(tmp_path)
    assert repr(older.sql(f"from {table} order by all").to_pylist()) == today
    assert older.points("widths", "e" * 16) == points
    kinds = older.sql(f"select kind from {table} where trial_id is not null order by position")
    assert kinds.column("kind").to_pylist() == ["transfer", "generator"]


def test_some_trials_alone(older: Path) -> None:
    whole = Reader(older).frame("trials")
    one = whole[whole["kind"] == "transfer"].iloc[0]
    frame = Reader(older).frame("trials", trials=[one["trial_id"]])
    assert list(frame["setting"]) == [one["setting"]]


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


@pytest.mark.parametrize("parts", [False, True])
def test_rows_that_lack_the_epoch_alone(
    stored: Path, tmp_path: Path, expected: dict[str, list[str]], parts: bool
) -> None:
    """As schema version 6 wrote them: their facets are the stored ones, which say no epoch."""
    store = shutil.copytree(stored, tmp_path / "store")
    if parts:
        compact(store, grace_s=0)
    for path in store.glob("compacted/trials-*" if parts else "trials/*"):
        rows = pq.read_table(path, partitioning=None)
        for name in ("network_key", "network_settings"):
            said_before = [
                json.dumps({k: v for k, v in json.loads(text).items() if k != "epoch"})
                for text in rows[name].to_pylist()
            ]
            place = rows.column_names.index(name)
            rows = rows.set_column(place, rows.schema.field(name), [pa.array(said_before)])
        pq.write_table(rows.replace_schema_metadata(), path)
        without(path, "epoch")
    assert said(store) == expected


def test_trials_of_two_epochs_are_told_apart(tmp_path: Path) -> None:
    every_kind.store(tmp_path)
    [path] = tmp_path.glob(f"trials/{every_kind.TRIALS['own'].id}.*")
    without_facets(path)
    rows = Reader(tmp_path).sql("select network_key, network_settings, epoch from trials")
    texts = {(row["epoch"], row["network_key"][:11]) for row in rows.to_pylist()}
    assert texts == {(1, '{"epoch": 1'), (2, '{"epoch": 2')}


def test_merging_takes_rows_of_both_versions_for_one(tmp_path: Path, older: Path) -> None:
    """Those that compaction has completed, and those that lack what it added."""
    shutil.copytree(older, tmp_path / "today")
    compact(tmp_path / "today", grace_s=0)
    merged = merge(tmp_path / "today", older)
    assert merged.copied == 0
    assert merged.conflicts == ()
