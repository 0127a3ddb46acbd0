"""The parts of a page about generators and the reconstructions that have one as prior."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import Control, dropdown, switch
from ...page.content import NO_FITS, Content
from ...page.gallery import gallery_entries
from ...page.pictures import Pictures, db_text
from ...page.section import (
    Block,
    Facts,
    Figure,
    Fold,
    Gallery,
    Grid,
    Section,
    Strip,
    Strong,
    Table,
    Text,
    Tile,
    Words,
)
from ...rows.naming import flat_settings, tuples
from ...rows.points import (
    BAD_OUTCOMES,
    FAILURES,
    WHICH,
    density_text,
    mean_text,
    sample_text,
    sparsity_text,
)
from ...statistics.aggregate import ladder_row
from ..generators import KIND as GENERATOR
from ..generators import PLOT, generator_figure, generator_points, generator_table
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

GENERATOR_NOTE = """
The Fréchet distance compares pixels of drawn and training images, without a network of its own, so
it is not the FID of papers; the critic gap is by each generator's own critic, so it compares
generators only roughly. Both are 0 for a perfect generator. Points are means over seeds, bars their
Student-t intervals, cut off where they are very wide; lines begin at the dense generator.
"""

SENSING_NOTE = """
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

MOST_IMAGES = 8
"""Rows of a gallery."""

LONG_TABLE = 40
"""Rows of numbers beyond which a table is folded away."""


def generators_pictured(shown: Content) -> pd.DataFrame:
    """The generators that have sample sheets on the page."""
    return shown.once(_sheeted)


def generator_sections(shown: Content) -> Iterator[Section]:
    """One per architecture, training set and fit."""
    if GENERATOR not in shown.compared_kinds:
        return
    table = generator_table(shown.compared_trials, shown.compared_levels)
    points = shown.once(_sheeted)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        name = f"generator-{place}"
        own = points[points["problem"] == problem]
        yield Section(
            name=f"of-{name}",
            title=f"Generators: {problem}",
            blocks=tuple(_generator_blocks(rows, own, name, shown.pictures)),
        )


def _sheeted(shown: Content) -> pd.DataFrame:
    if GENERATOR not in shown.compared_kinds:
        return NO_FITS
    return sheet_points(generator_points(shown.compared_trials, shown.compared_levels))


def _generator_blocks(
    rows: pd.DataFrame, sheets: pd.DataFrame, place: str, pictures: Pictures
) -> Iterator[Block]:
    drawn = bool(rows["n"].any())
    if drawn:
        yield Figure(
            name="generators",
            place=place,
            label="Fréchet distance against density",
            note=GENERATOR_NOTE,
            lines=rows["method"].nunique(),
            figure=generator_figure(rows),
            controls=(switch(f"which-{place}", "Shown", PLOT.buttons),),
        )
    yield _sheets(sheets, pictures)
    groups = rows.groupby(["method", "kept"], observed=True, sort=False)
    yield Table(
        label="Scores by method and density",
        note=f"Means over seeds. {sample_text(rows)}." if drawn else "No generator has a score.",
        heads=("Method", "Density", "Kept", "Fréchet", "Critic gap", "Seeds", "Note"),
        rows=[ladder_row(group, ".4g", unknown="score") for _, group in groups],
    )


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
    own = gallery_points(points)
    return Section(
        name=f"of-{name}",
        title=problem,
        blocks=(*blocks, _gallery(points, pictures), _numbers(rows)),
        cards=partial(cards, own, pictures),
        neighbours=partial(_neighbours, own, pictures),
    )


def _measurements(place: int, problem: str, rows: pd.DataFrame) -> Section:
    name, title, choices = (
        f"measurements-{place}",
        "Error against measurements",
        measurement_choices(rows),
    )
    figure = _drawn("measurements", name, title, rows, choices, measurements_figure(rows))
    return Section(name=f"of-{name}", title=f"{title}: {problem}", blocks=(figure,))


