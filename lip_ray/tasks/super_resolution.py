"""Super-resolution: the measurement is a smaller image."""

from collections.abc import Iterator
from typing import Annotated, Literal, final

import numpy as np
import torch
from PIL import Image as PillowImage
from pydantic import Field
from torch import Tensor

from lip_ray.data.images import Picture, rounded
from lip_ray.tasks.base import AbstractTask, Problem, given, given_conflicts, posed
from lip_ray.tasks.noise import OptionalNoise, added_noise_conflicts, variance, with_noise
from lip_ray.tasks.operators import Downsampling


def _is_operator(made_by: object) -> bool:
    return made_by == "operator"


@final
class SuperResolution(AbstractTask):
    r"""The image made smaller by a Lanczos filter; a measured photo is the small image.

    A restored image is compared with the small one through a Lanczos-2 filter in floating point,
    as in Deep Image Prior.
    """

    kind: Literal["super_resolution"] = "super_resolution"
    factor: Literal[2, 4, 8]
    """How many times smaller the measurement is in height and in width."""
    sigma: OptionalNoise = 0.0
    """Standard deviation of white Gaussian noise on the small image, in 8-bit grey levels; not
    clipped."""
    made_by: Literal["operator", "pillow"] = Field(default="operator", exclude_if=_is_operator)
    """How the small image is made: by the `operator` that restored images are compared through,
    which makes the problem easier than any real one (an inverse crime), or as published by
    `pillow`: its Lanczos filter on 8-bit values, rounded to 8 bits. Only the second can be compared
    with published numbers."""
    border: Annotated[int, Field(ge=0, le=4096)] | None = 4
    r"""The number of pixels cut from each side before PSNR and SSIM of the luma, as is customary.

    null: PSNR and SSIM of all channels and pixels, as for other tasks.
    """

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A size that the factor does not divide, or a border that leaves nothing."""
        yield from added_noise_conflicts(image, "sigma", self.sigma)
        channels, height, width = image.load().shape
        if image.measured:
            return
        if height % self.factor or width % self.factor:
            yield (
                "factor",
                f"{image.label} is {height}×{width}, which {self.factor} does not divide: "
                f"crop it by rows and columns, or by crop_to: {self.factor}",
            )
        else:
            small = channels, height // self.factor, width // self.factor
            yield from given_conflicts(image, self.kind, small)
        if self.border is not None and min(height, width) <= 2 * self.border:
            yield "border", f"leaves nothing of {image.label} ({height}×{width}), got {self.border}"

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and the small one; the noise is keyed by seed and image."""
        self.refuse_conflicts(image)
        small = given(image)
        if small is None:
            small = with_noise(self._small(image.load()), self.sigma, seed=seed, image=image)
        operator = Downsampling(self.factor, device=device)
        return posed(
            image,
            small,
            device=device,
            operator=operator,
            noise_variance=variance(self.sigma),
            luma_border=self.border,
        )

    def _small(self, image: Tensor) -> Tensor:
        """The image (C, H, W) made smaller, (1, C, H / factor, W / factor) on the CPU."""
        if self.made_by == "pillow":
            return lanczos_by_pillow(image, self.factor)
        return Downsampling(self.factor)(image[None])


def lanczos_by_pillow(image: Tensor, factor: int) -> Tensor:
    """An image in [0, 1], (C, H, W), made smaller by Pillow in 8 bits: (1, C, H / factor, …)."""
    planes = rounded(image).permute(1, 2, 0).numpy()
    picture = PillowImage.fromarray(planes.squeeze(2) if planes.shape[2] == 1 else planes)
    width, height = picture.size
    small = picture.resize((width // factor, height // factor), PillowImage.Resampling.LANCZOS)
    return torch.from_numpy(np.atleast_3d(np.array(small))).permute(2, 0, 1)[None] / 255
