"""What was given up in a run, and why: told at the end, and rows in the store at once."""

import platform
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ray import tune
from ray.exceptions import RayActorError

from lip_ray import __version__
from lip_ray.engine.progress import Tally
from lip_ray.engine.ray_private import last_error, worker_of
from lip_ray.engine.trainable import Config
from lip_ray.records import Cause, FailureRecord
from lip_ray.store import Reader, StoreError, Writer


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A trial that was given up."""

    trial: str
    """The trial's label."""
    cause: Cause
    reason: str
    traceback: str
    """The last failure's, as the worker had it."""


class Ledger:
    """Notes every trial that is given up."""

    def __init__(self, reader: Reader, writer: Writer, tally: Tally) -> None:
        self.failures: list[Failure] = []
        self.unwritten = ""
        """Why the store could not take a failure's row, where it could not."""
        self._reader = reader
        self._writer = writer
        self._tally = tally

    def out_of_memory(self, config: Config, reason: str) -> None:
        """The GPU's memory did not suffice, even for this trial alone."""
        self.note(config["trial_id"], Cause.OUT_OF_MEMORY, reason)

    def source_given_up(self, config: Config, source_id: str) -> None:
        """It waited for a trial that was given up."""
        _, label = self._tally.find(source_id)
        reason = f"its source was given up: {label}"
        self.note(config["trial_id"], Cause.SOURCE, reason, source_id=source_id)

    def note(
        self,
        trial_id: str,
        cause: Cause,
        reason: str,
        *,
        traceback: str = "",
        source_id: str | None = None,
    ) -> None:
        """Keep the failure for the end, and write its row."""
        trial, label = self._tally.find(trial_id)
        self.failures.append(Failure(trial=label, cause=cause, reason=reason, traceback=traceback))
        self._tally.give_up(trial_id)
        described = trial.description
        try:
            self._writer.write_failure(
                FailureRecord(
                    trial_id=trial_id,
                    kind=trial.kind,
                    pruner=described.pruner,
                    prior=described.prior,
                    task=described.task,
                    image=described.image,
                    seed=trial.seed_used,
                    level=self._reader.levels_done_of(trial_id),
                    cause=cause,
                    reason=reason,
                    traceback=traceback,
                    source_id=source_id,
                    host=platform.node(),
                    lip_ray_version=__version__,
                    failed_at=datetime.now(UTC).replace(tzinfo=None),
                )
            )
        except StoreError as error:
            self.unwritten = str(error)


class Watchdog(tune.Callback):
    """Kills the worker of a level that takes too long, and notes trials whose worker kept failing.

    Ray's own kill reaches a process that is stopped or stuck, where a timer inside would not run.
    """

    def __init__(
        self, ledger: Ledger, *, limit_s: float | None, now: Callable[[], float], kill: Any
    ) -> None:
        self._ledger = ledger
        self._limit_s = limit_s
        self._now = now
        self._kill = kill
        self._since: dict[str, tuple[float, Any]] = {}
        """When the level that a trial is at began, and the trial, by Tune's id."""
        self._overdue: set[str] = set()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore that never happens."""
        return tune.Callback, ()

    def running(self) -> Set[str]:
        """Tune's ids of the trials that a worker has."""
        return self._since.keys()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Its first level begins."""
        self._since[trial.trial_id] = self._now(), trial

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A level ended and the next begins."""
        self._since[trial.trial_id] = self._now(), trial
        self._overdue.discard(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Nothing of it is left to watch."""
        self._since.pop(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Until it starts again there is nothing to watch."""
        self._since.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill what is overdue."""
        if self._limit_s is None:
            return
        for name, (since, trial) in list(self._since.items()):
            actor = worker_of(trial)
            if self._now() - since > self._limit_s and actor is not None:
                self._overdue.add(name)
                del self._since[name]
                self._kill(actor)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker failed, and retries are used up."""
        self._since.pop(trial.trial_id, None)
        error = last_error(trial)
        if trial.trial_id in self._overdue:
            cause, said = Cause.TIME_LIMIT, f"a level took longer than {self._limit_s:g} s"
        else:
            cause = Cause.DIED if isinstance(error, RayActorError) else Cause.ERROR
            said = _reason(error)
        traceback = str(error).strip() if cause is Cause.ERROR else ""
        self._ledger.note(trial.config["trial_id"], cause, said, traceback=traceback)


def _reason(error: Exception | None) -> str:
    """The error's last line, which names it; of a process that died, its first."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return lines[0] if isinstance(error, RayActorError) else lines[-1]
