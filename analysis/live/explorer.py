"""The explorer of a live page: its controls, and the figure of what is chosen by them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import plotly.graph_objects as go

from ..charts.style import BUTTONS
from ..page.elements import Control
from ..parts.explorer.figures import Choice, explorer_figure, first_choice
from ..parts.explorer.looks import ALL
from ..parts.explorer.table import AXES


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
        return tuple(
            Control(menu=0, legend=legend, labels=tuple(labels), chosen=chosen)
            for legend, labels, chosen in (
                ("Task", self._names("task"), first.task),
                ("Image", self._names("image"), first.image),
                ("Prior", [ALL, *self._names("network")], ALL),
                ("Method", [ALL, *self._names("method")], ALL),
                ("PSNR shown", list(BUTTONS.values()), BUTTONS[first.which]),
                ("Axis", list(AXES.values()), AXES[first.axis]),
            )
        )

    def figure(self, values: Sequence[str | None]) -> go.Figure:
        """What the controls are at; where a task has no such image its first scene is shown."""
        names = [
            value if value in control.labels else control.chosen
            for control, value in zip(self.controls, values, strict=False)
        ]
        if len(names) < len(self.controls):
            return explorer_figure(self.table, fits=self.fits)
        task, image, prior, method, which, axis = names
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
        return [str(name) for name in self.table[column].cat.categories
                if (self.table[column] == name).any()]  # fmt: skip


def _key(labels: dict[str, str], label: str) -> str:
    return next(key for key, own in labels.items() if own == label)
