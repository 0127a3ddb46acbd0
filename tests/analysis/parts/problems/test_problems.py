"""The tables of single problems against numbers worked out by hand, and what a section says."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import frontier_points, problem_table, summary_table
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Table, Text
from lip_ray.analysis.parts.problems.section import sections
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
        problem_table(points)
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


class TestSection:
    """What a problem's part of the page says."""

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
        [section] = sections(Content(store=store_of([trial], levels)))
        words = [str(block.words) for block in section.blocks if isinstance(block, Text)]
        assert [text.startswith(said or "") for text in words[1:]] == [True] * (said is not None)
        [table] = [block for block in section.blocks if isinstance(block, Table)]
        assert table.rows[1][-1] == "1 below the measurement"


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
