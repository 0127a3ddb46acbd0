"""Fits of a generator's latent: the search for the image whose measurement was taken."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import groupby
from typing import Annotated, ClassVar, Literal, Self, final

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.fits.adam import Adam
from lip_ray.fits.numerics import arithmetic
from lip_ray.fits.progress import Callback, mean_psnr_db, no_callback, unknown
from lip_ray.fits.result import FitResult, Snapshot
from lip_ray.fits.sending import sent
from lip_ray.records import Outcome
from lip_ray.rng import keyed
from lip_ray.spec import Batch, Family, Spec, Steps
from lip_ray.tasks import Identity, Operator, Problem

NORMAL_QUARTILE = 0.6745
"""The median of |x| for x ~ N(0, 1)."""

PIXELS = Identity()
"""The operator that all oracles share, so that they are measured in one batch."""


class AbstractSolver(Spec, ABC):
    r"""Adam on the latent of a generator whose weights stay fixed.

    All images and restarts are one batch, which the generator makes and the operator measures once
    per step; none of them affects another. The clean image is compared with, never fitted.
    """

    players: ClassVar[int] = 1
    """The number of latents per image and restart. Of two, the second opposes the first."""

    kind: str
    steps: Steps = 1000
    """The steps of Adam."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """The learning rate of Adam, constant over the fit."""
    restarts: Batch = 10
    """The number of latents that each image begins at; the one of least objective at the end is
    selected."""
    latent_penalty: Annotated[float, Field(ge=0)] = 0.0
    """The weight of ‖z‖², which is added to the objective."""
    candidates: Batch = 1
    """The number of latents tried for each restart, which begins at the one of least objective."""

    @abstractmethod
    def loss(self, residuals: Tensor) -> Tensor:
        """(…, m) → (…): the cost of the residuals A G(z) − y. It chooses among restarts."""

    def value(self, measured: Tensor, wanted: Tensor) -> Tensor:
        """(players, …, m), A G(z), and (…, m), y, → (…): what the first player descends and the
        second ascends."""
        return self.loss(measured[0] - wanted)

    def conflicts(
        self, measurements: int, outlier_share: float | None
    ) -> Iterator[tuple[str, str]]:
        r"""Why the solver cannot use `count` measurements, a share of which in [0, 1] are outliers.

        Yields the name of a field and what is wrong with it.
        """
        del measurements, outlier_share
        yield from ()

    @torch.no_grad()
    def starts(
        self,
        prior: Callable[[Tensor], Tensor],
        problems: Sequence[Problem],
        latents: Tensor,
    ) -> Tensor:
        r"""(images, restarts, candidates, latent) → (images, restarts, latent): the best of each.

        Takes arguments as `run` does, and evaluates one batch per candidate.
        """
        groups = _measurements(problems)
        z = latents.to(groups[0].values.device)
        losses = torch.stack([self._losses(prior, groups, one) for one in z.unbind(2)], dim=2)
        best = losses.argmin(2)[..., None, None]
        return z.take_along_dim(best, dim=2).squeeze(2)

    def _losses(
        self, prior: Callable[[Tensor], Tensor], groups: Sequence["Measured"], z: Tensor
    ) -> Tensor:
        """(images, restarts, latent) → (images, restarts): the objective of each."""
        images = prior(z.flatten(0, 1)).unflatten(0, (1, *z.shape[:2]))
        parts = images.split([len(group.values) for group in groups], dim=1)
        pairs = [group.pair(own) for group, own in zip(groups, parts, strict=True)]
        found = torch.cat([self.loss(measured[0] - wanted) for measured, wanted in pairs])
        return found + self.latent_penalty * z.square().sum(-1)

    def run(
        self,
        prior: Callable[[Tensor], Tensor],
        problems: Sequence[Problem],
        latents: Tensor,
        draws: torch.Generator,
        *,
        callback: Callback = no_callback,
    ) -> tuple[FitResult, ...]:
        r"""Fit latents to the measurements of each problem; one result per problem.

        `prior` maps (N, latent) to images (N, C, H, W); `latents`, (players, images, restarts,
        latent), is where the fit begins. Rows hold the objective and the PSNR of the selected
        restart, the PSNR twice and no statistic. Peak is the best image of all steps and restarts,
        selected the one of least objective, final the last of the first restart. A restart counts
        up to the step at which its objective is not finite; an image of which no restart lasts has
        diverged. Rows of a selected restart that does not last are NaN from there on. Raises
        ValueError for latents of another shape, and for conflicts.
        """
        groups = _measurements(problems)
        self._check(problems, groups, latents)
        traces = _Traces(problems, steps=self.steps, restarts=self.restarts)
        started = time.perf_counter()
        with arithmetic("fp32", groups[0].values.device):
            self._descend(prior, groups, latents, draws, traces, callback)
        losses, psnrs = traces.read()  # waits for the device,
        seconds = time.perf_counter() - started  # so the clock is right
        return tuple(
            traces.result(place, losses[:, place], psnrs[:, place], seconds)
            for place in range(len(problems))
        )

    def _check(
        self, problems: Sequence[Problem], groups: Sequence["Measured"], latents: Tensor
    ) -> None:
        expected = (self.players, len(problems), self.restarts)
        if latents.ndim != 4 or latents.shape[:3] != expected:
            raise ValueError(
                f"latents must be (players, images, restarts, latent) = {(*expected, '…')}, "
                f"got {tuple(latents.shape)}"
            )
        for group in groups:
            for name, message in self.conflicts(group.count, None):
                raise ValueError(f"{self.kind}, {name}: {message}")

    def _descend(
        self,
        prior: Callable[[Tensor], Tensor],
        groups: Sequence["Measured"],
        latents: Tensor,
        draws: torch.Generator,
        traces: "_Traces",
        callback: Callback,
    ) -> None:
        """Take the steps; the host looks at the device for the callback only."""
        device = groups[0].values.device
        z = latents.detach().to(device, copy=True).requires_grad_()
        optimizer = Adam([z], self.learning_rate)
        counts = [group.count for group in groups] if self.players > 1 else []
        fixed = _orders(counts, draws, device)
        callback(0, self.steps, unknown)
        for step in range(self.steps):
            orders = _orders(counts, draws, device)
            images = prior(z.flatten(0, 2)).unflatten(0, z.shape[:3])
            parts = images.split([len(group.values) for group in groups], dim=1)
            pairs = [group.pair(own) for group, own in zip(groups, parts, strict=True)]
            values = [self.value(*(_ordered(one, orders) for one in pair)) for pair in pairs]
            penalty = self.latent_penalty * z.square().sum(-1)
            played = torch.cat(values) + penalty[0] - penalty[1:].sum(0)
            (gradient,) = torch.autograd.grad(played.sum(), z)  # none for the generator's weights
            z.grad = torch.cat((gradient[:1], -gradient[1:]))
            optimizer.step()
            with torch.no_grad():
                losses = [self.loss(_ordered(found[0] - y, fixed)) for found, y in pairs]
                traces.observe(step, torch.cat(losses) + penalty[0], images[0].detach())
            callback(step + 1, self.steps, partial(traces.psnr_db, step))


@final
class Erm(AbstractSolver):
    """Empirical risk minimisation: least squares (CSGM, Bora et al. 2017, arXiv 1703.03208)."""

    kind: Literal["erm"] = "erm"

    def loss(self, residuals: Tensor) -> Tensor:
        """The sum of the squares."""
        return squares(residuals)


@final
class MedianOfMeans(AbstractSolver):
    """A median-of-means tournament of two latents (Jalal et al. 2020, arXiv 2006.09461).

    Each step deals the measurements into blocks at random. In every block the mean squared
    residual of one latent is compared with that of the other; at the block where the difference
    is the median one, the first latent lowers it and the second raises it, both at once.
    A majority of blocks must be clean. Of measurements with a share ε of outliers about
    1 − (1 − ε)^block of the blocks are dirty: 33 % for 2 % and blocks of 20.
    """

    players: ClassVar[int] = 2

    kind: Literal["median_of_means"] = "median_of_means"
    block: Annotated[int, Field(ge=1, le=2**26)] = 20
    """Measurements per block; those left over after the last full block are left out of the
    step."""

    def value(self, measured: Tensor, wanted: Tensor) -> Tensor:
        """The median over blocks of the first latent's mean square minus the second's."""
        return median_of_means(square_differences(measured, wanted), self.block)

    def loss(self, residuals: Tensor) -> Tensor:
        """The median over blocks of the mean square."""
        return median_of_means(residuals.square(), self.block)

    def conflicts(
        self, measurements: int, outlier_share: float | None
    ) -> Iterator[tuple[str, str]]:
        """A conflict where a block is larger than the measurement, or most blocks have outliers."""
        if self.block > measurements:
            yield "block", f"is {self.block}, but there are only {measurements} measurements"
        if not outlier_share:
            return
        if outlier_share >= 0.5:
            yield (
                "kind",
                f"a share of {outlier_share:g} of the measurements are outliers, so no blocks "
                "are clean in their majority: the share must be below 0.5",
            )
            return
        largest = math.ceil(math.log(0.5) / math.log1p(-outlier_share)) - 1
        if self.block > largest:
            dirty = 1 - (1 - outlier_share) ** self.block
            yield (
                "block",
                f"is {self.block}, so that about {dirty:.0%} of the blocks hold an outlier where "
                f"a share of {outlier_share:g} of the measurements are: it must be at most "
                f"{largest}, for a majority of clean blocks",
            )


@final
class Trimmed(AbstractSolver):
    """Least squares of the measurements that fit best, chosen anew at every step."""

    kind: Literal["trimmed"] = "trimmed"
    trim: Annotated[float, Field(gt=0, lt=1)]
    """Share of the measurements that is left out; of m, ⌈(1 − trim) · m⌉ count."""

    def loss(self, residuals: Tensor) -> Tensor:
        """The sum of the least squares, the largest `trim` left out."""
        return trimmed(residuals, self.trim)


@final
class Huber(AbstractSolver):
    """Squares of small residuals, absolute values of large ones (Huber 1964).

    However wrong a measurement is, its pull is bounded, but it grows with the row of A: rows much
    larger than the others, like rows of ones, still mislead it.
    """

    kind: Literal["huber"] = "huber"
    threshold: Annotated[float, Field(gt=0)] = 1.345
    """What is large, in robust standard deviations; 1.345 is 95 % efficient on Gaussian noise."""

    def loss(self, residuals: Tensor) -> Tensor:
        """The sum of Huber's function of the residuals, with the threshold scaled to them."""
        return huber(residuals, self.threshold)


