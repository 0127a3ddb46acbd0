"""What a page shows of single fits: at their marks, in their tiles, and in the dialog."""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

import pandas as pd

from ...page.gallery import Album, Pictures, density_caption, scene_tile, scored
from ...page.section import Gallery, Strip, Tile
from ...rows.identity import DENSE
from ...rows.naming import tuples
from ...rows.points import UNFINISHED, WHICH
from ...rows.texts import db_text, density_text, known_text, removed_text
from .details import Details


def cards(fits: pd.DataFrame, pictures: Pictures, details: Callable[[], Details]) -> dict[str, Any]:
    """Cards by row label: what holds for all of a fit, its details, and a view for each PSNR."""
    told = details()
    return {str(fit.Index): _card(fit, pictures) | told.of(fit) for fit in tuples(fits)}


def _card(fit: Any, pictures: Pictures) -> dict[str, Any]:
    outcome = f"{fit.outcome}: {fit.reason}" if pd.notna(fit.reason) and fit.reason else fit.outcome
    if fit.unfinished:
        outcome = f"{outcome}, {UNFINISHED}"
    views = ALBUM.views(fit, pictures)
    return {
        "title": _title(fit),
        "place": f"{fit.trial_id}@{fit.level}",
        "image": str(fit.image),
        "rows": [
            ["Density", removed_text(fit.density)],
            ["Weights", f"{fit.kept:,} of {fit.total:,}"],
            ["Effective", known_text(fit.effective)],
            ["Outcome", str(outcome)],
        ],
        "views": [
            view | {"rows": _rows(fit, which), "step": _step(fit, which)}
            for which, view in zip(WHICH, views, strict=True)
        ],
    }


def _rows(fit: Any, which: str) -> list[list[str]]:
    """The step of a PSNR, and the scores there."""
    return [
        ["Step", f"{which}, {known_text(_step(fit, which))}"],
        ["PSNR", db_text(getattr(fit, f"psnr_{which}_db"))],
        ["SSIM", known_text(getattr(fit, f"ssim_{which}"), ".3f")],
    ]


def _title(fit: Any) -> str:
    density = "" if fit.kept == fit.total else f" at {density_text(fit.density)}"
    return f"{fit.method}{density}, seed {fit.seed}"


def _step(fit: Any, which: str) -> int | None:
    step = fit.steps if which == "final" else getattr(fit, f"{which}_step")
    return None if pd.isna(step) else int(step)


def _alt(fit: Any, which: str) -> str:
    return (
        f"{fit.image} restored with {fit.method} at density {density_text(fit.density)}, "
        f"{which} step, seed {fit.seed}"
    )


ALBUM = Album(
    name=attrgetter("Index"),
    alt=_alt,
    head=density_caption,
    scene=["problem", "seed"],
    ladder=["problem", "seed", "method"],
)


def neighbours(fits: pd.DataFrame, pictures: Pictures) -> dict[str, dict[str, Any]]:
    """As `Album.neighbours`, and `dense`, the name of the dense fit that a fit is held to."""
    found = ALBUM.neighbours(fits, pictures)
    dense = {
        (fit.problem, fit.seed, str(fit.method)): str(fit.Index)
        for fit in tuples(fits[fits["kept"] == fits["total"]])
    }
    for fit in tuples(fits):
        base = dense.get((fit.problem, fit.seed, str(fit.reference)))
        found[str(fit.Index)]["dense"] = base if base != str(fit.Index) else None
    return found


def gallery(fits: pd.DataFrame, pictures: Pictures) -> Gallery:
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
    tiles = [ALBUM.tile(fit, pictures) for fit in tuples(fits)]
    if method != DENSE:
        return Strip(title=method, tiles=tiles)
    problem = _problem_tiles(next(tuples(fits)), pictures)
    return Strip(title="The problem, and the dense network", tiles=[*problem, *tiles])


def _problem_tiles(dense: Any, pictures: Pictures) -> Iterator[Tile]:
    """The clean image where one is known, and the measurement."""
    if (dense.trial_id, dense.level, dense.image, "clean") in pictures.places:
        yield scene_tile(dense, pictures, "clean", "clean", "clean", "")
    measured = scored(dense.psnr_measured_db)
    yield scene_tile(dense, pictures, "measured", "measured", "measurement", measured)
