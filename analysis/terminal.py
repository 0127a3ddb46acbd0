"""What the terminal says of a store."""

import pandas as pd

from lip_ray.errors import UserError
from lip_ray.records import FAILURES

from .page.content import displayed_trials
from .page.section import words_text
from .parts import generators
from .parts.classification import classification_table
from .parts.frontier.answers import answers
from .parts.frontier.looks import series_of
from .parts.frontier.table import fits_of, scene_table
from .parts.problems.table import problem_table
from .parts.sensing import table as sensing
from .parts.verdicts import matching_of
from .rows.identity import KINDS
from .rows.points import WHICH, described_points, frontier_points

OTHER_SCORES = ("floor_db", "accuracy", "accuracy_final", "frechet", "critic_gap")


def summary_table(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, method and density, for the terminal: means over seeds, and counts.

    Columns: problem, method, density, then, as far as any row has them, the PSNRs selected_db,
    peak_db and final_db, that of reconstructions' floor_db, the shares accuracy and accuracy_final,
    and the scores frechet and critic_gap of generators; seeds, and how many of these fits
    collapsed, diverged, failed. Reconstructions are means over images too, a row for each number m
    of measurements, and say which where there are several. Empty where no kind of trial is known.

    Raises ValueError when no level is finished.
    """
    if levels.empty:
        raise UserError("no finished level in the store: run a sweep first")
    kinds = set(trials.loc[trials["trial_id"].isin(levels["trial_id"]), "kind"])
    parts = []
    if kinds & set(KINDS):
        table = problem_table(frontier_points(trials, levels))
        parts.append(_wide(table, "mean_db", {which: f"{which}_db" for which in WHICH}))
    if "classification" in kinds:
        names = {"selected": "accuracy", "final": "accuracy_final"}
        parts.append(_wide(classification_table(trials, levels), "mean", names))
    if generators.KIND in kinds:
        names = {name: name for name in generators.SCORES}
        parts.append(_wide(generators.generator_table(trials, levels), "mean", names))
    if sensing.KIND in kinds:
        parts.append(_sensed(sensing.sensing_table(trials, levels)))
    scores = ["m", *(f"{which}_db" for which in WHICH), *OTHER_SCORES]
    columns = ["problem", "method", "density", *scores, "seeds", *FAILURES]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    unknown = [name for name in scores if name in found and found[name].isna().all()]
    return found[[name for name in columns if name in found and name not in unknown]]


def said(trials: pd.DataFrame, levels: pd.DataFrame) -> list[str]:
    """The sentences of the page's first section: how sparse each method gets, and how sure that is.

    None where no ticket was fitted to an image with a known truth.
    """
    kinds = set(trials.loc[trials["trial_id"].isin(levels["trial_id"]), "kind"])
    if not kinds & set(KINDS):
        return []
    points = described_points(displayed_trials(trials), levels)
    fits = fits_of(points)
    table = scene_table(fits)
    if not table["n"].any():
        return []
    rows = answers(points, fits, matching_of(points), series_of(table))
    return [f"{words_text(row.words)} {words_text(row.certainty)}" for row in rows]


def _sensed(table: pd.DataFrame) -> pd.DataFrame:
    """PSNRs of reconstructions beside their floor."""
    psnrs = table[table["score"] == "psnr"]
    wide = _wide(psnrs, "mean", {which: f"{which}_db" for which in WHICH})
    selected = psnrs[psnrs["which"] == WHICH[0]].reset_index(drop=True)
    wide["floor_db"] = selected["floor"]
    return wide.assign(m=selected["m"]) if table["m"].nunique() > 1 else wide


def _wide(table: pd.DataFrame, mean: str, names: dict[str, str]) -> pd.DataFrame:
    """The long table with a column a score: rows of all scores are in the same order."""
    keys = ["problem", "method", "density", "seeds", *FAILURES]
    first = next(iter(names))
    wide = table.loc[table["which"] == first, keys].reset_index(drop=True)
    for which, name in names.items():
        wide[name] = table.loc[table["which"] == which, mean].to_numpy()
    return wide.astype({"problem": str, "method": str})
