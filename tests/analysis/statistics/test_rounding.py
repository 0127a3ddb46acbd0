"""Rounding: how far it moves differences, and what may be said within that."""

import numpy as np
import pandas as pd
import pytest

from lip_ray.analysis.page.section import Faint
from lip_ray.analysis.parts.differences import apart_text, difference_cell
from lip_ray.analysis.statistics.ladders import Ladder, judged, rung_of
from lip_ray.analysis.statistics.rounding import ROUNDING_SD_DB, rounding_db, rounding_of


def test_it_is_two_deviations_of_the_mean_of_paired_differences() -> None:
    rng = np.random.default_rng(0)
    fits = rng.normal(0, ROUNDING_SD_DB, (20_000, 2, 9))
    means = (fits[:, 0] - fits[:, 1]).mean(axis=1)
    assert rounding_db(9) == pytest.approx(2 * means.std(), rel=0.02)


def test_a_shared_reference_is_rounded_once() -> None:
    rng = np.random.default_rng(0)
    fits = rng.normal(0, ROUNDING_SD_DB, (20_000, 9))
    reference = rng.normal(0, ROUNDING_SD_DB, 20_000)
    means = fits.mean(axis=1) - reference
    assert rounding_db(9, 1) == pytest.approx(2 * means.std(), rel=0.02)


def test_columns_of_numbers_are_taken_and_no_fit_is_unknown() -> None:
    found = rounding_db(pd.Series([1, 0, 4]))
    assert found[[0, 2]].tolist() == [rounding_db(1), rounding_db(4)]
    assert np.isnan(found[1])


def test_seeds_are_averaged_within_images() -> None:
    assert rounding_of([[0.0, 0.0], [0.0, 0.0]]) == pytest.approx(rounding_db(4))
    assert rounding_of([[0.0, 0.0, 0.0], [0.0]]) == pytest.approx(
        ROUNDING_SD_DB * 2 * np.sqrt(2 * (1 / 3 + 1) / 4)
    )


def said_of(*changes: float, single: bool = False) -> str:
    """The verdict on images, or seeds of a single one, with these differences at one density."""
    samples = [[*changes]] if single else [[change] for change in changes]
    ladder = Ladder(rungs=[rung_of(0.1, samples, 0.1)], least=0.1, single=single)
    [verdict] = judged([ladder], margin_db=0.1, alpha=0.05)
    return verdict.text


def test_a_loss_that_rounding_could_make_is_not_shown() -> None:
    """Two images that lose the same by chance."""
    assert said_of(-0.2, -0.21) == (
        "undecided; the loss at 0.1 is one that rounding alone could make"
    )
    assert "loses more from 0.1 down, shown" in said_of(-0.3, -0.31)
    assert "loses more from 0.1 down, shown" in said_of(*[-0.2, -0.21] * 2)


def test_nothing_is_said_of_images_where_none_are_counted() -> None:
    assert said_of(-0.2, -0.21, single=True) == (
        "on this image alone: undecided; the loss at 0.1 is one that rounding alone could make"
    )
    assert said_of(-0.2, 0.3, single=True).endswith(", and seeds do not replace images")


def test_cells_say_so_in_a_word_and_are_faint() -> None:
    within = difference_cell(-0.05, -0.2, 0.1, 0.09)
    assert within == "−0.05 [−0.20, +0.10] rounding"
    assert isinstance(within, Faint)
    beyond = difference_cell(-0.1, -0.2, 0.0, 0.09)
    assert beyond == "−0.10 [−0.20, +0.00]"
    assert not isinstance(beyond, Faint)
    assert difference_cell(np.nan, np.nan, np.nan, np.nan) == "none"


def test_sentences_say_how_far_means_may_be_apart() -> None:
    assert apart_text(pd.Series([1, 1])) == "Two such means may be 0.37 dB apart by rounding alone."
    assert "0.26 to 0.37 dB" in apart_text(pd.Series([1, 2]))
