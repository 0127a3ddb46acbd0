"""The Fréchet distance against closed forms and SciPy's matrix square root."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor

from lip_ray.fits.frechet import frechet, pixel_features


def sample(count: int, size: int, seed: int, *, rank: int | None = None) -> Tensor:
    """Correlated numbers whose covariance has that rank, full by default."""
    draws = torch.Generator().manual_seed(seed)
    rank = rank or size
    numbers = torch.randn(count, rank, generator=draws, dtype=torch.float64)
    return numbers @ torch.randn(rank, size, generator=draws, dtype=torch.float64)


def gaussian(mean: Tensor, deviations: Tensor, *, seed: int) -> Tensor:
    """Fifty samples whose mean and diagonal covariance are exactly these."""
    white = sample(50, len(mean), seed)
    columns = torch.linalg.qr(white - white.mean(0)).Q
    return mean + columns * 49**0.5 * deviations


numbers = st.lists(st.floats(-3, 3), min_size=4, max_size=4).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


@given(numbers, numbers, numbers, numbers)
def test_diagonal_covariances_have_a_closed_form(mean, other_mean, spread, other_spread) -> None:
    one = gaussian(mean, spread.abs(), seed=0)
    other = gaussian(other_mean, other_spread.abs(), seed=1)
    expected = (mean - other_mean).square().sum()
    expected += (spread.abs() - other_spread.abs()).square().sum()
    assert frechet(one, other) == pytest.approx(float(expected), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("count", "size"), [(40, 6), (6, 40), (2, 3)])
def test_a_set_is_no_distance_from_itself_in_any_order(count: int, size: int) -> None:
    one = sample(count, size, 0)
    assert frechet(one, one) == pytest.approx(0, abs=1e-10)
    assert frechet(one, one.flip(0)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_a_shift_is_its_squared_length(rank: int) -> None:
    one = sample(40, 6, 0, rank=rank)
    shift = torch.arange(6, dtype=torch.float64)
    assert frechet(one, one + shift) == pytest.approx(55, rel=1e-10)


def test_it_is_the_formula_with_the_matrix_root() -> None:
    one, other = sample(200, 5, 0), sample(90, 5, 1) + 0.3
    covariances = [np.cov(features.numpy(), rowvar=False) for features in (one, other)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = float((one.mean(0) - other.mean(0)).square().sum())
    expected += float(np.trace(sum(covariances) - 2 * root))
    assert frechet(one, other) == pytest.approx(expected, rel=1e-9)
    assert frechet(other, one) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_of_different_rank() -> None:
    """A line of variance 4 against a plane of variances 1 and 9 that holds it."""
    line = gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([2.0, 0.0]), seed=0)
    plane = gaussian(torch.zeros(2, dtype=torch.float64), torch.tensor([1.0, 3.0]), seed=1)
    assert frechet(line, plane) == pytest.approx(1 + 9, rel=1e-10)


def test_one_picture_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least two pictures, got 1"):
        frechet(sample(1, 3, 0), sample(5, 3, 0))


@pytest.mark.parametrize("shape", [(5, 3, 16, 24), (5, 1, 8, 8), (5, 2, 4, 16)])
def test_features_are_means_over_blocks(shape: tuple[int, ...]) -> None:
    pictures = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    count, channels, height, width = shape
    rows, columns = min(height, 8), min(width, 8)
    blocks = pictures.view(count, channels, rows, height // rows, columns, width // columns)
    features = pixel_features(pictures)
    assert features.dtype == torch.float64
    torch.testing.assert_close(features.float(), blocks.mean((3, 5)).flatten(1))


def test_features_are_of_pictures_as_they_would_be_saved() -> None:
    assert pixel_features(torch.tensor([-1.0, 0.5, 3.0]).view(1, 1, 1, 3)).tolist() == [[0, 0.5, 1]]
