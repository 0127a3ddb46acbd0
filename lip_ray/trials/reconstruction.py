"""Reconstructions: images recovered from few measurements, with a generator's tickets as priors."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, final

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from lip_ray.data.folders import MOST_TOGETHER, PictureFolder, expanded
from lip_ray.data.images import AnyImage, Index, Picture, named
from lip_ray.fits import (
    AbstractSolver,
    Callback,
    Erm,
    FitResult,
    Lasso,
    LatentSolver,
)
from lip_ray.fits.progress import unknown
from lip_ray.priors import shapes
from lip_ray.priors.generators.base import Output
from lip_ray.priors.network import Cost
from lip_ray.pruning import Mask, effective
from lip_ray.records import Facets, LevelRecord, Outcome, Part, Split
from lip_ray.rng import keyed
from lip_ray.spec import Family, Spec
from lip_ray.tasks import CompressedSensing, Problem, Projection, Task
from lip_ray.tasks.outliers import StudentNoise
from lip_ray.trials.base import (
    AbstractTrial,
    Conflict,
    Description,
    Size,
    Take,
    refuse_untakeable,
)
from lip_ray.trials.bench import collapsed
from lip_ray.trials.context import Context
from lip_ray.trials.facets import (
    View,
    chosen,
    image_columns,
    measurement_columns,
    network_part,
    part,
    setting_of,
    without,
)
from lip_ray.trials.generator import ONE_IMAGE, Generator
from lip_ray.trials.lacking import (
    ADVERSARIAL,
    CLASSIFIED,
    of_other_kinds,
    uncomparable,
    without_ssim,
)
from lip_ray.trials.recording import (
    curve,
    fit_columns,
    identity_columns,
    machine_columns,
    picture_fields,
    reset_peak_memory,
)
from lip_ray.trials.takeover import AbstractTakeover
from lip_ray.trials.trajectory import Seed


@final
class Sample(Spec):
    r"""An image that the dense generator of the source makes, so that it is in its range.

    The tickets have other ranges: such images measure how well a ticket still reaches them.
    """

    kind: Literal["sample"] = "sample"
    index: Index = 0
    """The number of the draw of the latent, from 0, by the trial's seed."""

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return f"sample-{self.index}"


@final
class Cosines(Spec):
    """The cosine basis instead of a generator; photos have few large coefficients in it."""

    kind: Literal["dct"] = "dct"
    levels: ClassVar[int] = 1
    seed: ClassVar[int] = 0
    label: ClassVar[str] = "none"
    """The pruner in tables: none, as there are no tickets."""
    prior_kind: ClassVar[str] = "dct"
    finders: ClassVar[tuple[AbstractTrial, ...]] = ()
    images: ClassVar[None] = None
    image_shape: ClassVar[None] = None
    """None: it makes images of any shape."""
    cost: ClassVar[Cost] = Cost(
        parameters=0, prunable=0, output_channels=0, macs_per_pass=0, macs_per_step=0, uses={}
    )

    @property
    def network_part(self) -> Part:
        """The facet of the network, which does not depend on the images."""
        return network_part(self.prior_kind, lambda view: {})

    @property
    def finder_part(self) -> Part:
        """The facet of how tickets are found: none are."""
        return part("", lambda view: {"kind": self.kind})

    def conflicts(self) -> Iterator[Conflict]:
        """Nothing, as the basis goes with every image."""
        yield from ()


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture that a generator made."""

    label: str
    pixels: Tensor
    """(C, H, W) float32 in [0, 1] on the CPU."""
    measured: bool = False
    measurement: None = None

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU."""
        return self.pixels


GeneratorSource = Annotated[Generator | Cosines, Family(default="generator")]

Subject = Annotated[AnyImage | Sample, Family(short=named, offers=str)]
Subjects = Annotated[
    tuple[Subject, ...],
    Field(strict=False, min_length=1, max_length=MOST_TOGETHER),
    BeforeValidator(
        expanded, json_schema_input_type=Subject | PictureFolder | list[Subject | PictureFolder]
    ),
]
"""One image or several; an index that is a list stands for several images of one file or set."""

AnySolver = Annotated[LatentSolver | Lasso, Family(default="erm")]


