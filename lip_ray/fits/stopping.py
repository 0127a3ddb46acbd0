"""Rules that choose a step of a fit without ever seeing the clean image."""

from abc import ABC, abstractmethod
from math import ceil, log
from typing import Annotated, Literal, Protocol, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.spec import Family, Spec, Steps

MOST_SUMS = 1000
"""Strides of a window, and so images that are held."""


class Monitor(Protocol):
    """The running state of a rule over one fit, in O(image) memory."""

    def update(self, step: int, output: Tensor) -> Tensor | None:
        """The statistic after `step`, a scalar on the device; None where none is due."""


class AbstractStopping(Spec, ABC):
    """A statistic of the outputs; the step with its least value is selected."""

    kind: str
    patience: Steps | None = None
    """How many steps may pass after the least statistic. Then the fit ends, when the host next
    looks at the device; by default the fit uses all of its steps."""
    run_on: bool = False
    """Whether the fit continues to its last step after the patience has run out. The selected step
    is then fixed at exactly that moment, while peak and final are of the whole fit."""

    @model_validator(mode="after")
    def _something_to_run_on_from(self) -> Self:
        if self.run_on and self.patience is None:
            raise ValueError("run_on needs a patience: without one the fit uses all of its steps")
        return self

    @property
    @abstractmethod
    def interval(self) -> int:
        """The number of steps between two looks of the host at the device."""

    def check(self, steps: int) -> None:
        """Raise ValueError where a fit of `steps` steps is too short for a statistic."""
        del steps  # by default one is enough

    @abstractmethod
    def monitor(self, image: Tensor) -> Monitor:
        """The running state for outputs of the shape, type and device of `image`."""

    def ends(self, step: int, selected_step: Tensor) -> bool:
        r"""Whether a fit that has taken `step` and selected `selected_step` is to end.

        Waits for the device if there is a patience.
        """
        if self.patience is None or self.run_on:
            return False
        return step - int(selected_step) >= self.patience

    @property
    def closes_after(self) -> int | None:
        """The age in steps after which the selected step is final; None where it never is."""
        return self.patience if self.run_on else None


@final
class WindowedVariance(AbstractStopping):
    """ES-WMV: the step at which the output's windowed moving variance is least.

    Wang et al. 2021 (arXiv 2112.06074), equation 2: the mean squared distance of the last
    `window` outputs from their mean. While a network learns the image its output settles; the
    variance rises again once it fits the noise.
    """

    kind: Literal["wmv"] = "wmv"
    window: Steps = 100
    """The number of outputs that the variance is taken over, and of steps between two looks of the
    host."""
    stride: Steps = 10
    """The number of steps between two statistics. The window is held as window ÷ stride sums, which
    need that many images of memory."""

    @model_validator(mode="after")
    def _whole_strides(self) -> Self:
        if self.window % self.stride:
            raise ValueError(
                f"window must be a multiple of stride, got {self.window} and {self.stride}"
            )
        if self.window // self.stride > MOST_SUMS:
            raise ValueError(
                f"window must be at most {MOST_SUMS} strides, each of which holds an image, got "
                f"{self.window} and {self.stride}"
            )
        return self

    @property
    def interval(self) -> int:
        return self.window

    def check(self, steps: int) -> None:
        """Raise ValueError when a fit of so many steps is shorter than one window."""
        if self.window > steps:
            raise ValueError(
                f"stopping.window must not be longer than the fit: "
                f"got window {self.window} and steps {steps}"
            )

    def monitor(self, image: Tensor) -> "WindowMonitor":
        return WindowMonitor(self, image)


@final
class ExponentialVariance(AbstractStopping):
    """ES-EMV: the step at which the output's exponential moving variance is least.

    Wang et al. 2021 (arXiv 2112.06074), algorithm 2. With forgetting factor α, mean and variance
    of outputs x begin at 0 and move as V ← (1 − α)(V + α‖x − M‖²), M ← M + α(x − M); V is divided
    by the number of values in an image. The first outputs are far from 0, so V begins large, rises
    while M approaches them, and is below its first value again after ln α ÷ ln(1 − α) steps.
    """

    kind: Literal["emv"] = "emv"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The weight of the newest output, in (0, 1): the memory is about 1 ÷ alpha steps."""
    look_every: Steps = 100
    """The number of steps after which the host looks whether the fit is to end."""

    @model_validator(mode="after")
    def _outlasts_the_beginning(self) -> Self:
        least = ceil(log(self.alpha) / log(1 - self.alpha))
        if self.patience is not None and self.patience < least:
            raise ValueError(
                f"patience must be at least {least} with alpha {self.alpha}, or it can run out "
                f"while the mean is still on its way from 0: got {self.patience}"
            )
        return self

    @property
    def interval(self) -> int:
        return self.look_every

    def monitor(self, image: Tensor) -> "ExponentialMonitor":
        return ExponentialMonitor(self, image)


Stopping = Annotated[WindowedVariance | ExponentialVariance, Family(default="wmv")]


class WindowMonitor:
    """The exact variance of the last `window` outputs, every `stride` steps, in O(image) memory.

    Outputs are summed in window ÷ stride buckets; the oldest is emptied for the newest steps. The
    first output is the origin of all sums, which keeps the difference of two large numbers small.
    """

    def __init__(self, rule: WindowedVariance, image: Tensor) -> None:
        buckets = rule.window // rule.stride
        self._rule = rule
        self._origin = torch.zeros_like(image, dtype=torch.float64)
        self._sums = image.new_zeros((buckets, *image.shape), dtype=torch.float64)
        self._squares = image.new_zeros(buckets, dtype=torch.float64)

    def update(self, step: int, output: Tensor) -> Tensor | None:
        """The variance per pixel over the window that ends at `step`, where one is due."""
        if step == 0:
            self._origin.copy_(output)
        bucket = step // self._rule.stride % len(self._sums)
        if step % self._rule.stride == 0:
            self._sums[bucket].zero_()
            self._squares[bucket].zero_()
        shifted = output - self._origin  # in float64, as the origin is
        self._sums[bucket] += shifted
        self._squares[bucket] += shifted.square_().sum()
        if (step + 1) % self._rule.stride or step + 1 < self._rule.window:
            return None
        mean = self._sums.sum(0) / self._rule.window
        mean_square = self._squares.sum() / self._rule.window
        return ((mean_square - mean.square().sum()) / mean.numel()).clamp(min=0).float()


class ExponentialMonitor:
    """The exponential moving variance of the outputs at every step; one image is held.

    Mean and variance are held in float64: with them in float32 the variance of outputs that barely
    move would be that of the rounding.
    """

    def __init__(self, rule: ExponentialVariance, image: Tensor) -> None:
        self._alpha = rule.alpha
        self._mean = torch.zeros_like(image, dtype=torch.float64)
        self._variance = image.new_zeros((), dtype=torch.float64)

    def update(self, step: int, output: Tensor) -> Tensor:
        """The variance per pixel after `step`."""
        del step  # every one counts alike
        distance = output - self._mean
        self._mean.add_(distance, alpha=self._alpha)
        self._variance.add_(distance.square_().mean(), alpha=self._alpha).mul_(1 - self._alpha)
        return self._variance.float()
