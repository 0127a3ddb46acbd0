"""How Tune comes by our trials: one after another, in the order of the plan."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from lip_ray.engine.trainable import Config


class PlanSearcher(Searcher):
    """Hands out the planned configurations, then says that there are no more."""

    def __init__(self, configs: Sequence[Config]) -> None:
        super().__init__(metric="level", mode="max")  # Tune wants one; nothing is searched
        self._waiting = list(configs)

    def suggest(self, trial_id: str) -> Any:  # Tune annotates it without its own FINISHED
        """The next configuration of the plan."""
        return self._waiting.pop(0) if self._waiting else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to learn: results are in the store."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the store decides what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""
