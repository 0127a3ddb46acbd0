"""What the levels that are left would cost, by the levels that the store has: time and work."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import heappop, heappush
from statistics import median
from typing import Literal, Protocol

import torch

from lip_ray.engine.plan import PlannedTrial
from lip_ray.engine.progress import clock
from lip_ray.store import Reader
from lip_ray.trials import AbstractTrial, from_json

PROBE_S = 1.0
PROBE_STEPS = 5
SHOWN = 5
"""Labels that a line names before it only counts."""

Device = Literal["cpu", "cuda"]

TIMED = """
select trial.spec, trial.kind, trial.prior, trial.parameters, trial.macs_per_step, level.images,
       if(level.device = 'cpu', 'cpu', 'cuda') as device, list(level.pace) as paces
from (
    select trial_id, any_value(device) as device, count(*) as images,
           sum(fit_s) / max(steps) as pace
    from levels group by trial_id, level having max(steps) > 0
) as level join trials as trial using (trial_id)
group by all
"""
"""Seconds per step of every level that was fitted: its rows, one an image, add up to its time."""


class Given(Protocol):
    """What a trial of a kind is given to run on."""

    @property
    def device(self) -> Device:
        """Where its tensors live."""

    @property
    def cpus(self) -> int:
        """Cores, and so threads."""

    @property
    def gpus(self) -> float:
        """A share of one, or several; 0 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A trial of the store, by what its levels took on one type of device."""

    spec: str
    """The trial's spec as JSON."""
    kind: str
    prior: str
    parameters: int
    macs_per_step: int
    images: int
    """Rows of a level."""
    device: str
    paces: tuple[float, ...]
    """Seconds per step, one a level."""

    @cached_property
    def rehearsal(self) -> str | None:
        """The trial's key; None where this version cannot read it, or its images are gone."""
        try:
            return from_json(self.spec).rehearsal
        except (ValueError, OSError):
            return None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a step takes, and how that is known."""

    seconds_per_step: float
    alike: bool
    """Whether the timed trials agree in everything that a step's cost depends on. Otherwise they
    agree only in kind, network and size of image."""


class Costs:
    """Seconds per step of trials: medians over the levels that were timed, or a rehearsal's."""

    def __init__(self, reader: Reader | None = None) -> None:
        """The store is read when the first pace is asked for."""
        self._reader = reader
        self._paces: dict[tuple[str, str, Device], Pace | None] = {}

    def pace(self, trial: AbstractTrial, device: Device) -> Pace | None:
        """The seconds per step of a trial on a type of device; None where nothing like it was
        timed."""
        key = trial.kind, trial.rehearsal, device
        if key not in self._paces:
            self._paces[key] = self._found(trial, device)
        return self._paces[key]

    def rehearse(self, trial: AbstractTrial, device: Device, *, threads: int) -> None:
        """Try a few dense steps here, alone, and remember their pace."""
        here = torch.device(device)
        seconds = _seconds_per_step(trial, here, threads)
        self._paces[trial.kind, trial.rehearsal, device] = Pace(
            seconds_per_step=seconds, alike=True
        )

    def _found(self, trial: AbstractTrial, device: Device) -> Pace | None:
        if not self._timed:
            return None
        size, rehearsal = trial.size, trial.rehearsal
        key = device, size.parameters, size.macs_per_step, trial.images_per_level
        as_large = self._timed.get(key, [])
        same = [timed for timed in as_large if timed.rehearsal == rehearsal]
        kind = trial.kind, trial.description.prior
        akin = [timed for timed in as_large if (timed.kind, timed.prior) == kind]
        if not size.macs_per_step:  # it tells no sizes apart
            akin = []
        paces = [pace for timed in same or akin for pace in timed.paces]
        return Pace(seconds_per_step=median(paces), alike=bool(same)) if paces else None

    @cached_property
    def _timed(self) -> Mapping[tuple[object, ...], Sequence[Timed]]:
        """The timed levels, by device, parameters, multiply-adds of a step, and images of a
        level."""
        found: dict[tuple[object, ...], list[Timed]] = defaultdict(list)
        for row in self._reader.sql(TIMED).to_pylist() if self._reader else ():
            timed = Timed(**row)
            found[timed.device, timed.parameters, timed.macs_per_step, timed.images].append(timed)
        return dict(found)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left of a plan, in seconds, as far as it is known; early stopping is not foreseen."""

    levels_left: int
    trials_left: int
    known_s: float
    """The seconds that all remaining trials take one after another."""
    held_s: Mapping[Device, float]
    """By device, these seconds times the cores or GPUs that each trial holds."""
    makespan_s: float
    """From the first trial's beginning to the last one's end, side by side."""
    critical_path_s: float
    """The seconds of the longest chain of trials in which each waits for the one before. More
    machines do not make it shorter."""
    critical_path: tuple[str, ...]
    """Labels of that chain, its first source first."""
    unknown: tuple[str, ...]
    """Labels of the trials, one each, that are counted as 0 s: nothing like them was timed."""
    rough: tuple[str, ...]
    """Labels of the trials, one each, whose time is of others of their kind and size."""

    @property
    def line(self) -> str:
        """How long it takes, in words."""
        trials = _counted(self.trials_left, "trial")
        left = f"{_counted(self.levels_left, 'level')} of {trials} left"
        if not self.levels_left:
            return "nothing left"
        if len(self.unknown) == self.trials_left:
            return f"{left}: nobody knows how long, as nothing like them was timed"
        held = " and ".join(
            f"{clock(seconds)} of {'core' if device == 'cpu' else 'GPU'} time"
            for device, seconds in self.held_s.items()
        )
        return f"{left}: {'at least' if self.unknown else 'about'} {clock(self.makespan_s)}, {held}"

    @property
    def lines(self) -> tuple[str, ...]:
        """`line`, followed by the longest chain of trials and by what is only roughly known."""
        said = [self.line]
        if len(self.critical_path) > 1:
            chain = " → ".join(self.critical_path)
            said.append(f"longest chain: {clock(self.critical_path_s)}: {chain}")
        if self.rough:
            said.append(f"roughly known, by others of their size: {_named(self.rough)}")
        if 0 < len(self.unknown) < self.trials_left:
            said.append(f"not known, as nothing like them was timed: {_named(self.unknown)}")
        return tuple(said)


def estimate(
    planned: Sequence[PlannedTrial],
    costs: Costs,
    slots: Mapping[str, int],
    given: Mapping[str, Given],
    *,
    measure: bool = False,
) -> Estimate:
    """What the levels left would take where trials of each kind have what is `given` to it.

    `slots` has, by kind, how many run beside each other where there is no other kind; kinds on the
    same type of device share it. With `measure` what is unknown is rehearsed here, if here is such
    a device.
    """
    left = [plan for plan in planned if plan.levels_left]
    seconds, rough, unknown = [], [], []
    held: dict[Device, float] = defaultdict(float)
    for plan in left:
        slot = given[plan.trial.kind]
        pace = _pace(plan, costs, slot, measure)
        seconds.append(plan.levels_left * plan.trial.steps * (pace.seconds_per_step if pace else 0))
        held[slot.device] += seconds[-1] * (slot.gpus or slot.cpus)
        if not pace:
            unknown.append(plan.label)
        elif not pace.alike:
            rough.append(plan.label)
    tasks = _tasks(left, seconds)
    chain = critical_path(tasks)
    devices = {kind: slot.device for kind, slot in given.items()}
    return Estimate(
        levels_left=sum(plan.levels_left for plan in left),
        trials_left=len(left),
        known_s=math.fsum(seconds),
        held_s=dict(held),
        makespan_s=makespan(tasks, slots, devices),
        critical_path_s=math.fsum(seconds[index] for index in chain),
        critical_path=tuple(left[index].label for index in chain),
        unknown=tuple(unknown),
        rough=tuple(rough),
    )


def _pace(plan: PlannedTrial, costs: Costs, slot: Given, measure: bool) -> Pace | None:
    if not plan.trial.steps:
        return Pace(seconds_per_step=0.0, alike=True)
    if measure and costs.pace(plan.trial, slot.device) is None and _here(slot.device):
        costs.rehearse(plan.trial, slot.device, threads=slot.cpus)
    return costs.pace(plan.trial, slot.device)


def _here(device: Device) -> bool:
    return device == "cpu" or torch.cuda.is_available()


def _seconds_per_step(trial: AbstractTrial, device: torch.device, threads: int) -> float:
    """A dense step's, after one to warm up: of one step where that takes long, else of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = 1 if trial.rehearse(1, device=device) > PROBE_S else PROBE_STEPS
        return trial.rehearse(steps, device=device) / steps
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A trial that is left, for the simulation of a run."""

    kind: str
    seconds: float
    sources: tuple[int, ...] = ()
    """Places of the tasks that it waits for, all before its own."""


def _tasks(left: Sequence[PlannedTrial], seconds: Sequence[float]) -> list[Task]:
    places = {plan.id: place for place, plan in enumerate(left)}
    return [
        Task(
            kind=plan.trial.kind,
            seconds=own,
            sources=tuple(places[source] for source in plan.source_ids if source in places),
        )
        for plan, own in zip(left, seconds, strict=True)
    ]


def critical_path(tasks: Sequence[Task]) -> tuple[int, ...]:
    """Places of the longest chain in seconds, its first source first; none where all take 0 s."""
    ends: list[float] = []
    before: list[int | None] = []
    for task in tasks:
        latest = max(task.sources, key=ends.__getitem__, default=None)
        ends.append(task.seconds + (0.0 if latest is None else ends[latest]))
        before.append(latest)
    place = max(range(len(ends)), key=ends.__getitem__, default=None)
    chain: list[int] = []
    while place is not None and ends[place] > 0:
        chain.append(place)
        place = before[place]
    return tuple(reversed(chain))


def makespan(tasks: Sequence[Task], slots: Mapping[str, int], devices: Mapping[str, str]) -> float:
    """Seconds until the last task has ended, where each begins as soon as it can.

    Of those whose sources have ended the first in order is begun that there is room for. A task of
    a kind with n slots takes a share of 1/n of its type of device.
    """
    whole = math.lcm(*slots.values())
    free = dict.fromkeys(devices.values(), whole)
    waiting = [len(task.sources) for task in tasks]
    followers: dict[int, list[int]] = defaultdict(list)
    ready: dict[str, list[int]] = defaultdict(list)
    for place, task in enumerate(tasks):
        if not task.sources:
            heappush(ready[task.kind], place)
        for source in task.sources:
            followers[source].append(place)
    running: list[tuple[float, int]] = []
    now = 0.0
    while True:
        while open_to := [
            places[0]
            for kind, places in ready.items()
            if places and whole // slots[kind] <= free[devices[kind]]
        ]:
            kind = tasks[min(open_to)].kind
            place = heappop(ready[kind])
            free[devices[kind]] -= whole // slots[kind]
            heappush(running, (now + tasks[place].seconds, place))
        if not running:
            return now
        now, ended = heappop(running)
        kind = tasks[ended].kind
        free[devices[kind]] += whole // slots[kind]
        for place in followers[ended]:
            waiting[place] -= 1
            if not waiting[place]:
                heappush(ready[tasks[place].kind], place)


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _named(labels: Iterable[str]) -> str:
    """How many trials there are, and the first few labels."""
    each = tuple(labels)
    names = list(dict.fromkeys(each))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{_counted(len(each), 'trial')}: {'; '.join(names[:SHOWN])}{more}"
