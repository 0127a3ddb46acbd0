r"""Masks on disk: a nested mask is stored relative to the one before.

Sixteen levels of the study's network take a third of the bytes that whole masks would.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.records import LayerMask
from lip_ray.store.files import Files
from lip_ray.store.manifest import folded_rows, newest
from lip_ray.store.paths import Damaged, StoreError, level_file
from lip_ray.store.schema import TABLES

LADDERS_KEPT = 32
"""The number of trials whose masks in parts, which never change, a process caches."""

Booleans = np.ndarray[tuple[int], np.dtype[np.bool_]]


def read(files: Files, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
    """The mask of a level with a bit for every weight; None where none is stored.

    Raises StoreError where it, or one that it is nested in, is damaged.
    """
    name = level_file("masks", trial_id, level)
    found = _stored(files, name, trial_id, level)
    if found is None:
        return None
    rows = found.sort_by("position").to_pylist()
    layers = tuple(
        LayerMask(
            layer=row["layer"],
            shape=tuple(row["shape"]),
            kept=row["kept"],
            total=row["total"],
            bits=row["bits"],
        )
        for row in rows
    )
    within = rows[0]["within"] if rows else None
    if within is None:
        return layers
    outer = read(files, trial_id, within)
    if outer is None:
        raise StoreError(f"{files.where}/{name} is nested in level {within}, which is missing")
    return tuple(_unfolded(layer, whole) for layer, whole in zip(layers, outer, strict=True))


def _stored(files: Files, name: str, trial_id: str, level: int) -> pa.Table | None:
    """The rows of a mask, from its file or from a part."""
    try:
        return files.table(name, TABLES["masks"])
    except FileNotFoundError:
        pass
    with suppress(OSError, Damaged):
        ladders = (_ladder(files, part, trial_id) for part in newest(files).parts.get("masks", ()))
        return next((ladder[level] for ladder in ladders if level in ladder), None)
    return folded_rows(files, "masks", name)  # a part is gone or damaged: it tells


@lru_cache(maxsize=LADDERS_KEPT)
def _ladder(files: Files, part: str, trial_id: str) -> dict[int, pa.Table]:
    """The masks of one trial in a part, by level. They are read together, as each is nested in the
    one before."""
    rows = files.table(part, TABLES["masks"], filters=[("trial_id", "=", trial_id)])
    levels = pc.unique(rows["level"]).to_pylist()
    return {level: rows.filter(pc.field("level") == level) for level in levels}


def nested(layers: Sequence[LayerMask], outer: Sequence[LayerMask]) -> bool:
    """Whether every weight kept by `layers` is kept by `outer`, and both have the same layers."""
    return [(a.layer, a.shape) for a in layers] == [(b.layer, b.shape) for b in outer] and not any(
        (booleans(a.bits, a.total) & ~booleans(b.bits, b.total)).any()
        for a, b in zip(layers, outer, strict=True)
    )


def folded(layer: LayerMask, outer: LayerMask) -> LayerMask:
    """The layer with a bit for each weight that `outer` keeps."""
    kept = booleans(layer.bits, layer.total)[booleans(outer.bits, outer.total)]
    return replace(layer, bits=np.packbits(kept).tobytes())


def _unfolded(layer: LayerMask, outer: LayerMask) -> LayerMask:
    kept = booleans(outer.bits, outer.total)
    kept[kept] = booleans(layer.bits, outer.kept)
    return replace(layer, bits=np.packbits(kept).tobytes())


def booleans(bits: bytes, count: int) -> Booleans:
    """`count` flags, unpacked, most significant bit first."""
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)
