"""Masks come back as they were, however they are stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lip_ray.records import LayerMask, LevelRecord
from lip_ray.store import Reader, StoreError, Writer

Make = Callable[..., Any]
SHAPES = [(3, 2, 1, 1), (5,), (1,), (4, 4)]


def mask_of(kept: list[np.ndarray]) -> tuple[LayerMask, ...]:
    return tuple(
        LayerMask(
            layer=f"{i}.weight",
            shape=tuple(layer.shape),
            kept=int(layer.sum()),
            total=layer.size,
            bits=np.packbits(layer.reshape(-1)).tobytes(),
        )
        for i, layer in enumerate(kept)
    )


def ladder(seed: int, levels: int, *, is_nested: bool) -> list[tuple[LayerMask, ...]]:
    """Random masks, each of which keeps some of the one before, or of all weights."""
    draws = np.random.default_rng(seed)
    masks = [[np.ones(shape, bool) for shape in SHAPES]]
    for _ in range(levels - 1):
        kept = [draws.random(layer.shape) < 0.6 for layer in masks[-1]]
        masks.append([k & m if is_nested else k for k, m in zip(kept, masks[-1], strict=True)])
    return [mask_of(mask) for mask in masks]


def store_ladder(
    root: Path, masks: list[tuple[LayerMask, ...]], make: Callable[..., LevelRecord]
) -> Reader:
    writer = Writer.open(root)
    for level, mask in enumerate(masks):
        assert writer.write_level([make(level=level, masks={level: mask})])
    return Reader(root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it holds nothing
@given(seed=st.integers(0, 10_000), levels=st.integers(1, 6), is_nested=st.booleans())
def test_a_ladder_of_masks_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    level_record: Make,
    seed: int,
    levels: int,
    is_nested: bool,
) -> None:
    masks = ladder(seed, levels, is_nested=is_nested)
    reader = store_ladder(tmp_path_factory.mktemp("store"), masks, level_record)
    for level, mask in enumerate(masks):
        assert reader.masks("a" * 16, level) == mask


def test_a_nested_mask_has_a_bit_for_each_weight_of_the_one_before(
    tmp_path: Path, level_record: Make
) -> None:
    masks = ladder(1, 3, is_nested=True)
    rows = store_ladder(tmp_path, masks, level_record).sql("from masks order by all").to_pylist()
    for row in rows:
        level, position = row["level"], row["position"]
        assert row["within"] == (level - 1 if level else None)
        assert (row["kept"], row["total"]) == (
            masks[level][position].kept,
            masks[level][position].total,
        )
        bits = masks[level - 1][position].kept if level else row["total"]
        assert len(row["bits"]) == -(-bits // 8)


def test_a_mask_that_is_not_nested_stands_alone(tmp_path: Path, level_record: Make) -> None:
    masks = ladder(1, 2, is_nested=False)[::-1]
    rows = store_ladder(tmp_path, masks, level_record).frame("masks")
    assert rows["within"].isna().all()


@pytest.mark.parametrize("remains", [None, b"half a file"])
def test_a_mask_without_the_one_it_is_nested_in_is_named(
    tmp_path: Path, level_record: Make, remains: bytes | None
) -> None:
    reader = store_ladder(tmp_path, ladder(1, 3, is_nested=True), level_record)
    base = tmp_path / "masks" / f"{'a' * 16}-001.parquet"
    base.unlink()
    if remains is not None:
        base.write_bytes(remains)
    with pytest.raises(
        StoreError, match="level 1, which is missing" if remains is None else base.name
    ):
        reader.masks("a" * 16, 2)
