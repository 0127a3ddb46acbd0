"""How all figures look: colours, dashes, symbols, axes, buttons."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any

import plotly.io as pio

from lip_ray.columns import LEVELS
from lip_ray.records import Outcome

from ..rows.points import BELOW_MEASURED, UNFINISHED
from ..rows.texts import density_text, sparsity_text

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dashdot", "dot", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "pentagon", "hexagram")
BASE_DASHES = ("longdash", "dashdot", "longdashdot", "dash")

PALETTE = {"ink": "#222222", "muted": "#767676", "paper": "#FFFFFF", "grid": "#EBEBEB"}
"""The colours that are no method's, by their use: a page may put its own in their place."""

BUTTONS = {"selected": "Selected", "peak": "Peak (oracle)", "final": "Final"}

AXIS_TITLES = {which: LEVELS[f"psnr_{which}_db"].axis_title for which in BUTTONS}

BROKEN_SYMBOLS = {Outcome.COLLAPSED: "x-thin", Outcome.DIVERGED: "asterisk"}
"""Marks of fits that went wrong but have a PSNR, whatever the method's own symbol."""

FLAW_SYMBOLS = {
    **{outcome.value: symbol for outcome, symbol in BROKEN_SYMBOLS.items()},
    UNFINISHED: "hourglass-open",
    BELOW_MEASURED: "triangle-down-open",
}
"""The same, and the marks of fits that more steps would improve, or that restore nothing."""

FLAW_WORDS = {flaw: f"{flaw} fit" for flaw in FLAW_SYMBOLS} | {
    BELOW_MEASURED: "fit below the measurement"
}
"""What legends call them."""

FOOT = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
"""The second axis, for marks along the foot of a figure: of what has no value."""

TICK_GAP = 1 / 7
"""The least share of a log axis between two of its labels, for them to fit on a phone."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a method looks, in colour and without."""

    colour: str
    dash: str
    symbol: str | None

    def line(self, width: float) -> dict[str, Any]:
        """A line of that width."""
        return {"color": self.colour, "dash": self.dash, "width": width}

    def marker(self, size: Any) -> dict[str, Any]:
        """Marks of one size, or of a size each."""
        return {"symbol": self.symbol, "size": size, "opacity": 1}


MEASURED_STYLE = Style(colour=PALETTE["muted"], dash="dot", symbol=None)


def method_style(place: int) -> Style:
    """The look of the method at that place; colour, dash and symbol repeat at different lengths."""
    return Style(
        colour=OKABE_ITO[place % len(OKABE_ITO)],
        dash=DASHES[place % len(DASHES)],
        symbol=SYMBOLS[place % len(SYMBOLS)],
    )


def base_style(place: int) -> Style:
    """The look of the dense method at that place."""
    return Style(
        colour=PALETTE["muted" if place else "ink"],
        dash=BASE_DASHES[place % len(BASE_DASHES)],
        symbol=SYMBOLS[place % len(SYMBOLS)],
    )


def layout(y_title: str) -> dict[str, Any]:
    """What figures have in common: a legend below, no upload, no drag."""
    return {
        "template": _template(),
        "paper_bgcolor": PALETTE["paper"],
        "plot_bgcolor": PALETTE["paper"],
        "hovermode": "closest",
        "dragmode": False,
        "margin": {"l": 62, "r": 16, "t": 56, "b": 92},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": PALETTE["ink"]},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "modebar": {"remove": ["sendChartToCloud", "select2d", "lasso2d"]},
        "uirevision": "hidden methods and zoom outlive a redraw",
        "yaxis": {"title": {"text": y_title}, "zeroline": False, **axis_lines()},
    }


@cache
def _template() -> dict[str, Any]:
    """The part of Plotly's white look that these figures use: each figure carries a copy."""
    white = pio.templates["plotly_white"].to_plotly_json()
    shown = ("autotypenumbers", "font", "hoverlabel", "xaxis", "yaxis")
    parts = {part: white["layout"][part] for part in shown}
    return {"layout": parts, "data": {"heatmap": white["data"]["heatmap"]}}


def axis_lines() -> dict[str, Any]:
    """Lines and ticks of an axis."""
    lines = {"linecolor": PALETTE["muted"], "gridcolor": PALETTE["grid"]}
    return {"showline": True, "ticks": "outside", "tickcolor": PALETTE["muted"], **lines}


def log_axis(labels: Mapping[float, str], title: str, *, gap: float = TICK_GAP) -> dict[str, Any]:
    """A log axis from most on the left to least on the right, labelled where there is room."""
    falling = sorted(labels, reverse=True)
    ticks = sparse_ticks(falling, gap)
    return {
        "type": "log",
        "range": [math.log10(falling[0] * 1.12), math.log10(falling[-1] / 1.12)],
        "tickvals": ticks,
        "ticktext": [labels[tick] for tick in ticks],
        "tickangle": 0,
        "tickfont": {"size": 12},
        "title": {"text": title},
        **axis_lines(),
    }


def density_axis(densities: Iterable[float], *, note: str) -> dict[str, Any]:
    """A log axis from dense on the left to sparse on the right, with sparsity below density."""
    labels = {one: f"{density_text(one)}<br>{sparsity_text(one)}" for one in densities}
    return log_axis(labels, f"Density (below it: sparsity)<br><sub>{note}</sub>")


def sparse_ticks(values: list[float], share: float) -> list[float]:
    """The ends of the falling values, and those between with that share of the axis around."""
    first, last = values[0], values[-1]
    gap = math.log(first / last) * share
    ticks = [first]
    for value in values[1:-1]:
        if min(math.log(ticks[-1] / value), math.log(value / last)) >= gap:
            ticks.append(value)
    return ticks if first == last else [*ticks, last]


def numbers(values: Iterable[float]) -> list[float | None]:
    """Plain floats for JSON, None where there is no finite one."""
    return [float(value) if math.isfinite(value) else None for value in values]


def spread(values: Iterable[float]) -> list[float]:
    """A range with room for all finite values."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = float(min(finite)), float(max(finite))
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]


def plain(text: str) -> str:
    """Text that Plotly, which takes names for markup, shows as it is."""
    return escape(text, quote=False)
