"""Pictures of a page: which fit into it and where each is."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..rows.naming import tuples

EMBEDDING_ORDER = ("clean", "measured", "samples", "selected", "peak", "final")
"""Which pictures come first where there is not room for all."""

PICTURE_KEY = ["trial_id", "level", "image"]


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
