"""What the terminal says of a store."""

import pandas as pd

from .classification import classification_table
from .frontier import frontier_table
from .identity import KINDS
from .points import FAILURES, WHICH, frontier_points

ACCURACIES = ("accuracy", "accuracy_final")


def summary_table(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, method and density, for the terminal: means over seeds, and counts.

    Columns: problem, method, density, then the PSNRs selected_db, peak_db and final_db and the
    shares accuracy and accuracy_final, as far as any row has them; seeds, and how many of these
    fits collapsed, diverged, failed. Empty where no kind of trial here is known.

    Raises ValueError when no level is finished.
    """
    if levels.empty:
        raise ValueError("no finished level in the store: run a sweep first")
    kinds = set(trials.loc[trials["trial_id"].isin(levels["trial_id"]), "kind"])
    parts = []
    if kinds & set(KINDS):
        table = frontier_table(frontier_points(trials, levels))
        parts.append(_wide(table, "mean_db", {which: f"{which}_db" for which in WHICH}))
    if "classification" in kinds:
        names = {"selected": "accuracy", "final": "accuracy_final"}
        parts.append(_wide(classification_table(trials, levels), "mean", names))
    scores = [*(f"{which}_db" for which in WHICH), *ACCURACIES]
    columns = ["problem", "method", "density", *scores, "seeds", *FAILURES]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    known = [name for name in columns if name in found and not _blank(found, name, scores)]
    return found[known]


def _blank(table: pd.DataFrame, column: str, scores: list[str]) -> bool:
    return column in scores and bool(table[column].isna().all())


def _wide(table: pd.DataFrame, mean: str, names: dict[str, str]) -> pd.DataFrame:
    """The long table with a column a score: rows of all scores are in the same order."""
    keys = ["problem", "method", "density", "seeds", *FAILURES]
    first = next(iter(names))
    wide = table.loc[table["which"] == first, keys].reset_index(drop=True)
    for which, name in names.items():
        wide[name] = table.loc[table["which"] == which, mean].to_numpy()
    return wide.astype({"problem": str, "method": str})
