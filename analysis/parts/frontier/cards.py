"""What a page shows of one fit: at its mark, in its tile, and in the dialog."""

from operator import attrgetter
from typing import Any

import pandas as pd

from ...page.gallery import Album, density_caption
from ...page.pictures import Pictures
from ...rows.naming import tuples
from ...rows.points import WHICH
from ...rows.texts import db_text, density_text, known_text, removed_text


def cards(fits: pd.DataFrame, pictures: Pictures) -> dict[str, Any]:
    """Cards by row label: what holds for all of a fit, and a view for each PSNR."""
    return {str(fit.Index): _card(fit, pictures) for fit in tuples(fits)}


def _card(fit: Any, pictures: Pictures) -> dict[str, Any]:
    outcome = f"{fit.outcome}: {fit.reason}" if pd.notna(fit.reason) and fit.reason else fit.outcome
    views = ALBUM.views(fit, pictures)
    return {
        "title": f"{fit.method}, seed {fit.seed}",
        "rows": [
            ["Density", removed_text(fit.density)],
            ["Weights", f"{fit.kept:,} of {fit.total:,}"],
            ["Effective", known_text(fit.effective)],
            ["Outcome", str(outcome)],
        ],
        "views": [
            view | {"rows": _rows(fit, which)} for which, view in zip(WHICH, views, strict=True)
        ],
    }


def _rows(fit: Any, which: str) -> list[list[str]]:
    """The step of a PSNR, and the scores there."""
    step = fit.steps if which == "final" else getattr(fit, f"{which}_step")
    return [
        ["Step", f"{which}, {known_text(step)}"],
        ["PSNR", db_text(getattr(fit, f"psnr_{which}_db"))],
        ["SSIM", known_text(getattr(fit, f"ssim_{which}"), ".3f")],
    ]


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
