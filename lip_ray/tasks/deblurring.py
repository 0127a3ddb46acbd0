"""Deblurring: the image is convolved with a known kernel."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.spec import Family, Spec
from lip_ray.tasks.base import AbstractTask, Problem, given, given_conflicts, posed
from lip_ray.tasks.noise import OptionalNoise, added_noise_conflicts, variance, with_noise
from lip_ray.tasks.operators import Blur, Boundary


def _odd(width: int) -> int:
    if width % 2 == 0:
        raise ValueError("width must be odd, so that the kernel has a middle")
    return width


@final
class GaussianKernel(Spec):
    """Defocus: a Gaussian at pixel centres, scaled to sum 1."""

    kind: Literal["gaussian"] = "gaussian"
    std: Annotated[float, Field(gt=0, le=500)]
    """Standard deviation in pixels."""
    width: Annotated[int, Field(ge=1, le=4095), AfterValidator(_odd)] | None = None
    """Side of the kernel in pixels, odd; by default it reaches three standard deviations to each
    side."""

    def weights(self) -> Tensor:
        """The kernel, (width, width) float32, normalised to a sum of 1."""
        radius = math.ceil(3 * self.std) if self.width is None else self.width // 2
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
        line = torch.exp(-(offsets**2) / (2 * self.std**2))
        line = line / line.sum()
        return torch.outer(line, line).float()


@final
class MotionKernel(Spec):
    """Motion along a line at constant speed, scaled to sum 1.

    A pixel's weight falls linearly from 1 to 0 with its distance from a segment of `length` − 1
    between end points, so a horizontal one of odd length is that many equal pixels.
    """

    kind: Literal["motion"] = "motion"
    length: Annotated[float, Field(gt=1, le=4096)]
    """The length of the motion in pixels, both ends included."""
    angle: Annotated[float, Field(ge=0, lt=180)] = 0.0
    """The direction of the motion in degrees, counter-clockwise from the horizontal."""

    def weights(self) -> Tensor:
        """The kernel, (h, w) float32, both odd; it reaches to the pixels around the end points."""
        half, angle = (self.length - 1) / 2, math.radians(self.angle)
        right, up = math.cos(angle), math.sin(angle)
        columns, rows = (math.ceil(round(half * abs(reach), 9)) for reach in (right, up))
        x = torch.arange(-columns, columns + 1, dtype=torch.float64)[None, :]
        y = -torch.arange(-rows, rows + 1, dtype=torch.float64)[:, None]
        along = (x * right + y * up).clamp(-half, half)
        distance = torch.hypot(x - along * right, y - along * up)
        weights = (1 - distance).clamp(min=0)
        return (weights / weights.sum()).float()


Kernel = Annotated[GaussianKernel | MotionKernel, Family()]
"""The image of a point."""


@final
class Deblurring(AbstractTask):
    """The image convolved with a known kernel."""

    kind: Literal["deblurring"] = "deblurring"
    kernel: Kernel
    """What the image is convolved with."""
    boundary: Boundary = "replicate"
    r"""How the image continues beyond its border: with its outermost pixels, or from its other
    side.

    The first continues photos better; methods by FFT assume the second.
    """
    sigma: OptionalNoise = 0.0
    """Standard deviation of white Gaussian noise on the blurred image, in 8-bit grey levels; not
    clipped."""

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A kernel that is larger than the image."""
        yield from added_noise_conflicts(image, "sigma", self.sigma)
        channels, height, width = image.load().shape
        yield from given_conflicts(image, self.kind, (channels, height, width))
        rows, columns = self.kernel.weights().shape
        if rows > height or columns > width:
            yield (
                "kernel",
                f"is {rows}×{columns}, larger than {image.label} ({height}×{width})",
            )

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and the blurred one; the noise is keyed by seed and image."""
        self.refuse_conflicts(image)
        kernel, blurred = self.kernel.weights(), given(image)
        if blurred is None:
            blurred = Blur(kernel, boundary=self.boundary)(image.load()[None])
            blurred = with_noise(blurred, self.sigma, seed=seed, image=image)
        operator = Blur(kernel.to(device), boundary=self.boundary)
        noise = variance(self.sigma)
        return posed(image, blurred, device=device, operator=operator, noise_variance=noise)
