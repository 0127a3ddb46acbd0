"""The interface that every kind of trial implements."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field

from lip_ray.data.images import Picture
from lip_ray.records import Facets
from lip_ray.spec import Spec

Take = Annotated[tuple[Annotated[int, Field(ge=0)], ...] | None, Field(strict=False, min_length=1)]
"""Levels of a source, in rising order; None for all."""

Conflict = tuple[str, str]
"""A field, by its dotted path, and what is wrong with it in this company."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a trial is called in the columns of a table."""

    pruner: str
    prior: str
    task: str
    image: str
    travels: str | None = None


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large the network of a trial is."""

    parameters: int
    macs_per_step: int
    """Multiply-adds of one dense step on the first image, forward and backward."""


class AbstractTrial(Spec, ABC):
    """A ladder of levels; level 0 is dense."""

    kind: str

    @property
    @abstractmethod
    def levels(self) -> int:
        """How many levels the ladder has, the dense one included."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """How many steps of an optimizer a level takes at most, those of its pruner included."""

    @property
    @abstractmethod
    def seed_used(self) -> int:
        """Of all draws of the trial."""

    @property
    def sources(self) -> tuple["AbstractTrial", ...]:
        """The trials that must be complete before this one can begin."""
        return ()

    @property
    def images_per_level(self) -> int:
        """How many rows a level has."""
        return 1

    @property
    @abstractmethod
    def description(self) -> Description:
        """Its names in tables."""

    @abstractmethod
    def facets(self) -> Facets:
        """What the trial means, in columns: names, keys and settings of all that sets it apart."""

    @property
    @abstractmethod
    def size(self) -> Size:
        """Parameters and cost, counted without drawing any weight."""

    @abstractmethod
    def conflicts(self) -> Iterator[Conflict]:
        """All that is wrong although each field alone is right; fits nothing."""

    def remarks(self) -> Iterator[str]:
        """What is allowed and may yet surprise, for whoever launches it."""
        yield from ()

    @abstractmethod
    def rehearse(self, steps: int, *, device: torch.device) -> float:
        """The seconds that so many dense steps take here."""

    @property
    @abstractmethod
    def rehearsal(self) -> str:
        """A key: trials that have it in common take as long for a step."""


def refuse_untakeable(take: tuple[int, ...] | None, levels: int) -> None:
    """Raise ValueError where levels do not rise, or a source of so many has not all of them."""
    taken = take or ()
    if any(later <= level for level, later in pairwise(taken)):
        raise ValueError(f"take must rise from level to level, got {list(taken)}")
    if taken and taken[-1] >= levels:
        raise ValueError(
            f"take must be levels of the source, which has 0 to {levels - 1}: got {list(taken)}"
        )


def together(images: tuple[Picture, ...]) -> str:
    """The name of several images that share their weights."""
    return " + ".join(image.label for image in images)
