"""What runs inside a Ray worker: one trial, from its first missing level to its last."""

import gc
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from statistics import fmean
from typing import Any

import ray
import torch
from ray import tune

from lip_ray import __version__
from lip_ray.engine.resources import Slot
from lip_ray.engine.worker_process import set_up
from lip_ray.errors import first_line
from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.spec import EPOCH
from lip_ray.store import Reader, StoreUnavailable, Writer
from lip_ray.sweep.run import Run
from lip_ray.trials import AbstractTrial, Context, from_json, run

Config = dict[str, Any]

CONTEXT_BYTES = 600_000_000
"""The GPU memory in bytes that a process takes before its first tensor."""


REPORTED = (
    "level",
    "density",
    "psnr_selected_db",
    "psnr_peak_db",
    "accuracy",
    "frechet",
    "fit_s",
)
"""The numbers in what a worker reports of a level; those that a trial does not have are None."""


class Ending(StrEnum):
    """Why a worker ended its trial without a level to report."""

    FOUND = "found complete"
    """Another run has completed the trial meanwhile."""
    OUT_OF_MEMORY = "out_of_memory"
    """The GPU's memory did not suffice."""
    STORE = "store"
    """The store could not be written to for longer than `run.store_patience_s`."""


def config_of(trial: AbstractTrial, *, store: str, run: Run, slot: Slot) -> Config:
    """The configuration of a worker in plain values, so that no pickled class is ever needed."""
    return {
        "trial_id": trial.id,
        "source_ids": [source.id for source in trial.sources],
        "kind": trial.kind,
        "slot": slot.name,
        "levels": trial.levels,
        "spec": trial.model_dump_json(),
        "store": store,
        "device": slot.device,
        "threads": slot.cpus,
        "gpus": slot.gpus,
        "alone": False,
        "checkpoint_s": run.checkpoint_s,
        "pictures": run.pictures,
        "store_patience_s": run.store_patience_s,
    }


def run_trial(config: Config) -> None:
    r"""Run the missing levels; each is committed before it is reported.

    A worker's process runs one trial after another. So where the process can continue, a failure is
    reported instead of raised, and its memory is freed.
    """
    torch.set_num_threads(config["threads"])
    device = torch.device(config["device"])
    ending: Config | None = None
    with _share_of_gpu(device, 1.0 if config["alone"] else config["gpus"]):
        try:
            if _run_missing(config, device) < (last := config["levels"] - 1):
                ending = _ending(Ending.FOUND, "by another run", level=last)
        except torch.OutOfMemoryError as error:  # its traceback holds tensors until it is left
            ending = _ending(Ending.OUT_OF_MEMORY, first_line(error))
        except StoreUnavailable as error:
            ending = _ending(Ending.STORE, first_line(error))
    if ending:
        tune.report(ending)


def _run_missing(config: Config, device: torch.device) -> int:
    """Run the missing levels; the last one that was run, or -1 where the store had all."""
    trial = from_json(config["spec"])
    set_up(trial)
    writer = Writer.open(config["store"], patience_s=config["store_patience_s"], must_exist=True)
    reader = Reader(config["store"])
    writer.write_trial(trial_record(trial, device=config["device"]))
    last = -1
    try:
        while (context := resumed(trial, reader, device)).first_level < trial.levels:
            in_store = replace(
                context,
                save_checkpoint=writer.keep_unfinished,
                checkpoint_every_s=config["checkpoint_s"],
                pictures=config["pictures"],
                report=writer.note_standing,
            )
            last = _run_until_overtaken(trial, in_store, writer)
    finally:
        writer.end_standing(trial.id)
    return last


@contextmanager
def _share_of_gpu(device: torch.device, share: float) -> Iterator[None]:
    """Let PyTorch take no more of the GPU's memory than this trial was given.

    Ray only counts fractions. What a CUDA context itself takes, in every process, comes off.
    """
    if device.type != "cuda":
        yield
        return
    if share < 1:
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(max(0.01, share - CONTEXT_BYTES / total))
    else:
        torch.cuda.set_per_process_memory_fraction(1.0)
    try:
        yield
    finally:
        gc.collect()
        torch.cuda.empty_cache()


def _run_until_overtaken(trial: Any, context: Context, writer: Writer) -> int:
    r"""Run to the last level, or until rows of another worker turn out to be in the store first;
    the last level that was run.

    A worker cut off from its node may live on for a while beside the one that replaced it.
    """
    rows = iter(run(trial, context))
    last = context.first_level - 1
    for level in zip(*[rows] * trial.images_per_level, strict=True):
        ours = writer.write_level(level)
        tune.report(_report(level))
        last = level[0].level
        if not ours:
            break
    return last


def resumed(trial: AbstractTrial, reader: Reader, device: torch.device) -> Context:
    """The context in which the trial resumes at the first level that the store lacks."""
    first_level = reader.levels_done_of(trial.id)
    return Context(device=device, first_level=first_level, artifacts=reader)


def trial_record(trial: AbstractTrial, *, device: str) -> TrialRecord:
    """The row of a trial that begins now, on this machine."""
    described, size = trial.description, trial.size
    return TrialRecord(
        trial_id=trial.id,
        kind=trial.kind,
        pruner=described.pruner,
        prior=described.prior,
        task=described.task,
        image=described.image,
        seed=trial.seed_used,
        levels=trial.levels,
        source_ids=tuple(source.id for source in trial.sources),
        travels=described.travels,
        parameters=size.parameters,
        macs_per_step=size.macs_per_step,
        spec=trial.model_dump_json(),
        canonical=trial.canonical_json(),
        epoch=EPOCH,
        facets=trial.facets(),
        lip_ray_version=__version__,
        torch_version=torch.__version__,
        ray_version=ray.__version__,
        python_version=platform.python_version(),
        host=platform.node(),
        device=device,
        started_at=datetime.now(UTC).replace(tzinfo=None),
    )


def _ending(ending: Ending, reason: str, *, level: int = -1) -> Config:
    """A report in place of a level's; `level` is the last that is known to be stored."""
    return {"level": level, "ending": str(ending), "reason": reason}


def _report(records: Sequence[LevelRecord]) -> Config:
    """The report of a level for the driver's display, with means over its images."""
    outcomes = dict.fromkeys(str(record.outcome) for record in records)
    return {
        "ending": None,
        "level": records[0].level,
        "density": records[0].density,
        "psnr_selected_db": _mean([record.psnr_selected_db for record in records]),
        "psnr_peak_db": _mean([record.psnr_peak_db for record in records]),
        "accuracy": records[0].accuracy,
        "frechet": records[0].frechet,
        "outcome": ", ".join(outcomes),
        "fit_s": sum(record.fit_s for record in records),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
