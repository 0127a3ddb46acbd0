"""What the explorer can show: its controls, and the figure of what is chosen by them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import PSNR_SHOWN, Control
from ...charts.style import BUTTONS
from .figures import Choice, explorer_figure, first_choice
from .looks import ALL
from .table import AXES


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """All that an explorer can show."""

    table: pd.DataFrame
    """As of `scene_table`."""
    fits: pd.DataFrame

    @property
    def controls(self) -> tuple[Control, ...]:
        """One for each field of a choice, in their order."""
        first = first_choice(self.table)
        return (
            _listed("task", "Task", self._names("task"), first.task),
            _listed("image", "Image", self._names("image"), first.image),
            _listed("prior", "Prior", [ALL, *self._names("network")], ALL),
            _listed("method", "Method", [ALL, *self._names("method")], ALL),
            _listed("axis", "Axis", [*AXES.values()], AXES[first.axis]),
            PSNR_SHOWN.control("explorer", menu=None),
        )

    def figure(self, labels: Sequence[str]) -> go.Figure:
        """What the controls are at; where a task has no such image its first scene is shown."""
        if len(labels) < len(self.controls):
            return explorer_figure(self.table, fits=self.fits)
        task, image, prior, method, axis, which = labels
        choice = Choice(
            task=task,
            image=image,
            prior=prior,
            method=method,
            which=_key(BUTTONS, which),
            axis=_key(AXES, axis),
        )
        own = self.table[self.table["task"] == task]
        if not (own["image"] == image).any():
            choice = replace(choice, image=str(own["image"].iloc[0]))
        return explorer_figure(self.table, choice, fits=self.fits)

    def _names(self, column: str) -> list[str]:
        own = self.table[column]
        return [str(name) for name in own.cat.categories if (own == name).any()]


def _listed(name: str, legend: str, labels: list[str], chosen: str) -> Control:
    place = labels.index(chosen)
    return Control(name=name, legend=legend, labels=tuple(labels), chosen=place, menu=None)


def _key(labels: dict[str, str], label: str) -> str:
    return next(key for key, own in labels.items() if own == label)
