"""The overlap of two masks, and the overlap expected by chance."""

from dataclasses import dataclass

from lip_ray.pruning.mask import Mask


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The overlap of two subsets of the same weights, as counts."""

    first: int
    """The number of weights that the first mask keeps."""
    second: int
    """The number of weights that the second mask keeps."""
    both: int
    """The number of weights that both masks keep."""
    expected: float
    """How many weights both would keep on average, if the masks were independent and uniform with
    the same counts."""

    @property
    def iou(self) -> float | None:
        """Intersection divided by union, in [0, 1]; None where both keep nothing."""
        return self._ratio(self.both)

    @property
    def chance(self) -> float | None:
        r"""The IoU at the expected intersection, in [0, 1]; None where both keep nothing.

        This is not the expected IoU; the difference vanishes with a growing number of weights.
        """
        return self._ratio(self.expected)

    @property
    def lift(self) -> float | None:
        """IoU divided by chance: 1 for unrelated masks; None where chance is None or 0."""
        return self.iou / self.chance if self.iou is not None and self.chance else None

    def _ratio(self, intersection: float) -> float | None:
        union = self.first + self.second - intersection
        return intersection / union if union else None


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """The overlaps of two masks of one network."""

    layers: dict[str, Overlap]
    """The overlap in each layer; the expectation uses both counts of that layer."""
    total: Overlap
    """The overlap over the whole network. The expectation uses the two counts of the network."""
    total_by_layer: Overlap
    """The overlap over the whole network. The expectation uses both counts of each layer, so what
    lifts the IoU above it is which weights are kept, not how many in each layer."""


def overlap(first: Mask, second: Mask) -> Overlaps:
    """The overlap per layer and in total. Raises ValueError for masks of different layers."""
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
    """The overlap with its expectation: each of `first` kept weights is also kept by the other mask
    with probability second ÷ weights (hypergeometric)."""
    expected = first * second / weights
    return Overlap(first=first, second=second, both=both, expected=expected)
