"""Magnitude pruning: with rewinding, level by level, it is iterative magnitude pruning (IMP)."""

from typing import ClassVar, Literal, final

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Magnitude(AbstractPruner):
    """Keep the trained weights largest in absolute value, over all layers at once.

    Han et al. 2015 (arXiv 1506.02626); with rewinding, Frankle & Carbin 2019 (arXiv 1803.03635).
    """

    kind: Literal["magnitude"] = "magnitude"
    scores_at: ClassVar[Literal["trained", "init"]] = "trained"

    def score(self, context: ScoreContext) -> Scores:
        """|w|."""
        return {name: weight.abs() for name, weight in context.weights.items()}
