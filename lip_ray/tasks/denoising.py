"""Denoising: the image plus noise, white Gaussian, photon or impulse."""

from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import Field

from lip_ray.data.images import Picture
from lip_ray.rng import keyed
from lip_ray.tasks.base import AbstractTask, Problem
from lip_ray.tasks.noise import (
    GreyLevels,
    estimated_variance,
    strength_conflicts,
    variance,
    with_noise,
)


@final
class Denoising(AbstractTask):
    """White Gaussian noise of standard deviation `sigma` / 255, the same in all methods."""

    kind: Literal["denoising"] = "denoising"
    sigma: GreyLevels | None = None
    """The standard deviation of the noise in 8-bit grey levels: 25 means 25/255. A measured photo
    has its own noise and needs none; any other image needs it."""
    clip: bool = True
    """Whether the noisy image is clipped to [0, 1], as the published scripts do."""

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A clean image without a strength of noise, or a measured one with it."""
        yield from strength_conflicts(image, "sigma", self.sigma)

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its noisy copy; the noise is keyed by seed and image."""
        self.refuse_conflicts(image)
        pixels = image.load()[None]
        if image.measured:
            return Problem(measured=pixels.to(device), noise_variance=estimated_variance(pixels))
        measured = with_noise(pixels, self.sigma or 0.0, seed=seed, image=image)
        noise = variance(self.sigma)
        if self.clip:  # which makes the noise weaker than stated, most in black and white areas
            measured = measured.clamp(0, 1)
            noise = estimated_variance(measured) or noise
        return Problem(clean=pixels.to(device), measured=measured.to(device), noise_variance=noise)


@final
class PoissonDenoising(AbstractTask):
    """Photon noise: each value is a count of photons over `peak`, so it may exceed 1."""

    kind: Literal["poisson"] = "poisson"
    peak: Annotated[float, Field(gt=0)] | None = None
    """The number of photons expected at white. Every image needs it but a measured photo, which has
    its own noise."""

    @property
    def adds_noise(self) -> bool:
        """Whether the peak is given; a measured photo has its own noise."""
        return self.peak is not None

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A clean image without a strength of noise, or a measured one with it."""
        yield from strength_conflicts(image, "peak", self.peak)

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its counts over `peak`, independent over pixels and channels."""
        self.refuse_conflicts(image)
        pixels = image.load()[None]
        if self.peak is None:
            return Problem(measured=pixels.to(device))
        draws = keyed(seed, "photons", image=image.label)
        counts = torch.poisson(self.peak * pixels.double(), generator=draws)
        measured = (counts / self.peak).float()
        return Problem(
            clean=pixels.to(device),
            measured=measured.to(device),
            noise_variance=float(measured.mean()) / self.peak,  # that of a count is its mean
        )


@final
class ImpulseDenoising(AbstractTask):
    """Salt and pepper: values turned black or white, independently in each channel."""

    kind: Literal["salt_and_pepper"] = "salt_and_pepper"
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    r"""The probability that a value is hit; half of those turn black, half white.

    Every image needs it but a measured photo, which has its own noise.
    """

    @property
    def adds_noise(self) -> bool:
        """Whether the share is given; a measured photo has its own noise."""
        return self.share is not None

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A clean image without a strength of noise, or a measured one with it."""
        yield from strength_conflicts(image, "share", self.share)

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its copy with impulses; all hit at one share are hit at a larger."""
        self.refuse_conflicts(image)
        pixels = image.load()[None]
        if self.share is None:
            return Problem(measured=pixels.to(device))
        draws = keyed(seed, "impulses", image=image.label)
        chance, colour = torch.rand((2, *pixels.shape), generator=draws)
        measured = torch.where(chance < self.share, (colour < 0.5).float(), pixels)
        return Problem(clean=pixels.to(device), measured=measured.to(device))
