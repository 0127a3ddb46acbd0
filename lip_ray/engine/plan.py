"""What a sweep has left to do: its trials less what the store holds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from lip_ray.engine.room import Room
from lip_ray.fits import WindowedVariance
from lip_ray.pruning import Mask
from lip_ray.rng import generator
from lip_ray.sweep import Sweep
from lip_ray.trials import Trial

PROBE_S = 1.0
PROBE_STEPS = 5


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial of a sweep and how far the store has it."""

    trial: Trial
    label: str
    """What tells it from the sweep's other trials, the seed apart."""
    levels_done: int

    @property
    def levels_left(self) -> int:
        """Levels that are not in the store."""
        return self.trial.levels - self.levels_done


def plan(sweep: Sweep, levels_done: Mapping[str, int]) -> tuple[PlannedTrial, ...]:
    """Every trial of the sweep, in order, with the number of its levels in the store."""
    labels = _labels(sweep.trials)
    return tuple(
        PlannedTrial(trial=trial, label=label, levels_done=levels_done.get(trial.id, 0))
        for trial, label in zip(sweep.trials, labels, strict=True)
    )


def plan_table(planned: Sequence[PlannedTrial]) -> pd.DataFrame:
    """One row per label, in the order of the plan: trials, levels, and levels done and left."""
    rows = pd.DataFrame(
        {
            "trial": [p.label for p in planned],
            "seeds": [1 for _ in planned],
            "levels": [p.trial.levels for p in planned],
            "done": [p.levels_done for p in planned],
            "left": [p.levels_left for p in planned],
        }
    )
    return rows.groupby("trial", sort=False, as_index=False).sum()


def estimated_s(planned: Sequence[PlannedTrial], room: Room, *, threads: int) -> float:
    """Seconds that the levels left would take here, at a pace measured now.

    Each network and image size is tried for a few dense steps, alone; early stopping is not
    foreseen, nor how much trials that run side by side slow each other down.
    """
    device = torch.device(room.device)
    pace: dict[str, float] = {}
    trials = []
    for plan in planned:
        alike = _what_is_fitted(plan.trial)
        if plan.levels_left and alike not in pace:
            pace[alike] = _seconds_per_step(plan.trial, device, threads)
        trials.append(plan.levels_left * plan.trial.fit.steps * pace.get(alike, 0.0))
    return max(sum(trials) / room.trials_at_once, max(trials, default=0.0))


def _what_is_fitted(trial: Trial) -> str:
    """All that a step's cost depends on; how strong the noise is does not matter."""
    return f"{trial.task.kind} {tuple(trial.image.load().shape)} {trial.prior.id} {trial.fit.id}"


def _seconds_per_step(trial: Trial, device: torch.device, threads: int) -> float:
    """A dense step's, after one to warm up: of one step where that takes long, else of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        problem = trial.task.realise(trial.image, seed=trial.seed, device=device)
        prior = trial.prior.build(
            problem.image_shape, seed=trial.seed, image=trial.image.label, device=device
        )
        mask = Mask.dense(prior.prunable())

        def seconds(steps: int) -> float:
            rule = WindowedVariance(window=1, stride=1)
            fit = trial.fit.model_copy(update={"steps": steps, "stopping": rule})
            draws = generator(0, "input noise", device=device)
            return fit.run(prior, problem, mask, draws=draws).seconds

        steps = 1 if seconds(1) > PROBE_S else PROBE_STEPS
        return seconds(steps) / steps
    finally:
        torch.set_num_threads(before)


def _labels(trials: Sequence[Trial]) -> list[str]:
    leaves = [dict(_leaves(json.loads(trial.model_dump_json()))) for trial in trials]
    names = dict.fromkeys(name for leaf in leaves for name in leaf)
    varying = [
        name for name in names if name != "seed" and len({leaf.get(name) for leaf in leaves}) > 1
    ]
    return [
        ", ".join(_named(name, leaf[name]) for name in varying if name in leaf) or trial.pruner.kind
        for trial, leaf in zip(trials, leaves, strict=True)
    ]


def _leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}.{index}")
    else:
        yield path, json.dumps(value)


def _named(name: str, value: str) -> str:
    shown = value.strip('"')
    return shown if name.endswith((".kind", ".name")) else f"{name}={shown}"
