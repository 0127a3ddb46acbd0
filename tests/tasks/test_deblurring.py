"""Deblurring: the kernels are what they say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.ndimage import gaussian_filter

from lip_ray.data.images import BuiltinImage
from lip_ray.tasks import Deblurring, Task
from lip_ray.tasks.deblurring import GaussianKernel, MotionKernel

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 48), columns=(100, 164))


class TestGaussian:
    @pytest.mark.parametrize("std", [0.5, 1.6, 4.0])
    def test_it_blurs_as_scipy_does(self, std: float) -> None:
        task = Deblurring(kernel=GaussianKernel(std=std))
        problem = task.realise(IMAGE, seed=0, device=CPU)
        radius = math.ceil(3 * std)
        for blurred, plane in zip(problem.measured[0], problem.clean[0], strict=True):
            expected = gaussian_filter(plane.double().numpy(), std, radius=radius, mode="nearest")
            assert np.allclose(blurred.numpy(), expected, atol=1e-6)

    def test_its_width_may_be_given(self) -> None:
        weights = GaussianKernel(std=2.0, width=5).weights()
        assert weights.shape == (5, 5)
        assert float(weights.sum()) == pytest.approx(1)
        assert float(weights[2, 0] / weights[2, 2]) == pytest.approx(math.exp(-0.5), rel=1e-5)

    @pytest.mark.parametrize("width", [0, -3, 4])
    def test_it_must_have_a_middle(self, width: int) -> None:
        with pytest.raises(ValidationError, match="width"):
            GaussianKernel(std=2.0, width=width)

    @pytest.mark.parametrize("std", [0.0, -1.0])
    def test_it_must_have_an_extent(self, std: float) -> None:
        with pytest.raises(ValidationError, match="std"):
            GaussianKernel(std=std)


class TestMotion:
    @pytest.mark.parametrize("length", [3, 9, 21])
    def test_along_an_axis_it_is_so_many_equal_pixels(self, length: int) -> None:
        line = torch.full((length,), 1 / length)
        across = MotionKernel(length=float(length)).weights()
        upward = MotionKernel(length=float(length), angle=90.0).weights()
        assert torch.allclose(across, line[None, :])
        assert torch.allclose(upward, line[:, None])

    def test_a_fraction_of_a_pixel_is_a_fraction_of_its_weight(self) -> None:
        weights = MotionKernel(length=4.0).weights()
        assert torch.allclose(weights, torch.tensor([[0.5, 1, 1, 1, 0.5]]) / 4)

    def test_angles_turn_counter_clockwise(self) -> None:
        weights = MotionKernel(length=9.0, angle=45.0).weights()
        rising = torch.tensor([float(weights.flip(1).diagonal().sum()), float(weights.trace())])
        assert float(rising[0]) > 3 * float(rising[1])
        assert torch.allclose(weights, weights.flip(0).T.flip(0), atol=1e-7)

    @given(length=st.floats(1.01, 60), angle=st.floats(0, 179.99))
    def test_it_is_a_symmetric_blur_of_its_length(self, length: float, angle: float) -> None:
        weights = MotionKernel(length=length, angle=angle).weights().double()
        rows, columns = weights.shape
        assert rows % 2 == columns % 2 == 1
        assert float(weights.sum()) == pytest.approx(1, abs=1e-5)
        assert float(weights.min()) >= 0
        assert torch.allclose(weights, weights.flip(0, 1), atol=1e-6)
        x = torch.arange(columns) - columns // 2
        y = (rows // 2 - torch.arange(rows))[:, None]
        turned = math.radians(angle)
        across = (y * math.cos(turned) - x * math.sin(turned)).abs()
        along = (x * math.cos(turned) + y * math.sin(turned)).abs()
        heavy = weights > 1e-6
        assert float(across[heavy].max()) < 1
        assert float(along[heavy].max()) < (length - 1) / 2 + 1
        assert columns // 2 < (length - 1) / 2 * abs(math.cos(turned)) + 1
        assert rows // 2 < (length - 1) / 2 * abs(math.sin(turned)) + 1

    @pytest.mark.parametrize(
        ("name", "value"), [("length", 1.0), ("length", -3.0), ("angle", 180.0), ("angle", -1.0)]
    )
    def test_senseless_motions_are_refused(self, name: str, value: float) -> None:
        with pytest.raises(ValidationError, match=name):
            MotionKernel(**{"length": 5.0} | {name: value})


class TestTask:
    def test_noise_is_added_after_the_blur(self) -> None:
        task = Deblurring(kernel=GaussianKernel(std=2.0), sigma=25.0)
        problem = task.realise(BuiltinImage(name="astronaut"), seed=0, device=CPU)
        noise = problem.measured - problem.operator(problem.clean)
        assert float(noise.std()) == pytest.approx(25 / 255, rel=0.01)

    def test_the_boundary_matters_at_the_border_alone(self) -> None:
        kernel = MotionKernel(length=9.0)
        one, other = (
            Deblurring(kernel=kernel, boundary=boundary).realise(IMAGE, seed=0, device=CPU).measured
            for boundary in ("replicate", "circular")
        )
        assert torch.equal(one[..., 4:-4], other[..., 4:-4])
        assert not torch.allclose(one[..., 0], other[..., 0])

    @pytest.mark.parametrize("boundary", ["replicate", "circular"])
    def test_a_kernel_larger_than_the_image_is_refused(self, boundary) -> None:
        task = Deblurring(kernel=GaussianKernel(std=1.0, width=49), boundary=boundary)
        assert list(task.conflicts(IMAGE)) == [
            ("kernel", "is 49×49, larger than astronaut (48×64)")
        ]
        with pytest.raises(ValueError, match="larger than"):
            task.realise(IMAGE, seed=0, device=CPU)

    def test_kernels_are_told_apart_by_their_kind(self) -> None:
        written = {"kind": "deblurring", "kernel": {"kind": "motion", "length": 5, "angle": 30}}
        expected = Deblurring(kernel=MotionKernel(length=5.0, angle=30.0))
        assert TypeAdapter(Task).validate_python(written) == expected
