"""The parts of a page about generators and the reconstructions that have one as prior."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from operator import attrgetter
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...page.html import Section, chart, controls, dropdown, mean_text, number_table
from ...page.pictures import Pictures, db_text, tile
from ...rows.naming import flat_settings, tuples
from ...rows.points import (
    BAD_OUTCOMES,
    FAILURES,
    WHICH,
    density_text,
    sample_text,
    sparsity_text,
)
from ...statistics.aggregate import ladder_row
from ..generators import PLOT, generator_figure, generator_table
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
from .table import means_of, sensing_sample

INTRODUCTION = """
<p>Each generator below turns a short random vector into an image. To reconstruct an image from few
measurements is to find the vector whose image explains them, and the figures show how far that
image is from the true one as the generator is pruned. It can be no better than the generator's
best fit to the true image itself, the <b>floor</b>. Images drawn from the generator
(<b>in range</b>), images that it was trained on and images that it never saw (<b>held out</b>) are
different problems and never averaged together.</p>
<p>Every reconstruction has three results. <b>Selected</b>, of all steps and restarts, explains the
measurements best: what one would get in use. <b>Peak</b> is the best over all steps and restarts,
found by looking at the true image: an upper bound. <b>First restart</b> is what a single run would
have given.</p>
"""

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


def generator_sections(
    trials: pd.DataFrame, levels: pd.DataFrame, points: pd.DataFrame, pictures: Pictures
) -> Iterator[Section]:
    """One per architecture, training set and fit; `points` are those of the sample sheets."""
    table = generator_table(trials, levels)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        name = f"generator-{place}"
        drawn = bool(rows["n"].any())
        figure = controls(f"which-{name}", "Shown", PLOT.buttons) + chart(
            name, "Fréchet distance against density", GENERATOR_NOTE, rows=rows["method"].nunique()
        )
        groups = rows.groupby(["method", "kept"], observed=True, sort=False)
        heads = ["Method", "Density", "Kept", "Fréchet", "Critic gap", "Seeds", "Note"]
        said = f"Means over seeds. {sample_text(rows)}." if drawn else "No generator has a score."
        numbers = [ladder_row(group, ".4g", unknown="score") for _, group in groups]
        own = points[points["problem"] == problem]
        yield Section(
            name=f"of-{name}",
            title=f"Generators: {problem}",
            body=(figure if drawn else "")
            + _sheets(own, pictures)
            + number_table("Scores by method and density", said, heads, numbers),
            chart=name,
            figure=generator_figure(rows) if drawn else None,
        )


def sensing_sections(points: pd.DataFrame, pictures: Pictures) -> Iterator[Section]:
    """For each problem its errors against density, and against measurements where they vary.

    Where problems differ in their share of outliers alone, errors against that share follow.
    """
    table = means_of(points)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        own = points[points["problem"] == problem]
        settings = _settings(own)
        gallery, numbers = _gallery(own, pictures), _numbers(rows)
        name = f"sensing-{place}"
        drawn = bool(rows["n"].any())
        figure = sensing_figure(rows) if drawn else None
        body = _drawn(name, "Error against density", rows, density_choices(rows)) if drawn else ""
        yield Section(
            name=f"of-{name}",
            title=str(problem),
            body=settings + body + gallery + numbers,
            chart=name,
            figure=figure,
        )
        if drawn and rows["m"].nunique() > 1:
            name, title = f"measurements-{place}", "Error against measurements"
            choices, figure = measurement_choices(rows), measurements_figure(rows)
            yield _figure_section(name, f"{title}: {problem}", title, rows, choices, figure)
    for place, (title, rows) in enumerate(_outlier_families(table)):
        name, choices = f"outliers-{place}", outlier_choices(rows)
        label = "Error against outliers"
        figure = outliers_figure(rows)
        yield _figure_section(name, f"{label}: {title}", label, rows, choices, figure)


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


def _figure_section(
    name: str,
    title: str,
    label: str,
    rows: pd.DataFrame,
    choices: Sequence[Choice],
    figure: go.Figure,
) -> Section:
    body = _drawn(name, label, rows, choices)
    return Section(name=f"of-{name}", title=title, body=body, chart=name, figure=figure)


def _drawn(name: str, label: str, rows: pd.DataFrame, choices: Sequence[Choice]) -> str:
    """A figure and its controls, whose places are the digits of the figure's own menu."""
    scores = known_scores(rows)
    parts = [controls(f"which-{name}", "Result shown", STEP_BUTTONS)]
    if len(scores) > 1:
        parts.append(controls(f"score-{name}", "Measure", scores))
    for choice in choices:
        labels = list(choice.labels.values())
        parts.append(dropdown(choice.legend, labels, chosen=choice.chosen, menu=0))
    lines = rows["method"].nunique() + rows["pruner"].nunique()
    return f'<div class="controls">{"".join(parts)}</div>' + chart(
        name, f"{label}; the numbers are in a table", SENSING_NOTE, rows=lines
    )


def _settings(points: pd.DataFrame) -> str:
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
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in settings.items())
    return f"<p>{escape(said)}</p><details><summary>All settings</summary><dl>{rows}</dl></details>"


