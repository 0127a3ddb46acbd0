"""Networks of different kinds on one image and task: PSNR against the parameters left."""

import json
from collections.abc import Iterable, Iterator

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import PSNR_SHOWN
from ..charts.curves import Plot, curve_figure
from ..charts.style import AXIS_TITLES, log_axis
from ..page.content import Content, Part
from ..page.section import Block, Figure, Section, most_per, table_of
from ..rows.choosing import check_single
from ..rows.identity import KINDS
from ..rows.naming import distinct_names, flat_settings, grouped, named
from ..rows.points import CONFIDENCE, WHICH, described_points, distinct_fits
from ..rows.texts import count_text, density_text, mean_cells, sample_text
from ..statistics.aggregate import Groups, dense_first, psnr_table

SIZED = [
    *("kind", "problem", "method", "method_key", "reference", "seed", "kept", "total", "kept_all"),
    *("density", "network_name", "network_key", "network_settings"),
    *(f"psnr_{which}_db" for which in WHICH),
]
"""The columns that sizes are compared by: few are sorted fast."""

MOST_COMPARISONS = 12
"""Comparisons that have a section each; the frontier has all."""

NOTE = """
Parameters are all that the network has left: weights, biases and normalisation. Points are means
over seeds, bars their Student-t intervals, cut off where they are very wide. The lines of sparse
networks begin at the dense one.
"""

CELLS = {
    "Network and method": lambda rows: rows[0].series,
    "Parameters": lambda rows: count_text(rows[0].kept_all),
    "Density": lambda rows: density_text(rows[0].density),
    **mean_cells(["Selected", "Peak", "Final"], end="_db"),
    "n": lambda rows: rows[0].n,
}
"""The cells of a series and size, from its rows, one per PSNR."""

TICK_GAP = 1 / 5
"""The gap between labels: counts are wider than densities."""

PLOT = Plot(
    x="kept_all",
    series="series",
    end="_db",
    which=PSNR_SHOWN,
    titles=AXIS_TITLES,
    hover="%{x:,} parameters<br>%{y:.2f} dB",
)


