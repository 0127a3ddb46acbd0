"""Executions: which levels compute kept weights only."""

import pytest
import torch

from lip_ray.fits.execution import MOST_PER_CHANNEL, DenseSteps, runs_sparse, steps_of
from lip_ray.priors import Skip
from lip_ray.pruning import Mask

pytest.importorskip("numba", reason="numba, the extra `sparse`, is not installed")


def test_the_limit_is_of_the_mean_over_all_channels() -> None:
    assert runs_sparse(10 * MOST_PER_CHANNEL, 10)
    assert not runs_sparse(10 * MOST_PER_CHANNEL + 1, 10)


@pytest.mark.parametrize(
    ("prior", "density", "is_sparse"),
    [
        (Skip(), 1.0, False),
        (Skip(), 0.51, False),
        (Skip(), 0.41, True),
        (Skip(width=32, scales=4, input_channels=16), 1.0, True),
    ],
)
def test_a_wide_network_is_dense_until_half_of_it_is_pruned(prior, density, is_sparse) -> None:
    built = prior.build((3, 32, 32), seed=0, image="cat", device=torch.device("cpu"))
    layers = {
        name: (torch.arange(layer.numel()).view(layer.shape) % 100) < 100 * density
        for name, layer in built.prunable().items()
    }
    steps = steps_of("sparse", built, Mask(layers), {}, precision="fp32", compiled=False)
    assert isinstance(steps, DenseSteps) is not is_sparse
    dense = steps_of("dense", built, Mask(layers), {}, precision="fp32", compiled=False)
    assert isinstance(dense, DenseSteps)