def _neighbours(points: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """What the dialog shows beside each reconstruction's card."""
    scene = ["trial_id", "image"]
    return gallery_entries(points, pictures, tile_name, scene=scene, ladder=scene)


def gallery_points(points: pd.DataFrame) -> pd.DataFrame:
    """Those that a page has pictures of: by problem its first images, of the run with most fits."""
    seen = points.drop_duplicates(["problem", "image"]).groupby("problem", observed=True)
    first = pd.MultiIndex.from_frame(seen.head(MOST_IMAGES)[["problem", "image"]])
    points = points[pd.MultiIndex.from_frame(points[["problem", "image"]]).isin(first)]
    own = points[~points["reference"]] if not points["reference"].all() else points
    runs = own.groupby("problem", observed=True)["run"].agg(lambda run: run.mode().iloc[0])
    chosen = points["run"] == points["problem"].map(runs).astype(object)
    references = points[points["reference"]].drop_duplicates(["problem", "method", "m", "image"])
    return pd.concat([points[chosen & ~points["reference"]], references])


def sheet_points(points: pd.DataFrame) -> pd.DataFrame:
    """Those generators that a page has sample sheets of: by problem the seed with the most."""
    seeds = points.groupby("problem", observed=True)["seed"].agg(lambda seed: seed.mode().iloc[0])
    own = points[points["seed"] == points["problem"].map(seeds).astype(points["seed"].dtype)]
    return own.drop_duplicates(["problem", "method", "kept"])


def cards(points: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """What the page's script shows in the tiles of these reconstructions, by `tile_name`."""
    return {
        tile_name(fit): {
            "views": [
                {"picture": pictures.place(fit, which), "alt": _alt(fit), "line": _line(fit, which)}
                for which in WHICH
            ]
        }
        for fit in tuples(points)
    }


def tile_name(fit: Any) -> str:
    """Of a reconstruction, different from those of all other fits of a page."""
    return f"sensed-{fit.Index}"


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
        note=SENSING_NOTE,
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


def _gallery(points: pd.DataFrame, pictures: Pictures) -> Gallery:
    """Images down, densities across, a grid a method and number of measurements."""
    own = gallery_points(points)
    images = list(dict.fromkeys(points["image"]))
    more = f", {MOST_IMAGES} of {len(images)} images" if len(images) > MOST_IMAGES else ""
    seeds = sorted(set(own.loc[~own["reference"], "seed"])) or sorted(set(own["seed"]))
    title = f"Reconstructions of seed {', '.join(map(str, seeds))}{more}"
    groups = [(count, fits) for count, fits in own.groupby("m", dropna=False)]
    if len(groups) == 1:
        return Gallery(title=title, of="result", blocks=_grids(groups[0][1], pictures))
    folds = [
        Fold(
            title=f"{count:,.0f} measurements",
            blocks=_grids(fits, pictures),
            unfolded=place == len(groups) // 2,
        )
        for place, (count, fits) in enumerate(groups)
    ]
    return Gallery(title=title, of="result", blocks=folds)


def _grids(fits: pd.DataFrame, pictures: Pictures) -> list[Fold]:
    """A grid a method, the first unfolded."""
    return [
        Fold(title=str(method), blocks=[_grid(str(method), own, pictures)], unfolded=not place)
        for place, (method, own) in enumerate(fits.groupby("method", observed=True))
    ]


def _grid(method: str, fits: pd.DataFrame, pictures: Pictures) -> Grid:
    """A method's reconstructions: images down, densities across."""
    rows = [
        list(own)
        for _, own in groupby(tuples(fits.sort_values(["image", "level"])), attrgetter("image"))
    ]
    tiles = [
        [*_scene_tiles(row[0], pictures), *(_fit_tile(fit, pictures) for fit in row)]
        for row in rows
    ]
    return Grid(label=method, rows=tiles)


def _scene_tiles(dense: Any, pictures: Pictures) -> list[Tile]:
    """The true image, and a view of the measurements where one was stored."""
    measured = db_text(dense.psnr_measured_db) if pd.notna(dense.psnr_measured_db) else ""
    return [
        Tile(
            picture=pictures.place(dense, "clean"),
            alt=f"{dense.image}, true",
            head=str(dense.image),
            line="true image",
        ),
        Tile(
            picture=pictures.place(dense, "measured"),
            alt=f"{dense.image}, measured",
            head="measured",
            line=measured,
        ),
    ]


def _fit_tile(fit: Any, pictures: Pictures) -> Tile:
    which = WHICH[0]
    head = "no generator"
    if not fit.reference:
        head = f"{density_text(fit.density)} ({sparsity_text(fit.density)})"
    return Tile(
        picture=pictures.place(fit, which),
        alt=_alt(fit),
        head=head,
        line=_line(fit, which),
        fit=tile_name(fit),
    )


def _alt(fit: Any) -> str:
    at = "" if fit.reference else f" at density {density_text(fit.density)}"
    return f"{fit.image} reconstructed with {fit.method}{at}, seed {fit.seed}"


def _line(fit: Any, which: str) -> str:
    """The PSNR as a caption, and what went wrong."""
    score = db_text(getattr(fit, f"psnr_{which}_db"))
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def _sheets(points: pd.DataFrame, pictures: Pictures) -> Gallery:
    """Images that each generator draws, by method and density."""
    strips = []
    for method, own in points.groupby("method", observed=True):
        sheets = [
            Tile(
                picture=pictures.place(fit, "samples"),
                alt=f"Images drawn by {method} at density {density_text(fit.density)}",
                head=f"{density_text(fit.density)} ({sparsity_text(fit.density)})",
                line=_sheet_line(fit),
            )
            for fit in tuples(own.sort_values("kept", ascending=False))
        ]
        strips.append(Strip(title=str(method), tiles=sheets, sheets=True))
    seeds = ", ".join(str(seed) for seed in sorted(set(points["seed"])))
    return Gallery(title=f"Images drawn, seed {seeds}", blocks=strips)


def _sheet_line(fit: Any) -> str:
    score = "no Fréchet distance" if pd.isna(fit.frechet) else f"Fréchet {fit.frechet:.4g}"
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def _numbers(table: pd.DataFrame) -> Block:
    """A row per method, number of measurements and density; a long table is folded away."""
    heads = ["Method", "Measurements", "Density", "Kept", "Selected", "Peak", "First restart"]
    heads += ["MSE", "L2 per pixel", "Floor", "Images", "Seeds", "Note"]
    groups = table.groupby(["method", "m", "kept"], observed=True, sort=False, dropna=False)
    found = Table(
        label="Means by method, measurements and density",
        note=f"{NUMBERS_NOTE} {sensing_sample(table)}.",
        heads=heads,
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
