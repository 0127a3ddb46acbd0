"""Inpainting: pixels are missing."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data.images import FileImage, Picture, Range
from lip_ray.rng import keyed
from lip_ray.spec import Family, Spec
from lip_ray.tasks.base import AbstractTask, Problem, given, given_conflicts, posed
from lip_ray.tasks.noise import OptionalNoise, added_noise_conflicts, variance, with_noise
from lip_ray.tasks.operators import Masking


@final
class RandomMask(Spec):
    """Pixels kept at random, independently of each other; keyed by seed and image."""

    kind: Literal["random"] = "random"
    kept: Annotated[float, Field(gt=0, lt=1)]
    """The probability that a pixel is kept."""
    channels: Literal["shared", "independent"] = "shared"
    r"""Whether a pixel is missing in all channels, or each channel has a mask of its own.

    The published scripts of the study draw independent ones, which is easier: the other colours of
    a missing value are mostly known.
    """


@final
class BoxMask(Spec):
    """A mask of a missing rectangle."""

    kind: Literal["box"] = "box"
    rows: Range
    """The first missing row and the one after the last."""
    columns: Range
    """The first missing column and the one after the last."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name, span in (("rows", self.rows), ("columns", self.columns)):
            if not 0 <= span[0] < span[1]:
                raise ValueError(f"{name} must be [first, end] with 0 <= first < end, got {span}")
        return self


MaskImage = Annotated[RandomMask | FileImage | BoxMask, Family()]
"""A mask in a picture file: white is kept, black is missing, split at mid-grey."""


@final
class Inpainting(AbstractTask):
    """The image with missing pixels, which are 0 and do not count in the loss."""

    kind: Literal["inpainting"] = "inpainting"
    mask: MaskImage
    """Which pixels are known. For a measured photo or a pair the mask must be a file or a box."""
    sigma: OptionalNoise = 0.0
    """Standard deviation of white Gaussian noise on the kept pixels, in 8-bit grey levels; not
    clipped."""

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A mask that does not fit the image, or something drawn for one that has a measurement."""
        yield from added_noise_conflicts(image, "sigma", self.sigma)
        if image.measurement is not None and isinstance(self.mask, RandomMask):
            yield "mask", f"{image.label} is measured already: its mask is a file or a box"
        channels, height, width = image.load().shape
        yield from given_conflicts(image, self.kind, (channels, height, width))
        try:
            mask = self._mask(image, seed=0)
        except ValueError as error:
            yield "mask", str(error)
            return
        if mask.shape[2:] != (height, width):
            yield "mask", f"is {mask.shape[2]}×{mask.shape[3]}, {image.label} {height}×{width}"
        if mask.shape[1] not in (1, channels):
            yield (
                "mask",
                f"has {mask.shape[1]} channels, {image.label} {channels}: set channels on the mask",
            )
        if not isinstance(self.mask, RandomMask) and not bool(mask.any()):
            yield "mask", f"keeps nothing of {image.label}"

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and the masked one; mask and noise are keyed by seed and image."""
        self.refuse_conflicts(image)
        mask, whole = self._mask(image, seed=seed), given(image)
        if whole is None:
            whole = with_noise(image.load()[None], self.sigma, seed=seed, image=image)
        return posed(
            image,
            mask * whole,
            device=device,
            operator=Masking(mask.to(device)),
            noise_variance=_over_all(variance(self.sigma), mask),
        )

    def _mask(self, image: Picture, *, seed: int) -> Tensor:
        """The mask, (1, 1 or C, H, W) of 0 and 1. Raises ValueError where it cannot be read."""
        channels, height, width = image.load().shape
        if isinstance(self.mask, FileImage):
            return (self.mask.load()[None] >= 0.5).float()
        if isinstance(self.mask, BoxMask):
            rows, columns = self.mask.rows, self.mask.columns
            if rows[1] > height or columns[1] > width:
                raise ValueError(
                    f"rows {rows}, columns {columns} are outside of "
                    f"{image.label} ({height}×{width})"
                )
            mask = torch.ones(1, 1, height, width)
            mask[..., slice(*rows), slice(*columns)] = 0
            return mask
        planes = channels if self.mask.channels == "independent" else 1
        draws = keyed(seed, "mask", image=image.label)
        return (torch.rand(1, planes, height, width, generator=draws) < self.mask.kept).float()


def _over_all(noise: float | None, mask: Tensor) -> float | None:
    """The variance of noise on the known values, as a mean over all: missing ones have none."""
    return noise and noise * float(mask.mean())