def _gallery(points: pd.DataFrame, pictures: Pictures) -> str:
    """Images down, densities across, a grid a method and number of measurements."""
    own = gallery_points(points)
    images = list(dict.fromkeys(points["image"]))
    more = f", {MOST_IMAGES} of {len(images)} images" if len(images) > MOST_IMAGES else ""
    seeds = sorted(set(own.loc[~own["reference"], "seed"])) or sorted(set(own["seed"]))
    head = (
        f"<h3>Reconstructions of seed {', '.join(map(str, seeds))}{more}, "
        f'<span class="which">{WHICH[0]}</span> result</h3>'
    )
    groups = [(count, fits) for count, fits in own.groupby("m", dropna=False)]
    if len(groups) == 1:
        return head + _grids(groups[0][1], pictures)
    return head + "".join(
        _folded(
            f"{count:,.0f} measurements", _grids(fits, pictures), unfolded=place == len(groups) // 2
        )
        for place, (count, fits) in enumerate(groups)
    )


def _grids(fits: pd.DataFrame, pictures: Pictures) -> str:
    """A grid a method, the first unfolded."""
    return "".join(
        _folded(str(method), _grid(str(method), own, pictures), unfolded=not place)
        for place, (method, own) in enumerate(fits.groupby("method", observed=True))
    )


def _folded(title: str, body: str, *, unfolded: bool) -> str:
    return (
        f'<details class="fold"{" open" if unfolded else ""}>'
        f"<summary>{escape(title)}</summary>{body}</details>"
    )


def _grid(method: str, fits: pd.DataFrame, pictures: Pictures) -> str:
    """A method's reconstructions: images down, densities across."""
    rows = [
        list(own)
        for _, own in groupby(tuples(fits.sort_values(["image", "level"])), attrgetter("image"))
    ]
    columns = max(map(len, rows)) + 2
    cells = []
    for row in rows:
        cells += _scene_tiles(row[0], pictures)
        cells += [_fit_tile(fit, pictures) for fit in row]
        cells += ["<span></span>"] * (columns - 2 - len(row))
    return (
        f'<div class="wide" role="region" aria-label="{escape(method)}" tabindex="0">'
        f'<div class="grid" style="--columns: {columns}">{"".join(cells)}</div></div>'
    )


def _scene_tiles(dense: Any, pictures: Pictures) -> list[str]:
    """The true image, and a view of the measurements where one was stored."""
    measured = db_text(dense.psnr_measured_db) if pd.notna(dense.psnr_measured_db) else ""
    return [
        tile(
            pictures.place(dense, "clean"), f"{dense.image}, true", str(dense.image), "true image"
        ),
        tile(pictures.place(dense, "measured"), f"{dense.image}, measured", "measured", measured),
    ]


def _fit_tile(fit: Any, pictures: Pictures) -> str:
    which = WHICH[0]
    head = "no generator"
    if not fit.reference:
        head = f"{density_text(fit.density)} ({sparsity_text(fit.density)})"
    place = pictures.place(fit, which)
    return tile(place, _alt(fit), head, _line(fit, which), fit=tile_name(fit))


def _alt(fit: Any) -> str:
    at = "" if fit.reference else f" at density {density_text(fit.density)}"
    return f"{fit.image} reconstructed with {fit.method}{at}, seed {fit.seed}"


def _line(fit: Any, which: str) -> str:
    """The PSNR as a caption, and what went wrong."""
    score = db_text(getattr(fit, f"psnr_{which}_db"))
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def _sheets(points: pd.DataFrame, pictures: Pictures) -> str:
    """Images that each generator draws, by method and density."""
    strips = []
    for method, own in points.groupby("method", observed=True):
        sheets = [
            tile(
                pictures.place(fit, "samples"),
                f"Images drawn by {method} at density {density_text(fit.density)}",
                f"{density_text(fit.density)} ({sparsity_text(fit.density)})",
                _sheet_line(fit),
            )
            for fit in tuples(own.sort_values("kept", ascending=False))
        ]
        strips.append(f'<h4>{escape(str(method))}</h4><div class="sheets">{"".join(sheets)}</div>')
    seeds = ", ".join(str(seed) for seed in sorted(set(points["seed"])))
    return f"<h3>Images drawn, seed {seeds}</h3>" + "".join(strips)


def _sheet_line(fit: Any) -> str:
    score = "no Fréchet distance" if pd.isna(fit.frechet) else f"Fréchet {fit.frechet:.4g}"
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def _numbers(table: pd.DataFrame) -> str:
    """A row per method, number of measurements and density; a long table is folded away."""
    heads = ["Method", "Measurements", "Density", "Kept", "Selected", "Peak", "First restart"]
    heads += ["MSE", "L2 per pixel", "Floor", "Images", "Seeds", "Note"]
    groups = table.groupby(["method", "m", "kept"], observed=True, sort=False, dropna=False)
    rows = [_sensing_row(group) for _, group in groups]
    said = f"{NUMBERS_NOTE} {sensing_sample(table)}."
    found = number_table("Means by method, measurements and density", said, heads, rows)
    if len(rows) <= LONG_TABLE:
        return found
    return f"<details><summary>Numbers, {len(rows)} rows</summary>{found}</details>"


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
