"""Magnitude pruning: with rewinding, level by level, it is iterative magnitude pruning (IMP)."""

from typing import ClassVar, Literal, final

from lip_ray.pruning.base import AbstractPruner, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Magnitude(AbstractPruner):
    r"""Keep the weights largest in absolute value.

    Han et al. 2015 (arXiv 1506.02626); with rewinding, Frankle & Carbin 2019 (arXiv 1803.03635).
    Weights of a layer with an equalised learning rate are ranked after multiplication by its
    factor.
    """

    kind: Literal["magnitude"] = "magnitude"
    weights_alone: ClassVar[bool] = True
    at: Literal["level", "dense", "init"] = "level"
    """Which weights are ranked: those after each level's fit (iterative), those after the dense fit
    for all levels (one shot), or the initial ones."""
    rounds: None = None
    """None: the magnitude of a weight does not depend on which others remain."""
    raw: bool = False
    """Whether layers with an equalised learning rate are ranked by their weights as stored, without
    the factor, as the lottery-image-prior scripts do."""

    @property
    def scores_at(self) -> Literal["trained", "dense", "init"]:
        """The weights that are scored, as `at` says."""
        return "trained" if self.at == "level" else self.at

    def score(self, context: ScoreContext) -> Scores:
        """|w · factor|, or |w| where `raw`."""
        factors = {} if self.raw else context.factors
        return {name: w.abs() * factors.get(name, 1) for name, w in context.weights.items()}
