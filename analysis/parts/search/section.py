"""The sections of searches: what each found, what matters in it, and what was tried."""

import json
from collections.abc import Iterator

import pandas as pd

from ...page.content import NO_FITS, Content, Part
from ...page.gallery import PICTURE_KEY, scene_tile
from ...page.section import Block, Figure, Gallery, Section, Strip, Table, Text, Tile
from ...rows.naming import short_names, tuples
from ...statistics.importance import LEAST_POINTS
from .details import (
    evaluator_choices,
    field_choices,
    history_figure,
    importance_figure,
    objective_choices,
    parallel_figure,
    slice_figure,
    varied_fields,
)
from .figures import front_figure
from .table import (
    FIXED,
    OPEN,
    STATES,
    able,
    front_table,
    goals_of,
    importances_of,
    left_out,
    pair_table,
    search_table,
    value_text,
)

NOTE = """
Each mark is a point of the search, its values means over its trials and their images at the level
that the axis names. The line is the best that was found. The best of many, picked by these very
values, are candidates for a comparison on equal terms, not its result. No front has points whose
fits collapsed, are unfinished or restore worse than the measurement. Point at a mark, or tap it,
for its settings.
"""

FRONT_NOTE = """
The points that no other complete point is as good as in all objectives and better in one, best
first in the first. Columns are the objectives, then the searched fields.
"""

BEST_NOTE = "The best complete point: the objective, then the searched fields."

IMPORTANCE_NOTE = """
How much of the spread of an objective each field explains, by Optuna's evaluators, all other fields
averaged over. fANOVA and the decrease of impurity go by a forest fitted to the complete points;
PED-ANOVA compares the best tenth of the points with all. A sampler that looks where points are good
sees little of the rest, so few points, or points close together, say little. Ranges are those of
the points that were drawn. Fields are in the order of their mean over what can be chosen.
"""

HISTORY_NOTE = "Each mark is a point; the line is the best so far of this objective alone."

SLICE_NOTE = """
Each mark is a point, and its colour says how early it was drawn. All other fields differ between
marks too, so that a slope may be theirs.
"""

PARALLEL_NOTE = """
Each line is a point that could be on a front: one row per objective and searched field, from its
least value on the left to its largest on the right. Texts are in the order of the alphabet.
"""

MOST_PICTURED = 6
"""The points of a front, from the best in the first objective on, that have a picture."""


def pictured(shown: Content) -> pd.DataFrame:
    """The fits that the best points of all searches are shown by, and those of their scenes."""
    found = [fits for _, own in _searches(shown) for fits in (_best_fits(shown, own),)]
    fits = pd.concat([NO_FITS, *found])[PICTURE_KEY].drop_duplicates()
    return pd.concat([fits, fits.assign(level=0)]).drop_duplicates()


def sections(shown: Content) -> Iterator[Section]:
    """For each search what it found and, as far as there are points for it, how and by what."""
    for place, (title, own) in enumerate(_searches(shown)):
        name = f"search-{place}"
        blocks = (*_blocks(own, name), *_restored(shown, own))
        yield Section(name=f"of-{name}", title=title, blocks=blocks)
        for kind, heading, inside in _details(own, name):
            yield Section(name=f"{kind}-of-{name}", title=f"{title}: {heading}", blocks=inside)


def _searches(shown: Content) -> Iterator[tuple[str, pd.DataFrame]]:
    """The title and the points of each search."""
    if shown.points.empty:
        return
    names = shown.points.groupby("search")["search_id"].nunique().to_dict()
    for (search, search_id), own in shown.points.groupby(["search", "search_id"]):
        yield f"Search {search}" + (f" ({search_id})" if names[search] > 1 else ""), own


def _details(points: pd.DataFrame, place: str) -> Iterator[tuple[str, str, tuple[Block, ...]]]:
    """A name, a heading and the blocks of each part beside the front."""
    goals, table = goals_of(points), search_table(points)
    fields = varied_fields(points)
    yield "importance", "what matters", (_importance(points, place),)
    if fields:
        figure = Figure(
            name="slices",
            place=f"slices-{place}",
            label="An objective against each searched field",
            note=SLICE_NOTE,
            lines=0,
            figure=slice_figure(points),
            controls=field_choices(points),
        )
        yield "slices", "field by field", (figure,)
        figure = Figure(
            name="parallel",
            place=f"parallel-{place}",
            label="All points through one axis per objective and field",
            note=PARALLEL_NOTE,
            lines=len(fields) + len(goals) + 2,
            figure=parallel_figure(points),
        )
        yield "parallel", "all fields at once", (figure,)
    if len(goals) > 1 and able(table).any():
        figure = Figure(
            name="history",
            place=f"history-{place}",
            label="Each objective by point, and the best so far",
            note=HISTORY_NOTE,
            lines=2,
            figure=history_figure(points),
            controls=objective_choices(goals),
        )
        yield "history", "how it went", (figure,)


def _importance(points: pd.DataFrame, place: str) -> Block:
    """Importances, or why there are none."""
    goals, found = goals_of(points), importances_of(points)
    if found.empty:
        complete = (search_table(points)["state"] == "complete").sum()
        return Text(
            f"Importances need at least {LEAST_POINTS} complete points that differ in a field and "
            f"in their values; there are {complete} complete points."
        )
    return Figure(
        name="importance",
        place=f"importance-{place}",
        label="The importance of each searched field",
        note=IMPORTANCE_NOTE,
        lines=found["field"].nunique(),
        figure=importance_figure(found, goals),
        controls=evaluator_choices(goals),
    )


