"""Random pruning: what a ticket must beat at the same density."""

from typing import ClassVar, Literal, final

import torch

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores
from lip_ray.rng import keyed


@final
class Random(AbstractPruner):
    r"""Keep weights drawn uniformly from those that are ranked together; levels are nested.

    With scope "erk" it prunes at the layer densities of Evci et al. 2020 (arXiv 1911.11134).
    """

    kind: Literal["random"] = "random"
    weights_alone: ClassVar[bool] = True
    rounds: None = None
    """None: a draw does not depend on which others remain."""

    def score(self, context: ScoreContext) -> Scores:
        """Uniform draws keyed by the seed alone: every level ranks the same numbers."""
        draws = keyed(context.seed, "random pruning")
        return {
            name: torch.rand(weight.shape, generator=draws, dtype=torch.float64).to(weight.device)
            for name, weight in context.weights.items()
        }
