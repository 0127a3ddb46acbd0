"""A store's files behave alike in a folder and in a bucket."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem

from lip_ray.store.files import Bucket, Files, Folder, files_of
from lip_ray.store.paths import Damaged, StoreError

SCHEMA = pa.schema([("file", pa.string()), ("n", pa.int32()), ("later", pa.float64())])


class LocalBucket(Bucket):
    """A bucket whose object store is a folder."""

    def __init__(self, root: Path) -> None:
        self._system = LocalFileSystem()
        self._root = self.where = str(root)


@pytest.fixture(params=[Folder, LocalBucket])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    """One of each kind, still empty."""
    found: Files = request.param(tmp_path / "a [1] ?")
    found.publish("marker", b"")
    return found


def parquet(rows: dict[str, list[object]]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows, pa.schema([SCHEMA.field(name) for name in rows])), sink)
    return bytes(sink.getvalue())


def test_the_first_content_stays(files: Files) -> None:
    assert files.publish("levels/a", b"one")
    assert files.publish("levels/a", b"one"), "the same again is no conflict"
    assert not files.publish("levels/a", b"two")
    assert files.read("levels/a") == b"one"


def test_what_is_replaced_is_the_latest(files: Files) -> None:
    files.replace("running/a", b"one")
    files.replace("running/a", b"two", durable=False)
    assert files.read("running/a") == b"two"


def test_names_are_those_of_complete_files_in_order(files: Files) -> None:
    assert files.names("levels") == []
    for name in ("b.parquet", "a.parquet", ".c.parquet"):
        files.publish(f"levels/{name}", b"")
    files.publish("other/d", b"")
    assert files.names("levels") == ["levels/a.parquet", "levels/b.parquet"]


def test_folders_are_no_files(files: Files, tmp_path: Path) -> None:
    files.publish("levels/a", b"")
    (tmp_path / "a [1] ?" / "levels" / "folder").mkdir()
    assert files.names("levels") == ["levels/a"]


def test_what_is_not_there(files: Files) -> None:
    assert not files.exists("levels/a")
    files.remove("levels/a")
    acts: list[Callable[[], object]] = [
        lambda: files.read("levels/a"),
        lambda: files.modified("levels/a"),
        lambda: files.table("levels/a", SCHEMA),
        lambda: files.table("levels/a", SCHEMA, columns=["n"]),
    ]
    for act in acts:
        with pytest.raises(FileNotFoundError):
            act()


def test_removed(files: Files) -> None:
    files.publish("levels/a", b"one")
    assert files.exists("levels/a")
    files.remove("levels/a")
    assert not files.exists("levels/a")


def test_ages_are_told_by_the_stores_clock(files: Files, tmp_path: Path) -> None:
    files.publish("levels/a", b"")
    assert abs(files.clock() - files.modified("levels/a")) < 60
    os.utime(tmp_path / "a [1] ?" / "levels" / "a", (time.time() - 1e6, time.time() - 1e6))
    assert files.clock() - files.modified("levels/a") == pytest.approx(1e6, abs=60)
    assert files.names("") == ["/marker"], "asking for the time leaves nothing behind"


def test_probing_leaves_nothing_behind(files: Files, tmp_path: Path) -> None:
    files.probe()
    assert [path.name for path in (tmp_path / "a [1] ?").iterdir()] == ["marker"]


def test_rows_have_the_columns_of_the_schema(files: Files) -> None:
    files.publish("levels/a", parquet({"file": ["x", "y"], "n": [1, 2]}))
    assert files.table("levels/a", SCHEMA).to_pylist() == [
        {"file": "x", "n": 1, "later": None},
        {"file": "y", "n": 2, "later": None},
    ]
    some = files.table("levels/a", SCHEMA, columns=["n"], filters=[("file", "=", "y")])
    assert some.to_pylist() == [{"n": 2}]
    files.publish("levels/b", parquet({"n": [3], "later": [0.5]}))
    both = files.dataset(files.names("levels"), SCHEMA).to_table()
    assert both["n"].to_pylist() == [1, 2, 3]
    assert both.schema == SCHEMA
    assert files.dataset([], SCHEMA).to_table().num_rows == 0


@pytest.mark.parametrize("keep", [0, 4, 60, -9])
@pytest.mark.parametrize("columns", [None, ["n"]])
def test_a_file_cut_short_is_damaged(files: Files, keep: int, columns: list[str] | None) -> None:
    files.publish("levels/a", parquet({"file": ["x"], "n": [1]})[:keep])
    with pytest.raises(Damaged, match="levels/a is damaged"):
        files.table("levels/a", SCHEMA, columns=columns)


def test_a_column_of_another_type_is_damage(files: Files) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"n": [[1.5]]}), sink)
    files.publish("levels/a", bytes(sink.getvalue()))
    with pytest.raises(Damaged):
        files.table("levels/a", SCHEMA)


def test_a_store_that_is_away_is_no_damage(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(name: str) -> bytes:
        raise TimeoutError

    files.publish("levels/a", b"")
    monkeypatch.setattr(files, "read", away)
    for columns in (None, ["n"]):
        with pytest.raises(TimeoutError):
            files.table("levels/a", SCHEMA, columns=columns)


def test_only_the_roots_own_files_make_the_root(tmp_path: Path) -> None:
    """Below a mount that is gone nothing must be written."""
    files = Folder(tmp_path / "not" / "yet")
    for name in ("levels/a", "running/a"):
        with pytest.raises(FileNotFoundError):
            files.publish(name, b"")
    assert files.publish("marker", b"")


def test_a_store_is_where_its_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files_of("~/store").where == str(tmp_path / "store")
    assert files_of(f"file://{tmp_path}/store").where == str(tmp_path / "store")
    assert files_of(tmp_path / "store").local("levels/a") == tmp_path / "store" / "levels" / "a"
    bucket = files_of("mock://bucket/some/prefix/")
    assert bucket.where == "mock://bucket/some/prefix"
    assert bucket.local("levels/a") is None


@pytest.mark.parametrize(
    "store", ["ftp://host/store", "s3://", "s3://bucket/store?regio=eu-west-1", "s3://[x/store"]
)
def test_a_name_that_is_not_understood_says_what_is(store: str) -> None:
    with pytest.raises(StoreError, match=r"a store is a folder, or s3://bucket/prefix"):
        files_of(store)


@pytest.mark.parametrize(
    "store", ["s3://me:s3cret@bucket/store", "s3://me:s3c/ret@bucket/x", "s3://s3cret@bucket"]
)
def test_credentials_are_refused_and_not_repeated(store: str) -> None:
    with pytest.raises(StoreError) as raised:
        files_of(store)
    assert "s3c" not in str(raised.value)
