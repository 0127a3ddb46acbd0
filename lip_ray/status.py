"""How far a store's sweeps and searches have come, and what was given up."""

from collections.abc import Sequence

import pandas as pd

from lip_ray.records import FAILURES, FRESH_S, Standing

Noted = tuple[Standing, float, str]
"""How far a trial has come, the seconds since it was noted, and the host."""

COUNTS = ("trials", "done", "running", "waiting", "given_up", "levels", "levels_done")


def status_table(
    sweeps: pd.DataFrame,
    points: pd.DataFrame,
    levels: pd.DataFrame,
    failures: pd.DataFrame,
    standings: Sequence[Noted],
) -> pd.DataFrame:
    """One row per sweep or search that a store was asked for, the latest last.

    Columns: sweep, sweep_id; trials, and how many of them are done, running, waiting and given_up,
    which add up; levels, levels_done; one count of fits for each of the outcomes collapsed,
    diverged and failed; and the time of the last finished fit (UTC; NaT before the first). A trial
    that was given up is tried again by the next run. A search grows: its trials are those asked for
    so far. Sweeps share trials, so counts of two sweeps may overlap.
    """
    asked = _with_state(_asked(sweeps, points), levels, failures, standings)
    sums = dict.fromkeys([*COUNTS, *FAILURES], "sum")
    groups = asked.groupby(["requested_at", "sweep", "sweep_id"], as_index=False)
    table = groups.agg(sums | {"last_fit": "max"})
    return table.sort_values("requested_at", ignore_index=True).drop(columns="requested_at")


def kinds_table(
    sweeps: pd.DataFrame,
    points: pd.DataFrame,
    levels: pd.DataFrame,
    failures: pd.DataFrame,
    standings: Sequence[Noted],
) -> pd.DataFrame:
    """One row per kind of trial, in the order of asking, each trial counted once.

    Columns: kind, and trials, done, running, waiting, given_up, levels and levels_done as in
    `status_table`.
    """
    asked = _asked(sweeps, points).drop_duplicates("trial_id")
    asked = _with_state(asked, levels, failures, standings)
    return asked.groupby("kind", sort=False, as_index=False)[list(COUNTS)].sum()


def running_table(standings: Sequence[Noted]) -> pd.DataFrame:
    """One row per trial in flight: trial_id, level, step, steps, psnr_db, host, noted_s.

    `noted_s` is how many seconds ago that was so; notes older than FRESH_S are left out.
    """
    names = ["trial_id", "level", "step", "steps", "psnr_db", "host", "noted_s"]
    rows = [
        (s.trial_id, s.level, s.step, s.steps, s.psnr_db, host, noted_s)
        for s, noted_s, host in standings
        if noted_s < FRESH_S
    ]
    return pd.DataFrame(rows, columns=names).astype({"psnr_db": float})


def failures_table(failures: pd.DataFrame) -> pd.DataFrame:
    """One row per trial that was given up and is incomplete to this day, the latest last.

    Columns: trial_id, kind, prior, task, image, pruner, seed; level, cause, reason, source_id, host
    and failed_at (UTC) of the last time; and `times`, how many runs gave it up.
    """
    names = ["trial_id", "kind", "prior", "task", "image", "pruner", "seed"]
    names += ["level", "cause", "reason", "source_id", "host", "failed_at", "times"]
    open_ones = failures[failures["open"].astype(bool)].sort_values("failed_at", kind="stable")
    times = open_ones.groupby("trial_id")["trial_id"].transform("size")
    last = open_ones.assign(times=times).drop_duplicates("trial_id", keep="last")
    return last[names].reset_index(drop=True)


def _asked(sweeps: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """One row per trial of each sweep or search: when asked, of whom, its levels and kind."""
    names = ["requested_at", "sweep", "sweep_id", "trial_id", "levels", "kind"]
    searched = points.rename(columns={"search": "sweep", "search_id": "sweep_id"})
    begun = searched.groupby(["sweep", "sweep_id"])["asked_at"].transform("min")
    searched = searched.assign(requested_at=begun).dropna(subset="trial_id")
    parts = [part[names] for part in (sweeps, searched) if not part.empty]
    asked = pd.concat(parts) if parts else sweeps[names]
    return asked.sort_values("requested_at", kind="stable").drop_duplicates(
        ["sweep", "sweep_id", "trial_id"], ignore_index=True
    )


def _with_state(
    asked: pd.DataFrame,
    levels: pd.DataFrame,
    failures: pd.DataFrame,
    standings: Sequence[Noted],
) -> pd.DataFrame:
    """Each row with its COUNTS: a one in the column of what its trial is doing, its levels done."""
    fits = levels.assign(**{name: levels["outcome"] == name for name in FAILURES})
    per_trial = fits.groupby("trial_id", as_index=False).agg(
        levels_done=("level", "nunique"),
        last_fit=("finished_at", "max"),
        **{name: (name, "sum") for name in FAILURES},
    )
    rows = asked.merge(per_trial, on="trial_id", how="left")
    counted = ["levels", "levels_done", *FAILURES]
    rows[counted] = rows[counted].fillna(0).astype(int)
    fresh = {standing.trial_id for standing, noted_s, _ in standings if noted_s < FRESH_S}
    done = rows["levels_done"] >= rows["levels"]
    running = ~done & rows["trial_id"].isin(fresh)
    given_up = ~done & ~running & rows["trial_id"].isin(failures["trial_id"])
    waiting = ~done & ~running & ~given_up
    return rows.assign(trials=1, done=done, running=running, waiting=waiting, given_up=given_up)
