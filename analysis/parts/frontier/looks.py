"""How the frontier's traces look, and for which choices: templates that refer to columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from ...charts.choices import chosen, column, crowded
from ...charts.style import (
    FLAW_SYMBOLS,
    FLAW_WORDS,
    MEASURED_STYLE,
    PALETTE,
    Style,
    base_style,
    method_style,
    plain,
)
from ...rows.naming import tuples
from .table import SCENE, SERIES

Template = Mapping[str, Any]

ALL = "all"
"""The choice of every prior, or of every method."""

DEEP_DECODER = "deep_decoder"
"""The kind of network that is a reference whatever is chosen."""

COST_HOVERS = {
    "density": "density %{x:.3g}",
    "kept": "%{x:,} weights kept",
    "macs": "%{x:.3s} multiply-adds",
    "seconds": "%{x:.3s} s",
}

SAMPLES = {
    "run": ", one run",
    "seed": " [%{customdata[0]:.2f}, %{customdata[1]:.2f}], n = %{customdata[2]} seeds",
    "image": " [%{customdata[0]:.2f}, %{customdata[1]:.2f}], n = %{customdata[2]} images",
}
"""The end of a mean's hover label, by what the mean is over."""

COST, BESIDE = column("cost", by="axis"), column("cost beside", by="axis")
MEAN, LOW, HIGH, COUNT = (column(name, by="which") for name in ("mean", "low", "high", "n"))

LONE_LINE = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
"""A line beside another that says its name and its values."""

MEANS = {"type": "scatter", "mode": "lines+markers", "x": COST, "y": MEAN}

MEASURED = {
    **LONE_LINE,
    "x": column("measured cost", by="axis"),
    "y": column("measured"),
    "name": "measurement",
    "line": MEASURED_STYLE.line(1.5),
    "showlegend": True,
}
"""A level line at the measurement, above which restoring begins."""

FRONT = {
    **MEANS,
    "name": "Pareto front",
    "line": {"color": PALETTE["ink"], "width": 1, "shape": "hv"},
    "marker": {"symbol": "circle-open", "size": 16, "color": PALETTE["ink"]},
    "hoverinfo": "skip",
}
"""Steps from the cheapest to the best, and rings around what is on the front."""

PUBLISHED = {
    "type": "scatter",
    "mode": "markers",
    "x": column("published density"),
    "y": column("published psnr"),
    "name": "published",
    "marker": {"symbol": "cross", "size": 10, "color": PALETTE["muted"]},
    "text": column("published text"),
    "hovertemplate": "published<br>%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
}


def fit_marks(label: str) -> dict[str, Any]:
    """Marks of single fits, with hover labels that begin with `label`."""
    hovers = {
        axis: f"{label}<br>%{{text}}<br>{cost}<br>%{{y:.2f}} dB<extra></extra>"
        for axis, cost in COST_HOVERS.items()
    }
    return {
        "type": crowded(few="scatter", many="scattergl"),
        "mode": "markers",
        "x": column("fit cost", by="axis"),
        "y": column("fit psnr", by="which"),
        "opacity": crowded(few=0.6, many=0.3),
        "customdata": column("fit"),
        "text": column("fit text"),
        "hovertemplate": chosen("axis", hovers),
    }


def _flaw_marker(flaw: str, colour: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.5}
    return {"color": colour, "symbol": FLAW_SYMBOLS[flaw], "size": 9, "line": line}


