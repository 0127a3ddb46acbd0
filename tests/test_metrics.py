"""PSNR and SSIM against closed forms and scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity

from lip_ray.metrics import SSIM_WINDOW, luma, psnr, ssim


def noisy_pair(channels: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(height)
    smooth = torch.linspace(0, 1, width).expand(1, channels, height, width)
    image = (smooth + 0.1 * torch.randn(smooth.shape, generator=draws)).clamp(0, 1)
    reference = (smooth + 0.1 * torch.randn(smooth.shape, generator=draws)).clamp(0, 1)
    return image, reference


@pytest.mark.parametrize(("error", "expected"), [(0.1, 20.0), (0.01, 40.0), (1.0, 0.0)])
def test_psnr_of_a_constant_error_has_a_closed_form(error: float, expected: float) -> None:
    clean = torch.zeros(1, 3, 4, 5)
    assert float(psnr(clean + error, clean)) == pytest.approx(expected, abs=1e-4)


def test_psnr_is_of_the_mean_over_pixels_and_channels() -> None:
    clean = torch.zeros(1, 2, 2, 2)
    image = clean.clone()
    image[0, 1, 0, 0] = 0.8
    assert float(psnr(image, clean)) == pytest.approx(-10 * math.log10(0.64 / 8), abs=1e-5)


def test_psnr_of_equal_images_is_infinite() -> None:
    image = torch.rand(1, 3, 4, 4)
    assert float(psnr(image, image.clone())) == math.inf


@pytest.mark.parametrize("shape", [(1, 11, 11), (1, 17, 30), (3, 24, 19), (3, 64, 48)])
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int, int]) -> None:
    image, reference = noisy_pair(*shape)
    _, local = structural_similarity(
        image[0].double().numpy(),
        reference[0].double().numpy(),
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        full=True,
    )
    border = SSIM_WINDOW // 2
    valid = local[:, border : shape[1] - border, border : shape[2] - border]
    assert float(ssim(image, reference)) == pytest.approx(valid.mean(), abs=1e-5)


def test_ssim_of_equal_images_is_one_and_it_is_symmetric() -> None:
    image, reference = noisy_pair(3, 20, 20)
    assert float(ssim(image, image.clone())) == pytest.approx(1, abs=1e-6)
    assert float(ssim(image, reference)) == pytest.approx(float(ssim(reference, image)), abs=1e-6)


def test_ssim_keeps_its_digits_on_nearly_flat_images() -> None:
    """There the variances are small differences of large numbers."""
    draws = torch.Generator().manual_seed(0)
    image = 0.9 + 1e-3 * torch.randn(1, 1, 32, 32, generator=draws)
    reference = 0.9 + 1e-3 * torch.randn(1, 1, 32, 32, generator=draws)
    exact = float(ssim(image.double(), reference.double()))
    assert float(ssim(image, reference)) == pytest.approx(exact, abs=1e-7)
    assert exact < 1 - 1e-4


@pytest.mark.parametrize("shape", [(3, 10, 40), (1, 40, 10)])
def test_images_smaller_than_the_window_have_no_ssim(shape: tuple[int, int, int]) -> None:
    image, reference = noisy_pair(*shape)
    assert np.isnan(float(ssim(image, reference)))


class TestLuma:
    def test_it_is_the_y_channel_of_scikit_image(self) -> None:
        image, _ = noisy_pair(3, 8, 9)
        reference = rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())[..., 0] / 255
        assert luma(image).shape == (1, 1, 8, 9)
        assert np.allclose(luma(image)[0, 0].numpy(), reference, atol=1e-6)

    @pytest.mark.parametrize(("level", "expected"), [(0.0, 16), (1.0, 235)])
    def test_it_swings_from_16_to_235(self, level: float, expected: int) -> None:
        assert float(luma(torch.full((1, 3, 1, 1), level))) * 255 == pytest.approx(expected)

    def test_grey_is_its_own(self) -> None:
        grey = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        assert luma(grey) is grey
