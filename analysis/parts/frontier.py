"""The frontier: PSNR of every ticket against the share of weights it keeps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lip_ray.records import Outcome

from ..charts.controls import switch
from ..charts.style import (
    AXIS_TITLES,
    BUTTONS,
    MEASURED_STYLE,
    PALETTE,
    Style,
    base_style,
    layout,
    log_axis,
    menu,
    method_style,
    numbers,
    plain,
    spread,
)
from ..page.content import NO_FITS, Content
from ..page.gallery import density_caption, gallery_entries, psnr_caption
from ..page.pictures import Pictures
from ..page.section import (
    Block,
    Facts,
    Figure,
    Gallery,
    Section,
    Strip,
    Strong,
    Table,
    Text,
    Tile,
    Words,
)
from ..rows.choosing import most_frequent
from ..rows.identity import DENSE
from ..rows.naming import flat_settings, grouped, tuples
from ..rows.points import (
    BAD_OUTCOMES,
    CONFIDENCE,
    WHICH,
    db_text,
    density_text,
    distinct_fits,
    mean_text,
    sample_text,
    sparsity_text,
    without_keys,
)
from ..statistics.aggregate import IN_DB, SCORES, Groups, dense_first, score_table

MOST_PROBLEMS = 12
"""Have a section each; the explorer has all."""

INTRODUCTION: tuple[Words, ...] = (
    """Each network below can only produce images. It is pruned level by level and, with what is
    left of it, fitted to a degraded image; the figures show how good the restored image is, as PSNR
    against the clean one, and how few weights that takes. Methods are compared at equal density,
    from the same initial weights, latent and noise.""",
    (
        "Every fit has three PSNRs. ",
        Strong("Selected"),
        """ is at the step that a rule chose without the clean image: what one would get in use.
        """,
        Strong("Peak"),
        """ is the best over the fit, found by looking at the clean image: an upper bound, and what
        papers report. """,
        Strong("Final"),
        " is at the last step.",
    ),
)

NOTE = """
Density is kept ÷ prunable weights. Open marks are fits, one a seed; lines join their means. Pale
bars are Student-t intervals of the mean over seeds within this one image; with few seeds they are
wide and may leave the axis. The dense fit of a seed is the same for all methods and counted once;
other initial weights, a clean target or several images at once have dense lines of their own.
A cross is a collapsed fit: the mask leaves no path from input to output, the image is one flat
colour, and its PSNR is real. Point at a mark, or tap it, to see what that fit restored.
"""

NUMBERS_NOTE = """
Mean PSNR in dB over seeds and, in brackets, its Student-t interval. Kept counts prunable weights;
effective is the mean of those on a path from input to output.
"""

HEADS = ("Method", "Density", "Kept", "Effective", "Selected", "Peak", "Final", "Seeds", "Note")

NO_FIGURE = Text("There is no clean image to compare with, so no PSNR to plot.")

BROKEN_SYMBOLS = {Outcome.COLLAPSED: "x-thin", Outcome.DIVERGED: "asterisk"}
"""Marks of fits that went wrong but have a PSNR, whatever the method's own symbol."""

PSNR_COLUMNS = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]

FIT_COLUMNS = ["method", "reference", "density", "seed", "outcome", *PSNR_COLUMNS]
"""Of the points those that a figure shows."""

MEAN_COLUMNS = [
    *("method", "reference", "density", "seeds", "collapsed"),
    *("measured_db", "mean_db", "low_db", "high_db"),
]
"""Of the table those that a figure shows."""


