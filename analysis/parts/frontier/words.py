"""What the page says of a scene: its front, what that dominates, and what is missing."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pandas as pd

from ...rows.naming import tuples
from ...rows.points import WHICH
from ...rows.texts import count_text, counted_text, density_text
from ...statistics.published import published_for
from ..differences import apart_text
from .table import AXES, SCENE, hypervolume_table

COST_TEXTS = {
    "density": lambda cost: f"density {density_text(cost)}",
    "kept": lambda cost: f"{count_text(cost)} weights",
    "macs": lambda cost: f"{cost:.3g} multiply-adds",
    "seconds": lambda cost: f"{cost:.3g} s",
}

MISSING = {
    "macs": "multiply-adds, which stores of older versions did not count",
    "seconds": "seconds of fitting",
}

Words = dict[tuple[str, str], dict[str, dict[str, str]]]
"""Paragraphs by scene, then by PSNR, then by cost."""


def scene_words(table: pd.DataFrame) -> Words:
    """A paragraph for each scene, PSNR and cost of a `scene_table`."""
    volumes = {
        (row.task, row.image, row.which, row.axis): row for row in tuples(hypervolume_table(table))
    }
    found: Words = {}
    for (task, image, which), rows in table.groupby([*SCENE, "which"], observed=True):
        sample = [*_sample_words(rows), *_published_words(rows["scene"].iloc[0])]
        words = {
            axis: [
                *_front_words(volumes[task, image, which, axis], axis),
                *_missing_words(rows, axis),
            ]
            for axis in AXES
        }
        own = {axis: " ".join([*said, *sample]) for axis, said in words.items()}
        found.setdefault((str(task), str(image)), {})[str(which)] = own
    return found


def _front_words(volume: Any, axis: str) -> Iterator[str]:
    if not volume.points:
        yield "No point can be on a Pareto front."
        return
    yield f"Pareto front: {volume.front} of {volume.points} points."
    if volume.hypervolume == volume.hypervolume:
        yield (
            f"Hypervolume {volume.hypervolume:.2f} decades × dB, within the reference point "
            f"{COST_TEXTS[axis](volume.worst_cost)} and {volume.worst_db:.2f} dB, the measurement."
        )


def _sample_words(rows: pd.DataFrame) -> Iterator[str]:
    counts = rows.loc[rows["n"] > 0, "n"]
    if counts.empty:
        return
    if counts.max() == 1:
        yield "Every point is one run: there are no intervals."
    else:
        yield f"Means are over {counted_text(counts, rows['unit'].iloc[0] + 's')}."
    partial = int((~rows["whole"]).sum())
    if partial:
        yield f"{partial} of them, over fewer images than the others, are not on the front."
    if rows["unfit"].any():
        count = int(rows["unfit"].sum())
        yield (
            f"{count:,} fit{'s' if count > 1 else ''} unfinished, gone wrong or worse than the "
            "measurement: no front has their means."
        )
    yield apart_text(counts)
    if rows["missing"].any():
        yield f"Fits without this PSNR: {rows['missing'].sum():,}."


def _missing_words(rows: pd.DataFrame, axis: str) -> Iterator[str]:
    unknown = int(rows[axis].isna().sum())
    if unknown:
        yield f"{unknown} of {len(rows)} points are not shown: they lack {MISSING[axis]}."


@cache
def _published_words(scene: str) -> tuple[str, ...]:
    found = set(published_for(scene)["which"]) if scene else set()
    if not found:
        return ()
    steps = " and ".join(which for which in WHICH if which in found)
    return (f"Published numbers of this image and task are shown by density: {steps} PSNR.",)
