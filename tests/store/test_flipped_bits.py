"""Seeded flips of single bits, in every table, loose and compacted: none goes unseen."""

import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lip_ray.records import StoredTensor
from lip_ray.store import Reader, Writer, compact
from lip_ray.store.decoded import rows_of
from lip_ray.store.schema import TABLES
from tests.store.conftest import (
    make_failure,
    make_level,
    make_point,
    make_score,
    make_sweep,
    make_trial,
)

TENSOR = StoredTensor(name="w", shape=(4,), dtype="float32", values=bytes(range(16)))
SHORT = 40


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One with rows in every table, loose, and the same compacted."""
    loose = tmp_path_factory.mktemp("loose")
    writer = Writer.open(loose)
    writer.write_sweep(make_sweep())
    writer.write_point(make_point())
    writer.write_score(make_score())
    for trial_id in ("a" * 16, "b" * 16):
        writer.write_trial(make_trial(trial_id))
        writer.write_failure(make_failure(trial_id))
        for level in (0, 1):
            record = make_level(trial_id, level)
            own = {"weights": {level: (TENSOR,)}, "network": (TENSOR,)}
            writer.write_level([replace(record, **own)])
    compacted = tmp_path_factory.mktemp("compacted") / "store"
    shutil.copytree(loose, compacted)
    compact(compacted, grace_s=0)
    compact(compacted, grace_s=0)
    return loose, compacted


@pytest.mark.parametrize("count", [SHORT, pytest.param(2000, marks=pytest.mark.fuzz)])
def test_no_flipped_bit_goes_unseen(stores: tuple[Path, Path], count: int) -> None:
    found: Counter[str] = Counter(silent=0, tracebacks=0)
    for path, table, place in flips(stores, count):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            found[verdict(path, table)] += 1
        except Exception:  # whatever reaches the user is what is counted
            found["tracebacks"] += 1
        path.write_bytes(whole)
    print(f"\nflipped bits: {count} tried, {dict(found)}")
    assert found == {"refused": count, "silent": 0, "tracebacks": 0}


def flips(stores: tuple[Path, Path], count: int) -> Iterator[tuple[Path, str, int]]:
    """Files, their tables and bits, drawn from one seed: all tables alike, loose and in parts."""
    kinds = [
        (sorted(store.glob(pattern)), table)
        for store in stores
        for table in TABLES
        for pattern in (f"{table}/*.parquet", f"compacted/{table}-*.parquet")
        if any(store.glob(pattern))
    ]
    draw = random.Random(0)
    for turn in range(count):
        paths, table = kinds[turn % len(kinds)]
        path = draw.choice(paths)
        yield path, table, draw.randrange(8 * path.stat().st_size)


def verdict(path: Path, table: str) -> str:
    """Whether both readers, pyarrow and DuckDB, leave the file out, and its name is told."""
    store, name = path.parents[1], f"{path.parent.name}/{path.name}"
    reader = Reader(store)
    reader.sql(f"from {table}")
    refused = rows_of(table, name, path.read_bytes()) is None
    return "refused" if refused and reader.damaged == (name,) else "silent"