FLAWED: Mapping[str, Template] = {
    flaw: {
        "type": "scatter",
        "mode": "markers",
        "x": [1],
        "y": [None],
        "name": FLAW_WORDS[flaw],
        "marker": _flaw_marker(flaw, PALETTE["ink"]),
    }
    for flaw in FLAW_SYMBOLS
}
"""Entries of the legend, by flaw: the marks themselves have the colours of their methods."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one line joins, and how: the tickets of a method in a network, or a dense network."""

    network: str
    method: str
    base: bool
    """Whether it is a dense network alone."""
    always: bool
    """Whether it is shown whatever is chosen."""
    name: str
    style: Style

    @cached_property
    def when(self) -> Mapping[str, Sequence[str]]:
        """The choices for which it is shown: dense networks are whatever the method.

        The deep decoder is always, unless there are several: they would hide what is chosen.
        """
        if self.always:
            return {}
        own = {"prior": [ALL, self.network]}
        return own if self.base else own | {"method": [ALL, self.method]}

    @cached_property
    def interval(self) -> Template:
        """A vertical bar per mean, beside those of other series, broken off between means."""
        ends = {"x": {"gapped": [BESIDE, BESIDE]}, "y": {"gapped": [LOW, HIGH]}}
        line = {"color": self.style.colour, "width": 5}
        return self._named({**LONE_LINE, **ends, "line": line, "opacity": 0.3}, ", interval")

    @cached_property
    def band(self) -> Template:
        """A pale band between the ends of the intervals of several means."""
        ends = {"x": {"around": [COST, COST]}, "y": {"around": [LOW, HIGH]}}
        look = {"fill": "toself", "fillcolor": self.style.colour, "opacity": 0.13}
        return self._named({**LONE_LINE, **ends, **look, "line": {"width": 0}}, ", interval")

    @cached_property
    def means(self) -> Template:
        """The ladder of a method or, of a dense network, a mark at its own cost."""
        own = {
            **MEANS,
            "line": self.style.line(1.5 if self.base else 2),
            "marker": self.style.marker(9),
            "customdata": {"rows": [LOW, HIGH, COUNT]},
            "ids": column("mean fit", by="which"),
            "hovertemplate": column("sample", by="which", of=_mean_hovers(self.name)),
        }
        return self._named(own)

    @cached_property
    def level(self) -> Template:
        """A horizontal line at what a dense network reaches."""
        own = {**LONE_LINE, "x": COST, "y": MEAN, "line": self.style.line(1.5)}
        return self._named(own, ", level")

    @cached_property
    def fits(self) -> Template:
        """Open marks of single fits."""
        colour, symbol = self.style.colour, f"{self.style.symbol}-open"
        marker = {"color": colour, "symbol": symbol, "size": crowded(few=6, many=4)}
        own = {**fit_marks(plain(self.name)), "marker": marker, "showlegend": False}
        return self._named(own, ", fits")

    @cached_property
    def flawed(self) -> Mapping[str, Template]:
        """Marks of the fits that have a flaw, by flaw."""
        return {
            flaw: self._named(
                {
                    **fit_marks(plain(f"{self.name}, {flaw}")),
                    "marker": _flaw_marker(flaw, self.style.colour),
                    "opacity": 1,
                    "showlegend": False,
                },
                f", {flaw} fits",
            )
            for flaw in FLAW_SYMBOLS
        }

    def _named(self, trace: Template, what: str = "") -> Template:
        return {**trace, "name": plain(self.name + what), "legendgroup": self.name}


def series_of(table: pd.DataFrame) -> list[Series]:
    """All series of a `scene_table`, in the order in which they are drawn; the dense ones last.

    Where no scene has several networks, a method has one name and one look in all of them.
    """
    columns = [*SERIES, "prior", "reference"]
    found = table[columns].drop_duplicates(SERIES).sort_values(SERIES).astype(str)
    alone = bool((table.groupby(SCENE, observed=True)["network"].nunique() <= 1).all())
    base = found["method"] == found["reference"]
    decoders = base & (found["prior"] == DEEP_DECODER)
    styles: tuple[tuple[pd.DataFrame, bool, Callable[[int], Style]], ...] = (
        (found[~base], False, method_style),
        (found[base], True, base_style),
    )
    return [
        Series(
            network=row.network,
            method=row.method,
            base=is_base,
            always=is_base and row.prior == DEEP_DECODER and decoders.sum() == 1,
            name=name,
            style=style(place),
        )
        for rows, is_base, style in styles
        for row, name, place in _placed(rows, alone)
    ]


def _placed(rows: pd.DataFrame, alone: bool) -> Iterator[tuple[Any, str, int]]:
    """Each row with its name, and the place of that name among all."""
    names = [row.method if alone else f"{row.network}: {row.method}" for row in tuples(rows)]
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    for row, name in zip(tuples(rows), names, strict=True):
        yield row, name, places[name]


def _mean_hovers(name: str) -> dict[str, Any]:
    """Hover labels by cost, one for each of `SAMPLES`."""
    return chosen(
        "axis",
        {
            axis: [
                f"{plain(name)}<br>{cost}<br>%{{y:.2f}} dB{tail}<extra></extra>"
                for tail in SAMPLES.values()
            ]
            for axis, cost in COST_HOVERS.items()
        },
    )
