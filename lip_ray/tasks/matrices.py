"""Random measurement matrices: drawn in blocks of rows, or never written out at all."""

import math
from abc import ABC
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from lip_ray.rng import keyed
from lip_ray.tasks.base import Operator

BLOCK_NUMBERS = 2**20
r"""Entries of a matrix that are drawn at once, at least one row of it.

The meaning of a seed depends on this number, so it never changes.
"""

HELD_BYTES = 128 * 2**20
"""The largest matrix that is kept in memory; a larger one is drawn again at every use."""


class Measurements(Operator, ABC):
    """An operator with m numbers per image: (N, C, H, W) → (N, m)."""

    def __init__(self, m: int, shape: Sequence[int]) -> None:
        """`shape` is (C, H, W) of the images."""
        self.m = m
        self.shape = cast("tuple[int, int, int]", tuple(shape))
        self.count = math.prod(shape)

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        """(C, H, W) of the images that it was made for."""
        return self.shape

    def view(self, measurement: Tensor) -> Tensor:
        """The measurement mapped back by the adjoint and clamped to [0, 1]."""
        return self.adjoint(measurement).clamp(0, 1)


class GaussianMatrix(Measurements):
    r"""Independent entries N(0, 1/m), so that a squared norm keeps its mean: E‖A x‖² = ‖x‖².

    Keyed by seed and shape: a smaller m has the first rows of a larger one, except for the scale. A
    matrix of at most `HELD_BYTES` is drawn once, on the CPU. A larger one is drawn again, block by
    block, at every use, forward and backward, on the device itself, where the numbers of the CPU
    and of CUDA differ.
    """

    def __init__(
        self, m: int, shape: Sequence[int], *, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(m, shape)
        self._seed = seed
        self._device = torch.device(device)
        self._rows = max(1, BLOCK_NUMBERS // self.count)
        self._held: Tensor | None = None
        if 4 * m * self.count <= HELD_BYTES:
            held = torch.empty(m, self.count)
            for rows, block in zip(held.split(self._rows), self._drawn("cpu"), strict=True):
                rows.copy_(block)
            self._held = held.to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """A x for each image x."""
        return _product(images, self, transposed=False)

    def adjoint(self, measurement: Tensor) -> Tensor:
        """Aᵀ y for each measurement y, by one pass over the rows."""
        return _product(measurement, self, transposed=True)

    def blocks(self) -> Iterator[Tensor]:
        r"""The rows in order times √m, in blocks (rows, C · H · W) float32.

        A block is overwritten when the next one is drawn.
        """
        if self._held is not None:
            return iter(self._held.split(self._rows))
        return self._drawn(self._device)

    def _drawn(self, device: torch.device | str) -> Iterator[Tensor]:
        """The blocks in one buffer, filled over and over, as fresh memory would take longer than
        the draws."""
        buffer = torch.empty(self._rows, self.count, device=device)
        for index, first in enumerate(range(0, self.m, self._rows)):
            draws = keyed(self._seed, "measurement matrix", level=index, device=device)
            yield buffer.normal_(generator=draws)[: self.m - first]


def _product(given: Tensor, matrix: GaussianMatrix, *, transposed: bool) -> Tensor:
    product: Tensor = _Product.apply(given, matrix, transposed)  # type: ignore[no-untyped-call]
    return product


class _Product(torch.autograd.Function):
    """A x or Aᵀ y; the gradient of each is the other, so no block outlives its use."""

    @staticmethod
    def forward(given: Tensor, matrix: GaussianMatrix, transposed: bool) -> Tensor:
        scaled = given.flatten(1) / math.sqrt(matrix.m)
        blocks = (block.to(given.dtype) for block in matrix.blocks())
        if not transposed:
            return torch.cat([scaled @ block.T for block in blocks], dim=1)
        images, first = scaled.new_zeros(len(scaled), matrix.count), 0
        for block in blocks:
            images.addmm_(scaled[:, first : first + len(block)], block)
            first += len(block)
        return images.reshape(-1, *matrix.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.matrix, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _product(gradient, ctx.matrix, transposed=not ctx.transposed), None, None


class OrthogonalRows(Measurements):
    r"""m distinct rows of a randomised orthonormal transform times √(n/m): A Aᵀ = (n/m) I.

    The signs of all n values are drawn; then comes the discrete Hartley transform, Re F − Im F. It
    is computed by FFT, so it costs about the same whatever m is. A smaller m has the first rows of
    a larger one, except for the scale.
    """

    def __init__(
        self, m: int, shape: Sequence[int], *, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__(m, shape)
        draws = keyed(seed, "measurement matrix")
        self.signs = (2.0 * torch.randint(2, (self.count,), generator=draws) - 1).to(device)
        self.rows = torch.randperm(self.count, generator=draws)[:m].to(device)
        """The measured rows of the transform, (m,)."""

    def __call__(self, images: Tensor) -> Tensor:
        """A x for each image x."""
        spectrum = torch.fft.fft(images.flatten(1) * self.signs, norm="ortho")
        mixed: Tensor = spectrum.real - spectrum.imag
        return mixed.index_select(1, self.rows) * math.sqrt(self.count / self.m)


class WithRowsOfOnes(Measurements):
    """Another operator with some of its rows replaced by ones, which measure the sum of an
    image."""

    def __init__(self, operator: Measurements, replaced: Tensor) -> None:
        """`replaced` is (m,) bool."""
        super().__init__(operator.m, operator.shape)
        self._operator = operator
        self.replaced = replaced

    def __call__(self, images: Tensor) -> Tensor:
        """A x for each image x."""
        total = images.sum((1, 2, 3))[:, None]
        return torch.where(self.replaced, total, self._operator(images))

    def adjoint(self, measurement: Tensor) -> Tensor:
        """Aᵀ y for each measurement y."""
        total = measurement.masked_fill(~self.replaced, 0).sum(1)[:, None, None, None]
        return self._operator.adjoint(measurement.masked_fill(self.replaced, 0)) + total