@final
class Reconstruction(AbstractTakeover):
    r"""Images recovered with the tickets of `source`, level by level; level 0 is the dense network.

    A latent is fitted until the measurement of the generated image is that of the image to recover
    (CSGM, Bora et al. 2017, arXiv 1703.03208). All images are measured by the same matrix; all
    images and restarts are one batch. The best fit of the same generators to the images themselves,
    the representation floor, is a trial that this one depends on: the task `projection`.
    """

    kind: Literal["reconstruction"] = "reconstruction"
    source: GeneratorSource
    """The trial that trains and prunes the generator; it runs first, and once. Or a basis."""
    images: Subjects
    """The images that are recovered."""
    task: Task
    """What is measured of the images."""
    solver: AnySolver = Erm()
    """How the latent is found."""
    take: Take = None
    """The levels of the source that are evaluated, in rising order; by default all."""
    seed: Seed | None = None
    """The seed of the measurements, the latents and all other draws; by default the source's."""

    @model_validator(mode="after")
    def _takes_what_there_is(self) -> Self:
        refuse_untakeable(self.take, self.source.levels)
        return self

    @model_validator(mode="after")
    def _solvable(self) -> Self:
        if isinstance(self.source, Cosines) != isinstance(self.solver, Lasso):
            raise ValueError(
                "the solver lasso and the source dct go together: lasso finds coefficients of the "
                f"basis, all others a generator's latent; got {self.solver.kind} with "
                f"{self.source.kind}"
            )
        return self

    @property
    def taken(self) -> tuple[int, ...]:
        """For each level of this trial, the level of the source that it evaluates."""
        return tuple(range(self.source.levels)) if self.take is None else self.take

    @property
    def levels(self) -> int:
        return len(self.taken)

    @property
    def steps(self) -> int:
        """The steps of the solver."""
        return 1 if isinstance(self.solver, Lasso) else self.solver.steps

    @property
    def floor(self) -> "Reconstruction | None":
        r"""The trial that fits the same generators to the images themselves, with as many restarts.

        None where this trial is one already, or has no generator or no clean image.
        """
        solver = self.solver
        if isinstance(self.task, Projection) or isinstance(solver, Lasso):
            return None
        if any(not isinstance(image, Sample) and image.measured for image in self.images):
            return None
        names = ("steps", "learning_rate", "restarts", "latent_penalty", "candidates")
        alike = Erm.model_validate({name: getattr(solver, name) for name in names})
        return self.model_copy(update={"task": Projection(), "solver": alike})

    @property
    def sources(self) -> tuple[AbstractTrial, ...]:
        """The generators of the source, and the floor."""
        floor = self.floor
        return (*super().sources, *([floor] if floor else []))

    @property
    def images_per_level(self) -> int:
        return len(self.images)

    @property
    def description(self) -> Description:
        return Description(
            pruner=self.source.label,
            prior=self.source.prior_kind,
            task=self.task.kind,
            image=" + ".join(image.label for image in self.images),
        )

    def facets(self) -> Facets:
        r"""The facets of the trial.

        The task leaves out its number of measurements and its outliers, which are facets of their
        own. The method is the solver, however the generator was pruned.
        """
        outliers = self.task.outliers if isinstance(self.task, CompressedSensing) else None
        return Facets(
            setting=setting_of(self),
            **image_columns(self.images),
            task=part(self.task.title.replace("_", " ", 1), self._task),
            network=self.source.network_part,
            method=part(self.solver.kind.replace("_", " "), self._method),
            finder=self.source.finder_part,
            outliers=part(outliers.title, lambda view: view(outliers)) if outliers else None,
            source_seed=self.source.seed if isinstance(self.source, Generator) else None,
            solver=self.solver.kind,
            **measurement_columns(self.task),
        )

    def _task(self, view: View) -> dict[str, Any]:
        return without(view(self.task), "m", "outliers")

    def _method(self, view: View) -> dict[str, Any]:
        own: dict[str, Any] = view(self.solver)
        return own | chosen(view, self, ("take",))

    @property
    def size(self) -> Size:
        """Parameters of the generator; a step is one of all restarts of one image."""
        cost, solver = self.source.cost, self.solver
        batch = 0 if isinstance(solver, Lasso) else solver.players * solver.restarts
        return Size(parameters=cost.parameters, macs_per_step=batch * cost.macs_per_step)

    @property
    def whole_macs(self) -> int:
        """The multiply-adds of one step over all images: forward, and back to the latents. No
        weight has a gradient."""
        solver = self.solver
        batch = 0 if isinstance(solver, Lasso) else solver.players * solver.restarts
        return 2 * self.source.cost.macs_per_pass * batch * len(self.images)

    @property
    def rehearsal(self) -> str:
        source = self.source
        prior = source.prior.id if isinstance(source, Generator) else ""
        return f"{self.kind} {prior} {len(self.images)} {self.task.id} {self.solver.id}"

    def rehearse(self, steps: int, *, device: torch.device) -> float:
        """The measured seconds of `steps` steps with the dense network, or of as many whole
        solutions."""
        return self.bench(Context(device=device)).seconds(steps)

    def bench(self, context: Context) -> "AbstractBench":
        """The problems and the solver of the trial, on the context's device."""
        if isinstance(self.solver, Lasso):
            return SparseBench(self, self.solver, context)
        if isinstance(self.source, Cosines):
            raise AssertionError("only lasso does without a generator, as is checked above")
        return LatentBench(self, self.source, self.solver, context)

    def lacks(self) -> dict[str, str]:
        """Accuracies and numbers of generators; of a basis also paths; comparisons as ever."""
        pathless = ("effective", "macs") if isinstance(self.source, Cosines) else ()
        pictures = [image for image in self.images if not isinstance(image, Sample)]
        others = of_other_kinds(self.kind, *CLASSIFIED, *ADVERSARIAL)
        without = dict.fromkeys(pathless, "without a generator there are no weights")
        made = self.source.image_shape  # of samples too
        small = without_ssim(made[1:]) if made else {}
        return small | uncomparable(pictures, self.task) | others | without

    def conflicts(self) -> Iterator[Conflict]:
        """Find what does not go together. Reads the images; neither trains nor fits anything."""
        yield from ((f"source.{path}", message) for path, message in self.source.conflicts())
        labels = [image.label for image in self.images]
        if len(set(labels)) < len(labels):
            yield "images", f"each image once, got {', '.join(labels)}"
        for image in self.images:
            yield from self._misfits(image)

    def _misfits(self, image: AnyImage | Sample) -> Iterator[Conflict]:
        """Why one image cannot be recovered, if it cannot."""
        try:
            picture = _known(image, self.source)
            shape = tuple(picture.load().shape)
        except ValueError as error:
            yield "images", str(error)
            return
        made = self.source.image_shape or shape
        if shape != made:
            yield (
                "images",
                f"{image.label} is {shapes.size(shape)}, but the generator makes "
                f"{shapes.size(made)}: set size and channels",
            )
            return
        wrong = [(f"task.{path}", message) for path, message in self.task.conflicts(picture)]
        yield from wrong
        if not wrong:
            yield from self._unsolvable(picture)

    def _unsolvable(self, picture: Picture) -> Iterator[Conflict]:
        """Why the solver cannot use these measurements, if it cannot."""
        share = None
        if isinstance(self.task, CompressedSensing):
            count, outliers = self.task.m, self.task.outliers
            share = None if isinstance(outliers, StudentNoise | None) else outliers.share
        else:
            problem = self.task.realise(picture, seed=self.seed_used, device=torch.device("cpu"))
            count = problem.measured.numel()
        if isinstance(self.solver, Lasso):
            wrong = self.solver.conflicts(count, picture.load().numel())
        else:
            wrong = self.solver.conflicts(count, share)
        yield from ((f"solver.{path}", message) for path, message in wrong)

    def remarks(self) -> Iterator[str]:
        """A warning where there are more measurements than values in an image."""
        shape = self.source.image_shape
        if isinstance(self.task, CompressedSensing) and shape and self.task.m > math.prod(shape):
            yield (
                f"task.m is {self.task.m}, more than the {math.prod(shape)} values of an image: "
                "this is no compression"
            )


