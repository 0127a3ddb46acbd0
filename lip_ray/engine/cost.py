"""Estimates of what the remaining levels will cost in time: by the timed levels in the store or by
steps tried here, otherwise by the multiply-adds that their steps compute."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
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
"""The number of labels that a line names before it only counts them."""

Device = Literal["cpu", "cuda"]
Basis = Literal["alike", "akin", "assumed", "unknown"]
CERTAIN_FIRST: Sequence[Basis] = ("alike", "akin", "assumed", "unknown")

SAME_DENSITY, NEAR_DENSITY = 1e-3, math.log(1.5)
"""Differences of logarithms of densities: up to the first, levels have the same density but for
rounding; up to the second, the pace of a sparse step is taken for that of the other density."""

ASSUMED_FLOPS: Mapping[Device, float] = {"cpu": 30e9, "cuda": 15e12}
"""Operations per second of one core, and of one GPU, where nothing was timed. They are assumptions:
the study's network on a core of 2020 to 2025, and 32-bit floats on a data-centre GPU. Small
networks reach less: docs/performance.md compares."""
OPERATIONS_PER_MAC = 2

TIMED = """
select trial.spec, trial.kind, trial.prior, trial.parameters, trial.macs_per_step, level.images,
       if(level.device = 'cpu', 'cpu', 'cuda') as device,
       list(level.density) as densities, list(level.pace) as paces
