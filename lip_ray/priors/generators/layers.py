"""A generator that is given layer by layer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Self, final

import torch
from pydantic import Field, model_validator
from torch import nn

from lip_ray.priors.base import Shape
from lip_ray.priors.generators.base import AbstractGenerator, Law, Output
from lip_ray.priors.generators.blocks import CropBottomRight, View
from lip_ray.priors.hourglass import Count

LARGEST = 1 << 20
"""The largest number in a layer; a larger one is taken for a typing error."""
Row = tuple[str | bool | int | float, ...]
"""A layer: its name, then its numbers."""
Sizes = tuple[int, ...]
"""The shape of one image's activations between two layers: (n,) or (C, H, W)."""


Pattern = tuple[int | str, ...]
"""The sizes that a layer takes: a letter matches any number, () matches any sizes."""


@dataclass(frozen=True)
class _Layer:
    """A kind of layer."""

    takes: str
    """The names of its numbers, in order."""
    module: Callable[..., nn.Module]
    input: Callable[..., Pattern] = lambda *_: ()
    """The sizes of its input, given its numbers."""


def _image(inward: int | str = "C", *_: object) -> Pattern:
    return (inward, "H", "W")


def _any_image(*_: object) -> Pattern:
    return _image()


def _vector(inward: int, *_: object) -> Pattern:
    return (inward,)


def _convolution(layer: type[nn.Conv2d | nn.ConvTranspose2d]) -> _Layer:
    def module(inward: int, outward: int, k: int, stride: int, pad: int, bias: bool) -> nn.Module:
        return layer(inward, outward, k, stride, pad, bias=bias)

    return _Layer("in out k stride pad bias", module, _image)


VOCABULARY: Mapping[str, _Layer] = {
    "linear": _Layer("in out", nn.Linear, _vector),
    "convT": _convolution(nn.ConvTranspose2d),
    "conv": _convolution(nn.Conv2d),
    "bn1d": _Layer("n eps", nn.BatchNorm1d, _vector),
    "bn2d": _Layer("n eps", nn.BatchNorm2d, _image),
    "view": _Layer("c h w", View),
    "flatten": _Layer("", nn.Flatten),
    "crop_br": _Layer("", CropBottomRight, _any_image),
    "maxpool": _Layer("k", nn.MaxPool2d, _any_image),
    "relu": _Layer("", nn.ReLU),
    "leaky": _Layer("slope", nn.LeakyReLU),
    "tanh": _Layer("", nn.Tanh),
    "sigmoid": _Layer("", nn.Sigmoid),
}
"""Every kind of layer, by its name in a card."""
RESHAPING = ("view", "flatten", "crop_br")
"""Layers that change the shape of their input and none of its numbers."""
RANGES: Mapping[str, Output] = {"tanh": "symmetric", "sigmoid": "unit"}


@final
class LayerList(AbstractGenerator):
    r"""The layers of a published generator, one after the other, in its own order.

    Layers are `[linear, in, out]`, `[convT, in, out, k, stride, pad, bias]`, `[conv, …]` alike,
    `[bn1d, n, eps]`, `[bn2d, n, eps]`, `[view, c, h, w]`, `[flatten]`, `[crop_br]` (drops the last
    row and column), `[maxpool, k]`, `[relu]`, `[leaky, slope]`, `[tanh]`, `[sigmoid]`. Layer i has
    the state-dict names `<i>.weight` and so on.
    """

    kind: Literal["layers"] = "layers"
    layers: Annotated[
        tuple[Annotated[Row, Field(strict=False, min_length=1)], ...],
        Field(strict=False, max_length=256),
    ]
    """The layers from the latent to the image."""
    latent_size: Count
    """The number of entries in a latent."""
    law: Law = "normal"
    """The distribution of latents: N(0, 1), or uniform on (-1, 1)."""
    output: Output
    """The range of the last layer's output: black and white are 0 and 1, or -1 and 1."""

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        _sizes(self.layers, self.latent_size)
        squash = next((row[0] for row in reversed(self.layers) if row[0] not in RESHAPING), "")
        ends = RANGES.get(str(squash), self.output)
        if ends != self.output:
            raise ValueError(
                f"output must be {ends}, as the layers end in {squash}; got {self.output}"
            )
        return self

    @property
    def image_shape(self) -> Shape:
        """The shape of the last layer's output."""
        channels, height, width = _sizes_again(self.layers, self.latent_size)
        return (channels, height, width)

    def network(self) -> nn.Module:
        """(N, latent_size) → (N, C, H, W) in the range that `output` says."""
        return nn.Sequential(*map(_module, self.layers))


