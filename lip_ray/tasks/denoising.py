"""Denoising: the image plus white Gaussian noise."""

from typing import Annotated, Literal, final

import torch
from pydantic import AfterValidator

from lip_ray.images import BuiltinImage, FileImage
from lip_ray.rng import generator
from lip_ray.tasks.base import AbstractTask, Problem


def _grey_levels(sigma: float) -> float:
    if 0 < sigma < 1:
        raise ValueError(
            "sigma is in 8-bit grey levels, at least 1: "
            f"for {sigma} in [0, 1] write {sigma * 255:g}"
        )
    if sigma < 1:
        raise ValueError("sigma is in 8-bit grey levels, at least 1")
    return sigma


@final
class Denoising(AbstractTask):
    """White Gaussian noise of standard deviation `sigma` / 255, the same in all methods."""

    kind: Literal["denoising"] = "denoising"
    sigma: Annotated[float, AfterValidator(_grey_levels)]
    """In 8-bit grey levels: 25 means 25/255."""
    clip: bool = True
    """Whether the noisy image is clipped to [0, 1], as the published scripts do."""

    def realise(
        self, image: BuiltinImage | FileImage, *, seed: int, device: torch.device
    ) -> Problem:
        """The clean image and its noisy copy; the noise is keyed by seed and image."""
        clean = image.load()[None]
        noise = torch.randn(clean.shape, generator=generator(seed, "noise", image=image.label))
        measured = clean + self.sigma / 255 * noise
        if self.clip:
            measured = measured.clamp(0, 1)
        return Problem(clean=clean.to(device), measured=measured.to(device))
