"""Parts are verified block by block: exactly what a reader decodes, whoever reads it."""

import random
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.store import Reader, check
from lip_ray.store.files import Files, Folder
from lip_ray.store.manifest import Manifest, Origin, part_schema, publish
from lip_ray.store.paths import Damaged
from lip_ray.store.seal import BLOCK_BYTES, Seal, sealed
from lip_ray.store.upkeep import compact
from lip_ray.store.writer import Writer
from tests.store.test_files import LocalBucket

A, LAST = "0" * 16, "f" * 16
NAME = "compacted/weights-00000000.parquet"
SCHEMA = part_schema("weights")


def tensors(count: int) -> pa.Table:
    """Tensors of as many trials, that no compression makes smaller."""
    drawn = random.Random(0).randbytes
    rows = [
        {"trial_id": f"{i:016x}", "level": 0, "position": 0, "name": "w", "shape": [1000]}
        | {"dtype": "float32", "values": drawn(4000), "file": f"{i:016x}-000"}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


@pytest.fixture(params=[Folder, LocalBucket])
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """A store with one part of 100 row groups, in a folder and in a bucket."""
    monkeypatch.setattr(compact, "GROUP_BYTES", 1 << 12)
    found: Files = request.param(tmp_path)
    Writer.open(tmp_path)
    found.replace(NAME, compact.part(tensors(100)))
    return found


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def middle_of(path: Path, *, group: int, column: str) -> int:
    """A place among the values of a column."""
    found = pq.read_metadata(path).row_group(group)
    chunks = (found.column(i) for i in range(found.num_columns))
    [chunk] = [one for one in chunks if one.path_in_schema == column]
    return int(chunk.data_page_offset + chunk.total_compressed_size // 2)


def test_a_part_is_as_it_was_written(files: Files) -> None:
    whole = files.read(NAME)
    assert len(whole) > 20 * BLOCK_BYTES
    assert pq.ParquetFile(pa.BufferReader(whole)).num_row_groups == 100
    assert files.seal(NAME) is Seal.WHOLE
    assert files.parts([NAME], SCHEMA).to_table() == tensors(100)
    with files.opened(NAME) as file:
        assert file.read() == whole
    with files.opened(NAME) as file:
        draw = random.Random(1)
        for _ in range(200):
            start, size = draw.randrange(len(whole) + 9), draw.randrange(4 * BLOCK_BYTES)
            file.seek(start)
            assert file.read(size) == whole[start : start + size]
            assert file.tell() == max(start, min(start + size, len(whole)))


def test_threads_do_not_move_each_other(files: Files) -> None:
    whole = files.read(NAME)
    wrong: list[int] = []
    with files.opened(NAME) as file:

        def read_all_from(start: int) -> None:
            for place in range(start, len(whole), 5000):
                file.seek(place)
                if file.read(3000) != whole[place : place + 3000]:
                    wrong.append(place)

        readers = [threading.Thread(target=read_all_from, args=(start,)) for start in range(8)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert wrong == []


def test_only_what_is_read_is_verified(files: Files, tmp_path: Path) -> None:
    """Damage elsewhere in a part neither costs a reader anything nor takes its rows."""
    flip(tmp_path / NAME, middle_of(tmp_path / NAME, group=40, column="values"))

    def rows_of(trial: str) -> int:
        found = files.table(NAME, SCHEMA, filters=[("trial_id", "=", trial)])
        return int(found.num_rows)

    assert rows_of(A) == 1
    with pytest.raises(Damaged, match=r"weights-00000000.parquet is damaged"):
        rows_of(f"{40:016x}")
    assert files.seal(NAME) is Seal.BROKEN
    with pytest.raises(Damaged), files.opened(NAME) as file:
        file.read()


def test_a_part_that_is_cut_short_while_it_is_read(files: Files, tmp_path: Path) -> None:
    with files.opened(NAME) as file:
        with (tmp_path / NAME).open("r+b") as part:
            part.truncate(3 * BLOCK_BYTES)
        with pytest.raises((Damaged, OSError)):
            file.read(8 * BLOCK_BYTES)


@pytest.mark.parametrize("what", [b"lip_ray_blocks", b"16384:", b"lip_ray_seal", b"PAR1"])
def test_damage_to_the_checksums_themselves(files: Files, tmp_path: Path, what: bytes) -> None:
    whole = files.read(NAME)
    flip(tmp_path / NAME, whole.rindex(what) + 1)
    with pytest.raises(Damaged):
        files.opened(NAME)


def test_duckdb_sees_no_byte_that_was_not_compared(tmp_path: Path) -> None:
    """The rows of a healthy trial are answered; a question for all names the damaged part."""
    rows = pa.Table.from_pylist(
        [{"trial_id": f"{i:016x}", "level": 0, "file": f"{i:016x}-000"} for i in range(60_000)],
        part_schema("levels"),
    )
    Writer.open(tmp_path)
    path = tmp_path / "compacted" / "levels-00000000.parquet"
    path.parent.mkdir()
    path.write_bytes(compact.part(rows))
    publish(Folder(tmp_path), Manifest(version=1, parts={"levels": (f"compacted/{path.name}",)}))
    flip(path, middle_of(path, group=1, column="trial_id"))
    reader = Reader(tmp_path)
    first, last = f"{0:016x}", f"{59_999:016x}"
    for trial in (first, last):
        assert len(reader.frame("levels", trials=[trial])) == 1
    assert reader.damaged == ()
    [found] = check(tmp_path).problems[:1]
    assert found.file == f"compacted/{path.name}"
    assert reader.sql("select count(distinct trial_id) as n from levels")["n"].to_pylist() == [0]
    assert reader.damaged == (f"compacted/{path.name}",)


def test_a_part_of_a_version_without_blocks_is_verified_whole(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, store_schema=False) as file:
        file.write_table(tensors(20))
        file.add_key_value_metadata(Origin().metadata)
    files = Folder(tmp_path)
    files.publish("marker", b"")
    (tmp_path / NAME).parent.mkdir()
    (tmp_path / NAME).write_bytes(sealed(bytes(sink.getvalue())))
    assert files.seal(NAME) is Seal.WHOLE
    assert files.table(NAME, SCHEMA, columns=["name"]).num_rows == 20
    assert files.parts([NAME], SCHEMA).count_rows() == 20
    flip(tmp_path / NAME, 100)
    for read in (lambda: files.table(NAME, SCHEMA, columns=["name"]), lambda: files.opened(NAME)):
        with pytest.raises(Damaged):
            read()
