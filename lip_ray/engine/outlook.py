"""The forecast of a run: its trials and the time they will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pandas as pd

from lip_ray.engine.cost import Costs, estimate
from lip_ray.engine.plan import PlannedTrial, as_stored, graph_table, plan_table, typical_plan
from lip_ray.engine.ray_session import most, nodes, ray_at, this_machine
from lip_ray.engine.resources import Allocation, Capacity
from lip_ray.engine.search_points import shares_of
from lip_ray.engine.sources import elsewhere, refuse_left_out
from lip_ray.engine.tensor_cards import exact_remark
from lip_ray.store import Reader
from lip_ray.sweep import Sweep

Machines: TypeAlias = tuple[list[Capacity], list[Capacity]]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The plan of a sweep, for people."""

    trials: pd.DataFrame
    """One row per label."""
    graph: pd.DataFrame
    """One row per kind of trial."""
    lines: tuple[str, ...]
    """What is left to do and how long it will take."""


def look_ahead(
    sweep: Sweep, store: str, *, address: str | None = None, measure: bool = False
) -> Outlook:
    r"""The missing levels of the sweep and their cost, on this machine or the cluster at `address`.

    Times come from similar trials in the store; with `measure`, a few steps of others are rehearsed
    here; the rest is estimated from multiply-adds. Raises LaunchError where a trial would wait for
    ever.
    """
    machines = _machines(address)
    planned = typical_plan(sweep)
    kinds, shares = [one.trial.kind for one in planned], shares_of(sweep, planned)
    allocation = Allocation.of(sweep.run, kinds, *machines, shares=shares)
    reader = Reader(store) if Reader.exists(store) else None
    levels_done = reader.levels_done() if reader else {}
    stored = as_stored(planned, levels_done)
    found = elsewhere(sweep, store, stored)
    refuse_left_out(stored, store, found.levels if found else ())
    if not sweep.search:  # a point to come has levels in no store
        planned = as_stored(planned, levels_done | dict(found.levels if found else {}))
    estimated = estimate(
        planned,
        Costs(reader),
        allocation.at_once,
        allocation.slots,
        slot_name=allocation.slot_name,
        measure=measure,
    )
    said = [*estimated.lines, f"{allocation.line}; results in {store}"]
    said += [found.line] if found else []
    said += filter(None, (estimated.work, _exactness(planned, allocation, machines)))
    if sweep.search:
        told = len(reader.scores(sweep.name, sweep.search_id)) if reader else 0
        said[0] = f"of one point like this, {estimated.line}"
        said.insert(0, f"{told} of {sweep.search.total} points have a score")
    return Outlook(trials=plan_table(planned), graph=graph_table(planned), lines=tuple(said))


def _exactness(planned: Sequence[PlannedTrial], allocation: Allocation, machines: Machines) -> str:
    """What exact floats cost the remaining trials that run on GPUs; empty where that is little."""
    cards = (node.tensor_card for nodes in machines for node in nodes if node.gpus)
    card = next(filter(None, cards), "")
    left = (
        one.trial
        for one in planned
        if one.levels_left and allocation.slots[allocation.slot_name(one.trial)].gpus
    )
    return exact_remark(left, card) if card else ""


def _machines(address: str | None) -> Machines:
    """The machines that there are, and those that there can be."""
    if address is None:
        return [this_machine()], []
    with ray_at(address):
        return nodes(), most()
