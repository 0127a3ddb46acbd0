"""Stored trials as the sweep files that run them again."""

import json
from typing import TYPE_CHECKING

from lip_ray.strict_yaml import written

if TYPE_CHECKING:
    import pandas as pd


def sweep_files(trials: "pd.DataFrame") -> dict[str, str]:
    """By id a sweep file, as YAML, of that trial alone: rows of `trials` with their specs.

    Run with the lip-ray that wrote the row, it is the same trial with the same id.
    """
    pairs = zip(trials["trial_id"], trials["spec"], strict=True)
    return {
        trial_id: written({"name": f"again-{trial_id}", "trial": json.loads(spec)})
        for trial_id, spec in pairs
    }
