"""Maps of cells between two lists of names: a colour and a short text in each."""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from .style import OKABE_ITO, PALETTE, layout, numbers, plain

PALE, FULL = "#F7FBFF", OKABE_ITO[5]
"""Light enough to carry dark numbers, and apart in any colour vision."""

SCALE = [[0, PALE], [1, FULL]]


def cell_map(
    columns: Sequence[str],
    rows: Sequence[str],
    values: Iterable[Iterable[float]],
    *,
    scale: Sequence[Sequence[Any]] = SCALE,
    ends: tuple[float, float] = (0, 1),
    gap: int = 1,
    **said: Any,
) -> go.Heatmap:
    """Values as colours between the `ends` of a scale; what is `said` in and of each cell."""
    return go.Heatmap(
        x=columns,
        y=rows,
        z=[numbers(row) for row in values],
        texttemplate="%{text}",
        hoverongaps=False,
        colorscale=scale,
        zmin=ends[0],
        zmax=ends[1],
        showscale=False,
        xgap=gap,
        ygap=gap,
        **said,
    )


def cell_layout(*, font_size: int = 11, bottom: int = 70) -> dict[str, Any]:
    """The first cell is at the top left."""
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "type": "category", "ticks": ""}
    axis |= {"automargin": True, "linecolor": PALETTE["muted"], "fixedrange": True}
    axis["tickfont"] = {"size": font_size}
    return layout("") | {
        "xaxis": axis,
        "yaxis": {**axis, "autorange": "reversed"},
        "margin": {"l": 20, "r": 12, "t": 56, "b": bottom},
    }


def in_lines(name: str, width: int, **options: bool) -> str:
    """A name in lines of at most so many characters."""
    return "<br>".join(plain(line) for line in wrap(name, width, **options))  # type: ignore[arg-type]
