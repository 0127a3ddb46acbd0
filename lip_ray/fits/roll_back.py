"""Rolling back: the weights of the last check return where a fit suddenly becomes worse."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.priors import UntrainedPrior
from lip_ray.spec import Spec, Steps
from lip_ray.tasks import Problem


class RollBack(Spec):
    r"""Where the output's PSNR against the measurement falls, the weights of the last check return.

    From the notebooks of Deep Image Prior (Ulyanov et al. 2018, arXiv 1711.10925;
    `denoising.ipynb`), which the scripts of the lottery-image-prior study repeat: a fall of 5 dB,
    and a check at every step that is no multiple of `show_every`. As there, the step whose output
    was so bad is still taken, from the restored weights and with Adam's moments kept.
    """

    every: Steps = 100
    """The number of steps between two checks; 1 checks every step, as the published code does."""
    fall_db: Annotated[float, Field(gt=0)] = 5.0
    """By how much PSNR must have fallen since the last check, in dB, for any image of the fit."""


class Checkpoints:
    """The weights of the last check of a fit, and how well they did; all on the device.

    Whether weights return is decided there too, so a check never makes the host wait.
    """

    def __init__(self, rule: RollBack | None, prior: UntrainedPrior) -> None:
        self._rule = rule
        self._parameters = list(prior.module.parameters()) if rule else []
        self._saved = [parameter.detach().clone() for parameter in self._parameters]
        self._errors: Tensor | None = None
        self._steps = 0

    @torch.no_grad()
    def check(self, problems: Sequence[Problem], outputs: Sequence[Tensor]) -> None:
        """Restore the weights of the last check, or save those that made the `outputs` of the next
        step, where a check is due."""
        step, self._steps = self._steps, self._steps + 1
        if self._rule is None or step % self._rule.every:
            return
        pairs = zip(problems, outputs, strict=True)
        errors = torch.stack([problem.residual(output) for problem, output in pairs])
        before = errors if self._errors is None else self._errors
        fell = (errors > before * 10 ** (self._rule.fall_db / 10)).any()
        for parameter, saved in zip(self._parameters, self._saved, strict=True):
            kept = torch.where(fell, saved, parameter)
            parameter.copy_(kept)
            saved.copy_(kept)
        self._errors = torch.where(fell, before, errors)
