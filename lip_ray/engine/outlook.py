"""What a sweep would run, and what that would take, before anything runs."""

from dataclasses import dataclass, replace

import pandas as pd

from lip_ray.engine.cost import Costs, estimate
from lip_ray.engine.plan import PlannedTrial, graph_table, plan, plan_table
from lip_ray.engine.ray_session import most, nodes, ray_at, this_machine
from lip_ray.engine.resources import Room
from lip_ray.engine.search_points import kinds_of
from lip_ray.store import Reader
from lip_ray.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A plan, for people."""

    trials: pd.DataFrame
    """One row a label."""
    graph: pd.DataFrame
    """One row a kind."""
    lines: tuple[str, ...]
    """What is left and what it takes."""


def look_ahead(
    sweep: Sweep, store: str, *, address: str | None = None, measure: bool = False
) -> Outlook:
    """What the store lacks of the sweep, on this machine or the cluster at `address`.

    Times are those that the store has of trials like these; with `measure` a few steps of those it
    has none of are tried here. Raises LaunchError where a trial would wait for ever.
    """
    room = _room(sweep, address)
    reader = Reader(store) if Reader.exists(store) else None
    planned = _planned(sweep, reader)
    found = estimate(planned, Costs(reader), room.at_once, room.slots, measure=measure)
    said = [*found.lines, f"{room.line}; results in {store}"]
    if sweep.search:
        told = len(reader.scores(sweep.name, sweep.search_id)) if reader else 0
        said[0] = f"of one point like this, {found.line}"
        said.insert(0, f"{told} of {sweep.search.total} points have a score")
    return Outlook(trials=plan_table(planned), graph=graph_table(planned), lines=tuple(said))


def _planned(sweep: Sweep, reader: Reader | None) -> tuple[PlannedTrial, ...]:
    """All trials; of a search, those of one point."""
    if sweep.search:
        return plan(replace(sweep, trials=sweep.typical_trials()), {})
    return plan(sweep, reader.levels_done() if reader else {})


def _room(sweep: Sweep, address: str | None) -> Room:
    kinds = kinds_of(sweep)
    if address is None:
        return Room.of(sweep.run, kinds, [this_machine()])
    with ray_at(address):
        return Room.of(sweep.run, kinds, nodes(), most())
