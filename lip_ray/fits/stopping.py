"""Rules that choose a step of a fit without ever seeing the clean image."""

from typing import Annotated, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.spec import Spec

Steps = Annotated[int, Field(ge=1)]


@final
class WindowedVariance(Spec):
    """ES-WMV: the step at which the output's windowed moving variance is least.

    Wang et al. 2021 (arXiv 2112.06074), equation 2: the mean squared distance of the last
    `window` outputs from their mean. While a network learns the image its output settles; the
    variance rises again once it fits the noise.
    """

    kind: Literal["wmv"] = "wmv"
    window: Steps = 100
    """How many outputs the variance is taken over."""
    stride: Steps = 10
    """Every how many steps it is taken. The window is held as window ÷ stride sums, so memory is
    that many images whatever the window."""
    patience: Steps | None = None
    """End the fit once the least variance is this many steps old, seen at every multiple of
    `window`; by default the fit uses all of its steps."""

    @model_validator(mode="after")
    def _whole_strides(self) -> Self:
        if self.window % self.stride:
            raise ValueError(
                f"window must be a multiple of stride, got {self.window} and {self.stride}"
            )
        return self

    def monitor(self, image: Tensor) -> "VarianceMonitor":
        """The running state for outputs of the shape, type and device of `image`."""
        return VarianceMonitor(self, image)


class VarianceMonitor:
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
        shifted = output.double() - self._origin
        self._sums[bucket] += shifted
        self._squares[bucket] += shifted.square().sum()
        if (step + 1) % self._rule.stride or step + 1 < self._rule.window:
            return None
        mean = self._sums.sum(0) / self._rule.window
        mean_square = self._squares.sum() / self._rule.window
        return ((mean_square - mean.square().sum()) / mean.numel()).clamp(min=0).float()
