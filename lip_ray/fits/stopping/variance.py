"""Variance of the outputs: a network's image is stillest once learned and before it fits noise."""

from collections.abc import Iterator
from math import ceil, log
from typing import Annotated, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.fits.stopping.base import AbstractLeast, LeastMonitor, Seen, Signal
from lip_ray.spec import Steps
from lip_ray.tasks import Problem

MOST_SUMS = 1000
"""Strides of a window, and so images that are held."""
STRIDES = 10
"""Strides of a window by default, where it is long enough."""


@final
class WindowedVariance(AbstractLeast):
    """ES-WMV: the step at which the signal's windowed moving variance is least.

    Wang et al. 2021 (arXiv 2112.06074), equation 2: the mean squared distance of the last
    `window` images from their mean. While a network learns the image its output settles; the
    variance rises again once it fits the noise. As published the signal is the output, the window
    is 100 steps, the patience 1,000, and there is no warm-up.
    """

    kind: Literal["wmv"] = "wmv"
    window: Steps | None = None
    """The number of images that the variance is taken over. By default 100, or a tenth of the fit's
    steps where it has fewer than 1,000."""
    stride: Steps | None = None
    """The number of steps between two statistics, which divides the window. The window is held as
    window ÷ stride sums, which need that many images of memory. By default about a tenth of the
    window."""

    @model_validator(mode="after")
    def _whole_strides(self) -> Self:
        if self.window is None or self.stride is None:
            return self
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

    def scaled(self, steps: int) -> Self:
        window, stride = self.window, self.stride
        if window is None:
            window = min(100, max(steps // 10, 1))
            window = max(window // (stride or 1), 1) * (stride or 1)
        if stride is None:
            longest = max(window // STRIDES, 1)
            stride = next(length for length in range(longest, 0, -1) if not window % length)
        known = super().scaled(steps)
        return known.model_copy(update={"window": window, "stride": stride})

    def check(self, steps: int) -> None:
        """Raise ValueError where a fit ends before the first statistic that can be chosen."""
        super().check(steps)
        known = self.scaled(steps)
        window, stride = known.window or 1, known.stride or 1
        if window > steps:
            raise ValueError(
                f"stopping.window must not be longer than the fit: "
                f"got window {window} and steps {steps}"
            )
        last = steps // stride * stride - 1
        if last < (known.warm_up or 0):
            raise ValueError(
                "stopping.warm_up leaves no statistic: with stride "
                f"{stride} the last of {steps} steps is step {last}, got warm_up {known.warm_up}"
            )

    def monitor(self, problem: Problem) -> "WindowMonitor":
        return WindowMonitor(self, problem.blank)


@final
class ExponentialVariance(AbstractLeast):
    """ES-EMV: the step at which the signal's exponential moving variance is least.

    Wang et al. 2021 (arXiv 2112.06074), algorithm 2. With forgetting factor α, mean and variance
    of images x begin at 0 and move as V ← (1 − α)(V + α‖x − M‖²), M ← M + α(x − M); V is divided
    by the number of values in an image. The first outputs are far from 0, so V begins large, rises
    while M approaches them, and is below its first value again after ln α ÷ ln(1 − α) steps. The
    warm-up is at least that long; in a fit that is shorter only the last step is left.
    """

    kind: Literal["emv"] = "emv"
    signal: Signal = "output"
    """What is watched and reported; as published, each output itself."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The weight of the newest image, in (0, 1): the memory is about 1 ÷ alpha steps."""

    def scaled(self, steps: int) -> Self:
        known = super().scaled(steps)
        forgotten = ceil(log(self.alpha) / log(1 - self.alpha))
        warm_up = min(max(known.warm_up or 0, forgotten), steps - 1)
        return known.model_copy(update={"warm_up": warm_up})

    def monitor(self, problem: Problem) -> "ExponentialMonitor":
        return ExponentialMonitor(self, problem.blank)


class WindowMonitor(LeastMonitor):
    """The exact variance of the last `window` images, every `stride` steps, in O(image) memory.

    Images are summed in window ÷ stride buckets; the oldest is emptied for the newest steps. The
    first image is the origin of all sums, which keeps the difference of two large numbers small.
    """

    def __init__(self, rule: WindowedVariance, like: Tensor) -> None:
        super().__init__(rule)
        if rule.window is None or rule.stride is None:
            raise ValueError("a rule is scaled to a fit before it watches one")
        self._window, self._stride = rule.window, rule.stride
        buckets = self._window // self._stride
        self._origin = torch.zeros_like(like, dtype=torch.float64)
        self._sums = like.new_zeros((buckets, *like.shape), dtype=torch.float64)
        self._squares = like.new_zeros(buckets, dtype=torch.float64)

    def update(self, seen: Seen) -> Tensor:
        """The variance per pixel over the window that ends at each step, where one is due."""
        images = seen.doubles(self._signal)
        if seen.steps.start == 0:
            self._origin.copy_(images[:1])
        statistics = images.new_full((len(images),), torch.nan, dtype=torch.float32)
        for part in self._strides(seen.steps):
            first = seen.steps.start
            self._add(part, images[part.start - first : part.stop - first])
            if part.stop % self._stride == 0 and part.stop >= self._window:
                statistics[part.stop - 1 - first] = self._variance()
        return self.due(seen, statistics)

    def _strides(self, steps: range) -> Iterator[range]:
        """The steps, divided where a bucket is full."""
        first = steps.start
        while first < steps.stop:
            end = min(first // self._stride * self._stride + self._stride, steps.stop)
            yield range(first, end)
            first = end

    def _add(self, steps: range, images: Tensor) -> None:
        """Add steps of one stride to their bucket, which the first of them empties."""
        shifted = images - self._origin
        bucket = steps.start // self._stride % len(self._sums)
        flat = shifted.flatten()
        total, square = shifted.sum(0, keepdim=True), torch.dot(flat, flat)
        if steps.start % self._stride == 0:
            self._sums[bucket], self._squares[bucket] = total, square
        else:
            self._sums[bucket] += total
            self._squares[bucket] += square

    def _variance(self) -> Tensor:
        mean = self._sums.sum(0) / self._window
        mean_square = self._squares.sum() / self._window
        distance = torch.dot(mean.flatten(), mean.flatten())
        return ((mean_square - distance) / mean.numel()).clamp(min=0).float()


class ExponentialMonitor(LeastMonitor):
    """The exponential moving variance of the images at every step; one image is held.

    Mean and variance are held in float64: with them in float32 the variance of images that barely
    move would be that of the rounding.
    """

    def __init__(self, rule: ExponentialVariance, like: Tensor) -> None:
        super().__init__(rule)
        self._alpha = rule.alpha
        self._mean = torch.zeros_like(like, dtype=torch.float64)
        self._variance = like.new_zeros((), dtype=torch.float64)

    def update(self, seen: Seen) -> Tensor:
        """The variance per pixel after every step."""
        return self.due(seen, torch.stack([self._moved(i) for i in seen.doubles(self._signal)]))

    def _moved(self, image: Tensor) -> Tensor:
        distance = image - self._mean
        self._mean.add_(distance, alpha=self._alpha)
        square = torch.dot(distance.flatten(), distance.flatten()) / distance.numel()
        self._variance.add_(square, alpha=self._alpha).mul_(1 - self._alpha)
        return self._variance.float()
