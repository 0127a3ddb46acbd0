"""The tables of analysis by their names, made from a store."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pandas as pd

from lip_ray.errors import UserError
from lip_ray.status import failures_table

from .page.content import Frames
from .parts.against_dense import difference_table
from .parts.classification import classification_table
from .parts.cost import cost_table, failure_reason_table
from .parts.frontier.table import frontier_table, hypervolume_table
from .parts.generators import generator_table
from .parts.problems.table import problem_table
from .parts.search.table import front_table, importances_of, search_table
from .parts.sensing.table import sensing_table
from .parts.size import size_table
from .parts.stopping import stopping_table
from .parts.traces import trace_table
from .parts.transfer import crossed_table, transfer_table
from .parts.verdicts import comparison_table, dense_differences, matching_table
from .rows.points import frontier_points
from .terminal import summary_table

Make: TypeAlias = Callable[..., pd.DataFrame]


def _of(make: Make, *frames: str) -> Callable[..., pd.DataFrame]:
    """The table that a function makes from frames of a store, which it takes in this order."""
    return lambda store, **settings: make(*map(store.frame, frames), **settings)


def _of_problems(store: Frames, **settings: Any) -> pd.DataFrame:
    points = frontier_points(store.frame("trials"), store.frame("levels"))
    return problem_table(points, **settings)


def _of_search(make: Make) -> Callable[..., pd.DataFrame]:
    """The table that a function makes from the points of a store's only search."""

    def made(store: Frames, **settings: Any) -> pd.DataFrame:
        points = store.frame("points")
        if points.empty:
            raise UserError("no search has drawn a point in this store")
        ids = points.drop_duplicates(["search", "search_id"])
        if len(ids) > 1:
            known = ", ".join(f"{row['search']} ({row['search_id']})" for _, row in ids.iterrows())
            raise UserError(
                f"the store has several searches: {known}; open it with sweep= and one of these"
            )
        return make(points, **settings)

    return made


def _of_frontier(store: Frames, **settings: Any) -> pd.DataFrame:
    return hypervolume_table(TABLES["frontier_table"](store), **settings)


FITS = ("trials", "levels")

TABLES: dict[str, Callable[..., pd.DataFrame]] = {
    "summary_table": _of(summary_table, *FITS),
    "frontier_points": _of(frontier_points, *FITS),
    "problem_table": _of_problems,
    "matching_table": _of(matching_table, *FITS),
    "comparison_table": _of(comparison_table, *FITS),
    "dense_differences": _of(dense_differences, *FITS),
    "difference_table": _of(difference_table, *FITS),
    "frontier_table": _of(frontier_table, *FITS),
    "hypervolume_table": _of_frontier,
    "size_table": _of(size_table, *FITS),
    "transfer_table": _of(transfer_table, *FITS),
    "crossed_table": _of(crossed_table, *FITS),
    "classification_table": _of(classification_table, *FITS),
    "generator_table": _of(generator_table, *FITS),
    "sensing_table": _of(sensing_table, *FITS),
    "search_table": _of_search(search_table),
    "front_table": _of_search(front_table),
    "importances_of": _of_search(importances_of),
    "stopping_table": _of(stopping_table, "choices", "levels", "trials"),
    "trace_table": _of(trace_table, "curves", "levels", "trials"),
    "cost_table": _of(cost_table, *FITS),
    "failure_reason_table": _of(failure_reason_table, "levels", "failures"),
    "failures_table": _of(failures_table, "failures"),
}
"""By name what makes each table from a store, and from the settings of the function so called."""
