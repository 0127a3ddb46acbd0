"""Transfers: the tickets of one ladder, evaluated on another image, task or noise."""

from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, Self, final

import torch
from pydantic import model_validator
from torch import Tensor

from lip_ray.fits import Fit
from lip_ray.pruning import Mask
from lip_ray.pruning.allocation import keep_counts
from lip_ray.records import LevelRecord
from lip_ray.rng import keyed
from lip_ray.tasks import Task
from lip_ray.trials.base import (
    AbstractTrial,
    Conflict,
    Context,
    Description,
    Take,
    refuse_untakeable,
    together,
)
from lip_ray.trials.bench import AbstractRestoration, Bench, Setting
from lip_ray.trials.recording import reset_peak_memory, with_found
from lip_ray.trials.rewinding import Reinit
from lip_ray.trials.sources import Consensus, FromFile, Source
from lip_ray.trials.trajectory import Images, Seed, Trajectory

Travels = Literal["mask", "mask_and_weights", "layer_densities"]


class Traveller(Protocol):
    """What takes tickets over."""

    @property
    def source(self) -> Trajectory | Consensus | FromFile:
        """Where they come from."""

    @property
    def travels(self) -> Travels:
        """What of them is taken over."""

    @property
    def seed_used(self) -> int:
        """Of its draws."""


class Nursery(Protocol):
    """Where the weights of the source's network are drawn."""

    @property
    def initial(self) -> Mapping[str, Tensor]:
        """Those of the trial's own seed."""

    def drawn(self, seed: int) -> Mapping[str, Tensor]:
        """The initial weights of another seed."""

    def fresh(self, seed: int) -> Mapping[str, Tensor]:
        """Weights of the same distribution, keyed apart from the initial ones."""


@final
class Transfer(AbstractRestoration):
    """The tickets of `source`, level by level, fitted anew; level 0 is the dense network.

    Images, task and fit are by default those of the trajectory that is the source. On these,
    `layer_densities` is the layer-wise random baseline of its criterion, and `mask` tells whether
    the ticket needs its weights.
    """

    kind: Literal["transfer"] = "transfer"
    source: Source
    images: Images
    task: Task
    travels: Travels = "mask_and_weights"
    """mask_and_weights: the mask, and the weights that the source rewinds to; mask: the mask, on
    weights drawn afresh; layer_densities: as many weights in each layer, at random places, on
    the source's initial weights."""
    take: Take = None
    """The levels of the source that are evaluated, in rising order; by default all."""
    fit: Fit = Fit()
    seed: Seed | None = None
    """Of the noise, the latent and all other draws; by default the source's, so that both meet
    the same ones on the same image."""

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_source(cls, fields: object) -> object:
        """What is left out is written down, so that the spec says all by itself."""
        source = fields.get("source") if isinstance(fields, dict) else None
        if isinstance(source, Trajectory):
            source = source.model_dump(mode="json")
        if not isinstance(fields, dict) or not isinstance(source, dict):
            return fields
        found = {name: source[name] for name in ("images", "task", "fit") if name in source}
        return found | fields

    @model_validator(mode="after")
    def _takes_what_there_is(self) -> Self:
        refuse_untakeable(self.take, self.source.levels)
        return self

    @property
    def taken(self) -> tuple[int, ...]:
        """By level of this trial, the source's level that it evaluates."""
        return tuple(range(self.source.levels)) if self.take is None else self.take

    @property
    def levels(self) -> int:
        """As many as are taken."""
        return len(self.taken)

    @property
    def steps(self) -> int:
        """Of the fit."""
        return self.fit.steps

    @property
    def seed_used(self) -> int:
        """Its own, or the source's."""
        given = self.source.seed if self.seed is None else self.seed
        return given or 0

    @property
    def sources(self) -> tuple[AbstractTrial, ...]:
        """The trajectories that find the tickets."""
        return self.source.finders

    @property
    def description(self) -> Description:
        """Its names in tables."""
        return Description(
            pruner=self.source.label,
            prior=self.source.prior.kind,
            task=self.task.kind,
            image=together(self.images),
            travels=self.travels,
        )

    @property
    def setting(self) -> Setting:
        """What is fitted to what."""
        return Setting(
            trial_id=self.id,
            images=self.images,
            task=self.task,
            prior=self.source.prior,
            fit=self.fit,
            seed=self.seed_used,
        )

    def conflicts(self) -> Iterator[Conflict]:
        """Reads images and ticket files; fits nothing."""
        wrong = list(source_conflicts(self.source, self.seed, self.travels))
        yield from wrong
        found = self.setting.conflicts()
        yield from found
        if not wrong and not found:
            ours, theirs = self.setting.shape[0], self.source.channels()
            if ours != theirs:
                yield (
                    "images",
                    f"the tickets make images of {theirs} channels, {self.images[0].label} has "
                    f"{ours}: set its channels",
                )


def source_conflicts(
    source: Trajectory | Consensus | FromFile, seed: int | None, travels: Travels
) -> Iterator[Conflict]:
    """What is wrong with a source, or with what is to travel from it."""
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


def run(spec: Transfer, context: Context) -> Iterator[LevelRecord]:
    """Take over, fit, record: one record per level and image, dense first.

    Levels that the source has no ticket for are recorded as failed.
    """
    bench = Bench(spec.setting, context.device)
    masks = travelled(spec, spec.source.masks(context, bench.dense))
    for level, there in list(enumerate(spec.taken))[context.first_level :]:
        reset_peak_memory(context.device)
        if there >= len(masks):
            kept = spec.source.counts(bench.dense.total)[there]
            yield from bench.failed(level, kept, "the source has no ticket of this level")
            continue
        mask = masks[there]
        begin, watch = start(spec, there, bench, context), context.watch(spec.id, level)
        results = bench.fit(there, begin, mask, watch=watch)
        new = {} if spec.take is None and stored_already(spec) else {level: mask}
        yield from with_found(bench.records(level, mask, results), masks=new)


def travelled(spec: Traveller, masks: list[Mask]) -> list[Mask]:
    """The source's masks, or nested random ones with their number of weights in each layer."""
    if spec.travels != "layer_densities":
        return masks
    draws = keyed(spec.seed_used, "random pruning")
    scores = {
        name: torch.rand(layer.shape, generator=draws, dtype=torch.float64).to(layer.device)
        for name, layer in masks[0].layers.items()
    }
    found = masks[:1]
    for mask in masks[1:]:
        counts = {name: int(layer.sum()) for name, layer in mask.layers.items()}
        found.append(keep_counts(scores, found[-1], counts=counts))
    return found


def start(spec: Traveller, level: int, nursery: Nursery, context: Context) -> Mapping[str, Tensor]:
    """The weights that a level begins with, before its mask."""
    if spec.travels == "mask":
        return nursery.fresh(spec.seed_used)
    if spec.travels == "layer_densities":
        return nursery.initial
    stored = spec.source.weights(level, context)
    if stored is not None:
        return stored
    return nursery.drawn(spec.source.seed if spec.source.seed is not None else spec.seed_used)


def stored_already(spec: Traveller) -> bool:
    """Whether the masks are, level by level, those of the source trajectory."""
    return isinstance(spec.source, Trajectory) and spec.travels != "layer_densities"
