"""How many weights each layer keeps, and the mask that keeps its best."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Literal

from torch import Tensor

from lip_ray.pruning.mask import Mask, Scores, best, keep_top, require_finite

Scope = Literal["global", "layer", "erk"]
"""Whether weights are ranked over all layers at once, or layer by layer: at the same density in
each layer, or at Erdős–Rényi-kernel densities."""


def keep_best(scores: Scores, mask: Mask, *, kept: int, scope: Scope) -> Mask:
    """The mask of the `kept` best-scored survivors, over all layers or by each layer's share.

    Exact counts, stable ties and errors as in `keep_top`.
    """
    if scope == "global":
        return keep_top(scores, mask, kept=kept)
    return keep_counts(scores, mask, counts=shares(mask, kept=kept, scope=scope))


def keep_counts(scores: Scores, mask: Mask, *, counts: Mapping[str, int]) -> Mask:
    r"""The mask of each layer's best-scored survivors, with a given count per layer, which may be
    0.

    Raises ValueError when a layer keeps fewer than that, UnrankableError as `keep_top` does.
    """
    require_finite(scores, mask)
    layers = {
        name: _best(scores[name], layer, survivors=mask.counts[name], kept=counts[name])
        for name, layer in mask.layers.items()
    }
    return Mask(layers, known_kept=sum(counts[name] for name in layers))


def shares(mask: Mask, *, kept: int, scope: Literal["layer", "erk"]) -> dict[str, int]:
    r"""How many of the `kept` weights fall to each layer; never more than `mask` keeps there.

    "layer": in proportion to the layer's weights, the same density everywhere. "erk": density in
    proportion to (n_in + n_out + k_h + k_w) ÷ (n_in · n_out · k_h · k_w), Erdős–Rényi-kernel (Evci
    et al. 2020, arXiv 1911.11134), so the count is in proportion to the sum of the layer's sides.
    What a full layer cannot take goes to the others in the same proportion. Rational arithmetic,
    whole numbers by largest remainder (ties: the first layers). Raises ValueError as `keep_top`
    does.
    """
    if not 1 <= kept <= mask.kept:
        raise ValueError(f"kept must be between 1 and the {mask.kept} weights left, got {kept}")
    proportions = {
        name: layer.numel() if scope == "layer" else sum(layer.shape)
        for name, layer in mask.layers.items()
    }
    return _whole(_filled(proportions, mask.counts, kept), kept)


def _filled(
    proportions: Mapping[str, int], room: Mapping[str, int], kept: int
) -> dict[str, Fraction]:
    """Real shares in these proportions, capped at each layer's limit."""
    filled: dict[str, Fraction] = {}
    while open_ := {name: part for name, part in proportions.items() if name not in filled}:
        scale = (kept - sum(filled.values())) / Fraction(sum(open_.values()))
        full = {n: Fraction(room[n]) for n, part in open_.items() if scale * part >= room[n]}
        if not full:
            return {n: filled.get(n, scale * part) for n, part in proportions.items()}
        filled |= full
    return {name: filled[name] for name in proportions}


def _whole(real: Mapping[str, Fraction], kept: int) -> dict[str, int]:
    """Shares rounded down, with the remainder given to those that lost most."""
    counts = {name: int(share) for name, share in real.items()}
    by_loss = sorted(counts, key=lambda name: counts[name] - real[name])
    for name in by_loss[: kept - sum(counts.values())]:
        counts[name] += 1
    return counts


def _best(scores: Tensor, layer: Tensor, *, survivors: int, kept: int) -> Tensor:
    """One layer's mask of its best-scored survivors; it may be empty."""
    if not 0 <= kept <= survivors:
        raise ValueError(f"kept must be between 0 and the {survivors} weights left, got {kept}")
    flat = scores.detach().flatten(), layer.flatten()
    return best(*flat, survivors=survivors, kept=kept).view(layer.shape)
