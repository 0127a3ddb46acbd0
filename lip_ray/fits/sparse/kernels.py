"""The kernels of sparse execution, compiled by numba: convolutions over kept weights, and the rest.

A pass over a network is a table of integers, one row per operation, and `run` works it off. All
planes lie in one array of float32, the `arena`; rows name them by where they begin. A plane is a
channel: lines of pixels, `pitch` apart. Each operation does the share of one thread, and whatever
the number of threads, the same sums are added in the same order.

numba tells by the age of this one file whether its cache is stale. So everything that `run` calls
is here.
"""

from collections.abc import Callable
from enum import IntEnum, auto
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils, config
from numba.extending import intrinsic
from numba.np.unsafe.ndarray import to_fixed_tuple

FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Sums may be reordered within a vector; NaN and infinity keep their meaning."""
OPTIONS: dict[str, Any] = {
    "fastmath": FAST,
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
}
EPSILON, MOMENTUM = 1e-5, np.float32(0.1)
"""What PyTorch's batch normalisation adds to variances, and how fast running statistics follow."""


class Op(IntEnum):
    """What a row of the table says in its first column."""

    PAD = 0
    MIRROR = auto()
    CONVOLVE = auto()
    NORMALISE = auto()
    RECTIFY = auto()
    DOUBLE = auto()
    HALVE = auto()
    FINISH = auto()
    CROP = auto()
    GATHER = auto()
    CONVOLVE_BACK = auto()
    BIAS_GRADIENTS = auto()
    WEIGHT_GRADIENTS = auto()
    PAD_BACK = auto()
    MIRROR_BACK = auto()
    NORMALISE_BACK = auto()
    RECTIFY_BACK = auto()
    DOUBLE_BACK = auto()
    HALVE_BACK = auto()
    FINISH_BACK = auto()
    CLEAR = auto()


COLUMNS = 16
"""The width of the table: an operation and its operands."""


def _registers() -> tuple[int, int]:
    """The floats of one vector, and how many vectors of a tile stay in registers."""
    has = llvm.get_host_cpu_features()
    asked = getattr(config, "CPU_FEATURES", None)
    if asked is not None:  # code for another CPU than this one
        named = filter(None, asked.split(","))
        has = {feature[1:]: feature[0] == "+" for feature in named}
    if has.get("avx512f"):
        return 16, 16
    if has.get("avx2") or has.get("avx"):
        return 8, 8
    return 4, 16


LANES, TILE = _registers()
FLOAT, INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)
FLAGS = tuple(sorted(FAST))


def _whole(number: int) -> ir.Constant:
    return ir.Constant(INT64, number)


