"""The part of a page about reconstructions that have a generator as prior."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import Control, dropdown, switch
from ...page.content import NO_FITS, Content
from ...page.pictures import Pictures
from ...page.section import Block, Facts, Figure, Fold, Section, Strong, Table, Text, Words
from ...rows.naming import flat_settings, tuples
from ...rows.points import FAILURES, WHICH, density_text, mean_text
from .figures import (
    STEP_BUTTONS,
    Choice,
    density_choices,
    known_scores,
    measurement_choices,
    measurements_figure,
    outlier_choices,
    outliers_figure,
    sensing_figure,
)
from .gallery import cards, gallery, gallery_points, neighbours
from .table import KIND, means_of, sensing_points, sensing_sample

INTRODUCTION: tuple[Words, ...] = (
    (
        """Each generator below turns a short random vector into an image. To reconstruct an image
        from few measurements is to find the vector whose image explains them, and the figures show
        how far that image is from the true one as the generator is pruned. It can be no better than
        the generator's best fit to the true image itself, the """,
        Strong("floor"),
        ". Images drawn from the generator (",
        Strong("in range"),
        "), images that it was trained on and images that it never saw (",
        Strong("held out"),
        ") are different problems and never averaged together.",
    ),
    (
        "Every reconstruction has three results. ",
        Strong("Selected"),
        """, of all steps and restarts, explains the measurements best: what one would get in use.
        """,
        Strong("Peak"),
        """ is the best over all steps and restarts, found by looking at the true image: an upper
        bound. """,
        Strong("First restart"),
        " is what a single run would have given.",
    ),
)

NOTE = """
Colours are solvers, dashes of lines are pruners. Points are means over images, each averaged over
its seeds first; bars are Student-t intervals, cut off where they are very wide. Thin dotted lines
are floors, long dashes methods without a generator, which no pruning changes. Errors are means of
each fit's error, MSE for images in [0, 1], L2 per pixel in the generator's own range and of the
selected one. A cross or an asterisk marks a mean in which fits collapsed or diverged, a triangle
at the foot a mean of nothing. A higher PSNR is better, a lower MSE or L2.
"""

NUMBERS_NOTE = """
Means over images, each averaged over its seeds first, and in brackets their Student-t intervals.
PSNRs are in dB, MSE and L2 per pixel are of the selected step, the floor is its PSNR.
"""

HEADS = (
    *("Method", "Measurements", "Density", "Kept", "Selected", "Peak", "First restart"),
    *("MSE", "L2 per pixel", "Floor", "Images", "Seeds", "Note"),
)

LONG_TABLE = 40
"""Rows of numbers beyond which a table is folded away."""


def pictured(shown: Content) -> pd.DataFrame:
    """The reconstructions that are shown as pictures."""
    points = shown.once(_points)
    return gallery_points(points) if len(points) else NO_FITS


def sections(shown: Content) -> Iterator[Section]:
    """For each problem its errors against density, and against measurements where they vary.

    Where problems differ in their share of outliers alone, errors against that share follow.
    """
    points = shown.once(_points)
    if points.empty:
        return
    table = means_of(points)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        own = points[points["problem"] == problem]
        yield _problem(place, str(problem), own, rows, shown.pictures)
        if rows["n"].any() and rows["m"].nunique() > 1:
            yield _measurements(place, str(problem), rows)
    for place, (title, rows) in enumerate(_outlier_families(table)):
        label, name = "Error against outliers", f"outliers-{place}"
        figure = _drawn("outliers", name, label, rows, outlier_choices(rows), outliers_figure(rows))
        yield Section(name=f"of-{name}", title=f"{label}: {title}", blocks=(figure,))


def _points(shown: Content) -> pd.DataFrame:
    if KIND not in shown.compared_kinds:
        return NO_FITS
    return sensing_points(shown.compared_trials, shown.compared_levels)


def _problem(
    place: int, problem: str, points: pd.DataFrame, rows: pd.DataFrame, pictures: Pictures
) -> Section:
    name, choices = f"sensing-{place}", density_choices(rows)
    blocks = [*_settings(points)]
    if rows["n"].any():
        label = "Error against density"
        blocks.append(_drawn("sensing", name, label, rows, choices, sensing_figure(rows)))
    own, count = gallery_points(points), points["image"].nunique()
    return Section(
        name=f"of-{name}",
        title=problem,
        blocks=(*blocks, gallery(own, pictures, images=count), _numbers(rows)),
        cards=partial(cards, own, pictures),
        neighbours=partial(neighbours, own, pictures),
    )