@final
class L1(AbstractSolver):
    """Least absolute deviations: bounded like Huber's function, and misled by large rows too."""

    kind: Literal["l1"] = "l1"

    def loss(self, residuals: Tensor) -> Tensor:
        """The sum of the absolute values."""
        return absolutes(residuals)


LatentSolver = Erm | MedianOfMeans | Trimmed | Huber | L1

Solver = Annotated[LatentSolver, Family()]
"""`erm` stands for `{kind: erm}`."""


def squares(residuals: Tensor) -> Tensor:
    """(…, m) → (…): Σ r²."""
    return residuals.square().sum(-1)


def absolutes(residuals: Tensor) -> Tensor:
    """(…, m) → (…): Σ |r|."""
    return residuals.abs().sum(-1)


def trimmed(residuals: Tensor, trim: float) -> Tensor:
    """(…, m) → (…): the sum of the ⌈(1 − trim) · m⌉ least r².

    They are counted exactly, with `trim` as it is written in decimals.
    """
    kept = math.ceil((1 - Fraction(str(trim))) * residuals.shape[-1])
    return residuals.square().topk(kept, largest=False, sorted=False).values.sum(-1)


def huber(residuals: Tensor, threshold: float) -> Tensor:
    """(…, m) → (…): Σ of r² / 2 where |r| ≤ δ, and of δ (|r| − δ / 2) elsewhere.

    δ is `threshold` times the robust standard deviation, median |r| / 0.6745, a constant to the
    gradient; of two medians the lower.
    """
    sizes = residuals.abs()
    median = sizes.detach().median(-1, keepdim=True).values
    delta = threshold * median / NORMAL_QUARTILE
    return torch.where(sizes <= delta, sizes.square() / 2, delta * (sizes - delta / 2)).sum(-1)


