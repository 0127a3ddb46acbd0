"""The values recorded at every step of a fit, all of them on the device."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lip_ray.fits.result import ChosenStep, Snapshot
from lip_ray.fits.stopping import AbstractStopping, Choice, Seen
from lip_ray.tasks import Problem

LOSS, PSNR_RAW, PSNR, STATISTIC = range(4)
PSNR_OF = {"average": PSNR, "output": PSNR_RAW}
"""The column of the rows with the PSNR of each signal."""


@dataclass
class Best:
    """The image at the highest value of a score so far, and its step (-1: none yet)."""

    score: Tensor
    step: Tensor
    image: Tensor

    @classmethod
    def none(cls, image: Tensor) -> Self:
        """The best of no steps: any step replaces it."""
        return cls(
            score=image.new_full((), -torch.inf),
            step=torch.full((), -1, device=image.device),
            image=torch.zeros_like(image),
        )

    def offer(self, score: Tensor, step: int, image: Tensor) -> None:
        """Take this step if its score is strictly higher; NaN never is."""
        better = score > self.score
        self.score = torch.where(better, score, self.score)
        self.step = torch.where(better, step, self.step)
        self.image = torch.where(better, image, self.image)


class Watch:
    """One rule that watches one image of a fit; it has no influence on the fit."""

    def __init__(self, rule: AbstractStopping, problem: Problem) -> None:
        self.rule = rule
        self._monitor = rule.monitor(problem)
        self._choice = Choice(problem.measured)

    def observe(self, step: int, seen: Seen, *, counts: Tensor) -> tuple[Tensor, Tensor] | None:
        """The statistic of a step, and whether the step was chosen; None where none is due.

        A step that does not count is never chosen.
        """
        statistic = self._monitor.update(step, seen)
        if statistic is None:
            return None
        closed = self._monitor.closed(step, self._choice)
        taken = self._choice.offer(statistic.where(counts, torch.nan), step, closed=closed)
        return statistic, taken

    def closed(self, steps: int) -> bool:
        """Whether the choice is final after so many steps. Waits for the device."""
        return bool(self._monitor.closed(steps, self._choice))

    @property
    def step(self) -> int | None:
        """The step chosen so far; None before there is one. Waits for the device."""
        step = int(self._choice.step)
        return step if step >= 0 else None

    def chosen(self, rows: Tensor, *, in_force: bool) -> ChosenStep | None:
        """The choice after a fit with these rows; None where the rule had nothing to choose."""
        step = self.step
        if step is None:
            return None
        return ChosenStep(
            rule=self.rule,
            in_force=in_force,
            step=step,
            statistic=float(self._choice.statistic),
            psnr_db=float(rows[step, PSNR_OF[self.rule.signal]]),
            fired=self.closed(len(rows)),
            noise=self._monitor.noise,
        )


class Trace:
    r"""Loss, PSNRs and stopping statistic of every step, and the images to keep.

    `average` is the exponential moving average of the outputs. The first rule is the one in force:
    the peak and the selected image are of the signal that it watches. The others only note which
    step they would choose. Nothing here makes the host wait until a value is read.
    """

    def __init__(
        self, problem: Problem, *, steps: int, decay: float, rules: Sequence[AbstractStopping]
    ) -> None:
        like = problem.blank
        self._problem = problem
        self._decay = decay
        self._signal = rules[0].signal
        self._watches = [Watch(rule, problem) for rule in rules]
        self._rows = like.new_full((steps, 4), torch.nan)
        self._unseen = like.new_full((), torch.nan)
        self._sound = torch.ones((), dtype=torch.bool, device=like.device)
        self.average = torch.zeros_like(like)
        self._reported = self.average
        self._peak = Best.none(like)
        self._selected = torch.zeros_like(like)

    @torch.no_grad()
    def observe(
        self, step: int, loss: Tensor, output: Tensor, *, total: Tensor | None = None
    ) -> None:
        r"""Record one step from its loss and the network's output.

        From the first step at which `total`, the loss of all images of the fit (by default `loss`),
        is not finite, no step can be peak or chosen.
        """
        counts = self._sound = self._sound & torch.isfinite(loss if total is None else total)
        if step == 0:
            self.average.copy_(output)
        else:
            self.average.lerp_(output, 1 - self._decay)
        psnr_raw, psnr = self._problem.psnr(output), self._problem.psnr(self.average)
        seen = Seen(self._problem, output=output, average=self.average)
        self._reported = seen.image(self._signal)
        reported = psnr if self._signal == "average" else psnr_raw
        self._peak.offer(reported.where(counts, torch.nan), step, self._reported)
        observed = [watch.observe(step, seen, counts=counts) for watch in self._watches]
        statistic = self._unseen
        if observed[0] is not None:  # the rule in force
            statistic, taken = observed[0]
            self._selected = torch.where(taken, self._reported, self._selected)
        self._rows[step] = torch.stack((loss, psnr_raw, psnr, statistic))

    def finite(self, steps: int) -> int:
        """How many of the first `steps` losses come before the first one that is not finite."""
        bad = (~torch.isfinite(self._rows[:steps, LOSS])).nonzero()
        return int(bad[0]) if len(bad) else steps

    def ends(self, steps: int) -> bool:
        """Whether the rule in force ends the fit after so many steps. Waits for the device, if
        the rule ends fits at all."""
        watch = self._watches[0]
        return watch.rule.ends_fit and watch.closed(steps)

    @property
    def peak(self) -> Snapshot | None:
        """The reported signal where its PSNR is highest; None without a clean image."""
        step = int(self._peak.step)
        return Snapshot(step=step, image=self._peak.image) if step >= 0 else None

    @property
    def selected(self) -> Snapshot | None:
        """The reported signal at the step that the rule in force chose; None where it has none."""
        step = self._watches[0].step
        return None if step is None else Snapshot(step=step, image=self._selected)

    def final(self, steps: int) -> Snapshot:
        """The reported signal after the last of `steps` steps."""
        return Snapshot(step=steps - 1, image=self._reported)

    def choices(self, rows: Tensor) -> tuple[ChosenStep, ...]:
        """What each rule chose in a fit with these rows, the rule in force first."""
        chosen = (watch.chosen(rows, in_force=watch is self._watches[0]) for watch in self._watches)
        return tuple(choice for choice in chosen if choice is not None)

    def psnr_db(self, step: int) -> Tensor:
        """The PSNR of the averaged output at one step, a scalar on the device."""
        return self._rows[step, PSNR]

    def rows(self, steps: int) -> Tensor:
        """(steps, 4) on the host: loss, PSNR of the output and of the average, statistic."""
        return self._rows[:steps].cpu()
