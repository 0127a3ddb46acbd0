"""The tables against numbers worked out by hand, and the figures against the tables."""

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from lip_ray.analysis import frontier_figure, frontier_points, problem_table, summary_table
from lip_ray.analysis.charts.style import AXIS_TITLES
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Table, Text
from lip_ray.analysis.rows.points import WHICH, distinct_fits
from lip_ray.analysis.rows.texts import density_text, sample_text, sparsity_text

Row = Callable[..., dict[str, Any]]
T_1 = 12.706204736
"""The 97.5 % point of Student's t with one degree of freedom."""
T_2 = 4.302652730
NO_PSNR = {
    "psnr_measured_db": None,
    "psnr_peak_db": None,
    "psnr_selected_db": None,
    "psnr_final_db": None,
}


@pytest.fixture
def points_of(trial_row: Row, level_row: Row) -> Callable[..., pd.DataFrame]:
    """Points of one pruner by seed and level: `{seed: [selected PSNRs, dense first]}`."""

    def make(psnrs: dict[int, list[float | None]], pruner: str = "magnitude") -> pd.DataFrame:
        trials = [trial_row(pruner, seed) for seed in psnrs]
        levels = [
            level_row(trial, level, outcome="failed", effective=None, **NO_PSNR)
            if psnr is None
            else level_row(trial, level, psnr=psnr)
            for trial in trials
            for level, psnr in enumerate(psnrs[trial["seed"]])
        ]
        return frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))

    return make


def traces(figure: go.Figure) -> dict[str, go.Scatter]:
    """The traces by name."""
    return {trace.name: trace for trace in figure.data}


def rows_of(table: pd.DataFrame, method: str, which: str = "selected") -> pd.DataFrame:
    """A method's rows for one of the PSNRs, dense first."""
    return table[(table["method"] == method) & (table["which"] == which)]


class TestTable:
    """Means, intervals and counts."""

    def test_the_interval_is_students_over_seeds(self, points_of: Any) -> None:
        table = problem_table(points_of({0: [30, 26], 1: [30, 27], 2: [30, 28]}))
        row = rows_of(table, "magnitude").iloc[0]
        half = T_2 * 1 / math.sqrt(3)
        assert row["n"] == 3
        assert row["mean_db"] == pytest.approx(27)
        assert row["low_db"] == pytest.approx(27 - half)
        assert row["high_db"] == pytest.approx(27 + half)

    def test_two_seeds_and_another_confidence(self, points_of: Any) -> None:
        points = points_of({0: [30, 27], 1: [30, 28]})
        half = math.sqrt(0.5) / math.sqrt(2)
        wide = rows_of(problem_table(points), "magnitude").iloc[0]
        narrow = rows_of(problem_table(points, confidence=0.5), "magnitude").iloc[0]
        assert wide["high_db"] - wide["mean_db"] == pytest.approx(T_1 * half)
        assert narrow["high_db"] - narrow["mean_db"] == pytest.approx(half)  # t is exactly 1 there

    def test_all_three_psnrs_are_there(self, points_of: Any) -> None:
        table = problem_table(points_of({0: [30, 27]}))
        means = {which: rows_of(table, "magnitude", which)["mean_db"].iloc[0] for which in WHICH}
        assert means == {"selected": 27.0, "peak": 27.5, "final": 25.5}

    def test_one_seed_has_no_interval(self, points_of: Any) -> None:
        table = problem_table(points_of({0: [30, 27]}))
        assert table["n"].eq(1).all()
        assert table[["low_db", "high_db"]].isna().all(axis=None)
        assert sample_text(table) == "n = 1 seed, so no intervals"

    def test_the_dense_fit_of_a_seed_counts_once(self, trial_row: Row, level_row: Row) -> None:
        trials = [trial_row(pruner, seed) for pruner in ("a", "b", "c") for seed in (0, 1)]
        levels = [
            level_row(trial, level, psnr=28.0 + trial["seed"])
            for trial in trials
            for level in (0, 1)
        ]
        points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
        dense = rows_of(problem_table(points), "dense").iloc[0]
        assert len(points) == 12
        assert len(distinct_fits(points)) == 2 + 6
        assert dense["seeds"] == 2
        assert dense["mean_db"] == pytest.approx(28.5)
        assert dense["high_db"] - 28.5 == pytest.approx(T_1 * math.sqrt(0.5) / math.sqrt(2))

    def test_a_failed_fit_is_counted_and_has_no_psnr(self, points_of: Any) -> None:
        table = problem_table(points_of({0: [30, 26], 1: [30, None], 2: [30, 28]}))
        row = rows_of(table, "magnitude").iloc[0]
        assert (row["seeds"], row["n"], row["missing"], row["failed"]) == (3, 2, 1, 1)
        assert row["mean_db"] == pytest.approx(27)
        assert sample_text(table) == "n = 2 to 3 seeds, 95 % intervals"

    def test_a_level_that_failed_for_every_seed_stays(self, points_of: Any) -> None:
        row = rows_of(problem_table(points_of({0: [30, None]})), "magnitude").iloc[0]
        assert (row["seeds"], row["n"], row["missing"]) == (1, 0, 1)
        assert math.isnan(row["mean_db"])
        assert math.isnan(row["effective"])

    def test_collapse_is_counted_and_its_psnr_is_in_the_mean(self, study: Any) -> None:
        points = frontier_points(study.frame("trials"), study.frame("levels"))
        row = rows_of(problem_table(points), "random").iloc[3]
        assert row["density"] == pytest.approx(0.05, abs=1e-6)
        assert row["collapsed"] == 1
        assert row["mean_db"] == pytest.approx((23.7 + 12.9) / 2)

    @pytest.mark.parametrize("confidence", [0, 1, 95, -0.5])
    def test_a_confidence_is_within_0_and_1(self, points_of: Any, confidence: float) -> None:
        with pytest.raises(ValueError, match=f"within 0 and 1, got {confidence}"):
            problem_table(points_of({0: [30]}), confidence=confidence)

    def test_inputs_are_left_alone(self, study: Any) -> None:
        trials, levels = study.frame("trials"), study.frame("levels")
        before = trials.copy(), levels.copy()
        points = frontier_points(trials, levels)
        copied = points.copy()
        frontier_figure(points, problem_table(points))
        pd.testing.assert_frame_equal(trials, before[0])
        pd.testing.assert_frame_equal(levels, before[1])
        pd.testing.assert_frame_equal(points, copied)


