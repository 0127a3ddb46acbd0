"""Generator trials: tickets of a network that makes images, found by adversarial training or by
pruning a checkpoint."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data.image_sets import ImageSet
from lip_ray.fits import AdversarialFit, AdversarialResult, arithmetic
from lip_ray.fits.adversarial import SAMPLES
from lip_ray.priors import shapes
from lip_ray.priors.generators import GeneratorFile, GeneratorSpec
from lip_ray.priors.network import Cost, placed
from lip_ray.pruning import (
    AbstractPruner,
    Magnitude,
    Mask,
    PathFinder,
    Pruner,
    Rate,
    Schedule,
    ScoreContext,
    UnrankableError,
)
from lip_ray.records import Facets, LevelRecord, Outcome, Part
from lip_ray.rng import keyed
from lip_ray.spec import is_unset, kind_of, members
from lip_ray.trials.base import AbstractTrial, Conflict, Description, Size
from lip_ray.trials.context import Context
from lip_ray.trials.facets import View, chosen, image_columns, network_part, part, setting_of
from lip_ray.trials.lacking import ADVERSARIAL, CLASSIFIED, COMPARED, of_other_kinds
from lip_ray.trials.ladder import AbstractLadder
from lip_ray.trials.origin import TRAVELS_SAID
from lip_ray.trials.recording import (
    adversarial_curve,
    identity_columns,
    machine_columns,
    reset_peak_memory,
    sheet,
)
from lip_ray.trials.rewinding import Rewind, ToInit, refuse_late
from lip_ray.trials.takeover import at_layer_densities
from lip_ray.trials.tensors import stored
from lip_ray.trials.trajectory import Seed

REHEARSED_MACS = 5 * 10**11
"""Multiply-adds of a step that takes a CPU some tens of seconds."""
ONE_IMAGE = "no path from latent to image is left, so all images are one: it is not fitted"
NOT_RANKED = "a level above diverged, so its weights could not be ranked"
NO_LAYERS = "the generator whose layer densities it was to have has no ticket"
GENERATOR, CRITIC = "generator.", "critic."
"""Prefixes of the names of weights, where those of both networks are stored together."""

TRAINED = ("prior", "images", "fit")
"""The fields that say which network was trained, on which images and how."""
FINDS = ("pruner", "schedule", "rewind", "critic_pruned")
"""The fields that say how tickets are found."""


@final
class Generator(AbstractTrial):
    r"""A ladder of tickets of a generator: train, record, score, prune, rewind, repeat.

    Level 0 is the dense network. Where the prior is a file, training begins with the weights of
    that checkpoint and, with `rewind: init`, so does every other level: the protocol of the
    lottery-image-prior study. Without images and fit nothing is trained: the checkpoint is pruned
    as it is.
    """

    kind: Literal["generator"] = "generator"
    prior: GeneratorSpec
    """The generator: an architecture, or a file with a trained one."""
    images: ImageSet | None = None
    """The images that the generator learns to make."""
    pruner: Pruner = Magnitude()
    """A pruner that looks at the weights alone, as magnitude does; others judge weights by an image
    to restore."""
    schedule: Schedule = Rate()
    """How many weights each level keeps; a list of densities stands for one."""
    rewind: Rewind = ToInit()
    """What the surviving weights, and the critic's, are set to before each fit."""
    layer_densities_of: Pruner | None = Field(default=None, exclude_if=is_unset)
    """A pruner in place of `pruner`: each layer keeps as many weights as in the tickets that it
    finds by the same training with the same seed, at random places. That generator is trained
    first."""
    critic_pruned: bool = False
    """Whether the critic is pruned too, to the same densities; its weights are never counted."""
    fit: AdversarialFit | None = None
    """How the generator is trained at each level; by default it is not."""
    seed: Seed = 0
    """The seed of the initial weights where they are drawn, of minibatches, and of all other
    draws."""

    @model_validator(mode="after")
    def _trains_or_not(self) -> Self:
        if (self.images is None) != (self.fit is None):
            missing = "images" if self.images is None else "fit"
            raise ValueError(f"images and fit go together: {missing} is missing")
        if self.fit is None and not isinstance(self.prior, GeneratorFile):
            raise ValueError(
                "without images and fit the weights must come from a checkpoint: prior.kind must "
                f"be file, got {self.prior.kind}"
            )
        if self.layer_densities_of and (self.pruner != Magnitude() or self.critic_pruned):
            raise ValueError(
                "layer_densities_of takes the place of pruner, and the critic then stays dense: "
                "leave out pruner and critic_pruned"
            )
        if self.fit is None and (self.critic_pruned or not isinstance(self.rewind, ToInit)):
            raise ValueError("rewind and critic_pruned are for a generator that is trained")
        if self.fit:
            refuse_late(self.rewind, self.fit.steps)
        return self

    @property
    def levels(self) -> int:
        return self.schedule.levels

    @property
    def steps(self) -> int:
        """The steps of the generator; 0 where a checkpoint is pruned as it is."""
        return self.fit.steps if self.fit else 0

    @property
    def seed_used(self) -> int:
        return self.seed

    @property
    def layers_from(self) -> "Generator | None":
        """The generator whose layer densities its tickets have, if they have those of one."""
        if self.layer_densities_of is None:
            return None
        own = {"pruner": self.layer_densities_of, "layer_densities_of": None}
        return self.model_copy(update=own)

    @property
    def sources(self) -> tuple[AbstractTrial, ...]:
        """The generator whose layer densities its tickets have, if they have those of one."""
        return (self.layers_from,) if self.layers_from else ()

    @property
    def travels(self) -> Literal["layer_densities"] | None:
        """What it takes over of the tickets of another generator."""
        return "layer_densities" if self.layer_densities_of else None

    @property
    def description(self) -> Description:
        """The names of its parts in tables; its image is the set that it learns from."""
        return Description(
            pruner=self._finder.kind,
            prior=self.prior.kind,
            task="generation",
            image=self.images.label if self.images else "",
            travels=self.travels,
        )

    @property
    def _finder(self) -> AbstractPruner:
        """The pruner that its masks, or their layer densities, are found by."""
        return self.layer_densities_of or self.pruner

    def facets(self) -> Facets:
        """The facets; its images are the set that it learns from."""
        images = [self.images] if self.images else []
        return Facets(
            setting=setting_of(self),
            **image_columns(images),
            task=part(self.description.task, lambda view: {}),
            network=self.network_part,
            method=part(self.label, self._method),
            finder=self.finder_part,
        )

    @property
    def network_part(self) -> Part:
        """The architecture, and what it was trained on, as a facet."""
        kind = self.prior.kind
        name = f"{kind} of {self.images.title}" if self.images else kind
        return network_part(name, lambda view: chosen(view, self, TRAINED))

    @property
    def finder_part(self) -> Part:
        """How its tickets are found, as a facet."""
        return part(self.label.replace("_", " "), self._finds)

    def _finds(self, view: View) -> dict[str, Any]:
        return {"kind": self.kind} | self._method(view)

    def _method(self, view: View) -> dict[str, Any]:
        if self.layers_from is None:
            return chosen(view, self, FINDS)
        return {"source": chosen(view, self.layers_from, FINDS), "travels": self.travels}

    @property
    def size(self) -> Size:
        r"""Parameters of the generator; a step is one of both networks, estimated from one pass
        through each.

        A critic's step runs the generator forward, and the critic forward and backward over real
        and generated images and, for the gradient penalty, twice more.
        """
        cost, judging = self.prior.cost, self.prior.critic_macs
        macs = 0
        if self.fit:
            critic_step = cost.macs_per_step // 3 + 4 * judging
            step = self.fit.critic_steps * critic_step + cost.macs_per_step + judging
            macs = self.fit.batch * step
        return Size(parameters=cost.parameters, macs_per_step=macs)

    @property
    def exact_pixels(self) -> int:
        exact = self.fit is not None and self.fit.precision == "fp32"
        return math.prod(self.image_shape[1:]) if exact else 0

    @property
    def finders(self) -> tuple["Generator", ...]:
        """The trial itself, which must be complete before others reconstruct with its tickets."""
        return (self,)

    @property
    def label(self) -> str:
        """The name of its pruner, for tables, with what is taken over of its tickets."""
        return self._finder.kind + (TRAVELS_SAID[self.travels] if self.travels else "")

    @property
    def prior_kind(self) -> str:
        """The kind of its network, for tables."""
        return self.prior.kind

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images that it makes."""
        return self.prior.image_shape

    @property
    def cost(self) -> Cost:
        """Sizes and step cost of the dense network."""
        return self.prior.cost

    @property
    def rehearsal(self) -> str:
        return f"{self.kind} {self.prior.id} {self.fit.id if self.fit else ''}"

    def rehearse(self, steps: int, *, device: torch.device) -> float:
        r"""The measured seconds of `steps` steps of the dense networks on the device.

        Where one step would take a CPU minutes, a smaller minibatch is timed and scaled up.
        """
        if self.fit is None or self.images is None:
            return 0.0
        batch = self.fit.batch
        if device.type == "cpu":
            batch = max(1, min(batch, batch * REHEARSED_MACS // self.size.macs_per_step))
        made = self.prior.build(seed=self.seed, device=device)
        critic = self.prior.build_critic(seed=self.seed, device=device)
        dense = Mask.dense(made.prunable())
        brief = self.fit.model_copy(update={"batch": batch})
        seconds = brief.rehearse(made, critic, self.prior, self.images.load(), dense, steps=steps)
        return seconds * self.fit.batch / batch

    def lacks(self) -> dict[str, str]:
        """All comparisons of images and accuracies; without a fit what training tells too."""
        untold = "it tells of training, and without fit there is none"
        told = () if self.fit else (*ADVERSARIAL, "loss_final")
        others = of_other_kinds(self.kind, *COMPARED, *CLASSIFIED, "selected_step")
        return others | dict.fromkeys(told, untold)

    def conflicts(self) -> Iterator[Conflict]:
        """Find what does not go together. Reads the images; trains nothing."""
        if not self._finder.weights_alone:
            yield (
                "layer_densities_of" if self.layer_densities_of else "pruner",
                f"{self._finder.kind} judges weights by an image that is to be restored, and a "
                f"generator has none: allowed: {', '.join(_without_an_image())}",
            )
        try:
            self.schedule.kept(self.prior.cost.prunable)
        except ValueError as error:
            yield "schedule", str(error)
        if self.images is not None and self.fit is not None:
            yield from self._misfits(self.images, self.fit)

    def _misfits(self, images: ImageSet, fit: AdversarialFit) -> Iterator[Conflict]:
        """Why the generator cannot learn these images, if it cannot."""
        try:
            shape, count = images.shape, len(images.load())
        except ValueError as error:
            yield "images", str(error)
            return
        if shape != self.prior.image_shape:
            yield "images", f"{shapes.size(shape)}, but the generator makes {self._made}"
        for path, message in fit.conflicts(count):
            yield ("images" if path == "images" else f"fit.{path}"), message

    @property
    def _made(self) -> str:
        return f"{shapes.size(self.prior.image_shape)}: set size and channels"

    def mask(self, level: int, context: Context) -> Mask | None:
        """The generator's stored mask of a level; None where none is stored."""
        mask = context.mask(self.id, level)
        return parted(mask)[0] if mask else None

    def network(self, level: int, context: Context) -> dict[str, Tensor] | None:
        """The state dict at the end of a level, pruned weights zero; None where none is stored."""
        if self.fit is not None:
            return context.network(self.id, level)
        mask = self.mask(level, context)
        return self._pruned(mask, context.device) if mask else None

    def _pruned(self, mask: Mask, device: torch.device) -> dict[str, Tensor]:
        """The checkpoint with its pruned weights set to zero."""
        made = self.prior.build(seed=self.seed, device=device)
        made.rewind(made.snapshot(), mask.layers)
        return made.snapshot()


