"""Queries read whole levels and nothing else, and can do nothing but read."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lip_ray.records import Outcome
from lip_ray.store import QueryError, Reader, StoreError, Writer
from lip_ray.store.files import Folder
from lip_ray.store.schema import TABLES

Make = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path, level_record: Make, trial_record: Make, sweep_record: Make) -> Path:
    """Two trials of two levels: one complete, one with its first level only."""
    writer = Writer.open(tmp_path)
    writer.write_sweep(sweep_record())
    for trial_id, levels in (("a" * 16, 2), ("b" * 16, 1)):
        writer.write_trial(trial_record(trial_id))
        for level in range(levels):
            writer.write_level([level_record(trial_id, level)])
    return tmp_path


def test_an_empty_store_has_every_table_with_its_columns(tmp_path: Path) -> None:
    Writer.open(tmp_path)
    reader = Reader(tmp_path)
    for table, schema in TABLES.items():
        frame = reader.frame(table)
        assert frame.empty
        assert list(frame)[: len(schema.names)] == schema.names
    assert reader.levels_done() == {}


def test_no_store_is_one_message(tmp_path: Path) -> None:
    assert not Reader.exists(tmp_path)
    with pytest.raises(StoreError, match="there is no store in"):
        Reader(tmp_path)


def test_a_trial_is_incomplete_until_its_last_level_and_then_as_bad_as_its_worst(
    store: Path, level_record: Make
) -> None:
    ended = "select outcome, levels_done from trials where trial_id = '{}'"
    [complete] = Reader(store).sql(ended.format("a" * 16)).to_pylist()
    assert complete == {"outcome": "budget", "levels_done": 2}
    [begun] = Reader(store).sql(ended.format("b" * 16)).to_pylist()
    assert begun == {"outcome": "incomplete", "levels_done": 1}
    Writer.open(store).write_level([level_record("b" * 16, 1, outcome=Outcome.COLLAPSED)])
    [collapsed] = Reader(store).sql(ended.format("b" * 16)).to_pylist()
    assert collapsed == {"outcome": "collapsed", "levels_done": 2}


def test_every_outcome_has_its_place_in_the_order_of_badness() -> None:
    from lip_ray.store.views import WORST_LAST

    assert sorted(WORST_LAST) == sorted(Outcome)


def test_a_mask_waits_for_its_level_to_be_seen(store: Path) -> None:
    reader = Reader(store)
    seen = reader.sql("select distinct trial_id, level from masks order by all").to_pylist()
    assert [(row["trial_id"][0], row["level"]) for row in seen] == [("a", 0), ("a", 1), ("b", 0)]
    assert reader.masks("b" * 16, 1) is not None, "but the trial goes on from it"
    assert reader.masks("b" * 16, 2) is None


def test_levels_count_as_done_up_to_the_first_gap(store: Path, level_record: Make) -> None:
    writer = Writer.open(store)
    writer.write_level([level_record("b" * 16, 2)])
    writer.write_level([level_record("c" * 16, 1)])
    assert Reader(store).levels_done() == {"a" * 16: 2, "b" * 16: 1, "c" * 16: 0}


def test_drafts_are_not_read(store: Path) -> None:
    (store / "levels" / ".x.parquet.host.1.abc.tmp").write_bytes(b"half a file")
    (store / "levels" / ".hidden.parquet").write_bytes(b"half a file")
    assert len(Reader(store).frame("levels")) == 3


@pytest.mark.parametrize("name", ["it's", "a [1] b", "q?*"])
def test_a_folder_may_be_called_anything(tmp_path: Path, level_record: Make, name: str) -> None:
    Writer.open(tmp_path / name).write_level([level_record()])
    assert len(Reader(tmp_path / name).frame("levels")) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "delete from levels",
        "create table mine as from levels",
        "copy levels to 'levels.csv'",
        "copy levels to '{store}/levels/z.parquet'",
        "attach 'other.db'",
        "set threads = 1",
        "pragma database_list",
        "explain analyze copy levels to '{store}/levels/z.parquet'",
        "install httpfs",
    ],
)
def test_nothing_but_reading_is_allowed(store: Path, statement: str) -> None:
    before = sorted(store.rglob("*"))
    with pytest.raises(QueryError, match="the store is read only: select is allowed"):
        Reader(store).sql(statement.format(store=store))
    assert sorted(store.rglob("*")) == before


def test_other_files_cannot_be_read(store: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    secret.write_text("a\n1\n")
    with pytest.raises(QueryError, match="disabled by configuration"):
        Reader(store).sql(f"from read_csv('{secret}')")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selec 1", "syntax error at or near"),
        ("select *\nfrom levels\nwher level = 1", "LINE 3: wher level = 1\n             ^^^^^"),
        ("select psnr_selectd_db from levels", '"psnr_selected_db"'),
        ("select outcom from trials", '"outcome"'),
        ("select trial_idd from curves", '"trial_id"'),
        ("select l.kep from levels as l", 'Did you mean "kept"'),
        ("select l.nothing_like_it from levels as l", 'named "nothing_like_it"'),
        ("from level", "levels"),
        ("from matchin", "matching"),
        ("select 1; select 2", "one SQL statement is expected, got 2"),
        ("", "one SQL statement is expected, got 0"),
    ],
)
def test_wrong_sql_is_explained(store: Path, query: str, message: str) -> None:
    with pytest.raises(QueryError) as raised:
        Reader(store).sql(query)
    assert message in str(raised.value)
    assert not str(raised.value).startswith(("Parser", "Binder", "Catalog"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("error('mine')", "mine"),
        ("'x'::int", "Could not convert string 'x' to INT32"),
        ("((range + 10) * 10 ** 18)::bigint", "out of range"),
    ],
)
@pytest.mark.parametrize("row", [0, 850_000])
def test_what_goes_wrong_after_the_first_rows_is_of_the_query_too(
    store: Path, row: int, value: str, message: str
) -> None:
    query = f"select case when range = {row} then {value} end as found from range(1000000)"
    with pytest.raises(QueryError, match=message) as raised:
        Reader(store).sql(query)
    assert "Error: " not in str(raised.value)


REMAINS = [b"", b"PAR1 and then nothing", b"\x00" * 4096]


@pytest.mark.parametrize("remains", REMAINS, ids=["empty", "cut short", "zeros"])
@pytest.mark.parametrize(
    "table", ["levels", "trials", "curves", "choices", "masks", "reconstructions"]
)
def test_a_damaged_file_is_left_out_and_named(store: Path, table: str, remains: bytes) -> None:
    reader = Reader(store)
    whole = len(reader.frame(table))
    path = next((store / table).glob(f"{'a' * 16}-000*"), None) or next((store / table).iterdir())
    lost = pq.read_metadata(path).num_rows
    path.write_bytes(remains)
    damaged = Reader(store)
    assert damaged.damaged == ()
    counted = damaged.sql(f"select count(*) as n from {table}").to_pylist()
    assert damaged.damaged == (f"{table}/{path.name}",)
    assert counted[0]["n"] == len(damaged.frame(table))
    assert whole - lost <= counted[0]["n"] < whole
    assert damaged.damaged == (f"{table}/{path.name}",)


def test_what_nobody_asks_for_is_not_missed(store: Path) -> None:
    curve = store / "curves" / f"{'b' * 16}-000.parquet"
    curve.write_bytes(b"PAR1 and then nothing")
    reader = Reader(store)
    assert len(reader.frame("levels")) == 3
    assert reader.damaged == ()


def test_a_damaged_mask_is_named(store: Path) -> None:
    mask = store / "masks" / f"{'a' * 16}-000.parquet"
    mask.write_bytes(b"")
    with pytest.raises(StoreError, match=f"{mask.name} is damaged"):
        Reader(store).masks("a" * 16, 0)


def test_a_mistake_in_a_query_reads_no_file_to_find_out(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Folder, "table", read)
    with pytest.raises(QueryError, match="psnr_selected_db"):
        Reader(store).sql("select psnr_selcted_db from levels")


def test_rows_of_some_trials(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of others are not read."""
    for path in (store / "curves").glob("a*"):
        path.write_bytes(b"")
    reader = Reader(store)
    assert set(reader.frame("curves", trials=["b" * 16])["trial_id"]) == {"b" * 16}
    assert set(reader.frame("levels", trials=["a" * 16])["level"]) == {0, 1}
    assert reader.frame("levels", trials=[]).empty
    assert reader.frame("levels", trials=["it's none"]).empty
    assert reader.damaged == ()