def square_differences(measured: Tensor, wanted: Tensor) -> Tensor:
    """(2, …, m) and (…, m) → (…, m): r_f² − r_g² of residuals r = A G(z) − y, in order.

    As (A G(z_f) − A G(z_g)) (r_f + r_g), which keeps its digits where y is huge. Squares of
    residuals near 10⁴ are multiples of 8 in float32, so that with close latents outliers would tie
    at exactly 0, in the middle of all blocks, and be followed.
    """
    f, g = measured.unbind()
    return (f - g) * ((f - wanted) + (g - wanted))


def block_means(values: Tensor, block: int) -> Tensor:
    """(…, m) → (…, ⌊m / block⌋): means of consecutive blocks; a last partial one is dropped."""
    blocks = values.shape[-1] // block
    return values[..., : blocks * block].reshape(*values.shape[:-1], blocks, block).mean(-1)


def median_of_means(values: Tensor, block: int) -> Tensor:
    """(…, m) → (…): the block mean at place ⌊blocks / 2⌋ of the ascending ones."""
    means: Tensor = block_means(values, block).sort(-1).values
    return means[..., means.shape[-1] // 2]


@dataclass(frozen=True)
class Measured:
    """The measurements of images that share an operator, without values that no image changes."""

    operator: Operator
    values: Tensor
    """The measured values, (images, m)."""
    rows: Tensor | None
    """Indices of the flattened numbers that count; None where all do."""

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> Self:
        """The measurements of problems with one operator, without those of missing pixels only."""
        operator = problems[0].operator
        values = torch.cat([problem.measured for problem in problems]).flatten(1)
        probe = torch.rand((1, *problems[0].image_shape), generator=keyed(0, "probe"))
        touched = operator(probe.to(values)).flatten() != 0
        if bool(touched.all()):
            return cls(operator, values, None)
        rows = touched.nonzero().flatten()
        return cls(operator, values[:, rows], rows)

    @property
    def count(self) -> int:
        """The number of measurements per image."""
        return self.values.shape[1]

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, m): the measurements of these images."""
        measured = self.operator(images).flatten(1)
        return measured if self.rows is None else measured[:, self.rows]

    def pair(self, images: Tensor) -> tuple[Tensor, Tensor]:
        r"""(players, images, restarts, C, H, W) → their measurements, and the given ones.

        Shapes are (players, images, restarts, m) and (images, 1, m).
        """
        measured = self(images.flatten(0, 2)).reshape(*images.shape[:3], self.count)
        return measured, self.values[:, None]


def measured_by(problem: Problem) -> Measured:
    """The values that a restored image is fitted to: the measurement, or the clean image for an
    oracle."""
    return Measured.of([_concrete(problem)])


def _measurements(problems: Sequence[Problem]) -> list[Measured]:
    """The measurements in the order of the problems; neighbours that share an operator are one
    batch."""
    if not problems:
        raise ValueError("problems must be at least one, got none")
    concrete = [_concrete(problem) for problem in problems]
    return [Measured.of(list(own)) for _, own in groupby(concrete, lambda p: id(p.operator))]


def _concrete(problem: Problem) -> Problem:
    if problem.target == "clean" and problem.clean is not None:
        return replace(problem, measured=problem.clean, operator=PIXELS, target="measured")
    return problem


def _orders(
    counts: Iterable[int], draws: torch.Generator, device: torch.device
) -> dict[int, Tensor]:
    """For each number of measurements, a random order that all images and restarts share."""
    return {
        count: sent(torch.randperm(count, generator=draws, device=draws.device), device)
        for count in dict.fromkeys(counts)
    }


def _ordered(numbers: Tensor, orders: Mapping[int, Tensor]) -> Tensor:
    """(…, m): shuffled where there is an order for m measurements."""
    count = numbers.shape[-1]
    return numbers[..., orders[count]] if count in orders else numbers


@dataclass
class _Kept:
    """For each image, the reconstruction with the highest score among all steps and restarts so
    far."""

    score: Tensor
    step: Tensor
    restart: Tensor
    image: Tensor

    @classmethod
    def none(cls, blank: Tensor) -> Self:
        """Nothing seen yet, for this number of images."""
        score = blank.new_full(blank.shape[:1], -torch.inf)
        step = torch.full_like(score, -1, dtype=torch.int64)
        return cls(score, step, torch.zeros_like(step), blank)

    def offer(self, scores: Tensor, step: int, images: Tensor) -> None:
        """Take in (images, restarts) scores, of which -inf never counts, and their images."""
        score, restart = scores.max(dim=1)
        better = score > self.score
        self.score = torch.where(better, score, self.score)
        self.step = torch.where(better, step, self.step)
        self.restart = torch.where(better, restart, self.restart)
        shown = images[torch.arange(len(restart), device=restart.device), restart]
        self.image = torch.where(better[:, None, None, None], shown, self.image)

    def snapshot(self, place: int) -> Snapshot | None:
        """The snapshot of one image; None where no step had a finite score."""
        step = int(self.step[place])
        return Snapshot(step=step, image=self.image[place, None]) if step >= 0 else None


class _Traces:
    """Objective and PSNR of every step, image and restart, and the images to keep."""

    def __init__(self, problems: Sequence[Problem], *, steps: int, restarts: int) -> None:
        like, images = problems[0].measured, len(problems)
        self._problems = problems
        self._losses = like.new_full((steps, images, restarts), torch.nan)
        self._psnrs = torch.full_like(self._losses, torch.nan)
        self._finite = torch.ones_like(self._losses[0], dtype=torch.bool)
        blank = like.new_zeros((images, *problems[0].image_shape))
        self._peak = _Kept.none(blank)
        self._selected = _Kept.none(blank)
        self._last: Tensor = blank[:, None]

    @torch.no_grad()
    def observe(self, step: int, losses: Tensor, images: Tensor) -> None:
        """Record one step from (images, restarts) losses and (images, restarts, C, H, W) images."""
        pairs = zip(self._problems, images, strict=True)
        psnrs = torch.stack([problem.psnr(own) for problem, own in pairs])
        self._losses[step], self._psnrs[step], self._last = losses, psnrs, images
        self._finite &= losses.isfinite()
        known = self._finite & ~psnrs.isnan()
        self._peak.offer(psnrs.where(known, -torch.inf), step, images)
        self._selected.offer((-losses).where(self._finite, -torch.inf), step, images)

    def psnr_db(self, step: int) -> float | None:
        """The PSNR at the last step of the restarts of least objective, as mean over images."""
        chosen = self._losses[step].where(self._finite, torch.inf).argmin(1, keepdim=True)
        known = self._psnrs[step].where(self._finite, torch.nan)
        return mean_psnr_db(known.take_along_dim(chosen, dim=1).flatten())

    def read(self) -> tuple[Tensor, Tensor]:
        """Losses and PSNRs on the host, (steps, images, restarts)."""
        return self._losses.cpu(), self._psnrs.cpu()

    def result(self, place: int, losses: Tensor, psnrs: Tensor, seconds: float) -> FitResult:
        """The result of one image, from its traces of shape (steps, restarts)."""
        steps = len(losses)
        lasted = losses.isfinite().long().cumprod(0).sum(0)
        whole = lasted == steps
        diverged = not bool(whole.any())
        chosen = int(lasted.argmax() if diverged else self._selected.restart[place])
        counts = int(lasted[chosen])
        taken = counts if diverged else steps
        unseen = torch.full_like(psnrs[:, chosen], torch.nan)
        rows = torch.stack((losses[:, chosen], psnrs[:, chosen], psnrs[:, chosen], unseen), dim=1)
        rows[counts:] = torch.nan
        return FitResult(
            outcome=Outcome.DIVERGED if diverged else Outcome.BUDGET,
            reason=f"at step {taken} no restart had a finite loss any more" if diverged else "",
            steps=taken,
            seconds=seconds,
            rows=rows[:taken],
            peak=self._peak.snapshot(place),
            selected=None if diverged else self._selected.snapshot(place),
            final=self._end(place, 0) if bool(whole[0]) else None,
        )

    def _end(self, place: int, restart: int) -> Snapshot:
        return Snapshot(step=len(self._losses) - 1, image=self._last[place, restart, None])
