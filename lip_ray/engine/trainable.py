"""What runs inside a Ray worker: one trial, from its first missing level to its last."""

import platform
from datetime import UTC, datetime
from typing import Any

import ray
import torch
from ray import tune

from lip_ray import __version__
from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.store import Reader, Writer
from lip_ray.trials import Context, Trajectory, Trial, run

Config = dict[str, Any]


def config_of(trial: Trial, *, store: str, device: str, threads: int) -> Config:
    """What Ray passes to a worker: plain values, so that no pickled class is ever needed."""
    return {
        "trial_id": trial.id,
        "spec": trial.model_dump_json(),
        "store": store,
        "device": device,
        "threads": threads,
    }


def run_trial(config: Config) -> None:
    """Run the levels that the store lacks; each is committed before it is reported."""
    torch.set_num_threads(config["threads"])
    trial = Trajectory.model_validate_json(config["spec"])
    writer, reader = Writer.open(config["store"]), Reader(config["store"])
    device = torch.device(config["device"])
    writer.write_trial(trial_record(trial, device=config["device"]))
    while (context := resumed(trial, reader, device)).first_level < trial.levels:
        _run_until_overtaken(trial, context, writer)


def _run_until_overtaken(trial: Trial, context: Context, writer: Writer) -> None:
    """Run to the last level, or until another worker's rows turn out to be in the store before.

    A worker cut off from its node may live on for a while beside the one that replaced it.
    """
    for record in run(trial, context):
        ours = writer.write_level([record])
        tune.report(_report(record))
        if not ours:
            return


def resumed(trial: Trial, reader: Reader, device: torch.device) -> Context:
    """Where the store says the trial is to go on."""
    first_level = reader.levels_done().get(trial.id, 0)
    masks = reader.masks(trial.id, first_level) if first_level else None
    return Context(device=device, first_level=first_level, masks=masks)


def trial_record(trial: Trial, *, device: str) -> TrialRecord:
    """The row of a trial that begins here and now."""
    return TrialRecord(
        trial_id=trial.id,
        kind=trial.kind,
        pruner=trial.pruner.kind,
        prior=trial.prior.kind,
        task=trial.task.kind,
        image=trial.image.label,
        seed=trial.seed,
        levels=trial.levels,
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


def _report(record: LevelRecord) -> Config:
    """What the driver shows of a level; the store already has all of it."""
    return {
        "level": record.level,
        "density": record.density,
        "psnr_selected_db": record.psnr_selected_db,
        "psnr_peak_db": record.psnr_peak_db,
        "outcome": str(record.outcome),
        "fit_s": record.fit_s,
    }
