"""How many trials of each kind fit on the available machines, and on which devices."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, Self

from ray.tune import PlacementGroupFactory

from lip_ray.engine.gpu_share import SHARES, gpu_share
from lip_ray.errors import UserError
from lip_ray.sweep.run import Resources, Run
from lip_ray.trials import AbstractTrial

GB = 1_000_000_000

Device = Literal["cpu", "cuda"]


class LaunchError(UserError):
    """The machines lack the resources that `run` asks for, or cannot be reached."""

    many_lines = True


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The resources of one machine, or those that a growing cluster could come to have."""

    cpus: float
    gpus: float = 0.0
    memory_gb: float | None = None
    """The memory per trial; None where it is not known beforehand."""
    tensor_card: str = ""
    """The name of its GPUs, where these compute TF32 and it is known; otherwise empty."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The resources of one trial, and how many such trials fit."""

    name: str = ""
    """The kind of the trials, with their share of a GPU where that depends on their size."""
    cpus: int
    gpus: float
    """The number or share of GPUs; 0 on the CPU."""
    memory_gb: float | None
    at_once: int

    @property
    def device(self) -> Device:
        """The type of device of its tensors."""
        return "cuda" if self.gpus else "cpu"

    def request(self, *, alone: bool = False) -> PlacementGroupFactory:
        """The resources that Ray reserves; a trial that is `alone` shares its GPU with none."""
        bundle: dict[str, float] = {"CPU": self.cpus}
        if self.gpus:
            bundle["GPU"] = max(1.0, self.gpus) if alone else self.gpus
        if self.memory_gb:
            bundle["memory"] = self.memory_gb * GB
        return PlacementGroupFactory([bundle])


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """The slots of every kind of trial in a sweep."""

    slots: Mapping[str, Slot]
    """By name."""
    concurrent: int | None = None
    """The most trials at once, of whatever kind, that `run` allows."""
    by_size: frozenset[str] = frozenset()
    """The kinds whose share of a GPU depends on the trial: `run.gpus` is auto."""

    @classmethod
    def of(
        cls,
        run: Run,
        kinds: Iterable[str],
        nodes: Sequence[Capacity],
        most: Sequence[Capacity] = (),
        *,
        shares: Mapping[str, Collection[float]] = MappingProxyType({}),
    ) -> Self:
        r"""The allocation for a `run` block on these machines.

        `most` are the machines that a cluster can have once it has grown. `shares` are the shares
        of a GPU that trials of a kind have, where `run.gpus` is auto; of a kind that is not in it
        there may be all. Raises LaunchError where a kind of trial would wait for ever.
        """
        anywhere = [*nodes, *most]
        has_gpus = any(node.gpus for node in anywhere)
        if run.device == "cuda" and not has_gpus:
            raise LaunchError(
                "run.device: cuda is asked for, but there is no GPU; allowed: auto, cpu"
            )
        on_gpus = has_gpus and run.device != "cpu"
        resources = {kind: run.resources(kind) for kind in kinds}
        asked = [
            slot
            for kind, own in resources.items()
            for slot in _asked(kind, own, on_gpus, shares.get(kind, SHARES))
        ]
        return cls(
            slots={slot.name: _fitted(slot, nodes, most) for slot in asked},
            concurrent=run.concurrent,
            by_size=frozenset(
                kind for kind, own in resources.items() if on_gpus and own.gpus == "auto"
            ),
        )

    def slot_name(self, trial: AbstractTrial) -> str:
        """The name of the slot that a trial takes."""
        kind = trial.kind
        return _name(kind, gpu_share(trial)) if kind in self.by_size else kind

    @property
    def shares_gpus(self) -> bool:
        """Whether several trials may share a GPU."""
        return any(0 < slot.gpus < 1 for slot in self._all)

    @property
    def at_once(self) -> Mapping[str, int]:
        """For each kind, how many trials run at once where there is no other kind."""
        limit = self.concurrent
        return {kind: min(s.at_once, limit or s.at_once) for kind, s in self.slots.items()}

    @property
    def trials_at_once(self) -> int:
        """The most trials of any kind at once."""
        return max(self.at_once.values(), default=0)

    @property
    def line(self) -> str:
        """The allocation in words."""
        alike = len(set(self.at_once.values())) == 1 and len({s.device for s in self._all}) == 1
        if alike and not self.by_size:
            return f"{self.trials_at_once} trials at once on {self._all[0].device}"
        kinds = (f"{n} {name} on {self.slots[name].device}" for name, n in self.at_once.items())
        return f"trials at once: {', or '.join(kinds)}"

    @property
    def _all(self) -> list[Slot]:
        return list(self.slots.values())

    def request(self, config: Mapping[str, Any]) -> PlacementGroupFactory:
        """The resources that Ray reserves for the trial with this configuration."""
        return self.slots[config["slot"]].request(alone=config["alone"])


def _name(kind: str, share: float) -> str:
    """The name of the slot of a kind's trials that have this share of a GPU by their size."""
    return f"{kind} with {Fraction(share)} GPU"


def _asked(kind: str, own: Resources, on_gpus: bool, shares: Collection[float]) -> Iterator[Slot]:
    """The slots that trials of a kind ask for."""
    cpus, memory_gb = own.cpus or 1, own.memory_gb
    if own.gpus == "auto" and on_gpus:
        for share in sorted(shares):
            name = _name(kind, share)
            yield Slot(name=name, cpus=cpus, gpus=share, memory_gb=memory_gb, at_once=0)
        return
    gpus = own.gpus if on_gpus and isinstance(own.gpus, float) else 0.0
    yield Slot(name=kind, cpus=cpus, gpus=gpus, memory_gb=memory_gb, at_once=0)


def _fitted(slot: Slot, nodes: Sequence[Capacity], most: Sequence[Capacity]) -> Slot:
    """The slot with the number of trials that fit. Raises LaunchError where none does."""
    at_once = max(sum(_fitting(slot, node) for node in there) for there in (nodes, most))
    if not at_once:
        raise LaunchError(_missing(slot, [*nodes, *most]))
    return replace(slot, at_once=at_once)


def _fitting(slot: Slot, node: Capacity) -> int:
    """How many such trials fit on one machine."""
    counts = [int(node.cpus // slot.cpus)]
    if slot.gpus:
        # A trial never has parts of two GPUs, so two trials of 0.4 share one and 0.2 lies idle.
        sharing = slot.gpus <= 1
        counts.append(
            int(node.gpus) * int(1 / slot.gpus) if sharing else int(node.gpus / slot.gpus)
        )
    if slot.memory_gb and node.memory_gb is not None:
        counts.append(int(node.memory_gb / slot.memory_gb))
    return min(counts)


def _missing(slot: Slot, nodes: Sequence[Capacity]) -> str:
    """The field that asks for more than any machine has, or a note that no machine has all of
    it."""
    cpus = max((node.cpus for node in nodes), default=0)
    gpus = max((node.gpus for node in nodes), default=0)
    memory = [node.memory_gb for node in nodes if node.memory_gb is not None]
    asks = f"a {slot.name} asks for"
    if slot.cpus > cpus:
        return f"run.cpus: {asks} {slot.cpus} cores, but there are {cpus:g}"
    if slot.gpus > gpus:
        return f"run.gpus: {asks} {slot.gpus:g} GPUs, but there are {gpus:g}"
    if slot.memory_gb and memory and slot.memory_gb > max(memory):
        return f"run.memory_gb: {asks} {slot.memory_gb:g} GB, but there are {max(memory):.1f}"
    return f"run: {asks} {slot.cpus} cores, {slot.gpus:g} GPUs together: no machine has both free"
