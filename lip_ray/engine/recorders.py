"""Experiment trackers, each by its own client: what becomes of a trial and of its levels there."""

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

STEP = "training_iteration"
"""The name under which MLflow and Weights & Biases also have a level's number, as Tune counts."""

FLUSH_S = 30
"""How long TensorBoard's client may keep to itself what a level does not make it write."""


EXIT_S = 5.0
"""How long a process may take to end after it has said that it will."""


@dataclass(frozen=True)
class Tracked:
    """A trial as trackers see it."""

    trial_id: str
    label: str = field(compare=False)
    """A readable name, which is also that of its folder."""
    config: Mapping[str, Any] = field(compare=False)
    """The spec's leaves by dotted path: numbers, texts and truths."""
    folder: Path = field(compare=False)
    """For what a tracker leaves behind."""
    sweep: str = field(compare=False)


class Recorder(Protocol):
    """A tracker. Each method raises whatever its client does."""

    def begin(self, trial: Tracked) -> None:
        """A worker has the trial, for the first time or once more."""

    def record(self, trial: Tracked, level: int, numbers: Mapping[str, float]) -> None:
        """A level is in the store."""

    def end(self, trial: Tracked, *, failed: bool) -> None:
        """The trial is complete, or failed for good."""

    def close(self) -> None:
        """Nothing more will come: send what is left."""


class TensorBoard(Recorder):
    """One folder per trial, with an event file for each time that a worker has it."""

    def __init__(self) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter
        self._writers: dict[Tracked, Any] = {}
        self._last: dict[Tracked, dict[str, float]] = {}
        """The numbers of each trial's last level."""

    def begin(self, trial: Tracked) -> None:
        if before := self._writers.get(trial):
            before.close()
        trial.folder.mkdir(parents=True, exist_ok=True)
        self._writers[trial] = self._writer(str(trial.folder), flush_secs=FLUSH_S)
        self._last[trial] = {}

    def record(self, trial: Tracked, level: int, numbers: Mapping[str, float]) -> None:
        writer = self._writers[trial]
        self._last[trial] = {f"ray/tune/{name}": number for name, number in numbers.items()}
        for tag, number in self._last[trial].items():
            writer.add_scalar(tag, number, global_step=level)
        writer.flush()

    def end(self, trial: Tracked, *, failed: bool) -> None:
        from tensorboardX.summary import hparams

        writer, last = self._writers.pop(trial), self._last.pop(trial)
        try:
            # `add_hparams` would write them into a folder of their own.
            for summary in (
                hparams(hparam_dict=dict(trial.config), metric_dict=last) if last else ()
            ):
                writer.file_writer.add_summary(summary)
        finally:
            writer.close()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class Mlflow(Recorder):
    """One run per trial in the experiment of the sweep's name."""

    def __init__(self, sweep: str) -> None:
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient()
        self._experiment_id = self._experiment(sweep)
        self._runs: dict[Tracked, str] = {}

    def _experiment(self, sweep: str) -> str:
        """That of MLFLOW_EXPERIMENT_ID where it exists; else the sweep's, made where it is new."""
        from mlflow.exceptions import MlflowException

        if own := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            with suppress(MlflowException):
                return str(self._client.get_experiment(own).experiment_id)
        known = self._client.get_experiment_by_name(name=sweep)
        return str(known.experiment_id if known else self._client.create_experiment(name=sweep))

    def begin(self, trial: Tracked) -> None:
        if trial not in self._runs:
            run = self._client.create_run(
                experiment_id=self._experiment_id,
                run_name=trial.label,
                tags={"trial_name": trial.label},
            )
            self._runs[trial] = run.info.run_id
        for key, value in trial.config.items():
            self._client.log_param(run_id=self._runs[trial], key=key, value=value)

    def record(self, trial: Tracked, level: int, numbers: Mapping[str, float]) -> None:
        for key, value in (dict(numbers) | {STEP: level}).items():
            self._client.log_metric(
                run_id=self._runs[trial], key=key, value=float(value), step=level
            )

    def end(self, trial: Tracked, *, failed: bool) -> None:
        status = "FAILED" if failed else "FINISHED"
        self._client.set_terminated(run_id=self._runs[trial], status=status)

    def close(self) -> None:
        """Every call above is sent at once."""


class WeightsAndBiases(Recorder):
    """One run per trial, resumed by the trial's id, in the project of the sweep's name.

    Its client runs in a process of its own: where a server is gone it makes whoever uses it wait
    at exit, for hours if need be. That process has this one's environment, and so its key.
    """

    def __init__(self, sweep: str, *, last_wait_s: float) -> None:
        _refuse_keyless()
        self._sweep = sweep
        self._last_wait_s = last_wait_s
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "lip_ray.engine.wandb_runs", str(last_wait_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process
        )
        weakref.finalize(self, process.kill)  # at exit at the latest

    def begin(self, trial: Tracked) -> None:
        trial.folder.mkdir(parents=True, exist_ok=True)
        self._ask(
            "begin",
            trial,
            {
                "project": self._sweep,
                "group": trial.sweep,
                "name": trial.label,
                "dir": str(trial.folder),
                "config": dict(trial.config) | {"trial_log_path": str(trial.folder)},
            },
        )

    def record(self, trial: Tracked, level: int, numbers: Mapping[str, float]) -> None:
        self._ask("record", trial, {"step": level, "data": dict(numbers) | {STEP: level}})

    def end(self, trial: Tracked, *, failed: bool) -> None:
        self._ask("end", trial, {})

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(self._last_wait_s + EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process.stdout.close()

    def _ask(self, event: str, trial: Tracked, told: dict[str, Any]) -> None:
        """Send an event, and raise RuntimeError with what the client said against it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([event, trial.trial_id, told]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("its process has died")
        if problem := json.loads(answer):
            raise RuntimeError(problem)


def _refuse_keyless() -> None:
    """Raise ValueError where W&B's client would ask for a key on a terminal."""
    if os.environ.get("WANDB_MODE") in ("offline", "disabled") or os.environ.get("WANDB_API_KEY"):
        return
    import wandb

    if "prompt" in signature(wandb.login).parameters:
        known = wandb.login(prompt=False, verify=False)
    else:  # an older client
        known = bool(wandb.api.api_key)
    if not known:
        raise ValueError(
            "No WandB API key found. Either set the WANDB_API_KEY environment variable or run "
            "`wandb login` from the command line"
        )
