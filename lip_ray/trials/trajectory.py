"""Trajectories: tickets are found by fitting, pruning and rewinding, level by level."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self, final

from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data.folders import MOST_TOGETHER, one_or_many_images
from lip_ray.data.images import Image
from lip_ray.fits import Fit, FitResult, arithmetic
from lip_ray.priors import Prior, Skip
from lip_ray.pruning import Magnitude, Mask, Pruner, Rate, Schedule, ScoreContext
from lip_ray.records import Facets, LevelRecord
from lip_ray.spec import AlwaysSaid
from lip_ray.tasks import Task
from lip_ray.trials.base import Conflict, Description, together
from lip_ray.trials.bench import (
    AbstractRestoration,
    Bench,
    LatentDraw,
    Setting,
    Target,
    complete_fit,
    usual_rule,
)
from lip_ray.trials.context import Context
from lip_ray.trials.facets import (
    CLEAN_TARGET,
    DENSE,
    ONE_LATENT,
    View,
    at_once,
    chosen,
    few_words,
    fitted_network,
    image_columns,
    in_common,
    measurement_columns,
    part,
    setting_of,
    task_part,
)
from lip_ray.trials.lacking import (
    ADVERSARIAL,
    CLASSIFIED,
    OF_LATENTS,
    of_other_kinds,
    uncomparable,
)
from lip_ray.trials.ladder import AbstractLadder
from lip_ray.trials.recording import reset_peak_memory
from lip_ray.trials.rewinding import Rewind, ToInit, refuse_late

Seed = Annotated[int, Field(ge=0, lt=2**63)]
Images = Annotated[
    tuple[Image, ...],
    Field(strict=False, min_length=1, max_length=MOST_TOGETHER),
    one_or_many_images,
]


FINDS = ("pruner", "schedule", "rewind", "target", "latents")
"""The fields that say how tickets are found."""


@final
class Trajectory(AbstractRestoration):
    """A ladder of tickets of one network: what the study calls a lottery run.

    Dense fitting is level 0 of any trajectory. Several images share the weights; each has its own
    latent, unless that is shared too, and its losses are added, so the ticket is theirs in common.
    """

    kind: Literal["trajectory"] = "trajectory"
    images: Images
    """The image that is restored; several share one ticket, with a latent for each."""
    task: Task
    """What is restored: how the measurement is made of the image."""
    prior: Prior = Skip()
    """The network."""
    pruner: Pruner = Magnitude()
    """Which weights go."""
    schedule: Schedule = Rate()
    """How many weights each level keeps; a list of densities stands for one."""
    rewind: Rewind = ToInit()
    """What the surviving weights are set to before each fit."""
    target: Target = "measured"
    """What is fitted; `clean` finds tickets with the ground truth, as published scripts do."""
    latents: LatentDraw = "kept"
    """Whether each level keeps the same latent of each image, or draws its own as in published
    scripts: `redrawn` one for each image, `shared` one for all images, which the published search
    for tickets of several images had. With one latent the network can only make their mean."""
    fit: Annotated[Fit, AlwaysSaid()] = Fit()
    """How the weights are fitted at each level."""
    seed: Seed = 0
    """The seed of the noise, the latent, the initial weights and all other draws, each keyed
    apart."""

    @model_validator(mode="after")
    def _completes_the_fit(self) -> Self:
        complete_fit(self, self.prior, usual_rule(self.images, self.task, self.target))
        return self

    @model_validator(mode="after")
    def _rewinds_into_the_fit(self) -> Self:
        refuse_late(self.rewind, self.fit.steps)
        return self

    @property
    def levels(self) -> int:
        return self.schedule.levels

    @property
    def steps(self) -> int:
        """The steps of the fit and, where a mask is learned, of the pruner."""
        return self.fit.steps + self.pruner.steps_per_level

    @property
    def seed_used(self) -> int:
        return self.seed

    @property
    def description(self) -> Description:
        return Description(
            pruner=self.pruner.kind,
            prior=self.prior.kind,
            task=self.task.kind,
            image=together(self.images),
        )

    def facets(self) -> Facets:
        """The facets; a trajectory is its own source of tickets."""
        protocol = protocol_of([self])
        shared = at_once(self.images)
        found_on = f" found on {len(self.images)} images" if shared else ""
        return Facets(
            setting=setting_of(self),
            **image_columns(self.images),
            task=task_part(self.task),
            network=fitted_network(self.prior, self.fit),
            method=part(self.label + found_on + protocol, self._method),
            dense=part(DENSE + shared + protocol, self._dense),
            finder=part(self.label + shared + protocol, self._method),
            source=part(few_words(self.images), self.place),
            source_images=tuple(image.label for image in self.images),
            source_tasks=(self.task.kind,),
            source_task=self.task.title,
            source_seed=self.seed,
            target=self.target,
            owns_masks=True,
            **measurement_columns(self.task),
        )

    def finds(self, view: View) -> dict[str, Any]:
        """How it finds tickets, wherever that is, as JSON."""
        return chosen(view, self, FINDS)

    def place(self, view: View) -> dict[str, Any]:
        """The images and the task that it finds tickets on, as JSON."""
        images = view(self.images)
        scene = {"images": images} if len(images) > 1 else {"image": images[0]}
        return scene | {"task": view(self.task)}

    def _method(self, view: View) -> dict[str, Any]:
        return self.finds(view) | in_common(view, self.images)

    def _dense(self, view: View) -> dict[str, Any]:
        target = {"target": self.target} if self.target == "clean" else {}
        latents = {"latents": self.latents} if self.latents == "shared" else {}
        return target | latents | in_common(view, self.images)

    @property
    def setting(self) -> Setting:
        return Setting(
            trial_id=self.id,
            images=self.images,
            task=self.task,
            prior=self.prior,
            fit=self.fit,
            seed=self.seed,
            target=self.target,
            latents=self.latents,
        )

    @property
    def finders(self) -> tuple["Trajectory", ...]:
        """The trajectory itself, which must be complete before others take its tickets."""
        return (self,)

    @property
    def label(self) -> str:
        """The name of its pruner, for tables."""
        return self.pruner.kind

    def counts(self, total: int) -> tuple[int, ...]:
        return self.schedule.kept(total)

    def computed_share(self, level: int) -> float:
        """The share, averaged over the fit's steps and those of the pruner, which compute all
        weights."""
        learning = self.pruner.steps_per_level
        fitted = super().computed_share(level)
        return (fitted * self.fit.steps + learning) / (self.fit.steps + learning)

    def channels(self) -> int:
        """The number of channels of the images that its network makes."""
        return self.setting.shape[0]

    def masks(self, context: Context, dense: Mask) -> list[Mask]:
        """The stored masks by level, dense first, down to the first level without one."""
        found = [dense]
        for level in range(1, self.levels):
            mask = context.mask(self.id, level)
            if mask is None:
                break
            found.append(mask)
        return found

    def weights(self, level: int, context: Context) -> dict[str, Tensor] | None:
        """The stored weights that a level begins with; None where the seed draws them."""
        return context.weights(self.id, level)

    def lacks(self) -> dict[str, str]:
        """Accuracies, numbers of generators, and what cannot be compared with a clean image."""
        others = of_other_kinds(self.kind, *CLASSIFIED, *ADVERSARIAL, *OF_LATENTS)
        return uncomparable(self.images, self.task) | others

    def conflicts(self) -> Iterator[Conflict]:
        """Find what does not go together. Reads the images; fits nothing."""
        yield from self.setting.conflicts()
        channels = self.setting.channels
        if channels is not None:
            try:
                self.schedule.kept(self.prior.prunable_count(channels))
            except ValueError as error:
                yield "schedule", str(error)


def protocol_of(finders: Sequence[Trajectory]) -> str:
    """The words for what published searches had and no user has: the clean image, and one latent
    for several images. Empty for trajectories without either."""
    one_latent = any(finder.latents == "shared" for finder in finders)
    clean = any(finder.target == "clean" for finder in finders)
    return ONE_LATENT * one_latent + CLEAN_TARGET * clean


def run(spec: Trajectory, context: Context) -> Iterator[LevelRecord]:
    r"""Fit, record, score, prune, rewind, repeat: one record per level and image, dense first.

    Resumes at `context.first_level`. After a level whose weights cannot be ranked, because its fit
    diverged, all levels below it are recorded as failed.
    """
    ladder = Ladder(spec, context)
    for level in range(context.first_level, spec.levels):
        reset_peak_memory(context.device)
        mask = ladder.mask(level)
        if mask is None:
            yield from ladder.failed(level)
            continue
        results = ladder.fit(level, mask)
        rows = ladder.records(level, mask, results)
        masks = ladder.prune(level, mask)
        yield from ladder.completed(level, rows, masks)


def refit(spec: Trajectory, level: int, context: Context) -> tuple[LevelRecord, ...]:
    """The rows of one level, fitted with its stored mask; nothing is pruned afterwards."""
    ladder = Ladder(spec, context)
    mask = ladder.mask(level)
    if mask is None:
        return ladder.failed(level)
    return ladder.records(level, mask, ladder.fit(level, mask))


class Ladder(AbstractLadder):
    """One trajectory, on a device."""

    def __init__(self, spec: Trajectory, context: Context) -> None:
        super().__init__(
            spec.id, context, pruner=spec.pruner, rewind=spec.rewind, levels=spec.levels
        )
        self._spec = spec
        self._bench = Bench(spec.setting, context.device, pictures=context.pictures)
        self._kept = spec.schedule.kept(self._bench.dense.total)

    @property
    def dense(self) -> Mask:
        """The mask that keeps every convolution's weights."""
        return self._bench.dense

    @property
    def initial(self) -> Mapping[str, Tensor]:
        """The weights that the seed draws."""
        return self._bench.initial

    def fresh(self, level: int) -> Mapping[str, Tensor]:
        """The weights that the seed draws for that level alone."""
        return self._bench.fresh(self._spec.seed, level)

    def fit(self, level: int, mask: Mask) -> tuple[FitResult, ...]:
        """Set the remaining weights to where they begin, and fit them."""
        snapshot_at = self.snapshot_at if level == 0 else None
        callback = self._context.callback(self._spec.id, level)
        results = self._bench.fit(
            level, self.start(level), mask, snapshot_at=snapshot_at, callback=callback
        )
        self.fitted(level, self._bench.prior.snapshot, results[0].snapshot)
        return results

    def cut(self, level: int, mask: Mask) -> Mask:
        """The next mask, by the trajectory's criterion, from the present or the initial weights."""
        if self._spec.pruner.scores_at == "init":
            self._bench.prior.rewind(self._bench.initial, self._bench.dense.layers)

        def context_of(mask: Mask, density: float) -> ScoreContext:
            return self._bench.score_context(mask, density, level=level)

        with arithmetic(self._spec.fit.precision, self._bench.device):
            return self._spec.pruner.prune(context_of, mask, kept=self._kept[level])

    def records(
        self, level: int, mask: Mask, results: Sequence[FitResult]
    ) -> tuple[LevelRecord, ...]:
        """The rows of a level, read off the network as its fit left it."""
        return self._bench.records(level, mask, results)

    def failed(self, level: int) -> tuple[LevelRecord, ...]:
        """The rows of a level that has no ticket, with the reason."""
        reason = "a level above diverged, so its weights could not be ranked"
        return self._bench.failed(level, self._kept[level], reason)
