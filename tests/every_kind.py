"""One trial of every kind, with every kind of image, source, task, prior and generator.

`TRIALS` has real specs by a short name, and `store` writes them with a `Writer`: nothing is fitted,
scores are made up. Files that specs name are not there, since nothing reads them. Run a part, a
figure or a table over all of it as

    reader = every_kind.store(tmp_path)
    transfer_table(reader.frame("trials"), reader.frame("levels"))

In `tests/analysis` the fixture `every_kind_store` is that reader.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lip_ray.fits.stopping import WATCHING
from lip_ray.records import LevelRecord, Outcome, StepChoice, TrialRecord
from lip_ray.spec import EPOCH, Spec, canonical
from lip_ray.store import Reader, Writer
from lip_ray.trials import (
    AnyTrial,
    Classification,
    Generator,
    Reconstruction,
    Trajectory,
    Transfer,
)

SHA256 = "0123456789abcdef" * 4
ASTRONAUT = {"kind": "builtin", "name": "astronaut", "size": [32, 32]}
CAMERA = {"kind": "builtin", "name": "camera", "rows": [0, 32], "columns": [0, 32], "channels": 3}
PHOTO = {"kind": "file", "path": "/photos/cat.png", "name": "cat", "sha256": SHA256}
MEASURED = PHOTO | {"name": "noisy", "measured": True}
DIGIT = {"kind": "digit", "index": 3}
TRAINING_DIGIT = DIGIT | {"split": "training"}
ITEMS = [
    {"kind": "npz", "path": "/sets/faces.npz", "array": "faces", "index": index}
    | {"name": "faces", "sha256": SHA256}
    for index in (0, 7)
]

PAIR = {"kind": "pair", "clean": PHOTO, "measurement": PHOTO | {"name": "noisy"}}

NOISE = {"kind": "denoising", "sigma": 25.0}
TASKS: dict[str, dict[str, Any]] = {
    "denoising": NOISE,
    "unclipped": NOISE | {"clip": False},
    "poisson": {"kind": "poisson", "peak": 30.0},
    "salt_and_pepper": {"kind": "salt_and_pepper", "share": 0.1},
    "inpainting": {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}},
    "super_resolution": {"kind": "super_resolution", "factor": 4},
    "super_resolution as published": {
        "kind": "super_resolution",
        "factor": 4,
        "made_by": "pillow",
    },
    "deblurring": {"kind": "deblurring", "kernel": {"kind": "gaussian", "std": 1.6}},
    "compressed_sensing": {"kind": "compressed_sensing", "m": 100, "sigma": 2.0},
    "projection": {"kind": "projection"},
}
PRIORS: dict[str, dict[str, Any]] = {
    "wide": {"kind": "skip", "width": 16},
    "deep_decoder": {"kind": "deep_decoder"},
    "oes_unet": {"kind": "oes_unet"},
}
PRUNERS: dict[str, dict[str, Any]] = {
    "random": {"kind": "random", "scope": "erk"},
    "snip": {"kind": "snip", "scope": "layer"},
    "grasp": {"kind": "grasp"},
    "synflow": {"kind": "synflow", "rounds": 10},
    "oes": {"kind": "oes", "steps": 5},
}
STEPS = {"steps": 300}


def trajectory(**changes: Any) -> Trajectory:
    """One of three levels on the astronaut; `changes` are fields of its spec."""
    fields = {"images": [ASTRONAUT], "task": NOISE, "schedule": [1, 0.5, 0.2]}
    return Trajectory.model_validate(fields | changes)


def transfer(source: Any, **changes: Any) -> Transfer:
    """Tickets of a source, on the camera unless `changes` say otherwise."""
    fields = {"source": source, "images": [CAMERA], "task": NOISE}
    return Transfer.model_validate(fields | changes)


def generator(**changes: Any) -> Generator:
    """A small DCGAN of digits."""
    fields: dict[str, Any] = {
        "prior": {"kind": "dcgan", "size": 8, "channels": 1},
        "images": {"kind": "digits"},
        "schedule": [1, 0.5, 0.2],
        "fit": STEPS,
    }
    return Generator.model_validate(fields | changes)


def reconstruction(source: Any, **changes: Any) -> Reconstruction:
    """Two digits from a few measurements."""
    task = {"kind": "compressed_sensing", "m": 20}
    fields = {"source": source, "images": [DIGIT, DIGIT | {"index": 7}], "task": task}
    return Reconstruction.model_validate(fields | changes)


FOUND = {
    "own": trajectory(),
    "another seed": trajectory(seed=1),
    "another image": trajectory(images=[CAMERA]),
    "another image, another seed": trajectory(images=[CAMERA], seed=1),
    **{f"task {name}": trajectory(task=task) for name, task in TASKS.items()},
    **{f"prior {name}": trajectory(prior=prior) for name, prior in PRIORS.items()},
    **{f"pruner {name}": trajectory(pruner=pruner) for name, pruner in PRUNERS.items()},
    "clean": trajectory(target="clean"),
    "clean camera": trajectory(images=[CAMERA], target="clean"),
    "redrawn": trajectory(latents="redrawn"),
    "brief": trajectory(fit=STEPS),
    "late": trajectory(rewind={"kind": "step", "step": 5}),
    "reinit": trajectory(rewind={"kind": "reinit"}),
    "two": trajectory(images=[ASTRONAUT, CAMERA]),
    "one latent": trajectory(images=[ASTRONAUT, CAMERA], latents="shared", target="clean"),
    "four": trajectory(images=[ASTRONAUT, CAMERA, PHOTO, DIGIT]),
    "photo": trajectory(images=[PHOTO]),
    "measured": trajectory(images=[MEASURED], task={"kind": "denoising"}),
    "pair": trajectory(images=[PAIR], task={"kind": "denoising"}),
    "digit": trajectory(images=[DIGIT]),
    "training digit": trajectory(images=[TRAINING_DIGIT]),
    "npz": trajectory(images=ITEMS),
}
CONSENSUS = {
    "kind": "consensus",
    "trajectories": (FOUND["own"], FOUND["another image"]),
}
FILE = {"kind": "file", "path": "/tickets/published.safetensors", "name": "published"}
FILE |= {"sha256": SHA256, "prior": {"kind": "skip"}}
MOVED = {
    "moved": transfer(FOUND["own"]),
    "moved, another seed": transfer(FOUND["another seed"]),
    "moved to another seed": transfer(FOUND["own"], seed=5),
    "mask alone": transfer(FOUND["own"], travels="mask"),
    "layer densities": transfer(FOUND["own"], travels="layer_densities"),
    "back": transfer(FOUND["own"], images=[ASTRONAUT]),
    "brought back": transfer(FOUND["clean camera"]),
    "refitted": transfer(FOUND["own"], images=[ASTRONAUT], fit=STEPS),
    "some levels": transfer(FOUND["own"], take=[0, 2]),
    "to another task": transfer(FOUND["own"], task=TASKS["inpainting"]),
    "from another task": transfer(FOUND["task inpainting"]),
    "to two": transfer(FOUND["own"], images=[ASTRONAUT, CAMERA]),
    "from two": transfer(FOUND["two"]),
    "from one latent": transfer(FOUND["one latent"]),
    "from four": transfer(FOUND["four"]),
    "from a clean image": transfer(FOUND["clean"]),
    "from a digit": transfer(FOUND["digit"]),
    "to a digit": transfer(FOUND["own"], images=[DIGIT]),
    "from items": transfer(FOUND["npz"]),
    "consensus": transfer(CONSENSUS),
    "consensus by vote": transfer(CONSENSUS | {"rule": "vote"}, images=[ASTRONAUT]),
    "consensus of tasks": transfer(
        {"kind": "consensus", "trajectories": (FOUND["own"], FOUND["task poisson"])}
    ),
    "consensus of criteria": transfer(
        {"kind": "consensus", "trajectories": (FOUND["own"], FOUND["pruner oes"])}, seed=3
    ),
    "consensus of a digit": transfer(
        {"kind": "consensus", "trajectories": (FOUND["own"], FOUND["digit"])}
    ),
    "from a file": transfer(FILE, seed=0),
    "from a file, mask alone": transfer(FILE, seed=0, travels="mask"),
}
LEARNT = {
    "classified": Classification(source=FOUND["own"], dataset="digits"),
    "classified, another seed": Classification(source=FOUND["another seed"], dataset="digits"),
    "classified, mask alone": Classification(
        source=FOUND["own"], dataset="digits", travels="mask", side=16
    ),
    "classified, random": Classification(source=FOUND["pruner random"], dataset="digits"),
    "classified, own seed": Classification(source=FOUND["own"], dataset="digits", seed=9),
    "classified, consensus": Classification.model_validate(
        {"source": CONSENSUS, "dataset": "digits"}
    ),
    "classified, file": Classification.model_validate(
        {"source": FILE, "dataset": "digits", "seed": 1}
    ),
}
CHECKPOINT = {"kind": "file", "path": "/checkpoints/faces.safetensors"}
CHECKPOINT |= {"sha256": SHA256}
DRAWN = {
    "generator": generator(),
    "generator, another seed": generator(seed=1),
    "generator, random": generator(pruner="random"),
    "generator, layer densities": generator(layer_densities_of="magnitude"),
    "generator, critic pruned": generator(critic_pruned=True),
    "generator of an array": generator(
        images={"kind": "npz", "path": "/sets/faces.npz", "array": "faces"}
        | {"name": "faces", "sha256": SHA256, "size": [8, 8], "channels": 1}
    ),
    "generator, pgan": generator(prior={"kind": "pgan"}),
    "checkpoint": Generator.model_validate({"prior": CHECKPOINT, "schedule": [1, 0.5]}),
}
FLIPPED = {"kind": "compressed_sensing", "m": 40, "outliers": {"kind": "flips", "share": 0.1}}
ROWS = FLIPPED | {"outliers": {"kind": "rows", "share": 0.05}}
TAILS = FLIPPED | {"outliers": {"kind": "student", "sigma": 5.0}}
SOLVED = {
    "sensed": reconstruction(DRAWN["generator"]),
    "sensed, another seed": reconstruction(DRAWN["generator"], seed=4),
    "sensed, pruned at random": reconstruction(DRAWN["generator, random"]),
    "sensed, layer densities": reconstruction(DRAWN["generator, layer densities"]),
    "sensed, some levels": reconstruction(DRAWN["generator"], take=[0, 1]),
    "sensed, huber": reconstruction(DRAWN["generator"], solver={"kind": "huber"}),
    "sensed, median of means": reconstruction(
        DRAWN["generator"], solver={"kind": "median_of_means"}, task=ROWS
    ),
    "sensed, rows": reconstruction(DRAWN["generator"], task=ROWS),
    "sensed, flips": reconstruction(DRAWN["generator"], task=FLIPPED),
    "sensed, tails": reconstruction(DRAWN["generator"], task=TAILS),
    "inpainted": reconstruction(DRAWN["generator"], task=TASKS["inpainting"]),
    "samples": reconstruction(DRAWN["generator"], images=[{"kind": "sample"}]),
    "lasso": reconstruction({"kind": "dct"}, solver={"kind": "lasso"}),
}
SOLVED |= {f"floor of {name}": own for name, one in SOLVED.items() if (own := one.floor)}

TRIALS: dict[str, AnyTrial] = FOUND | MOVED | LEARNT | DRAWN | SOLVED


@contextmanager
def first_defaults() -> Iterator[None]:
    """All trials have the ids, keys and epoch of the first defaults, which their canonical JSON
    does not name."""

    def without_epoch(spec: Spec) -> str:
        return json.dumps(canonical(spec), sort_keys=True, separators=(",", ":"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spec, "canonical_json", without_epoch)
        patch.setattr(
            Spec, "id", property(Spec.id.func)
        )  # those that are known are the present ones
        for module in (__name__, "lip_ray.trials.facets"):
            patch.setattr(f"{module}.EPOCH", 1)
        yield


DENSITIES = (1.0, 0.5, 0.2, *(0.1 / (1 + place) for place in range(17)))
TOTAL = 1000
AT = datetime(2026, 1, 1)


def record(trial: AnyTrial) -> TrialRecord:
    """The row of a trial, with made-up sizes: those of its network would need its images."""
    said = trial.description
    return TrialRecord(
        trial_id=trial.id,
        kind=trial.kind,
        pruner=said.pruner,
        prior=said.prior,
        task=said.task,
        image=said.image,
        seed=trial.seed_used,
        levels=trial.levels,
        source_ids=tuple(source.id for source in trial.sources),
        travels=said.travels,
        parameters=TOTAL + 10,
        macs_per_step=10**6,
        spec=trial.model_dump_json(),
        canonical=trial.canonical_json(),
        epoch=EPOCH,
        facets=trial.facets(),
        lip_ray_version="0.1.0",
        torch_version="2",
        ray_version="2",
        python_version="3",
        host="made up",
        device="cpu",
        started_at=AT,
    )


def level_records(trial: AnyTrial) -> Iterator[list[LevelRecord]]:
    """Each level's rows: PSNR falls with density and differs by seed and image."""
    labels = trial.facets().images or ("",)
    for level in range(trial.levels):
        yield [_fit(trial, level, place, label) for place, label in enumerate(labels)]


