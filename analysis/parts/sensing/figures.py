"""Errors of reconstructions against density, measurements and outliers, with switches.

Every figure has one menu, of all combinations of step, score and what else there is to choose; a
page shows it as one control for each of these, whose places are the digits of the menu's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import Change, Choice, first_change, menu
from ...charts.curves import heights_of
from ...charts.style import FOOT, axis_lines, density_axis, layout, log_axis, plain, spread
from ...rows.choosing import check_single, evenly
from ...rows.naming import tuples
from ...rows.points import WHICH
from ...rows.texts import density_text, removed_text
from .table import SCORES, sensing_sample
from .traces import lines_of, traces_of

MOST_DENSITIES = 4
"""To choose from where a figure is of one density: the dense one and three spread over the rest."""

SCORE_TITLES = {"psnr": "PSNR (dB)", "mse": "MSE", "l2": "L2 per pixel"}

STEP_BUTTONS = {"selected": "Selected", "peak": "Peak (oracle)", "final": "First restart"}

RESULT = Choice(name="which", legend="Result shown", labels=STEP_BUTTONS, row=True)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of figure: errors against one column, at a value to choose of each other one."""

    name: str
    label: str
    x: str
    one: tuple[str, str]
    """The column that has a single value in a table, and what is said where it has more."""
    axis: Callable[[pd.DataFrame], dict[str, Any]]
    others: tuple[Callable[[pd.DataFrame], Choice | None], ...]

    def choices(self, table: pd.DataFrame) -> list[Choice]:
        """Step, score and what else there is to choose."""
        known = set(table.loc[table["n"] > 0, "score"])
        scores = {score: said for score, said in SCORES.items() if score in known}
        score = Choice(name="score", legend="Measure", labels=scores, row=True)
        more = (choice(table) for choice in self.others)
        return [RESULT, score, *(choice for choice in more if choice)]

    def figure(self, table: pd.DataFrame) -> go.Figure:
        """The lines of every combination; the first step, score and each chosen value are shown.

        Raises ValueError when the table has more than one such figure, or no result at all.
        """
        check_single(table, *self.one)
        if not table["n"].any():
            raise ValueError("no reconstruction has a result: an error needs a clean image")
        choices, axis = self.choices(table), self.axis(table)
        ranges = {one: _range(table[table["score"] == one], one) for one in choices[1].labels}
        lines, rows = lines_of(table), self._rows(table)

        def traces(which: str, score: str, *values: Any) -> list[dict[str, Any]]:
            shown = zip(choices[2:], values, strict=True)
            own = _chosen(rows, which, score, {one.name: value for one, value in shown})
            return traces_of(own, self.x, axis, lines)

        def change(which: str, score: str, *values: Any) -> Change:
            drawn = traces(which, score, *values)
            more = {name: [one.get(name) for one in drawn] for name in ("customdata", "showlegend")}
            paths = {"x": [one["x"] for one in drawn], **heights_of(drawn), **more}
            return paths, _y_axis(score, which, ranges[score])

        buttons = menu(choices, change)
        first = [[*choice.labels][choice.chosen] for choice in choices]
        look = layout("") | {"yaxis2": FOOT, "updatemenus": [buttons]}
        figure = go.Figure([go.Scatter(trace) for trace in traces(*first)], look)
        figure.update_layout(first_change(buttons)[1])
        figure.update_yaxes(minorloglabels="complete", exponentformat="power")
        figure.update_xaxes(axis)
        return figure

    def _rows(self, table: pd.DataFrame) -> list[Any]:
        """The rows in the order in which a line joins them."""
        said = table.assign(said=[density_text(one) for one in table["density"]])
        rising = self.x != "density"
        return list(tuples(said.sort_values(self.x, ascending=rising, kind="stable")))


def sensing_figure(table: pd.DataFrame) -> go.Figure:
    """Error against density for one problem of a `sensing_table`.

    A line is a solver with the tickets of one pruner, thin dots the floor of that pruner's
    generators, long dashes a method without a generator.

    Raises ValueError when that is more than one problem, or when there is no result at all.
    """
    return DENSITIES.figure(table)


def measurements_figure(table: pd.DataFrame) -> go.Figure:
    """Error against the number of measurements for one problem, at a density to choose.

    Raises ValueError when that is more than one problem, or when there is no result at all.
    """
    return MEASUREMENTS.figure(table)


