"""What a worker does, without Ray: run what is missing, and give way to rows that were first."""

import dataclasses
import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from studies import config

from lip_ray.engine import trainable
from lip_ray.engine.trainable import resumed, run_trial
from lip_ray.records import Standing
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep
from lip_ray.trials import Context, Trial, run


@pytest.fixture
def trial(tiny: Path) -> Trial:
    """A magnitude trajectory of four levels."""
    return Sweep.from_yaml(tiny, overrides=["fit.steps=20"]).trials[0]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is reported to Tune."""
    reported: list[dict[str, Any]] = []
    monkeypatch.setattr(trainable.tune, "report", reported.append)
    return reported


def test_the_whole_ladder_is_stored_then_reported(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]]
) -> None:
    run_trial(config(trial, tmp_path))
    assert [report["level"] for report in reports] == [0, 1, 2, 3]
    [row] = Reader(tmp_path).frame("trials").to_dict("records")
    assert row["trial_id"] == trial.id
    assert row["spec"] == trial.model_dump_json()
    assert (row["levels"], row["levels_done"], row["device"]) == (4, 4, "cpu")
    run_trial(config(trial, tmp_path))
    assert reports[4:] == [{"level": 3, "ending": "found complete", "reason": "by another run"}]


@pytest.mark.parametrize(("kept", "count"), [("full", 5), ("auto", 0)])
def test_pictures_of_full_size_are_kept_as_the_run_says(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]], kept: str, count: int
) -> None:
    run_trial(config(trial, tmp_path) | {"pictures": kept})
    pictures = Reader(tmp_path).pictures(trial.id, 0)
    assert len(pictures.get("camera", ())) == count
    assert len(reports) == 4
    assert config(trial, tmp_path)["pictures"] == "auto"


def test_a_trial_goes_on_from_the_mask_it_had(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]]
) -> None:
    writer = Writer.open(tmp_path)
    cpu = torch.device("cpu")
    records = run(trial, Context(device=cpu))
    for _ in range(2):
        writer.write_level([next(records)])
    context = resumed(trial, Reader(tmp_path), cpu)
    assert context.first_level == 2
    stored = Reader(tmp_path).masks(trial.id, 2)
    assert stored
    assert context.artifacts.masks(trial.id, 2) == stored
    run_trial(config(trial, tmp_path))
    assert [report["level"] for report in reports] == [2, 3]


def test_a_worker_gives_way_to_a_mask_that_was_stored_first(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]]
) -> None:
    """A dead worker's mask for level 1 differs from ours, as it may on a GPU."""
    first = next(run(trial, Context(device=torch.device("cpu"))))
    theirs = tuple(reversed_bits(layer) for layer in first.masks[1])
    orphan = dataclasses.replace(first, masks=first.masks | {1: theirs})
    writer = Writer.open(tmp_path)
    with pytest.MonkeyPatch.context() as died:
        write = Writer._write

        def no_levels(self: Writer, path: Path, table: str, rows: list[dict[str, Any]]) -> bool:
            if table == "levels":
                raise KeyboardInterrupt
            return write(self, path, table, rows)

        died.setattr(Writer, "_write", no_levels)
        with pytest.raises(KeyboardInterrupt):
            writer.write_level([orphan])

    run_trial(config(trial, tmp_path))
    reader = Reader(tmp_path)
    assert [report["level"] for report in reports] == [0, 1, 2, 3]
    assert reader.masks(trial.id, 1) == theirs
    second = reader.masks(trial.id, 2)
    assert second is not None
    for inner, outer in zip(second, theirs, strict=True):
        kept = int.from_bytes(inner.bits, "big")
        assert kept & int.from_bytes(outer.bits, "big") == kept, "level 2 is not nested in level 1"


def reversed_bits(layer: Any) -> Any:
    """The mask of a layer back to front: as many weights, but others."""
    bits = f"{int.from_bytes(layer.bits, 'big'):0{8 * len(layer.bits)}b}"[: layer.total][::-1]
    padded = bits.ljust(8 * len(layer.bits), "0")
    return dataclasses.replace(layer, bits=int(padded, 2).to_bytes(len(layer.bits), "big"))


def test_running_out_of_gpu_memory_is_reported_and_the_process_goes_on(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nSee the docs.")

    monkeypatch.setattr(trainable, "run", short)
    run_trial(config(trial, tmp_path))
    assert reports == [
        {
            "level": -1,
            "ending": "out_of_memory",
            "reason": "CUDA out of memory. Tried to allocate 2 GiB.",
        }
    ]


def test_a_store_that_stays_full_is_reported(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config_there = config(trial, tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    run_trial(config_there)
    [report] = reports
    assert (report["level"], report["ending"]) == (-1, "store")
    assert "No space left on device" in report["reason"]
    assert not list(tmp_path.rglob("*.parquet")), "nothing half-written"


def test_a_store_that_is_not_there_is_never_made(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]]
) -> None:
    """As on a machine that lacks the mount."""
    elsewhere = config(trial, tmp_path) | {"store": str(tmp_path / "unmounted")}
    run_trial(elsewhere)
    [report] = reports
    assert report["ending"] == "store"
    assert "unmounted" in report["reason"]
    assert not (tmp_path / "unmounted").exists()


def test_trials_in_flight_are_noted_and_gone_afterwards(
    trial: Trial, tmp_path: Path, reports: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[Standing] = []
    monkeypatch.setattr(Context, "report_every_s", 0.0)
    note = Writer.note_standing

    def counted(self: Writer, standing: Standing) -> None:
        note(self, standing)
        noted.append(standing)
        assert [s.trial_id for s, _, _ in Reader(tmp_path).standings()] == [trial.id]

    monkeypatch.setattr(Writer, "note_standing", counted)
    run_trial(config(trial, tmp_path))
    assert {standing.level for standing in noted} == {0, 1, 2, 3}
    assert not Reader(tmp_path).standings()


@pytest.mark.parametrize(
    ("gpus", "alone", "share"), [(0.5, False, 0.5 - 0.025), (0.5, True, 1.0), (1.0, False, 1.0)]
)
def test_a_trial_takes_no_more_of_a_gpu_s_memory_than_its_share(
    gpus: float, alone: bool, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GPU of 24 GB, which this machine need not have; 0.6 GB go to CUDA itself."""
    calls: list[Any] = []
    properties = SimpleNamespace(total_memory=24_000_000_000)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", calls.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("emptied"))
    monkeypatch.setattr(trainable, "_run_missing", lambda config, device: calls.append("ran") or 0)
    run_trial({"threads": 1, "device": "cuda", "gpus": gpus, "alone": alone, "levels": 1})
    assert calls == [pytest.approx(share), "ran", "emptied"]
