"""The explorer on a page: its controls, and the columns that its script draws from."""

from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from ...charts.choices import Packing, packed_columns
from ...charts.style import BUTTONS
from ...page.html import Section, chart
from ...rows.points import WHICH
from .figures import (
    explorer_figure,
    explorer_layout,
    first_choice,
    psnr_range,
    scene_fits,
    scenes_of,
)
from .looks import ALL, BROKEN, series_of
from .table import AXES, SCENE, SERIES
from .traces import drawings
from .words import scene_words

CHART = "explorer"
NAME = "explore"
"""Of the section, and of the fragment that keeps a choice."""

NOTE = """
Large marks are means, pale bars their 95 % Student-t intervals; open marks are single fits. Over
images, the seeds of each are averaged first, and images are the sample. Level lines are dense
networks, the deep decoder among them whatever is chosen. Rings and steps are the Pareto front of
the scene over all networks and methods: nothing else is as good for as little. Seconds depend on
the machine, and on what else ran there. The address of this page keeps what is chosen.
"""

CONTROLS = {"task": "Task", "image": "Image", "prior": "Prior", "method": "Method", "axis": "Axis"}
"""All are lists of options; which PSNR is shown is a row of buttons."""


@dataclass(frozen=True, kw_only=True)
class ExplorerSection(Section):
    """The explorer's part of a page, and all that its controls choose from."""

    table: pd.DataFrame
    """As of `scene_table`."""
    fits: pd.DataFrame


def explorer_section(table: pd.DataFrame, fits: pd.DataFrame) -> ExplorerSection:
    """One figure for all scenes of a `scene_table`, and of the `explorer_fits` it was made of."""
    lines = table[[*SCENE, *SERIES]].drop_duplicates().groupby(SCENE, observed=True).size().max()
    body = (
        f'<div class="controls">{_controls()}</div>'
        + '<p class="words" role="status"></p>'
        + chart(
            CHART,
            "PSNR against what it costs",
            NOTE,
            rows=int(lines) + 1 + len(BROKEN),
            carded=True,
        )
    )
    figure = explorer_figure(table, fits=fits)
    return ExplorerSection(
        table=table, fits=fits, name=NAME, title="Explorer", body=body, chart=CHART, figure=figure
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


def _controls() -> str:
    buttons = "".join(
        f'<label><input type="radio" name="which-{CHART}" value="{which}" autocomplete="off"'
        f"{'' if place else ' checked'}><span>{escape(label)}</span></label>"
        for place, (which, label) in enumerate(BUTTONS.items())
    )
    lists = [
        f'<label class="choice">{legend}<select data-choice="{name}" autocomplete="off"></select>'
        f"</label>"
        for name, legend in CONTROLS.items()
    ]
    which = f'<fieldset class="switch"><legend>PSNR shown</legend>{buttons}</fieldset>'
    return "".join([*lists, which])
