"""The operators: exact transposes, reference values, closed forms."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve
from torch import Tensor

from lip_ray.tasks import Identity, Operator
from lip_ray.tasks.operators import Blur, Downsampling, Masking, lanczos2


def uniform(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) - 0.5


def masking(channels: int, height: int, width: int) -> Masking:
    return Masking((uniform(1, channels, height, width, seed=9) > 0).double())


OPERATORS = {
    "identity": lambda shape: Identity(),
    "mask": lambda shape: masking(*shape),
    "mask of all channels": lambda shape: masking(1, *shape[1:]),
    "by 2": lambda shape: Downsampling(2),
    "by 4": lambda shape: Downsampling(4),
    "by 8": lambda shape: Downsampling(8),
    "blur": lambda shape: Blur(uniform(3, 5)),
    "circular blur": lambda shape: Blur(uniform(5, 3), boundary="circular"),
}
SHAPES = st.tuples(
    st.integers(1, 4),
    st.integers(1, 4).map(lambda n: 8 * n),
    st.integers(1, 4).map(lambda n: 8 * n),
)


@pytest.mark.parametrize("name", OPERATORS)
@given(shape=SHAPES, seed=st.integers(0, 2**31))
def test_the_adjoint_is_exact(name: str, shape: tuple[int, int, int], seed: int) -> None:
    operator: Operator = OPERATORS[name](shape)
    image = uniform(1, *shape, seed=seed)
    image_of = operator(image)
    measurement = uniform(*image_of.shape, seed=seed + 1)
    assert operator.image_shape(measurement) == shape
    assert operator.adjoint(measurement).shape == image.shape
    assert operator.view(measurement).shape == image.shape
    measured = float((image_of * measurement).sum())
    pulled_back = float((image * operator.adjoint(measurement)).sum())
    scale = float(image_of.norm() * measurement.norm())
    assert abs(measured - pulled_back) <= 1e-13 * scale


class TestDownsampling:
    @pytest.mark.parametrize("factor", [2, 4, 8])
    def test_it_is_that_of_deep_image_prior(self, shared, factor: int) -> None:
        safe_open = pytest.importorskip("safetensors").safe_open
        path = shared / "oracles" / "lanczos2_downsample.safetensors"
        with safe_open(path, "pt") as oracle:
            kernel = oracle.get_tensor(f"kernel_x{factor}")
            image, expected = oracle.get_tensor("input"), oracle.get_tensor(f"output_x{factor}")
        torch.testing.assert_close(lanczos2(factor).float(), kernel, rtol=1e-4, atol=1e-6)
        output = Downsampling(factor)(image)
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("factor", [2, 4, 8])
    def test_one_colour_stays_as_it_is_up_to_the_border(self, factor: int) -> None:
        image = torch.full((1, 3, 16, 24), 0.7)
        small = Downsampling(factor)(image)
        assert small.shape == (1, 3, 16 // factor, 24 // factor)
        assert torch.allclose(small, torch.tensor(0.7), atol=1e-6)

    def test_pixels_lie_in_the_middle_of_what_they_stand_for(self) -> None:
        columns = torch.arange(64.0).expand(1, 1, 64, 64)
        small = Downsampling(4)(columns)[0, 0, 8]
        middle = torch.arange(16.0) * 4 + 1.5
        assert torch.allclose(small[2:-2], middle[2:-2], atol=1e-3)

    def test_frequencies_beyond_the_new_limit_go(self) -> None:
        stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
        assert torch.allclose(Downsampling(4)(stripes)[..., 2:-2], torch.tensor(0.5), atol=0.01)

    def test_the_view_is_of_full_size_and_in_range(self) -> None:
        edge = torch.zeros(1, 3, 4, 6)
        edge[..., 3:] = 1
        view = Downsampling(4).view(edge)
        assert view.shape == (1, 3, 16, 24)
        assert float(view.min()) == 0
        assert float(view.max()) == 1


class TestBlur:
    @pytest.mark.parametrize(("boundary", "mode"), [("replicate", "nearest"), ("circular", "wrap")])
    def test_it_is_the_convolution_of_scipy(self, boundary, mode: str) -> None:
        kernel, image = uniform(3, 5), uniform(1, 2, 9, 11, seed=1)
        blurred = Blur(kernel, boundary=boundary)(image)
        for plane, expected in zip(blurred[0], image[0], strict=True):
            reference = convolve(expected.numpy(), kernel.numpy(), mode=mode)
            assert torch.allclose(plane, torch.from_numpy(reference), atol=1e-12)

    def test_a_point_becomes_the_kernel(self) -> None:
        kernel, point = uniform(3, 5), torch.zeros(1, 1, 9, 9, dtype=torch.float64)
        point[..., 4, 4] = 1
        assert torch.equal(Blur(kernel)(point)[0, 0, 3:6, 2:7], kernel)


class TestMasking:
    def test_what_is_missing_is_zero_and_the_rest_untouched(self) -> None:
        mask, image = masking(1, 6, 7).mask, uniform(1, 3, 6, 7)
        masked = Masking(mask)(image)
        kept = mask.expand_as(image) == 1
        assert torch.equal(masked[kept], image[kept])
        assert not masked[~kept].any()
