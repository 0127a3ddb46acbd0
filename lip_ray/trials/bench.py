"""The fit of one level, made concrete: problems, network, latents and draws of a trial."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.fits import (
    AbstractStopping,
    Callback,
    Fit,
    FitResult,
    HeldOut,
    Snapshot,
    Subject,
    WindowedVariance,
)
from lip_ray.fits.execution import runs_sparse
from lip_ray.fits.numerics import DeadScales
from lip_ray.fits.progress import no_callback
from lip_ray.fits.sending import sent
from lip_ray.fits.sparse.loading import missing
from lip_ray.priors import AbstractPrior, UntrainedPrior
from lip_ray.priors.base import LAYOUTS
from lip_ray.pruning import Mask, PathFinder, ScoreContext
from lip_ray.records import KeptPictures, LevelRecord, Outcome
from lip_ray.rng import keyed
from lip_ray.tasks import AbstractTask, Problem
from lip_ray.trials.base import AbstractTrial, Conflict, Size
from lip_ray.trials.recording import (
    choices,
    curve,
    fit_columns,
    identity_columns,
    machine_columns,
    picture_fields,
    unfinished,
)

Target = Literal["measured", "clean"]
LatentDraw = Literal["kept", "redrawn", "shared"]

OF_MEASUREMENTS = ("discrepancy", "held_out")
"""The kinds of stopping rules that compare a fit with the measurement."""

ONE_COLOUR = "no path from input to output is left, so the image is one colour: it is not fitted"


class _Examined(NamedTuple):
    """What is known of one image of a setting before anything runs."""

    wrong: tuple[Conflict, ...]
    shape: tuple[int, int, int] | None = None
    """The shape (C, H, W) to restore; None where unknown."""
    noise_variance: float | None = None
    values: int = 0
    """The number of measured values."""


@cache  # the trials of a sweep share few images
def _examined(
    image: Picture, task: AbstractTask, prior: AbstractPrior, target: Target
) -> _Examined:
    """What is wrong with one image, and what there is to restore."""
    try:
        image.load()
    except ValueError as error:
        return _Examined((("images", str(error)),))
    wrong = tuple((f"task.{path}", message) for path, message in task.conflicts(image))
    if wrong:
        return _Examined(wrong)
    problem = task.realise(image, seed=0, device=torch.device("cpu"))
    _, height, width = problem.image_shape
    least = prior.minimum_side
    if min(height, width) < least:
        size = f"{image.label} is {height}×{width}"
        wrong += (("images", f"{size}, but this prior needs at least {least}×{least}"),)
    if target == "clean" and problem.clean is None:
        wrong += (("target", f"{image.label} is a measurement: no clean image is known"),)
    values = problem.measured.numel()
    return _Examined(wrong, problem.image_shape, problem.noise_variance, values)


@cache  # the trials of a sweep share few networks
def _unknown_layer(prior: AbstractPrior) -> str:
    """The layer of a prior that sparse execution does not know, if there is one."""
    from lip_ray.fits.sparse.program import lacking  # imports numba

    with torch.device("meta"):
        reason = lacking(prior.network(3))
    return f"sparse does not know the prior {prior.kind}: {reason}; allowed: dense" * bool(reason)


@cache
def _too_large(prior: AbstractPrior, height: int, width: int) -> str:
    """Why sparse execution cannot restore so many pixels with a prior, if it cannot."""
    from lip_ray.fits.sparse.program import too_large  # imports numba

    with torch.device("meta"):
        reason = too_large(prior.network(3), height, width)
    return f"the prior {prior.kind} {reason}" * bool(reason)


def usual_rule(
    images: Sequence[Picture], task: AbstractTask, target: Target = "measured"
) -> AbstractStopping:
    """The stopping rule of a fit that states none.

    Held-out values judge a fit to a noisy measurement. Where there is no noise the average is best
    once it is still, and every value is fitted. The clean image has no noise either.
    """
    noisy = task.adds_noise or any(image.measurement is not None for image in images)
    return HeldOut() if noisy and target == "measured" else WindowedVariance()


def complete_fit(
    trial: "AbstractRestoration", prior: AbstractPrior, usual: AbstractStopping
) -> None:
    """Set everything that the fit of a trial leaves open, while the trial is being validated.

    So the spec is complete by itself: whoever reads it needs no default.
    """
    fit: Fit = trial.__dict__["fit"]
    trial.__dict__["fit"] = fit.completed(prior.published_fit, usual=usual)


def _one_latent_conflicts(shapes: Sequence[tuple[int, int, int]]) -> Iterator[Conflict]:
    """Why images of these shapes cannot have one latent in common, if they cannot."""
    if len(shapes) == 1:
        yield "latents", "shared is for several images; one image has redrawn ones"
    if len(set(shapes)) > 1:
        sizes = " and ".join(f"{height}×{width}" for _, height, width in dict.fromkeys(shapes))
        yield "images", f"one latent makes images of one size only, got {sizes}: set size on each"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The images, task, network and fit that trajectories and transfers have in common."""

    trial_id: str
    images: tuple[Picture, ...]
    task: AbstractTask
    prior: AbstractPrior
    fit: Fit
    seed: int
    target: Target = "measured"
    latents: LatentDraw = "kept"

    def conflicts(self) -> list[Conflict]:
        """What is wrong with the images, together with the task, the prior and the target."""
        found: list[Conflict] = [*self._unjudgeable(), *self._not_sparse()]
        shapes = []
        for image in self.images:
            examined = _examined(image, self.task, self.prior, self.target)
            found += examined.wrong
            if examined.shape:
                shapes.append(examined.shape)
                found += self._unjudgeable_image(image, examined)
                found += self._too_large(image, examined.shape)
        channels = {shape[0] for shape in shapes}
        if len(channels) > 1:
            counts = " and ".join(map(str, sorted(channels)))
            found.append(
                (
                    "images",
                    "images that share their weights must have equally many channels, "
                    f"got {counts}: set channels on each",
                )
            )
        elif self.latents == "shared":
            found += _one_latent_conflicts(shapes)
        elif not all(self.prior.shares_network(shapes[0], shape) for shape in shapes):
            sizes = " and ".join(f"{height}×{width}" for _, height, width in dict.fromkeys(shapes))
            found.append(
                (
                    "images",
                    f"a {self.prior.kind} network makes images of one size only, got {sizes}: "
                    "set size on each",
                )
            )
        labels = [image.label for image in self.images]
        if len(set(labels)) < len(labels):
            found.append(("images", f"each image once, got {', '.join(labels)}"))
        return found

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the first image to restore. Raises ValueError where it cannot be read."""
        return self._shape(self.images[0])

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of each image to restore. Raises ValueError where one cannot be read."""
        return tuple(map(self._shape, self.images))

    def _shape(self, image: Picture) -> tuple[int, int, int]:
        examined = _examined(image, self.task, self.prior, self.target)
        if examined.shape is None:
            raise ValueError("; ".join(message for _, message in examined.wrong))
        return examined.shape

    @property
    def channels(self) -> int | None:
        """The number of channels of the images to restore; None where they cannot be read."""
        shape = _examined(self.images[0], self.task, self.prior, self.target).shape
        return shape[0] if shape else None

    def _unjudgeable(self) -> Iterator[Conflict]:
        """A rule that lacks what it goes by, whatever the images."""
        rule, share = self.fit.stopping.kind, self.fit.held_out
        if self.target == "clean":
            if rule in OF_MEASUREMENTS:
                yield (
                    "fit.stopping",
                    f"{rule} judges fits to a measurement, and with target clean none is fitted: "
                    "allowed here: wmv, emv",
                )
            elif share:
                yield (
                    "fit.held_out",
                    "leaves measured values out of the loss, and with target clean none is in it: "
                    f"must be 0, got {share:g}",
                )
        elif rule == "held_out" and not share:
            yield "fit.held_out", "must be greater than 0 for the rule held_out, got 0"

    def _not_sparse(self) -> Iterator[Conflict]:
        """What sparse execution lacks, where it is asked for."""
        if self.fit.execution == "sparse" and (reason := missing() or _unknown_layer(self.prior)):
            yield "fit.execution", reason

    def _too_large(self, image: Picture, shape: tuple[int, int, int]) -> Iterator[Conflict]:
        """An image with more values than sparse execution can address, where it is asked for."""
        if self.fit.execution == "sparse" and not missing():
            _, height, width = shape
            if reason := _too_large(self.prior, height, width):
                yield "fit.execution", f"{image.label}: {reason}; allowed: dense"

    def _unjudgeable_image(self, image: Picture, examined: _Examined) -> Iterator[Conflict]:
        """An image whose noise nobody knows, or of whose measurement nothing can be held out."""
        if self.target == "clean":
            return
        if self.fit.held_out and examined.values < 2:
            yield "fit.held_out", f"needs at least two measured values, {image.label} has one"
        if self.fit.stopping.kind == "discrepancy" and examined.noise_variance is None:
            yield (
                "fit.stopping",
                f"discrepancy compares residuals with the noise, and that of {image.label} is "
                "neither stated by the task nor can it be estimated: allowed here: held_out, wmv, "
                "emv",
            )

    def problem(self, image: Picture, device: torch.device) -> Problem:
        """The inverse problem of one image, with the target of this setting."""
        problem = self.task.realise(image, seed=self.seed, device=device)
        if self.target == "clean":  # which no noise is part of
            return replace(problem, target="clean", noise_variance=None)
        draws = keyed(self.seed, "held-out values", image=image.label)
        return problem.holding_out(self.fit.held_out, draws)

    @property
    def size(self) -> Size:
        """Parameters of the network and the cost of a step for the first image; a step of several
        images costs the sum over them."""
        cost = self.prior.cost(self.shape)
        return Size(parameters=cost.parameters, macs_per_step=cost.macs_per_step)

    @property
    def macs_per_step(self) -> int:
        """The multiply-adds of one step of the whole network, over all images."""
        return sum(self.prior.cost(shape).macs_per_step for shape in self.shapes)

    @property
    def rehearsal(self) -> str:
        """A key of all that a step's cost depends on; the strength of the noise is not in it."""
        shapes = [tuple(image.load().shape) for image in self.images]
        return f"{self.task.kind} {shapes} {self.prior.id} {self.fit.id}"

    def rehearse(self, steps: int, *, device: torch.device) -> float:
        """The measured seconds of `steps` dense steps on the device, without early stopping."""
        bench = Bench(self, device)
        brief = self.fit.model_copy(update={"steps": steps})
        results = brief.run(
            bench.subjects(level=0), bench.dense, on_path=bench.on_path(bench.dense)
        )
        return results[0].seconds


