"""The explorer on a page: its controls, and the columns that its script draws from."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from ...charts.choices import Packing, packed_columns
from ...page.content import Content, Part
from ...page.section import Figure, Section
from ...rows.points import WHICH
from .figures import (
    explorer_figure,
    explorer_layout,
    first_choice,
    psnr_range,
    scene_fits,
    scenes_of,
)
from .looks import ALL, FLAWED, series_of
from .scenes import figure_of, scene_controls
from .table import AXES, SCENE, SERIES, fits_of, scene_table
from .traces import drawings
from .words import scene_words

CHART = "explorer"
NAME = "explore"
"""The name of the section, and of the fragment that keeps a choice."""

NOTE = """
Large marks are means, pale bars their 95 % Student-t intervals; open marks are single fits. Over
images, the seeds of each are averaged first, and images are the sample. Level lines are dense
networks, the deep decoder among them whatever is chosen. Rings and steps are the Pareto front of
the scene over all networks and methods: nothing else is as good for as little. Means that have an
unfinished or a collapsed fit, or one that is worse than the measurement, are on no front. Seconds
depend on the machine, and on what else ran there. The address of this page keeps what is chosen.
"""


def sections(shown: Content) -> Iterator[Section]:
    """One figure for all scenes that have a PSNR."""
    if shown.described.empty:
        return
    fits = fits_of(shown.described)
    table = scene_table(fits)
    if table["n"].any():
        yield Section(name=NAME, title="Explorer", blocks=(_drawn(table, fits),))


def _drawn(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    lines = table[[*SCENE, *SERIES]].drop_duplicates().groupby(SCENE, observed=True).size().max()
    return Figure(
        name="explorer",
        place=CHART,
        label="PSNR against what it costs",
        note=NOTE,
        lines=int(lines) + 1 + len(FLAWED),
        figure=explorer_figure(table, fits=fits),
        controls=scene_controls(table),
        carded=True,
        spoken=True,
        draw=partial(figure_of, table, fits),
        source=lambda: explorer_data(table, fits),
    )


def explorer_data(table: pd.DataFrame, fits: pd.DataFrame) -> dict[str, Any]:
    """What the page's script draws from: nothing is left for it to compute."""
    rows = {which: table[table["which"] == which] for which in WHICH}
    drawn = drawings(series_of(table), rows, fits)
    first = next(iter(drawn.values()))
    psnrs = fits[[*SCENE, *(f"psnr_{which}_db" for which in WHICH)]]
    words, packing = scene_words(table), Packing()
    scenes = [
        {
            "task": task,
            "image": image,
            "offers": _offers(own),
            "range": psnr_range(own, scene_fits(psnrs, task, image)),
            "traces": packing.traces(drawn[task, image].traces),
            "words": words[task, image],
        }
        for (task, image), own in scenes_of(table)
    ]
    return {
        "first": vars(first_choice(table)),
        "axes": AXES,
        "layout": explorer_layout(),
        "scenes": scenes,
        "columns": packed_columns(first.columns),
        "templates": packing.templates,
        "conditions": packing.conditions,
        "most": first.most,
        "webgl": any(one.crowd > one.most for one in drawn.values()),
    }


def _offers(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Priors and methods of a scene to choose from."""
    methods = rows.loc[rows["method"].astype(str) != rows["reference"].astype(str), "method"]
    return {
        "prior": [ALL, *rows["network"].astype(str).unique()],
        "method": [ALL, *methods.astype(str).unique()],
    }


PART = Part(sections=sections)
