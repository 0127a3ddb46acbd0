"""What every kind of trial is, and what it is given when it runs."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import inf
from typing import Annotated, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.fits import Watch
from lip_ray.pruning import Mask
from lip_ray.records import Facets, LayerMask, Standing, StoredTensor
from lip_ray.spec import Level, Spec

Take = Annotated[tuple[Level, ...] | None, Field(strict=False, min_length=1)]
"""Levels of a source, in rising order; None for all."""

Conflict = tuple[str, str]
"""A field, by its dotted path, and what is wrong with it in this company."""


class Shelf(Protocol):
    """What trials have left for each other: the store, seen from here."""

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """The mask of a level, also of one not yet fitted; None where there is none."""

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """What a level begins with, where it was stored; None where the seed draws it."""

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """What a level ended with, where that is a result; None where it was not stored."""

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """How far a level had come that was broken off; None where nothing was kept."""


class EmptyShelf:
    """Nothing has run before."""

    def masks(self, trial_id: str, level: int) -> None:
        """None."""

    def weights(self, trial_id: str, level: int) -> None:
        """None."""

    def network(self, trial_id: str, level: int) -> None:
        """None."""

    def unfinished(self, trial_id: str, level: int) -> None:
        """None."""


@dataclass(frozen=True, kw_only=True)
class LevelKeeper:
    """Keeps the state of one level while it is being fitted."""

    interval_s: float
    load: Callable[[], bytes | None]
    save: Callable[[bytes], None]


def _forget(trial_id: str, level: int, state: bytes) -> None:
    """Keep nothing."""


def nothing(standing: Standing) -> None:
    """Tell nobody how far a level has come."""


@dataclass(kw_only=True)
class LevelWatch:
    """Notes how far a level has come: when it begins, and then every so often.

    Between two notes it looks at a clock and at nothing else.
    """

    trial_id: str
    level: int
    interval_s: float
    note: Callable[[Standing], None]
    due: float = -inf
    """By `time.monotonic`."""

    def __call__(self, step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
        """`step` steps are taken, of `steps` at most; the PSNR is read for a note only."""
        if time.monotonic() < self.due:
            return
        self.note(
            Standing(
                trial_id=self.trial_id,
                level=self.level,
                step=step,
                steps=steps,
                psnr_db=psnr_db(),
            )
        )
        self.due = time.monotonic() + self.interval_s  # from the end of a note, which may be slow


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a trial runs and where it takes up: nothing here changes what it finds."""

    device: torch.device
    first_level: int = 0
    """The first level that is not recorded yet."""
    shelf: Shelf = field(default_factory=EmptyShelf)
    """Of this trial's earlier levels and of its sources."""
    keep: Callable[[str, int, bytes], None] = _forget
    """Takes the state of a long level, by trial and level, in place of what it was given before."""
    keep_every_s: float = 300.0
    """Seconds between two states of a level: what a trial that is killed can lose."""
    note: Callable[[Standing], None] = nothing
    """Takes how far the level has come that is being fitted."""
    note_every_s: float = 10.0
    """Seconds between two notes of a level; the first is made when its fit begins."""

    def mask(self, trial_id: str, level: int) -> Mask | None:
        """A stored mask, on the device of this trial."""
        rows = self.shelf.masks(trial_id, level)
        return Mask.from_rows(rows, device=self.device) if rows else None

    def weights(self, trial_id: str, level: int) -> dict[str, Tensor] | None:
        """Stored weights by state-dict name, on the device of this trial."""
        return self._loaded(self.shelf.weights(trial_id, level))

    def network(self, trial_id: str, level: int) -> dict[str, Tensor] | None:
        """What a level ended with, by state-dict name, on the device of this trial."""
        return self._loaded(self.shelf.network(trial_id, level))

    def keeper(self, trial_id: str, level: int) -> LevelKeeper:
        """Where the fit of a level keeps its state."""
        return LevelKeeper(
            interval_s=self.keep_every_s,
            load=partial(self.shelf.unfinished, trial_id, level),
            save=partial(self.keep, trial_id, level),
        )

    def watch(self, trial_id: str, level: int) -> Watch:
        """What the fit of a level tells how far it has come."""
        return LevelWatch(
            trial_id=trial_id, level=level, interval_s=self.note_every_s, note=self.note
        )

    def _loaded(self, tensors: tuple[StoredTensor, ...] | None) -> dict[str, Tensor] | None:
        return {t.name: _tensor(t).to(self.device) for t in tensors} if tensors else None


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


def stored(weights: Mapping[str, Tensor]) -> tuple[StoredTensor, ...]:
    """Weights as they are stored."""
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in weights.items()}
    return tuple(
        StoredTensor(
            name=name,
            shape=tuple(array.shape),
            dtype=array.dtype.name,
            values=array.astype(array.dtype.newbyteorder("<")).tobytes(),
        )
        for name, array in arrays.items()
    )


def _tensor(stored: StoredTensor) -> Tensor:
    little = np.dtype(stored.dtype).newbyteorder("<")
    array = np.frombuffer(stored.values, dtype=little).reshape(stored.shape)
    return torch.from_numpy(array.astype(stored.dtype))


def together(images: tuple[Picture, ...]) -> str:
    """The name of several images that share their weights."""
    return " + ".join(image.label for image in images)