def _module(row: Row) -> nn.Module:
    name, *numbers = row
    return VOCABULARY[str(name)].module(*numbers)


def _require_known(name: object, numbers: Sequence[object]) -> None:
    """Raise ValueError unless the layer is in the vocabulary, with the numbers it takes."""
    if name == "logsoftmax":
        raise ValueError("logsoftmax makes scores of classes, so this is no generator of images")
    if name not in VOCABULARY:
        raise ValueError(f"unknown layer {name!r}; allowed: {', '.join(VOCABULARY)}")
    names = VOCABULARY[str(name)].takes.split()
    if len(names) != len(numbers):
        wanted = ", ".join(names) or "no numbers"
        raise ValueError(f"{name} takes {wanted}; got {list(numbers)}")
    for one, number in zip(names, numbers, strict=True):
        if not ALLOWED.get(one, _count)(number):
            allowed = WORDS.get(one, f"a whole number from 1 to {LARGEST}")
            raise ValueError(f"{one} of {name} must be {allowed}, got {number!r}")


def _count(value: object, least: int = 1) -> bool:
    return type(value) is int and least <= value <= LARGEST


def _real(value: object) -> bool:
    return type(value) in (int, float)


ALLOWED: Mapping[str, Callable[[Any], bool]] = {
    "bias": lambda value: type(value) is bool,
    "pad": lambda value: _count(value, 0),
    "eps": lambda value: _real(value) and 0 < value < 1,
    "slope": lambda value: _real(value) and 0 <= value <= 1,
}
"""The types of the numbers that are not counts from 1."""
WORDS: Mapping[str, str] = {
    "bias": "true or false",
    "pad": f"a whole number from 0 to {LARGEST}",
    "eps": "between 0 and 1",
    "slope": "from 0 to 1",
}


def _sizes(layers: tuple[Row, ...], latent_size: int) -> Sizes:
    """(C, H, W) of the image. Raises ValueError that names the first layer that does not fit."""
    sizes: Sizes = (latent_size,)
    for i, row in enumerate(layers):
        try:
            sizes = _after(row, sizes)
        except ValueError as error:
            raise ValueError(f"layer {i}: {error}") from None
    if len(sizes) != 3 or sizes[0] not in (1, 3):
        raise ValueError(
            "the layers must end in an image of 1 or 3 channels, (C, H, W); they end in "
            f"{_written(sizes)}"
        )
    return sizes


_sizes_again = cache(_sizes)
"""`_sizes` with a cache, for layers that have been checked already."""


def _after(row: Row, sizes: Sizes) -> Sizes:
    """The sizes of a layer's output, for an input of these sizes."""
    name, *numbers = row
    _require_known(name, numbers)
    wanted = VOCABULARY[str(name)].input(*numbers)
    if wanted and not _fits(wanted, sizes):
        raise ValueError(f"{name} takes {_written(wanted)}, but what comes in is {_written(sizes)}")
    with torch.device("meta"):
        try:
            made = _module(row).eval()(torch.empty(1, *sizes)).shape[1:]
        except RuntimeError as error:
            raise ValueError(f"{name} cannot work on {_written(sizes)}: {error}") from None
    if 0 in made:
        raise ValueError(f"{name} leaves nothing of {_written(sizes)}")
    return tuple(made)


def _fits(wanted: Pattern, sizes: Sizes) -> bool:
    return len(wanted) == len(sizes) and all(
        isinstance(one, str) or one == size for one, size in zip(wanted, sizes, strict=True)
    )


def _written(sizes: Pattern) -> str:
    return f"({', '.join(map(str, sizes))})"