from (
    select trial_id, any_value(device) as device, count(*) as images,
           any_value(density) as density, sum(fit_s) / max(steps) as pace
    from levels group by trial_id, level having max(steps) > 0
) as level join trials as trial using (trial_id)
group by all
"""
"""The seconds per step of every fitted level: its rows, one per image, add up to its time."""


class Given(Protocol):
    """The resources of one trial of a kind."""

    @property
    def device(self) -> Device:
        """The type of device of its tensors."""

    @property
    def cpus(self) -> int:
        """The number of cores, and so of threads."""

    @property
    def gpus(self) -> float:
        """A share of one GPU, or a number of GPUs; 0 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A trial in the store and the pace of its levels on one type of device."""

    spec: str
    """The trial's spec as JSON."""
    kind: str
    prior: str
    parameters: int
    macs_per_step: int
    images: int
    """The number of rows per level."""
    device: str
    densities: tuple[float, ...]
    """One number per level, in (0, 1]."""
    paces: tuple[float, ...]
    """Seconds per step, likewise."""

    @cached_property
    def rehearsal(self) -> str | None:
        """The trial's rehearsal key; None where this version cannot read it, or its images are
        gone."""
        try:
            return self._trial.rehearsal if self._trial else None
        except (ValueError, OSError):
            return None

    @property
    def is_sparse(self) -> bool:
        """Whether its steps computed the kept weights only; no where this version cannot read
        it."""
        return self._trial is not None and self._trial.is_sparse

    @cached_property
    def _trial(self) -> AbstractTrial | None:
        try:
            return from_json(self.spec)
        except (ValueError, OSError):
            return None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The seconds per step, and how they were found."""

    seconds_per_step: float
    basis: Basis
    """alike: timed trials agree in everything that a step's cost depends on; akin: they agree only
    in kind, network and image size, or sparse levels were timed at other densities; assumed:
    nothing was timed, and the pace follows from multiply-adds and `ASSUMED_FLOPS`."""


@dataclass(frozen=True)
class Paces:
    """The seconds per step of timed levels, with their densities."""

    basis: Literal["alike", "akin"]
    timed: Sequence[tuple[float, float]]
    """(density, seconds per step) of each level; at least one."""

    def of_any(self) -> Pace:
        """The median over all levels, for steps that compute all weights at any density."""
        return Pace(seconds_per_step=median(pace for _, pace in self.timed), basis=self.basis)

    def at(self, density: float) -> Pace:
        """The median over the levels of the nearest density, as a ratio, for sparse steps."""
        apart = [abs(math.log(timed / density)) for timed, _ in self.timed]
        nearest = min(apart)
        paces = [
            pace
            for (_, pace), distance in zip(self.timed, apart, strict=True)
            if distance <= nearest + SAME_DENSITY
        ]
        basis = self.basis if nearest <= NEAR_DENSITY else "akin"
        return Pace(seconds_per_step=median(paces), basis=basis)


class Costs:
    """Seconds per step of trials: medians over timed levels in the store, or rehearsed ones."""

    def __init__(self, reader: Reader | None = None) -> None:
        """The store is read at the first call of `pace`."""
        self._reader = reader
        self._paces: dict[tuple[str, str, Device], Paces | None] = {}

    def pace(self, trial: AbstractTrial, device: Device, *, share: float = 1.0) -> Pace | None:
        r"""The timed seconds per step of a trial on a type of device; None where nothing like it
        was timed.

        `share` is the share of all weights that the steps compute, where the trial is sparse.
        """
        key = trial.kind, trial.rehearsal, device
        if key not in self._paces:
            self._paces[key] = self._found(trial, device)
        found = self._paces[key]
        if found is None:
            return None
        return found.at(share) if trial.is_sparse else found.of_any()

    def rehearse(self, trial: AbstractTrial, device: Device, *, threads: int) -> None:
        """Run a few steps at density 1 on this machine and remember their pace."""
        here = torch.device(device)
        seconds = _seconds_per_step(trial, here, threads)
        self._paces[trial.kind, trial.rehearsal, device] = Paces("alike", [(1.0, seconds)])

    def _found(self, trial: AbstractTrial, device: Device) -> Paces | None:
        if not self._timed:
            return None
        size, rehearsal = trial.size, trial.rehearsal
        key = device, size.parameters, size.macs_per_step, trial.images_per_level
        as_large = self._timed.get(key, [])
        same = [timed for timed in as_large if timed.rehearsal == rehearsal]
        kind = trial.kind, trial.description.prior
        akin = [
            timed
            for timed in as_large
            if (timed.kind, timed.prior) == kind and timed.is_sparse == trial.is_sparse
        ]
        if not size.macs_per_step:  # it tells no sizes apart
            akin = []
        levels = [
            level
            for timed in same or akin
            for level in zip(timed.densities, timed.paces, strict=True)
        ]
        return Paces("alike" if same else "akin", levels) if levels else None

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
    """The remaining time of a plan in seconds, as far as it is known; early stopping is ignored."""

    levels_left: int
    trials_left: int
    known_s: float
    """The seconds that all remaining trials take one after another."""
    held_s: Mapping[Device, float]
    """By device, these seconds times the cores or GPUs that each trial holds."""
    makespan_s: float
    """The seconds from the beginning of the first trial to the end of the last, run side by
    side."""
    critical_path_s: float
    """The seconds of the longest chain of trials in which each waits for the one before. More
    machines do not make it shorter."""
    critical_path: tuple[str, ...]
    """Labels of that chain, its first source first."""
    unknown: tuple[str, ...]
    """Labels of trials, each once, that were not timed and whose multiply-adds are not counted;
    they count as 0 s."""
    rough: tuple[str, ...]
    """Labels of trials, each once, whose time is that of others of their kind and size."""
    assumed: Mapping[Device, tuple[str, ...]]
    """By device, labels of trials, each once, whose time follows from their multiply-adds alone."""
    macs: int
    """The multiply-adds that the steps of all remaining levels compute, as far as they are
    counted."""
    whole_macs: int
    """Those that they would compute if every step computed all weights."""

    @property
    def line(self) -> str:
        """The estimate in words."""
        trials = _counted(self.trials_left, "trial")
        left = f"{_counted(self.levels_left, 'level')} of {trials} left"
        if not self.levels_left:
            return "nothing left"
        if len(self.unknown) == self.trials_left:
            return f"{left}: no estimate yet, as nothing like them was timed: use --measure"
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
            said.append(f"roughly known, by fits of their size: {_named(self.rough)}")
        for device, labels in self.assumed.items():
            which = _named(labels) if len(labels) < self.trials_left else "all trials"
            said.append(
                f"not timed, estimated from multiply-adds at {_rate(device)} "
                f"(--measure times a few steps): {which}"
            )
        if 0 < len(self.unknown) < self.trials_left:
            said.append(f"not known, as nothing like them was timed: {_named(self.unknown)}")
        return tuple(said)

    @property
    def work(self) -> str:
        """What the remaining levels compute, in words; empty where nothing is counted."""
        if not self.macs:
            return ""
        computed = f"{self.macs:.3g} multiply-adds left to compute"
        if self.macs == self.whole_macs:
            return f"{computed}, those of pruned weights included"
        return (
            f"{computed}, {self.whole_macs:.3g} with all weights; sparse levels are counted by "
            "their density, since which layers keep their weights is not known yet"
        )


def of_kind(trial: AbstractTrial) -> str:
    """The kind of a trial, by which it has its resources unless they depend on more."""
    return trial.kind


def estimate(
    planned: Sequence[PlannedTrial],
    costs: Costs,
    slots: Mapping[str, int],
    given: Mapping[str, Given],
    *,
    slot_name: Callable[[AbstractTrial], str] = of_kind,
    measure: bool = False,
) -> Estimate:
    r"""The remaining time of a plan, where trials have the resources `given` for their slot.

    `slots` holds, by the name of a slot, how many trials run at once where there are no other
    slots; slots on the same type of device share it. With `measure`, unknown paces are rehearsed
    here, if this machine has such a device.
    """
    left = [plan for plan in planned if plan.levels_left]
    seconds: list[float] = []
    labels: dict[Basis, list[str]] = defaultdict(list)
    assumed: dict[Device, list[str]] = defaultdict(list)
    held: dict[Device, float] = defaultdict(float)
    for plan in left:
        slot = given[slot_name(plan.trial)]
        took, basis = _time_left(plan, costs, slot, measure)
        seconds.append(took)
        held[slot.device] += took * (slot.gpus or slot.cpus)
        found = assumed[slot.device] if basis == "assumed" else labels[basis]
        found.append(plan.label)
    tasks = _tasks(left, seconds, slot_name)
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
        unknown=tuple(labels["unknown"]),
        rough=tuple(labels["akin"]),
        assumed={device: tuple(names) for device, names in assumed.items()},
        macs=sum(map(macs_left, left)),
        whole_macs=sum(p.levels_left * p.trial.steps * p.trial.whole_macs for p in left),
    )


def macs_left(plan: PlannedTrial) -> int:
    """The multiply-adds that the steps of a trial's remaining levels compute, at most."""
    whole = plan.trial.whole_macs
    return plan.trial.steps * sum(n * round(whole * share) for share, n in _shares(plan).items())