class TestNames:
    """Grouping never mixes what differs, and never splits what does not."""

    def names(self, trials: list[dict[str, Any]], level_row: Row) -> tuple[list[str], list[str]]:
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
        return list(points["problem"].cat.categories), list(points["method"].cat.categories)

    def test_one_setting_needs_no_explanation(self, trial_row: Row, level_row: Row) -> None:
        trials = [trial_row("magnitude", 0), trial_row("snip", 1)]
        problems, methods = self.names(trials, level_row)
        assert problems == ["astronaut: denoising, σ = 25"]
        assert methods == ["dense", "magnitude", "snip"]

    def test_problems_that_share_a_name_say_what_differs(
        self, trial_row: Row, level_row: Row
    ) -> None:
        fits = [{"steps": steps, "learning_rate": 0.01} for steps in (400, 2000)]
        problems, _ = self.names([trial_row("snip", 0, fit=fit) for fit in fits], level_row)
        assert problems == [
            "astronaut: denoising, σ = 25 (2000 steps)",
            "astronaut: denoising, σ = 25 (400 steps)",
        ]

    def test_methods_that_share_a_pruner_say_what_differs(
        self, trial_row: Row, level_row: Row
    ) -> None:
        pruners = [{"kind": "magnitude"}, {"kind": "magnitude", "scope": "layer"}]
        _, methods = self.names(
            [trial_row("magnitude", 0, pruner=pruner) for pruner in pruners], level_row
        )
        assert methods == [
            "dense", "magnitude (scope layer)", "magnitude (scope global)",
        ]  # fmt: skip

    def test_a_moved_file_is_the_same_problem(self, trial_row: Row, level_row: Row) -> None:
        image = {"kind": "file", "name": "chelsea", "sha256": "0f" * 32}
        trials = [
            trial_row("snip", seed, images=[image | {"path": f"/{seed}/chelsea.png"}])
            for seed in (0, 1)
        ]
        problems, _ = self.names(trials, level_row)
        assert len(problems) == 1

    def test_images_of_one_trial_are_problems_of_their_own(
        self, trial_row: Row, level_row: Row
    ) -> None:
        images = [{"kind": "builtin", "name": name} for name in ("astronaut", "camera")]
        trial = trial_row("magnitude", 0, images=images)
        levels = [
            level_row(trial, level, image=image, psnr=psnr)
            for image, psnr in (("astronaut", 27.0), ("camera", 31.0))
            for level in (0, 1)
        ]
        table = problem_table(frontier_points(pd.DataFrame([trial]), pd.DataFrame(levels)))
        means = table[table["which"] == "selected"].groupby("problem", observed=True)["mean_db"]
        assert means.first().to_dict() == {
            "astronaut: denoising, σ = 25": 27.0,
            "camera: denoising, σ = 25": 31.0,
        }


