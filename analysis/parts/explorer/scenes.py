"""What the explorer can show: its controls, and the figure of what is chosen by them."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import PSNR_SHOWN, Choice, Control, listed
from .figures import Choice as Shown
from .figures import explorer_figure, first_choice
from .looks import ALL
from .table import AXES


def scene_controls(table: pd.DataFrame) -> tuple[Control, ...]:
    """One for each field of what an explorer of this `scene_table` shows, in their order."""
    *lists, which = _choices(table)
    controls = (one.control("", menu=None) for one in lists)
    return (*controls, which.control("explorer", menu=None))


def figure_of(table: pd.DataFrame, fits: pd.DataFrame, labels: Sequence[str]) -> go.Figure:
    """What the controls are at; where a task has no such image its first scene is shown."""
    choices = _choices(table)
    if len(labels) < len(choices):
        return explorer_figure(table, fits=fits)
    values = {one.name: one.value(label) for one, label in zip(choices, labels, strict=True)}
    shown = Shown(**values)
    own = table[table["task"] == shown.task]
    if not (own["image"] == shown.image).any():
        shown = replace(shown, image=str(own["image"].iloc[0]))
    return explorer_figure(table, shown, fits=fits)


def _choices(table: pd.DataFrame) -> list[Choice]:
    first = first_choice(table)
    offered = {
        "task": ("Task", _names(table, "task"), first.task),
        "image": ("Image", _names(table, "image"), first.image),
        "prior": ("Prior", [ALL, *_names(table, "network")], ALL),
        "method": ("Method", [ALL, *_names(table, "method")], ALL),
    }
    lists = [
        Choice(name=name, legend=legend, labels=listed(names), chosen=names.index(chosen))
        for name, (legend, names, chosen) in offered.items()
    ]
    return [*lists, Choice(name="axis", legend="Axis", labels=AXES), PSNR_SHOWN]


def _names(table: pd.DataFrame, column: str) -> list[str]:
    own = table[column]
    return [str(name) for name in own.cat.categories if (own == name).any()]
