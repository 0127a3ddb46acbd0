"""The part of a page about reconstructions that have a generator as prior."""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from ...page.content import Content, Part
from ...page.gallery import Pictures
from ...page.section import (
    Block,
    Cells,
    Emphasis,
    Facts,
    Figure,
    Fold,
    Section,
    Text,
    Words,
    table_of,
)
from ...rows.naming import flat_settings, tuples
from ...rows.texts import known_text, mean_cells, wrong_text
from .figures import DENSITIES, MEASUREMENTS, OUTLIERS, Kind
from .gallery import ALBUM, cards, gallery, gallery_points
from .table import KIND, means_of, sensing_points, sensing_sample

INTRODUCTION: tuple[Words, ...] = (
    (
        """Each generator below turns a short random vector into an image. To reconstruct an image
        from few measurements is to find the vector whose image explains them, and the figures show
        how far that image is from the true one as the generator is pruned. How near the generator
        comes to the true image at all is told by the best fit found to that image itself, the """,
        Emphasis("floor", strong=True),
        """. As it is found by the same descent, a reconstruction may by chance be a little nearer.
        Images drawn from the generator (""",
        Emphasis("in range", strong=True),
        "), images that it was trained on and images that it never saw (",
        Emphasis("held out", strong=True),
        ") are different problems and never averaged together.",
    ),
    (
        "Every reconstruction has three results. ",
        Emphasis("Selected", strong=True),
        """, of all steps and restarts, explains the measurements best: what one would get in use.
        """,
        Emphasis("Peak", strong=True),
        """ is the best over all steps and restarts, found by looking at the true image: an upper
        bound. """,
        Emphasis("First restart", strong=True),
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


CELLS: Cells = {
    "Method": lambda rows: rows[0].method,
    "Measurements": lambda rows: known_text(rows[0].m),
    "Density": lambda rows: known_text(rows[0].density, ".3g"),
    "Kept": lambda rows: known_text(rows[0].kept),
    **mean_cells(["Selected", "Peak", "First restart"]),
    **mean_cells(["MSE"], 3, form=".3g"),
    **mean_cells(["L2 per pixel"], 6, form=".3g"),
    "Floor": lambda rows: known_text(rows[0].floor, ".2f"),
    "Images": lambda rows: rows[0].images,
    "Seeds": lambda rows: rows[0].seeds,
    "Note": lambda rows: wrong_text(rows[0], {"without PSNR": rows[0].missing}),
}
"""The cells of a method, m and density, from its rows: PSNR and MSE of all steps, L2 of one."""

LONG_TABLE = 40
"""Rows of numbers beyond which a table is folded away."""


def pictured(shown: Content) -> pd.DataFrame:
    """The reconstructions that are shown as pictures."""
    return gallery_points(shown.once(_points))


def sections(shown: Content) -> Iterator[Section]:
    """For each problem its errors against density, and against measurements where they vary.

    Where problems differ in their share of outliers alone, errors against that share follow.
    """
    points = shown.once(_points)
    table = means_of(points)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        own = points[points["problem"] == problem]
        yield _problem(place, str(problem), own, rows, shown.pictures)
        if rows["n"].any() and rows["m"].nunique() > 1:
            yield _figure_section(MEASUREMENTS, place, str(problem), rows)
    for place, (title, rows) in enumerate(_outlier_families(table)):
        yield _figure_section(OUTLIERS, place, title, rows)


def _points(shown: Content) -> pd.DataFrame:
    return sensing_points(shown.compared_trials, shown.compared_levels)


def _problem(
    place: int, problem: str, points: pd.DataFrame, rows: pd.DataFrame, pictures: Pictures
) -> Section:
    name = f"sensing-{place}"
    blocks = [*_settings(points)]
    if rows["n"].any():
        blocks.append(_drawn(DENSITIES, name, rows))
    own, count = gallery_points(points), points["image"].nunique()
    return Section(
        name=f"of-{name}",
        title=problem,
        blocks=(*blocks, gallery(own, pictures, images=count), _numbers(rows)),
        cards=partial(cards, own, pictures),
        neighbours=partial(ALBUM.neighbours, own, pictures),
    )


def _figure_section(kind: Kind, place: int, title: str, rows: pd.DataFrame) -> Section:
    name = f"{kind.name}-{place}"
    figure = _drawn(kind, name, rows)
    return Section(name=f"of-{name}", title=f"{kind.label}: {title}", blocks=(figure,))


def _outlier_families(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Problems that differ in the share of outliers alone, the clean one in each family."""
    for family, rows in table.groupby("family", observed=True):
        kinds = [kind for kind in rows["outliers"].cat.categories if kind != "none"]
        for kind in kinds:
            own = rows[rows["outliers"].isin([kind, "none"])]
            if own["share"].nunique() > 1 and own["n"].any() and kind in set(own["outliers"]):
                yield f"{family}, {kind}" if len(kinds) > 1 else str(family), own


def _drawn(kind: Kind, place: str, rows: pd.DataFrame) -> Figure:
    """A figure and its controls, of which that of a single score is left out."""
    choices = [one for one in kind.choices(rows) if one.name != "score" or len(one.labels) > 1]
    return Figure(
        name=kind.name,
        place=place,
        label=f"{kind.label}; the numbers are in a table",
        note=NOTE,
        lines=rows["method"].nunique() + rows["pruner"].nunique(),
        figure=kind.figure(rows),
        controls=tuple(choices),
    )


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
    found = table_of(
        [list(tuples(group)) for _, group in groups],
        CELLS,
        name="sensing",
        label="Means by method, measurements and density",
        note=f"{NUMBERS_NOTE} {sensing_sample(table)}.",
    )
    count = len(found.rows)
    if count <= LONG_TABLE:
        return found
    return Fold(title=f"Numbers, {count} rows", blocks=[found])


PART = Part(
    label="Sensing",
    names={"sensing", "measurements", "outliers"},
    sections=sections,
    pictured=pictured,
    kinds={KIND},
    introduction=INTRODUCTION,
)
