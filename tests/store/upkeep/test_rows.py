"""Rows are found under the file that they came from, whatever the files are called."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lip_ray.store.files import files_of
from lip_ray.store.manifest import FILE, Origin, part_schema
from lip_ray.store.upkeep.compact import put_part
from lip_ray.store.upkeep.rows import folded_rows_of


@pytest.mark.parametrize("seed", range(5))
def test_each_file_has_its_own_rows(tmp_path: Path, seed: int) -> None:
    draws = np.random.default_rng(seed)
    names = {f"{draws.integers(2**63):016x}-{level:03d}" for _ in range(40) for level in range(3)}
    counts = {name: int(draws.integers(1, 4)) for name in names}
    rows = [
        {"trial_id": name.partition("-")[0], "position": place, FILE: name}
        for name, count in counts.items()
        for place in range(count)
    ]
    files = files_of(tmp_path)
    schema = part_schema("masks")
    halves = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
    tables = [pa.Table.from_pylist(half, schema) for half in halves]
    parts = [put_part(files, "masks", table, Origin())[0] for table in tables]
    wanted = sorted(names)[::2]
    found = folded_rows_of(files, "masks", parts, wanted)
    assert sorted(found) == wanted
    for name, own in found.items():
        assert own[FILE].to_pylist() == [name] * counts[name]
        assert own["position"].to_pylist() == list(range(counts[name]))


def test_nothing_is_found_where_nothing_is_asked_for(tmp_path: Path) -> None:
    assert folded_rows_of(files_of(tmp_path), "masks", [], ["a-000"]) == {}
