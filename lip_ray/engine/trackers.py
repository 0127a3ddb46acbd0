"""Experiment trackers that levels are also reported to.

They are given a trial's spec where Tune has a worker's configuration, and a level's own numbers.
What a tracker does, and fails at, is beside the run: it happens in a thread, the store has all.
"""

import json
import logging
import math
import queue
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray import tune

from lip_ray.engine.plan import leaves
from lip_ray.engine.recorders import Mlflow, Recorder, TensorBoard, Tracked, WeightsAndBiases
from lip_ray.engine.resources import LaunchError
from lip_ray.engine.trainable import REPORTED
from lip_ray.trials import from_json

MODULES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""What each tracker needs to be installed."""

LAST_WAIT_S = 60.0
"""How long the end of a run waits for what trackers have not taken yet."""

LONGEST_PART = 48
"""The longest name of a folder, in characters; a trial of many images has a longer name."""

CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+@")
"""Name and password within a URL."""

_log = logging.getLogger(__name__)


def callbacks(trackers: Sequence[str], *, sweep: str, store: Path | None) -> list[tune.Callback]:
    """One callback for each tracker of a `run` block, by name.

    TensorBoard's files lie in `store`/tensorboard, a folder a trial. MLflow's experiment and the
    project of Weights & Biases are called as the sweep; where they are and who asks is taken from
    these libraries' own settings (MLFLOW_TRACKING_URI, WANDB_API_KEY, WANDB_MODE, …).

    Raises LaunchError where a library is missing, or refuses to begin, and where the store is no
    folder, as these libraries write to one.
    """
    if trackers and store is None:
        raise LaunchError(f"run.trackers: {trackers[0]} needs a store in a folder, not in a bucket")
    return [_callback(name, sweep, store) for name in dict.fromkeys(trackers) if store]


def _callback(name: str, sweep: str, store: Path) -> tune.Callback:
    module = MODULES[name]
    if find_spec(module) is None:
        raise LaunchError(f"run.trackers: {module} is not installed; pip install 'lip-ray[{name}]'")
    try:
        recorder = _recorder(name, sweep)
    except Exception as error:
        raise LaunchError(f"run.trackers: {name}: {_said(error)}") from error
    return Tracking(name, recorder, sweep=sweep, folder=store / name)


def _recorder(name: str, sweep: str) -> Recorder:
    if name == "tensorboard":
        return TensorBoard()
    if name == "mlflow":
        return Mlflow(sweep)
    return WeightsAndBiases(sweep, last_wait_s=LAST_WAIT_S / 2)


class Tracking(tune.Callback):
    """Hands what happens to a tracker, in order, by a thread of its own.

    Tune waits for its callbacks, and an exception in one of them ends the whole run: a server that
    is slow, or gone, must cost no more than a line that says so.
    """

    def __init__(self, name: str, recorder: Recorder, *, sweep: str, folder: Path) -> None:
        self._name = name
        self._recorder = recorder
        self._sweep = sweep
        self._folder = folder
        self._tracked: dict[str, Tracked] = {}
        self._events: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._complained = False
        self._thread = threading.Thread(target=self._work, name=f"to {name}", daemon=True)
        self._thread.start()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune pickles its callbacks for a restore that never happens."""
        return tune.Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker has the trial, for the first time or once more."""
        self._events.put(lambda: self._recorder.begin(self._of(trial.config)))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A level is in the store."""
        if result["level"] >= 0:
            level, numbers = result["level"], level_numbers(result)
            self._events.put(lambda: self._recorder.record(self._of(trial.config), level, numbers))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial has ended."""
        self._events.put(lambda: self._end(trial.config, failed=False))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The trial was given up."""
        self._events.put(lambda: self._end(trial.config, failed=True))

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Wait a while for what is left to tell."""
        self._events.put(self._recorder.close)
        self._events.put(None)
        self._thread.join(LAST_WAIT_S)
        if self._thread.is_alive():
            self._complain(f"it has not taken all within {LAST_WAIT_S:.0f} s")

    def _work(self) -> None:
        while event := self._events.get():
            try:
                event()
            except Exception as error:
                self._complain(_said(error))

    def _complain(self, problem: str) -> None:
        if not self._complained:
            _log.warning(
                "run.trackers: %s lacks some of it: %s; the store has all", self._name, problem
            )
        self._complained = True

    def _end(self, config: Mapping[str, Any], *, failed: bool) -> None:
        seen = self._of(config)
        del self._tracked[seen.trial_id]
        self._recorder.end(seen, failed=failed)

    def _of(self, config: Mapping[str, Any]) -> Tracked:
        """The tracked trial of a configuration, made at the first call."""
        found = self._tracked.get(config["trial_id"])
        return found or self._tracked.setdefault(
            config["trial_id"], tracked(config, sweep=self._sweep, folder=self._folder)
        )


def tracked(config: Mapping[str, Any], *, sweep: str, folder: Path) -> Tracked:
    """A trial's configuration as trackers see it: nothing but its spec, and a readable name."""
    trial = from_json(config["spec"])
    said = trial.description
    parts = [said.image, said.prior, said.pruner, f"seed{trial.seed_used}", trial.id]
    label = "-".join(re.sub(r"[^\w.+]+", "_", part)[:LONGEST_PART] for part in parts)
    return Tracked(
        trial_id=trial.id,
        label=label,
        config={name: _told(value) for name, value in leaves(json.loads(config["spec"]))},
        folder=folder / label,
        sweep=sweep,
    )


def level_numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a level's report, without those that Tune adds to it."""
    numbers = {name: result[name] for name in REPORTED if result.get(name) is not None}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def _told(value: Any) -> Any:
    """A plain value as trackers take it: lists as JSON, null as "none"."""
    if isinstance(value, list):
        return json.dumps(value)
    return "none" if value is None else value


def _said(error: Exception) -> str:
    """An error's first line, without passwords in URLs."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return CREDENTIALS.sub("", lines[0])
