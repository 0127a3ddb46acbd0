"""How a trial takes over the tickets of a source: their masks, and the weights to begin with."""

from abc import ABC
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from lip_ray.pruning import Mask
from lip_ray.pruning.allocation import keep_counts
from lip_ray.rng import keyed
from lip_ray.trials.base import AbstractTrial, Conflict
from lip_ray.trials.context import Context
from lip_ray.trials.rewinding import Reinit
from lip_ray.trials.sources import Consensus, FromFile
from lip_ray.trials.trajectory import Trajectory

Travels = Literal["mask", "mask_and_weights", "layer_densities"]


class TicketOrigin(Protocol):
    """Where tickets come from: trials that find them, a file, or neither."""

    @property
    def seed(self) -> int | None:
        """The seed of the tickets' weights; None where they are in a file."""

    @property
    def finders(self) -> tuple[AbstractTrial, ...]:
        """The trials that find the tickets, and so must be complete first."""


class AbstractTakeover(AbstractTrial, ABC):
    """A trial that takes over the tickets of a source."""

    if TYPE_CHECKING:  # these are fields

        @property
        def source(self) -> TicketOrigin:
            """Where the tickets come from."""

        @property
        def seed(self) -> int | None:
            """The trial's own seed; None where it uses the source's."""

    @property
    def seed_used(self) -> int:
        given = self.source.seed if self.seed is None else self.seed
        return given or 0

    @property
    def sources(self) -> tuple[AbstractTrial, ...]:
        """The trials that find the tickets."""
        return self.source.finders


class PriorTakeover(Protocol):
    """A trial that takes over tickets of an untrained network."""

    @property
    def source(self) -> Trajectory | Consensus | FromFile:
        """The trials, or the file, that the tickets come from."""

    @property
    def travels(self) -> Travels:
        """Which part of a ticket is taken over."""

    @property
    def seed_used(self) -> int:
        """The seed that all random draws of the trial are keyed by."""


class Initialiser(Protocol):
    """Draws weights for the source's network."""

    @property
    def initial(self) -> Mapping[str, Tensor]:
        """The initial weights of the trial's own seed."""

    def drawn(self, seed: int) -> Mapping[str, Tensor]:
        """The initial weights of another seed."""

    def fresh(self, seed: int) -> Mapping[str, Tensor]:
        """Weights of the same distribution, keyed apart from the initial ones."""


def source_conflicts(
    source: Trajectory | Consensus | FromFile, seed: int | None, travels: Travels
) -> Iterator[Conflict]:
    """What is wrong with a source, or with taking over this part of its tickets."""
    for finder in source.finders:
        place = "source" if finder is source else "source.trajectories"
        yield from ((f"{place}.{path}", message) for path, message in finder.conflicts())
        if isinstance(finder.rewind, Reinit) and travels == "mask_and_weights":
            yield (
                "travels",
                "the source draws weights afresh at every level, so only its mask can travel: "
                "allowed: mask, layer_densities",
            )
    channels = {finder.setting.channels for finder in source.finders}
    if len(channels) > 1:
        counts = " and ".join(map(str, channels))
        yield (
            "source.trajectories",
            f"masks of networks for {counts} channels have nothing to agree on: set channels",
        )
    if isinstance(source, FromFile):
        if seed is None:
            yield "seed", "is missing: a ticket from a file brings none"
        try:
            source.read()
        except ValueError as error:
            yield "source.path", str(error)


def transferred_masks(spec: PriorTakeover, masks: list[Mask]) -> list[Mask]:
    """The source's masks or, for `layer_densities`, random ones."""
    if spec.travels != "layer_densities":
        return masks
    return at_layer_densities(masks, seed=spec.seed_used)


def at_layer_densities(masks: list[Mask], *, seed: int) -> list[Mask]:
    """Random masks, each within the one before, with as many weights in every layer as these have.

    The first is taken as it is.
    """
    draws = keyed(seed, "random pruning")
    scores = {
        name: torch.rand(layer.shape, generator=draws, dtype=torch.float64).to(layer.device)
        for name, layer in masks[0].layers.items()
    }
    found = masks[:1]
    for mask in masks[1:]:
        counts = {name: int(layer.sum()) for name, layer in mask.layers.items()}
        found.append(keep_counts(scores, found[-1], counts=counts))
    return found


def start(
    spec: PriorTakeover, level: int, initialiser: Initialiser, context: Context
) -> Mapping[str, Tensor]:
    """The weights that a level begins with, before its mask is applied."""
    if spec.travels == "mask":
        return initialiser.fresh(spec.seed_used)
    if spec.travels == "layer_densities":
        return initialiser.initial
    stored = spec.source.weights(level, context)
    if stored is not None:
        return stored
    return initialiser.drawn(spec.source.seed if spec.source.seed is not None else spec.seed_used)


def keeps_source_masks(spec: PriorTakeover) -> bool:
    """Whether the masks of all levels are those that the source trajectory stores."""
    return isinstance(spec.source, Trajectory) and spec.travels != "layer_densities"
