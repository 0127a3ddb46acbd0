"""What a page tells of a fit beside its picture: its curve, its layers, and how to run it again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lip_ray.store import sweep_files

from ...page.content import Content
from ...page.gallery import PICTURE_KEY
from ...rows.naming import tuples
from ..tickets import TICKET
from ..traces import traces_of

MOST_DETAILED = 300
"""The fits of a page that have details: they weigh some kilobytes each."""

Key = tuple[str, int, str]
"""Trial, level and image."""


@dataclass(frozen=True, kw_only=True)
class Details:
    """What is told of fits, by trial, level and image, as far as it is stored."""

    curves: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    """Lists of steps and of the PSNRs there."""
    layers: Mapping[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    """Lists of the names of layers and of the shares that they keep."""
    sweeps: Mapping[str, str] = field(default_factory=dict)
    """By trial a sweep file of it alone."""

    def of(self, fit: Any) -> dict[str, Any]:
        """All that is told of one fit."""
        ticket = (fit.trial_id, fit.level)
        found = {
            "curve": self.curves.get((*ticket, fit.image)),
            "layers": self.layers.get(ticket),
            "sweep": fit.trial_id if fit.trial_id in self.sweeps else None,
        }
        return {name: told for name, told in found.items() if told}


NO_DETAILS = Details()


def details_of(shown: Content, fits: pd.DataFrame) -> Details:
    """The details of `MOST_DETAILED` of these rows of `frontier_points`; sweep files of all.

    Every problem has its share: what seeds have in common comes first.
    """
    rows = shown.trials[shown.trials["trial_id"].isin(set(fits["trial_id"]))]
    fits = fits.sort_values("seed", kind="stable").head(MOST_DETAILED)
    trials = set(fits["trial_id"])
    traced = traces_of(fits, shown.store.frame("curves", trials=trials))
    curves = {
        tuple(getattr(row, name) for name in PICTURE_KEY): {
            "step": row.step,
            "psnr": [value if np.isfinite(value) else None for value in row.psnr_db],
        }
        for row in tuples(traced)
    }
    masks = shown.store.frame("masks", trials=trials)
    layers = {} if masks.empty else _layers(masks)
    return Details(curves=curves, layers=layers, sweeps=sweep_files(rows))


def _layers(masks: pd.DataFrame) -> dict[tuple[str, int], dict[str, Any]]:
    columns = masks[[*TICKET, "position", "layer", "kept", "total"]]
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for row in tuples(columns.sort_values([*TICKET, "position"])):
        own = found.setdefault((row.trial_id, row.level), {"name": [], "kept": []})
        own["name"].append(row.layer)
        own["kept"].append(round(row.kept / row.total, 4))
    return found