def size_table(
    trials: pd.DataFrame, levels: pd.DataFrame, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """One row per comparison (image and task), series, network size and `which` PSNR.

    Comparisons are those in which more than one kind or setting of a prior was fitted; none, no
    rows. A series is what one line joins: the tickets that a method found in one prior, the dense
    network first, or the dense networks of a kind of prior of which there are several sizes and
    no tickets. Only trajectories on a single image are compared. `kept_all` counts weights, biases
    and normalisation; `mean_db` over seeds lies in the Student-t interval `low_db` to `high_db`
    (NaN below two seeds).

    Raises ValueError when there is no fit at all, or `confidence` is not within 0 and 1.
    """
    return sizes_of(described_points(trials, levels), confidence=confidence)


def sizes_of(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """The `size_table` of `described_points`."""
    points = points[SIZED].assign(comparison=named(points, "scene"))
    single = ~points["method_key"].str.contains('"images"', regex=False)
    fits = points[(points["kind"] == "trajectory") & single]
    kinds = fits.groupby("comparison", observed=True)["network_key"].nunique()
    fits = distinct_fits(fits[fits["comparison"].isin(kinds[kinds > 1].index)])
    fits = _in_series(fits) if len(fits) else fits.assign(series=pd.Categorical([]), network="")
    by = ["comparison", "series", "network", "kept_all"]
    groups = Groups(fits=fits, by=by, confidence=confidence)
    table = psnr_table(groups, same=["kept", "density"], failures=()).drop(columns="missing")
    return dense_first(table, ["comparison", "series", "kept_all", "which"])


def size_figure(table: pd.DataFrame) -> go.Figure:
    """PSNR against parameters left for one comparison of a `size_table`.

    Raises ValueError when that is more than one comparison, or when there is no PSNR at all.
    """
    check_single(table, "comparison", "a size figure shows one comparison: choose its rows")
    if not table["n"].any():
        raise ValueError("no fit has a PSNR: a comparison needs a clean image")
    notes = table["network"] + "<br>n = " + table["n"].astype(str)
    counts = {one: count_text(one) for one in table["kept_all"]}
    title = f"Parameters left, biases and all<br><sub>{sample_text(table)}</sub>"
    return curve_figure(table.assign(note=notes), log_axis(counts, title, gap=TICK_GAP), PLOT)


def sections(shown: Content) -> Iterator[Section]:
    """One per image and task on which several priors have a PSNR, at most `MOST_COMPARISONS`."""
    table = sizes_of(shown.described)
    table = table[table.groupby("comparison", observed=True)["n"].transform("any")]
    yield from most_per(
        table,
        "comparison",
        "by-size",
        _blocks,
        most=MOST_COMPARISONS,
        title="Networks by size, {}",
        more="{:,} more such comparisons are in the frontier alone.",
    )


def _blocks(rows: pd.DataFrame, number: int) -> Iterator[Block]:
    yield Figure(
        name="size",
        place=f"size-{number}",
        label="PSNR against parameters",
        note=NOTE,
        lines=rows["series"].nunique(),
        figure=size_figure(rows),
        controls=(PSNR_SHOWN,),
    )
    yield table_of(
        grouped(rows, "series", "network", "kept_all"),
        CELLS,
        name="size",
        label="Mean PSNR by network and size",
        note=f"Mean PSNR in dB over seeds. {sample_text(rows)}.",
    )


def _in_series(fits: pd.DataFrame) -> pd.DataFrame:
    """The fits with `series` and `network`; a dense fit is in the series of all its tickets."""
    fits = fits.assign(network=named(fits, "network").astype(str))
    same = ["comparison", "network", "reference"]
    tickets = fits[fits["kept"] < fits["total"]]
    methods = tickets[[*same, "method"]].drop_duplicates()
    dense = fits[fits["kept"] == fits["total"]].drop(columns="method")
    tops = dense.merge(methods, on=same, how="left")
    alone = tops["method"].isna()
    tickets = pd.concat([tickets, tops[~alone]])
    tickets["series"] = tickets["network"] + ": " + tickets["method"].astype(str)
    kinds = tops[alone]
    kinds = kinds.assign(family=_families(kinds))
    size = ["comparison", "family", "reference", "kept_all"]
    ambiguous = kinds.groupby(size, observed=True)["network"].transform("nunique") > 1
    name = kinds["network"].where(ambiguous, kinds.pop("family"))
    kinds = kinds.assign(series=name + ": " + kinds["reference"].astype(str))
    found = pd.concat([kinds, tickets], ignore_index=True)
    order = pd.CategoricalDtype(list(dict.fromkeys(sorted(found["series"]))), ordered=True)
    return found.astype({"series": order})


def _families(kinds: pd.DataFrame) -> pd.Series:
    """What a line of networks of one kind is called: by all settings in which these differ but the
    one with the most values, along which the line goes."""
    settings = kinds["network_settings"]
    rest = {
        text: found
        for _, own in settings.groupby(kinds["network_name"], observed=True)
        for text, found in _but_the_most_varied(own.unique()).items()
    }
    texts = settings.map(rest)
    found = distinct_names(kinds["network_name"].astype(str), texts, texts)
    return pd.Series(found.astype(str), kinds.index)


def _but_the_most_varied(settings: Iterable[str]) -> dict[str, str]:
    """JSON objects without the leaf that has the most different values, by what they were."""
    flat = {text: flat_settings(text) for text in settings}
    names = sorted({name for own in flat.values() for name in own})
    along = max(names, key=lambda name: len({own.get(name) for own in flat.values()}), default="")
    return {
        text: json.dumps({name: value for name, value in own.items() if name != along})
        for text, own in flat.items()
    }


PART = Part(label="Size", names={"size"}, sections=sections, kinds={*KINDS})
