"""A pruned network as the table of operations that one step over one image is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lip_ray.fits.sparse import kernels
from lip_ray.fits.sparse.kernels import COLUMNS, LANES, Op
from lip_ray.fits.sparse.loading import loaded
from lip_ray.fits.sparse.planes import RING, Frame, Planes, Taps, fits, frame_of, rounded, taps
from lip_ray.fits.sparse.weights import KeptWeights
from lip_ray.priors.hourglass import Centre, Concat, SameSize
from lip_ray.pruning import Mask


class UnsupportedError(ValueError):
    """A network has a layer that sparse execution lacks."""


IN_SEQUENCE = (nn.ReflectionPad2d, nn.Conv2d, nn.BatchNorm2d)
"""Layers that are understood by those before and after them."""


def lacking(module: nn.Module) -> str:
    """The first layer of a network that sparse execution does not know; empty where it knows all.

    The module may be on the meta device.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            if reason := _unlike(layer):
                return f"the layer {name} {reason}"
        elif not isinstance(layer, IN_SEQUENCE) and not _is_known(type(layer)):
            return f"the layer {name or 'itself'} is a {type(layer).__name__}"
    return ""


MOST_FLOATS = 2**31
"""Offsets of weights are integers of 32 bits: no more floats may lie in the planes of one layer."""