def _restored(shown: Content, points: pd.DataFrame) -> Iterator[Block]:
    """Pictures of the best points beside the clean image and the measurement, where stored."""
    fits = _best_fits(shown, points)
    if fits.empty:
        return
    pictures, goals = shown.pictures, goals_of(points)
    rows = {row["number"]: row for row in front_table(points).to_dict("records")}
    fields = varied_fields(points)
    scene = next(tuples(fits.assign(level=0)))
    tiles = [
        scene_tile(scene, pictures, role, said, head, str(scene.image))
        for role, said, head in (
            ("clean", "clean", "Clean"),
            ("measured", "as measured", "Measured"),
        )
    ]
    for fit in tuples(fits):
        row = rows[fit.number]
        values = ", ".join(f"{goal.name} {goal.text(row[goal.name])}" for goal in goals)
        names = zip(fields, short_names(fields), strict=True)
        params = ", ".join(f"{short} {value_text(row[name])}" for name, short in names)
        tiles.append(
            Tile(
                picture=pictures.place(fit, "selected"),
                alt=f"{fit.image} restored by point {fit.number}",
                head=f"Point {fit.number}",
                line=f"{values}; {params}" if params else values,
            )
        )
    few = (
        f"The first {MOST_PICTURED} of the front"
        if len(rows) > MOST_PICTURED
        else "The best points"
    )
    title = few if len(rows) > 1 else "The best point"
    yield Gallery(title="Restored by the best", blocks=(Strip(title=title, tiles=tiles),))


def _best_fits(shown: Content, points: pd.DataFrame) -> pd.DataFrame:
    """The fit that each of the best points is shown by: of its first trial and image, at the level
    that the first objective is about. Columns are number, trial_id, level, image."""
    front = front_table(points).head(MOST_PICTURED)
    first = points.dropna(subset="trial_id").drop_duplicates("number")
    chosen = first.set_index("number")["trial_id"].reindex(front["number"]).dropna()
    found = []
    for number, trial_id in chosen.items():
        levels = shown.levels[shown.levels["trial_id"] == trial_id]
        if len(levels):
            level = goals_of(points)[0].level_of(levels)
            row = levels[levels["level"] == level].iloc[0]
            found.append((number, trial_id, level, row["image"]))
    return pd.DataFrame(found, columns=["number", *PICTURE_KEY])


def _blocks(points: pd.DataFrame, place: str) -> Iterator[Block]:
    goals, table = goals_of(points), search_table(points)
    yield Text(_searched(points, table))
    valued = table[[goal.name for goal in goals]].notna().all(axis=1).any()
    figure = front_figure(points) if valued and len(goals) < 3 else None
    if figure is None:
        yield _no_plane(points, len(goals))
    else:
        label = "What the search found; the best points are in the table below"
        yield Figure(name="search", place=place, label=label, note=NOTE, lines=3, figure=figure)
    yield _front_numbers(points)


def _searched(points: pd.DataFrame, table: pd.DataFrame) -> str:
    """What was sought, and how far it has come."""
    goals = goals_of(points)
    aims = "; ".join(f"{goal.direction} {goal.words}" for goal in goals)
    fields = ", ".join(json.loads(points["params"].iloc[0]))
    states = table["state"].value_counts()
    counts = ", ".join(f"{states[s]} {s}" for s in (*STATES, OPEN) if s in states)
    said = [f"Aim: {aims}. Searched: {fields}. Points: {len(table)}, of which {counts}"]
    said += [f"{table['pareto'].sum()} on the front"] * (len(goals) > 1)
    return "; ".join([*said, *left_out(table)]) + "."


def _no_plane(points: pd.DataFrame, goals: int) -> Text:
    """What stands for a figure of three or more objectives; or that no point has values yet."""
    if goals < 3:
        return Text("No point has values yet.")
    pairs = "; ".join(
        f"{row.points} by {row.first} and {row.second}" for row in tuples(pair_table(points))
    )
    return Text(
        f"A plane shows two objectives, and a point that looks beaten in it may be the best in "
        f"another, so there is no figure of these {goals}. Taken two at a time, as many points "
        f"would be on the front: {pairs}."
    )


def _front_numbers(points: pd.DataFrame) -> Table:
    front = front_table(points)
    goals = {goal.name: goal for goal in goals_of(points)}
    fields = [name for name in front.columns if name not in {*FIXED, *goals}]
    return Table(
        name="front",
        label="Points on the front",
        note=FRONT_NOTE if len(goals) > 1 else BEST_NOTE,
        heads=["Point", *goals, *fields],
        rows=[
            [
                str(row["number"]),
                *(goal.text(row[name]) for name, goal in goals.items()),
                *(value_text(row[name]) for name in fields),
            ]
            for row in front.to_dict("records")
        ],
    )


PART = Part(
    label="Search",
    names={"search", "front", "slices", "parallel", "history", "importance", "points"},
    sections=sections,
    pictured=pictured,
)
