"""What a stopping rule is: it watches a fit as it runs, and chooses one of its steps."""

from abc import ABC, abstractmethod
from typing import Annotated, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from lip_ray.spec import Spec, Steps
from lip_ray.tasks import Problem

Signal = Literal["average", "output"]
"""The exponential moving average of a network's outputs, or the output of the step alone."""

PATIENCE = 1000
"""The patience that Wang et al. 2021 published, and that of every rule by default."""


class Seen:
    r"""What a rule may see of one step for one image: images and their distance to the measurement.

    The clean image is not among it. A distance is computed when the first rule asks for it.
    """

    def __init__(self, problem: Problem, *, output: Tensor, average: Tensor) -> None:
        self._problem = problem
        self._images: dict[Signal, Tensor] = {"output": output, "average": average}
        self._residuals: dict[Signal, Tensor] = {}

    def image(self, signal: Signal) -> Tensor:
        """The image (1, C, H, W) of a signal."""
        return self._images[signal]

    def residual(self, signal: Signal) -> Tensor:
        """The mean squared distance of a signal to the values that are fitted, a scalar."""
        if signal not in self._residuals:
            self._residuals[signal] = self._problem.residual(self._images[signal])
        return self._residuals[signal]

    def held_out_error(self, signal: Signal) -> Tensor:
        """The mean squared distance of a signal to the values that were held out, a scalar."""
        return self._problem.held_out_error(self._images[signal])


class Choice:
    """The step with the best statistic that a rule has seen so far; all on the device."""

    def __init__(self, like: Tensor) -> None:
        self.statistic = like.new_full((), torch.inf)
        self.step = torch.full((), -1, device=like.device)

    def offer(self, statistic: Tensor, step: int, *, closed: Tensor) -> Tensor:
        """Take this step if its statistic is strictly lower and the choice is open; NaN never is.

        Returns whether it was taken, a boolean scalar.
        """
        taken = (statistic < self.statistic) & ~closed
        self.statistic = torch.where(taken, statistic, self.statistic)
        self.step = torch.where(taken, step, self.step)
        return taken


class AbstractMonitor(ABC):
    """The running state of a rule over one image of a fit, in O(image) memory on the device."""

    noise: float | None = None
    """The standard deviation of the noise that the rule goes by, where it goes by one."""

    @abstractmethod
    def update(self, step: int, seen: Seen) -> Tensor | None:
        """The statistic after `step`, a scalar on the device; None where none is due."""

    @abstractmethod
    def closed(self, step: int, choice: Choice) -> Tensor:
        """Whether the choice is final, so that `step` cannot be chosen any more; on the device."""


class AbstractStopping(Spec, ABC):
    r"""A rule: a statistic of one signal, and the step that it chooses by it.

    The image that is reported is the same signal's at the chosen step.
    """

    kind: str
    signal: Signal = "average"
    """What is watched and reported: the moving average of the outputs, or each output itself."""
    ends_fit: bool = False
    """Whether the fit ends, at the next look of the host at the device, once the choice is final.
    By default it continues to its last step, and the choice stands."""

    def scaled(self, steps: int) -> Self:
        """The same rule with every length that was left open set for a fit of `steps` steps."""
        del steps  # rules without lengths are the same for all fits
        return self

    def check(self, steps: int) -> None:
        """Raise ValueError where a fit of `steps` steps is too short for a statistic."""
        del steps  # by default one is enough

    def applies(self, problem: Problem) -> bool:
        """Whether the rule can judge fits to this problem."""
        del problem  # by default it can judge any
        return True

    @abstractmethod
    def monitor(self, problem: Problem) -> AbstractMonitor:
        """The running state for fits to a problem. The rule has been scaled."""


WarmUp = Annotated[int, Field(ge=0, le=10**7)] | None
"""A number of first steps, or None for one that follows from the fit's length."""


class AbstractLeast(AbstractStopping, ABC):
    """A rule that chooses the step of the least statistic, until its patience runs out."""

    warm_up: WarmUp = None
    """How many first steps are never chosen, as a network's first outputs are as still as its best
    ones. By default a tenth of the fit's steps, at most 100."""
    patience: Steps = PATIENCE
    """How many steps may pass after the least statistic before the choice is final."""

    def scaled(self, steps: int) -> Self:
        if self.warm_up is not None:
            return self
        return self.model_copy(update={"warm_up": min(100, steps // 10)})

    def check(self, steps: int) -> None:
        """Raise ValueError where no step is left after the warm-up."""
        if (self.warm_up or 0) >= steps:
            raise ValueError(
                f"stopping.warm_up must be shorter than the fit: got warm_up {self.warm_up} and "
                f"steps {steps}"
            )


class LeastMonitor(AbstractMonitor, ABC):
    """The running state of a rule that chooses the step of the least statistic."""

    def __init__(self, rule: AbstractLeast) -> None:
        if rule.warm_up is None:
            raise ValueError("a rule is scaled to a fit before it watches one")
        self._signal: Signal = rule.signal
        self._first = rule.warm_up
        self._patience = rule.patience

    def closed(self, step: int, choice: Choice) -> Tensor:
        """Whether more than `patience` steps have passed since the least statistic."""
        return (choice.step >= 0) & (choice.step < step - self._patience)
