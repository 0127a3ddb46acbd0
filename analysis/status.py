"""How far a store's sweeps have come."""

import pandas as pd

from .points import BAD_OUTCOMES


def status_table(sweeps: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per sweep that a store was asked for, the latest last.

    Columns: sweep, sweep_id, trials, trials_done, levels, levels_done, one count of fits for each
    of the outcomes collapsed, diverged and failed, and the time of the last finished fit (UTC;
    NaT before the first). Sweeps share trials, so counts of two sweeps may overlap.
    """
    bad = [outcome.value for outcome in BAD_OUTCOMES]
    fits = levels.assign(**{name: levels["outcome"] == name for name in bad})
    per_trial = fits.groupby("trial_id", as_index=False).agg(
        levels_done=("level", "nunique"),
        last_fit=("finished_at", "max"),
        **{name: (name, "sum") for name in bad},
    )
    asked = sweeps.merge(per_trial, on="trial_id", how="left")
    asked[["levels_done", *bad]] = asked[["levels_done", *bad]].fillna(0).astype(int)
    asked["trial_done"] = asked["levels_done"] >= asked["levels"]
    table = asked.groupby(["requested_at", "sweep", "sweep_id"], as_index=False).agg(
        trials=("trial_id", "count"),
        trials_done=("trial_done", "sum"),
        levels=("levels", "sum"),
        levels_done=("levels_done", "sum"),
        **{name: (name, "sum") for name in bad},
        last_fit=("last_fit", "max"),
    )
    return table.sort_values("requested_at", ignore_index=True).drop(columns="requested_at")
