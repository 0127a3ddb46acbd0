"""The explorer on a page: its controls, and the columns that its script draws from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.choices import Packing, packed_columns
from ...charts.controls import PSNR_SHOWN, Choice, listed, listed_of
from ...page.content import Content, Part
from ...page.section import Figure, Section
from ...rows.identity import KINDS
from ...rows.points import WHICH
from .figures import (
    Shown,
    explorer_figure,
    explorer_layout,
    first_choice,
    psnr_range,
    scene_fits,
)
from .looks import ALL, FLAWED, series_of
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
        controls=_controls(table),
        carded=True,
        spoken=True,
        draw=partial(_figure_of, table, fits),
        source=lambda: explorer_data(table, fits),
    )


def _controls(table: pd.DataFrame) -> tuple[Choice, ...]:
    """One for each field of what is shown of a `scene_table`, in their order."""
    first = first_choice(table)
    offered = {
        "task": listed_of(table["task"]),
        "image": listed_of(table["image"]),
        "prior": listed([ALL, *listed_of(table["network"])]),
        "method": listed([ALL, *listed_of(table["method"])]),
    }
    lists = [
        Choice(
            name=name,
            legend=name.capitalize(),
            labels=labels,
            chosen=[*labels].index(getattr(first, name)),
            menu=None,
        )
        for name, labels in offered.items()
    ]
    axis = Choice(name="axis", legend="Axis", labels=AXES, menu=None)
    return (*lists, axis, replace(PSNR_SHOWN, menu=None))


def _figure_of(table: pd.DataFrame, fits: pd.DataFrame, choice: Mapping[str, str]) -> go.Figure:
    """What is chosen; where a task has no such image its first scene is shown."""
    shown = Shown(**choice)
    own = table[table["task"] == shown.task]
    if not (own["image"] == shown.image).any():
        shown = replace(shown, image=str(own["image"].iloc[0]))
    return explorer_figure(table, shown, fits=fits)


def explorer_data(table: pd.DataFrame, fits: pd.DataFrame) -> dict[str, Any]:
    """What the page's script draws from: nothing is left for it to compute."""
    rows = {which: table[table["which"] == which] for which in WHICH}
    drawn = drawings(series_of(table), rows, fits)
    first = next(iter(drawn.values()))
    psnrs = fits[[*SCENE, *(f"psnr_{which}_db" for which in WHICH)]]
    own = dict(list(table.groupby(SCENE, observed=True)))
    words, packing = scene_words(table), Packing()
    scenes = [
        {
            "task": task,
            "image": image,
            "offers": _offers(own[task, image]),
            "range": psnr_range(own[task, image], scene_fits(psnrs, task, image)),
            "traces": packing.traces(drawing.traces),
            "words": words[task, image],
        }
        for (task, image), drawing in drawn.items()
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
    methods = rows.loc[rows["method"].astype(str) != rows["reference"].astype(str), "method"]
    return {
        "prior": [ALL, *rows["network"].astype(str).unique()],
        "method": [ALL, *methods.astype(str).unique()],
    }


PART = Part(sections=sections, kinds={*KINDS})