def _shares(plan: PlannedTrial) -> Counter[float]:
    """The shares of all weights that steps of the remaining levels compute, each with the number of
    these levels."""
    return Counter(map(plan.trial.computed_share, range(plan.levels_done, plan.trial.levels)))


def _time_left(plan: PlannedTrial, costs: Costs, slot: Given, measure: bool) -> tuple[float, Basis]:
    """The seconds of a trial's remaining levels, and the least certain basis of them; 0 s where
    nothing is known."""
    trial = plan.trial
    if not trial.steps:
        return 0.0, "alike"
    if measure and costs.pace(trial, slot.device) is None and _here(slot.device):
        costs.rehearse(trial, slot.device, threads=slot.cpus)
    shares = _shares(plan)
    paces = {
        share: costs.pace(trial, slot.device, share=share) or _assumed(trial, slot, share)
        for share in shares
    }
    known = {share: pace for share, pace in paces.items() if pace}
    if not known:
        return 0.0, "unknown"
    took = math.fsum(
        shares[share] * trial.steps * pace.seconds_per_step for share, pace in known.items()
    )
    return took, max((pace.basis for pace in known.values()), key=CERTAIN_FIRST.index)


def _assumed(trial: AbstractTrial, slot: Given, share: float) -> Pace | None:
    """The pace by the multiply-adds of a step; None where they are not counted."""
    macs = trial.whole_macs * share
    if not macs:
        return None
    held = min(slot.gpus, 1) if slot.device == "cuda" else slot.cpus
    seconds = OPERATIONS_PER_MAC * macs / (ASSUMED_FLOPS[slot.device] * (held or 1))
    return Pace(seconds_per_step=seconds, basis="assumed")


def _rate(device: Device) -> str:
    """The assumed pace in words."""
    return f"{ASSUMED_FLOPS[device] / 1e9:,.0f} GFLOP/s per {'core' if device == 'cpu' else 'GPU'}"


def _here(device: Device) -> bool:
    return device == "cpu" or torch.cuda.is_available()


def _seconds_per_step(trial: AbstractTrial, device: torch.device, threads: int) -> float:
    """The seconds of a dense step, after a warm-up: of a single step if it is slow, else the mean
    of a few."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        steps = 1 if trial.rehearse(1, device=device) > PROBE_S else PROBE_STEPS
        return trial.rehearse(steps, device=device) / steps
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A remaining trial, for the simulation of a run."""

    kind: str
    """The name of the slot that it takes."""
    seconds: float
    sources: tuple[int, ...] = ()
    """Indices of the tasks that it waits for, all before its own."""


def _tasks(
    left: Sequence[PlannedTrial],
    seconds: Sequence[float],
    slot_name: Callable[[AbstractTrial], str],
) -> list[Task]:
    places = {plan.id: place for place, plan in enumerate(left)}
    return [
        Task(
            kind=slot_name(plan.trial),
            seconds=own,
            sources=tuple(places[source] for source in plan.source_ids if source in places),
        )
        for plan, own in zip(left, seconds, strict=True)
    ]


def critical_path(tasks: Sequence[Task]) -> tuple[int, ...]:
    """Indices of the longest chain in seconds, its first source first; empty where all take 0 s."""
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
    r"""Seconds until the last task has ended, where each begins as soon as it can.

    Among tasks whose sources have ended, the first in order that fits begins. A task of a kind with
    n slots takes a share of 1/n of its type of device.
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
    """The number of trials, and the first few labels."""
    each = tuple(labels)
    names = list(dict.fromkeys(each))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{_counted(len(each), 'trial')}: {'; '.join(names[:SHOWN])}{more}"
