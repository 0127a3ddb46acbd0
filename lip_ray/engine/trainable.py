"""What runs inside a Ray worker: one trial, from its first missing level to its last."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import ray
import torch
from pydantic import TypeAdapter
from ray import tune

from lip_ray import __version__
from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.store import Reader, Writer
from lip_ray.trials import AbstractTrial, Context, Trial, run

Config = dict[str, Any]

ANY_TRIAL: TypeAdapter[Any] = TypeAdapter(Trial)


def config_of(
    trial: AbstractTrial, *, store: str, device: str, threads: int, checkpoint_s: float
) -> Config:
    """What Ray passes to a worker: plain values, so that no pickled class is ever needed."""
    return {
        "trial_id": trial.id,
        "source_ids": [source.id for source in trial.sources],
        "spec": trial.model_dump_json(),
        "store": store,
        "device": device,
        "threads": threads,
        "checkpoint_s": checkpoint_s,
    }


def run_trial(config: Config) -> None:
    """Run the levels that the store lacks; each is committed before it is reported."""
    torch.set_num_threads(config["threads"])
    trial = ANY_TRIAL.validate_json(config["spec"])
    writer, reader = Writer.open(config["store"]), Reader(config["store"])
    device = torch.device(config["device"])
    writer.write_trial(trial_record(trial, device=config["device"]))
    while (context := resumed(trial, reader, device)).first_level < trial.levels:
        keeping = replace(context, keep=writer.keep_unfinished, keep_every_s=config["checkpoint_s"])
        _run_until_overtaken(trial, keeping, writer)


def _run_until_overtaken(trial: Any, context: Context, writer: Writer) -> None:
    """Run to the last level, or until another worker's rows turn out to be in the store before.

    A worker cut off from its node may live on for a while beside the one that replaced it.
    """
    rows = iter(run(trial, context))
    for level in zip(*[rows] * trial.images_per_level, strict=True):
        ours = writer.write_level(level)
        tune.report(_report(level))
        if not ours:
            return


def resumed(trial: AbstractTrial, reader: Reader, device: torch.device) -> Context:
    """Where the store says the trial is to go on."""
    first_level = reader.levels_done().get(trial.id, 0)
    return Context(device=device, first_level=first_level, shelf=reader)


def trial_record(trial: AbstractTrial, *, device: str) -> TrialRecord:
    """The row of a trial that begins here and now."""
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
        lip_ray_version=__version__,
        torch_version=torch.__version__,
        ray_version=ray.__version__,
        python_version=platform.python_version(),
        host=platform.node(),
        device=device,
        started_at=datetime.now(UTC).replace(tzinfo=None),
    )


def _report(records: Sequence[LevelRecord]) -> Config:
    """What the driver shows of a level, means over its images; the store has all of it."""
    outcomes = dict.fromkeys(str(record.outcome) for record in records)
    return {
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
