"""A study small enough to run whole in seconds, run without Ray, and stores made to compare."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from lip_ray.engine import trainable
from lip_ray.engine.launch import sweep_record
from lip_ray.engine.plan import plan
from lip_ray.engine.resources import Slot
from lip_ray.engine.trainable import config_of, run_trial
from lip_ray.store import Reader, Writer
from lip_ray.store.schema import TABLES
from lip_ray.sweep import Sweep
from lip_ray.sweep.run import Run
from lip_ray.trials import AbstractTrial

TINY = """
name: tiny
trial:
  images: {kind: builtin, name: camera, size: [32, 32]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 8, scales: 2, input_channels: 4}
  schedule: [1, 0.5, 0.25, 0.12]
  fit: {steps: 60, stopping: {kind: wmv, window: 20, stride: 5}}
grid:
  pruner: [magnitude, random]
  seed: [0, 1]
"""

UNLIKE_BETWEEN_RUNS = {"fit_s", "memory_mb", "host", "finished_at", "started_at", "requested_at"}
"""Columns of times and machines: all others are the same bits whenever a trial is run."""


KEYS = ("trial_id", "level", "image", "layer", "name", "role")


def run_all(
    sweep: Path, store: Path, *, quick: bool = False, overrides: Iterable[str] = ()
) -> None:
    """Run a whole sweep here, one trial after another, with no Ray."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainable.tune, "report", lambda report: None)
        asked = Sweep.from_yaml(sweep, quick=quick, overrides=overrides)
        for planned in plan(asked, {}):
            run_trial(config(planned.trial, store))
        Writer.open(store).write_sweep(sweep_record(asked))


def config(trial: AbstractTrial, store: Path) -> dict[str, Any]:
    Writer.open(store)
    slot = Slot(cpus=torch.get_num_threads(), gpus=0, memory_gb=None, at_once=1)
    return config_of(trial, store=str(store), run=Run(store_patience_s=0), slot=slot)


def comparable(store: Path) -> dict[str, pd.DataFrame]:
    """All tables of a store, in a fixed order, without what differs between runs."""
    reader = Reader(store)
    frames = {}
    for table in TABLES:
        frame = reader.frame(table)
        frame = frame.drop(columns=[name for name in frame if name in UNLIKE_BETWEEN_RUNS])
        keys = [name for name in KEYS if name in frame]
        for column in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
            frame[column] = frame[column].map(_exact)
        frames[table] = frame.sort_values(keys, ignore_index=True)
    return frames


def _exact(value: Any) -> str:
    """Every bit of lists and bytes as text, in which NaN equals NaN."""
    return repr(value.tolist() if hasattr(value, "tolist") else value)


def assert_same(store: Path, other: Path) -> None:
    """Both stores hold the same rows, bit for bit."""
    ours, theirs = comparable(store), comparable(other)
    for table, frame in ours.items():
        pd.testing.assert_frame_equal(frame, theirs[table], check_exact=True, obj=table)
