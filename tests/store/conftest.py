"""Rows made by hand, small but with something in every table."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from lip_ray.records import (
    Cause,
    Curve,
    FailureRecord,
    LayerMask,
    LevelRecord,
    Outcome,
    PointRecord,
    Reconstruction,
    ScoreRecord,
    StepChoice,
    SweepRecord,
    TrialRecord,
)

NOON = datetime(2026, 1, 2, 12)


def layer(bits: bytes = b"\xe0", name: str = "1.1.weight") -> LayerMask:
    """Three of eight weights."""
    return LayerMask(layer=name, shape=(2, 4), kept=3, total=8, bits=bits)


def make_level(trial_id: str = "a" * 16, level: int = 0, **changes: Any) -> LevelRecord:
    """A committed level: a mask for the next (level 0 also has its own), a curve, the
    choices of two stopping rules, two pictures."""
    values: dict[str, Any] = {
        "trial_id": trial_id,
        "level": level,
        "image": "camera",
        "kept": 8,
        "total": 8,
        "kept_all": 10,
        "total_all": 10,
        "effective": 8,
        "psnr_measured_db": 20.0,
        "psnr_peak_db": 27.5,
        "psnr_selected_db": 27.25,
        "peak_step": 3,
        "steps": 4,
        "outcome": Outcome.BUDGET,
        "unfinished": False,
        "fit_s": 1.5,
        "finished_at": NOON,
        "masks": {level + 1: (layer(), layer(b"\x07", "9.1.weight"))}
        | ({} if level else {0: (layer(b"\xff"),)}),
        "curve": Curve(
            step=(0, 3),
            loss=(0.5, 0.25),
            psnr_raw_db=(3.0, 6.0),
            psnr_db=(3.0, 5.0),
            statistic=(float("nan"), 0.125),
        ),
        "choices": (
            StepChoice(
                rule="discrepancy",
                signal="average",
                settings='{"kind":"discrepancy"}',
                in_force=True,
                step=2,
                psnr_db=27.25,
                statistic=0.01,
                fired=True,
                noise=0.1,
            ),
            StepChoice(
                rule="wmv",
                signal="output",
                settings='{"kind":"wmv"}',
                in_force=False,
                step=3,
                psnr_db=None,
                statistic=0.001,
                fired=False,
                noise=None,
            ),
        ),
        "reconstructions": (
            Reconstruction(role="clean", step=None, height=2, width=4, png=b"png-0"),
            Reconstruction(role="final", step=3, height=2, width=4, png=b"png-1"),
        ),
    }
    return LevelRecord(**values | changes)


def make_trial(trial_id: str = "a" * 16, levels: int = 2, **changes: Any) -> TrialRecord:
    """A trial that has begun."""
    values: dict[str, Any] = {
        "trial_id": trial_id,
        "kind": "trajectory",
        "pruner": "magnitude",
        "prior": "skip",
        "task": "denoising",
        "image": "camera",
        "seed": 0,
        "levels": levels,
        "source_ids": (),
        "travels": None,
        "parameters": 10,
        "macs_per_step": 1000,
        "spec": "{}",
        "canonical": "{}",
        "epoch": 2,
        "lip_ray_version": "0",
        "torch_version": "0",
        "ray_version": "0",
        "python_version": "0",
        "host": "here",
        "device": "cpu",
        "started_at": NOON,
    }
    return TrialRecord(**values | changes)


def make_sweep(
    sweep_id: str = "f" * 16, trial_ids: tuple[str, ...] = ("a" * 16, "b" * 16), **changes: Any
) -> SweepRecord:
    """A sweep of two trials."""
    values: dict[str, Any] = {
        "sweep": "study",
        "sweep_id": sweep_id,
        "trial_ids": trial_ids,
        "kinds": ("trajectory", "transfer"),
        "specs": ("{}", "{}"),
        "levels": (2, 2),
        "lip_ray_version": "0",
        "requested_at": NOON,
    }
    return SweepRecord(**values | changes)


def make_failure(trial_id: str = "a" * 16, **changes: Any) -> FailureRecord:
    """A trial that was given up at its second level."""
    values: dict[str, Any] = {
        "trial_id": trial_id,
        "kind": "trajectory",
        "pruner": "magnitude",
        "prior": "skip",
        "task": "denoising",
        "image": "camera",
        "seed": 0,
        "level": 1,
        "cause": Cause.DIED,
        "reason": "its process was killed",
        "traceback": "",
        "host": "here",
        "lip_ray_version": "0",
        "failed_at": NOON,
    }
    return FailureRecord(**values | changes)


def make_point(number: int = 0, **changes: Any) -> PointRecord:
    """A point of two trials, after a high PSNR and few weights."""
    values: dict[str, Any] = {
        "search": "widths",
        "search_id": "e" * 16,
        "number": number,
        "params": '{"prior.width": 8}',
        "objectives": (
            '[{"column": "psnr_selected_db", "direction": "maximize", "level": "last"},'
            ' {"column": "kept", "direction": "minimize", "level": "last"}]'
        ),
        "trial_ids": ("a" * 16, "b" * 16),
        "kinds": ("trajectory", "trajectory"),
        "specs": ('{"seed": 0}', '{"seed": 1}'),
        "levels": (2, 3),
        "lip_ray_version": "0",
        "asked_at": NOON,
    }
    return PointRecord(**values | changes)


def make_score(number: int = 0, **changes: Any) -> ScoreRecord:
    """What it came to."""
    values: dict[str, Any] = {
        "search": "widths",
        "search_id": "e" * 16,
        "number": number,
        "state": "complete",
        "values": (27.25, 100.0),
        "told_at": NOON,
    }
    return ScoreRecord(**values | changes)


@pytest.fixture
def failure_record() -> Callable[..., FailureRecord]:
    """Makes failures."""
    return make_failure


@pytest.fixture(scope="session")
def point_record() -> Callable[..., PointRecord]:
    """Makes points of a search."""
    return make_point


@pytest.fixture(scope="session")
def score_record() -> Callable[..., ScoreRecord]:
    """Makes their scores."""
    return make_score


@pytest.fixture
def level_record() -> Callable[..., LevelRecord]:
    """Makes levels."""
    return make_level


@pytest.fixture
def trial_record() -> Callable[..., TrialRecord]:
    """Makes trials."""
    return make_trial


@pytest.fixture
def sweep_record() -> Callable[..., SweepRecord]:
    """Makes sweeps."""
    return make_sweep
