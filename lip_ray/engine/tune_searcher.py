"""The order in which Tune gets trials: that of the plan, each after its sources are complete."""

from collections.abc import Sequence
from typing import Any, Protocol

from ray.tune.search import Searcher

from lip_ray.engine.trainable import Config, Ending
from lip_ray.store import StoreError


class Supply(Protocol):
    """A search, which supplies more trials while those handed out are running."""

    def more(self) -> Sequence[Config]:
        """The next trials, sources first; empty where none can begin now."""

    @property
    def exhausted(self) -> bool:
        """Whether no more trials will ever come."""

    def ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        """Note that a trial is complete or was stopped, or failed; `short` is why GPU memory did
        not suffice."""


class NoSupply:
    """The supply of a plan whose trials are all known from the beginning."""

    exhausted = True

    def more(self) -> Sequence[Config]:
        """No further trials."""
        return ()

    def ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        """Do nothing."""


class FailureListener(Protocol):
    """Learns of failed trials whose reason Tune does not know."""

    def out_of_memory(self, config: Config, reason: str) -> None:
        """Note a trial that the GPU's memory did not suffice for, even alone."""

    def source_failed(self, config: Config, source_id: str) -> None:
        """Note a trial whose source failed."""


class PlanSearcher(Searcher):
    r"""Hands out the planned configurations, each once its sources are complete.

    Trials whose source failed fail too. A trial for which the GPU's memory did not suffice is
    handed out once more, alone on its GPU.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        listener: FailureListener,
        *,
        at_once: int | None = None,
        supply: Supply | None = None,
    ) -> None:
        super().__init__(metric="level", mode="max")  # Tune wants one; nothing is searched
        self.waiting = list(configs)
        self.closed = False
        """Whether no further trial may begin."""
        self.store_problem = ""
        """Why the store could not be written to; empty unless that closed the searcher."""
        self._listener = listener
        self._at_once = at_once
        self._supply = supply or NoSupply()
        self._open = {config["trial_id"] for config in configs}
        """Ids of incomplete trials; those outside of the plan are complete."""
        self._running: dict[str, Config] = {}
        """Configurations of running trials, by Tune's id."""

    def __reduce__(self) -> tuple[type[Searcher], tuple[()]]:
        """Tune pickles it for a restore that never happens."""
        return Searcher, ()

    def trial(self, tune_id: str) -> str | None:
        """The id of the trial that runs under an id of Tune's; None where none does."""
        config = self._running.get(tune_id)
        return config["trial_id"] if config else None

    def suggest(self, trial_id: str) -> Any:  # Tune annotates it without its own FINISHED
        """The first configuration that can begin; None where one may come later."""
        if self.closed:
            return str(Searcher.FINISHED)
        if self._at_once and len(self._running) >= self._at_once:
            return None
        config = self._take_ready()
        if config is None and self._refill():
            config = self._take_ready()
        if self.closed:
            return str(Searcher.FINISHED)
        if config is not None:
            self._running[trial_id] = config
            return config
        finished = not (self.waiting or self._running) and self._supply.exhausted
        return str(Searcher.FINISHED) if finished else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how a trial ended; trials that waited for a complete one may begin."""
        config = self._running.pop(trial_id, None)
        if config is None:
            return
        ending = (result or {}).get("ending")
        if error:
            self._give_up(config)
        elif ending == Ending.STORE:
            self._halt(str((result or {}).get("reason")))
        elif ending == Ending.OUT_OF_MEMORY and not config["alone"]:
            self.waiting.insert(0, config | {"alone": True})
        elif ending == Ending.OUT_OF_MEMORY:
            reason = str((result or {}).get("reason"))
            self._listener.out_of_memory(config, reason)
            self._give_up(config, short=reason)
        elif not result or result["level"] + 1 == config["levels"]:
            self._open.discard(config["trial_id"])
            self._ended(config["trial_id"])
        elif not self.closed:  # stopped after a level, as hopeless
            self._give_up(config, given_up=False)

    def _take_ready(self) -> Config | None:
        for config in self.waiting:
            if self._open.isdisjoint(config["source_ids"]):
                self.waiting.remove(config)
                return config
        return None

    def _refill(self) -> bool:
        """Take more trials from the supply; whether it had any."""
        try:
            found = self._supply.more()
        except StoreError as error:
            self._halt(str(error))
            return False
        more = [config for config in found if config["trial_id"] not in self._open]
        self.waiting += more
        self._open.update(config["trial_id"] for config in more)
        return bool(more)

    def _give_up(self, config: Config, *, given_up: bool = True, short: str = "") -> None:
        """Remove a trial from the plan, and in turn all that wait for it."""
        trial_id = config["trial_id"]
        self._open.discard(trial_id)
        while doomed := next((c for c in self.waiting if trial_id in c["source_ids"]), None):
            self.waiting.remove(doomed)
            self._listener.source_failed(doomed, trial_id)
            self._give_up(doomed)
        self._ended(trial_id, given_up=given_up, short=short)

    def _ended(self, trial_id: str, *, given_up: bool = False, short: str = "") -> None:
        try:
            self._supply.ended(trial_id, given_up=given_up, short=short)
        except StoreError as error:
            self._halt(str(error))

    def _halt(self, problem: str) -> None:
        """Begin no further trials, as the store cannot be written to."""
        self.closed = True
        self.store_problem = self.store_problem or problem

    def save(self, checkpoint_path: str) -> None:
        """Save nothing, as the store holds all state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, since `save` stores nothing."""
