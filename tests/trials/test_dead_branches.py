"""Tickets in which a layer has lost all its weights, while a skip still joins latent and image."""

from typing import Any

import pytest
import torch
from generators import generator
from ladders import CPU, masks_of, records_of

from lip_ray.pruning import Grasp, Mask, Oes, Snip, density
from lip_ray.records import LevelRecord, Outcome
from lip_ray.trials import AbstractTrial, Trajectory
from lip_ray.trials.bench import Bench

FIRST = "1.1.1.1.weight"
"""The first convolution of the branch: its fan-in is the largest, so magnitude takes it first."""


def trajectory(**changes: Any) -> Trajectory:
    """The hourglass of five scales, 64 pixels, pruned by its initial magnitudes."""
    fields = {
        "images": {
            **{"kind": "builtin", "name": "astronaut", "size": (64, 64)},
            **{"rows": (0, 256), "columns": (96, 352)},
        },
        "task": {"kind": "denoising", "sigma": 25.0},
        "prior": {"kind": "skip", "width": 8},
        "pruner": {"kind": "magnitude", "at": "init"},
        "schedule": [1.0, 0.3, 0.2],
        "fit": {"steps": 3, "stopping": {"window": 2, "stride": 1}},
    }
    return Trajectory.model_validate(fields | changes)


def fitted(records: list[LevelRecord]) -> bool:
    """Whether every level used all of its steps and made an image."""
    return all(r.outcome is Outcome.BUDGET and r.psnr_final_db is not None for r in records)


@pytest.mark.parametrize(
    ("width", "schedule", "seed"),
    [(8, [1.0, 0.3, 0.25, 0.2, 0.15], 0), (8, [1.0, 0.3, 0.2], 1), (16, [1.0, 0.25, 0.1], 0)],
)
def test_they_are_fitted(width: int, schedule: list[float], seed: int) -> None:
    spec = trajectory(prior={"kind": "skip", "width": width}, schedule=schedule, seed=seed)
    records = records_of(spec)
    assert fitted(records)
    for record, mask in list(zip(records, masks_of(records).values(), strict=True))[1:]:
        assert not bool(mask.layers[FIRST].any())
        assert 0 < record.effective < record.kept


@pytest.mark.parametrize("rewind", [{"kind": "step", "step": 2}, "finetune", "reinit"])
def test_they_are_fitted_whatever_they_rewind_to(rewind: Any) -> None:
    assert fitted(records_of(trajectory(rewind=rewind)))


def test_they_learn() -> None:
    fit = {"steps": 60, "stopping": {"window": 10, "stride": 5}}
    *_, last = records_of(trajectory(fit=fit))
    losses = last.curve.loss
    assert losses[-1] < 0.9 * losses[0]


@pytest.fixture
def bench() -> Bench:
    """The network of the trials above."""
    return Bench(trajectory().setting, CPU)


@pytest.fixture
def branchless(bench: Bench) -> Mask:
    """All weights but those of the branch's first convolution."""
    layers = dict(bench.dense.layers)
    return Mask(layers | {FIRST: torch.zeros_like(layers[FIRST])})


@pytest.mark.parametrize("pruner", [Snip(rounds=2), Grasp(rounds=2), Oes(steps=2, rounds=2)])
def test_criteria_score_what_is_left(bench: Bench, branchless: Mask, pruner) -> None:
    """In rounds a criterion scores networks that are pruned already."""
    scores = pruner.score(bench.score_context(branchless, 0.2, level=1))
    outer = scores["1.0.1.1.weight"]
    assert all(bool(layer.isfinite().all()) for layer in scores.values())
    assert bool(outer.any())
    if not isinstance(pruner, Oes):
        assert not bool(scores["1.1.4.1.weight"].any())  # on no path


def test_the_image_does_not_depend_on_what_is_on_no_path(bench: Bench, branchless: Mask) -> None:
    """Not to the last bit, in any step."""
    beyond = {n: w for n, w in bench.initial.items() if n.startswith("1.1.7.") and w.ndim == 4}
    (one,) = bench.fit(1, bench.initial, branchless)
    doubled = bench.initial | {name: 2 * weight for name, weight in beyond.items()}
    (other,) = bench.fit(1, doubled, branchless)
    assert torch.equal(one.rows[:, 0], other.rows[:, 0])
    assert torch.equal(one.final.image, other.final.image)


def test_what_is_on_no_path_does_not_move(bench: Bench, branchless: Mask) -> None:
    bench.fit(1, bench.initial, branchless)
    on_path = bench.on_path(branchless).parameters
    for name, parameter in bench.prior.module.named_parameters():
        kept = branchless.layers.get(name, torch.ones_like(parameter, dtype=torch.bool))
        rests = kept & ~on_path[name]
        moved = parameter.detach() != bench.initial[name]
        assert not bool((moved & rests).any()), name
        assert bool(moved[on_path[name]].any()) or not bool(on_path[name].any()), name


@pytest.mark.parametrize(
    "trial",
    [trajectory(), trajectory(pruner="snip"), generator()],
    ids=["magnitude", "snip", "generator"],
)
def test_effective_weights_are_counted_once_a_level(
    trial: AbstractTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    flow = density.flow
    monkeypatch.setattr(density, "flow", lambda *given: counted.append(1) or flow(*given))
    records = records_of(trial)
    assert len(counted) == len(records) == 3