def too_large(module: nn.Module, height: int, width: int) -> str:
    """Why images of so many pixels have too many values for sparse execution; empty where they have
    not. The module may be on the meta device."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    widest = max(max(layer.in_channels, layer.out_channels) for layer in layers)
    plane = (height + 8) * (width + 8) + 4 * LANES  # with any border, and what lies behind
    if widest * plane < MOST_FLOATS:
        return ""
    return (
        f"has layers of {widest} channels, which have more values for {height}×{width} pixels "
        f"than the {MOST_FLOATS:,} that sparse execution can address"
    )


def _is_known(kind: type[nn.Module]) -> bool:
    lowering = vars(Program)["_lowered"].dispatcher.dispatch
    return lowering(kind) is not lowering(nn.Module)


def _unlike(layer: nn.Conv2d) -> str:
    """What a convolution has that kernels do not know."""
    if len(set(layer.kernel_size)) > 1 or len(set(layer.stride)) > 1:
        return "has a kernel or stride that is not square"
    if layer.groups > 1 or set(layer.dilation) != {1} or any(layer.padding):
        return "has groups, dilation or padding of its own"
    return ""


@dataclass
class Value:
    """Planes that an operation makes, and the planes of their gradient."""

    planes: Planes
    gradient: Planes
    reached: bool = False
    """Whether a later operation has written the gradient, so that others must add to it."""
    biased: list[bool] = field(default_factory=lambda: [False])
    """Whether biases of a convolution are still in it: normalisation takes them away. Values that
    keep a bias as it is share the list."""

    def claim(self) -> int:
        """1 where the next gradient is added to what is there, 0 where it is the first."""
        before, self.reached = self.reached, True
        return int(before)


MOST_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
"""As many as numba has; more share them, and have the same bits."""

Values = tuple[Value, ...]
"""Channels of one image, which may lie in several places."""


class Program:
    """The passes over a network for latents of one shape."""

    def __init__(
        self, module: nn.Module, mask: Mask, weights: KeptWeights, shape: tuple[int, int, int]
    ) -> None:
        """`shape` is that of the latent, (C, H, W). Raises UnsupportedError for a network that has
        a layer that is not known here."""
        if reason := lacking(module):
            raise UnsupportedError(f"sparse execution does not know this network: {reason}")
        self._mask = mask
        self._weights = weights
        self._names = {layer: name for name, layer in module.named_modules()}
        self._end = self._slack = 0
        self._lists: list[NDArray[np.int32]] = []
        self._listed = 0
        self._constants: dict[float, int] = {}
        self._rows: list[tuple[int, ...]] = []
        self._backward: list[Callable[[], None]] = []
        self._input = self._value(*shape)
        (self._output,) = self._lowered(module, (self._input,))
        self._finish()

    def forward(self, latent: Tensor, threads: int) -> Tensor:
        """The image (1, C, H, W) of a latent (1, C, H, W)."""
        self._view(self._input.planes).copy_(latent[0])
        self._run(self._forward_table, threads)
        return self._view(self._output.planes)[None].clone()

    def backward(self, gradient: Tensor, threads: int) -> Tensor:
        """The gradients of all weights, from that of the image of the last forward pass."""
        self._view(self._output.gradient).copy_(gradient[0])
        self._run(self._backward_table, threads)
        return self._gradients

    def _run(self, table: NDArray[np.int64], threads: int) -> None:
        arrays = (self._arena.numpy(), self._weights.values.numpy(), self._gradients.numpy())
        run = loaded()
        numba.set_num_threads(min(threads, MOST_THREADS))  # the others would wake up, and wait
        run(table, *arrays, self._list, threads)

    def _view(self, planes: Planes) -> Tensor:
        shape = (planes.channels, planes.height, planes.width)
        return self._arena.as_strided(shape, (planes.stride, planes.pitch, 1), planes.at)

    def _finish(self) -> None:
        forward = self._rows
        self._rows = []  # from here on, rows are those of the way back
        for emit in reversed(self._backward):
            emit()
        self._forward_table, self._backward_table = _table(forward), _table(self._rows)
        self._arena = torch.zeros(self._end + self._slack + 2 * LANES * kernels.TILE)
        for value, at in self._constants.items():
            self._arena[at] = value
        self._list = np.concatenate(self._lists) if self._lists else np.zeros(1, np.int32)
        self._gradients = torch.zeros(self._weights.learned)

    def _emit(self, op: Op, *operands: int) -> None:
        self._rows.append((op, *operands))

    def _claimed(self, count: int) -> int:
        start = self._end
        self._end += rounded(count)
        return start

    def _list_of(self, integers: NDArray[np.int32]) -> int:
        start = self._listed
        self._lists.append(integers)
        self._listed += len(integers)
        return start

    def _constant(self, value: float) -> int:
        if value not in self._constants:
            self._constants[value] = self._claimed(1)
        return self._constants[value]

    def _value(self, channels: int, height: int, width: int) -> Value:
        """New planes with a ring; a vector behind each is nobody's, for tiles that end there."""
        pitch = width + 2 * RING
        planes = Planes(
            at=0,
            channels=channels,
            height=height,
            width=width,
            pitch=pitch,
            stride=rounded((height + 2 * RING) * pitch) + LANES,
            ring=RING,
        )
        return Value(self._placed(planes), self._placed(planes))

    def _placed(self, planes: Planes) -> Planes:
        corner = planes.ring * (planes.pitch + 1)
        return replace(planes, at=self._claimed(planes.size) + corner)

    @singledispatchmethod
    def _lowered(self, layer: nn.Module, values: Values) -> Values:
        raise UnsupportedError(f"{type(layer).__name__} is not known to sparse execution")

    @_lowered.register
    def _(self, layer: nn.Sequential, values: Values) -> Values:
        children = list(layer)
        border = 0
        while children:
            child = children.pop(0)
            if isinstance(child, nn.ReflectionPad2d):
                border = child.padding[0]
            elif isinstance(child, nn.Conv2d):
                values = (self._convolved(child, _only(values), border),)
                border = 0
            elif isinstance(child, nn.BatchNorm2d):
                slope = 1.0
                if children and isinstance(children[0], nn.LeakyReLU | nn.ReLU):
                    slope = _slope(children.pop(0))
                values = (self._normalised(child, values, slope),)
            else:
                values = self._lowered(child, values)
        return values

    @_lowered.register
    def _(self, layer: nn.Identity, values: Values) -> Values:
        return values

    @_lowered.register
    def _(self, layer: Concat, values: Values) -> Values:
        return tuple(part for branch in layer for part in self._lowered(branch, values))

    @_lowered.register
    def _(self, layer: SameSize, values: Values) -> Values:
        *others, last = layer
        assert isinstance(last, nn.Upsample)
        size = values[0].planes.height, values[0].planes.width
        inner = self._lowered(nn.Sequential(*others), values)
        return (self._doubled(last, _only(inner), size),)

    @_lowered.register
    def _(self, layer: nn.Upsample, values: Values) -> Values:
        value = _only(values)
        size = 2 * value.planes.height, 2 * value.planes.width
        return (self._doubled(layer, value, size),)

    @_lowered.register(nn.ReLU | nn.LeakyReLU)
    def _(self, layer: nn.Module, values: Values) -> Values:
        value = _only(values)
        planes, slope = value.planes, self._constant(_slope(layer))
        made = self._value(planes.channels, planes.height, planes.width)
        self._emit(Op.RECTIFY, planes.at, *planes.shape, slope, *made.planes.target)

        def back() -> None:
            self._emit(
                Op.RECTIFY_BACK, value.gradient.at, planes.at, *planes.shape, slope,
                *made.gradient.target, value.claim(),
            )  # fmt: skip

        self._backward.append(back)
        return (made,)

    @_lowered.register
    def _(self, layer: Centre, values: Values) -> Values:
        value = _only(values)
        planes = value.planes
        height, width = min(layer.height, planes.height), min(layer.width, planes.width)
        corner = (planes.height - height) // 2 * planes.pitch + (planes.width - width) // 2
        made = self._value(planes.channels, height, width)
        shape = (planes.channels, height, width, planes.pitch, planes.stride)
        self._emit(Op.CROP, planes.at + corner, *shape, *made.planes.target)

        def back() -> None:
            value.claim()
            under, given = value.gradient, made.gradient
            self._emit(Op.CLEAR, under.around(under.ring).at, under.size)
            self._emit(Op.CROP, given.at, *given.shape, under.at + corner, *under.target[1:])

        self._backward.append(back)
        return (made,)

    @_lowered.register
    def _(self, layer: nn.Sigmoid, values: Values) -> Values:
        value = _only(values)
        planes = value.planes
        made = self._value(planes.channels, planes.height, planes.width)
        self._emit(Op.FINISH, planes.at, *planes.shape, *made.planes.target)

        def back() -> None:
            value.claim()
            self._emit(
                Op.FINISH_BACK, value.gradient.at, *planes.shape, *made.planes.target,
                made.gradient.at,
            )  # fmt: skip

        self._backward.append(back)
        return (made,)

    @_lowered.register
    def _(self, layer: nn.AvgPool2d, values: Values) -> Values:
        value = _only(values)
        planes = value.planes
        made = self._value(planes.channels, (planes.height + 1) // 2, (planes.width + 1) // 2)
        made.biased = value.biased
        self._emit(Op.HALVE, planes.at, *planes.shape, *made.planes.target)

        def back() -> None:
            value.claim()
            self._emit(Op.HALVE_BACK, value.gradient.at, *planes.shape, *made.gradient.target)

        self._backward.append(back)
        return (made,)

    def _doubled(self, layer: nn.Upsample, value: Value, size: tuple[int, int]) -> Value:
        """The planes at twice their size; of an odd side that was halved, a pixel less."""
        planes = value.planes
        height, width = min(size[0], 2 * planes.height), min(size[1], 2 * planes.width)
        made = self._value(planes.channels, height, width)
        made.biased = value.biased
        geometry = (*planes.shape, int(layer.mode == "bilinear"))
        self._emit(
            Op.DOUBLE, planes.at, *geometry, made.planes.at, height, width,
            made.planes.pitch, made.planes.stride,
        )  # fmt: skip

        def back() -> None:
            value.claim()
            self._emit(
                Op.DOUBLE_BACK, value.gradient.at, *geometry, made.gradient.at, height, width,
                made.planes.pitch, made.planes.stride,
            )  # fmt: skip

        self._backward.append(back)
        return made

    def _normalised(self, layer: nn.BatchNorm2d, values: Values, slope: float) -> Value:
        """All parts normalised, and side by side again."""
        name = self._names[layer]
        pieces = self._weights.pieces
        scale, running = pieces[f"{name}.weight"].start, pieces[f"{name}.running_mean"].start
        total = layer.num_features
        made = self._value(total, values[0].planes.height, values[0].planes.width)
        kept, rectifier = self._claimed(2 * total), self._constant(slope)
        first = 0
        for value in values:
            value.biased[0] = False
            planes = value.planes
            out = made.planes.part(first, planes.channels)
            above = made.gradient.part(first, planes.channels)
            told = (rectifier, kept + first, total)
            self._emit(
                Op.NORMALISE, planes.at, *planes.shape, scale + first, *out.target, *told,
                running + first,
            )  # fmt: skip
            self._normalised_back(value, scale + first, above, told)
            first += planes.channels
        return made

    def _normalised_back(
        self, value: Value, scale: int, above: Planes, told: tuple[int, int, int]
    ) -> None:
        planes = value.planes

        def back() -> None:
            value.claim()
            self._emit(
                Op.NORMALISE_BACK, planes.at, *planes.shape, scale, *above.target, *told,
                value.gradient.at,
            )  # fmt: skip

        self._backward.append(back)

    def _convolved(self, layer: nn.Conv2d, value: Value, border: int) -> Value:
        """The convolution over kept weights, of planes with a mirrored border."""
        name = f"{self._names[layer]}.weight"
        planes = value.planes
        frame = frame_of(layer, border, planes)
        if fits(planes, border, frame.step):
            padded, under = planes.around(border), value.gradient.around(border)
            if border:
                self._emit(Op.MIRROR, planes.at, *planes.shape, border)
        else:
            padded = self._padded(value, frame)
            under = self._placed(padded)
        found = taps(self._mask.layers[name], frame, stride=padded.stride)
        made = self._framed(layer.out_channels, frame)
        made.biased = [layer.bias is not None]
        weight = self._weights.pieces[name].start
        bias = self._weights.zeros
        if layer.bias is not None:
            bias = self._weights.pieces[name.replace("weight", "bias")].start
        lists = self._list_of(found.starts), found.groups, self._list_of(found.shifts)
        out = made.planes
        self._emit(
            Op.CONVOLVE, weight, *lists, padded.at, out.channels, frame.pixels,
            out.at, out.stride, bias, 0,
        )  # fmt: skip
        self._backward.append(
            self._convolved_back(value, made, frame, found, lists, padded, under, weight, bias)
        )
        return made

    def _convolved_back(
        self,
        value: Value,
        made: Value,
        frame: Frame,
        found: Taps,
        lists: tuple[int, int, int],
        padded: Planes,
        under: Planes,
        weight: int,
        bias: int,
    ) -> Callable[[], None]:
        ordered = self._list_of(found.order + np.int32(weight))
        back_starts, back_shifts = map(self._list_of, (found.back_starts, found.back_shifts))
        gathered, zeros = self._claimed(len(found.order)), self._claimed(under.channels)
        given = made.gradient

        def back() -> None:
            self._emit(
                Op.WEIGHT_GRADIENTS, weight, *lists, padded.at, given.channels,
                frame.pixels, given.at, given.stride,
            )  # fmt: skip
            if made.biased[0]:
                self._emit(Op.BIAS_GRADIENTS, given.at, *given.shape, bias)
            if value is self._input:
                return
            self._emit(Op.GATHER, ordered, len(found.order), gathered)
            onto = value.claim()
            below = value.gradient
            in_place = fits(below, frame.border, frame.step)
            self._emit(
                Op.CONVOLVE_BACK, gathered, back_starts, found.back_groups, back_shifts, given.at,
                under.channels, frame.padded, under.at, under.stride, zeros,
                onto if in_place else 0,
            )  # fmt: skip
            if not in_place:
                self._emit(
                    Op.PAD_BACK, below.at, *below.shape, frame.border, frame.step, *under.target,
                    onto,
                )  # fmt: skip
            elif frame.border:
                self._emit(Op.MIRROR_BACK, below.at, *below.shape, frame.border)

        return back

    def _padded(self, value: Value, frame: Frame) -> Planes:
        """The planes that the weights of a convolution multiply."""
        planes = value.planes
        padded = self._placed(
            Planes(
                at=0,
                channels=planes.channels * frame.step**2,
                height=frame.padded // frame.pitch,
                width=frame.pitch,
                pitch=frame.pitch,
                stride=rounded(frame.padded),
            )
        )
        self._emit(Op.PAD, planes.at, *planes.shape, frame.border, frame.step, *padded.target)
        return padded

    def _framed(self, channels: int, frame: Frame) -> Value:
        """What a convolution makes; zeros lie before, between and behind the gradient's planes."""
        planes = Planes(
            at=0,
            channels=channels,
            height=frame.out_height,
            width=frame.out_width,
            pitch=frame.pitch,
            stride=frame.out_stride,
        )
        self._slack = max(self._slack, frame.reach)
        made = self._placed(planes)
        margin = rounded(frame.reach)
        gradient = replace(planes, at=self._claimed(margin + planes.size) + margin)
        return Value(made, gradient)


def _only(values: Values) -> Value:
    if len(values) > 1:
        raise UnsupportedError("sparse execution concatenates before normalisation only")
    return values[0]


def _slope(layer: nn.Module) -> float:
    return float(layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else 0.0


def _table(rows: list[tuple[int, ...]]) -> NDArray[np.int64]:
    table = np.zeros((len(rows), COLUMNS), np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return table
