"""The laws of every schedule: exact, falling ladders that begin dense."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written

from lip_ray.pruning import Densities, Rate, Schedule
from lip_ray.pruning.schedule import AbstractSchedule
from lip_ray.spec import Spec

FAMILY = Schedule
BASE = AbstractSchedule
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Rate: (Rate(), Rate(rate=0.9, steps=3), Rate(rate=0.05, steps=8), Rate(steps=0)),
    Densities: (Densities(densities=(1.0, 0.5, 0.2, 0.03)), Densities(densities=(1.0,))),
}


@given(total=st.integers(1, 3_000_000))
@settings(max_examples=30)
def test_a_ladder_is_exact_or_refused(example, total: int) -> None:
    try:
        kept = example.kept(total)
    except ValueError:
        return
    assert all(isinstance(count, int) for count in kept)
    assert len(kept) == example.levels
    assert kept[0] == total
    assert all(1 <= after < before for before, after in pairwise(kept))


def test_large_networks_are_never_refused(example) -> None:
    assert example.kept(2_208_768)


def test_one_weight_cannot_be_pruned(example) -> None:
    if example.levels > 1:
        with pytest.raises(ValueError, match="at least one"):
            example.kept(1)
    else:
        assert example.kept(1) == (1,)
