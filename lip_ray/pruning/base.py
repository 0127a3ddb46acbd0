"""The interface of all pruners."""

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
    """All that a criterion may use to score weights."""

    weights: Mapping[str, Tensor]
    """The prunable weights by layer, zero where `mask` is: trained or initial, as the pruner's
    `scores_at` asks."""
    mask: Mask
    """The present mask of the scored network. Biases and normalisation are as initialised."""
    density: float
    """The density that this cut aims at, kept weights divided by all, in (0, 1)."""
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    """The data loss as a pure function of the prunable weights, with all else as initialised."""
    module: nn.Module
    """The network. A criterion that changes it must copy it first."""
    latent_shape: tuple[int, ...]
    """The shape of the smallest latent that the network takes: (C, h, w), or (latent_size,) for a
    generator."""
    seed: int
    level: int
    """The level whose mask is being found."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """By layer, the factor that its weights are multiplied by when the network runs; 1 by
    default."""


class AbstractPruner(Spec, ABC):
    """A criterion: it scores every prunable weight, and the best-scored survivors are kept."""

    kind: str
    weights_alone: ClassVar[bool] = False
    """Whether it uses the weights alone, neither the loss nor the network. Then it also prunes
    generators, which have no image to restore."""
    scope: Scope = "global"
    """What is ranked together: "global", all layers at once; "layer", each layer by itself, at the
    same density in each; "erk", each by itself, at Erdős–Rényi-kernel densities."""
    rounds: Rounds
    """None scores the dense network, once per level. A number reaches each level from the one above
    in that many rounds: the density falls geometrically, and each round scores the weights that the
    last one left."""

    @property
    def scores_at(self) -> Literal["trained", "dense", "init"]:
        """The weights that are scored: those after the level's fit, after the dense fit, or the
        initial ones."""
        return "init"

    @property
    def steps_per_level(self) -> int:
        """The number of optimizer steps that it takes to find the mask of a level."""
        return 0

    @abstractmethod
    def score(self, context: ScoreContext) -> Scores:
        """One score per weight, by layer; a pure function of the context."""

    def prune(
        self, context_of: Callable[[Mask, float], ScoreContext], mask: Mask, *, kept: int
    ) -> Mask:
        r"""The mask of the best `kept` weights among those that `mask` keeps.

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
    r"""Distinct whole numbers from `start` (left out) to `end` in equal ratios.

    There are fewer than `rounds` where rounding makes neighbours equal.
    """
    steps = [round(start * (end / start) ** (step / rounds)) for step in range(1, rounds)]
    return [count for count in dict.fromkeys([*steps, end]) if count != start]
