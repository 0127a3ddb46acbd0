"""What pictures of fits have around them: captions, and in the dialog problem and neighbours."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..rows.naming import tuples
from ..rows.points import BAD_OUTCOMES, db_text, density_text, sparsity_text
from .pictures import Pictures

SHARED = ("clean", "measured")
"""The roles of pictures that fits of one problem share, stored with one of them."""


def density_caption(fit: Any) -> str:
    """The share of weights that a fit keeps, and that removed."""
    return f"{density_text(fit.density)} ({sparsity_text(fit.density)})"


def psnr_caption(fit: Any, which: str) -> str:
    """The PSNR of a fit at one of its steps, and what went wrong."""
    return caption(fit, db_text(getattr(fit, f"psnr_{which}_db")))


def caption(fit: Any, score: str) -> str:
    """A score of a fit, and what went wrong."""
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def gallery_entries(
    fits: pd.DataFrame,
    pictures: Pictures,
    name: Callable[[Any], object],
    *,
    scene: Sequence[str],
    ladder: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """By the `name` of each fit: where its clean and measured pictures are, and its neighbours.

    Fits that are equal in the columns `scene` have the same problem and so these pictures; those
    equal in `ladder` are densities of one method, of which `denser` and `sparser` name the next on
    either side, None at the ends.
    """
    places = _shared_places(fits, pictures, scene)
    ladders: dict[tuple[Any, ...], list[Any]] = {}
    for fit in tuples(fits):
        ladders.setdefault(_key(fit, ladder), []).append(fit)
    entries = {}
    for rungs in ladders.values():
        rungs.sort(key=lambda fit: -fit.kept)
        names = [None, *(str(name(fit)) for fit in rungs), None]
        for fit, denser, here, sparser in zip(rungs, names, names[1:], names[2:], strict=False):
            near = {"denser": denser, "sparser": sparser}
            entries[str(here)] = {**places[_key(fit, scene)], **near}
    return entries


def _shared_places(
    fits: pd.DataFrame, pictures: Pictures, scene: Sequence[str]
) -> Mapping[tuple[Any, ...], dict[str, int]]:
    """By scene the indices of its pictures, -1 where the page has none."""
    places: dict[tuple[Any, ...], dict[str, int]] = {}
    for fit in tuples(fits):
        found = places.setdefault(_key(fit, scene), dict.fromkeys(SHARED, -1))
        for role in SHARED:
            found[role] = max(found[role], pictures.place(fit, role))
    return places


def _key(fit: Any, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(getattr(fit, column) for column in columns)