def _fit(trial: AnyTrial, level: int, place: int, label: str) -> LevelRecord:
    kept = max(1, round(TOTAL * DENSITIES[level]))
    psnr = 27.0 + place + 0.1 * trial.seed_used - 0.04 * level**3 - 0.002 * len(trial.kind) * level
    restores = trial.kind in ("trajectory", "transfer")
    scored = trial.kind not in ("classification", "generator")
    psnrs = {f"psnr_{which}_db": psnr for which in ("measured", "peak", "selected", "final")}
    others: dict[str, dict[str, Any]] = {
        "classification": {"accuracy": 0.9 - 0.1 * level, "accuracy_final": 0.8},
        "generator": {"frechet": 2.0 + level, "critic_gap": 0.5},
        "reconstruction": {"split": "held_out", "l2_per_pixel": 0.01 * (1 + level)},
    }
    return LevelRecord(
        trial_id=trial.id,
        level=level,
        image=label,
        kept=kept,
        total=TOTAL,
        kept_all=kept + 10,
        total_all=TOTAL + 10,
        effective=kept,
        macs=1000 * kept,
        **(psnrs if scored else {}),
        **others.get(trial.kind, {}),
        peak_step=80,
        selected_step=90,
        steps=100,
        outcome=Outcome.BUDGET,
        fit_s=1.0,
        device="cpu",
        threads=1,
        finished_at=AT,
        unfinished=(level == 2 and trial.seed_used == 1) if restores else None,
        choices=choices(trial, psnr) if restores else (),
    )


