"""Networks that restore no image: scores of their own, of every ticket by the weights it keeps."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from ..charts.curves import Plot, curve_figure
from ..charts.style import density_axis
from ..page.section import Block, Cells, Figure, table_of
from ..rows.choosing import check_single
from ..rows.identity import DENSE
from ..rows.naming import grouped, named
from ..rows.points import distinct_fits
from ..rows.texts import density_text, known_text, mean_cells, sample_text, wrong_text
from ..statistics.aggregate import Groups, dense_first, score_table


@dataclass(frozen=True, kw_only=True)
class ScoredNetworks:
    """One kind of such networks: what it is called, its scores, and what is said of them."""

    noun: str
    """What messages call a network."""
    score: str
    """What they call a score, of whichever kind."""
    scores: Mapping[str, str]
    """The columns of `levels`, by what `which` says."""
    form: str
    plot: Plot
    name: str
    """The figure's name for `lip figure`."""
    label: str
    note: str
    numbers_label: str
    numbers_note: str
    unscored: str = ""
    """What is said in place of that note where no network has a score."""
    heads: Sequence[str]
    """What the table calls the scores."""

    def points(
        self, trials: pd.DataFrame, levels: pd.DataFrame, **problem: Sequence[str] | pd.Series
    ) -> pd.DataFrame:
        """The levels of these trials, with seed, and `problem` and `method` as ordered categories.

        `problem` has a name, key and settings for each trial. Where all weights are kept the method
        is "dense".

        Raises ValueError when there is no level.
        """
        described = trials[["trial_id", "seed", "method_name", "method_key", "method_settings"]]
        own = described.assign(**problem)
        points = levels.merge(own, on="trial_id", validate="many_to_one")
        if points.empty:
            raise ValueError(f"no finished level of a {self.noun} in the store")
        points["problem"] = named(points)
        methods = named(points, "method")
        points["method"] = methods.set_categories([DENSE, *methods.categories])
        points.loc[points["kept"] == points["total"], "method"] = DENSE
        return points.astype(dict.fromkeys(self.scores.values(), float))

    def table(self, points: pd.DataFrame, *, confidence: float) -> pd.DataFrame:
        """The `score_table` of these points by problem, method and density."""
        by = ["problem", "method", "kept"]
        groups = Groups(fits=distinct_fits(points), by=by, confidence=confidence)
        table = score_table(groups, self.scores, same=["total", "density"])
        return dense_first(table, [*by, "which"])

    def figure(self, table: pd.DataFrame) -> go.Figure:
        """Scores against density for one problem.

        Raises ValueError when that is more than one problem, or when there is no score at all.
        """
        rule = f"a figure of {self.noun}s shows one problem: choose its rows"
        check_single(table, "problem", rule)
        if not table["n"].any():
            article = "an" if self.score[0] in "aeiou" else "a"
            raise ValueError(f"no {self.noun} has {article} {self.score}")
        noted = _from_dense(table).assign(note=lambda rows: "n = " + rows["n"].astype(str))
        axis = density_axis(table["density"], note=sample_text(table))
        return curve_figure(noted, axis, self.plot)

    def blocks(self, rows: pd.DataFrame, place: str, *pictures: Block) -> Iterator[Block]:
        """The figure where there is anything to draw, pictures, and the numbers of one problem."""
        drawn = bool(rows["n"].any())
        if drawn:
            yield Figure(
                name=self.name,
                place=place,
                label=self.label,
                note=self.note,
                lines=rows["method"].nunique(),
                figure=self.figure(rows),
                controls=(self.plot.which,),
            )
        yield from pictures
        yield table_of(
            grouped(rows, "method", "kept"),
            self._cells,
            name=self.name,
            label=self.numbers_label,
            note=f"{self.numbers_note} {sample_text(rows)}." if drawn else self.unscored,
        )

    @property
    def _cells(self) -> Cells:
        """The cells of a method and density, from its rows, one per score."""
        return {
            "Method": lambda rows: rows[0].method,
            "Density": lambda rows: density_text(rows[0].density),
            "Kept": lambda rows: known_text(rows[0].kept),
            **mean_cells(self.heads, form=self.form),
            "Seeds": lambda rows: rows[0].seeds,
            "Note": lambda rows: wrong_text(rows[0], {f"without {self.score}": rows[0].missing}),
        }


def _from_dense(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all methods, each led by the dense ones; the dense alone where there is none."""
    dense = table[table["method"] == DENSE]
    methods = [name for name in table["method"].cat.categories if name in set(table["method"])]
    parts = [
        pd.concat([dense.assign(method=method), table[table["method"] == method]])
        for method in methods
        if method != DENSE
    ]
    return pd.concat(parts).astype({"method": table["method"].dtype}) if parts else dense
