"""Random pruning: what a ticket must beat at the same density."""

from typing import ClassVar, Literal, final

import torch

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores
from lip_ray.rng import generator


@final
class Random(AbstractPruner):
    """Keep weights drawn uniformly over all layers at once; levels are nested."""

    kind: Literal["random"] = "random"
    scores_at: ClassVar[Literal["trained", "init"]] = "init"

    def score(self, context: ScoreContext) -> Scores:
        """Uniform draws keyed by the seed alone: every level ranks the same numbers."""
        draws = generator(context.seed, "random pruning")
        return {
            name: torch.rand(weight.shape, generator=draws, dtype=torch.float64).to(weight.device)
            for name, weight in context.weights.items()
        }