def run(spec: Reconstruction, context: Context) -> Iterator[LevelRecord]:
    r"""Take a generator, fit latents, record: one record per level and image, dense first.

    Levels that the source has no generator for are recorded as failed.
    """
    bench = spec.bench(context)
    for level, there in list(enumerate(spec.taken))[context.first_level :]:
        reset_peak_memory(context.device)
        yield from bench.records(level, there)


class AbstractBench(ABC):
    """The problems of all images of a trial and what solves them, on a device."""

    def __init__(self, spec: Reconstruction, pictures: Sequence[Picture], context: Context) -> None:
        self.spec = spec
        self.context = context
        self.pictures = pictures
        self.problems = [
            spec.task.realise(picture, seed=spec.seed_used, device=context.device)
            for picture in pictures
        ]

    @abstractmethod
    def records(self, level: int, there: int) -> Iterator[LevelRecord]:
        """The rows of a level, one per image; `there` is the level of the source."""

    @abstractmethod
    def seconds(self, steps: int) -> float:
        """The measured seconds of `steps` steps with the dense network."""

    def identity(self, level: int, kept: int, total: int, unpruned: int = 0) -> dict[str, Any]:
        """The columns that all images of a level have in common."""
        counted = identity_columns(self.spec.id, level, kept=kept, total=total, unpruned=unpruned)
        return counted | machine_columns(self.context.device)

    def found(
        self, level: int, picture: Picture, problem: Problem, result: FitResult
    ) -> dict[str, Any]:
        """The columns of one image that describe its fit."""
        return {
            "image": picture.label,
            "outcome": result.outcome,
            "reason": result.reason,
            "curve": curve(result) if result.steps else None,
            **picture_fields(result, problem, picture, level=level, kept=self.context.pictures),
            **fit_columns(result, problem, share=len(self.pictures)),
        }


