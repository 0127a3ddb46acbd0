"""Ctrl-C: once, levels in flight end and no other begins; twice, everything ends at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Any

from ray.tune import Stopper
from ray.tune.stopper import NoopStopper

from lip_ray.engine.tune_searcher import PlanSearcher

Hopeless = Callable[[str, dict[str, Any]], bool]
"""Whether a trial is not worth continuing, by its id and the report of its latest level."""


class RunStopper(Stopper):
    """Tells Tune after every level whether the trial, or the whole run, is to end."""

    def __init__(
        self,
        searcher: PlanSearcher,
        running: Callable[[], Set[str]],
        hopeless: Hopeless | None = None,
    ) -> None:
        """`running` gives Tune's ids of the trials that have a worker."""
        self.interrupted = False
        self._searcher = searcher
        self._running = running
        self._hopeless = hopeless
        self._awaited: Set[str] | None = None
        """The trials whose levels were running when stopping began."""

    def __reduce__(self) -> tuple[type[NoopStopper], tuple[()]]:
        """Tune pickles its stopper for a restore that never happens."""
        return NoopStopper, ()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial ends with this level."""
        if self._stopping or self._hopeless is None:
            return self._stopping
        ours = self._searcher.trial(trial_id)
        return ours is not None and self._hopeless(ours, result)

    @property
    def _stopping(self) -> bool:
        """Whether no further level begins: after Ctrl-C, or when the store cannot be written to."""
        return self.interrupted or bool(self._searcher.store_problem)

    def stop_all(self) -> bool:
        r"""Whether all levels have ended that were running when stopping began.

        Tune may have begun others meanwhile, which it held ready: they are interrupted.
        """
        if not self._stopping:
            return False
        if self._awaited is None:
            self._awaited = set(self._running())
        return self._awaited.isdisjoint(self._running())

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        r"""Within this context SIGINT stops after the running levels; a second one, or SIGTERM,
        ends the run.

        Tune ends an experiment on SIGUSR1.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._on_interrupt),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._end_now),
            signal.SIGUSR1: signal.signal(signal.SIGUSR1, _begin_nothing),  # until Tune takes it
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_interrupt(self, *_: object) -> None:
        if self.interrupted:
            self._end_now()
        self.interrupted = self._searcher.closed = True

    def _end_now(self, *_: object) -> None:
        self._searcher.closed = True
        os.kill(os.getpid(), signal.SIGUSR1)


def _begin_nothing(*_: object) -> None:
    """Do nothing: the searcher is closed already, so Tune ends as soon as it begins."""
