"""Masks on disk: a nested one is stored as what it keeps of the one before.

Sixteen levels of the study's network take a third of the bytes that whole masks would.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lip_ray.records import LayerMask
from lip_ray.store.files import Files
from lip_ray.store.manifest import stored_rows
from lip_ray.store.paths import StoreError, level_file

Booleans = np.ndarray[tuple[int], np.dtype[np.bool_]]


def read(files: Files, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
    """The mask of a level with a bit for every weight; None where none is stored.

    Raises StoreError where it, or one that it is nested in, is damaged.
    """
    name = level_file("masks", trial_id, level)
    found = stored_rows(files, "masks", name)
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


def nested(layers: Sequence[LayerMask], outer: Sequence[LayerMask]) -> bool:
    """Whether every weight kept by `layers` is kept by `outer`, and both have the same layers."""
    return [(a.layer, a.shape) for a in layers] == [(b.layer, b.shape) for b in outer] and not any(
        (_booleans(a.bits, a.total) & ~_booleans(b.bits, b.total)).any()
        for a, b in zip(layers, outer, strict=True)
    )


def folded(layer: LayerMask, outer: LayerMask) -> LayerMask:
    """The layer with a bit for each weight that `outer` keeps."""
    kept = _booleans(layer.bits, layer.total)[_booleans(outer.bits, outer.total)]
    return replace(layer, bits=np.packbits(kept).tobytes())


def _unfolded(layer: LayerMask, outer: LayerMask) -> LayerMask:
    kept = _booleans(outer.bits, outer.total)
    kept[kept] = _booleans(layer.bits, outer.kept)
    return replace(layer, bits=np.packbits(kept).tobytes())


def _booleans(bits: bytes, count: int) -> Booleans:
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)
