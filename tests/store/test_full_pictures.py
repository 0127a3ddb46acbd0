"""Pictures at full size in a store: they come back, and outlive all that is done to a store."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lip_ray.records import FullPicture
from lip_ray.store import Reader, StoreError, Writer, check, compact, merge

Make = Callable[..., Any]
TRIAL = "a" * 16


def full(role: str = "selected", png: bytes = b"png-full") -> FullPicture:
    return FullPicture(role=role, step=3, height=2, width=4, depth=16, png=png)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, level_record: Make, trial_record: Make, sweep_record: Make) -> Path:
    """A complete trial of two levels, each with two pictures at full size."""
    writer = Writer.open(tmp_path / "store")
    writer.write_sweep(sweep_record())
    writer.write_trial(trial_record(kind="reconstruction"))
    for level in (0, 1):
        kept = (full("measured"), full("selected", b"png-%d" % level))
        writer.write_level([level_record(level=level, masks={}, pictures=kept)])
    return tmp_path / "store"


def test_they_come_back_by_image(tmp_path: Path, level_record: Make) -> None:
    writer = Writer.open(tmp_path)
    other = level_record(image="coffee", masks={}, pictures=(full(png=b"other"),))
    writer.write_level([level_record(pictures=(full("measured"), full())), other])
    reader = Reader(tmp_path)
    assert reader.pictures(TRIAL, 0) == {
        "camera": (full("measured"), full()),
        "coffee": (full(png=b"other"),),
    }
    assert reader.pictures(TRIAL, 1) == {}
    [row] = reader.sql("select * from pictures where image = 'coffee'").to_pylist()
    assert (row["role"], row["depth"], row["png"]) == ("selected", 16, b"other")


def test_a_damaged_file_is_named(store: Path) -> None:
    path = store / "pictures" / f"{TRIAL}-001.parquet"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match=path.name):
        Reader(store).pictures(TRIAL, 1)
    assert [damage.file for damage in check(store).problems] == [f"pictures/{path.name}"]


def test_a_flipped_bit_is_found(store: Path) -> None:
    path = store / "pictures" / f"{TRIAL}-001.parquet"
    data = bytearray(path.read_bytes())
    data[data.index(b"png-1")] ^= 1
    path.write_bytes(data)
    assert [damage.file for damage in check(store).problems] == [f"pictures/{path.name}"]


def test_a_store_with_them_is_well(store: Path) -> None:
    health = check(store)
    assert health.problems == ()
    assert health.counts["pictures"] == 4


def test_one_that_belongs_to_another_level_is_found(store: Path) -> None:
    folder = store / "pictures"
    (folder / f"{TRIAL}-000.parquet").rename(folder / f"{TRIAL}-007.parquet")
    assert any("renamed or copied" in damage.what for damage in check(store).problems)


def test_levels_may_lack_them(store: Path) -> None:
    """Whoever resumes a sweep may have asked for others."""
    (store / "pictures" / f"{TRIAL}-001.parquet").unlink()
    assert check(store).problems == ()


def test_compaction_keeps_them(store: Path) -> None:
    before = Reader(store).sql("from pictures order by level, role").to_pylist()
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    assert not list((store / "levels").glob("*.parquet")), "others are folded"
    assert Reader(store).sql("from pictures order by level, role").to_pylist() == before
    assert Reader(store).pictures(TRIAL, 1)["camera"][1].png == b"png-1"
    assert check(store).problems == ()


def test_merging_copies_them_and_names_those_that_differ(store: Path, tmp_path: Path) -> None:
    assert merge(tmp_path / "all", store).conflicts == ()
    assert Reader(tmp_path / "all").pictures(TRIAL, 1) == Reader(store).pictures(TRIAL, 1)
    again = merge(tmp_path / "all", store)
    assert (again.copied, again.conflicts) == (0, ())


def test_a_crash_before_the_commit_shows_none_and_loses_none(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, link = Writer.open(tmp_path), os.link
    writer.write_level([level_record(pictures=(full(),))])

    def crash(source: Any, target: Any, **options: Any) -> None:
        if "levels" in str(target):
            raise KeyboardInterrupt
        link(source, target, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", crash)
        with pytest.raises(KeyboardInterrupt):
            writer.write_level([level_record(level=1, masks={}, pictures=(full(),))])
    assert (tmp_path / "pictures" / f"{TRIAL}-001.parquet").exists()
    asked = "select level from pictures order by level"
    assert Reader(tmp_path).sql(asked).to_pylist() == [{"level": 0}]
    assert writer.write_level([level_record(level=1, masks={}, pictures=(full(),))])
    assert Reader(tmp_path).sql(asked).to_pylist() == [{"level": 0}, {"level": 1}]


def test_a_store_of_an_older_version_has_none(store: Path) -> None:
    for path in (store / "pictures").iterdir():
        path.unlink()
    (store / "pictures").rmdir()
    reader = Reader(store)
    assert reader.pictures(TRIAL, 1) == {}
    assert reader.sql("select count(*) as n from pictures").to_pylist() == [{"n": 0}]
    assert check(store).problems == ()


def test_pngs_are_not_compressed_again(store: Path) -> None:
    meta = pq.read_metadata(store / "pictures" / f"{TRIAL}-000.parquet")
    group = meta.row_group(0)
    codecs = {group.column(place).compression for place in range(group.num_columns)}
    assert codecs == {"UNCOMPRESSED"}
