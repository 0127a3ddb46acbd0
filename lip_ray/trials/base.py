"""The interface that every kind of trial implements."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field

from lip_ray.data.images import Picture
from lip_ray.fits import Fit
from lip_ray.records import Facets
from lip_ray.spec import Level, Spec

Take = Annotated[tuple[Level, ...] | None, Field(strict=False, min_length=1)]
"""Levels of a source, in rising order; None takes all of them."""

Conflict = tuple[str, str]
"""A field, by its dotted path, and why it does not go with the other fields."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """The names of a trial's parts in the columns of tables."""

    pruner: str
    prior: str
    task: str
    image: str
    travels: str | None = None


@dataclass(frozen=True, kw_only=True)
class Size:
    """The size of a trial's network, and the cost of a step."""

    parameters: int
    macs_per_step: int
    """Multiply-adds of one step of the whole network on the first image, forward and backward. What
    a fit really computes is `AbstractTrial.computed_macs`."""


class AbstractTrial(Spec, ABC):
    """The spec of a trial: a ladder of levels, of which level 0 is dense."""

    kind: str

    @property
    @abstractmethod
    def levels(self) -> int:
        """How many levels the ladder has, the dense one included."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """The most optimizer steps that a level takes, those of its pruner included."""

    @property
    @abstractmethod
    def seed_used(self) -> int:
        """The seed that all random draws of the trial are keyed by."""

    @property
    def sources(self) -> tuple["AbstractTrial", ...]:
        """The trials that must be complete before this one can begin."""
        return ()

    @property
    def image_fit(self) -> Fit | None:
        """How weights are fitted to measured images; None in a trial that fits none so."""
        return None

    @property
    def images_per_level(self) -> int:
        """How many images, and so rows in the store, a level has."""
        return 1

    @property
    @abstractmethod
    def description(self) -> Description:
        """The names of its parts in tables."""

    @abstractmethod
    def facets(self) -> Facets:
        """What the trial means, in columns: names, keys and settings that set it apart from
        others."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """Parameters and cost, counted without drawing any weight."""

    @property
    def is_sparse(self) -> bool:
        """Whether a step computes the kept weights only; by default it computes all weights,
        whatever the mask."""
        return False

    def computed_share(self, level: int) -> float:
        """The share of the whole network's multiply-adds that a step of a level computes: 1 unless
        the trial is sparse."""
        return 1.0

    @property
    def whole_macs(self) -> int:
        """The multiply-adds that one step computes with all weights, over all images of a level."""
        return self.size.macs_per_step * self.images_per_level

    def computed_macs(self, level: int) -> int:
        """The multiply-adds that one step of a level computes, over all of its images."""
        return round(self.whole_macs * self.computed_share(level))

    @property
    def exact_pixels(self) -> int:
        """Height × width of the largest image whose fit is exact (fp32) and may be otherwise; 0
        where there is none."""
        return 0

    @abstractmethod
    def conflicts(self) -> Iterator[Conflict]:
        """Find fields that are right alone and wrong together. Files may be read; nothing is
        fitted."""

    def remarks(self) -> Iterator[str]:
        """Warnings, printed at launch, about settings that are allowed and may surprise."""
        yield from ()

    @abstractmethod
    def lacks(self) -> dict[str, str]:
        """The numbers of a level that no row of the trial has, by column, each with the reason."""

    @abstractmethod
    def rehearse(self, steps: int, *, device: torch.device) -> float:
        """The measured seconds that `steps` dense steps take on the device."""

    @property
    @abstractmethod
    def rehearsal(self) -> str:
        """A key that trials share when their steps take equally long."""


def refuse_untakeable(take: tuple[int, ...] | None, levels: int) -> None:
    """Raise ValueError unless the levels rise and a source with `levels` levels has them all."""
    taken = take or ()
    if any(later <= level for level, later in pairwise(taken)):
        raise ValueError(f"take must rise from level to level, got {list(taken)}")
    if taken and taken[-1] >= levels:
        raise ValueError(
            f"take must be levels of the source, which has 0 to {levels - 1}: got {list(taken)}"
        )


def together(images: tuple[Picture, ...]) -> str:
    """The joint label of several images that share their weights."""
    return " + ".join(image.label for image in images)
