"""How often intervals hold the truth, by simulation: which of them to trust with few images.

    python -m benchmarks.coverage [--stores 4000] [--output coverage.png]

A store has one difference for every image and seed: what is common to the seeds of an image varies
by 0.4 dB, seeds by 0.3 dB (standard deviations of normal distributions), two seeds an image.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import typer
from scipy import stats

from lip_ray.analysis.charts.style import PALETTE, axis_lines, layout, method_style
from lip_ray.analysis.print import write_figure

IMAGES = (3, 5, 14)
SEEDS = 2
IMAGE_SD_DB, SEED_SD_DB = 0.4, 0.3
NOMINAL = 0.95
DRAWS = 1_000
"""The number of draws with replacement in each bootstrap."""

CHUNK = 200
"""The number of stores at a time, for a bootstrap's draws to fit into memory."""

Fits = np.ndarray[tuple[int, int, int], np.dtype[np.float64]]
"""Simulated PSNRs by store, image and seed; the true difference is 0."""

Bounds = tuple[np.ndarray, np.ndarray]


def over_images(fits: Fits, rng: np.random.Generator) -> Bounds:
    """Student's t over the means of images: what the package does."""
    return _student(fits.mean(axis=2))


def over_fits(fits: Fits, rng: np.random.Generator) -> Bounds:
    """Student's t over all fits, as if seeds of one image were independent."""
    return _student(fits.reshape(len(fits), -1))


def bootstrapped(fits: Fits, rng: np.random.Generator) -> Bounds:
    """Percentiles of means of images drawn with replacement, their seeds with them."""
    means = fits.mean(axis=2)
    places = rng.integers(means.shape[1], size=(*means.shape, DRAWS))
    drawn = np.take_along_axis(means[:, :, None], places, axis=1).mean(axis=1)
    low, high = np.quantile(drawn, [(1 - NOMINAL) / 2, (1 + NOMINAL) / 2], axis=1)
    return low, high


INTERVALS: dict[str, Callable[[Fits, np.random.Generator], Bounds]] = {
    "t over means of images": over_images,
    "bootstrap of images": bootstrapped,
    "t over all fits": over_fits,
}


def coverage_table(stores: int, *, seed: int = 0) -> pd.DataFrame:
    """One row per interval and number of images: `coverage`, its `error`, and `width_db`.

    `coverage` is the share of stores whose interval holds the truth, `error` two standard errors
    of that share, `width_db` the mean width of the interval.
    """
    return pd.DataFrame(_rows(stores, seed))


def coverage_figure(table: pd.DataFrame) -> go.Figure:
    """Coverage against the number of images, with the nominal coverage as a line."""
    figure = go.Figure(layout=layout("Intervals that hold the truth"))
    for place, (name, rows) in enumerate(table.groupby("interval", sort=False)):
        style = method_style(place)
        figure.add_scatter(
            x=rows["images"].astype(str),
            y=rows["coverage"],
            error_y={"array": rows["error"]},
            name=str(name),
            line={"color": style.colour, "dash": style.dash},
            marker={"symbol": style.symbol, "size": 9},
        )
    figure.add_hline(NOMINAL, line={"dash": "dot", "color": PALETTE["muted"]})
    figure.update_xaxes(title_text="Images, two seeds each", type="category", **axis_lines())
    return figure.update_yaxes(tickformat=".0%")


def _rows(stores: int, seed: int) -> Iterator[dict[str, object]]:
    for images in IMAGES:
        rng = np.random.default_rng([seed, images])
        hits: dict[str, list[np.ndarray]] = {name: [] for name in INTERVALS}
        widths: dict[str, list[np.ndarray]] = {name: [] for name in INTERVALS}
        for start in range(0, stores, CHUNK):
            fits = _simulated(rng, min(CHUNK, stores - start), images)
            for name, interval in INTERVALS.items():
                low, high = interval(fits, rng)
                hits[name].append((low <= 0) & (high >= 0))
                widths[name].append(high - low)
        for name in INTERVALS:
            share = float(np.concatenate(hits[name]).mean())
            error = 2 * (share * (1 - share) / stores) ** 0.5
            width = float(np.concatenate(widths[name]).mean())
            found = {"coverage": share, "error": error, "width_db": width}
            yield {"interval": name, "images": images, "stores": stores} | found


def _simulated(rng: np.random.Generator, stores: int, images: int) -> Fits:
    common = rng.normal(0.0, IMAGE_SD_DB, (stores, images, 1))
    fits: Fits = common + rng.normal(0.0, SEED_SD_DB, (stores, images, SEEDS))
    return fits


def _student(values: np.ndarray) -> Bounds:
    found = stats.ttest_1samp(values, 0.0, axis=1).confidence_interval(NOMINAL)
    return found.low, found.high


def main(
    stores: Annotated[int, typer.Option(min=1)] = 4_000,
    output: Annotated[Path | None, typer.Option("--output", "-o")] = None,
) -> None:
    """Print the table, and draw the figure where an output is given."""
    table = coverage_table(stores)
    print(table.to_string(index=False, float_format="{:.3f}".format))
    if output:
        write_figure(coverage_figure(table), output, width_mm=150, dpi=110)


if __name__ == "__main__":
    typer.run(main)
