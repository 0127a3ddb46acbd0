"""The frontier on a page: its controls, and the columns that its script draws from."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.choices import Packing, packed_columns
from ...charts.controls import PSNR_SHOWN, Choice, listed, listed_of
from ...page.content import Content, Part
from ...page.section import Answers, Block, Emphasis, Figure, Inspector, Section, Words
from ...rows.identity import KINDS
from ...rows.points import WHICH
from ..verdicts import MARGIN_DB, matching_shown
from .answers import answers
from .figures import (
    Shown,
    cost_ticks,
    first_choice,
    frontier_figure,
    frontier_layout,
    psnr_range,
    scene_fits,
)
from .looks import ALL, FLAWED, series_of
from .table import AXES, SCENE, SERIES, SPREADS, fits_of, scene_table
from .traces import LEAST_SAMPLES, drawings
from .words import scene_words

CHART = "chart"
NAME = "frontier"
"""The name of the figure, of the section, and of the fragment that keeps a choice."""

NOTE = """
Large marks are means and open marks single fits. Pale bars, or bands, are 95 % Student-t intervals
of means over at least three seeds or images; bars stand side by side so that all are seen. Over
images, the seeds of each are averaged first, and images are the sample. Horizontal lines are dense
networks, and that of a single deep decoder is always shown; the dotted one is the measurement.
Rings and steps are the Pareto front over all networks and methods of the image and task: nothing
else is as good for as few weights. Means that include an unfinished or a collapsed fit, or one that
is worse than the measurement, are excluded from the front. A cross is a collapsed fit: its mask
leaves no path from input to output, and the image is one flat colour. An hourglass is an unfinished
fit: its best step is in its last hundredth, so more steps would restore better. Seconds depend on
the machine, and on what else ran there. The address of this page keeps what is chosen.
"""

MEANING = f"""
A method matches dense where its mean PSNR over all images of the task, at the selected step, is
less than {MARGIN_DB:g} dB below the dense network's, whatever image is chosen.
"""

INTRODUCTION: tuple[Words, ...] = (
    """Each network maps a fixed random input to an image. It is pruned level by level, and the
    remaining weights are fitted to a degraded image. The figures show how good the restored image
    is, as PSNR against the clean one, and how few weights that takes. Methods are compared at equal
    density, from the same initial weights, latent and noise.""",
    (
        "Every fit has three PSNRs. ",
        Emphasis("Selected", strong=True),
        """ is at the step that a rule chose without the clean image: what one would get in use.
        """,
        Emphasis("Peak", strong=True),
        """ is the best over the fit, found by looking at the clean image: an upper bound, and what
        papers report. """,
        Emphasis("Final", strong=True),
        " is at the last step.",
    ),
)


def sections(shown: Content) -> Iterator[Section]:
    """One figure for all scenes that have a PSNR."""
    fits = fits_of(shown.described)
    table = scene_table(fits)
    if table["n"].any():
        said = answers(shown.described, fits, shown.once(matching_shown), series_of(table))
        blocks: list[Block] = [
            _drawn(table, fits),
            Inspector(title="Hover over a mark to see its fit"),
        ]
        if said:
            blocks.insert(
                0, Answers(title="How sparse can it get? Selected PSNR", rows=said, note=MEANING)
            )
        yield Section(name=NAME, title="Frontier", blocks=tuple(blocks))


def _drawn(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    lines = table[[*SCENE, *SERIES]].drop_duplicates().groupby(SCENE, observed=True).size().max()
    return Figure(
        name=NAME,
        place=CHART,
        label="PSNR against what it costs",
        note=NOTE,
        lines=int(lines) + 1 + len(FLAWED),
        controls=_controls(table),
        carded=True,
        spoken=True,
        draw=partial(_figure_of, table, fits),
        source=lambda: frontier_data(table, fits),
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
    spread = Choice(name="spread", legend="Intervals", labels=SPREADS, menu=None)
    return (*lists, axis, spread, replace(PSNR_SHOWN, menu=None))


def _figure_of(table: pd.DataFrame, fits: pd.DataFrame, choice: Mapping[str, str]) -> go.Figure:
    """What is chosen; where a task has no such image its first scene is shown."""
    shown = Shown(**choice)
    own = table[table["task"] == shown.task]
    if not (own["image"] == shown.image).any():
        shown = replace(shown, image=str(own["image"].iloc[0]))
    return frontier_figure(table, shown, fits=fits)


def frontier_data(table: pd.DataFrame, fits: pd.DataFrame) -> dict[str, Any]:
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
            "intervals": bool((own[task, image]["n"] >= LEAST_SAMPLES).any()),
            "range": psnr_range(own[task, image], scene_fits(psnrs, task, image)),
            "ticks": {axis: cost_ticks(own[task, image][axis], axis) for axis in AXES},
            "traces": packing.traces(drawing.traces),
            "words": words[task, image],
        }
        for (task, image), drawing in drawn.items()
    ]
    return {
        "first": vars(first_choice(table)),
        "axes": AXES,
        "spreads": SPREADS,
        "layout": frontier_layout(),
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


PART = Part(
    label="Frontier",
    names={"frontier"},
    sections=sections,
    kinds={*KINDS},
    introduction=INTRODUCTION,
)
