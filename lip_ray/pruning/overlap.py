"""How much two masks have in common, and how much chance alone would give."""

from dataclasses import dataclass

from lip_ray.pruning.mask import Mask


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Two subsets of the same weights, counted."""

    first: int
    """Kept by the one."""
    second: int
    """Kept by the other."""
    both: int
    """How many weights both masks keep."""
    expected: float
    """How many weights both would keep on average, if the masks were independent and uniform with
    the same counts."""

    @property
    def iou(self) -> float | None:
        """Intersection ÷ union, in [0, 1]; none where both keep nothing."""
        return self._ratio(self.both)

    @property
    def chance(self) -> float | None:
        """The IoU at the expected intersection, in [0, 1]; none where both keep nothing.

        Not the expected IoU, which differs by a term that vanishes with the number of weights.
        """
        return self._ratio(self.expected)

    @property
    def lift(self) -> float | None:
        """IoU ÷ chance: 1 for unrelated masks; none where chance is none or 0."""
        return self.iou / self.chance if self.iou is not None and self.chance else None

    def _ratio(self, intersection: float) -> float | None:
        union = self.first + self.second - intersection
        return intersection / union if union else None


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Two masks of one network compared."""

    layers: dict[str, Overlap]
    """By layer; chance knows both counts of the layer."""
    total: Overlap
    """The overlap over the whole network. The expectation uses the two counts of the network."""
    total_by_layer: Overlap
    """The overlap over the whole network. The expectation uses both counts of each layer, so what
    lifts the IoU above it is which weights are kept, not how many in each layer."""


def overlap(first: Mask, second: Mask) -> Overlaps:
    """Per layer and in total. Raises ValueError when the masks are not of the same layers."""
    shapes, others = (
        {name: tuple(layer.shape) for name, layer in mask.layers.items()}
        for mask in (first, second)
    )
    if shapes != others:
        raise ValueError(f"masks must be of the same layers, got {shapes} and {others}")
    layers = {}
    for name, layer in first.layers.items():
        other = second.layers[name]
        layers[name] = _independent(
            int(layer.sum()), int(other.sum()), int((layer & other).sum()), layer.numel()
        )
    both = sum(one.both for one in layers.values())
    expected = sum(one.expected for one in layers.values())
    return Overlaps(
        layers=layers,
        total=_independent(first.kept, second.kept, both, first.total),
        total_by_layer=Overlap(first=first.kept, second=second.kept, both=both, expected=expected),
    )


def _independent(first: int, second: int, both: int, weights: int) -> Overlap:
    """Hypergeometric: each of `first` kept weights is among the others with second ÷ weights."""
    expected = first * second / weights
    return Overlap(first=first, second=second, both=both, expected=expected)
