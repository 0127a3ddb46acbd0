"""Queries read whole levels and nothing else, and can do nothing but read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.records import Outcome
from lip_ray.store import QueryError, Reader, StoreError, Writer
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
    from lip_ray.store.reader import WORST_LAST

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
        ("select psnr_selectd_db from levels", '"psnr_selected_db"'),
        ("from level", "levels"),
        ("select 1; select 2", "one SQL statement is expected, got 2"),
        ("", "one SQL statement is expected, got 0"),
    ],
)
def test_wrong_sql_is_explained(store: Path, query: str, message: str) -> None:
    with pytest.raises(QueryError) as raised:
        Reader(store).sql(query)
    assert message in str(raised.value)
    assert not str(raised.value).startswith(("Parser", "Binder", "Catalog"))


def test_a_damaged_file_is_named(store: Path) -> None:
    path = store / "levels" / f"{'a' * 16}-000.parquet"
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(StoreError, match=path.name):
        Reader(store).frame("levels")
    mask = store / "masks" / f"{'a' * 16}-000.parquet"
    mask.write_bytes(b"")
    with pytest.raises(StoreError, match=f"{mask.name} is damaged"):
        Reader(store).masks("a" * 16, 0)
