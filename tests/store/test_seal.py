"""Checksums: no flipped bit of a file goes unseen, and neither does content that cannot be."""

import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lip_ray.cli import app
from lip_ray.store import Reader, StoreError, Writer, check, compact, merge
from lip_ray.store.schema import TABLES, VERSION, VERSION_KEY
from lip_ray.store.seal import Seal, seal_of, sealed
from lip_ray.store.upkeep.compact import part
from lip_ray.store.writer import lean
from tests.store.conftest import make_failure, make_level, make_sweep, make_trial

A, B = "a" * 16, "b" * 16


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two trials of two levels."""
    writer = Writer.open(tmp_path / "store")
    writer.write_sweep(make_sweep())
    for trial_id in (A, B):
        writer.write_trial(make_trial(trial_id))
        for level in (0, 1):
            writer.write_level([make_level(trial_id, level)])
    return tmp_path / "store"


def test_every_bit_counts(store: Path) -> None:
    Writer.open(store).write_failure(make_failure())
    loose = (store / "failures" / f"{A}-000.parquet", store / "masks" / f"{A}-000.parquet")
    compact(store)
    whole = [path.read_bytes() for path in (*loose, *(store / "compacted").glob("trials-*"))]
    for content in whole:
        assert seal_of(content) is Seal.WHOLE
        for place in range(len(content)):
            flipped = bytearray(content)
            flipped[place] ^= 1 << place % 8
            assert seal_of(bytes(flipped)) is Seal.BROKEN, place


@pytest.mark.parametrize("kept", [0, 8, 100, -1])
def test_a_file_that_is_cut_short(store: Path, kept: int) -> None:
    content = (store / "levels" / f"{A}-000.parquet").read_bytes()
    assert seal_of(content[:kept]) is not Seal.WHOLE
    assert seal_of(b"more" + content) is Seal.BROKEN


def test_a_large_file_is_read_in_pieces() -> None:
    drawn = random.Random(0).randbytes
    rows = [
        {"trial_id": A, "level": 0, "position": i, "name": "w", "values": drawn(999)}
        for i in range(3000)
    ]
    content = lean("weights", pa.Table.from_pylist(rows, TABLES["weights"]))
    assert len(content) > 2_500_000
    assert seal_of(content) is Seal.WHOLE
    for place in (1000, 1_500_000, len(content) - 100_000):
        flipped = bytearray(content)
        flipped[place] ^= 4
        assert seal_of(bytes(flipped)) is Seal.BROKEN
    with pytest.raises(ValueError, match="lip_ray_seal"):
        sealed(content)


def test_a_flipped_value_is_named_and_left_out(store: Path) -> None:
    """A level that would move to another trial, in a file that every reader takes for sound."""
    path = store / "levels" / f"{A}-001.parquet"
    moved = path.read_bytes().replace(A.encode(), ("a" * 15 + "c").encode())
    path.write_bytes(moved)
    assert len(pq.read_table(path)) == 1
    reader = Reader(store)
    assert len(reader.frame("levels")) == 3
    assert reader.damaged == (f"levels/{A}-001.parquet",)
    [problem] = [p for p in check(store).problems if p.file.startswith("levels/")]
    assert problem.what == "damaged"


@pytest.mark.parametrize(
    "table", ["levels", "trials", "curves", "choices", "masks", "reconstructions"]
)
def test_damage_to_a_part_is_named_and_not_folded_in(store: Path, table: str) -> None:
    compact(store)
    for path in (store / table).iterdir():
        path.unlink()
    [path] = (store / "compacted").glob(f"{table}-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    reader = Reader(store)
    assert reader.sql(f"select count(*) as n from {table}").to_pylist() == [{"n": 0}]
    assert reader.damaged == (f"compacted/{path.name}",)
    Writer.open(store).write_level([make_level("c" * 16)])
    Writer.open(store).write_trial(make_trial("c" * 16))
    assert compact(store, grace_s=0).damaged == (f"compacted/{path.name}",)
    assert path.read_bytes() == content
    with pytest.raises(StoreError, match=rf"{path.name} is damaged"):
        merge(store.parent / "other", store)
    assert any(p.file == f"compacted/{path.name}" for p in check(store).problems)


def test_damaged_loose_files_are_neither_folded_in_nor_copied(store: Path) -> None:
    path = store / "curves" / f"{A}-001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert merge(store.parent / "other", store).conflicts
    assert not (store.parent / "other" / "curves" / path.name).exists()
    assert compact(store, grace_s=0).damaged == (f"curves/{path.name}",)
    compact(store, grace_s=0)
    assert path.read_bytes() == content


def test_a_flipped_bit_of_a_manifest_loses_no_rows(store: Path) -> None:
    compact(store)
    for path in (store / "levels").iterdir():
        path.unlink()
    [manifest] = (store / "compacted").glob("manifest-*1.json")
    content = manifest.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        manifest.write_bytes(flipped)
        try:
            reader = Reader(store)
            found = reader.sql("select count(*) as n from levels").to_pylist()[0]["n"]
        except StoreError:
            continue
        assert found == 4 or reader.damaged, flipped


def without_seal(content: bytes) -> bytes:
    """The file as an older version wrote it."""
    rows = pq.read_table(pa.BufferReader(content))
    sink = pa.BufferOutputStream()
    meta = {VERSION_KEY: str(VERSION)}
    pq.write_table(rows.replace_schema_metadata(meta), sink, store_schema=False)
    return bytes(sink.getvalue())


def test_files_of_older_versions_are_read_and_told(store: Path) -> None:
    for path in store.rglob("*.parquet"):
        path.write_bytes(without_seal(path.read_bytes()))
    reader = Reader(store)
    assert len(reader.frame("levels")) == 4
    assert reader.damaged == ()
    health = check(store)
    assert health.unsealed == health.files == 25
    assert not any("damaged" in problem.what for problem in health.problems)
    assert "25 of them are unverified" in list(health.lines)[1]
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    assert check(store).unsealed == 1, "the sweep's file"


BAD_TEXT = pa.array([b"\xffamera"], pa.binary()).view(pa.string())
"""What is no UTF-8."""


def with_bad_text(table: str, content: bytes) -> pa.Table:
    rows = pq.read_table(pa.BufferReader(content), schema=TABLES[table]).slice(0, 1)
    column = next(name for name in ("image", "sweep", "layer") if name in rows.column_names)
    return rows.set_column(rows.column_names.index(column), column, BAD_TEXT)


@pytest.mark.parametrize("digest", ["right", "missing"])
@pytest.mark.parametrize("table", ["sweeps", "trials", "levels"])
def test_text_that_is_no_utf8_is_named_by_every_command(
    store: Path, table: str, digest: str
) -> None:
    path = sorted((store / table).iterdir())[0]
    content = lean(table, with_bad_text(table, path.read_bytes()))
    path.write_bytes(
        content
        if digest == "right"
        else content.replace(b"lip_ray_seal", b"x" * 12).replace(b"crc32:", b"y" * 6)
    )
    name = f"{table}/{path.name}"
    assert [p.what for p in check(store).problems if p.file == name] == ["damaged"]
    commands = {
        "sweeps": (["status"], ["query", "from sweeps"]),
        "levels": (["query", "from levels"], ["tickets", "list"]),
        "trials": (["query", "from trials"], ["tickets", "list"]),
    }
    for command in commands[table]:
        ran = CliRunner().invoke(app, [*command, "--store", str(store)])
        assert (ran.exit_code, f"damaged: {name}" in ran.stderr) == (1, True), (
            command,
            ran.exception,
        )
        assert "1 damaged file was left out" in ran.stderr
    output = store.parent / "out.csv"
    ran = CliRunner().invoke(
        app, ["store", "export", table, "-o", str(output), "--store", str(store)]
    )
    assert ran.exit_code == 1
    assert f"damaged: {name}" in ran.stderr


@pytest.mark.parametrize("table", ["levels", "trials", "curves", "masks"])
def test_text_that_is_no_utf8_in_a_part_is_named(
    store: Path, table: str, fresh_part: Callable[[str], Path]
) -> None:
    path = fresh_part(table)
    rows = pq.read_table(path)
    column = "image" if "image" in rows.column_names else "layer"
    bad = pa.concat_arrays([BAD_TEXT] * len(rows))
    path.write_bytes(part(rows.set_column(rows.column_names.index(column), column, bad)))
    reader = Reader(store)
    assert reader.frame(table).empty
    assert reader.damaged == (f"compacted/{path.name}",)
    assert any(p.file == f"compacted/{path.name}" for p in check(store).problems)


@pytest.fixture
def fresh_part(store: Path) -> Callable[[str], Path]:
    """The only part of a table, whose loose files are gone."""

    def made(table: str) -> Path:
        compact(store)
        for path in (store / table).iterdir():
            path.unlink()
        [path] = (store / "compacted").glob(f"{table}-*")
        return path

    return made


@pytest.mark.parametrize("spec", ["", "{", "[1]", "[" * 100_000])
def test_a_spec_that_is_none_is_named(store: Path, spec: str) -> None:
    path = store / "trials" / f"{A}.parquet"
    [row] = pq.read_table(path).to_pylist()
    changed = row | {"spec": spec, "canonical": None, "setting": None}
    path.write_bytes(lean("trials", pa.Table.from_pylist([changed], TABLES["trials"])))
    assert len(Reader(store).frame("trials")) == 2
    found = {problem.file: problem.what for problem in check(store).problems}
    assert found[f"trials/{A}.parquet"] == "a spec is no JSON object"
