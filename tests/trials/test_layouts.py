"""The memory layout that GPUs use changes the speed of a trajectory, and nothing it may say.

It is tried on the CPU, where it gives the same numbers but for the order of sums.
"""

import math

import pytest
import torch

from lip_ray.priors import Skip, base
from lip_ray.pruning import Mask
from lip_ray.records import LevelRecord
from lip_ray.trials import Context, Trajectory, run

CPU = torch.device("cpu")


def records_of(pruner: str) -> list[LevelRecord]:
    spec = Trajectory.model_validate(
        {
            "images": {"kind": "builtin", "name": "astronaut", "size": (24, 25)},
            "task": {"kind": "denoising", "sigma": 25.0},
            "prior": {"kind": "skip", "width": 8, "scales": 2, "input_channels": 4},
            "pruner": pruner,
            "schedule": [1.0, 0.5, 0.25],
            "fit": {"steps": 10, "stopping": {"kind": "wmv", "window": 5, "stride": 5}},
        }
    )
    return list(run(spec, Context(device=CPU)))


def masks_of(records: list[LevelRecord]) -> list[Mask]:
    rows = {level: layers for record in records for level, layers in record.masks.items()}
    return [Mask.from_rows(rows[level], device=CPU) for level in sorted(rows)]


@pytest.mark.parametrize("pruner", ["magnitude", "random", "snip"])
def test_channels_last_finds_the_same_ladder(pruner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = records_of(pruner)
    monkeypatch.setitem(base.LAYOUTS, "cpu", torch.channels_last)
    last = records_of(pruner)
    assert [record.kept for record in last] == [record.kept for record in plain]
    assert [record.outcome for record in last] == [record.outcome for record in plain]
    assert math.isclose(last[0].psnr_final_db, plain[0].psnr_final_db, abs_tol=0.05)
    for ours, theirs in zip(masks_of(last), masks_of(plain), strict=True):
        both = sum(int((ours.layers[name] & theirs.layers[name]).sum()) for name in ours.layers)
        assert both >= 0.98 * ours.kept, "rounding may move a weight across, not more"


def test_the_network_is_in_that_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base.LAYOUTS, "cpu", torch.channels_last)
    prior = Skip(width=8, scales=2, input_channels=4).build(
        (3, 20, 20), seed=0, image="cat", device=CPU
    )
    assert prior.latent.is_contiguous(memory_format=torch.channels_last)
    assert all(
        weight.is_contiguous(memory_format=torch.channels_last)
        for weight in prior.prunable().values()
    )
