"""What every pruner is given and gives back."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from lip_ray.pruning.mask import Scores
from lip_ray.spec import Spec


@dataclass(frozen=True, kw_only=True)
class ScoreContext:
    """All that a criterion may look at."""

    weights: Mapping[str, Tensor]
    """The prunable weights by layer: trained or initial, as the pruner's `scores_at` asks."""
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    """The data loss as a pure function of the prunable weights, all else as initialised."""
    seed: int


class AbstractPruner(Spec, ABC):
    """A criterion: it scores every prunable weight, and the best-scored survivors are kept."""

    kind: str
    scores_at: ClassVar[Literal["trained", "init"]]
    """Whether it judges the weights after the level's fit or before any."""

    @abstractmethod
    def score(self, context: ScoreContext) -> Scores:
        """One number a weight, by layer; a pure function of the context."""
