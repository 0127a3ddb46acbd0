"""Where planes lie in the arena of a pass, and which weights multiply them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lip_ray.fits.sparse.kernels import LANES, TILE

Integers = NDArray[np.int32]

RING = 1
"""The border of new planes, in pixels: what a kernel of 3×3 needs around them is there already."""


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Channels of pixels: the first begins at `at`, lines are `pitch` apart, planes `stride`.

    Around each lies a border of `ring` pixels, which belongs to no other.
    """

    at: int
    channels: int
    height: int
    width: int
    pitch: int
    stride: int
    ring: int = 0

    @property
    def size(self) -> int:
        """The floats from the first plane to the end of the last."""
        return self.channels * self.stride

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """What operations are told of them: channels, height, width, pitch, stride."""
        return (self.channels, self.height, self.width, self.pitch, self.stride)

    @property
    def target(self) -> tuple[int, int, int]:
        """What operations are told of planes that they write: at, pitch, stride."""
        return (self.at, self.pitch, self.stride)

    def around(self, border: int) -> "Planes":
        """The same planes with some of the pixels around them."""
        return replace(
            self,
            at=self.at - border * (self.pitch + 1),
            height=self.height + 2 * border,
            width=self.width + 2 * border,
            ring=self.ring - border,
        )

    def part(self, first: int, channels: int) -> "Planes":
        """Some of the channels."""
        return replace(self, at=self.at + first * self.stride, channels=channels)


def rounded(count: int) -> int:
    """The next number of floats that is whole vectors."""
    return -(-count // LANES) * LANES


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How a convolution sees its input: padded, and split into planes of every step-th pixel.

    So each of its weights multiplies one plane, shifted by a fixed number of pixels.
    """

    kernel: int
    step: int
    border: int
    height: int
    width: int
    """Height and width are those of the input, in pixels."""
    pitch: int
    """Between lines, of the padded planes and of what comes out."""

    @property
    def out_height(self) -> int:
        """Lines that come out."""
        return (self.height + 2 * self.border - self.kernel) // self.step + 1

    @property
    def out_width(self) -> int:
        """Pixels of a line that come out."""
        return (self.width + 2 * self.border - self.kernel) // self.step + 1

    @property
    def padded(self) -> int:
        """The floats of a padded plane."""
        return -(-(self.height + 2 * self.border) // self.step) * self.pitch

    @property
    def reach(self) -> int:
        """The largest shift of a plane."""
        return ((self.kernel - 1) // self.step) * (self.pitch + 1)

    @property
    def pixels(self) -> int:
        """What comes out, with the pixels between the end of one line and the next."""
        return self.out_height * self.pitch

    @property
    def out_stride(self) -> int:
        """Between planes that come out: behind each lie zeros as far as any shift reaches."""
        return rounded(max(self.pixels + self.reach, self.padded)) + LANES


@dataclass(frozen=True)
class Taps:
    """The kept weights of a convolution: where the planes begin that they multiply."""

    starts: Integers
    """By output channel and group of input channels, its first weight; and the number of all."""
    groups: int
    shifts: Integers
    """By weight, where its pixels begin, from the first padded plane on."""
    back_starts: Integers
    """By padded plane and group of output channels, the first weight in the order of planes."""
    back_groups: int
    back_shifts: Integers
    """By weight in that order, where its pixels begin in the gradient of what comes out."""
    order: Integers
    """By weight in that order, which it is in the order of rows."""


def taps(kept: Tensor, frame: Frame, *, stride: int) -> Taps:
    """The weights that a mask (O, C, k, k) keeps; `stride` is that of the padded planes."""
    rows, channels, dy, dx = (index.numpy() for index in kept.cpu().nonzero(as_tuple=True))
    step = frame.step
    plane = (channels * step + dy % step) * step + dx % step
    shift = (dy // step) * frame.pitch + dx // step
    order = np.argsort(plane, kind="stable")
    planes = kept.shape[1] * step * step
    starts, groups = _starts(rows, channels, kept.shape[:2], frame)
    back_starts, back_groups = _starts(plane[order], rows[order], (planes, kept.shape[0]), frame)
    return Taps(
        starts=starts,
        groups=groups,
        shifts=(plane * stride + shift).astype(np.int32),
        back_starts=back_starts,
        back_groups=back_groups,
        back_shifts=(rows * frame.out_stride - shift)[order].astype(np.int32),
        order=order.astype(np.int32),
    )


CACHED = 2**13
"""The floats of planes that stay in a core's first cache while a tile is computed."""
LEAST_WEIGHTS = 4
"""The mean number of weights in a group of a row that is worth loading the row's tile once more."""


def _starts(
    rows: NDArray[np.int64], sources: NDArray[np.int64], shape: Sequence[int], frame: Frame
) -> tuple[Integers, int]:
    """By row and group of sources, the first weight; and how many groups there are.

    `rows` are sorted, and so are the sources of each; `shape` says how many there are of both.
    """
    count, most = shape
    seen = min(LANES * TILE, frame.pixels) + frame.reach
    groups = max(1, min(-(-most * seen // CACHED), len(rows) // (LEAST_WEIGHTS * count)))
    keys = rows * groups + sources * groups // most
    return np.searchsorted(keys, np.arange(count * groups + 1)).astype(np.int32), groups


def frame_of(layer: nn.Conv2d, border: int, planes: Planes) -> Frame:
    """The frame of a convolution of planes, as they are where they have the border."""
    kernel, step = layer.kernel_size[0], layer.stride[0]
    around = planes.around(border)
    made = (around.width - kernel) // step + 1
    wide = max(-(-around.width // step), made + 2 * RING)  # as new planes of what comes out are
    return Frame(
        kernel=kernel,
        step=step,
        border=border,
        height=planes.height,
        width=planes.width,
        pitch=planes.pitch if fits(planes, border, step) else wide,
    )


def fits(planes: Planes, border: int, step: int) -> bool:
    """Whether planes have a border, so that a convolution can read them where they are."""
    return step == 1 and planes.ring >= border
