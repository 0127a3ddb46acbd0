"""Magnitude pruning: with rewinding, level by level, it is iterative magnitude pruning (IMP)."""

from typing import ClassVar, Literal, final

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Magnitude(AbstractPruner):
    """Keep the weights largest in absolute value.

    Han et al. 2015 (arXiv 1506.02626); with rewinding, Frankle & Carbin 2019 (arXiv 1803.03635).
    A layer with an equalised learning rate multiplies its weights by a factor when it runs; what
    they are then is ranked.
    """

    kind: Literal["magnitude"] = "magnitude"
    weights_alone: ClassVar[bool] = True
    at: Literal["level", "dense", "init"] = "level"
    """Which weights: after each level's fit (iterative), after the dense fit for all levels
    (one shot), or the initial ones."""
    rounds: None = None
    """The magnitude of a weight does not depend on which others are left."""
    raw: bool = False
    """Whether layers with an equalised learning rate are ranked by their weights as stored, without
    the factor, as the lottery-image-prior scripts do."""

    @property
    def scores_at(self) -> Literal["trained", "dense", "init"]:
        """The weights that `at` names."""
        return "trained" if self.at == "level" else self.at

    def score(self, context: ScoreContext) -> Scores:
        """|w · factor|, or |w| where `raw`."""
        factors = {} if self.raw else context.factors
        return {name: w.abs() * factors.get(name, 1) for name, w in context.weights.items()}
