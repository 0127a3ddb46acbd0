"""Reconstructions as pictures: which a page has, their tiles, and what its dialog says of them."""

from typing import Any

import pandas as pd

from ...page.gallery import Album, Pictures, density_caption, scene_tile
from ...page.section import Fold, Gallery, Grid, Tile
from ...rows.naming import grouped, tuples
from ...rows.texts import db_text, density_text, seeds_text

MOST_IMAGES = 8
"""The most images of a problem that its gallery shows."""


def gallery_points(points: pd.DataFrame) -> pd.DataFrame:
    """What a page has pictures of: by problem its first images, of the run with most fits."""
    seen = points.drop_duplicates(["problem", "image"]).groupby("problem", observed=True)
    first = pd.MultiIndex.from_frame(seen.head(MOST_IMAGES)[["problem", "image"]])
    points = points[pd.MultiIndex.from_frame(points[["problem", "image"]]).isin(first)]
    own = points[~points["reference"]] if not points["reference"].all() else points
    runs = own.groupby("problem", observed=True)["run"].agg(lambda run: run.mode().iloc[0])
    chosen = points["run"] == points["problem"].map(runs).astype(object)
    references = points[points["reference"]].drop_duplicates(["problem", "method", "m", "image"])
    return pd.concat([points[chosen & ~points["reference"]], references])


def cards(points: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """What the page's script shows in the tiles of these reconstructions, by their names."""
    return {str(ALBUM.name(fit)): {"views": ALBUM.views(fit, pictures)} for fit in tuples(points)}


def _alt(fit: Any, _: str) -> str:
    at = "" if fit.reference else f" at density {density_text(fit.density)}"
    return f"{fit.image} reconstructed with {fit.method}{at}, seed {fit.seed}"


ALBUM = Album(
    name=lambda fit: f"sensed-{fit.Index}",
    alt=_alt,
    head=lambda fit: "no generator" if fit.reference else density_caption(fit),
    scene=["trial_id", "image"],
    ladder=["trial_id", "image"],
)


def gallery(fits: pd.DataFrame, pictures: Pictures, *, images: int) -> Gallery:
    """The pictures of one problem, which has so many images, by measurements and method."""
    more = f", {MOST_IMAGES} of {images} images" if images > MOST_IMAGES else ""
    own = fits[~fits["reference"]]
    title = f"Reconstructions of seed {seeds_text(own if len(own) else fits)}{more}"
    return Gallery(title=title, of="result", blocks=_folds(fits, pictures))


def _folds(fits: pd.DataFrame, pictures: Pictures) -> list[Fold]:
    """A fold per number of measurements where there are several, the middle one unfolded."""
    groups = list(fits.groupby("m", dropna=False))
    if len(groups) == 1:
        return _grids(fits, pictures)
    return [
        Fold(
            title=f"{count:,.0f} measurements",
            blocks=_grids(own, pictures),
            unfolded=place == len(groups) // 2,
        )
        for place, (count, own) in enumerate(groups)
    ]


def _grids(fits: pd.DataFrame, pictures: Pictures) -> list[Fold]:
    """A grid per method, the first unfolded."""
    return [
        Fold(title=str(method), blocks=[_grid(str(method), own, pictures)], unfolded=not place)
        for place, (method, own) in enumerate(fits.groupby("method", observed=True))
    ]


def _grid(method: str, fits: pd.DataFrame, pictures: Pictures) -> Grid:
    """A method's reconstructions: images down, densities across."""
    rows = [
        [*_scene_tiles(own[0], pictures), *(ALBUM.tile(fit, pictures) for fit in own)]
        for own in grouped(fits.sort_values(["image", "level"]), "image")
    ]
    return Grid(label=method, rows=rows)


def _scene_tiles(dense: Any, pictures: Pictures) -> list[Tile]:
    """The true image, and a view of the measurements where one was stored."""
    measured = db_text(dense.psnr_measured_db) if pd.notna(dense.psnr_measured_db) else ""
    return [
        scene_tile(dense, pictures, "clean", "true", str(dense.image), "true image"),
        scene_tile(dense, pictures, "measured", "measured", "measured", measured),
    ]