class _Code:
    """LLVM code under construction: what the two inner kernels share."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def floats(self, address: ir.Value) -> ir.Value:
        """The address as a pointer to floats."""
        return self.builder.inttoptr(address, FLOAT.as_pointer())

    def integers(self, address: ir.Value) -> ir.Value:
        """The address as a pointer to 32-bit integers."""
        return self.builder.inttoptr(address, INT32.as_pointer())

    def at(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        """The pointer moved by so many elements."""
        return self.builder.gep(pointer, [index], inbounds=True)

    def integer(self, pointer: ir.Value, index: ir.Value) -> ir.Value:
        """The 32-bit integer there, as one of 64 bits."""
        return self.builder.sext(self.builder.load(self.at(pointer, index), align=4), INT64)

    def _vectors(self, pointer: ir.Value, number: int) -> ir.Value:
        moved = self.at(pointer, _whole(number * LANES))
        return self.builder.bitcast(moved, VECTOR.as_pointer())

    def load(self, pointer: ir.Value, number: int) -> ir.Value:
        """The vector of that number from the pointer on."""
        return self.builder.load(self._vectors(pointer, number), align=4)

    def store(self, value: ir.Value, pointer: ir.Value, number: int) -> None:
        """Write a vector."""
        self.builder.store(value, self._vectors(pointer, number), align=4)

    def spread(self, value: ir.Value) -> ir.Value:
        """A vector with this float in all lanes."""
        empty = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(INT32, 0))
        zeros = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, empty, zeros)

    def add(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Their sum."""
        return self.builder.fadd(one, other, flags=FLAGS)

    def multiply(self, one: ir.Value, other: ir.Value) -> ir.Value:
        """Their product."""
        return self.builder.fmul(one, other, flags=FLAGS)

    def total(self, vector: ir.Value) -> ir.Value:
        """The sum of a vector's lanes."""
        summing = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module,
            ir.FunctionType(FLOAT, [FLOAT, VECTOR]),
            f"llvm.vector.reduce.fadd.v{LANES}f32",
        )
        return self.builder.call(summing, [ir.Constant(FLOAT, -0.0), vector], fastmath=FLAGS)

    def loop(
        self,
        first: ir.Value,
        end: ir.Value,
        carried: list[ir.Value],
        body: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:
        """`for i in range(first, end): carried = body(i, carried)`; what is carried at the end."""
        builder = self.builder
        before = builder.block
        head, work, done = (builder.append_basic_block(name) for name in ("head", "work", "done"))
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(INT64)
        index.add_incoming(first, before)
        values = [builder.phi(value.type) for value in carried]
        for phi, value in zip(values, carried, strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", index, end), work, done)
        builder.position_at_end(work)
        after = body(index, values)
        index.add_incoming(builder.add(index, _whole(1)), builder.block)
        for phi, value in zip(values, after, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(done)
        return values

    def for_each_size(self, vectors: ir.Value, body: Callable[[int], None]) -> None:
        """A copy of the code for every size of a tile, of which one runs."""
        builder = self.builder
        end = builder.append_basic_block("end")
        switch = builder.switch(vectors, end)
        for size in range(1, TILE + 1):
            block = builder.append_basic_block(f"tile{size}")
            switch.add_case(_whole(size), block)
            builder.position_at_end(block)
            body(size)
            builder.branch(end)
        builder.position_at_end(end)


@intrinsic
def _convolved(
    typing, vectors, source, starts, groups, shifts, weights, first, end, out, stride, biases, onto
):
    """`out[row, p] = biases[row] + sum over j of weights[j] * source[shifts[j] + p]`, for a tile
    of pixels p.

    The j of a row are those from `starts[row * groups]` up to the next start. `onto` is 1 where the
    sum is added to what is there instead. The tile stays in registers.
    """

    def generate(context, builder, signature, arguments):
        (
            vectors, source, starts, groups, shifts, weights,
            first, end, out, stride, biases, onto,
        ) = arguments  # fmt: skip
        code = _Code(builder)
        source, weights, out, biases = map(code.floats, (source, weights, out, biases))
        starts, shifts = map(code.integers, (starts, shifts))
        adds = builder.icmp_signed("!=", onto, _whole(0))

        def tile(size: int) -> None:
            def row(number: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                target = code.at(out, builder.mul(number, stride))

                def term(j: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                    pixels = code.at(source, code.integer(shifts, j))
                    weight = code.spread(builder.load(code.at(weights, j), align=4))
                    return [
                        code.add(total, code.multiply(weight, code.load(pixels, v)))
                        for v, total in enumerate(sums)
                    ]

                group = builder.mul(number, groups)
                begins = code.integer(starts, group)
                ends = code.integer(starts, builder.add(group, _whole(1)))
                bias = code.spread(builder.load(code.at(biases, number), align=4))
                before = [builder.select(adds, code.load(target, v), bias) for v in range(size)]
                for v, total in enumerate(code.loop(begins, ends, before, term)):
                    code.store(total, target, v)
                return []

            code.loop(first, end, [], row)

        code.for_each_size(vectors, tile)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), generate


@intrinsic
def _correlated(typing, vectors, source, starts, groups, shifts, first, end, gradient, stride, out):
    """`out[j] += sum over p of gradient[row of j, p] * source[shifts[j] + p]`, a tile of pixels p.

    The j of a row are as in `_convolved`. The tile of the gradient stays in registers.
    """

    def generate(context, builder, signature, arguments):
        vectors, source, starts, groups, shifts, first, end, gradient, stride, out = arguments
        code = _Code(builder)
        source, gradient, out = map(code.floats, (source, gradient, out))
        starts, shifts = map(code.integers, (starts, shifts))

        def tile(size: int) -> None:
            def row(number: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                line = code.at(gradient, builder.mul(number, stride))
                factors = [code.load(line, v) for v in range(size)]

                def term(j: ir.Value, _: list[ir.Value]) -> list[ir.Value]:
                    pixels = code.at(source, code.integer(shifts, j))
                    sums: list[ir.Value] = []
                    for v, factor in enumerate(factors):  # four chains, to hide the latency
                        product = code.multiply(factor, code.load(pixels, v))
                        if v < 4:
                            sums.append(product)
                        else:
                            sums[v % 4] = code.add(sums[v % 4], product)
                    while len(sums) > 1:
                        pairs = zip(sums[::2], sums[1::2], strict=False)
                        odd = sums[-1:] if len(sums) % 2 else []
                        sums = [code.add(*pair) for pair in pairs] + odd
                    target = code.at(out, j)
                    before = builder.load(target, align=4)
                    builder.store(code.add(before, code.total(sums[0])), target, align=4)
                    return []

                group = builder.mul(number, groups)
                begins = code.integer(starts, group)
                ends = code.integer(starts, builder.add(group, _whole(1)))
                code.loop(begins, ends, [], term)
                return []

            code.loop(first, end, [], row)

        code.for_each_size(vectors, tile)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 10), generate


@njit(inline="always")
def share(count: int, thread: int, threads: int) -> tuple[int, int]:
    """The part of `count` things that a thread does: from, and up to."""
    return count * thread // threads, count * (thread + 1) // threads


@njit(inline="always")
def tiles(pixels: int) -> tuple[int, int, int]:
    """How many vectors so many pixels are, the tiles that these make, and the vectors of each."""
    vectors = (pixels + LANES - 1) // LANES
    count = (vectors + TILE - 1) // TILE
    return vectors, count, (vectors + count - 1) // count


@njit(inline="always")
def reflected(index: int, size: int) -> int:
    """The pixel that a border of mirrored pixels shows there."""
    if index < 0:
        index = -index
    if index >= size:
        index = 2 * size - 2 - index
    return index


@njit(**OPTIONS)
def convolve(row, arena, values, biases, lists, thread, threads):
    """Every row of `out` as the sum of its weights times shifted planes.

    `values` and `biases` are the arrays in which weights and biases begin at the places that the
    table says. A tile takes the planes of one group after the other, which stay in the cache
    meanwhile.
    """
    (
        _, weight, starts, groups, shifts, source, rows, pixels, out, stride, bias, onto,
    ) = to_fixed_tuple(row, 12)  # fmt: skip
    vectors, count, each = tiles(pixels)
    first_tile, end_tile, first, end = 0, count, 0, rows
    if count >= threads:
        first_tile, end_tile = share(count, thread, threads)
    else:
        first, end = share(rows, thread, threads)
    base, integers = arena.ctypes.data, lists.ctypes.data
    for tile in range(first_tile, end_tile):
        begin = tile * each
        size = min(vectors - begin, each)
        if size > 0 and end > first:
            moved = base + 4 * begin * LANES
            for group in range(groups):
                _convolved(
                    size, moved + 4 * source, integers + 4 * (starts + group), groups,
                    integers + 4 * shifts, values.ctypes.data + 4 * weight, first, end,
                    moved + 4 * out, stride, biases.ctypes.data + 4 * bias,
                    onto if group == 0 else 1,
                )  # fmt: skip


@njit(**OPTIONS)
def weight_gradients(row, arena, lists, gradients, thread, threads):
    """For every weight, the sum of its row's gradient times the plane that it multiplies."""
    _, weight, starts, groups, shifts, source, rows, pixels, gradient, stride = to_fixed_tuple(
        row, 10
    )
    vectors, count, each = tiles(pixels)
    first, end = share(rows, thread, threads)
    base, integers = arena.ctypes.data, lists.ctypes.data
    for j in range(lists[starts + first * groups], lists[starts + end * groups]):
        gradients[weight + j] = np.float32(0)
    for tile in range(count):
        begin = tile * each
        size = min(vectors - begin, each)
        if size > 0 and end > first:
            moved = base + 4 * begin * LANES
            for group in range(groups):
                _correlated(
                    size, moved + 4 * source, integers + 4 * (starts + group), groups,
                    integers + 4 * shifts, first, end, moved + 4 * gradient, stride,
                    gradients.ctypes.data + 4 * weight,
                )  # fmt: skip


@njit(**OPTIONS)
def pad(row, arena, thread, threads):
    """Planes with a mirrored border, split into step × step planes of every step-th pixel."""
    _, source, channels, height, width, pitch, stride, border, step, out, out_pitch, out_stride = (
        to_fixed_tuple(row, 12)
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        plane = source + channel * stride
        for y in range(height + 2 * border):
            line = arena[plane + reflected(y - border, height) * pitch :]
            phase = out + (channel * step * step + (y % step) * step) * out_stride
            phase += (y // step) * out_pitch
            if step == 1:
                target = arena[phase : phase + width + 2 * border]
                for x in range(border):
                    target[x] = line[reflected(x - border, width)]
                inner = target[border:]
                for x in range(width):
                    inner[x] = line[x]
                for x in range(width + border, width + 2 * border):
                    target[x] = line[reflected(x - border, width)]
            elif step == 2:
                evens = arena[phase + border % 2 * out_stride + border // 2 :]
                odds = arena[phase + (border + 1) % 2 * out_stride + (border + 1) // 2 :]
                for x in range(width // 2):
                    evens[x], odds[x] = line[2 * x], line[2 * x + 1]
                for x in range(width // 2 * 2, width):
                    evens[x // 2] = line[x]
                for x in range(border):
                    at = phase + (x % 2) * out_stride + x // 2
                    arena[at] = line[reflected(x - border, width)]
                for x in range(width + border, width + 2 * border):
                    at = phase + (x % 2) * out_stride + x // 2
                    arena[at] = line[reflected(x - border, width)]
            else:
                for x in range(width + 2 * border):
                    at = phase + (x % step) * out_stride + x // step
                    arena[at] = line[reflected(x - border, width)]


@njit(**OPTIONS)
def pad_back(row, arena, thread, threads):
    """The gradient of what was padded: each pixel's own, and that of its mirror images."""
    (
        _,
        gradient,
        channels,
        height,
        width,
        pitch,
        stride,
        border,
        step,
        out,
        out_pitch,
        out_stride,
        onto,
    ) = to_fixed_tuple(row, 13)
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        plane = gradient + channel * stride
        if not onto:
            for y in range(height):
                line = arena[plane + y * pitch : plane + y * pitch + width]
                for x in range(width):
                    line[x] = np.float32(0)
        for y in range(height + 2 * border):
            line = arena[plane + reflected(y - border, height) * pitch :]
            phase = out + (channel * step * step + (y % step) * step) * out_stride
            phase += (y // step) * out_pitch
            if step == 1:
                source = arena[phase : phase + width + 2 * border]
                inner = source[border:]
                for x in range(width):
                    line[x] += inner[x]
                for x in range(border):
                    line[reflected(x - border, width)] += source[x]
                for x in range(width + border, width + 2 * border):
                    line[reflected(x - border, width)] += source[x]
            elif step == 2:
                evens = arena[phase + border % 2 * out_stride + border // 2 :]
                odds = arena[phase + (border + 1) % 2 * out_stride + (border + 1) // 2 :]
                for x in range(width // 2):
                    line[2 * x] += evens[x]
                    line[2 * x + 1] += odds[x]
                for x in range(width // 2 * 2, width):
                    line[x] += evens[x // 2]
                for x in range(border):
                    at = phase + (x % 2) * out_stride + x // 2
                    line[reflected(x - border, width)] += arena[at]
                for x in range(width + border, width + 2 * border):
                    at = phase + (x % 2) * out_stride + x // 2
                    line[reflected(x - border, width)] += arena[at]
            else:
                for x in range(width + 2 * border):
                    at = phase + (x % step) * out_stride + x // step
                    line[reflected(x - border, width)] += arena[at]


@njit(**OPTIONS)
def mirror(row, arena, thread, threads):
    """The border of planes, in place: mirrored pixels, as `pad` writes them elsewhere."""
    _, source, channels, height, width, pitch, stride, border = to_fixed_tuple(row, 8)
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        plane = source + channel * stride
        for y in range(height):
            line = plane + y * pitch
            for x in range(1, border + 1):
                arena[line - x] = arena[line + reflected(-x, width)]
                arena[line + width - 1 + x] = arena[line + reflected(width - 1 + x, width)]
        for y in range(1, border + 1):
            over, under = plane - y * pitch - border, plane + (height - 1 + y) * pitch - border
            one = plane + reflected(-y, height) * pitch - border
            other = plane + reflected(height - 1 + y, height) * pitch - border
            for x in range(width + 2 * border):
                arena[over + x] = arena[one + x]
                arena[under + x] = arena[other + x]


@njit(**OPTIONS)
def mirror_back(row, arena, thread, threads):
    """The gradient of mirrored pixels is added to that of the pixels they show, and cleared."""
    _, gradient, channels, height, width, pitch, stride, border = to_fixed_tuple(row, 8)
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        plane = gradient + channel * stride
        for y in range(1, border + 1):
            over, under = plane - y * pitch - border, plane + (height - 1 + y) * pitch - border
            one = plane + reflected(-y, height) * pitch - border
            other = plane + reflected(height - 1 + y, height) * pitch - border
            for x in range(width + 2 * border):
                arena[one + x] += arena[over + x]
                arena[other + x] += arena[under + x]
                arena[over + x] = np.float32(0)
                arena[under + x] = np.float32(0)
        for y in range(height):
            line = plane + y * pitch
            for x in range(1, border + 1):
                left, right = line - x, line + width - 1 + x
                arena[line + reflected(-x, width)] += arena[left]
                arena[line + reflected(width - 1 + x, width)] += arena[right]
                arena[left] = np.float32(0)
                arena[right] = np.float32(0)


@njit(**OPTIONS)
def gather(row, arena, lists, weights, thread, threads):
    """The weights in another order."""
    _, order, count, out = to_fixed_tuple(row, 4)
    first, end = share(count, thread, threads)
    for j in range(first, end):
        arena[out + j] = weights[lists[order + j]]


MOST_AT_ONCE = 4096
"""The most pixels that are summed in float32; the sums of as many are added in float64."""


@njit(inline="always")
def at_once(height: int, pitch: int, out_pitch: int) -> int:
    """How many lines of planes are one loop: those with the gaps between them, where they are as
    far apart in both."""
    if pitch != out_pitch:
        return 1
    return max(1, min(height, MOST_AT_ONCE // pitch))


@njit(inline="always")
def pixels_of(lines: int, width: int, pitch: int) -> int:
    """The pixels of so many lines that are one loop."""
    return width if lines == 1 else lines * pitch


@njit(**OPTIONS)
def clear_gaps(arena, plane, height, width, pitch):
    """Zeros between the end of each line and the next."""
    for y in range(height):
        for x in range(plane + y * pitch + width, plane + (y + 1) * pitch):
            arena[x] = np.float32(0)


@njit(**OPTIONS)
def moments(arena, plane, height, width, pitch, lines):
    """Mean and variance of a plane, in two passes over some lines at once; its gaps are zero."""
    total, count = 0.0, height * width
    for y in range(0, height, lines):
        here = plane + y * pitch
        line = arena[here : here + pixels_of(min(lines, height - y), width, pitch)]
        part = np.float32(0)
        for x in range(len(line)):
            part += line[x]
        total += part
    mean = total / count
    centre = np.float32(mean)
    left, squares, seen = 0.0, 0.0, 0
    for y in range(0, height, lines):
        here = plane + y * pitch
        line = arena[here : here + pixels_of(min(lines, height - y), width, pitch)]
        part = np.float32(0)
        square = np.float32(0)
        for x in range(len(line)):
            away = line[x] - centre
            part += away
            square += away * away
        left += part
        squares += square
        seen += len(line)
    gaps = np.float64(centre) * (seen - count)  # each is as far away as the centre is from zero
    left = (left + gaps) / count
    return mean, (squares - gaps * centre) / count - left * left


@njit(**OPTIONS)
def normalise(row, arena, weights, thread, threads):
    """Batch normalisation, and the rectifier after it.

    The scales begin at `scale` among the weights, and the shifts come after the `total` scales of
    the layer; so do running means and variances from `running` on. From `kept` on the arena takes
    1/deviation of each channel, and after `total` of them the means.
    """
    (
        _,
        source,
        channels,
        height,
        width,
        pitch,
        stride,
        scale,
        out,
        out_pitch,
        out_stride,
        slope_at,
        kept,
        total,
        running,
    ) = to_fixed_tuple(row, 15)
    slope = arena[slope_at]
    first, end = share(channels, thread, threads)
    count, lines = height * width, at_once(height, pitch, out_pitch)
    for channel in range(first, end):
        plane = source + channel * stride
        if lines > 1:
            clear_gaps(arena, plane, height, width, pitch)
        mean, variance = moments(arena, plane, height, width, pitch, lines)
        inverse = np.float32(1 / np.sqrt(variance + EPSILON))
        centre = np.float32(mean)
        arena[kept + channel], arena[kept + total + channel] = inverse, centre
        unbiased = variance * count / max(count - 1, 1)
        average, spread = running + channel, running + total + channel
        weights[average] += MOMENTUM * (centre - weights[average])
        weights[spread] += MOMENTUM * (np.float32(unbiased) - weights[spread])
        factor, shift = weights[scale + channel], weights[scale + total + channel]
        target = out + channel * out_stride
        for y in range(0, height, lines):
            here, there = plane + y * pitch, target + y * out_pitch
            pixels = pixels_of(min(lines, height - y), width, pitch)
            line, made = arena[here : here + pixels], arena[there : there + pixels]
            for x in range(pixels):
                value = (line[x] - centre) * inverse * factor + shift
                made[x] = value if value > 0 else value * slope


@njit(**OPTIONS)
def normalise_back(row, arena, weights, gradients, thread, threads):
    """The gradients of scale, shift and source, from that of what came out at `gradient`.

    `back` takes the gradient of the source, in the same geometry.
    """
    (
        _,
        source,
        channels,
        height,
        width,
        pitch,
        stride,
        scale,
        gradient,
        out_pitch,
        out_stride,
        slope_at,
        kept,
        total,
        back,
    ) = to_fixed_tuple(row, 15)
    slope = arena[slope_at]
    first, end = share(channels, thread, threads)
    count, lines = height * width, at_once(height, pitch, out_pitch)
    for channel in range(first, end):
        plane = source + channel * stride
        under = back + channel * stride
        above = gradient + channel * out_stride
        inverse, centre = arena[kept + channel], arena[kept + total + channel]
        factor, shift = weights[scale + channel], weights[scale + total + channel]
        sums, products = 0.0, 0.0
        for y in range(0, height, lines):
            here, there = y * pitch, above + y * out_pitch
            pixels = pixels_of(min(lines, height - y), width, pitch)
            line, given = arena[plane + here :][:pixels], arena[there : there + pixels]
            made = arena[under + here :][:pixels]
            part = np.float32(0)
            product = np.float32(0)
            for x in range(pixels):
                normal = (line[x] - centre) * inverse
                passed = given[x] if normal * factor + shift > 0 else given[x] * slope
                made[x] = passed
                part += passed
                product += passed * normal
            sums += part
            products += product
        gradients[scale + channel] = np.float32(products)
        gradients[scale + total + channel] = np.float32(sums)
        strength = factor * inverse
        mean, slant = np.float32(sums / count), np.float32(products / count)
        for y in range(0, height, lines):
            here = y * pitch
            pixels = pixels_of(min(lines, height - y), width, pitch)
            line, made = arena[plane + here :][:pixels], arena[under + here :][:pixels]
            for x in range(pixels):
                normal = (line[x] - centre) * inverse
                made[x] = strength * (made[x] - mean - normal * slant)
        if lines > 1:
            clear_gaps(arena, under, height, width, pitch)


@njit(**OPTIONS)
def rectify(row, arena, thread, threads):
    """A rectifier that no normalisation precedes."""
    _, source, channels, height, width, pitch, stride, slope_at, out, out_pitch, out_stride = (
        to_fixed_tuple(row, 11)
    )
    slope = arena[slope_at]
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            here = source + channel * stride + y * pitch
            there = out + channel * out_stride + y * out_pitch
            line, made = arena[here : here + width], arena[there : there + width]
            for x in range(width):
                made[x] = line[x] if line[x] > 0 else line[x] * slope


@njit(**OPTIONS)
def rectify_back(row, arena, thread, threads):
    """The gradient of what was rectified, `source`, in the same geometry."""
    (
        _,
        back,
        source,
        channels,
        height,
        width,
        pitch,
        stride,
        slope_at,
        gradient,
        out_pitch,
        out_stride,
        onto,
    ) = to_fixed_tuple(row, 13)
    slope = arena[slope_at]
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            here = channel * stride + y * pitch
            there = gradient + channel * out_stride + y * out_pitch
            line, before = arena[back + here : back + here + width], arena[source + here :]
            given = arena[there : there + width]
            for x in range(width):
                passed = given[x] if before[x] > 0 else given[x] * slope
                line[x] = line[x] + passed if onto else passed


@njit(inline="always")
def neighbours(index: int, size: int) -> tuple[int, int]:
    """The two pixels that one of a doubled line is 3/4 and 1/4 of."""
    near = index >> 1
    return near, min(near + 1, size - 1) if index & 1 else max(near - 1, 0)


NEAR, FAR = np.float32(0.75), np.float32(0.25)


@njit(**OPTIONS)
def double(row, arena, thread, threads):
    """The planes at twice their size, or one line or column less: by bilinear interpolation, or
    each pixel four times."""
    (
        _, source, channels, height, width, pitch, stride,
        bilinear, out, lines, columns, out_pitch, out_stride,
    ) = to_fixed_tuple(row, 13)  # fmt: skip
    first, end = share(channels, thread, threads)
    between = np.empty(width + 2, np.float32)
    """A line between two, and its first and last pixel once more at its ends."""
    for channel in range(first, end):
        plane = source + channel * stride
        target = out + channel * out_stride
        for y in range(lines):
            near, far = neighbours(y, height)
            one = arena[plane + near * pitch : plane + near * pitch + width]
            other = arena[plane + far * pitch : plane + far * pitch + width]
            made = arena[target + y * out_pitch : target + y * out_pitch + columns]
            if not bilinear:
                for x in range(columns):
                    made[x] = one[x >> 1]
                continue
            line = between[1:]
            for x in range(width):
                line[x] = NEAR * one[x] + FAR * other[x]
            between[0], between[width + 1] = between[1], between[width]
            right = between[2:]
            for x in range(columns // 2):
                made[2 * x] = NEAR * line[x] + FAR * between[x]
                made[2 * x + 1] = NEAR * line[x] + FAR * right[x]
            for x in range(columns // 2 * 2, columns):
                made[x] = NEAR * line[x // 2] + FAR * between[x // 2]


@njit(inline="always")
def reaching(line: int, height: int, y: int) -> np.float32:
    """The weight with which a line reaches a line `y` of the doubled plane."""
    near, far = neighbours(y, height)
    return NEAR * np.float32(near == line) + FAR * np.float32(far == line)


@njit(**OPTIONS)
def double_back(row, arena, thread, threads):
    """The gradient of what was doubled."""
    (
        _, back, channels, height, width, pitch, stride,
        bilinear, gradient, lines, columns, out_pitch, out_stride,
    ) = to_fixed_tuple(row, 13)  # fmt: skip
    first, end = share(channels, thread, threads)
    total = np.zeros(2 * width + 2, np.float32)
    """What reaches a line from all lines above; a pixel more at its ends, which are its edges."""
    for channel in range(first, end):
        plane = back + channel * stride
        above = gradient + channel * out_stride
        for y in range(height):
            line = arena[plane + y * pitch : plane + y * pitch + width]
            inner = total[1:]
            for x in range(columns, 2 * width + 1):
                inner[x] = np.float32(0)
            if bilinear and 0 < y < height - 1:
                here = above + 2 * y * out_pitch
                two, three = arena[here : here + columns], arena[here + out_pitch :]
                one, four = arena[here - out_pitch :], arena[here + 2 * out_pitch :]
                for x in range(columns):
                    inner[x] = NEAR * (two[x] + three[x]) + FAR * (one[x] + four[x])
            else:
                for x in range(columns):
                    inner[x] = np.float32(0)
                for u in range(max(2 * y - 1, 0), min(2 * y + 3, lines)):
                    given = arena[above + u * out_pitch : above + u * out_pitch + columns]
                    weight = reaching(y, height, u) if bilinear else np.float32(u >> 1 == y)
                    for x in range(columns):
                        inner[x] += weight * given[x]
            if not bilinear:
                for x in range(width):
                    line[x] = inner[2 * x] + inner[2 * x + 1]
                continue
            total[0] = inner[0]
            if columns == 2 * width:
                inner[columns] = inner[columns - 1]
            right = total[2:]
            last = total[3:]
            for x in range(width):
                sides = total[2 * x] + last[2 * x]
                line[x] = NEAR * (inner[2 * x] + right[2 * x]) + FAR * sides


@njit(**OPTIONS)
def halve(row, arena, thread, threads):
    """Means of 2×2 pixels; at an odd border, of those that are there."""
    _, source, channels, height, width, pitch, stride, out, out_pitch, out_stride = to_fixed_tuple(
        row, 10
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range((height + 1) // 2):
            for x in range((width + 1) // 2):
                total, count = np.float32(0), 0
                for v in range(2 * y, min(2 * y + 2, height)):
                    for u in range(2 * x, min(2 * x + 2, width)):
                        total += arena[source + channel * stride + v * pitch + u]
                        count += 1
                arena[out + channel * out_stride + y * out_pitch + x] = total / np.float32(count)


@njit(**OPTIONS)
def halve_back(row, arena, thread, threads):
    """The gradient of what was averaged."""
    _, back, channels, height, width, pitch, stride, gradient, out_pitch, out_stride = (
        to_fixed_tuple(row, 10)
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            for x in range(width):
                count = min(2, height - (y & -2)) * min(2, width - (x & -2))
                given = arena[gradient + channel * out_stride + (y >> 1) * out_pitch + (x >> 1)]
                arena[back + channel * stride + y * pitch + x] = given / np.float32(count)


@njit(**OPTIONS)
def crop(row, arena, thread, threads):
    """A copy of `height` × `width` pixels from `source` on."""
    _, source, channels, height, width, pitch, stride, out, out_pitch, out_stride = to_fixed_tuple(
        row, 10
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            here = source + channel * stride + y * pitch
            there = out + channel * out_stride + y * out_pitch
            line, made = arena[here : here + width], arena[there : there + width]
            for x in range(width):
                made[x] = line[x]


@njit(**OPTIONS)
def finish(row, arena, thread, threads):
    """The sigmoid."""
    _, source, channels, height, width, pitch, stride, out, out_pitch, out_stride = to_fixed_tuple(
        row, 10
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            here = source + channel * stride + y * pitch
            there = out + channel * out_stride + y * out_pitch
            line, made = arena[here : here + width], arena[there : there + width]
            for x in range(width):
                made[x] = np.float32(1) / (np.float32(1) + np.exp(-line[x]))


@njit(**OPTIONS)
def finish_back(row, arena, thread, threads):
    """The gradient of what the sigmoid was of; `out` is the sigmoid."""
    _, back, channels, height, width, pitch, stride, out, out_pitch, out_stride, gradient = (
        to_fixed_tuple(row, 11)
    )
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        for y in range(height):
            here = back + channel * stride + y * pitch
            there = channel * out_stride + y * out_pitch
            line, made = arena[here : here + width], arena[out + there : out + there + width]
            given = arena[gradient + there : gradient + there + width]
            for x in range(width):
                line[x] = given[x] * made[x] * (np.float32(1) - made[x])


@njit(**OPTIONS)
def bias_gradients(row, arena, gradients, thread, threads):
    """The gradient of one bias per plane: the sum over its pixels."""
    _, gradient, channels, height, width, pitch, stride, bias = to_fixed_tuple(row, 8)
    first, end = share(channels, thread, threads)
    for channel in range(first, end):
        total = 0.0
        for y in range(height):
            here = gradient + channel * stride + y * pitch
            line = arena[here : here + width]
            part = np.float32(0)
            for x in range(width):
                part += line[x]
            total += part
        gradients[bias + channel] = np.float32(total)


@njit(**OPTIONS)
def clear(row, arena, thread, threads):
    """Zeros."""
    _, at, count = to_fixed_tuple(row, 3)
    first, end = share(count, thread, threads)
    line = arena[at + first : at + end]
    for x in range(end - first):
        line[x] = np.float32(0)


@njit(**OPTIONS)
def operate(row, arena, weights, gradients, lists, thread, threads):
    """One thread's share of one row of the table."""
    kind = row[0]
    if kind == Op.CONVOLVE:
        convolve(row, arena, weights, weights, lists, thread, threads)
    elif kind == Op.CONVOLVE_BACK:
        convolve(row, arena, arena, arena, lists, thread, threads)
    elif kind == Op.WEIGHT_GRADIENTS:
        weight_gradients(row, arena, lists, gradients, thread, threads)
    elif kind == Op.BIAS_GRADIENTS:
        bias_gradients(row, arena, gradients, thread, threads)
    elif kind == Op.PAD:
        pad(row, arena, thread, threads)
    elif kind == Op.PAD_BACK:
        pad_back(row, arena, thread, threads)
    elif kind == Op.MIRROR:
        mirror(row, arena, thread, threads)
    elif kind == Op.MIRROR_BACK:
        mirror_back(row, arena, thread, threads)
    elif kind == Op.NORMALISE:
        normalise(row, arena, weights, thread, threads)
    elif kind == Op.NORMALISE_BACK:
        normalise_back(row, arena, weights, gradients, thread, threads)
    elif kind == Op.RECTIFY:
        rectify(row, arena, thread, threads)
    elif kind == Op.RECTIFY_BACK:
        rectify_back(row, arena, thread, threads)
    elif kind == Op.DOUBLE:
        double(row, arena, thread, threads)
    elif kind == Op.DOUBLE_BACK:
        double_back(row, arena, thread, threads)
    elif kind == Op.HALVE:
        halve(row, arena, thread, threads)
    elif kind == Op.HALVE_BACK:
        halve_back(row, arena, thread, threads)
    elif kind == Op.FINISH:
        finish(row, arena, thread, threads)
    elif kind == Op.FINISH_BACK:
        finish_back(row, arena, thread, threads)
    elif kind == Op.CROP:
        crop(row, arena, thread, threads)
    elif kind == Op.GATHER:
        gather(row, arena, lists, weights, thread, threads)
    elif kind == Op.CLEAR:
        clear(row, arena, thread, threads)


TABLE, FLOATS, INTEGERS = types.int64[:, ::1], types.float32[::1], types.int32[::1]
PASS = types.void(TABLE, FLOATS, FLOATS, FLOATS, INTEGERS, types.int64)
"""The one signature of `run`."""


@njit(cache=True, parallel=True, **OPTIONS)
def run(table, arena, weights, gradients, lists, threads):
    """Work off a table in so many threads, which wait for one another after every row.

    One thread runs the same machine code, so its sums have the same bits; it has nobody to wait
    for, and takes all rows at once.
    """
    together = 1 if threads > 1 else len(table)
    for first in range(0, len(table), together):
        for thread in prange(threads):
            for number in range(first, first + together):
                # Without the cast all is compiled twice: numba types a loop's index in two ways.
                operate(table[number], arena, weights, gradients, lists, np.int64(thread), threads)