class AbstractRestoration(AbstractTrial, ABC):
    """A trial that restores images; its setting determines its rows, size and step cost."""

    if TYPE_CHECKING:  # a field

        @property
        def fit(self) -> Fit:
            """How the weights are fitted at every level."""

    @property
    @abstractmethod
    def setting(self) -> Setting:
        """The images, task, network and fit of the trial."""

    @property
    def image_fit(self) -> Fit:
        return self.setting.fit

    @property
    def images_per_level(self) -> int:
        return len(self.setting.images)

    @property
    def size(self) -> Size:
        return self.setting.size

    @property
    def is_sparse(self) -> bool:
        return self.fit.execution == "sparse"

    def computed_share(self, level: int) -> float:
        r"""The density of a level that is sparse, otherwise 1.

        It is the schedule's: which layers lose their weights is known once there is a mask, and
        layers differ in how often they use a weight.
        """
        if not self.is_sparse:
            return 1.0
        cost = self.setting.prior.cost(self.setting.shape)
        kept = self.counts(cost.prunable)[level]
        return kept / cost.prunable if runs_sparse(kept, cost.output_channels) else 1.0

    @abstractmethod
    def counts(self, total: int) -> tuple[int, ...]:
        """The number of weights that each level keeps, out of `total`."""

    @property
    def whole_macs(self) -> int:
        return self.setting.macs_per_step

    @property
    def exact_pixels(self) -> int:
        exact = self.fit.precision == "fp32" and not self.is_sparse
        return max(height * width for _, height, width in self.setting.shapes) if exact else 0

    @property
    def rehearsal(self) -> str:
        return self.setting.rehearsal

    def rehearse(self, steps: int, *, device: torch.device) -> float:
        return self.setting.rehearse(steps, device=device)