def choices(trial: AnyTrial, psnr: float) -> tuple[StepChoice, ...]:
    """What the rules that watch every fit made of one; that of the spec is in force."""
    rules = {rule.scaled(100): False for rule in WATCHING} | {trial.fit.stopping.scaled(100): True}
    return tuple(
        StepChoice(
            rule=rule.kind,
            signal=rule.signal,
            settings=rule.model_dump_json(),
            in_force=in_force,
            step=90,
            psnr_db=psnr if in_force else psnr - 0.1 * place,
            statistic=0.01,
            fired=place % 2 == 0,
            noise=0.1 if rule.kind == "discrepancy" else None,
        )
        for place, (rule, in_force) in enumerate(rules.items())
    )


NEWER = (
    *("pair", "one latent", "from one latent"),
    *("generator, layer densities", "sensed, layer densities", "floor of sensed, layer densities"),
)
"""Trials that no store from before schema version 6 can have."""


def store(path: Path, *, without: Collection[str] = ()) -> Reader:
    """A store of all of it but the named trials, made in that folder."""
    writer = Writer.open(path)
    wanted = [trial for name, trial in TRIALS.items() if name not in without]
    for trial in {trial.id: trial for trial in wanted}.values():
        writer.write_trial(record(trial))
        for rows in level_records(trial):
            writer.write_level(rows)
    return Reader(path)