class TestPoints:
    """What becomes a point."""

    def test_nothing_finished_is_refused(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row()
        levels = pd.DataFrame([level_row(trial)]).iloc[:0]
        with pytest.raises(ValueError, match="no finished level"):
            frontier_points(pd.DataFrame([trial]), levels)

    def test_other_kinds_of_trial_are_left_out(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row() | {"kind": "generator"}
        with pytest.raises(ValueError, match="run a sweep of trajectories"):
            frontier_points(pd.DataFrame([trial]), pd.DataFrame([level_row(trial)]))

    def test_a_trial_without_levels_has_no_point(self, trial_row: Row, level_row: Row) -> None:
        begun, waiting = trial_row("magnitude", 0), trial_row("magnitude", 1)
        points = frontier_points(pd.DataFrame([begun, waiting]), pd.DataFrame([level_row(begun)]))
        assert points["seed"].tolist() == [0]


class TestFigure:
    """A figure carries the table's numbers and adds none."""

    @pytest.fixture
    def points(self, study: Any) -> pd.DataFrame:
        """Three pruners, two seeds."""
        return frontier_points(study.frame("trials"), study.frame("levels"))

    def test_lines_are_the_means(self, points: pd.DataFrame) -> None:
        table = problem_table(points)
        drawn = traces(frontier_figure(points, table))
        dense = rows_of(table, "dense")
        for method in ("magnitude", "random", "snip"):
            rows = pd.concat([dense, rows_of(table, method)])
            assert list(drawn[method].x) == rows["density"].tolist()
            assert list(drawn[method].y) == rows["mean_db"].tolist()
        assert list(drawn["dense"].y) == dense["mean_db"].tolist() * 2
        assert list(drawn["measurement"].y) == [20.3, 20.3]

    def test_bars_are_the_intervals(self, points: pd.DataFrame) -> None:
        table = problem_table(points)
        drawn = traces(frontier_figure(points, table))["snip, interval"]
        rows = rows_of(table, "snip")
        assert list(drawn.y[0::3]) == rows["low_db"].tolist()
        assert list(drawn.y[1::3]) == rows["high_db"].tolist()
        assert set(drawn.y[2::3]) == {None}

    def test_marks_are_the_fits(self, points: pd.DataFrame) -> None:
        drawn = traces(frontier_figure(points, problem_table(points)))["random, fits"]
        fits = points.loc[list(drawn.customdata)]
        assert len(fits) == 10
        assert set(fits["method"]) == {"random"}
        assert list(drawn.y) == fits["psnr_selected_db"].tolist()
        assert list(drawn.x) == fits["density"].tolist()

    def test_the_buttons_hold_the_other_psnrs(self, points: pd.DataFrame) -> None:
        table = problem_table(points)
        figure = frontier_figure(points, table)
        names = [trace.name for trace in figure.data]
        for which, button in zip(WHICH, figure.layout.updatemenus[0].buttons, strict=True):
            heights, changes = button.args
            mean = list(heights["y"][names.index("magnitude")])
            assert mean[1:] == rows_of(table, "magnitude", which)["mean_db"].tolist()
            assert len(heights["y"]) == len(names)
            assert changes["yaxis.title.text"] == AXIS_TITLES[which]

    def test_collapse_is_a_cross_with_a_legend(self, points: pd.DataFrame) -> None:
        drawn = traces(frontier_figure(points, problem_table(points)))
        symbols = drawn["random, fits"].marker.symbol
        fits = points.loc[list(drawn["random, fits"].customdata)]
        crossed = [symbol == "x-thin" for symbol in symbols]
        assert crossed == (fits["outcome"] == "collapsed").tolist()
        assert sum(crossed) == 3
        assert drawn["collapsed fit"].marker.symbol == "x-thin"

    def test_divergence_has_a_mark_of_its_own(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row()
        levels = [level_row(trial), level_row(trial, 1, outcome="diverged", psnr_final_db=None)]
        points = frontier_points(pd.DataFrame([trial]), pd.DataFrame(levels))
        drawn = traces(frontier_figure(points, problem_table(points)))
        assert drawn["magnitude, fits"].marker.symbol == ("asterisk",)
        assert "diverged fit" in drawn
        assert "collapsed fit" not in drawn

    def test_an_unfinished_fit_is_marked_and_counted(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row()
        levels = [level_row(trial), level_row(trial, 1, unfinished=True)]
        points = frontier_points(pd.DataFrame([trial]), pd.DataFrame(levels))
        table = problem_table(points)
        assert rows_of(table, "magnitude", "selected")["unfinished"].tolist() == [1]
        drawn = traces(frontier_figure(points, table))
        assert drawn["magnitude, fits"].marker.symbol == ("hourglass-open",)
        assert drawn["unfinished fit"].marker.symbol == "hourglass-open"
        assert drawn["dense, fits"].marker.symbol[0].endswith("-open")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"psnr_peak_db": 19.0}, "The dense network restores worse than the measurement"),
            ({"unfinished": True}, "The fits of the dense network are unfinished"),
            ({}, None),
        ],
    )
    def test_a_section_says_what_can_be_compared_with_nothing(
        self,
        trial_row: Row,
        level_row: Row,
        store_of: Any,
        changes: dict[str, Any],
        said: str | None,
    ) -> None:
        trial = trial_row()
        levels = [level_row(trial, **changes), level_row(trial, 1, psnr_peak_db=19.0)]
        [section] = frontier.sections(Content(store=store_of([trial], levels)))
        words = [str(block.words) for block in section.blocks if isinstance(block, Text)]
        assert [text.startswith(said or "") for text in words[1:]] == [True] * (said is not None)
        [table] = [block for block in section.blocks if isinstance(block, Table)]
        assert table.rows[1][-1] == "1 below the measurement"

    def test_a_fit_without_psnr_stands_at_the_foot(self, points_of: Any) -> None:
        points = points_of({0: [30, 27, None]})
        drawn = traces(frontier_figure(points, problem_table(points)))
        foot = drawn["fit without PSNR"]
        assert foot.yaxis == "y2"
        assert list(foot.y) == [0]
        assert points.loc[foot.customdata[0], "outcome"] == "failed"
        assert list(drawn["magnitude"].y) == [30, 27, None]

    def test_one_seed_says_so(self, points_of: Any) -> None:
        points = points_of({0: [30, 27]})
        figure = frontier_figure(points, problem_table(points))
        assert set(traces(figure)["magnitude, interval"].y) == {None}
        assert "n = 1 seed, so no intervals" in figure.layout.xaxis.title.text

    def test_methods_differ_in_colour_dash_and_symbol(self, points: pd.DataFrame) -> None:
        drawn = traces(frontier_figure(points, problem_table(points)))
        lines = [drawn[name] for name in ("magnitude", "random", "snip", "dense")]
        assert len({line.line.color for line in lines}) == 4
        assert len({line.line.dash for line in lines}) == 4
        assert len({line.marker.symbol for line in lines[:3]}) == 3

    def test_styles_are_the_same_in_every_problem(self, trial_row: Row, level_row: Row) -> None:
        steps = {"steps": 400, "learning_rate": 0.01}
        trials = [trial_row("magnitude"), trial_row("snip"), trial_row("snip", fit=steps)]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
        table = problem_table(points)
        colours = {
            traces(frontier_figure(own, table[table["problem"] == problem]))["snip"].line.color
            for problem, own in points.groupby("problem", observed=True)
        }
        assert len(colours) == 1

    def test_the_axis_is_logarithmic_and_shows_sparsity(self, points: pd.DataFrame) -> None:
        axis = frontier_figure(points, problem_table(points)).layout.xaxis
        assert axis.type == "log"
        assert axis.range[0] > axis.range[1]
        assert axis.ticktext == (
            "1<br>0 %", "0.5<br>50 %", "0.25<br>75 %", "0.12<br>88 %", "0.05<br>95 %",
            "0.03<br>97 %",
        )  # fmt: skip

    def test_a_long_ladder_is_labelled_at_both_ends(self, trial_row: Row, level_row: Row) -> None:
        trial = trial_row()
        levels = [level_row(trial, i, kept=round(2_208_768 * 0.8**i)) for i in range(17)]
        points = frontier_points(pd.DataFrame([trial]), pd.DataFrame(levels))
        ticks = frontier_figure(points, problem_table(points)).layout.xaxis.tickvals
        assert ticks[0] == 1
        assert ticks[-1] == points["density"].min()
        assert len(ticks) <= 8

    def test_only_dense_levels_so_far(self, points_of: Any) -> None:
        points = points_of({0: [30], 1: [31]})
        drawn = traces(frontier_figure(points, problem_table(points)))
        assert list(drawn["dense"].y) == [30.5, 30.5]
        assert "magnitude" not in drawn

    def test_an_infinite_psnr_leaves_a_gap_not_a_broken_axis(self, points_of: Any) -> None:
        points = points_of({0: [30, math.inf, 27]})
        figure = frontier_figure(points, problem_table(points))
        assert list(traces(figure)["magnitude"].y) == [30, None, 27]
        assert all(math.isfinite(end) for end in figure.layout.yaxis.range)

    def test_names_are_not_markup(self, points_of: Any) -> None:
        points = points_of({0: [30, 27]}, pruner="<a href='//x'>a</a>&amp;")
        names = [trace.name for trace in frontier_figure(points, problem_table(points)).data]
        assert "&lt;a href='//x'&gt;a&lt;/a&gt;&amp;amp;" in names
        assert not any("<" in name for name in names)

    def test_two_problems_are_refused(self, trial_row: Row, level_row: Row) -> None:
        steps = {"steps": 400, "learning_rate": 0.01}
        trials = [trial_row(), trial_row("magnitude", fit=steps)]
        levels = [level_row(trial) for trial in trials]
        points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
        table = problem_table(points)
        one = points[points["problem"] == points["problem"].iloc[0]]
        for wrong in (points, one):
            with pytest.raises(ValueError, match="shows one problem"):
                frontier_figure(wrong, table)

    def test_no_psnr_at_all_is_refused(self, points_of: Any) -> None:
        points = points_of({0: [None, None]})
        with pytest.raises(ValueError, match="needs a clean image"):
            frontier_figure(points, problem_table(points))

    def test_it_offers_no_upload(self, points: pd.DataFrame) -> None:
        layout = json.loads(frontier_figure(points, problem_table(points)).to_json())["layout"]
        assert "sendChartToCloud" in layout["modebar"]["remove"]