class Bench:
    """A setting on a device: the network, and one subject for each image."""

    def __init__(
        self, setting: Setting, device: torch.device, *, pictures: KeptPictures = "auto"
    ) -> None:
        """`pictures` are those that the rows of a level hold at full size."""
        if setting.fit.compiled:  # PyTorch compiles no more than a few networks a process, and a
            torch.compiler.reset()  # second size of image for all sizes: each trial is the first
        self._setting = setting
        self._pictures = pictures
        self.device = device
        self._problems = [setting.problem(image, device) for image in setting.images]
        self.prior: UntrainedPrior = setting.prior.build(
            self._problems[0].image_shape,
            seed=setting.seed,
            image=setting.images[0].label,
            device=device,
        )
        self.initial = self.prior.snapshot()
        self.dense = Mask.dense(self.prior.prunable())
        self.on_path = PathFinder(self.prior.module, self._latent_shape)

    def drawn(self, seed: int) -> dict[str, Tensor]:
        """The initial weights of another seed."""
        return self._drawn(keyed(seed, "initial weights"))

    def fresh(self, seed: int, level: int = 0) -> dict[str, Tensor]:
        """Weights of the same distribution as the initial ones, keyed apart from them."""
        return self._drawn(keyed(seed, "fresh initial weights", level=level))

    def _drawn(self, draws: torch.Generator) -> dict[str, Tensor]:
        module = self._setting.prior.module(self._problems[0].image_shape, draws)
        return {name: value.to(self.device) for name, value in module.state_dict().items()}

    def subjects(self, *, level: int) -> tuple[Subject, ...]:
        """One subject per image: its problem, its own latent, and the draws of its input noise.

        With a shared latent all of them have the latent and the input noise of the first image.
        """
        shared, first = self._setting.latents == "shared", self._setting.images[0]
        return tuple(
            self._subject(first.label if shared else image.label, problem, level)
            for image, problem in zip(self._setting.images, self._problems, strict=True)
        )

    def _subject(self, drawn_for: str, problem: Problem, level: int) -> Subject:
        """A problem with the latent and the input noise that are drawn for an image."""
        draws = keyed(
            self._setting.seed, "input noise", image=drawn_for, level=level, device=self.device
        )
        latent = self._latent(drawn_for, problem, level)
        return Subject(prior=self.prior.with_latent(latent), problem=problem, draws=draws)

    def _latent(self, image: str, problem: Problem, level: int) -> Tensor:
        drawn_at = 0 if self._setting.latents == "kept" else level
        draws = keyed(self._setting.seed, "latent", image=image, level=drawn_at)
        latent = self._setting.prior.latent(problem.image_shape, draws)
        layout = LAYOUTS.get(self.device.type, torch.contiguous_format)
        return sent(latent, self.device).to(memory_format=layout)

    def fit(
        self,
        level: int,
        start: Mapping[str, Tensor],
        mask: Mask,
        *,
        snapshot_at: int | None = None,
        callback: Callback = no_callback,
    ) -> tuple[FitResult, ...]:
        """Set the network to `start` times `mask` and fit it. Without a path from input to output,
        all images are recorded as collapsed instead."""
        self.prior.rewind(start, mask.layers)
        on_path = self.on_path(mask)
        if on_path.effective == 0:
            return tuple(
                collapsed(problem.constant(), problem, reason=ONE_COLOUR)
                for problem in self._problems
            )
        return self._setting.fit.run(
            self.subjects(level=level),
            mask,
            on_path=on_path,
            snapshot_at=snapshot_at,
            callback=callback,
        )

    def effective(self, mask: Mask) -> int:
        """The number of kept weights on a path from latent to image."""
        return self.on_path(mask).effective

    @property
    def _latent_shape(self) -> tuple[int, int, int]:
        """The shape of the smallest latent that the network takes, (C, h, w)."""
        side = self._setting.prior.minimum_side
        channels = self._problems[0].image_shape[0]
        return self._setting.prior.latent_shape((channels, side, side))

    def score_context(self, mask: Mask, density: float, *, level: int) -> ScoreContext:
        """The context in which a criterion scores the present weights, pruned by `mask`."""
        subjects = self.subjects(level=level)
        dead = cache(partial(self._dead_scales, mask))  # most criteria use no loss

        def loss(weights: Mapping[str, Tensor]) -> Tensor:
            used = dict(weights) | dead()
            return torch.stack(
                [s.problem.loss(s.prior.restored_with(used)) for s in subjects]
            ).sum()

        return ScoreContext(
            weights={
                name: weight.detach() * mask.layers[name]
                for name, weight in self.prior.prunable().items()
            },
            mask=mask,
            density=density,
            loss=loss,
            module=self.prior.module,
            latent_shape=self._latent_shape,
            seed=self._setting.seed,
            level=level,
        )

    def _dead_scales(self, mask: Mask) -> dict[str, Tensor]:
        """By name, the scales of normalisation with zero where `mask` leaves no path."""
        if mask.kept == mask.total:
            return {}
        return DeadScales(self.prior, self.on_path(mask).parameters).zeros

    def records(
        self,
        level: int,
        mask: Mask,
        results: Sequence[FitResult],
    ) -> tuple[LevelRecord, ...]:
        """The rows of a level, one per image."""
        effective = self.effective(mask)
        macs = self._setting.prior.cost(self._problems[0].image_shape).macs(mask.layers)
        return tuple(
            LevelRecord(
                **self._identity(level, image.label, mask.kept),
                effective=effective,
                macs=macs,
                outcome=result.outcome,
                reason=result.reason,
                unfinished=unfinished(result),
                curve=curve(result) if result.steps else None,
                choices=choices(result),
                **picture_fields(result, problem, image, level=level, kept=self._pictures),
                **fit_columns(result, problem, share=len(results)),
                **machine_columns(self.device),
            )
            for image, problem, result in zip(
                self._setting.images, self._problems, results, strict=True
            )
        )

    def failed(self, level: int, kept: int, reason: str) -> tuple[LevelRecord, ...]:
        """The rows of a level that has no ticket: one per image, with the reason."""
        return tuple(
            LevelRecord(
                **self._identity(level, image.label, kept),
                effective=None,
                outcome=Outcome.FAILED,
                reason=reason,
                **machine_columns(self.device),
            )
            for image in self._setting.images
        )

    def _identity(self, level: int, image: str, kept: int) -> dict[str, Any]:
        total = self.dense.total
        unpruned = self.prior.parameter_count() - total
        counted = identity_columns(
            self._setting.trial_id, level, kept=kept, total=total, unpruned=unpruned
        )
        return counted | {"image": image}


def collapsed(image: Tensor, problem: Problem, *, reason: str) -> FitResult:
    """The result of a network without a path: the one image (1, C, H, W) that it can make."""
    only = Snapshot(step=0, image=image)
    return FitResult(
        outcome=Outcome.COLLAPSED,
        reason=reason,
        steps=0,
        seconds=0.0,
        rows=torch.empty(0, 4),
        peak=only if problem.clean is not None else None,
        selected=only,
        final=only,
    )
