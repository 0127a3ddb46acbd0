"""Trials that were given up: every time is a row, and past once the trial is complete."""

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lip_ray.records import Cause, FailureRecord, Outcome
from lip_ray.store import Reader, Writer
from lip_ray.store.schema import TABLES

Make = Callable[..., Any]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_failure_is_a_row_with_all_it_says(tmp_path: Path, failure_record: Make) -> None:
    store = Writer.open(tmp_path)
    first: FailureRecord = failure_record(cause=Cause.SOURCE, source_id="b" * 16)
    again: FailureRecord = failure_record(
        cause=Cause.ERROR, traceback="Traceback\n  line", failed_at=first.failed_at + timedelta(1)
    )
    for failure in (first, again, failure_record("c" * 16)):
        store.write_failure(failure)
    store.write_failure(again)  # a driver that was told twice
    assert names(tmp_path / "failures") == [
        f"{'a' * 16}-000.parquet",
        f"{'a' * 16}-001.parquet",
        f"{'c' * 16}-000.parquet",
    ]
    rows = Reader(tmp_path).sql("from failures order by trial_id, failed_at").to_pylist()
    for row, failure in zip(rows, (first, again), strict=False):
        assert row == {name: getattr(failure, name) for name in TABLES["failures"].names} | {
            "open": True
        }
    assert len(rows) == 3


def test_a_failure_is_past_once_its_trial_is_complete(
    tmp_path: Path, failure_record: Make, level_record: Make, trial_record: Make
) -> None:
    store = Writer.open(tmp_path)
    reader = Reader(tmp_path)
    never_begun, begun = "a" * 16, "b" * 16
    store.write_failure(failure_record(never_begun))
    store.write_trial(trial_record(begun, levels=2))
    store.write_level([level_record(begun, 0, outcome=Outcome.STOPPED)])
    store.write_failure(failure_record(begun))

    def told() -> tuple[str, dict[str, bool]]:
        [outcome] = reader.frame("trials")["outcome"]
        failures = reader.sql("select trial_id, open from failures").to_pylist()
        return outcome, {row["trial_id"]: row["open"] for row in failures}

    assert told() == ("given up", {never_begun: True, begun: True})
    store.write_level([level_record(begun, 1)])
    assert told() == ("stopped", {never_begun: True, begun: False})


def test_a_fit_that_failed_is_no_trial_that_was_given_up(
    tmp_path: Path, level_record: Make, trial_record: Make
) -> None:
    store = Writer.open(tmp_path)
    store.write_trial(trial_record(levels=1))
    store.write_level([level_record(outcome=Outcome.FAILED)])
    reader = Reader(tmp_path)
    assert reader.frame("trials")["outcome"].tolist() == ["failed"]
    assert reader.frame("failures").empty


def _write_many(root: Path, failures: list[FailureRecord], begin: Any) -> None:
    store = Writer.open(root)
    begin.wait()
    for failure in failures:
        store.write_failure(failure)


def test_failures_of_two_drivers_at_once_are_all_kept(tmp_path: Path, failure_record: Make) -> None:
    context = multiprocessing.get_context("fork")
    begin = context.Barrier(2)
    processes = [
        context.Process(
            target=_write_many,
            args=(tmp_path, [failure_record(reason=f"{p}-{n}") for n in range(10)], begin),
        )
        for p in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    reasons = Reader(tmp_path).frame("failures")["reason"]
    assert sorted(reasons) == [f"{p}-{n}" for p in range(2) for n in range(10)]
    assert names(tmp_path / "failures") == [f"{'a' * 16}-{n:03d}.parquet" for n in range(20)]


def test_timings_are_medians_of_fits_that_are_alike(
    tmp_path: Path, level_record: Make, trial_record: Make
) -> None:
    """Rows of several images add up to the time of their fit, which took its steps once."""
    store = Writer.open(tmp_path)
    for trial_id, seconds in (("a" * 16, (10.0, 20.0)), ("b" * 16, (60.0,))):
        store.write_trial(trial_record(trial_id))
        for level, fit_s in enumerate(seconds):
            halves = [
                level_record(
                    trial_id,
                    level,
                    image=image,
                    steps=100,
                    fit_s=fit_s / 2,
                    memory_mb=fit_s + extra,
                    device="cpu",
                    masks={},
                )
                for image, extra in (("camera", 0.0), ("moon", 5.0))
            ]
            store.write_level(halves)
    wide = "c" * 16
    store.write_trial(trial_record(wide, macs_per_step=9000))
    store.write_level([level_record(wide, 0, steps=0, outcome=Outcome.FAILED)])
    store.write_level([level_record(wide, 1, steps=2, fit_s=7.0, reconstructions=())])
    narrow, broad = Reader(tmp_path).sql("from timings order by macs_per_step").to_pylist()
    assert narrow == {
        "kind": "trajectory",
        "prior": "skip",
        "task": "denoising",
        "image": "camera",
        "device": "cpu",
        "height": 2,
        "width": 4,
        "macs_per_step": 1000,
        "trials": 2,
        "fits": 3,
        "step_s": pytest.approx(0.2),
        "fit_s": pytest.approx(20.0),
        "memory_mb": pytest.approx(25.0),
    }
    assert (broad["fits"], broad["step_s"], broad["fit_s"]) == (1, 3.5, 7.0)


def test_a_sheet_of_samples_is_no_images_size(
    tmp_path: Path, level_record: Make, trial_record: Make
) -> None:
    from lip_ray.records import Reconstruction

    sheet = Reconstruction(role="samples", step=1, height=512, width=512, png=b"png")
    store = Writer.open(tmp_path)
    store.write_trial(trial_record(kind="generator"))
    store.write_level([level_record(reconstructions=(sheet,))])
    [row] = Reader(tmp_path).sql("from timings").to_pylist()
    assert (row["height"], row["width"], row["fits"]) == (None, None, 1)
