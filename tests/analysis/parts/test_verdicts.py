"""Verdicts on rows made by hand: what is paired, what is said, and what is not."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lip_ray.analysis import comparison_table, dense_differences, matching_table
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Fold, Table
from lip_ray.analysis.parts import verdicts
from lip_ray.analysis.parts.verdicts import ONE_RUN, UNFINISHED
from lip_ray.analysis.statistics.ladders import images_needed

Row = Callable[..., dict[str, Any]]
Frames = tuple[pd.DataFrame, pd.DataFrame]
Ladders = dict[tuple[str, str, int], Iterable[float | None]]


IMAGES = ("astronaut", "camera", "coffee", "chelsea")


def ladders(pruner: str, losses: tuple[float, ...], seeds: int = 2) -> Ladders:
    """Four images of different difficulty that lose about the same at each level."""
    return {
        (pruner, image, seed): [
            25 + place + 0.3 * seed - (loss + 0.01 * (place - 1.5) if loss else 0.0)
            for loss in (0.0, *losses)
        ]
        for place, image in enumerate(IMAGES)
        for seed in range(seeds)
    }


def test_fits_are_paired_with_the_dense_fit_of_their_image_and_seed(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    frames = rows_of(
        {("magnitude", "camera", 0): [30, 29], ("magnitude", "camera", 1): [28, 27.5]}
        | {("magnitude", "chelsea", 0): [20, 20.25]}
    )
    found = dense_differences(*frames).set_index(["image", "seed"])["difference_db"]
    assert found.to_dict() == {("camera", 0): -1.0, ("camera", 1): -0.5, ("chelsea", 0): 0.25}


def test_a_dense_fit_serves_the_methods_that_share_it(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    frames = rows_of({("magnitude", "chelsea", 0): [30, 29], ("random", "chelsea", 0): [30, 26]})
    found = dense_differences(*frames).set_index("method")["difference_db"]
    assert found.to_dict() == {"magnitude": -1.0, "random": -4.0}


def test_a_verdict_says_what_is_shown_and_what_is_refuted(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    frames = rows_of(ladders("magnitude", (0.02, 0.02, 0.5)) | ladders("random", (0.5, 1.0, 3.0)))
    table = matching_table(*frames).set_index("method")
    assert table.loc["magnitude", "verdict_selected"] == (
        "within 0.1 dB of dense down to 0.25, shown; loses more from 0.12 down, shown"
    )
    assert table.loc["random", "verdict_peak"] == (
        "not shown to be within 0.1 dB of dense at any density; loses more from 0.5 down, shown"
    )
    assert table.loc["magnitude", ["n", "seeds", "unit", "missing"]].tolist() == [4, 2, "image", 0]
    assert 0.12 < table.loc["magnitude", "estimate_selected"] < 0.25


def test_a_wider_margin_is_met_further_down(rows_of: Callable[[Ladders], Frames]) -> None:
    frames = rows_of(ladders("magnitude", (0.02, 0.02, 0.5)))
    [verdict] = matching_table(*frames, margin_db=1.0)["verdict_selected"]
    assert verdict == "within 1 dB of dense down to 0.12, shown; sparser was not tried"


def test_one_run_gets_no_verdict(rows_of: Callable[[Ladders], Frames]) -> None:
    frames = rows_of({("magnitude", "chelsea", 0): [30, 30, 20]})
    [row] = matching_table(*frames).to_dict("records")
    assert (row["verdict_selected"], row["n"]) == (ONE_RUN, 1)
    assert (row["shown_peak"], row["refuted_peak"]) == (None, None)


def test_one_run_has_a_difference_without_interval_or_p(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    frames = rows_of({("magnitude", "chelsea", 0): [30, 29], ("random", "chelsea", 0): [30, 26]})
    [row] = comparison_table(*frames, "magnitude", "random").to_dict("records")
    assert row["mean_db"] == 3.0
    assert pd.isna([row["low_db"], row["p"], row["q"]]).all()


def test_seeds_of_one_image_are_a_sample_of_that_image(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    frames = rows_of({("magnitude", "chelsea", s): [30 + s, 30 + s + 0.01 * s] for s in range(4)})
    [row] = matching_table(*frames).to_dict("records")
    assert (row["unit"], row["n"], row["shown_selected"]) == ("seed", 4, 0.5)
    assert row["verdict_selected"].startswith("on this image alone: within 0.1 dB of dense")


def test_a_fit_without_psnr_is_counted_and_ends_what_can_be_shown(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    found = ladders("magnitude", (0.02, 0.02, 0.02))
    found["magnitude", "chelsea", 1] = [28.3, 28.3, None, 28.3]
    [row] = matching_table(*rows_of(found)).to_dict("records")
    assert (row["missing"], row["shown_peak"], row["least"]) == (
        1,
        0.5,
        pytest.approx(0.12, rel=1e-3),
    )


def test_more_seeds_do_not_decide_for_one_image(rows_of: Callable[[Ladders], Frames]) -> None:
    changes = (-0.3, 0.2, -0.25, 0.3)
    found = {("magnitude", "chelsea", s): [30, 30 + by] for s, by in enumerate(changes)}
    [row] = matching_table(*rows_of(found)).to_dict("records")
    assert row["verdict_selected"].startswith("on this image alone: undecided; about ")
    assert row["verdict_selected"].endswith("and seeds do not replace images")


def test_an_open_verdict_says_how_many_images_would_decide(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    """Four images with a standard deviation of 0.16 dB: eighteen, were there no difference."""
    changes = np.array([-1.0, 1.0, -1.0, 1.0])
    changes *= 0.16 / changes.std(ddof=1)
    found = {
        ("magnitude", name, 0): [25, 25 + by] for name, by in zip(IMAGES, changes, strict=True)
    }
    [row] = matching_table(*rows_of(found)).to_dict("records")
    assert row["images_selected"] == 18
    assert row["verdict_selected"] == (
        "undecided; about 18 images would decide 0.5 (SD 0.16 dB, true difference 0)"
    )
    worse = {key: [dense, sparse - 0.25] for key, (dense, sparse) in found.items()}
    [row] = matching_table(*rows_of(worse)).to_dict("records")
    assert row["images_selected"] == images_needed(0.16, 0.15)
    assert "true difference −0.25 dB as seen" in row["verdict_selected"]


def test_all_methods_of_a_table_are_one_family(rows_of: Callable[[Ladders], Frames]) -> None:
    """A method that passes alone does not among many that do not."""
    rng = np.random.default_rng(0)
    alone = ladders("magnitude", (0.0,), seeds=1)
    for place, key in enumerate(alone):
        alone[key] = [25, 25 - (0.06, 0.0, 0.06, 0.02)[place]]
    [row] = matching_table(*rows_of(alone)).to_dict("records")
    assert row["shown_selected"] == 0.5
    among = dict(alone)
    for pruner in ("random", "snip", "grasp", "synflow"):
        among |= {(pruner, image, 0): [25, 25 + rng.normal(0, 0.5)] for image in IMAGES}
    row = matching_table(*rows_of(among)).set_index("method").loc["magnitude"]
    assert row["shown_selected"] is None
    assert "0.5 would be shown within it if it were the only test" in row["verdict_selected"]


def test_a_word_says_where_peak_and_selected_disagree(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    trials, levels = rows_of(ladders("magnitude", (0.02, 0.02)))
    [row] = matching_table(trials, levels).to_dict("records")
    assert row["disagreement"] == ""
    sparse = levels["level"] > 0
    levels.loc[sparse, "psnr_selected_db"] -= 0.08
    [row] = matching_table(trials, levels).to_dict("records")
    assert (row["disagreement"], row["shown_peak"], row["shown_selected"]) == (
        "by peak only",
        0.25,
        None,
    )
    levels.loc[sparse, "psnr_selected_db"] -= 2
    levels.loc[levels["level"] == 1, "psnr_selected_db"] += 2.08
    [row] = matching_table(trials, levels).to_dict("records")
    assert row["disagreement"] == "further by peak"


class TestUnfinished:
    """Fits that would restore better with more steps."""

    @pytest.fixture
    def frames(self, rows_of: Callable[[Ladders], Frames]) -> Frames:
        """Two densities within the margin; rows have no word of whether they are finished."""
        return rows_of(ladders("magnitude", (0.02, 0.03)))

    def test_they_are_left_out_and_counted(self, frames: Frames) -> None:
        trials, levels = frames
        bad = (levels["level"] == 2) & (levels["image"] == IMAGES[0])
        levels.loc[bad, ["psnr_selected_db", "psnr_peak_db"]] -= 9
        [row] = matching_table(trials, levels).to_dict("records")
        assert row["shown_selected"] == 0.5
        levels["unfinished"] = bad
        [row] = matching_table(trials, levels).to_dict("records")
        assert (row["shown_selected"], row["unfinished"]) == (0.25, 2)
        [row] = matching_table(trials, levels, unfinished=True).to_dict("records")
        assert row["shown_selected"] == 0.5
        assert len(dense_differences(trials, levels)) == 14
        assert len(dense_differences(trials, levels, unfinished=True)) == 16

    def test_two_methods_are_compared_by_the_rest(
        self, rows_of: Callable[[Ladders], Frames]
    ) -> None:
        one, other = ladders("magnitude", (0.1,)), ladders("random", (0.4,))
        trials, levels = rows_of(one | other)
        levels["unfinished"] = (levels["image"] == IMAGES[0]) & (levels["level"] == 1)
        [row] = comparison_table(trials, levels, "magnitude", "random").to_dict("records")
        assert row["n"] == 3
        found = comparison_table(trials, levels, "magnitude", "random", unfinished=True)
        assert found["n"].tolist() == [4]

    def test_an_unfinished_dense_network_is_no_reference(self, frames: Frames) -> None:
        trials, levels = frames
        levels["unfinished"] = levels["level"] == 0
        [row] = matching_table(trials, levels).to_dict("records")
        assert row["verdict_selected"] == row["verdict_peak"] == UNFINISHED
        assert (row["n"], row["shown_selected"], row["unfinished"]) == (0, None, 16)
        levels["unfinished"] = levels["unfinished"] & (levels["image"] == IMAGES[0])
        [row] = matching_table(trials, levels).to_dict("records")
        assert (row["n"], row["shown_selected"]) == (3, 0.25)

    def test_the_page_counts_them_only_where_it_is_asked_to(
        self, frames: Frames, store_of: Callable[..., Any]
    ) -> None:
        trials, levels = (frame.to_dict("records") for frame in frames)
        [section] = verdicts.sections(Content(store=store_of(trials, levels)))
        assert len(section.blocks) == 1
        for level in levels:
            level["unfinished"] = level["level"] == 0
        [section] = verdicts.sections(Content(store=store_of(trials, levels)))
        table, fold = section.blocks
        assert isinstance(table, Table)
        assert isinstance(fold, Fold)
        [counted] = fold.blocks
        assert isinstance(counted, Table)
        assert fold.title == "Count unfinished fits"
        assert table.rows[0][2] == UNFINISHED
        assert counted.rows[0][2].startswith("within 0.1 dB of dense down to 0.25, shown")

    def test_rows_that_do_not_say_count_as_finished(self, frames: Frames) -> None:
        trials, levels = frames
        [row] = matching_table(trials, levels.assign(unfinished=None)).to_dict("records")
        assert (row["shown_selected"], row["unfinished"]) == (0.25, 0)


def test_a_dense_network_below_the_measurement_is_no_reference(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    trials, levels = rows_of(ladders("magnitude", (0.02,)))
    levels["psnr_peak_db"] -= 12.9
    for asked in (False, True):
        [row] = matching_table(trials, levels, unfinished=asked).to_dict("records")
        assert row["verdict_peak"] == (
            "no verdict: the dense network restores worse than the measurement itself, "
            "14.2 against 20.3 dB"
        )
        assert (row["below_measured"], row["n"]) == (8, 0)


def test_two_methods_are_compared_at_equal_density(
    rows_of: Callable[[Ladders], Frames],
) -> None:
    one, other = ladders("magnitude", (0.1, 0.2)), ladders("random", (0.4, 1.2))
    table = comparison_table(*rows_of(one | other), "magnitude", "random")
    assert table["density"].round(3).tolist() == [0.5, 0.25]
    assert table["mean_db"].tolist() == pytest.approx([0.3, 1.0])
    assert (table["n"] == len(IMAGES)).all()
    assert (table["q"] >= table["p"]).all()
    assert table["verdict"].tolist() == ["magnitude is better"] * 2
    near = comparison_table(*rows_of(one | ladders("random", (0.2, 1.2))), "random", "magnitude")
    assert near["q"].max() < 0.05
    assert near["verdict"].tolist() == ["rounding", "magnitude is better"]


def test_a_method_that_is_not_there_is_named(rows_of: Callable[[Ladders], Frames]) -> None:
    frames = rows_of(ladders("magnitude", (0.1,)))
    with pytest.raises(ValueError, match="no method 'snap' in these fits; there are: dense, magn"):
        comparison_table(*frames, "magnitude", "snap")


def test_other_settings_are_another_study(trial_row: Row, level_row: Row) -> None:
    trials = [
        trial_row("magnitude", 0, fit={"steps": steps, "learning_rate": 0.01})
        for steps in (1000, 2000)
    ]
    levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
    table = matching_table(pd.DataFrame(trials), pd.DataFrame(levels))
    assert table["study"].tolist() == [
        "denoising, σ = 25, skip (1000 steps)",
        "denoising, σ = 25, skip (2000 steps)",
    ]
