"""Schedules: how many weights each level of a ladder keeps."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Annotated, Literal, Self, final

from pydantic import Field, model_validator

from lip_ray.spec import Family, Level, Spec


class AbstractSchedule(Spec, ABC):
    """A ladder of densities; level 0 is dense."""

    kind: str

    @abstractmethod
    def kept(self, total: int) -> tuple[int, ...]:
        """The exact number of weights kept at each level, out of `total`; strictly falling.

        Raises ValueError when a level would keep no weight or as many as the one before.
        """

    @property
    @abstractmethod
    def levels(self) -> int:
        """The number of levels, the dense one included."""


@final
class Rate(AbstractSchedule):
    """Remove the same share of what remains, level after level: 0.2 leaves 0.8^level."""

    kind: Literal["rate"] = "rate"
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """The share of the remaining weights that each level removes, in (0, 1)."""
    steps: Level = 16
    """The number of prunings; there is one level more than that."""

    @property
    def levels(self) -> int:
        """The dense level, and one per pruning."""
        return self.steps + 1

    def kept(self, total: int) -> tuple[int, ...]:
        """Removes round(rate × remaining) each time."""
        counts = [total]
        for _ in range(self.steps):
            counts.append(counts[-1] - round(self.rate * counts[-1]))
        return _falling(counts)


@final
class Densities(AbstractSchedule):
    """Explicit densities, from 1 downwards."""

    kind: Literal["densities"] = "densities"
    densities: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1)], ...],
        Field(strict=False, min_length=1, max_length=10**4),
    ]
    """The density of each level, the dense one included."""

    @model_validator(mode="after")
    def _from_dense_down(self) -> Self:
        if self.densities[0] != 1:
            raise ValueError(f"level 0 is dense: densities begin with 1, got {self.densities[0]}")
        if any(following >= density for density, following in pairwise(self.densities)):
            raise ValueError(f"densities must fall from level to level, got {self.densities}")
        return self

    @property
    def levels(self) -> int:
        """One level per density."""
        return len(self.densities)

    def kept(self, total: int) -> tuple[int, ...]:
        """round(density × total) at each level."""
        return _falling([round(density * total) for density in self.densities])


def _falling(counts: list[int]) -> tuple[int, ...]:
    for level, (before, after) in enumerate(pairwise(counts), start=1):
        if not 1 <= after < before:
            raise ValueError(
                f"level {level} would keep {after} of {counts[0]} weights, {before} before it; "
                "each level must keep fewer than the last, and at least one"
            )
    return tuple(counts)


def _expand_list(value: object) -> object:
    if isinstance(value, list | tuple):
        return {"kind": "densities", "densities": value}
    return {"kind": value} if isinstance(value, str) else value


Schedule = Annotated[Rate | Densities, Family(short=_expand_list, offers=str | list[float])]
"""Any schedule; a bare list stands for explicit densities."""
