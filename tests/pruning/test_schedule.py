"""Schedules: exact integers, and ladders that cannot be climbed are refused."""

import pytest
from pydantic import TypeAdapter, ValidationError

from lip_ray.pruning import Densities, Rate, Schedule

SCHEDULES = TypeAdapter(Schedule)
STUDY = 2_208_768


def test_a_fifth_of_what_remains_each_time() -> None:
    kept = Rate(rate=0.2, steps=24).kept(STUDY)
    for level, count in enumerate(kept):
        assert abs(count - STUDY * 0.8**level) < 3
    published = {4: 904_711, 8: 370_570, 12: 151_785, 16: 62_171, 20: 25_465, 24: 10_431}
    assert all(abs(kept[level] - count) <= 2 for level, count in published.items())
    assert kept[:4] == (2_208_768, 1_767_014, 1_413_611, 1_130_889)


def test_every_step_removes_the_rounded_share() -> None:
    assert Rate(rate=0.2, steps=5).kept(100) == (100, 80, 64, 51, 41, 33)
    assert Rate(rate=0.5, steps=3).kept(8) == (8, 4, 2, 1)
    assert Rate(steps=0).kept(7) == (7,)


def test_the_defaults_are_the_studys() -> None:
    assert (Rate().rate, Rate().steps, Rate().levels) == (0.2, 16, 17)


def test_densities_are_rounded_shares_of_the_total() -> None:
    assert Densities(densities=(1.0, 0.5, 0.033)).kept(1000) == (1000, 500, 33)
    assert Densities(densities=(1.0, 0.126, 0.124)).kept(100) == (100, 13, 12)
    assert Densities(densities=(1.0, 0.25)).levels == 2


@pytest.mark.parametrize(
    ("schedule", "total", "message"),
    [
        (Rate(rate=0.9, steps=3), 5, "level 2 would keep 0 of 5 weights, 1 before it"),
        (Rate(rate=0.2, steps=9), 4, "level 3 would keep 2 of 4 weights, 2 before it"),
        (Densities(densities=(1.0, 0.5, 0.49)), 10, "level 2 would keep 5 of 10"),
        (Densities(densities=(1.0, 0.01)), 10, "level 1 would keep 0 of 10"),
        (Densities(densities=(1.0, 0.99)), 10, "level 1 would keep 10 of 10"),
    ],
)
def test_levels_that_are_no_levels_are_refused(schedule, total: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule.kept(total)


@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ((), "at least 1 item"),
        ((0.5, 0.25), "begin with 1, got 0.5"),
        ((1.0, 0.25, 0.5), "must fall from level to level"),
        ((1.0, 0.5, 0.5), "must fall from level to level"),
        ((1.0, 0.0), "greater than 0"),
        ((1.5, 0.5), "less than or equal to 1"),
        ((1.0, float("nan")), "finite"),
    ],
)
def test_wrong_densities_are_refused(densities, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Densities(densities=densities)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.2, 20.0])
def test_wrong_rates_are_refused(rate: float) -> None:
    with pytest.raises(ValidationError, match="rate"):
        Rate(rate=rate)


def test_short_forms() -> None:
    assert SCHEDULES.validate_python("rate") == Rate()
    assert SCHEDULES.validate_python([1.0, 0.5]) == Densities(densities=(1.0, 0.5))
