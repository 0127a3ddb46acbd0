"""What a stopping rule is: it watches a fit as it runs, and chooses one of its steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
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
    r"""What a rule may see of some steps in a row for one image: images and their distances to the
    measurement.

    The clean image is not among it. What several rules need is computed once, when the first asks.
    """

    def __init__(self, problem: Problem, first: int, *, outputs: Tensor, averages: Tensor) -> None:
        """Outputs and averages are (N, C, H, W), an image for each step from `first` on."""
        self.steps = range(first, first + len(outputs))
        self._problem = problem
        self._images: dict[Signal, Tensor] = {"output": outputs, "average": averages}
        self._doubles: dict[Signal, Tensor] = {}
        self._errors: dict[Signal, tuple[Tensor, Tensor | None]] = {}

    def images(self, signal: Signal) -> Tensor:
        """The images (N, C, H, W) of a signal, one per step."""
        return self._images[signal]

    def doubles(self, signal: Signal) -> Tensor:
        """The same images in float64."""
        if signal not in self._doubles:
            self._doubles[signal] = self._images[signal].double()
        return self._doubles[signal]

    def residuals(self, signal: Signal) -> Tensor:
        """The mean squared distances of a signal to the values that are fitted, (N,)."""
        return self._known(signal)[0]

    def held_out_errors(self, signal: Signal) -> Tensor:
        """The mean squared distances of a signal to the values that were held out, (N,).

        Raises ValueError where none was.
        """
        errors = self._known(signal)[1]
        if errors is None:
            raise ValueError("no measured value is held out")
        return errors

    def _known(self, signal: Signal) -> tuple[Tensor, Tensor | None]:
        if signal not in self._errors:
            self._errors[signal] = self._problem.errors(self._images[signal])
        return self._errors[signal]


Closed = Callable[[Tensor, "Choice"], Tensor]
"""Whether the choice before each of N steps is final, so that the step cannot be chosen any more;
(N,) booleans."""


@dataclass
class Choice:
    """Steps with the least statistic that a rule has seen so far, -1 before there is one; on the
    device, scalars or one of each per step."""

    statistic: Tensor
    step: Tensor

    @classmethod
    def none(cls, device: torch.device) -> Self:
        """The choice of no steps."""
        return cls(torch.full((), torch.inf, device=device), torch.full((), -1, device=device))

    def offer(self, statistics: Tensor, first: int, closed: Closed) -> tuple[Tensor, Tensor]:
        r"""Take each of the steps from `first` on whose statistic is strictly lower than all
        before, as long as the choice is open.

        `statistics` are (N,), NaN where none is due, which is never taken. Returns whether a step
        was taken, and the number among the N of the one taken last; both are scalars.
        """
        steps = torch.arange(first, first + len(statistics), device=statistics.device)
        found = statistics.nan_to_num(nan=torch.inf, posinf=torch.inf)
        least = torch.cat((self.statistic[None], found)).cummin(0).values
        taken = found < least[:-1]
        chosen = torch.cat((self.step[None], steps.where(taken, -1))).cummax(0).values
        # Until it is closed for the first time, a choice is what it would be without an end.
        final = closed(steps, Choice(least[:-1], chosen[:-1])).cummax(0).values
        last = steps.where(taken & ~final, -1).max()
        fresh = last >= 0
        number = (last - first).clamp(min=0)
        self.statistic = torch.where(fresh, found.gather(0, number[None])[0], self.statistic)
        self.step = torch.where(fresh, last, self.step)
        return fresh, number


class AbstractMonitor(ABC):
    """The running state of a rule over one image of a fit, in O(image) memory on the device."""

    noise: float | None = None
    """The standard deviation of the noise that the rule goes by, where it goes by one."""

    @abstractmethod
    def update(self, seen: Seen) -> Tensor:
        """The statistics after the next steps, (N,) on the device; NaN where none is due."""

    @abstractmethod
    def closed(self, steps: Tensor, choice: Choice) -> Tensor:
        """Whether a choice is final before a step, so that the step cannot be chosen any more;
        booleans of the shape of `steps`, on the device."""


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

    def due(self, seen: Seen, statistics: Tensor) -> Tensor:
        """The statistics with NaN in place of those that come before the end of the warm-up."""
        early = max(self._first - seen.steps.start, 0)
        statistics[:early] = torch.nan
        return statistics

    def closed(self, steps: Tensor, choice: Choice) -> Tensor:
        """Whether more than `patience` steps have passed since the least statistic."""
        return (choice.step >= 0) & (choice.step < steps - self._patience)