class SparseBench(AbstractBench):
    """Recovery without a generator: all coefficients of each image may be used."""

    def __init__(self, spec: Reconstruction, solver: Lasso, context: Context) -> None:
        super().__init__(spec, [_known(image, spec.source) for image in spec.images], context)
        self._solver = solver

    def records(self, level: int, there: int) -> Iterator[LevelRecord]:
        """The rows of a level; each image is solved by itself."""
        callback, images = self.context.callback(self.spec.id, level), len(self.pictures)
        callback(0, images, unknown)
        solvable = zip(self.pictures, self.problems, strict=True)
        for solved, (picture, problem) in enumerate(solvable, start=1):
            result = self._solver.run(problem)
            count = math.prod(problem.image_shape)
            columns = self.found(level, picture, problem, result) | {"fit_s": result.seconds}
            callback(solved, images, partial(columns.get, "psnr_selected_db"))
            mse = _l2(columns["psnr_selected_db"], "unit")
            yield LevelRecord(
                **self.identity(level, count, count), **columns, effective=None, l2_per_pixel=mse
            )

    def seconds(self, steps: int) -> float:
        """The measured seconds of `steps` whole solutions, which count as a step each."""
        return steps * sum(self._solver.run(problem).seconds for problem in self.problems)


class LatentBench(AbstractBench):
    """Recovery with a generator, whose latents are fitted to all images at once."""

    def __init__(
        self, spec: Reconstruction, source: Generator, solver: AbstractSolver, context: Context
    ) -> None:
        self._source = source
        self._solver = solver
        self._prior = source.prior.build(seed=source.seed, device=context.device)
        self._dense = Mask.dense(self._prior.prunable())
        pictures = [
            self._drawn(image, spec, context) if isinstance(image, Sample) else image
            for image in spec.images
        ]
        super().__init__(spec, pictures, context)

    def records(self, level: int, there: int) -> Iterator[LevelRecord]:
        """The rows of a level, with the source's generator of level `there`; failed where it has
        none."""
        weights = self._source.network(there, self.context)
        mask = self._source.mask(there, self.context)
        if weights is None or mask is None:
            yield from self._failed(level, there)
            return
        self._prior.module.load_state_dict(weights)
        paths = effective(self._prior.module, mask, (self._source.prior.latent_size,))
        callback = self.context.callback(self.spec.id, level)
        results = self._fitted(there, callback) if paths else self._collapsed()
        common = self._identity(level, mask.kept)
        for picture, problem, result in zip(self.pictures, self.problems, results, strict=True):
            columns = self.found(level, picture, problem, result)
            yield LevelRecord(
                **common,
                **columns,
                effective=paths,
                macs=self._source.prior.cost.macs(mask.layers),
                split=self._split(picture),
                l2_per_pixel=_l2(columns["psnr_selected_db"], self._prior.output),
            )

    def _fitted(self, level: int, callback: Callback) -> tuple[FitResult, ...]:
        """The results of all images, with the generator's weights as loaded."""
        draws = keyed(self.spec.seed_used, "row permutations", level=level)
        return self._solver.run(
            self._prior, self.problems, self._latents(), draws, callback=callback
        )

    @torch.no_grad()
    def _collapsed(self) -> tuple[FitResult, ...]:
        """The results of all images with a generator that makes one image only."""
        only = self._prior(self._draws("latent", 1)[0, 0])
        return tuple(collapsed(only, problem, reason=ONE_IMAGE) for problem in self.problems)

    def seconds(self, steps: int) -> float:
        """The measured seconds of `steps` steps for all images, with untrained weights."""
        brief = self._solver.model_copy(update={"steps": steps})
        draws = keyed(0, "row permutations")
        return brief.run(self._prior, self.problems, self._latents(), draws)[0].seconds

    def _failed(self, level: int, there: int) -> Iterator[LevelRecord]:
        kept = self._source.schedule.kept(self._dense.total)[there]
        for picture in self.pictures:
            yield LevelRecord(
                **self._identity(level, kept),
                image=picture.label,
                effective=None,
                split=self._split(picture),
                outcome=Outcome.FAILED,
                reason="the source has no generator of this level",
            )

    def _identity(self, level: int, kept: int) -> dict[str, Any]:
        total = self._dense.total
        return self.identity(level, kept, total, self._prior.parameter_count() - total)

    def _latents(self) -> Tensor:
        """(players, images, restarts, latent); each restart has its own key, so more of them change
        none."""
        solver = self._solver
        first = self._draws("latent", solver.candidates)
        if solver.candidates > 1:
            first = solver.starts(self._prior, self.problems, first)[:, :, None]
        others = [self._draws("opposing latent", 1)] if solver.players > 1 else []
        return torch.stack([latents.squeeze(2) for latents in (first, *others)])

    def _draws(self, purpose: str, count: int) -> Tensor:
        """Latents keyed by image and restart, (images, restarts, count, latent)."""
        seed, prior = self.spec.seed_used, self._source.prior
        drawn = torch.stack(
            [
                prior.latents(count, keyed(seed, purpose, image=picture.label, level=restart))
                for picture in self.pictures
                for restart in range(self._solver.restarts)
            ]
        )
        latents: Tensor = drawn.unflatten(0, (len(self.pictures), self._solver.restarts))
        return latents.to(self.context.device)

    def _drawn(self, image: Sample, spec: Reconstruction, context: Context) -> Picture:
        """The picture that the dense generator makes; grey where no generator is stored."""
        weights = self._source.network(0, context)
        if weights is None:
            return _known(image, self._source)
        self._prior.module.load_state_dict(weights)
        draws = keyed(spec.seed_used, "sampled image", image=image.label)
        with torch.no_grad():
            drawn = self._prior(self._source.prior.latents(1, draws).to(context.device))
        return Drawn(image.label, drawn[0].clamp(0, 1).cpu())

    def _split(self, picture: Picture) -> Split:
        """Whether the generator was trained on the image, or drew it, or neither."""
        if isinstance(picture, Drawn):
            return "in_range"
        if self._source.images is None:
            return "unknown"
        return "training" if self._source.images.holds(picture.load()) else "held_out"


def _l2(psnr_db: float | None, output: Output) -> float | None:
    """The mean squared error in the generator's own range of values; from -1 to 1 is twice as
    wide."""
    if psnr_db is None:
        return None
    return float(10 ** (-psnr_db / 10)) * (4 if output == "symmetric" else 1)


def _known(image: AnyImage | Sample, source: Generator | Cosines) -> Picture:
    r"""The image itself or, for one that a generator will draw, a grey one of its shape.

    Raises ValueError where there is no generator at all.
    """
    if not isinstance(image, Sample):
        return image
    if isinstance(source, Cosines):
        raise ValueError(f"{image.label}: there is no generator that could draw it")
    return Drawn(image.label, torch.full(source.prior.image_shape, 0.5))