def test_a_file_is_read_once_and_new_ones_are_seen(
    store: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    bytes_of = Folder.read

    def noted(folder: Folder, name: str) -> bytes:
        read.extend([name] if name.startswith("levels/") else [])
        return bytes_of(folder, name)

    monkeypatch.setattr(Folder, "read", noted)
    reader = Reader(store)
    counted = "select trial_id[1] as trial, count(*) as levels from levels group by 1 order by 1"
    assert reader.sql(counted)["levels"].to_pylist() == [2, 1]
    Writer.open(store).write_level([level_record("b" * 16, 1)])
    for _ in range(2):
        assert reader.sql(counted)["levels"].to_pylist() == [2, 2]
    assert len(read) == len(set(read)) == 4
    assert Reader(store).sql(counted) == reader.sql(counted)


def test_a_store_that_was_made_anew_is_read_anew(store: Path, level_record: Make) -> None:
    reader = Reader(store)
    assert len(reader.frame("levels")) == 3
    shutil.rmtree(store)
    Writer.open(store).write_level([level_record("c" * 16)])
    assert reader.frame("levels")["trial_id"].tolist() == ["c" * 16]


LATER_TABLES = {"failures", "points", "scores"}
LATER_COLUMNS = {
    "accuracy",
    "accuracy_final",
    "split",
    "l2_per_pixel",
    "critic_gap",
    "frechet",
    "unfinished",
}


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_store_of_an_older_lip_ray_is_read_and_written_on(
    store: Path, level_record: Make, failure_record: Make, version: int
) -> None:
    """It has fewer tables, and files of it have fewer columns."""
    (store / "lip-ray-store.json").write_text(json.dumps({"schema_version": version}))
    for path in (store / "levels").iterdir():
        rows = pq.read_table(path)
        pq.write_table(rows.drop_columns(sorted(LATER_COLUMNS)).replace_schema_metadata(), path)
    assert not LATER_TABLES & {path.name for path in store.iterdir()}

    reader = Reader(store)
    assert len(reader.frame("levels")) == 3
    assert reader.frame("levels")["accuracy"].isna().all()
    for table in (*LATER_TABLES, "timings"):
        assert list(reader.frame(table))
    assert reader.frame("trials")["outcome"].tolist() == ["budget", "incomplete"]

    writer = Writer.open(store)
    writer.write_failure(failure_record("b" * 16))
    assert reader.frame("trials")["outcome"].tolist() == ["budget", "given up"]
    writer.write_level([level_record("b" * 16, 1, accuracy=0.5)])
    assert sorted(reader.frame("levels")["accuracy"].dropna()) == [0.5]
    assert reader.frame("failures")["open"].tolist() == [False]
    assert json.loads((store / "lip-ray-store.json").read_text()) == {"schema_version": version}


def test_a_sweep_without_trials_of_its_own_is_noted_too(store: Path, sweep_record: Make) -> None:
    """As one that searches, whose trials come with its points."""
    bare = replace(sweep_record(), sweep="search", trial_ids=(), kinds=(), specs=(), levels=())
    Writer.open(store).write_sweep(bare)
    assert set(Reader(store).frame("sweeps")["sweep"]) == {"study"}
