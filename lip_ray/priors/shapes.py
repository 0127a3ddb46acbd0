"""Comparing the tensors of two networks, and the messages about their differences."""

from collections.abc import Iterable, Mapping
from itertools import islice

from torch import Tensor

NAMED = 5
"""The number of layers that a message names before it only counts them."""

Shapes = Mapping[str, tuple[int, ...]]


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def misfits(found: Shapes, expected: Shapes, *, owner: str) -> str:
    """How tensors differ from those of `owner`; empty where they do not."""
    differing = [
        f"{name} is {size(found[name])} instead of {size(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    missing = [name for name in expected if name not in found]
    unknown = [name for name in found if name not in expected]
    wrong = [
        f"{what}{listed(names)}"
        for what, names in (("", differing), ("it lacks ", missing), (f"{owner} lacks ", unknown))
        if names
    ]
    return "made for another network: " + "; ".join(wrong) if wrong else ""


def size(shape: Iterable[int]) -> str:
    """A shape as text, like 128×3×3."""
    return "×".join(map(str, shape)) or "a number"


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(islice(names, NAMED)) + more