def test_summary_has_a_row_per_density(study: Any) -> None:
    summary = summary_table(study.frame("trials"), study.frame("levels"))
    assert len(summary) == 1 + 3 * 5
    last = summary[summary["method"] == "snip"].iloc[-1]
    assert last["selected_db"] == pytest.approx(11.25)
    assert (last["seeds"], last["collapsed"], last["failed"]) == (2, 2, 0)
    first = summary.iloc[0]
    assert (first["method"], first["density"]) == ("dense", 1.0)
    psnrs = first[["selected_db", "peak_db", "final_db"]].tolist()
    assert psnrs == pytest.approx([27.35, 27.85, 25.85])


@pytest.mark.parametrize(
    ("density", "density_said", "sparsity_said"),
    [
        (1.0, "1", "0 %"),
        (0.512, "0.512", "48.8 %"),
        (0.0500035, "0.05", "95 %"),
        (0.0281, "0.0281", "97.2 %"),
        (0.0005, "0.0005", "99.95 %"),
    ],
)
def test_densities_as_text(density: float, density_said: str, sparsity_said: str) -> None:
    assert density_text(density) == density_said
    assert sparsity_text(density) == sparsity_said


def test_a_summary_without_any_psnr_has_the_rest(trial_row: Row, level_row: Row) -> None:
    trial = trial_row()
    levels = [level_row(trial, level, **NO_PSNR) for level in (0, 1)]
    summary = summary_table(pd.DataFrame([trial]), pd.DataFrame(levels))
    assert summary.columns.tolist() == [
        "problem", "method", "density", "seeds", "collapsed", "diverged", "failed",
    ]  # fmt: skip
    assert summary["method"].tolist() == ["dense", "magnitude"]


def test_a_summary_of_kinds_unknown_here_is_empty(trial_row: Row, level_row: Row) -> None:
    trial = trial_row() | {"kind": "of the future"}
    assert summary_table(pd.DataFrame([trial]), pd.DataFrame([level_row(trial)])).empty


def test_a_summary_of_nothing_is_refused(study: Any) -> None:
    with pytest.raises(ValueError, match="no finished level"):
        summary_table(study.frame("trials"), study.frame("levels").iloc[:0])
