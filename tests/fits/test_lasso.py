"""The Lasso: exact where the theory says so, plain about its limits."""

import pytest
import torch
from pydantic import ValidationError
from scipy.fft import idctn
from torch import Tensor

from lip_ray.fits import Lasso
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.records import Outcome
from lip_ray.tasks import Operator, Problem
from lip_ray.tasks.operators import Masking

pytest.importorskip("sklearn")

SHAPE = (3, 8, 8)
EXACT = Lasso(alpha=1e-6, passes=20_000, tolerance=1e-10)


class Matrix(Operator):
    """Random numbers of an image."""

    def __init__(self, m: int, *, seed: int = 0) -> None:
        draws = torch.Generator().manual_seed(seed)
        self.rows = torch.randn((m, 3 * 8 * 8), generator=draws) / m**0.5

    def __call__(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.rows.T

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        return SHAPE


@pytest.fixture
def sparse() -> Tensor:
    """A picture of nine coefficients: grey, and two waves in each channel."""
    coefficients = torch.zeros(SHAPE, dtype=torch.float64)
    coefficients[:, 0, 0] = 4.0
    coefficients[:, 2, 1] = torch.tensor([0.8, -0.5, 0.6])
    coefficients[:, 0, 5] = torch.tensor([-0.4, 0.7, 0.5])
    pixels = torch.from_numpy(idctn(coefficients.numpy(), axes=(1, 2), norm="ortho"))
    assert 0 < float(pixels.min()) < float(pixels.max()) < 1
    return pixels.float()[None]


def measured(operator: Operator, clean: Tensor) -> Problem:
    return Problem(clean=clean, measured=operator(clean), operator=operator)


def test_a_sparse_image_is_recovered_from_fewer_numbers_than_pixels(sparse) -> None:
    problem = measured(Matrix(70), sparse)
    result = EXACT.run(problem)
    assert result.outcome is Outcome.BUDGET
    assert result.reason == ""
    assert result.steps == 1
    torch.testing.assert_close(result.selected.image, sparse, rtol=0, atol=1e-3)


def test_least_squares_does_not_recover_it(sparse) -> None:
    problem = measured(Matrix(70), sparse)
    least = torch.linalg.lstsq(problem.operator.rows, problem.measured[0]).solution
    assert float((least - sparse.flatten()).abs().max()) > 0.1


def test_missing_pixels_are_filled(sparse) -> None:
    kept = torch.rand(sparse.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    result = EXACT.run(measured(Masking(kept.float()), sparse))
    torch.testing.assert_close(result.selected.image, sparse, rtol=0, atol=1e-3)


def test_the_row_is_that_of_the_image(sparse) -> None:
    problem = measured(Matrix(70), sparse)
    result = Lasso(alpha=1e-3).run(problem)
    assert result.rows.shape == (1, 4)
    row = result.rows[0]
    assert float(row[PSNR]) == pytest.approx(float(problem.psnr(result.final.image)))
    assert row[PSNR] == row[PSNR_RAW]
    assert bool(row[STATISTIC].isnan())
    assert result.peak.step == result.selected.step == result.final.step == 0
    assert torch.equal(result.peak.image, result.final.image)


def test_the_loss_is_what_is_minimised(sparse) -> None:
    """With a large alpha no coefficient is worth it: the loss is that of a black image."""
    problem = measured(Matrix(70), sparse)
    result = Lasso(alpha=100.0).run(problem)
    assert not bool(result.final.image.any())
    expected = float(problem.measured.square().mean()) / 2
    assert float(result.rows[0, LOSS]) == pytest.approx(expected)
    assert float(Lasso(alpha=1e-3).run(problem).rows[0, LOSS]) < expected


def test_the_image_is_clipped(sparse) -> None:
    image = EXACT.run(measured(Matrix(150), 3 * sparse - 1)).final.image
    assert float(image.min()) == 0
    assert float(image.max()) == 1


def test_a_measurement_without_a_clean_image_has_no_peak(sparse) -> None:
    operator = Matrix(70)
    result = EXACT.run(Problem(measured=operator(sparse), operator=operator))
    assert result.peak is None
    assert bool(result.rows[0, PSNR].isnan())
    torch.testing.assert_close(result.selected.image, sparse, rtol=0, atol=1e-3)


def test_an_oracle_is_fitted_to_the_clean_image(sparse) -> None:
    operator = Matrix(5)
    problem = Problem(clean=sparse, measured=operator(sparse), operator=operator, target="clean")
    torch.testing.assert_close(EXACT.run(problem).final.image, sparse, rtol=0, atol=1e-3)


def test_it_says_where_it_did_not_converge(sparse, recwarn) -> None:
    result = Lasso(passes=1, tolerance=1e-12).run(measured(Matrix(70), sparse))
    assert result.reason == "not converged after 1 passes"
    assert not recwarn.list


def test_a_matrix_that_is_too_large_is_refused() -> None:
    values = 64 * 64 * 3
    ((name, message),) = Lasso().conflicts(10_923, values)
    assert name == "kind"
    assert "1.0 GiB" in message
    assert "10922 measurements" in message
    assert list(Lasso().conflicts(10_922, values)) == []


def test_a_run_refuses_it_too(sparse, monkeypatch) -> None:
    monkeypatch.setattr("lip_ray.fits.lasso.MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="lasso, kind: 70 measurements of 192 pixel values"):
        Lasso().run(measured(Matrix(70), sparse))


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"basis": "wavelet"}, {"passes": 0}])
def test_fields_are_checked(wrong) -> None:
    with pytest.raises(ValidationError):
        Lasso(**wrong)
