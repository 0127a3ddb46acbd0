"""What long trials leave: the networks that levels ended with, and states of unfinished levels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import every_kind
import numpy as np
import pytest

from lip_ray.records import StoredTensor
from lip_ray.store import Reader, StoreError, Writer

Make = Callable[..., Any]

FLOOR_DB, FOUND_DB = 21.0, 17.5


def tensor(name: str, *values: float) -> StoredTensor:
    array = np.array(values, dtype="<f4")
    return StoredTensor(name=name, shape=array.shape, dtype="float32", values=array.tobytes())


def test_a_network_comes_back_in_its_order_and_belongs_to_one_level(
    tmp_path: Path, level_record: Make
) -> None:
    network = (tensor("3.weight", 1.5, -2.0), tensor("0.weight", 0.0))
    store = Writer.open(tmp_path)
    assert store.write_level([level_record(network=network)])
    reader = Reader(tmp_path)
    assert reader.network("a" * 16, 0) == network
    assert reader.network("a" * 16, 1) is None
    assert reader.sql("select name from networks order by position").to_pylist() == [
        {"name": "3.weight"},
        {"name": "0.weight"},
    ]


def test_a_damaged_network_is_named(tmp_path: Path, level_record: Make) -> None:
    Writer.open(tmp_path).write_level([level_record(network=(tensor("0.weight", 1.0),))])
    [path] = (tmp_path / "networks").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(StoreError, match=path.name):
        Reader(tmp_path).network("a" * 16, 0)


def test_the_state_of_an_unfinished_level_is_replaced_and_goes_with_the_commit(
    tmp_path: Path, level_record: Make
) -> None:
    store = Writer.open(tmp_path)
    reader = Reader(tmp_path)
    assert reader.unfinished("a" * 16, 0) is None
    store.keep_unfinished("a" * 16, 0, b"half")
    store.keep_unfinished("a" * 16, 0, b"more")
    store.keep_unfinished("a" * 16, 1, b"another level")
    assert reader.unfinished("a" * 16, 0) == b"more"
    store.write_level([level_record()])
    assert reader.unfinished("a" * 16, 0) is None
    assert reader.unfinished("a" * 16, 1) == b"another level"
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["a" * 16 + "-001"]


def test_a_state_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Writer.open(tmp_path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        store.keep_unfinished("a" * 16, 0, b"half")
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_sensing_has_the_floor_of_the_same_image_and_level_beside_each_reconstruction(
    tmp_path: Path, level_record: Make, trial_record: Make
) -> None:
    store = Writer.open(tmp_path)
    floor, found = "f" * 16, "c" * 16
    store.write_trial(
        trial_record(floor, kind="reconstruction", task="projection", levels=1, spec="{}")
    )
    outliers = {"kind": "rows", "share": 0.02}
    sensed = every_kind.reconstruction(
        every_kind.DRAWN["generator"],
        task={"kind": "compressed_sensing", "m": 25, "outliers": outliers},
    )
    store.write_trial(
        trial_record(
            found,
            kind="reconstruction",
            task="compressed_sensing",
            levels=1,
            source_ids=("d" * 16, floor),
            spec=sensed.model_dump_json(),
            facets=sensed.facets(),
        )
    )
    store.write_trial(trial_record("d" * 16, kind="generator"))
    for image, below_db in (("digit-0", 0.0), ("digit-1", 1.0)):
        for trial, psnr_db in ((floor, FLOOR_DB), (found, FOUND_DB)):
            level = 0 if image == "digit-0" else 1
            store.write_level(
                [level_record(trial, level, image=image, psnr_selected_db=psnr_db - below_db)]
            )
    rows = (
        Reader(tmp_path)
        .sql(
            "select image, solver, m, outlier_share, psnr_selected_db, psnr_floor_db from sensing "
            f"where trial_id = '{found}' order by image"
        )
        .to_pylist()
    )
    same = {"solver": "erm", "m": 25, "outlier_share": 0.02}
    assert rows == [
        {"image": "digit-0", "psnr_selected_db": FOUND_DB, "psnr_floor_db": FLOOR_DB} | same,
        {"image": "digit-1", "psnr_selected_db": FOUND_DB - 1, "psnr_floor_db": FLOOR_DB - 1}
        | same,
    ]
    [alone] = (
        Reader(tmp_path)
        .sql(f"select distinct psnr_floor_db, m from sensing where trial_id = '{floor}'")
        .to_pylist()
    )
    assert alone == {"psnr_floor_db": None, "m": None}
