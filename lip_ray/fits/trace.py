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

MOST_TOGETHER = 20
"""The most steps that are evaluated together: each operation on them is launched once."""
MOST_VALUES = 2**22
"""The most values of images that are evaluated together, unless a single image has more."""


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

    def offer(self, scores: Tensor, first: int, images: Tensor) -> None:
        """Take the best of the steps from `first` on, if its score is strictly higher; NaN never
        is. The first of several equal ones is taken. `scores` are (N,), `images` (N, C, H, W)."""
        known = scores.nan_to_num(nan=-torch.inf, posinf=torch.inf)
        score, number = known.max(0)
        better = score > self.score
        self.score = torch.where(better, score, self.score)
        self.step = torch.where(better, first + number, self.step)
        self.image = torch.where(better, images.index_select(0, number[None]), self.image)


def steps_together(like: Tensor) -> int:
    """How many steps are evaluated together, of an image (1, C, H, W) like this."""
    return max(1, min(MOST_TOGETHER, MOST_VALUES // like.numel()))


class Recent:
    """The outputs and losses of the last steps. Recording does the same at every step and is on the
    device alone, so that a CUDA graph can replay it."""

    def __init__(self, like: Tensor) -> None:
        """`like` is a blank image (1, C, H, W)."""
        count = steps_together(like)
        self.outputs = like.new_zeros((count, *like.shape[1:]))
        self.losses, self.totals = like.new_zeros(count), like.new_zeros(count)
        """The losses of the image, and those of all images of the fit."""
        self._next = torch.zeros(1, dtype=torch.int64, device=like.device)

    def record(self, loss: Tensor, output: Tensor, total: Tensor) -> None:
        """Write a step behind those before."""
        self.outputs.index_copy_(0, self._next, output)
        self.losses.index_copy_(0, self._next, loss[None])
        self.totals.index_copy_(0, self._next, total[None])
        self._next.add_(1)

    def restart(self) -> None:
        """Write the next step in the first place."""
        self._next.zero_()


class Watch:
    """One rule that watches one image of a fit; it has no influence on the fit."""

    def __init__(self, rule: AbstractStopping, problem: Problem) -> None:
        self.rule = rule
        self._monitor = rule.monitor(problem)
        self._choice = Choice.none(problem.measured.device)

    def observe(self, seen: Seen, *, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The statistics of some steps; whether one was chosen, and the number of the last that
        was. Steps that do not count are never chosen."""
        statistics = self._monitor.update(seen)
        sound = statistics.where(counts, torch.nan)
        return statistics, *self._choice.offer(sound, seen.steps.start, self._monitor.closed)

    def closed(self, steps: int) -> bool:
        """Whether the choice is final after so many steps. Waits for the device."""
        return bool(self._monitor.closed(torch.full_like(self._choice.step, steps), self._choice))

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

    The moving average of the outputs is exponential. The first rule is the one in force: the peak
    and the selected image are of the signal that it watches. The others only note which step they
    would choose. Steps are recorded one by one and evaluated some together, at the latest when
    something is asked. Nothing here makes the host wait until a value is read.
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
        self._sound = torch.ones((), dtype=torch.bool, device=like.device)
        self._recent = Recent(like)
        self._averages = torch.zeros_like(self._recent.outputs)
        self._average = torch.zeros_like(like)
        self._reported = torch.zeros_like(like)
        self._peak = Best.none(like)
        self._selected = torch.zeros_like(like)
        self._evaluated = self._waiting = 0

    def observe(self, loss: Tensor, output: Tensor, *, total: Tensor | None = None) -> None:
        """Record the next step, and count it."""
        self.record(loss, output, total=total)
        self.advance()

    @torch.no_grad()
    def record(self, loss: Tensor, output: Tensor, *, total: Tensor | None = None) -> None:
        r"""Record the next step from its loss, a scalar, and the network's output (1, C, H, W).

        From the first step at which `total`, the loss of all images of the fit (by default `loss`),
        is not finite, no step can be peak or chosen. `advance` must follow.
        """
        self._recent.record(loss, output, loss if total is None else total)

    def advance(self) -> None:
        """Count a step that was recorded."""
        self._waiting += 1
        if self._waiting == len(self._recent.outputs):
            self._evaluate()

    @torch.no_grad()
    def _evaluate(self) -> None:
        """Evaluate all steps that wait for it."""
        first, count = self._evaluated, self._waiting
        if not count:
            return
        outputs, losses = self._recent.outputs[:count], self._recent.losses[:count]
        averages = self._averaged(outputs)
        counts = self._counting(self._recent.totals[:count])
        seen = Seen(self._problem, first, outputs=outputs, averages=averages)
        psnr = {"output": self._problem.psnr(outputs), "average": self._problem.psnr(averages)}
        images = seen.images(self._signal)
        self._peak.offer(psnr[self._signal].where(counts, torch.nan), first, images)
        observed = [watch.observe(seen, counts=counts) for watch in self._watches]
        statistics, taken, number = observed[0]  # of the rule in force
        chosen = images.index_select(0, number[None])
        self._selected = torch.where(taken, chosen, self._selected)
        self._reported = images[-1:].clone()
        columns = losses, psnr["output"], psnr["average"], statistics
        self._rows[first : first + count] = torch.stack(columns, 1)
        self._evaluated += count
        self._waiting = 0
        self._recent.restart()

    def _averaged(self, outputs: Tensor) -> Tensor:
        """The moving average after each of the next steps, which begins at the first output."""
        averages = self._averages[: len(outputs)]
        if self._evaluated == 0:
            self._average.copy_(outputs[:1])
        for output, average in zip(outputs.split(1), averages.split(1), strict=True):
            self._average.lerp_(output, 1 - self._decay)
            average.copy_(self._average)
        return averages

    def _counting(self, totals: Tensor) -> Tensor:
        """Which of the next steps come before the first whose loss is not finite, (N,)."""
        finite = totals.isfinite().cummin(0).values & self._sound
        self._sound = finite[-1]
        return finite

    @property
    def average(self) -> Tensor:
        """The moving average of all outputs so far, (1, C, H, W)."""
        self._evaluate()
        return self._average

    def finite(self, steps: int) -> int:
        """How many of the first `steps` losses come before the first one that is not finite."""
        self._evaluate()
        bad = (~torch.isfinite(self._rows[:steps, LOSS])).nonzero()
        return int(bad[0]) if len(bad) else steps

    def ends(self, steps: int) -> bool:
        """Whether the rule in force ends the fit after so many steps. Waits for the device, if
        the rule ends fits at all."""
        watch = self._watches[0]
        if not watch.rule.ends_fit:
            return False
        self._evaluate()
        return watch.closed(steps)

    @property
    def peak(self) -> Snapshot | None:
        """The reported signal where its PSNR is highest; None without a clean image."""
        self._evaluate()
        step = int(self._peak.step)
        return Snapshot(step=step, image=self._peak.image) if step >= 0 else None

    @property
    def selected(self) -> Snapshot | None:
        """The reported signal at the step that the rule in force chose; None where it has none."""
        self._evaluate()
        step = self._watches[0].step
        return None if step is None else Snapshot(step=step, image=self._selected)

    def final(self, steps: int) -> Snapshot:
        """The reported signal after the last of `steps` steps."""
        self._evaluate()
        return Snapshot(step=steps - 1, image=self._reported)

    def choices(self, rows: Tensor) -> tuple[ChosenStep, ...]:
        """What each rule chose in a fit with these rows, the rule in force first."""
        self._evaluate()
        chosen = (watch.chosen(rows, in_force=watch is self._watches[0]) for watch in self._watches)
        return tuple(choice for choice in chosen if choice is not None)

    def psnr_db(self, step: int) -> Tensor:
        """The PSNR of the averaged output at one step, a scalar on the device."""
        self._evaluate()
        return self._rows[step, PSNR]

    def rows(self, steps: int) -> Tensor:
        """(steps, 4) on the host: loss, PSNR of the output and of the average, statistic."""
        self._evaluate()
        return self._rows[:steps].cpu()
