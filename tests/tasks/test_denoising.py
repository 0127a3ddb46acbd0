"""Denoising: each noise has the strength and the distribution it says, in the field's units."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from skimage.restoration import estimate_sigma

from lip_ray.data.images import BuiltinImage
from lip_ray.tasks import Denoising, ImpulseDenoising, PoissonDenoising
from lip_ray.tasks.noise import estimated_variance

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 128), columns=(0, 128))
GRADED = BuiltinImage(name="chelsea", rows=(0, 128), columns=(0, 128))
"""Without any value that is black or white."""


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


class TestWhatIsGiven:
    @pytest.mark.parametrize(
        ("task", "name"),
        [(Denoising(), "sigma"), (PoissonDenoising(), "peak"), (ImpulseDenoising(), "share")],
    )
    def test_a_clean_image_needs_a_strength_of_noise(self, task, name: str) -> None:
        assert list(task.conflicts(IMAGE)) == [(name, "is missing")]
        with pytest.raises(ValueError, match=f"{task.kind}, {name}: is missing"):
            task.realise(IMAGE, seed=0, device=CPU)

    @pytest.mark.parametrize("peak", [0.0, -1.0, float("inf")])
    def test_impossible_peaks_are_refused(self, peak: float) -> None:
        with pytest.raises(ValidationError, match="peak"):
            PoissonDenoising(peak=peak)

    @pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
    def test_impossible_shares_are_refused(self, share: float) -> None:
        with pytest.raises(ValidationError, match="share"):
            ImpulseDenoising(share=share)


class TestPoisson:
    @pytest.mark.parametrize("peak", [1.0, 30.0, 1e5])
    def test_values_are_counts_over_the_peak(self, peak: float) -> None:
        problem = PoissonDenoising(peak=peak).realise(IMAGE, seed=0, device=CPU)
        counts = problem.measured.double() * peak
        assert torch.allclose(counts, counts.round(), rtol=1e-6, atol=1e-6)
        assert float(counts.min()) >= 0

    @pytest.mark.parametrize("peak", [1.0, 30.0, 1e5])
    def test_the_noise_has_mean_zero_and_the_variance_of_photons(self, peak: float) -> None:
        problem = PoissonDenoising(peak=peak).realise(IMAGE, seed=0, device=CPU)
        noise = (problem.measured - problem.clean).double()
        variance = problem.clean.double() / peak
        assert float((noise**2).mean()) == pytest.approx(float(variance.mean()), rel=0.05)
        error = (float(variance.mean()) / noise.numel()) ** 0.5
        assert float(noise.mean()) == pytest.approx(0, abs=4 * error)

    def test_bright_pixels_have_more_noise(self) -> None:
        problem = PoissonDenoising(peak=100.0).realise(IMAGE, seed=0, device=CPU)
        squares = (problem.measured - problem.clean) ** 2
        dark = problem.clean < 0.2
        assert float(squares[dark].mean()) < 0.5 * float(squares[~dark].mean())


class TestImpulses:
    @pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
    def test_the_share_is_hit_half_black_half_white(self, share: float) -> None:
        problem = ImpulseDenoising(share=share).realise(GRADED, seed=0, device=CPU)
        hit = problem.measured != problem.clean
        values = problem.measured[hit]
        assert set(values.unique().tolist()) == {0.0, 1.0}
        count = hit.numel()
        off = 4 * (share * (1 - share) / count) ** 0.5
        assert float(hit.float().mean()) == pytest.approx(share, abs=off)
        assert float(values.mean()) == pytest.approx(0.5, abs=2 / len(values) ** 0.5)

    def test_channels_are_hit_independently(self) -> None:
        problem = ImpulseDenoising(share=0.5).realise(GRADED, seed=0, device=CPU)
        red, green, _ = (problem.measured != problem.clean)[0].float()
        both = float((red * green).mean())
        assert both == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / red.numel()) ** 0.5)

    def test_what_a_small_share_hits_a_larger_one_hits_too(self) -> None:
        few, many = (
            ImpulseDenoising(share=share).realise(GRADED, seed=0, device=CPU)
            for share in (0.1, 0.3)
        )
        hit = few.measured != few.clean
        assert torch.equal(few.measured[hit], many.measured[hit])


@pytest.mark.filterwarnings("ignore:image is size")
@pytest.mark.parametrize("shape", [(1, 3, 33, 57), (1, 1, 64, 8), (1, 1, 2, 2), (1, 1, 1, 1)])
def test_noise_is_estimated_to_the_bits_of_scikit_image(shape: tuple[int, ...]) -> None:
    draws = torch.Generator().manual_seed(0)
    for image in (
        torch.rand(shape, generator=draws),
        torch.randn(shape, generator=draws).clamp(0, 1),
    ):
        channels = image[0].double().numpy()
        theirs = float(np.mean(np.square(estimate_sigma(channels, channel_axis=0))))
        ours = estimated_variance(image)
        assert ours == theirs or (ours is None and not theirs > 0)