def outliers_figure(table: pd.DataFrame) -> go.Figure:
    """Error against the share of corrupted measurements, at a density and m to choose.

    `table` has the rows of problems that differ in the share alone.

    Raises ValueError when they differ in more, or when there is no result at all.
    """
    return OUTLIERS.figure(table)


def _density_axis(table: pd.DataFrame) -> dict[str, Any]:
    densities = table["density"].dropna()
    return density_axis(densities if len(densities) else [1.0], note=plain(sensing_sample(table)))


def _measurements_axis(table: pd.DataFrame) -> dict[str, Any]:
    title = f"Measurements<br><sub>{plain(sensing_sample(table))}</sub>"
    axis = log_axis(_counts(table), title, gap=1 / 6)
    return axis | {"range": axis["range"][::-1]}


def _outliers_axis(table: pd.DataFrame) -> dict[str, Any]:
    shares = sorted(set(table["share"]))
    room = 0.06 * (shares[-1] or 0.01)
    said = f"Share of corrupted measurements<br><sub>{plain(sensing_sample(table))}</sub>"
    return {
        "range": [shares[0] - room, shares[-1] + room],
        "tickvals": shares,
        "ticktext": [f"{100 * share:g} %" for share in shares],
        "title": {"text": said},
        **axis_lines(),
    }


def _counts(table: pd.DataFrame) -> dict[float, str]:
    return {count: f"{count:,.0f}" for count in sorted(set(table["m"].dropna()))}


def _m_choice(table: pd.DataFrame) -> Choice | None:
    """The numbers of measurements where there are several, first the middle one."""
    labels = _counts(table)
    middle = len(labels) // 2
    choice = Choice(name="m", legend="Measurements", labels=labels, chosen=middle, worded=True)
    return choice if len(labels) > 1 else None


def _density_choice(table: pd.DataFrame) -> Choice | None:
    """The dense one, and up to three others spread over the ladder, with their sparsities."""
    densities = sorted(set(table["density"].dropna()), reverse=True)
    said = {density_text(one): one for one in densities}
    labels = {name: removed_text(said[name]) for name in evenly(list(said), MOST_DENSITIES)}
    choice = Choice(name="said", legend="Density", labels=labels, worded=True)
    return choice if labels else None


DENSITIES = Kind(
    name="sensing",
    label="Error against density",
    x="density",
    one=("problem", "a figure of reconstructions shows one problem: choose its rows"),
    axis=_density_axis,
    others=(_m_choice,),
)
MEASUREMENTS = Kind(
    name="measurements",
    label="Error against measurements",
    x="m",
    one=("problem", "a figure of measurements shows one problem: choose its rows"),
    axis=_measurements_axis,
    others=(_density_choice,),
)
OUTLIERS = Kind(
    name="outliers",
    label="Error against outliers",
    x="share",
    one=("family", "a figure of outliers shows one family of problems: choose its rows"),
    axis=_outliers_axis,
    others=(_density_choice, _m_choice),
)


def _chosen(rows: Sequence[Any], which: str, score: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of one combination. What has no density is in all; L2 is of the selected step."""
    step = WHICH[0] if score == "l2" else which
    found = [row for row in rows if (row.score, row.which) == (score, step)]
    for column, value in values.items():
        everywhere = column == "said"
        found = [
            row for row in found if getattr(row, column) == value or (everywhere and row.reference)
        ]
    return found


def _y_axis(score: str, which: str, ends: Sequence[float]) -> dict[str, Any]:
    """Title, type and range of the vertical axis; errors are on a log axis."""
    step = STEP_BUTTONS[WHICH[0] if score == "l2" else which].lower()
    return {
        "yaxis.title.text": f"{SCORE_TITLES[score]}, {step}",
        "yaxis.type": "linear" if score == "psnr" else "log",
        "yaxis.range": ends,
    }


def _range(rows: pd.DataFrame, score: str) -> list[float]:
    """Room for all means, and for intervals where they are not much wider, of every combination."""
    means = rows[["mean", "floor"]].to_numpy().ravel().tolist()
    everything = means + rows[["low", "high"]].to_numpy().ravel().tolist()
    if score != "psnr":
        means, everything = (
            [math.log10(value) for value in values if 0 < value < math.inf]
            for values in (means, everything)
        )
    tight, wide = spread(means), spread(everything)
    room = 0.5 * (tight[1] - tight[0])
    return [max(wide[0], tight[0] - room), min(wide[1], tight[1] + room)]
