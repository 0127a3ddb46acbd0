"""Compressed sensing: the measurement consists of a few random sums of all pixels."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, final

import torch
from pydantic import Field

from lip_ray.data.images import Picture
from lip_ray.tasks.base import AbstractTask, Problem
from lip_ray.tasks.matrices import GaussianMatrix, Measurements, OrthogonalRows
from lip_ray.tasks.noise import OptionalNoise, variance, with_noise
from lip_ray.tasks.outliers import Outliers

MATRICES = {"gaussian": GaussianMatrix, "orthogonal": OrthogonalRows}


@final
class CompressedSensing(AbstractTask):
    r"""m random linear measurements of all values, y = A x + noise, possibly with outliers.

    A and the places of corrupted rows are keyed by the seed alone: all images of a trial are
    measured by one A, which is built once.
    """

    kind: Literal["compressed_sensing"] = "compressed_sensing"
    m: Annotated[int, Field(ge=1, le=2**26)]
    r"""The number of measurements, of all channels together.

    A Gaussian A may have more rows than the image has values, which then is no compression.
    """
    matrix: Literal["gaussian", "orthogonal"] = "gaussian"
    """Independent entries N(0, 1/m), or m rows of a random orthonormal transform.

    The rows are scaled so that both keep squared norms on average. A Gaussian matrix beyond
    128 MiB (170 measurements of 256×256 in colour) is drawn again at every step, which takes
    seconds on a CPU; the transform is fast at any size.
    """
    sigma: OptionalNoise = 0.0
    """Standard deviation of white Gaussian noise on each measurement, in 8-bit grey levels."""
    outliers: Outliers | None = None
    """The kind of outliers among the measurements; by default there are none."""

    @property
    def adds_noise(self) -> bool:
        """Whether there is noise, or there are outliers."""
        return bool(self.sigma) or self.outliers is not None

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A measured image, more orthogonal rows than there are, or outliers that hit nothing."""
        count = image.load().numel()
        if image.measurement is not None:
            yield "kind", f"{image.label} is measured already; random measurements are no picture"
        if self.matrix == "orthogonal" and self.m > count:
            yield "m", f"must be at most {count} for orthogonal rows of {image.label}, got {self.m}"
        if self.outliers is not None:
            for path, message in self.outliers.conflicts(self.m):
                yield f"outliers.{path}", message

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its measurements; the noise is keyed by seed and image."""
        self.refuse_conflicts(image)
        clean = image.load()[None].to(device)
        shape = (clean.shape[1], clean.shape[2], clean.shape[3])
        operator = _operator(self, shape, seed, device)
        measured = with_noise(operator(clean).cpu(), self.sigma, seed=seed, image=image)
        if self.outliers is not None:
            measured = self.outliers.hit(measured, seed=seed, image=image.label)
        return Problem(
            clean=clean,
            measured=measured.to(device),
            operator=operator,
            noise_variance=None if self.outliers else variance(self.sigma),
        )


@lru_cache(maxsize=1)
def _operator(
    task: CompressedSensing, shape: tuple[int, int, int], seed: int, device: torch.device
) -> Measurements:
    """The operator A that restoration is given; one object for all images of a trial."""
    operator: Measurements = MATRICES[task.matrix](task.m, shape, seed=seed, device=device)
    if task.outliers is None:
        return operator
    return task.outliers.assumed(operator, seed=seed, device=device)
