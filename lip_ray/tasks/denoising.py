"""Denoising: the image plus noise, white Gaussian, photon or impulse."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.rng import keyed
from lip_ray.tasks.base import AbstractTask, Problem, given, given_conflicts, posed
from lip_ray.tasks.noise import (
    GreyLevels,
    estimated_variance,
    strength_conflicts,
    variance,
    with_noise,
)


class AbstractDenoising(AbstractTask, ABC):
    """Noise of a kind, on an image as large as the clean one.

    A measured photo and a pair have their own noise; any other image needs a strength of it.
    """

    @property
    @abstractmethod
    def strength(self) -> tuple[str, float | None]:
        """The name of the field that sets the strength of the noise, and its value."""

    @abstractmethod
    def noisy(self, image: Picture, *, seed: int) -> Tensor:
        """The image (1, C, H, W) with noise of this strength, on the CPU."""

    @abstractmethod
    def noise_variance(self, measured: Tensor, *, stated: bool) -> float | None:
        """The mean square of the noise on a measurement; None where it cannot be known.

        It is `stated` where the noise was drawn with this strength, and did not come with the
        image.
        """

    @property
    def adds_noise(self) -> bool:
        """Whether the strength of the noise is given."""
        return self.strength[1] is not None

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A missing strength of noise, or one for an image that has its own noise."""
        yield from strength_conflicts(image, *self.strength)
        channels, height, width = image.load().shape
        yield from given_conflicts(image, self.kind, (channels, height, width))

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its noisy copy, which is drawn unless it came with the image."""
        self.refuse_conflicts(image)
        measured, stated = given(image), False
        if measured is None:
            measured, stated = self.noisy(image, seed=seed), True
        noise = self.noise_variance(measured, stated=stated)
        return posed(image, measured, device=device, noise_variance=noise)


@final
class Denoising(AbstractDenoising):
    """White Gaussian noise of standard deviation `sigma` / 255, the same in all methods."""

    kind: Literal["denoising"] = "denoising"
    sigma: GreyLevels | None = None
    """The standard deviation of the noise in 8-bit grey levels: 25 means 25/255. A measured photo
    and a pair have their own noise and need none; any other image needs it."""
    clip: bool = True
    """Whether the noisy image is clipped to [0, 1], as the published scripts do."""

    @property
    def strength(self) -> tuple[str, float | None]:
        return "sigma", self.sigma

    def noisy(self, image: Picture, *, seed: int) -> Tensor:
        """The image plus noise, keyed by seed and image."""
        measured = with_noise(image.load()[None], self.sigma or 0.0, seed=seed, image=image)
        return measured.clamp(0, 1) if self.clip else measured

    def noise_variance(self, measured: Tensor, *, stated: bool) -> float | None:
        """The stated variance. It is estimated for noise that came with the image, and where
        clipping made it weaker than stated."""
        if stated and not self.clip:
            return variance(self.sigma)
        return estimated_variance(measured) or variance(self.sigma)


@final
class PoissonDenoising(AbstractDenoising):
    """Photon noise: each value is a count of photons over `peak`, so it may exceed 1."""

    kind: Literal["poisson"] = "poisson"
    peak: Annotated[float, Field(gt=0)] | None = None
    """The number of photons expected at white. Every image needs it but a measured photo and a
    pair, which have their own noise."""

    @property
    def strength(self) -> tuple[str, float | None]:
        return "peak", self.peak

    def noisy(self, image: Picture, *, seed: int) -> Tensor:
        """The counts over `peak`, independent over pixels and channels."""
        draws, peak = keyed(seed, "photons", image=image.label), self.peak or 1.0
        counts = torch.poisson(peak * image.load()[None].double(), generator=draws)
        return (counts / peak).float()

    def noise_variance(self, measured: Tensor, *, stated: bool) -> float | None:
        """The mean of the measurement over the peak, as the variance of a count is its mean."""
        return float(measured.mean()) / self.peak if stated and self.peak else None


@final
class ImpulseDenoising(AbstractDenoising):
    """Salt and pepper: values turned black or white, independently in each channel."""

    kind: Literal["salt_and_pepper"] = "salt_and_pepper"
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    r"""The probability that a value is hit; half of those turn black, half white.

    Every image needs it but a measured photo and a pair, which have their own noise.
    """

    @property
    def strength(self) -> tuple[str, float | None]:
        return "share", self.share

    def noisy(self, image: Picture, *, seed: int) -> Tensor:
        """The image with impulses; all values hit at one share are hit at a larger one too."""
        pixels, draws = image.load()[None], keyed(seed, "impulses", image=image.label)
        chance, colour = torch.rand((2, *pixels.shape), generator=draws)
        return torch.where(chance < (self.share or 0.0), (colour < 0.5).float(), pixels)

    def noise_variance(self, measured: Tensor, *, stated: bool) -> float | None:
        """None: how far a value is off that turned black or white depends on the clean image."""
        del measured, stated
        return None
