"""Denoising: the noise has the strength it says, in the units of the field."""

import pytest
import torch
from pydantic import ValidationError

from lip_ray.images import BuiltinImage
from lip_ray.tasks import Denoising

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 128), columns=(0, 128))


def noise_of(task: Denoising, image: BuiltinImage = IMAGE, seed: int = 0) -> torch.Tensor:
    problem = task.realise(image, seed=seed, device=CPU)
    return problem.measured - problem.clean


@pytest.mark.parametrize("sigma", [1.0, 25.0, 100.0])
def test_sigma_is_in_eight_bit_grey_levels(sigma: float) -> None:
    noise = noise_of(Denoising(sigma=sigma, clip=False))
    assert float(noise.std()) == pytest.approx(sigma / 255, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=4 * sigma / 255 / noise.numel() ** 0.5)


def test_noise_is_white() -> None:
    noise = noise_of(Denoising(sigma=25.0, clip=False))[0] * 255 / 25
    neighbours = [
        (noise[:, 1:] * noise[:, :-1]).mean(),
        (noise[:, :, 1:] * noise[:, :, :-1]).mean(),
        (noise[1:] * noise[:-1]).mean(),
    ]
    assert all(abs(float(product)) < 0.02 for product in neighbours)


def test_clipping_is_all_that_clip_does() -> None:
    free = Denoising(sigma=100.0, clip=False).realise(IMAGE, seed=0, device=CPU).measured
    clipped = Denoising(sigma=100.0).realise(IMAGE, seed=0, device=CPU).measured
    assert float(free.min()) < 0
    assert float(free.max()) > 1
    assert torch.equal(clipped, free.clamp(0, 1))


def test_noise_levels_share_their_draws() -> None:
    weak = noise_of(Denoising(sigma=10.0, clip=False))
    strong = noise_of(Denoising(sigma=20.0, clip=False))
    assert torch.allclose(2 * weak, strong, atol=1e-6)


def test_images_get_noise_of_their_own() -> None:
    other = BuiltinImage(name="coffee", rows=(0, 128), columns=(0, 128))
    task = Denoising(sigma=25.0, clip=False)
    assert not torch.allclose(noise_of(task), noise_of(task, other), atol=1e-3)


@pytest.mark.parametrize(("sigma", "hint"), [(0.1, "write 25.5"), (0.5, "write 127.5")])
def test_a_sigma_in_unit_range_is_refused_with_the_translation(sigma: float, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        Denoising(sigma=sigma)


@pytest.mark.parametrize("sigma", [0.0, -25.0, float("nan"), float("inf")])
def test_impossible_sigmas_are_refused(sigma: float) -> None:
    with pytest.raises(ValidationError, match="sigma"):
        Denoising(sigma=sigma)
