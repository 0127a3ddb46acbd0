"""Masks over the prunable weights, and the one function that makes a sparser one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

from lip_ray.records import LayerMask

Scores = Mapping[str, Tensor]
"""By layer, one finite number per weight: the weights with the highest scores are kept."""


class UnrankableError(ValueError):
    """A score of a surviving weight is not finite, so no order exists."""


@dataclass(frozen=True)
class Mask:
    """Which weights are kept: a boolean tensor of the weight's shape for every prunable layer."""

    layers: Mapping[str, Tensor] = field(repr=False)
    known_kept: int | None = field(default=None, repr=False, compare=False)
    """The number of kept weights, from whoever made the mask; None to have them counted."""

    @classmethod
    def dense(cls, weights: Mapping[str, Tensor]) -> Self:
        """The mask that keeps every weight."""
        layers = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        return cls(layers, known_kept=sum(layer.numel() for layer in layers.values()))

    @classmethod
    def from_rows(cls, rows: Iterable[LayerMask], *, device: torch.device) -> Self:
        """The mask that `to_rows` turned into records."""
        return cls({row.layer: _unpacked(row).to(device) for row in rows})

    def to_rows(self) -> tuple[LayerMask, ...]:
        """One record per layer, with packed bits, in the network's order."""
        return tuple(_packed(name, kept) for name, kept in self.layers.items())

    @cached_property
    def total(self) -> int:
        """The number of prunable weights."""
        return sum(layer.numel() for layer in self.layers.values())

    @cached_property
    def kept(self) -> int:
        """The number of kept weights."""
        return sum(self.counts.values()) if self.known_kept is None else self.known_kept

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of kept weights of each layer. The first read waits for the device, once."""
        sums = [layer.sum() for layer in self.layers.values()]
        return dict(zip(self.layers, torch.stack(sums).tolist(), strict=True)) if sums else {}

    @property
    def density(self) -> float:
        """The kept weights divided by all prunable weights, in (0, 1]."""
        return self.kept / self.total


def keep_top(scores: Scores, mask: Mask, *, kept: int) -> Mask:
    """The mask of the `kept` best-scored weights among those that `mask` keeps.

    The count is exact: equal scores are kept in the order of the network. Raises ValueError when
    `mask` keeps fewer than `kept`, and UnrankableError when a survivor's score is not finite.
    """
    if not 1 <= kept <= mask.kept:
        raise ValueError(f"kept must be between 1 and the {mask.kept} weights left, got {kept}")
    require_finite(scores, mask)
    ranked = torch.cat([scores[name].detach().flatten() for name in mask.layers])
    chosen = best(ranked, _flat(mask.layers), survivors=mask.kept, kept=kept)
    return Mask(_unflat(chosen, mask.layers), known_kept=kept)


def best(scores: Tensor, layer: Tensor, *, survivors: int, kept: int) -> Tensor:
    r"""Where the `kept` highest scores are among the `survivors` places that are true in `layer`.

    All are vectors. Ties are kept in order. The sizes are given, so that nothing waits for the
    device.
    """
    places = layer.nonzero_static(size=survivors).squeeze(1)
    order = torch.argsort(scores[places], descending=True, stable=True)
    chosen = torch.zeros_like(layer)
    chosen[places[order[:kept]]] = True
    return chosen


def require_finite(scores: Scores, mask: Mask) -> None:
    """Raise UnrankableError when the score of a weight that `mask` keeps is not finite.

    Waits for the device, once.
    """
    sound = [(torch.isfinite(scores[n]) | ~layer).all() for n, layer in mask.layers.items()]
    if sound and not bool(torch.stack(sound).all()):
        raise UnrankableError("a score is not finite, so the weights cannot be ranked")


def _flat(layers: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([layer.flatten() for layer in layers.values()])


def _unflat(flat: Tensor, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    parts = flat.split([layer.numel() for layer in like.values()])
    return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}


def _packed(name: str, kept: Tensor) -> LayerMask:
    bits = np.packbits(kept.cpu().contiguous().numpy().reshape(-1))
    return LayerMask(
        layer=name,
        shape=tuple(kept.shape),
        kept=int(kept.sum()),
        total=kept.numel(),
        bits=bits.tobytes(),
    )


def _unpacked(row: LayerMask) -> Tensor:
    bits = np.unpackbits(np.frombuffer(row.bits, dtype=np.uint8), count=row.total)
    return torch.from_numpy(bits.astype(bool)).view(row.shape)