def frontier_table(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per problem, method, density and `which` PSNR: its mean over seeds, and interval.

    Of the `seeds`, `n` have that PSNR and `missing` have none. `mean_db` lies in the Student-t
    interval `low_db` to `high_db` at that `confidence`; below two seeds there is none (NaN).
    `effective` and `measured_db` are means over the seeds that have them; `collapsed`, `diverged`
    and `failed` count fits. `reference` is the dense method that the method's ladder begins with.

    Raises ValueError when `confidence` is not within 0 and 1.
    """
    by = ["problem", "method", "kept"]
    groups = Groups(fits=distinct_fits(points), by=by, confidence=confidence)
    means = {"effective": "effective", "measured_db": "psnr_measured_db"}
    same = ["reference", "total", "density"]
    table = score_table(groups, SCORES, same=same, means=means).rename(columns=IN_DB)
    return dense_first(table, [*by, "which"])


def frontier_figure(points: pd.DataFrame, table: pd.DataFrame) -> go.Figure:
    """PSNR against density for one problem, with buttons to choose which of the three PSNRs.

    `points` and `table` are as from `frontier_points` and `frontier_table`, one problem's rows of
    each. Every fit is a mark whose `customdata` is its row label in `points`.

    Raises ValueError when that is more than one problem, or when there is no PSNR at all.
    """
    if set(points["problem"]) != set(table["problem"]) or points["problem"].nunique() != 1:
        raise ValueError("a frontier figure shows one problem: choose its rows of both tables")
    if not table["n"].any():
        raise ValueError("no fit has a PSNR: a frontier needs a clean image to compare with")
    fits = distinct_fits(points)[FIT_COLUMNS]
    traces = {which: _traces(fits, table, which) for which in WHICH}
    look = layout(AXIS_TITLES[WHICH[0]]) | {"updatemenus": [_switch(traces)]}
    look["xaxis"] = density_axis(fits["density"], note=sample_text(table))
    look["yaxis"]["range"] = _psnr_range(fits)
    look["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return go.Figure(traces[WHICH[0]], look)


def density_axis(densities: Iterable[float], *, note: str) -> dict[str, Any]:
    """From dense on the left to sparse on the right, with sparsity below density."""
    labels = {one: f"{density_text(one)}<br>{sparsity_text(one)}" for one in densities}
    return log_axis(labels, f"Density (below it: sparsity)<br><sub>{note}</sub>")


def _styles(points: pd.DataFrame) -> dict[str, Style]:
    """By method, "dense" last and so on top; the same for every part of one table."""
    bases = list(points["reference"].cat.categories)
    rest = [name for name in points["method"].cat.categories if name not in bases]
    styles = {name: method_style(place) for place, name in enumerate(rest)}
    return styles | {name: base_style(i) for i, name in reversed(list(enumerate(bases)))}


def _traces(fits: pd.DataFrame, table: pd.DataFrame, which: str) -> list[dict[str, Any]]:
    """All traces, for one of the PSNRs: between these only `y` differs."""
    rows = table.loc[table["which"] == which, MEAN_COLUMNS]
    ends = [fits["density"].max(), fits["density"].min()]
    measured = rows["measured_db"].dropna().head(1)
    traces = [_level_line(ends, value, "measurement", MEASURED_STYLE) for value in measured]
    ladders = dict(list(rows.groupby("method", observed=True)))
    groups = dict(list(fits.groupby("method", observed=True)))
    for method, style in _styles(fits).items():
        if method not in groups:
            continue
        own, group = ladders[method], groups[method]
        base = own["reference"].iloc[0]
        if method == base:
            line = _level_line(ends, own["mean_db"].iloc[0], method, style)
        else:
            line = _mean_line(pd.concat([ladders[base], own]), method, style)
        traces += [_intervals(own, method, style), line, _fit_marks(group, method, style, which)]
    return traces + _broken_legend(fits) + _missing_marks(fits, which)


def _level_line(ends: list[float], value: float, name: str, style: Style) -> dict[str, Any]:
    """A horizontal line at one value, marked at its dense end if the style says how."""
    return {
        "type": "scatter",
        "x": ends,
        "y": numbers([value] * len(ends)),
        "name": plain(name),
        "mode": "lines+markers" if style.symbol else "lines",
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "marker": {"symbol": style.symbol, "size": [9, 0], "opacity": 1},
        "hoverinfo": "skip",
        "legendgroup": name,
    }


def _intervals(rows: pd.DataFrame, method: str, style: Style) -> dict[str, Any]:
    """A vertical bar per density, broken off between densities."""
    x = [x for density in rows["density"] for x in (density, density, None)]
    bounds = zip(numbers(rows["low_db"]), numbers(rows["high_db"]), strict=True)
    return {
        "type": "scatter",
        "x": x,
        "y": [y for low, high in bounds for y in (low, high, None)],
        "name": plain(f"{method}, interval"),
        "mode": "lines",
        "line": {"color": style.colour, "width": 5},
        "opacity": 0.25,
        "hoverinfo": "skip",
        "legendgroup": method,
        "showlegend": False,
    }


def _mean_line(rows: pd.DataFrame, method: str, style: Style) -> dict[str, Any]:
    """From the dense mean down the ladder; unmarked where crosses say that all fits collapsed."""
    marked = rows["collapsed"] < rows["seeds"]
    return {
        "type": "scatter",
        "x": rows["density"].tolist(),
        "y": numbers(rows["mean_db"]),
        "name": plain(method),
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {
            "symbol": style.symbol,
            "size": [9 if some else 0 for some in marked],
            "opacity": 1,
        },
        "hoverinfo": "skip",
        "legendgroup": method,
    }


def _fit_marks(fits: pd.DataFrame, method: str, style: Style, which: str) -> dict[str, Any]:
    broken = [outcome in BROKEN_SYMBOLS for outcome in fits["outcome"]]
    own = f"{style.symbol}-open"
    return {
        "type": "scatter",
        "x": fits["density"].to_numpy(),
        "y": numbers(fits[f"psnr_{which}_db"]),
        "name": plain(f"{method}, fits"),
        "mode": "markers",
        "marker": {
            "color": style.colour,
            "opacity": 1,
            "symbol": [BROKEN_SYMBOLS.get(outcome, own) for outcome in fits["outcome"]],
            "size": [12 if bad else 7 for bad in broken],
            "line": {"color": style.colour, "width": [3 if bad else 1.5 for bad in broken]},
        },
        "customdata": fits.index.to_numpy(),
        "text": [plain(f"{method}, seed {seed}") for seed in fits["seed"]],
        "hovertemplate": "%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
        "legendgroup": method,
        "showlegend": False,
    }


def _broken_legend(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """An entry for each way in which fits went wrong, whatever their colour."""
    line = {"color": PALETTE["ink"], "width": 3}
    return [
        {
            "type": "scatter",
            "x": [1],
            "y": [None],
            "name": f"{outcome} fit",
            "mode": "markers",
            "marker": {"symbol": symbol, "size": 12, "color": PALETTE["ink"], "line": line},
        }
        for outcome, symbol in BROKEN_SYMBOLS.items()
        if (fits["outcome"] == outcome).any()
    ]


def _missing_marks(fits: pd.DataFrame, which: str) -> list[dict[str, Any]]:
    """Triangles along the foot of the figure for the fits without a PSNR; no trace without."""
    psnrs = fits[[f"psnr_{name}_db" for name in WHICH]]
    some = fits[psnrs.isna().any(axis=1)]
    if some.empty:
        return []
    styles = _styles(fits)
    return [
        {
            "type": "scatter",
            "x": some["density"].tolist(),
            "y": [0 if missing else None for missing in some[f"psnr_{which}_db"].isna()],
            "yaxis": "y2",
            "name": "fit without PSNR",
            "mode": "markers",
            "cliponaxis": False,
            "marker": {
                "symbol": "triangle-down",
                "size": 11,
                "color": [styles[method].colour for method in some["method"]],
            },
            "customdata": some.index.tolist(),
            "text": [plain(outcome) for outcome in some["outcome"]],
            "hovertemplate": "%{text}<br>density %{x:.3g}<br>no PSNR<extra></extra>",
        }
    ]


def _switch(traces: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Buttons that replace every trace's y; the first is `WHICH[0]`."""
    buttons = []
    for which in WHICH:
        heights = [trace["y"] for trace in traces[which]]
        change = [{"y": heights}, {"yaxis.title.text": AXIS_TITLES[which]}]
        buttons.append({"label": BUTTONS[which], "method": "update", "args": change})
    return menu(buttons)


def _psnr_range(fits: pd.DataFrame) -> list[float]:
    """Room for every PSNR of every fit, so that the axis stays while the switch is used."""
    return spread(fits[PSNR_COLUMNS].to_numpy().ravel())


def pictured(shown: Content) -> pd.DataFrame:
    """All fits of the frontiers: each has a card at its mark."""
    return distinct_fits(shown.once(_points)) if len(shown.described) else NO_FITS


def sections(shown: Content) -> Iterator[Section]:
    """One per problem, of the `MOST_PROBLEMS` with the most fits; the first says how many more."""
    if shown.described.empty:
        return
    points = shown.once(_points)
    fits, table = distinct_fits(points), frontier_table(points)
    left = shown.described["problem"].nunique() - points["problem"].nunique()
    more = Text(
        f"The {points['problem'].nunique()} problems with the most fits have a part of this page "
        f"each. {left:,} more are in the explorer alone."
    )
    for place, (problem, own) in enumerate(fits.groupby("problem", observed=True)):
        rows = table[table["problem"] == problem]
        yield Section(
            name=f"problem-{place}",
            title=str(problem),
            blocks=(*[more] * (left > 0 and not place), *_blocks(own, rows, place, shown.pictures)),
            cards=partial(_cards, own, shown.pictures),
            neighbours=partial(_neighbours, own, shown.pictures),
        )


def _points(shown: Content) -> pd.DataFrame:
    """Those of the problems that are shown."""
    points = without_keys(shown.described)
    problems = most_frequent(points["problem"], MOST_PROBLEMS)
    return points[points["problem"].isin(problems)]


def _blocks(
    fits: pd.DataFrame, rows: pd.DataFrame, place: int, pictures: Pictures
) -> Iterator[Block]:
    """Settings, the figure, pictures and numbers of one problem."""
    yield from _settings(fits)
    control = switch(f"which-{place}", "PSNR and pictures shown", BUTTONS)
    if rows["n"].any():
        yield Figure(
            name="frontier",
            place=f"chart-{place}",
            label="PSNR against density; the numbers are in the table below",
            note=NOTE,
            lines=fits["method"].nunique(),
            figure=frontier_figure(fits, rows),
            controls=(control,),
            carded=True,
        )
    else:
        yield control
        yield NO_FIGURE
    yield _gallery(fits, pictures)
    yield _numbers(rows)


def _settings(fits: pd.DataFrame) -> Iterator[Block]:
    """The settings that matter most as a sentence, all of them folded away."""
    settings = flat_settings(fits["settings"].iloc[0])
    first = fits.iloc[0]
    seeds = ", ".join(str(seed) for seed in sorted(set(fits["seed"])))
    steps = f", {settings['fit.steps']} steps a fit" if "fit.steps" in settings else ""
    yield Text(
        f"Image {first['image']}, task {first['task']}. Network {first['prior']}, "
        f"{first['total']:,} prunable weights{steps}. Seeds: {seeds}."
    )
    yield Facts(title="All settings", rows=settings)


def _gallery(fits: pd.DataFrame, pictures: Pictures) -> Gallery:
    """The reconstructions of the seed with the most fits, dense first, then by method."""
    seed = fits["seed"].mode().iloc[0]
    own = fits[fits["seed"] == seed].sort_values("kept", ascending=False, kind="stable")
    strips = [
        _strip(str(method), group, pictures)
        for method, group in own.groupby("method", observed=True)
    ]
    return Gallery(title=f"Reconstructions of seed {seed}", of="step", blocks=strips)


def _strip(method: str, fits: pd.DataFrame, pictures: Pictures) -> Strip:
    """A method's reconstructions in a row; before the dense one, what it was fitted to."""
    tiles = [_fit_tile(fit, pictures) for fit in tuples(fits)]
    if method != DENSE:
        return Strip(title=method, tiles=tiles)
    problem = _problem_tiles(next(tuples(fits)), pictures)
    return Strip(title="The problem, and the dense network", tiles=[*problem, *tiles])


def _problem_tiles(dense: Any, pictures: Pictures) -> Iterator[Tile]:
    """The clean image where one is known, and the measurement."""
    if (dense.trial_id, dense.level, dense.image, "clean") in pictures.places:
        clean = pictures.place(dense, "clean")
        yield Tile(picture=clean, alt=f"{dense.image}, clean", head="clean", line="")
    yield Tile(
        picture=pictures.place(dense, "measured"),
        alt=f"{dense.image}, measured",
        head="measurement",
        line=db_text(dense.psnr_measured_db),
    )


def _fit_tile(fit: Any, pictures: Pictures) -> Tile:
    which = WHICH[0]
    return Tile(
        picture=pictures.place(fit, which),
        alt=_alt(fit, which),
        head=density_caption(fit),
        line=psnr_caption(fit, which),
        fit=fit.Index,
    )


def _numbers(table: pd.DataFrame) -> Table:
    """A row per method and density."""
    sample = f" {sample_text(table)}." if table["n"].any() else ""
    return Table(
        label="Mean PSNR by method and density",
        note=NUMBERS_NOTE + sample,
        heads=HEADS,
        rows=[_row(group) for group in grouped(table, "method", "kept")],
    )


def _row(group: Sequence[Any]) -> Sequence[str]:
    first = group[0]
    return [
        first.method,
        density_text(first.density),
        _count(first.kept),
        _count(first.effective),
        *(mean_text(row.mean_db, row.low_db, row.high_db) for row in group),
        _count(first.seeds),
        _note(group),
    ]


def _note(group: Sequence[Any]) -> str:
    """How many fits went wrong, and how many have no PSNR; empty where all is well."""
    counts = {str(outcome): getattr(group[0], outcome) for outcome in BAD_OUTCOMES}
    counts |= {f"without {row.which} PSNR": row.missing for row in group}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _cards(fits: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """What the page's script shows of each fit, by its row label."""
    return {str(fit.Index): _card(fit, pictures) for fit in tuples(fits)}


def _neighbours(fits: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """What the dialog shows beside each fit's card."""
    scene = ["problem", "seed"]
    ladder = [*scene, "method"]
    return gallery_entries(fits, pictures, attrgetter("Index"), scene=scene, ladder=ladder)


def _card(fit: Any, pictures: Pictures) -> dict[str, Any]:
    """Rows that hold for all of a fit, and a view for each PSNR."""
    return {
        "title": f"{fit.method}, seed {fit.seed}",
        "rows": [
            ["Density", f"{density_text(fit.density)} ({sparsity_text(fit.density)} removed)"],
            ["Weights", f"{fit.kept:,} of {fit.total:,}"],
            ["Effective", _count(fit.effective)],
            ["Outcome", _outcome(fit)],
        ],
        "views": [
            {
                "picture": pictures.place(fit, which),
                "alt": _alt(fit, which),
                "line": psnr_caption(fit, which),
                "rows": [["Step", f"{which}, {_count(_step(fit, which))}"], *_scores(fit, which)],
            }
            for which in WHICH
        ],
    }


def _scores(fit: Any, which: str) -> list[list[str]]:
    psnr, ssim = getattr(fit, f"psnr_{which}_db"), getattr(fit, f"ssim_{which}")
    return [["PSNR", db_text(psnr)], ["SSIM", "none" if pd.isna(ssim) else f"{ssim:.3f}"]]


def _step(fit: Any, which: str) -> Any:
    return fit.steps if which == "final" else getattr(fit, f"{which}_step")


def _outcome(fit: Any) -> str:
    plain = pd.isna(fit.reason) or not fit.reason
    return str(fit.outcome) if plain else f"{fit.outcome}: {fit.reason}"


def _alt(fit: Any, which: str) -> str:
    return (
        f"{fit.image} restored with {fit.method} at density {density_text(fit.density)}, "
        f"{which} step, seed {fit.seed}"
    )


def _count(value: Any) -> str:
    return "none" if pd.isna(value) else f"{value:,.0f}"
