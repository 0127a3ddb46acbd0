"""What a search found: its points, and those among them that no other point is better than."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, Self

import pandas as pd

from lip_ray.columns import LEVELS, OBJECTIVES

from ...rows.naming import tuples
from ...rows.points import UNFINISHED
from ...rows.texts import known_text
from ...statistics.importance import importance_table
from ...statistics.intervals import pareto_front

SIZES = ("kept", "total", "density", "kept_all", "total_all", "effective", "macs")
"""Columns drawn on a log axis from most on the left, as other figures have them."""

WORDS = {name: LEVELS[name].axis_title for name in OBJECTIVES}
"""What a column of the levels is, with its unit."""

STATES = ("complete", "stopped", "collapsed", "failed")
"""How a point may have ended."""

OPEN = "in flight"
"""The state of a point that has not come to an end."""

FIXED = ("number", "state", "unfit", "pareto", "trials", "reason", "text")
"""Columns of a search's table that are neither an objective nor a field."""

BELOW = "below the measurement"
"""What the store says of points with a fit that is worse than what it was fitted to."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """An objective: a column of the levels that is to become large or small."""

    column: str
    direction: Literal["maximize", "minimize"]
    at: str
    """The level that counts, in words."""
    short: str
    """The level in a few characters; empty for the sparsest."""
    level: Mapping[str, Any] = field(default_factory=dict)
    """The level as JSON; the sparsest where there is nothing in it."""

    @classmethod
    def of(cls, objective: Mapping[str, Any]) -> Self:
        """The goal that a search wrote down as JSON."""
        level, own = objective.get("level"), {"at": "sparsest level", "short": ""}
        if isinstance(level, Mapping) and "density" in level:
            own = {"at": f"density {level['density']:g}", "short": f"{level['density']:g}"}
        elif isinstance(level, Mapping) and "number" in level:
            own = {"at": f"level {level['number']}", "short": str(level["number"])}
        given = level if isinstance(level, Mapping) else {}
        return cls(column=objective["column"], direction=objective["direction"], level=given, **own)

    def level_of(self, levels: pd.DataFrame) -> int:
        """The number of the level that counts among those of one trial."""
        if "number" in self.level:
            return int(self.level["number"])
        if "density" in self.level:
            nearest = (levels["density"] - self.level["density"]).abs().idxmin()
            return int(levels.loc[nearest, "level"])
        return int(levels["level"].max())

    @property
    def name(self) -> str:
        """Its column in tables of a search: `kept`, `psnr_selected_db@3`."""
        return f"{self.column}@{self.short}" if self.short else self.column

    @property
    def words(self) -> str:
        """What it is, its unit, and the level."""
        return f"{WORDS.get(self.column, self.column)}, {self.at}"

    @property
    def title(self) -> str:
        """The title of its axis."""
        return self.words[:1].upper() + self.words[1:]

    @property
    def grows(self) -> bool:
        """Whether larger values are better."""
        return self.direction == "maximize"

    def text(self, value: float) -> str:
        """A value as tables write it."""
        counted = self.column in SIZES and self.column != "density"
        form = ".2f" if self.column.endswith("_db") else ",.0f" if counted else ".4g"
        return known_text(value, form).replace("-", "−")


def goals_of(points: pd.DataFrame) -> tuple[Goal, ...]:
    """The objectives of the one search that these points are of.

    Raises ValueError when there is no point, or more than one search.
    """
    if points[["search", "search_id"]].drop_duplicates().shape[0] != 1:
        raise ValueError("a table or figure shows one search: choose its points")
    return tuple(Goal.of(objective) for objective in json.loads(points["objectives"].iloc[0]))


def search_table(points: pd.DataFrame) -> pd.DataFrame:
    """One row per point of a search, in the order of asking, from the store's view `points`.

    Columns are number, `state` (complete, stopped, collapsed, failed or in flight), `unfit` (why a
    complete point is on no front all the same: unfinished, or below the measurement), `pareto`, one
    for each objective (`psnr_selected_db`; at another level than the sparsest
    `psnr_selected_db@3`), one for each searched field by its dotted path, `trials` and `reason`.
    Values are NaN where there are none; fields that are no numbers are written out as text.

    Raises ValueError when there is no point, or more than one search.
    """
    goals = goals_of(points)
    trials = points.groupby("number")["trial_id"].count()
    firsts = points.drop_duplicates("number").sort_values("number")
    return pd.DataFrame([_row(one, goals, int(trials[one.number])) for one in tuples(firsts)])


def front_table(points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `search_table` that are on the front, best first in the first objective.

    A point is on the front when it is complete, its fits are finished and better than their
    measurements, and no other such point is at least as good in all objectives and better in one.
    In two objectives the second improves down the rows.

    Raises ValueError when there is no point, or more than one search.
    """
    goals, table = goals_of(points), search_table(points)
    names = [goal.name for goal in goals]
    front = table[table["pareto"]]
    return front.sort_values(names, ascending=[not g.grows for g in goals], ignore_index=True)


