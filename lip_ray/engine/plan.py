"""What a sweep has left to do: its trials less what the store holds."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from lip_ray.engine.room import Room
from lip_ray.sweep import SOURCE, Sweep
from lip_ray.trials import AbstractTrial

PROBE_S = 1.0
PROBE_STEPS = 5

IDENTITY = ("kind", "name")
"""The fields that say what something is; its others tell it from its own like only."""


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial of a sweep and how far the store has it."""

    trial: AbstractTrial
    label: str
    """What tells it from the sweep's other trials, the seed apart."""
    levels_done: int

    @property
    def levels_left(self) -> int:
        """Levels that are not in the store."""
        return self.trial.levels - self.levels_done


def plan(sweep: Sweep, levels_done: Mapping[str, int]) -> tuple[PlannedTrial, ...]:
    """Every trial of the sweep, in order, with the number of its levels in the store.

    Trials that others take their tickets from come before them, whether or not the sweep asks for
    them itself.
    """
    trials = _with_sources(sweep.trials)
    return tuple(
        PlannedTrial(trial=trial, label=label, levels_done=levels_done.get(trial.id, 0))
        for trial, label in zip(trials, _labels(trials), strict=True)
    )


def _with_sources(trials: Iterable[AbstractTrial]) -> list[AbstractTrial]:
    """Each trial once, its sources before it."""
    found: dict[str, AbstractTrial] = {}
    for trial in trials:
        found |= {source.id: source for source in _with_sources(trial.sources)}
        found[trial.id] = trial
    return list(found.values())


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
        alike = plan.trial.rehearsal
        if plan.levels_left and alike not in pace:
            pace[alike] = _seconds_per_step(plan.trial, device, threads)
        trials.append(plan.levels_left * plan.trial.steps * pace.get(alike, 0.0))
    return max(sum(trials) / room.trials_at_once, max(trials, default=0.0))


def _seconds_per_step(trial: AbstractTrial, device: torch.device, threads: int) -> float:
    """A dense step's, after one to warm up: of one step where that takes long, else of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = 1 if trial.rehearse(1, device=device) > PROBE_S else PROBE_STEPS
        return trial.rehearse(steps, device=device) / steps
    finally:
        torch.set_num_threads(before)


def _labels(trials: Sequence[AbstractTrial]) -> list[str]:
    leaves = [_unseeded(dict(_leaves(json.loads(trial.model_dump_json())))) for trial in trials]
    names = dict.fromkeys(name for leaf in leaves for name in leaf)
    values: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for leaf in leaves:
        for name in leaf:
            values[_compared(name, leaf)].add(leaf[name])
    return [
        ", ".join(
            _named(name, leaf[name])
            for name in names
            if name in leaf and len(values[_compared(name, leaf)]) > 1
        )
        or trial.description.pruner
        for trial, leaf in zip(trials, leaves, strict=True)
    ]


def _unseeded(leaf: dict[str, str]) -> dict[str, str]:
    """Without the seed that the trial uses: its own, or where it has none its source's."""
    used = "seed" if leaf.get("seed") != "null" else f"{SOURCE}.seed"
    return {name: value for name, value in leaf.items() if name not in ("seed", used)}


def _compared(name: str, leaf: Mapping[str, str]) -> tuple[str, ...]:
    """A field, and the kind and name of what it is of: only the same things are compared in it."""
    parent, _, own = name.rpartition(".")
    asked = IDENTITY[: IDENTITY.index(own)] if own in IDENTITY else IDENTITY
    return (name, *(leaf.get(f"{parent}.{part}".lstrip("."), "") for part in asked))


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
