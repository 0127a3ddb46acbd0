"""Densities that networks of slightly different sizes share, as photos of 1 and 3 channels have."""

import pandas as pd
import pytest

from lip_ray.analysis.rows.points import shared_densities


def points(*sizes: tuple[int, int], network: str = "skip") -> pd.DataFrame:
    """Points that keep so many of so many weights."""
    rows = [{"density": kept / total, "total": total} for kept, total in sizes]
    return pd.DataFrame(rows).assign(network_key=network)


def test_one_level_of_two_networks_has_one_density() -> None:
    grey, colour = (23_034, 115_168), (23_046, 115_232)
    assert [*shared_densities(points(grey, colour))] == [0.2, 0.2]


def test_one_network_keeps_its_densities() -> None:
    """Its levels differ by a weight at least, and that is what they are there for."""
    found = points(*((kept, 50) for kept in range(50, 0, -1)))
    assert [*shared_densities(found)] == [*found["density"]]


def test_levels_that_differ_stay_apart() -> None:
    """A weight of 1,000 is a tenth of a percent: 0.200 and 0.202 are two levels."""
    found = points((200, 1000), (204, 1010))
    assert shared_densities(found).nunique() == 2


def test_other_networks_are_nobodys_neighbours() -> None:
    found = pd.concat(
        [points((20, 100)), points((41, 200), network="deep decoder")], ignore_index=True
    )
    assert [*shared_densities(found)] == [0.2, 0.205]


@pytest.mark.parametrize("density", [0.5, 0.2, 0.1, 0.05, 0.02])
def test_however_small_the_networks(density: float) -> None:
    sizes = [(round(density * total), total) for total in (7008, 7040)]
    assert shared_densities(points(*sizes)).nunique() == 1
