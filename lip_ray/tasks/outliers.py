"""Outliers among measurements: corrupted rows, heavy tails, flipped signs."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.rng import keyed
from lip_ray.spec import Family, Spec
from lip_ray.tasks.matrices import Measurements, WithRowsOfOnes
from lip_ray.tasks.noise import GreyLevels

Share = Annotated[float, Field(ge=0, lt=1)]

SMALLEST_CHANCE = 2**-54
"""Half the distance between the numbers in [0, 1) that torch draws in double precision."""


class AbstractOutliers(Spec, ABC):
    """A kind of outliers among measurements."""

    kind: str

    @property
    def title(self) -> str:
        """The share of wrong measurements or, where that is no setting, their kind."""
        share = getattr(self, "share", 0.0)
        return f"{100 * share:g} % outliers" if share else f"{self.kind} outliers"

    def conflicts(self, m: int) -> Iterator[tuple[str, str]]:
        """Why it cannot be used for m measurements: the path of a field and what is wrong with
        it."""
        yield from ()

    def assumed(self, operator: Measurements, *, seed: int, device: torch.device) -> Measurements:
        """The operator that restoration is given; the same for all images."""
        return operator

    @abstractmethod
    def hit(self, measurement: Tensor, *, seed: int, image: str) -> Tensor:
        """A measurement (1, m) on the CPU, with the outliers in it."""


@final
class CorruptedRows(AbstractOutliers):
    r"""Rows of A that are all ones and measure something far from the image's sum.

    Restoration is given A with these rows, but not which they are.
    """

    kind: Literal["rows"] = "rows"
    share: Share
    """The share of measurements that are hit, rounded to a whole number of them; their places are
    keyed by seed."""
    value: float = 10_000.0
    """The value that the corrupted rows measure."""

    def conflicts(self, m: int) -> Iterator[tuple[str, str]]:
        """A share of less than one measurement."""
        yield from _share_conflicts(self.share, m)

    def assumed(self, operator: Measurements, *, seed: int, device: torch.device) -> Measurements:
        """The operator with its corrupted rows."""
        return WithRowsOfOnes(operator, _places(self.share, operator.m, seed).to(device))

    def hit(self, measurement: Tensor, *, seed: int, image: str) -> Tensor:
        """The measurement with `value` at the corrupted rows."""
        places = _places(self.share, measurement.shape[1], seed)
        return measurement.masked_fill(places, self.value)


@final
class StudentNoise(AbstractOutliers):
    r"""Heavy-tailed noise of Student's t on every measurement, keyed by seed and image.

    Robust compressed sensing with generative models, https://arxiv.org/abs/2006.09461.
    """

    kind: Literal["student"] = "student"
    sigma: GreyLevels
    """Scale in 8-bit grey levels. With two degrees of freedom or fewer the variance is infinite."""
    degrees: Annotated[float, Field(gt=0)] = 2.0
    """The degrees of freedom: the fewer there are, the heavier the tails."""

    def hit(self, measurement: Tensor, *, seed: int, image: str) -> Tensor:
        """The measurement plus the noise."""
        from scipy.special import stdtrit  # it loads 90 modules, and few fits need it

        draws = keyed(seed, "heavy-tailed noise", image=image)
        chance = torch.rand(measurement.shape, generator=draws, dtype=torch.float64)
        noise = torch.from_numpy(stdtrit(self.degrees, chance.numpy() + SMALLEST_CHANCE))
        return (measurement + self.sigma / 255 * noise).to(measurement.dtype)


@final
class SignFlips(AbstractOutliers):
    """A share of the measurements has the opposite sign."""

    kind: Literal["flips"] = "flips"
    share: Share
    """The share of measurements that are hit, rounded to a whole number of them; their places are
    keyed by seed."""

    def conflicts(self, m: int) -> Iterator[tuple[str, str]]:
        """A share of less than one measurement."""
        yield from _share_conflicts(self.share, m)

    def hit(self, measurement: Tensor, *, seed: int, image: str) -> Tensor:
        """The measurement with flipped signs."""
        places = _places(self.share, measurement.shape[1], seed)
        return torch.where(places, -measurement, measurement)


Outliers = Annotated[CorruptedRows | StudentNoise | SignFlips, Family()]


def _count(share: float, m: int) -> int:
    return round(share * m)


def _share_conflicts(share: float, m: int) -> Iterator[tuple[str, str]]:
    if not _count(share, m):
        yield "share", f"is none of {m} measurements, got {share:g}: leave the outliers out"


def _places(share: float, m: int, seed: int) -> Tensor:
    """The outliers' places, (m,) bool; those of a smaller share are among those of a larger one."""
    draws = keyed(seed, "corrupted measurements")
    places = torch.zeros(m, dtype=torch.bool)
    places[torch.randperm(m, generator=draws)[: _count(share, m)]] = True
    return places
