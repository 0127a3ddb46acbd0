"""The plan of a sweep: its trials, and the levels that the store lacks."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from lip_ray.sweep import Sweep
from lip_ray.sweep.expansion import SOURCE
from lip_ray.trials import AbstractTrial

GRAPH_COLUMNS = [
    "kind", "trials", "done", "waiting", "levels", "left", "sources", "chain",
]  # fmt: skip

IDENTITY = ("kind", "name")
"""The fields that tell what an object is; its other fields are compared only between equal ones."""


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial of a sweep and how far the store has it."""

    trial: AbstractTrial
    label: str
    """The differences to the sweep's other trials, apart from the seed."""
    levels_done: int
    source_ids: tuple[str, ...] = ()
    """The trials that it waits for; those that are not in the plan are complete."""

    @cached_property
    def id(self) -> str:
        """The id of the trial."""
        return self.trial.id

    @property
    def levels_left(self) -> int:
        """The number of levels that are not in the store."""
        return self.trial.levels - self.levels_done


def plan(sweep: Sweep, levels_done: Mapping[str, int]) -> tuple[PlannedTrial, ...]:
    """Every trial of the sweep, in order, with the number of its levels in the store.

    Trials that others take their tickets from come before them, whether or not the sweep asks for
    them itself.
    """
    found: dict[str, tuple[AbstractTrial, tuple[str, ...]]] = {}
    _gather(sweep.trials, found)
    labels = _labels([trial for trial, _ in found.values()])
    return tuple(
        PlannedTrial(
            trial=trial,
            label=label,
            levels_done=levels_done.get(trial_id, 0),
            source_ids=source_ids,
        )
        for label, (trial_id, (trial, source_ids)) in zip(labels, found.items(), strict=True)
    )


def typical_plan(sweep: Sweep) -> tuple[PlannedTrial, ...]:
    """The plan of a sweep as if its store were empty; for a search, that of a typical point."""
    return plan(replace(sweep, trials=sweep.typical_trials()), {})


def as_stored(
    planned: Iterable[PlannedTrial], levels_done: Mapping[str, int]
) -> tuple[PlannedTrial, ...]:
    """The same plan, with the number of each trial's levels in the store."""
    return tuple(replace(one, levels_done=levels_done.get(one.id, 0)) for one in planned)


def _gather(
    trials: Iterable[AbstractTrial], found: dict[str, tuple[AbstractTrial, tuple[str, ...]]]
) -> tuple[str, ...]:
    """The ids of some trials, after each of them was noted once, after its sources."""
    ids = {trial.id: trial for trial in trials}
    for trial_id, trial in ids.items():
        if trial_id not in found:
            found[trial_id] = (trial, _gather(trial.sources, found))
    return tuple(ids)


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


def graph_table(planned: Sequence[PlannedTrial]) -> pd.DataFrame:
    r"""One row per kind: its trials, how many are done, its levels and those left, and what waits.

    `waiting` counts incomplete trials with an incomplete source. `sources` counts the sources of
    its trials, each once for every trial that takes tickets from it. `chain` is the most trials
    that must run one after another, the kind's own included: 1 where it has no sources.
    """
    chain: dict[str, int] = {}
    rows = []
    left = {plan.id for plan in planned if plan.levels_left}
    for plan in planned:
        chain[plan.id] = 1 + max((chain.get(source, 0) for source in plan.source_ids), default=0)
        rows.append(
            {
                "kind": plan.trial.kind,
                "trials": 1,
                "done": plan.id not in left,
                "waiting": plan.id in left and not left.isdisjoint(plan.source_ids),
                "levels": plan.trial.levels,
                "left": plan.levels_left,
                "sources": len(plan.source_ids),
                "chain": chain[plan.id],
            }
        )
    table = pd.DataFrame(rows, columns=GRAPH_COLUMNS)
    sums = dict.fromkeys(GRAPH_COLUMNS[1:], "sum") | {"chain": "max"}
    return table.groupby("kind", sort=False, as_index=False).agg(sums)


def _labels(trials: Sequence[AbstractTrial]) -> list[str]:
    fields = [_unseeded(dict(leaves(trial.model_dump(mode="json")))) for trial in trials]
    varied = _varied(fields)
    compared = [{name: _compared(name, own) for name in varied if name in own} for own in fields]
    values: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for own, keys in zip(fields, compared, strict=True):
        for name, key in keys.items():
            values[key].add(repr(own[name]))
    return [
        ", ".join(_named(name, own[name]) for name, key in keys.items() if len(values[key]) > 1)
        or trial.description.pruner
        for trial, own, keys in zip(trials, fields, compared, strict=True)
    ]


def _unseeded(leaf: dict[str, object]) -> dict[str, object]:
    """The trial without its seed, its own or the source's."""
    used = "seed" if leaf.get("seed", "") is not None else f"{SOURCE}.seed"
    return {name: value for name, value in leaf.items() if name not in ("seed", used)}


def _varied(fields: Iterable[Mapping[str, object]]) -> list[str]:
    """The fields that have several values, which are few of all."""
    values: dict[str, set[str]] = defaultdict(set)
    for own in fields:
        for name, value in own.items():
            values[name].add(repr(value))
    return [name for name, found in values.items() if len(found) > 1]


def _compared(name: str, leaf: Mapping[str, object]) -> tuple[str, ...]:
    """A field, with the kind and name of its object: only fields of equal objects are compared."""
    parent, _, own = name.rpartition(".")
    asked = IDENTITY[: IDENTITY.index(own)] if own in IDENTITY else IDENTITY
    return (name, *(repr(leaf.get(f"{parent}.{part}".lstrip("."), "")) for part in asked))


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """The plain values inside of a JSON value, by dotted path; a list without mappings is one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}.{index}")
    else:
        yield path, value


def _named(name: str, value: object) -> str:
    shown = json.dumps(value).strip('"')
    return shown if name.endswith((".kind", ".name")) else f"{name}={shown}"
