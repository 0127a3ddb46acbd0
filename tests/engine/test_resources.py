"""What machines have room for, and what they are asked for in vain."""

from collections.abc import Sequence
from typing import Any

import pytest

from lip_ray.engine.resources import Allocation, Capacity, LaunchError
from lip_ray.sweep.run import Run

KINDS = ("trajectory",)


def allocation_for(
    *nodes: tuple[float, float], most: Sequence[Capacity] = (), **run: Any
) -> Allocation:
    capacities = [Capacity(cpus=cpus, gpus=gpus, memory_gb=16) for cpus, gpus in nodes]
    return Allocation.of(Run(**run), KINDS, capacities, most)


@pytest.mark.parametrize(
    ("cpus", "gpus", "run", "device", "at_once"),
    [
        (2, 0, {}, "cpu", 2),
        (8, 0, {"cpus": 3}, "cpu", 2),
        (8, 0, {"concurrent": 1}, "cpu", 1),
        (8, 0, {"memory_gb": 5}, "cpu", 3),
        (8, 2, {}, "cuda", 2),
        (8, 2, {"device": "cpu"}, "cpu", 8),
        (8, 2, {"gpus": 0}, "cpu", 8),
        (8, 2, {"gpus": 0.5}, "cuda", 4),
        (8, 2, {"gpus": 0.4}, "cuda", 4),
        (8, 2, {"gpus": 0.34}, "cuda", 4),
        (8, 4, {"gpus": 2.0}, "cuda", 2),
        (2, 4, {"cpus": 1}, "cuda", 2),
    ],
)
def test_as_many_trials_as_fit(
    cpus: int, gpus: int, run: dict[str, Any], device: str, at_once: int
) -> None:
    found = allocation_for((cpus, gpus), **run)
    assert (found.slots["trajectory"].device, found.trials_at_once) == (device, at_once)
    assert found.line == f"{at_once} trials at once on {device}"


def test_a_trial_is_never_spread_over_machines() -> None:
    assert allocation_for((3, 0), (3, 0), (1, 0), cpus=2).trials_at_once == 2


def test_each_kind_has_a_slot_of_its_own() -> None:
    run = Run(cpus=2, kinds={"transfer": {"gpus": 0.25, "cpus": 1}})
    allocation = Allocation.of(run, ("trajectory", "transfer"), [Capacity(cpus=8, gpus=1)])
    assert allocation.at_once == {"trajectory": 1, "transfer": 4}
    assert allocation.line == "trials at once: 1 trajectory on cuda, or 4 transfer on cuda"
    config = {"kind": "transfer", "alone": False}
    assert allocation.request(config).bundles == [{"CPU": 1, "GPU": 0.25}]
    assert allocation.request(config | {"alone": True}).bundles == [{"CPU": 1, "GPU": 1}]
    assert allocation.request(config | {"kind": "trajectory"}).bundles == [{"CPU": 2, "GPU": 1}]


def test_memory_is_set_aside() -> None:
    allocation = allocation_for((8, 0), memory_gb=1.5)
    config = {"kind": "trajectory", "alone": False}
    assert allocation.request(config).bundles == [{"CPU": 1, "memory": 1.5e9}]


def test_a_cluster_that_grows_has_room_for_what_it_can_become() -> None:
    most = [Capacity(cpus=8, gpus=1)] * 8
    allocation = allocation_for(most=most)
    assert (allocation.slots["trajectory"].device, allocation.trials_at_once) == ("cuda", 8)
    with pytest.raises(LaunchError, match=r"run\.gpus: a trajectory asks for 2 GPUs"):
        allocation_for(most=most, gpus=2)  # no single machine will have them


@pytest.mark.parametrize(
    ("nodes", "run", "message"),
    [
        ([(2, 0)], {"cpus": 3}, r"run\.cpus: a trajectory asks for 3 cores, but there are 2$"),
        ([(2, 0), (2, 0)], {"cpus": 3}, r"for 3 cores, but there are 2$"),
        ([(2, 0)], {"device": "cuda"}, r"run\.device: cuda is asked for, but there is no GPU"),
        ([(8, 1)], {"gpus": 2}, r"run\.gpus: a trajectory asks for 2 GPUs, but there are 1$"),
        ([(8, 0)], {"memory_gb": 20}, r"run\.memory_gb: .* for 20 GB, but there are 16\.0$"),
        ([(8, 0), (1, 1)], {"cpus": 2}, r"2 cores, 1 GPUs together: no machine has both"),
        ([], {}, r"run\.cpus: a trajectory asks for 1 cores, but there are 0$"),
    ],
)
def test_what_no_machine_has_is_refused(
    nodes: list[tuple[float, float]], run: dict[str, Any], message: str
) -> None:
    with pytest.raises(LaunchError, match=message):
        allocation_for(*nodes, **run)
