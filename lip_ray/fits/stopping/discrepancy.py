"""The discrepancy principle: a fit is over when its residual is no larger than the noise."""

from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.fits.stopping.base import AbstractMonitor, AbstractStopping, Choice, Seen
from lip_ray.tasks import Problem


@final
class Discrepancy(AbstractStopping):
    """The first step whose residual is at most `factor` times the variance of the noise.

    Morozov 1966. An image that explains the measurement better than the noise allows has begun to
    fit it. The variance is what the task says. For a measured photo, and for noise that was
    clipped, it is estimated from the finest wavelets of the measurement (Donoho & Johnstone 1994,
    by scikit-image). Where the residual never gets so small, the step of the least residual is
    chosen.
    """

    kind: Literal["discrepancy"] = "discrepancy"
    factor: Annotated[float, Field(gt=0)] = 0.92
    """The residual that ends the fit, divided by the variance of the noise. By default it is what
    lost least on 29 fits to scikit-image's photos and Set5."""

    def applies(self, problem: Problem) -> bool:
        """Whether the variance of the noise is known."""
        return problem.noise_variance is not None

    def monitor(self, problem: Problem) -> "DiscrepancyMonitor":
        return DiscrepancyMonitor(self, problem)


class DiscrepancyMonitor(AbstractMonitor):
    """The residual after every step, and the one that ends the fit."""

    def __init__(self, rule: Discrepancy, problem: Problem) -> None:
        if problem.noise_variance is None:
            raise ValueError("the discrepancy principle needs the variance of the noise")
        self.noise = problem.noise_variance**0.5
        self._signal = rule.signal
        self._least = rule.factor * problem.noise_variance

    def update(self, seen: Seen) -> Tensor:
        """The mean squared residual after every step."""
        return seen.residuals(self._signal)

    def closed(self, steps: Tensor, choice: Choice) -> Tensor:
        """Whether a residual has been small enough before."""
        del steps  # whenever that was
        return torch.le(choice.statistic, self._least)
