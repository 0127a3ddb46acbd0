"""Noise on a measurement: its unit, its draws, and the checks of its settings."""

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from pydantic import AfterValidator
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.rng import keyed


def _grey_levels(sigma: float) -> float:
    if 0 < sigma < 1:
        raise ValueError(
            "sigma is in 8-bit grey levels, at least 1: "
            f"for {sigma} in [0, 1] write {sigma * 255:g}"
        )
    if sigma < 1:
        raise ValueError("sigma is in 8-bit grey levels, at least 1")
    return sigma


def _none_or_grey_levels(sigma: float) -> float:
    return _grey_levels(sigma) if sigma else 0.0


GreyLevels = Annotated[float, AfterValidator(_grey_levels)]
"""A standard deviation in 8-bit grey levels: 25 means 25/255."""

OptionalNoise = Annotated[float, AfterValidator(_none_or_grey_levels)]
"""A standard deviation in 8-bit grey levels; 0 is no noise."""

UPPER_QUARTILE = 0.6744897501960817
"""The upper quartile of N(0, 1), and so its median distance from 0."""


def with_noise(measurement: Tensor, sigma: float, *, seed: int, image: Picture) -> Tensor:
    """The measurement plus white Gaussian noise, keyed by seed and image; on the CPU."""
    if not sigma:
        return measurement
    draws = keyed(seed, "noise", image=image.label)
    return measurement + sigma / 255 * torch.randn(measurement.shape, generator=draws)


def variance(sigma: float | None) -> float | None:
    """The variance of noise of `sigma` grey levels, on the scale of images in [0, 1]; None without
    noise."""
    return (sigma / 255) ** 2 if sigma else None


def estimated_variance(image: Tensor) -> float | None:
    """The variance of white Gaussian noise on an image (1, C, H, W), the mean over its channels.

    The median of the finest diagonal wavelets (Donoho & Johnstone 1994), with the bits of
    scikit-image's `estimate_sigma`. None where the image is too small, or has no noise.
    """
    import pywt  # scikit-image would load all of scipy's statistics too, for one quantile

    deviations = []
    for channel in image[0].double().cpu().numpy():
        finest = pywt.dwtn(channel, "db2")["dd"]
        deviations.append(np.median(np.abs(finest[np.nonzero(finest)])) / UPPER_QUARTILE)
    found = float(np.mean(np.square(deviations)))
    return found if math.isfinite(found) and found > 0 else None


def strength_conflicts(
    image: Picture, name: str, strength: float | None
) -> Iterator[tuple[str, str]]:
    """Conflicts of the noise that a task is about: needed for an image without a measurement,
    refused for one with it."""
    if image.measurement is None and strength is None:
        yield name, "is missing"
    yield from added_noise_conflicts(image, name, strength)


def added_noise_conflicts(
    image: Picture, name: str, strength: float | None
) -> Iterator[tuple[str, str]]:
    """Conflicts of noise that a task adds: it is refused for an image with a measurement."""
    if image.measurement is not None and strength:
        yield name, f"{image.label} is measured already and gets no more noise, got {strength:g}"
