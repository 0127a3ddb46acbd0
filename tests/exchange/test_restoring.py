"""The choices of a restoration: its network and its ladder, by the size of the photo."""

from itertools import pairwise

import pytest

from lip_ray.exchange.restoring import MOST_PRUNED, WIDTHS, densities_to, network_for
from lip_ray.priors import Skip


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (128, 128, (128, 4)),
        (256, 256, (64, 5)),
        (400, 600, (32, 5)),
        (1024, 1024, (16, 5)),
        (3000, 4000, (8, 5)),
        (20, 3000, (64, 1)),
        (3, 3, (128, 1)),
    ],
)
def test_networks_shrink_as_images_grow(height: int, width: int, expected: tuple) -> None:
    found = network_for(height, width, on_gpu=False)
    assert (found.width, found.scales) == expected
    assert min(height, width) >= found.minimum_side
    assert network_for(height, width, on_gpu=True) == Skip(scales=expected[1])


def test_no_step_costs_much_more_than_another() -> None:
    costs = [
        network_for(side, side, on_gpu=False).cost((3, side, side)).macs_per_step
        for side in (int(pixels**0.5) for pixels, _ in WIDTHS)
    ]
    assert max(costs) < 2e10
    assert max(costs) < 1.5 * min(costs)


@pytest.mark.parametrize(
    ("density", "levels"), [(1.0, 1), (0.9, 2), (0.5, 2), (0.49, 3), (0.25, 3), (0.05, 6)]
)
def test_ladders_are_as_short_as_allowed(density: float, levels: int) -> None:
    found = densities_to(density)
    assert len(found) == levels
    assert (found[0], found[-1]) == (1, pytest.approx(density))
    assert all(after >= (1 - MOST_PRUNED) * before - 1e-9 for before, after in pairwise(found))
