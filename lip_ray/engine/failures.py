"""The failures of a run: reported at its end, and written to the store at once."""

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
    """A trial that failed."""

    trial: str
    """The trial's label."""
    cause: Cause
    reason: str
    traceback: str
    """The traceback of the last failure in the worker; empty where there is none."""


class FailureLog:
    """Records every trial that fails."""

    def __init__(self, reader: Reader, writer: Writer, tally: Tally) -> None:
        self.failures: list[Failure] = []
        self.unwritten = ""
        """Why a failure's row could not be written to the store; empty where all were."""
        self._reader = reader
        self._writer = writer
        self._tally = tally

    def out_of_memory(self, config: Config, reason: str) -> None:
        """Record a trial that the GPU's memory did not suffice for, even alone."""
        self.note(config["trial_id"], Cause.OUT_OF_MEMORY, reason)

    def source_failed(self, config: Config, source_id: str) -> None:
        """Record a trial whose source failed."""
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
        """Keep the failure for the end of the run, and write its row."""
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
    r"""Kills the worker of a level that takes too long, and records trials whose worker kept
    failing.

    Ray's own kill reaches a process that is stopped or stuck, where a timer inside would not run.
    """

    def __init__(
        self, failure_log: FailureLog, *, limit_s: float | None, now: Callable[[], float], kill: Any
    ) -> None:
        self._failure_log = failure_log
        self._limit_s = limit_s
        self._now = now
        self._kill = kill
        self._since: dict[str, tuple[float, Any]] = {}
        """When the present level of a trial began, and the trial, by Tune's id."""
        self._overdue: set[str] = set()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore that never happens."""
        return tune.Callback, ()

    def running(self) -> Set[str]:
        """Tune's ids of the trials that have a worker."""
        return self._since.keys()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Start the clock of its first level."""
        self._since[trial.trial_id] = self._now(), trial

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Restart the clock, as one level ended and the next begins."""
        self._since[trial.trial_id] = self._now(), trial
        self._overdue.discard(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop the clock."""
        self._since.pop(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Stop the clock until the trial starts again."""
        self._since.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Kill the workers of overdue levels."""
        if self._limit_s is None:
            return
        for name, (since, trial) in list(self._since.items()):
            actor = worker_of(trial)
            if self._now() - since > self._limit_s and actor is not None:
                self._overdue.add(name)
                del self._since[name]
                self._kill(actor)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record the trial, as its worker failed and retries are used up."""
        self._since.pop(trial.trial_id, None)
        error = last_error(trial)
        if trial.trial_id in self._overdue:
            cause, said = Cause.TIME_LIMIT, f"a level took longer than {self._limit_s:g} s"
        else:
            cause = Cause.DIED if isinstance(error, RayActorError) else Cause.ERROR
            said = _reason(error)
        traceback = str(error).strip() if cause is Cause.ERROR else ""
        self._failure_log.note(trial.config["trial_id"], cause, said, traceback=traceback)


def _reason(error: Exception | None) -> str:
    """The error's last line, which names it; for a process that died, the first line."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if not lines:
        return repr(error)
    return lines[0] if isinstance(error, RayActorError) else lines[-1]
