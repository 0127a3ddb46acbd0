"""Run in a copy of the repository that has one more pruner: prints what is known of it, as JSON."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

import lip_ray
from lip_ray.spec import kind_of, members
from lip_ray.sweep import Sweep, SweepError
from lip_ray.trials import Context, Trajectory, run
from tests.laws import pins

sys.path.insert(0, str(Path("tests/conformance").resolve()))
import conftest
import test_pruners

TRIAL = {
    "images": {"kind": "builtin", "name": "camera", "rows": [0, 12], "columns": [0, 13]},
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
    "schedule": [1, 0.5, 0.2],
    "fit": {"steps": 2, "stopping": {"window": 2, "stride": 1}},
}


def main() -> None:
    """Print what every part of the package says of the pruner."""
    pins.main()
    found = {
        "package": str(Path(lip_ray.__file__).parent),
        "complaint": complaint("smalest"),
        "expanded": [trial.pruner.kind for trial in sweep("magnitude", "smallest").trials],
        "ladder": ladder(sweep("smallest").trials[0]),
        "enrolled": enrolled(),
        "pinned": pins.read(),
        "explained": pins.REFERENCE.read_text(encoding="utf-8"),
        "schema": json.loads(pins.SCHEMA.read_text(encoding="utf-8")),
    }
    print(json.dumps(found))


def sweep(*pruners: str) -> Sweep:
    """A trial for each pruner."""
    return Sweep.build({"name": "tiny", "trial": TRIAL, "grid": {"pruner": list(pruners)}})


def complaint(kind: str) -> str:
    """What is said of a kind that there is not."""
    try:
        sweep(kind)
    except SweepError as error:
        return str(error)
    return ""


def ladder(trial: Any) -> dict[str, object]:
    """The weights that each level keeps, those that it should, and whether masks are nested."""
    assert isinstance(trial, Trajectory)
    records = list(run(trial, Context(device=torch.device("cpu"))))
    masks = [
        test_pruners.Mask.from_rows(record.masks[level], device=torch.device("cpu"))
        for record in records
        for level in sorted(record.masks)
    ]
    return {
        "kept": [record.kept for record in records],
        "asked": list(trial.schedule.kept(records[0].total)),
        "masks": [mask.kept for mask in masks],
        "nested": all(
            not bool((layer & ~wider.layers[name]).any())
            for wider, narrower in pairwise(masks)
            for name, layer in narrower.layers.items()
        ),
    }


def enrolled() -> dict[str, int]:
    """By kind, the instances that the conformance suite puts through every law."""
    family = members(test_pruners.FAMILY)
    return {kind_of(member): len(conftest.examples(test_pruners, member)) for member in family}


if __name__ == "__main__":
    main()
