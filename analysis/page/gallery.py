"""Pictures of a page: which fit into it, and what is around them in tiles and in the dialog."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pandas as pd

from lip_ray.records import BAD_OUTCOMES

from ..rows.naming import grouped, tuples
from ..rows.points import WHICH
from ..rows.texts import db_text, density_text, sparsity_text
from .section import Tile

EMBEDDING_ORDER = ("clean", "measured", "samples", "selected", "peak", "final")
"""Which pictures come first where there is not room for all."""

PICTURE_KEY = ["trial_id", "level", "image"]

SHARED = ("clean", "measured")
"""The roles of pictures that fits of one problem share, stored with one of them."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """PNG files as data URIs, equal ones once, and where to find that of a fit."""

    uris: Sequence[str]
    places: Mapping[tuple[str, int, str, str], int]
    """By trial, level, image and role; -1 where it is stored but there was no room."""

    def place(self, fit: Any, role: str) -> int:
        """The index in `uris` of a fit's picture, -1 where the page has none."""
        return self.places.get((fit.trial_id, fit.level, fit.image, role), -1)

    @property
    def left_out(self) -> int:
        """How many pictures are stored but not in the page."""
        return sum(place < 0 for place in self.places.values())


NO_PICTURES = Pictures(uris=(), places={})


def pictures_within(reconstructions: pd.DataFrame, budget: int) -> Pictures:
    """The pictures that fit into `budget` bytes of PNG, in `EMBEDDING_ORDER`."""
    known: dict[bytes, int] = {}
    places = {}
    rank = reconstructions["role"].map({role: i for i, role in enumerate(EMBEDDING_ORDER)})
    for row in tuples(reconstructions.assign(rank=rank).sort_values("rank", kind="stable")):
        png = bytes(row.png)
        if png not in known and len(png) <= budget:
            known[png] = len(known)
            budget -= len(png)
        places[row.trial_id, row.level, row.image, row.role] = known.get(png, -1)
    uris = [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in known]
    return Pictures(uris=uris, places=places)


def density_caption(fit: Any) -> str:
    """The share of weights that a fit keeps, and that removed."""
    return f"{density_text(fit.density)} ({sparsity_text(fit.density)})"


def caption(fit: Any, score: str) -> str:
    """A score of a fit, as far as it has one, and what went wrong."""
    outcome = fit.outcome if fit.outcome in BAD_OUTCOMES else ""
    return ", ".join(filter(None, [score, outcome]))


def scored(value: float) -> str:
    """A PSNR below a picture; empty where no clean image is known."""
    return "" if pd.isna(value) else db_text(value)


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
                "line": caption(fit, scored(getattr(fit, f"psnr_{which}_db"))),
            }
            for which in WHICH
        ]

    def neighbours(self, fits: pd.DataFrame, pictures: Pictures) -> dict[str, dict[str, Any]]:
        """By the name of each fit what the dialog shows beside it.

        That is where its clean and measured pictures are; `denser` and `sparser` name the next on
        either side of its ladder, None at the ends.
        """
        scene, entries = attrgetter(*self.scene), {}
        shared = {
            scene(own[0]): {role: max(pictures.place(fit, role) for fit in own) for role in SHARED}
            for own in grouped(fits, *self.scene)
        }
        for rungs in grouped(fits, *self.ladder):
            rungs.sort(key=lambda fit: -fit.kept)
            names = [None, *(str(self.name(fit)) for fit in rungs), None]
            for fit, denser, here, sparser in zip(rungs, names, names[1:], names[2:], strict=False):
                near = {"denser": denser, "sparser": sparser}
                entries[str(here)] = {**shared[scene(fit)], **near}
        return entries