def _measurements(place: int, problem: str, rows: pd.DataFrame) -> Section:
    name, title = f"measurements-{place}", "Error against measurements"
    choices = measurement_choices(rows)
    figure = _drawn("measurements", name, title, rows, choices, measurements_figure(rows))
    return Section(name=f"of-{name}", title=f"{title}: {problem}", blocks=(figure,))


def _outlier_families(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Problems that differ in the share of outliers alone, the clean one in each family."""
    for family, rows in table.groupby("family", observed=True):
        kinds = [kind for kind in rows["outliers"].cat.categories if kind != "none"]
        for kind in kinds:
            own = rows[rows["outliers"].isin([kind, "none"])]
            if own["share"].nunique() > 1 and own["n"].any() and kind in set(own["outliers"]):
                yield f"{family}, {kind}" if len(kinds) > 1 else str(family), own


def _drawn(
    name: str,
    place: str,
    label: str,
    rows: pd.DataFrame,
    choices: Sequence[Choice],
    figure: go.Figure,
) -> Figure:
    """A figure and its controls, whose places are the digits of the figure's own menu."""
    return Figure(
        name=name,
        place=place,
        label=f"{label}; the numbers are in a table",
        note=NOTE,
        lines=rows["method"].nunique() + rows["pruner"].nunique(),
        figure=figure,
        controls=tuple(_controls(place, rows, choices)),
    )


def _controls(place: str, rows: pd.DataFrame, choices: Sequence[Choice]) -> Iterator[Control]:
    scores = known_scores(rows)
    yield switch(f"which-{place}", "Result shown", STEP_BUTTONS)
    if len(scores) > 1:
        yield switch(f"score-{place}", "Measure", scores)
    for choice in choices:
        labels = list(choice.labels.values())
        words = [f"{choice.legend.lower()} {label}" for label in labels]
        name = f"{choice.column}-{place}"
        yield dropdown(name, choice.legend, labels, words=words, chosen=choice.chosen)


def _settings(points: pd.DataFrame) -> Iterator[Block]:
    """Who was reconstructed by what as a sentence, all settings folded away."""
    settings = flat_settings(points["problem_settings"].iloc[0])
    images = list(dict.fromkeys(points["image"]))
    said = f"Images: {', '.join(images)}. "
    totals = sorted(set(points.loc[~points["reference"], "total"]))
    if totals:
        said += f"Prunable weights: {' or '.join(f'{total:,}' for total in totals)}. "
    counts = sorted(set(points["m"].dropna()))
    if counts:
        said += f"Measurements: {', '.join(f'{count:,.0f}' for count in counts)}."
    yield Text(said)
    yield Facts(title="All settings", rows=settings)


def _numbers(table: pd.DataFrame) -> Block:
    """A row per method, number of measurements and density; a long table is folded away."""
    groups = table.groupby(["method", "m", "kept"], observed=True, sort=False, dropna=False)
    found = Table(
        label="Means by method, measurements and density",
        note=f"{NUMBERS_NOTE} {sensing_sample(table)}.",
        heads=HEADS,
        rows=[_sensing_row(group) for _, group in groups],
    )
    count = len(found.rows)
    if count <= LONG_TABLE:
        return found
    return Fold(title=f"Numbers, {count} rows", blocks=[found])


def _sensing_row(group: pd.DataFrame) -> Sequence[str]:
    scores: Mapping[tuple[str, str], Any] = {(row.score, row.which): row for row in tuples(group)}
    first = scores["psnr", WHICH[0]]
    cells = [_mean(scores["psnr", which]) for which in WHICH]
    cells += [_mean(scores[score, WHICH[0]], ".3g") for score in ("mse", "l2")]
    notes = {name: getattr(first, name) for name in FAILURES} | {"without PSNR": first.missing}
    return [
        str(first.method),
        "none" if pd.isna(first.m) else f"{first.m:,.0f}",
        "none" if pd.isna(first.density) else density_text(first.density),
        "none" if pd.isna(first.kept) else f"{first.kept:,.0f}",
        *cells,
        "none" if pd.isna(first.floor) else f"{first.floor:.2f}",
        str(first.images),
        str(first.seeds),
        ", ".join(f"{count} {name}" for name, count in notes.items() if count),
    ]


def _mean(row: Any, form: str = ".2f") -> str:
    return mean_text(row.mean, row.low, row.high, form)