def pair_table(points: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of objectives: how many `points` would be on the front of these two alone.

    Raises ValueError when there is no point, or more than one search.
    """
    goals, table = goals_of(points), search_table(points)
    found = table[able(table)]
    gains = {one.name: ((1 if one.grows else -1) * found[one.name]).tolist() for one in goals}
    pairs = [
        (one, other, sum(pareto_front([-x for x in gains[one]], gains[other])))
        for one, other in combinations(gains, 2)
    ]
    return pd.DataFrame(pairs, columns=["first", "second", "points"])


def importances_of(points: pd.DataFrame) -> pd.DataFrame:
    """The `importance_table` of each objective of a search, with its column `objective`.

    Complete points count, also those that are on no front for a fit that is unfinished. Raises
    ValueError when there is no point, or more than one search.
    """
    goals, table = goals_of(points), search_table(points)
    complete = table[table["state"] == "complete"]
    params = complete[fields_of(table, goals)]
    parts = [
        importance_table(params, complete[goal.name], grows=goal.grows).assign(objective=goal.name)
        for goal in goals
    ]
    return pd.concat(parts, ignore_index=True)


def fields_of(table: pd.DataFrame, goals: Sequence[Goal]) -> list[str]:
    """The columns of a `search_table` that are searched fields."""
    taken = {*FIXED, *(goal.name for goal in goals)}
    return [name for name in table.columns if name not in taken]


def value_text(value: object) -> str:
    """A value of a searched field in a few characters: `0.01`, `init`, `step (step 10)`."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k} {value_text(v)}" for k, v in value.items() if k != "kind")
        kind = value_text(value["kind"]) if "kind" in value else ""
        return f"{kind} ({rest})".strip() if rest else kind
    if isinstance(value, list):
        return ", ".join(value_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def left_out(table: pd.DataFrame) -> Iterator[str]:
    """How many points of a `search_table` no front may have, and why; nothing where all may."""
    reasons = table["unfit"].where(table["state"] == "complete", table["state"])
    counts = reasons[reasons.isin(["collapsed", UNFINISHED, BELOW])].value_counts()
    if len(counts):
        why = ", ".join(f"{count} {reason}" for reason, count in counts.sort_index().items())
        yield f"{counts.sum()} left out of the front: {why}"


def able(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which points could be on a front."""
    return (table["state"] == "complete") & (table["unfit"] == "")


def footed(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which points restore nothing."""
    return (table["state"] == "collapsed") | (table["unfit"] == BELOW)


def _row(point: Any, goals: Sequence[Goal], trials: int) -> dict[str, Any]:
    """One point, from the row of any of its trials."""
    told = isinstance(point.state, str)
    values = list(point.values) if told and len(point.values) else [float("nan")] * len(goals)
    params = json.loads(point.params)
    reason = point.reason if told else ""
    return {
        "number": int(point.number),
        "state": point.state if told else OPEN,
        "unfit": point.unfit,
        "pareto": bool(point.pareto),
        **{goal.name: float(value) for goal, value in zip(goals, values, strict=True)},
        **{path: v if type(v) in (int, float) else value_text(v) for path, v in params.items()},
        "trials": trials,
        "reason": reason or point.problem or "",
    }
