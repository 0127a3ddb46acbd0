"""What every pruner is given and gives back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from lip_ray.pruning.allocation import Scope, keep_best
from lip_ray.pruning.mask import Mask, Scores
from lip_ray.spec import Spec

Rounds = Annotated[int, Field(ge=1, le=10**4)] | None


@dataclass(frozen=True, kw_only=True)
class ScoreContext:
    """All that a criterion may look at."""

    weights: Mapping[str, Tensor]
    """The prunable weights by layer, zero where `mask` is: trained or initial, as the pruner's
    `scores_at` asks."""
    mask: Mask
    """The present mask of the network that is scored. Everything else is as initialised."""
    density: float
    """Kept ÷ total that this cut aims at, in (0, 1)."""
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    """The data loss as a pure function of the prunable weights, all else as initialised."""
    module: nn.Module
    """The network; a criterion that changes it copies it first."""
    latent_shape: tuple[int, ...]
    """(C, h, w), the smallest that the network takes; (latent_size,) of a generator."""
    seed: int
    level: int
    """The level that is pruned for."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """By layer, the factor that its weights are multiplied by when the network runs; 1 by
    default."""


class AbstractPruner(Spec, ABC):
    """A criterion: it scores every prunable weight, and the best-scored survivors are kept."""

    kind: str
    weights_alone: ClassVar[bool] = False
    """Whether it looks at the weights alone, neither at the loss nor at the network: then it prunes
    a generator too, which has no image to restore."""
    scope: Scope = "global"
    """What is ranked: "global", all layers at once; "layer", each layer for itself, at the same
    density in each; "erk", each for itself, at Erdős–Rényi-kernel densities."""
    rounds: Rounds
    """None scores the dense network, once per level. A number reaches each level from the one above
    in so many rounds, the density falling geometrically, each scoring what the last has left."""

    @property
    def scores_at(self) -> Literal["trained", "dense", "init"]:
        """Whose weights it judges: after the level's fit, after the dense fit, or before any."""
        return "init"

    @property
    def steps_per_level(self) -> int:
        """How many steps of an optimizer it takes to find one mask."""
        return 0

    @abstractmethod
    def score(self, context: ScoreContext) -> Scores:
        """One number a weight, by layer; a pure function of the context."""

    def prune(
        self, context_of: Callable[[Mask, float], ScoreContext], mask: Mask, *, kept: int
    ) -> Mask:
        """The mask of the best `kept` of the weights that `mask` keeps.

        `context_of(mask, density)` is the context of the network pruned by that mask, for a cut to
        that density. Raises UnrankableError when a survivor's score is not finite.
        """
        if self.rounds is None:
            context = context_of(Mask.dense(mask.layers), kept / mask.total)
            return keep_best(self.score(context), mask, kept=kept, scope=self.scope)
        for count in geometric(mask.kept, kept, self.rounds):
            scores = self.score(context_of(mask, count / mask.total))
            mask = keep_best(scores, mask, kept=count, scope=self.scope)
        return mask


def geometric(start: int, end: int, rounds: int) -> list[int]:
    """Whole numbers from `start` (left out) to `end` in equal ratios, each of them once.

    Fewer than `rounds` where rounding makes neighbours equal.
    """
    steps = [round(start * (end / start) ** (step / rounds)) for step in range(1, rounds)]
    return [count for count in dict.fromkeys([*steps, end]) if count != start]
