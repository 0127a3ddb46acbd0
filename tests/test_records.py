"""The rows: plain, frozen, and free of any machinery."""

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from lip_ray.records import LevelRecord, Outcome


def failed(**changes) -> LevelRecord:
    counts = {"kept": 25, "total": 100, "kept_all": 30, "total_all": 105, "effective": None}
    fields = {"trial_id": "a" * 16, "level": 2, "image": "cat", "outcome": Outcome.FAILED}
    return LevelRecord(**counts | fields | changes)


def test_density_is_kept_over_total() -> None:
    assert failed().density == 0.25
    assert failed(kept=100).density == 1.0


def test_rows_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        failed().kept = 3


def test_a_level_that_was_not_fitted_has_no_numbers() -> None:
    record = failed()
    assert {record.psnr_peak_db, record.selected_step, record.curve, record.finished_at} == {None}
    assert (record.steps, record.masks, record.reconstructions) == (0, {}, ())


def test_outcomes_are_the_words_of_the_store() -> None:
    assert {str(outcome) for outcome in Outcome} == {
        "budget",
        "stopped",
        "diverged",
        "collapsed",
        "failed",
    }


def test_rows_need_no_torch() -> None:
    script = "import sys, lip_ray.records; print('torch' in sys.modules, 'numpy' in sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == ["False", "False"]
