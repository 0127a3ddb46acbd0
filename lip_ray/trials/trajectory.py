"""Trajectories: tickets are found by fitting, pruning and rewinding, level by level."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, final

from pydantic import Field
from torch import Tensor

from lip_ray.fits import Fit, FitResult, arithmetic
from lip_ray.images import BuiltinImage, FileImage, Image
from lip_ray.priors import Prior, Skip, UntrainedPrior
from lip_ray.pruning import (
    Magnitude,
    Mask,
    Pruner,
    Rate,
    Schedule,
    ScoreContext,
    UnrankableError,
    effective,
    keep_top,
)
from lip_ray.records import LevelRecord, Outcome
from lip_ray.rng import generator
from lip_ray.spec import Spec, one_or_many
from lip_ray.tasks import Problem, Task
from lip_ray.trials.base import Context
from lip_ray.trials.recording import curve, fit_columns, machine_columns, outcome_of, pictures


@final
class Trajectory(Spec):
    """A ladder of tickets of one network on one image: what the study calls a lottery run.

    Dense fitting is level 0 of any trajectory.
    """

    kind: Literal["trajectory"] = "trajectory"
    images: Annotated[
        tuple[Image, ...], Field(strict=False, min_length=1, max_length=1), one_or_many(Image)
    ]
    task: Task
    prior: Prior = Skip()
    pruner: Pruner = Magnitude()
    schedule: Schedule = Rate()
    fit: Fit = Fit()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Of the noise, the latent, the initial weights and all other draws, each keyed apart."""

    @property
    def image(self) -> BuiltinImage | FileImage:
        """The image that is restored."""
        return self.images[0]

    @property
    def levels(self) -> int:
        """How many levels the ladder has, the dense one included."""
        return self.schedule.levels

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Pairs of a field and what is wrong with it in this company.

        Reads the image and counts the network's weights; fits nothing.
        """
        try:
            channels, height, width = self.image.load().shape
        except ValueError as error:
            yield "images", str(error)
            return
        least = self.prior.minimum_side
        if min(height, width) < least:
            yield (
                "images",
                f"{self.image.label} is {height}×{width}, but this prior needs at least "
                f"{least}×{least}",
            )
        try:
            self.schedule.kept(self.prior.prunable_count(channels))
        except ValueError as error:
            yield "schedule", str(error)


def run(spec: Trajectory, context: Context) -> Iterator[LevelRecord]:
    """Fit, record, score, prune, rewind, repeat: one record per level, dense first.

    Begins at `context.first_level`. A level whose weights cannot be ranked (its fit diverged)
    ends the search: the levels below it are recorded as failed.
    """
    ladder = Ladder(spec, context)
    mask = ladder.first_mask(context)
    for level in range(context.first_level, spec.levels):
        if mask is None:
            yield ladder.failed(level)
            continue
        result = ladder.fit(level, mask)
        following = ladder.prune(level + 1, mask) if level + 1 < spec.levels else None
        yield ladder.record(level, mask, result, following)
        mask = following


class Ladder:
    """One trajectory made concrete: the problem, the network and its initial weights."""

    def __init__(self, spec: Trajectory, context: Context) -> None:
        self._spec = spec
        self._device = context.device
        self._problem: Problem = spec.task.realise(
            spec.image, seed=spec.seed, device=context.device
        )
        self._prior: UntrainedPrior = spec.prior.build(
            self._problem.image_shape,
            seed=spec.seed,
            image=spec.image.label,
            device=context.device,
        )
        self._init = self._prior.snapshot()
        self._dense = Mask.dense(self._prior.prunable())
        self._kept = spec.schedule.kept(self._dense.total)

    def first_mask(self, context: Context) -> Mask | None:
        """The mask to begin with: stored or dense; none where the level before left none."""
        if context.masks is not None:
            return Mask.from_rows(context.masks, device=self._device)
        return self._dense if context.first_level == 0 else None

    def fit(self, level: int, mask: Mask) -> FitResult:
        """Rewind to the masked initial weights and fit them to the measurement."""
        self._prior.rewind(self._init, mask.layers)
        draws = generator(
            self._spec.seed,
            "input noise",
            image=self._spec.image.label,
            level=level,
            device=self._device,
        )
        return self._spec.fit.run(self._prior, self._problem, mask, draws=draws)

    def prune(self, level: int, mask: Mask) -> Mask | None:
        """The mask of the next level; none where the weights cannot be ranked."""
        if self._spec.pruner.scores_at == "init":
            self._prior.rewind(self._init, self._dense.layers)
        context = ScoreContext(
            weights={name: weight.detach() for name, weight in self._prior.prunable().items()},
            loss=self._loss,
            seed=self._spec.seed,
        )
        with arithmetic(self._spec.fit.precision, self._device):
            scores = self._spec.pruner.score(context)
        try:
            return keep_top(scores, mask, kept=self._kept[level])
        except UnrankableError:
            return None

    def record(
        self, level: int, mask: Mask, result: FitResult, following: Mask | None
    ) -> LevelRecord:
        """The row of a level, its pictures, and the masks that became known with it."""
        paths = self._effective(mask)
        outcome, reason = outcome_of(result, paths)
        masks = {0: mask.to_rows()} if level == 0 else {}
        if following is not None:
            masks[level + 1] = following.to_rows()
        return LevelRecord(
            **self._identity(level),
            effective=paths,
            outcome=outcome,
            reason=reason,
            masks=masks,
            curve=curve(result),
            reconstructions=pictures(result, self._problem, with_problem=level == 0),
            **fit_columns(result, self._problem),
            **machine_columns(self._device),
        )

    def failed(self, level: int) -> LevelRecord:
        """The row of a level that has no ticket."""
        return LevelRecord(
            **self._identity(level),
            effective=None,
            outcome=Outcome.FAILED,
            reason="a level above diverged, so its weights could not be ranked",
            **machine_columns(self._device),
        )

    def _loss(self, weights: Mapping[str, Tensor]) -> Tensor:
        return self._problem.loss(self._prior.restored_with(weights))

    def _effective(self, mask: Mask) -> int:
        side = self._spec.prior.minimum_side
        return effective(self._prior.module, mask, (self._spec.prior.latent_channels, side, side))

    def _identity(self, level: int) -> dict[str, Any]:
        unpruned = self._prior.parameter_count() - self._dense.total
        return {
            "trial_id": self._spec.id,
            "level": level,
            "image": self._spec.image.label,
            "kept": self._kept[level],
            "total": self._dense.total,
            "kept_all": self._kept[level] + unpruned,
            "total_all": self._dense.total + unpruned,
        }
