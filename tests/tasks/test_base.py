"""A problem: what is fitted, what is compared, and the best image of one colour."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lip_ray.metrics import luma, psnr, ssim
from lip_ray.tasks import Identity, Operator, Problem


class Grey(Operator):
    """The mean over the channels: an operator that mixes them."""

    def __call__(self, image: Tensor) -> Tensor:
        return image.mean(1, keepdim=True)

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        return 3, *measurement.shape[2:]


class FirstPlane(Operator):
    """Only the first channel is seen."""

    def __call__(self, image: Tensor) -> Tensor:
        return image[:, :1]

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        return 2, *measurement.shape[2:]


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class TestLoss:
    def test_it_is_the_mean_squared_error_of_the_measurement(self) -> None:
        clean, output = uniform(1, 3, 4, 5), uniform(1, 3, 4, 5, seed=1)
        problem = Problem(clean=clean, measured=Grey()(clean) + 0.5, operator=Grey())
        expected = ((output.mean(1) - clean.mean(1) - 0.5) ** 2).mean()
        assert float(problem.loss(output)) == pytest.approx(float(expected), rel=1e-6)

    def test_without_an_operator_the_image_itself_is_measured(self) -> None:
        measured = uniform(1, 1, 4, 5)
        assert float(Problem(measured=measured).loss(measured + 0.1)) == pytest.approx(0.01)

    def test_an_oracle_fits_the_clean_image(self) -> None:
        clean = uniform(1, 3, 4, 5)
        problem = Problem(clean=clean, measured=1 - clean, target="clean")
        assert float(problem.loss(clean)) == 0

    def test_there_is_no_oracle_for_a_measured_photo(self) -> None:
        with pytest.raises(ValueError, match="target cannot be clean"):
            Problem(measured=uniform(1, 3, 4, 5), target="clean")


class TestHeldOut:
    def held(self, share: float, shape: tuple[int, ...] = (1, 3, 40, 50), seed: int = 0) -> Problem:
        problem = Problem(measured=torch.zeros(shape))
        return problem.holding_out(share, torch.Generator().manual_seed(seed))

    @pytest.mark.parametrize("share", [0.01, 0.03, 0.1, 0.5])
    def test_it_is_about_the_share_of_the_values(self, share: float) -> None:
        held = self.held(share).held_out
        assert held is not None
        assert held.shape == (1, 3, 40, 50)
        assert float(held.float().mean()) == pytest.approx(share, rel=0.2)

    @given(count=st.integers(2, 6), share=st.floats(1e-6, 0.5), seed=st.integers(0, 99))
    def test_at_least_one_value_is_held_out_and_one_is_fitted(self, count, share, seed) -> None:
        held = self.held(share, (1, count), seed).held_out
        assert held is not None
        assert 1 <= int(held.sum()) < count

    def test_with_no_share_nothing_is_drawn(self) -> None:
        draws = torch.Generator().manual_seed(0)
        before = draws.get_state()
        assert Problem(measured=torch.zeros(1, 9)).holding_out(0.0, draws).held_out is None
        assert torch.equal(draws.get_state(), before)

    def test_the_loss_is_of_the_others_and_the_error_of_them(self) -> None:
        held = torch.tensor([[[[True, False], [False, True]]]])
        problem = Problem(measured=torch.zeros(1, 1, 2, 2), held_out=held)
        output = torch.tensor([[[[3.0, 1.0], [2.0, 5.0]]]])
        assert float(problem.loss(output)) == float(problem.residual(output)) == 2.5
        fitted, held_out = problem.errors(torch.cat((output, 2 * output)))
        assert held_out is not None
        assert (fitted.tolist(), held_out.tolist()) == ([2.5, 10], [17, 68])

    def test_no_gradient_comes_from_held_out_values(self) -> None:
        problem, output = self.held(0.3), torch.rand(1, 3, 40, 50, requires_grad=True)
        problem.loss(output).backward()
        assert problem.held_out is not None
        assert output.grad is not None
        assert not bool(output.grad[problem.held_out].any())
        assert bool(output.grad[~problem.held_out].all())

    def test_without_them_there_is_no_error_on_them(self) -> None:
        problem, images = self.held(0.0), torch.zeros(2, 3, 40, 50)
        fitted, held_out = problem.errors(images)
        assert held_out is None
        assert fitted.tolist() == pytest.approx([float(problem.residual(images[:1]))] * 2)

    def test_the_best_colour_does_not_know_them(self) -> None:
        held = torch.tensor([[[[True, False], [False, True]]]])
        measured = torch.tensor([[[[1.0, 0.2], [0.4, 1.0]]]])
        assert float(Problem(measured=measured, held_out=held).constant()[0, 0, 0, 0]) == (
            pytest.approx(0.3)
        )


class TestMetrics:
    def test_they_are_of_all_channels_and_pixels(self) -> None:
        clean, output = uniform(1, 3, 16, 16), uniform(1, 3, 16, 16, seed=1)
        problem = Problem(clean=clean, measured=clean)
        assert torch.equal(problem.psnr(output), psnr(output, clean))
        assert torch.equal(problem.ssim(output), ssim(output, clean))

    def test_or_of_the_luma_inside_the_border(self) -> None:
        clean, output = uniform(1, 3, 20, 24), uniform(1, 3, 20, 24, seed=1)
        problem = Problem(clean=clean, measured=clean, luma_border=4)
        x, y = luma(output)[..., 4:-4, 4:-4], luma(clean)[..., 4:-4, 4:-4]
        assert torch.equal(problem.psnr(output), psnr(x, y))
        assert torch.equal(problem.ssim(output), ssim(x, y))

    def test_the_border_may_be_nothing(self) -> None:
        clean, output = uniform(1, 1, 12, 12), uniform(1, 1, 12, 12, seed=1)
        problem = Problem(clean=clean, measured=clean, luma_border=0)
        assert torch.equal(problem.psnr(output), psnr(output, clean))

    def test_nobody_knows_them_of_a_measured_photo(self) -> None:
        problem = Problem(measured=uniform(1, 3, 16, 16))
        assert problem.image_shape == (3, 16, 16)
        assert problem.psnr(problem.measured.expand(2, -1, -1, -1)).isnan().tolist() == [True] * 2
        assert problem.ssim(problem.measured).shape == ()
        assert math.isnan(float(problem.ssim(problem.measured)))


class TestConstant:
    def test_of_the_image_itself_it_is_the_mean_colour(self) -> None:
        measured = uniform(1, 3, 7, 5)
        constant = Problem(measured=measured).constant()
        assert constant.shape == measured.shape
        assert constant.dtype == torch.float32
        assert torch.allclose(constant[..., 0, 0], measured.mean((2, 3)), atol=1e-7)

    def test_a_colour_beyond_the_range_is_clamped(self) -> None:
        measured = torch.tensor([-0.5, 1.5, 0.25]).reshape(1, 3, 1, 1).expand(-1, -1, 4, 4)
        colour = Problem(measured=measured).constant()[0, :, 0, 0]
        assert colour.tolist() == pytest.approx([0, 1, 0.25])

    def test_an_oracle_knows_the_clean_colour(self) -> None:
        clean = uniform(1, 3, 7, 5)
        problem = Problem(clean=clean, measured=torch.zeros_like(clean), target="clean")
        assert torch.allclose(problem.constant()[..., 0, 0], clean.mean((2, 3)), atol=1e-7)

    def test_a_channel_that_nothing_measures_is_black(self) -> None:
        measured = torch.full((1, 1, 3, 3), 0.75)
        colour = Problem(measured=measured, operator=FirstPlane()).constant()[0, :, 0, 0]
        assert colour.tolist() == pytest.approx([0.75, 0])

    @given(level=st.floats(-0.5, 1.5))
    def test_mixed_channels_are_solved_together(self, level: float) -> None:
        """Clamping each channel on its own would not find the least loss."""
        problem = Problem(measured=torch.full((1, 1, 2, 2), level), operator=Grey())
        least = (level - min(max(level, 0), 1)) ** 2
        assert float(problem.loss(problem.constant())) == pytest.approx(least, abs=1e-6)


class TestAdjoint:
    def test_it_is_the_transpose(self) -> None:
        image, measurement = uniform(1, 3, 4, 5), uniform(1, 1, 4, 5, seed=1)
        expected = (measurement / 3).expand(-1, 3, -1, -1)
        assert torch.allclose(Grey().adjoint(measurement), expected)
        assert torch.equal(Identity().adjoint(image), image)

    def test_it_works_where_gradients_are_off(self) -> None:
        with torch.no_grad():
            pulled_back = Grey().adjoint(uniform(1, 1, 4, 5))
        assert pulled_back.shape == (1, 3, 4, 5)
        assert not pulled_back.requires_grad

    def test_the_view_is_the_measurement_unless_said_otherwise(self) -> None:
        measured = uniform(1, 3, 4, 5)
        assert torch.equal(Problem(measured=measured).view, measured)
