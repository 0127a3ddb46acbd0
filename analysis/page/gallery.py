"""What pictures of fits have around them: captions, and in the dialog problem and neighbours."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..rows.naming import tuples
from ..rows.points import BAD_OUTCOMES, WHICH
from ..rows.texts import db_text, density_text, sparsity_text
from .pictures import Pictures
from .section import Tile

SHARED = ("clean", "measured")
"""The roles of pictures that fits of one problem share, stored with one of them."""


def density_caption(fit: Any) -> str:
    """The share of weights that a fit keeps, and that removed."""
    return f"{density_text(fit.density)} ({sparsity_text(fit.density)})"


def caption(fit: Any, score: str) -> str:
    """A score of a fit, and what went wrong."""
    return f"{score}, {fit.outcome}" if fit.outcome in BAD_OUTCOMES else score


def scene_tile(fit: Any, pictures: Pictures, role: str, said: str, head: str, line: str) -> Tile:
    """A picture that all fits of a problem share, of which `said` says what it is."""
    return Tile(picture=pictures.place(fit, role), alt=f"{fit.image}, {said}", head=head, line=line)


@dataclass(frozen=True, kw_only=True)
class Album:
    """Fits that a part of the page has pictures of: what each is called, and what is beside it."""

    name: Callable[[Any], object]
    """The name of a fit's card, which no other fit of a page has."""
    alt: Callable[[Any, str], str]
    """What its picture shows at a step, for those who cannot see it."""
    head: Callable[[Any], str]
    scene: Sequence[str]
    """The columns in which fits of the same problem, and so with the same clean and measured
    pictures, are equal."""
    ladder: Sequence[str]
    """The columns in which the densities of one method are equal."""

    def tile(self, fit: Any, pictures: Pictures) -> Tile:
        """The fit's picture that is shown at first; the page's script shows the others."""
        view = self.views(fit, pictures)[0]
        head, name = self.head(fit), self.name(fit)
        return Tile(
            picture=view["picture"], alt=view["alt"], head=head, line=view["line"], fit=name
        )

    def views(self, fit: Any, pictures: Pictures) -> list[dict[str, Any]]:
        """The picture of each of its results, with a caption."""
        return [
            {
                "picture": pictures.place(fit, which),
                "alt": self.alt(fit, which),
                "line": caption(fit, db_text(getattr(fit, f"psnr_{which}_db"))),
            }
            for which in WHICH
        ]

    def neighbours(self, fits: pd.DataFrame, pictures: Pictures) -> dict[str, dict[str, Any]]:
        """By the name of each fit what the dialog shows beside it.

        That is where its clean and measured pictures are; `denser` and `sparser` name the next on
        either side of its ladder, None at the ends.
        """
        shared = _shared_places(fits, pictures, self.scene)
        ladders: dict[tuple[Any, ...], list[Any]] = {}
        for fit in tuples(fits):
            ladders.setdefault(_key(fit, self.ladder), []).append(fit)
        entries = {}
        for rungs in ladders.values():
            rungs.sort(key=lambda fit: -fit.kept)
            names = [None, *(str(self.name(fit)) for fit in rungs), None]
            for fit, denser, here, sparser in zip(rungs, names, names[1:], names[2:], strict=False):
                near = {"denser": denser, "sparser": sparser}
                entries[str(here)] = {**shared[_key(fit, self.scene)], **near}
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
