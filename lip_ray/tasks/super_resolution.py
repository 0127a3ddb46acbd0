"""Super-resolution: the measurement is a smaller image."""

from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import Field

from lip_ray.data.images import Picture
from lip_ray.tasks.base import AbstractTask, Problem
from lip_ray.tasks.noise import OptionalNoise, added_noise_conflicts, variance, with_noise
from lip_ray.tasks.operators import Downsampling


@final
class SuperResolution(AbstractTask):
    """The image made smaller by a Lanczos-2 filter; a measured photo is the small image."""

    kind: Literal["super_resolution"] = "super_resolution"
    factor: Literal[2, 4, 8]
    """How many times smaller the measurement is in height and in width."""
    sigma: OptionalNoise = 0.0
    """Standard deviation of white Gaussian noise on the small image, in 8-bit grey levels; not
    clipped."""
    border: Annotated[int, Field(ge=0, le=4096)] | None = 4
    r"""The number of pixels cut from each side before PSNR and SSIM of the luma, as is customary.

    null: PSNR and SSIM of all channels and pixels, as for other tasks.
    """

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A size that the factor does not divide, or a border that leaves nothing."""
        yield from added_noise_conflicts(image, "sigma", self.sigma)
        height, width = image.load().shape[1:]
        if image.measured:
            return
        if height % self.factor or width % self.factor:
            yield (
                "factor",
                f"{image.label} is {height}×{width}, which {self.factor} does not divide: "
                "crop it by rows and columns",
            )
        if self.border is not None and min(height, width) <= 2 * self.border:
            yield "border", f"leaves nothing of {image.label} ({height}×{width}), got {self.border}"

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and the small one; the noise is keyed by seed and image."""
        self.refuse_conflicts(image)
        pixels = image.load()[None]
        operator = Downsampling(self.factor, device=device)
        if image.measured:
            return Problem(measured=pixels.to(device), operator=operator, luma_border=self.border)
        small = Downsampling(self.factor)(pixels)
        return Problem(
            clean=pixels.to(device),
            measured=with_noise(small, self.sigma, seed=seed, image=image).to(device),
            operator=operator,
            noise_variance=variance(self.sigma),
            luma_border=self.border,
        )
