"""Cross-validation: measured values that the fit does not see judge it."""

from typing import Literal, final

from torch import Tensor

from lip_ray.fits.stopping.base import AbstractLeast, LeastMonitor, Seen, WarmUp
from lip_ray.tasks import Problem


@final
class HeldOut(AbstractLeast):
    """The step at which the held-out measured values are predicted best.

    Self-validation (Li et al. 2021, arXiv 2110.12271; Ding et al. 2025, arXiv 2209.10675). The
    fit's `held_out` says which share of the values leaves the loss. Their noise is independent of
    the noise that is fitted, so their error falls while the image is learned, and rises once noise
    is. It needs no noise level, and is as sound for missing pixels and small images as for noise.
    """

    kind: Literal["held_out"] = "held_out"
    warm_up: WarmUp = 0
    """How many first steps are never chosen. By default none: first outputs are still, but they
    predict nothing well, and small networks are best within a hundred steps."""

    def applies(self, problem: Problem) -> bool:
        """Whether values were held out."""
        return problem.held_out is not None

    def monitor(self, problem: Problem) -> "HeldOutMonitor":
        return HeldOutMonitor(self)


class HeldOutMonitor(LeastMonitor):
    """The error on the held-out values after every step."""

    def update(self, seen: Seen) -> Tensor:
        """The mean squared error on the held-out values after every step."""
        return self.due(seen, seen.held_out_errors(self._signal).clone())
