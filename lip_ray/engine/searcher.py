"""How Tune comes by our trials: one after another, in the order of the plan."""

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from lip_ray.engine.trainable import Config


class PlanSearcher(Searcher):
    """Hands out the planned configurations, each once its sources are complete.

    What waits for a source that was given up is never handed out; it stays in `waiting`.
    """

    def __init__(self, configs: Sequence[Config]) -> None:
        super().__init__(metric="level", mode="max")  # Tune wants one; nothing is searched
        self.waiting = list(configs)
        self._open = {config["trial_id"] for config in configs}
        """Ids of trials that are not complete; those that the plan leaves out are."""
        self._running: dict[str, str] = {}
        """Our trial's id by Tune's."""

    def suggest(self, trial_id: str) -> Any:  # Tune annotates it without its own FINISHED
        """The first configuration that can begin; None while it is worth asking again."""
        for config in self.waiting:
            if self._open.isdisjoint(config["source_ids"]):
                self.waiting.remove(config)
                self._running[trial_id] = config["trial_id"]
                return config
        return None if self.waiting and self._running else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Results are in the store; what waited for them may begin."""
        ended = self._running.pop(trial_id, None)
        if not error:
            self._open.discard(ended or "")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the store decides what is done."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""
