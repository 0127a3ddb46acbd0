"""The values recorded at every step of a fit, all of them on the device."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from lip_ray.fits.stopping import Stopping
from lip_ray.tasks import Problem

LOSS, PSNR_RAW, PSNR, STATISTIC = range(4)


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

    def offer(
        self, score: Tensor, step: int, image: Tensor, *, closes_after: int | None = None
    ) -> None:
        r"""Take this step if its score is strictly higher; NaN never is.

        With `closes_after`, a step more than that many steps after the current best is not
        accepted.
        """
        better = score > self.score
        if closes_after is not None:
            better &= (self.step < 0) | (step <= self.step + closes_after)
        self.score = torch.where(better, score, self.score)
        self.step = torch.where(better, step, self.step)
        self.image = torch.where(better, image, self.image)


class Trace:
    r"""Loss, PSNRs and stopping statistic of every step, and the images to keep.

    `average` is the exponential moving average of the outputs; peak and selected images are taken
    from it. Nothing here makes the host wait until a value is read.
    """

    def __init__(self, problem: Problem, *, steps: int, decay: float, stopping: Stopping) -> None:
        like = problem.measured.new_zeros((1, *problem.image_shape))
        self._problem = problem
        self._decay = decay
        self._monitor = stopping.monitor(like)
        self._closes_after = stopping.closes_after
        self._rows = like.new_full((steps, 4), torch.nan)
        self._unseen = like.new_full((), torch.nan)
        self.average = torch.zeros_like(like)
        self.peak = Best.none(like)
        self.selected = Best.none(like)

    @torch.no_grad()
    def observe(
        self, step: int, loss: Tensor, output: Tensor, *, total: Tensor | None = None
    ) -> None:
        r"""Record one step from its loss and the network's output.

        A step at which `total`, the loss of all images of the fit (by default `loss`), is not
        finite can be neither peak nor selected.
        """
        counts = torch.isfinite(loss if total is None else total)
        if step == 0:
            self.average.copy_(output)
        else:
            self.average.lerp_(output, 1 - self._decay)
        psnr = self._problem.psnr(self.average)
        self.peak.offer(psnr.where(counts, torch.nan), step, self.average)
        statistic = self._monitor.update(step, output)
        if statistic is not None:
            score = -statistic.where(counts, torch.nan)
            self.selected.offer(score, step, self.average, closes_after=self._closes_after)
        shown = self._unseen if statistic is None else statistic
        self._rows[step] = torch.stack((loss, self._problem.psnr(output), psnr, shown))

    def finite(self, steps: int) -> int:
        """How many of the first `steps` losses come before the first one that is not finite."""
        bad = (~torch.isfinite(self._rows[:steps, LOSS])).nonzero()
        return int(bad[0]) if len(bad) else steps

    def psnr_db(self, step: int) -> Tensor:
        """The PSNR of the averaged output at one step, a scalar on the device."""
        return self._rows[step, PSNR]

    def rows(self, steps: int) -> Tensor:
        """(steps, 4) on the host: loss, PSNR of the output and of the average, statistic."""
        return self._rows[:steps].cpu()
