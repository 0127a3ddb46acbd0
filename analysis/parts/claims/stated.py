"""A store together with the claims that are made about it."""

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass

import pandas as pd

from lip_ray.claims import Claims
from lip_ray.records import LayerMask
from lip_ray.store import Reader


@dataclass(frozen=True, kw_only=True)
class StatedStore:
    """What reads a store, and the claims that its page puts to the test."""

    reader: Reader
    claims: Claims

    @property
    def sweep(self) -> str | None:
        """The one sweep that is read; None where all are."""
        return self.reader.sweep

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table of that name, or its rows of these trials."""
        return self.reader.frame(table, trials=trials)

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """The mask of a level, None where none is stored."""
        return self.reader.masks(trial_id, level)

    def left_out(self) -> Mapping[str, Mapping[str, Set[int]]]:
        """By trial and table the levels whose rows a published store was made without."""
        return self.reader.left_out()