def _without_an_image() -> list[str]:
    """The kinds of pruners that need no image."""
    pruners = (member for member in members(Pruner) if issubclass(member, AbstractPruner))
    return [kind_of(pruner) for pruner in pruners if pruner.weights_alone]


def run(spec: Generator, context: Context) -> Iterator[LevelRecord]:
    r"""Train, record, score, prune, rewind, repeat: one record per level, dense first.

    Resumes at `context.first_level`, from its checkpoint if there is one. After a level that
    diverged, all levels below it are recorded as failed.
    """
    ladder = Ladder(spec, context)
    for level in range(context.first_level, spec.levels):
        reset_peak_memory(context.device)
        mask = ladder.mask(level)
        if mask is None:
            yield ladder.failed(level)
            continue
        result = ladder.fit(level, mask)
        row = ladder.record(level, mask, result)
        masks = ladder.prune(level, mask)
        yield from ladder.completed(level, (row,), masks)


class Ladder(AbstractLadder):
    """One generator and its critic, on a device."""

    def __init__(self, spec: Generator, context: Context) -> None:
        super().__init__(
            spec.id, context, pruner=spec.pruner, rewind=spec.rewind, levels=spec.levels
        )
        self._spec = spec
        self._made = spec.prior.build(seed=spec.seed, device=context.device)
        self._on_path = PathFinder(self._made.module, (spec.prior.latent_size,))
        self._critic = spec.prior.build_critic(seed=spec.seed, device=context.device)
        self._initial = _together(self._made.snapshot(), self._critic.snapshot())
        critic = self._critic.prunable() if spec.critic_pruned else {}
        self._dense = Mask.dense(self._made.prunable() | _prefixed(CRITIC, critic))
        made, judges = parted(self._dense)
        self._kept = spec.schedule.kept(made.total)
        self._critic_kept = spec.schedule.kept(judges.total) if spec.critic_pruned else ()
        self._given = self._with_layers_of(spec.layers_from)
        self._judged: Mapping[str, Tensor] = {}
        """The weights that the next mask is chosen by: those at the end of the level."""

    @property
    def dense(self) -> Mask:
        """The mask that keeps every prunable weight of the generator."""
        return self._dense

    @property
    def initial(self) -> Mapping[str, Tensor]:
        """The initial weights of both networks: the checkpoint's, or drawn by the seed."""
        return self._initial

    def fresh(self, level: int) -> Mapping[str, Tensor]:
        """Generator weights drawn for that level alone, and the critic's as at level 0."""
        draws = keyed(self._spec.seed, "fresh initial weights", level=level)
        made = placed(self._spec.prior.module(draws), self._context.device)
        return _together(made.state_dict(), _part(self._initial, CRITIC))

    def fit(self, level: int, mask: Mask) -> AdversarialResult:
        """Set the remaining weights of both networks to where they begin, and train them."""
        made, critic = parted(mask)
        start = self.start(level)
        self._made.rewind(_part(start, GENERATOR), made.layers)
        own = Mask(_part(critic.layers, CRITIC))
        whole = own if own.layers else Mask.dense(self._critic.prunable())
        self._critic.rewind(_part(start, CRITIC), whole.layers)
        result = self._trained(level, made, whole)
        self._judged = result.average | _prefixed(CRITIC, result.critic)
        snapshot = _together(*result.snapshot) if result.snapshot else None
        self.fitted(level, lambda: _together(result.generator, result.critic), snapshot)
        return result

    def _trained(self, level: int, made: Mask, critic: Mask) -> AdversarialResult:
        spec = self._spec
        on_path = self._on_path(made)
        if on_path.effective == 0:
            return self._untouched(Outcome.COLLAPSED, ONE_IMAGE)
        if spec.fit is None or spec.images is None:
            return self._untouched(Outcome.BUDGET, "")
        return spec.fit.run(
            self._made,
            self._critic,
            spec.prior,
            spec.images.load(),
            made,
            critic,
            seed=spec.seed,
            level=level,
            on_path=on_path,
            snapshot_at=self.snapshot_at if level == 0 else None,
            checkpointer=self._context.checkpointer(spec.id, level),
            callback=self._context.callback(spec.id, level),
        )

    def _untouched(self, outcome: Outcome, reason: str) -> AdversarialResult:
        """A result without training: both networks as they are, and pictures that the generator
        makes."""
        latents = self._spec.prior.latents(SAMPLES, keyed(self._spec.seed, "samples"))
        with torch.no_grad():
            samples = self._made(latents.to(self._context.device)).clamp(0, 1)
        return AdversarialResult(
            outcome=outcome,
            reason=reason,
            steps=0,
            seconds=0.0,
            rows=torch.empty(0, 3),
            average=self._made.snapshot(),
            generator=self._made.snapshot(),
            critic=self._critic.snapshot(),
            snapshot=None,
            critic_gap=None,
            frechet=None,
            samples=samples,
        )

    def _with_layers_of(self, other: Generator | None) -> list[Mask] | None:
        """The random masks of all levels that have the layer densities of another generator; None
        without one. They end where it has no ticket."""
        if other is None:
            return None
        masks = [other.mask(level, self._context) for level in range(other.levels)]
        known = [mask for mask in masks if mask is not None]
        return at_layer_densities(known, seed=self._spec.seed)

    def _lacks_layers(self, level: int) -> bool:
        """Whether the generator whose layer densities are taken over has no ticket at a level."""
        return self._given is not None and level >= len(self._given)

    def cut(self, level: int, mask: Mask) -> Mask:
        """The next mask, by the averaged generator or the initial one; for the critic likewise.

        Raises UnrankableError where the weights have no order, or the generator whose layer
        densities are taken over has no ticket.
        """
        if self._lacks_layers(level):
            raise UnrankableError
        if self._given is not None:
            return self._given[level]
        made, critic = parted(mask)
        judged = self._judged
        if self._spec.pruner.scores_at == "init":
            start = self._initial
            judged = _part(start, GENERATOR) | _prefixed(CRITIC, _part(start, CRITIC))
        factors = self._made.factors() | _prefixed(CRITIC, self._critic.factors())
        layers = dict(self._cut(level, made, judged, factors, self._kept[level]).layers)
        if critic.layers:
            kept = self._critic_kept[level]
            layers |= self._cut(level, critic, judged, factors, kept).layers
        return Mask(layers)

    def _cut(
        self,
        level: int,
        mask: Mask,
        judged: Mapping[str, Tensor],
        factors: Mapping[str, float],
        kept: int,
    ) -> Mask:
        def context_of(mask: Mask, density: float) -> ScoreContext:
            return ScoreContext(
                weights={name: judged[name] * layer for name, layer in mask.layers.items()},
                mask=mask,
                density=density,
                loss=_no_loss,
                module=self._made.module,
                latent_shape=(self._spec.prior.latent_size,),
                factors={name: factors[name] for name in mask.layers},
                seed=self._spec.seed,
                level=level,
            )

        precision = self._spec.fit.precision if self._spec.fit else "fp32"
        with arithmetic(precision, self._context.device):
            return self._spec.pruner.prune(context_of, mask, kept=kept)

    def effective(self, made: Mask) -> int:
        """The number of the generator's kept weights on a path from latent to image."""
        return self._on_path(made).effective

    def record(self, level: int, mask: Mask, result: AdversarialResult) -> LevelRecord:
        """The row of a level, read off the networks as their training left them."""
        made, _ = parted(mask)
        trained = self._spec.fit is not None and result.outcome is not Outcome.DIVERGED
        return LevelRecord(
            **self._identity(level, made.kept),
            effective=self.effective(made),
            macs=self._spec.prior.cost.macs(made.layers),
            steps=result.steps,
            loss_final=float(result.rows[-1, 0]) if result.steps else None,
            critic_gap=result.critic_gap,
            frechet=result.frechet,
            outcome=result.outcome,
            reason=result.reason,
            fit_s=result.seconds,
            network=stored(result.average) if trained else (),
            curve=adversarial_curve(result) if result.steps else None,
            reconstructions=(
                () if result.samples is None else (sheet(result.samples, step=result.steps),)
            ),
            **machine_columns(self._context.device),
        )

    def failed(self, level: int) -> LevelRecord:
        """The row of a level that has no ticket, with the reason."""
        return LevelRecord(
            **self._identity(level, self._kept[level]),
            effective=None,
            outcome=Outcome.FAILED,
            reason=NO_LAYERS if self._lacks_layers(level) else NOT_RANKED,
            **machine_columns(self._context.device),
        )

    def _identity(self, level: int, kept: int) -> dict[str, Any]:
        total = parted(self._dense)[0].total
        unpruned = self._made.parameter_count() - total
        counted = identity_columns(self._spec.id, level, kept=kept, total=total, unpruned=unpruned)
        return counted | {"image": self._spec.description.image}


def parted(mask: Mask) -> tuple[Mask, Mask]:
    """The generator's mask, and the critic's, which has no layer where the critic is not pruned."""
    made = {n: layer for n, layer in mask.layers.items() if not n.startswith(CRITIC)}
    return Mask(made), Mask({n: layer for n, layer in mask.layers.items() if n not in made})


def _together(made: Mapping[str, Tensor], critic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return _prefixed(GENERATOR, made) | _prefixed(CRITIC, critic)


def _prefixed(prefix: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + name: value for name, value in weights.items()}


def _part(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def _no_loss(_: Mapping[str, Tensor]) -> Tensor:
    raise AssertionError("conflicts() refuses criteria that judge weights by an image")
