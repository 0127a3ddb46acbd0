"""What machines have room for, and what they are asked for in vain."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from lip_ray.engine.gpu_share import gpu_share
from lip_ray.engine.plan import typical_plan
from lip_ray.engine.resources import Allocation, Capacity, LaunchError
from lip_ray.engine.search_points import shares_of
from lip_ray.engine.trainable import CONTEXT_BYTES
from lip_ray.sweep import Sweep
from lip_ray.sweep.run import Run
from lip_ray.trials import Trajectory

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
    config = {"slot": "transfer", "alone": False}
    assert allocation.request(config).bundles == [{"CPU": 1, "GPU": 0.25}]
    assert allocation.request(config | {"alone": True}).bundles == [{"CPU": 1, "GPU": 1}]
    assert allocation.request(config | {"slot": "trajectory"}).bundles == [{"CPU": 2, "GPU": 1}]


def test_memory_is_set_aside() -> None:
    allocation = allocation_for((8, 0), memory_gb=1.5)
    config = {"slot": "trajectory", "alone": False}
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


NARROW = {"kind": "skip", "width": 32, "scales": 4, "input_channels": 16}
"""The quickstart's network."""


class TestSharesBySize:
    """run.gpus: auto."""

    def test_each_share_is_a_slot_of_its_own(self) -> None:
        found = Allocation.of(
            Run(gpus="auto"), KINDS, [Capacity(cpus=32, gpus=2)], shares={"trajectory": {1, 0.125}}
        )
        assert found.at_once == {"trajectory with 1/8 GPU": 16, "trajectory with 1 GPU": 2}
        assert found.shares_gpus
        assert found.line == (
            "trials at once: 16 trajectory with 1/8 GPU on cuda, or 2 trajectory with 1 GPU on cuda"
        )

    def test_a_trial_takes_the_slot_of_its_share(self) -> None:
        allocation = Allocation.of(Run(gpus="auto"), KINDS, [Capacity(cpus=8, gpus=1)])
        small, whole = trial(64), trial(512)
        assert allocation.slot_name(small) == "trajectory with 1/8 GPU"
        assert allocation.slots[allocation.slot_name(whole)].gpus == 1
        config = {"slot": allocation.slot_name(small), "alone": False}
        assert allocation.request(config).bundles == [{"CPU": 1, "GPU": 0.125}]
        assert allocation.request(config | {"alone": True}).bundles == [{"CPU": 1, "GPU": 1}]

    def test_one_kind_alone(self) -> None:
        run = Run(gpus=1, kinds={"transfer": {"gpus": "auto"}})
        kinds = ("trajectory", "transfer")
        allocation = Allocation.of(
            run, kinds, [Capacity(cpus=8, gpus=1)], shares={"transfer": {0.5}}
        )
        assert allocation.at_once == {"trajectory": 1, "transfer with 1/2 GPU": 2}
        assert allocation.slot_name(trial(64)) == "trajectory"

    def test_without_a_gpu_it_says_nothing(self) -> None:
        found = allocation_for((2, 0), gpus="auto")
        assert found.line == "2 trials at once on cpu"
        assert found.slot_name(trial(64)) == "trajectory"
        assert not found.shares_gpus

    def test_a_sweep_has_the_shares_of_its_trials(self) -> None:
        def shares(run: dict[str, Any]) -> dict[str, set[float]]:
            grid = {"images": [image(64), image(128)], "seed": [0, 1]}
            sweep = Sweep.build({"name": "s", "trial": SMALL, "grid": grid, "run": run})
            return shares_of(sweep, typical_plan(sweep))

        assert shares({}) == {}
        assert shares({"gpus": "auto"}) == {"trajectory": {1 / 8, 1 / 4}}
        assert shares({"kinds": {"trajectory": {"gpus": "auto"}}}) == {"trajectory": {1 / 8, 1 / 4}}

    @pytest.mark.parametrize(
        ("side", "prior", "share"),
        [
            (64, "skip", 1 / 8),
            (128, "skip", 1 / 4),
            (256, "skip", 1 / 2),
            (320, "skip", 1),
            (256, NARROW, 1 / 8),
            (512, NARROW, 1 / 4),
            (256, {"kind": "skip", "width": 256}, 1),
        ],
    )
    def test_the_share_grows_with_image_and_network(
        self, side: int, prior: object, share: float
    ) -> None:
        assert gpu_share(trial(side, prior=prior)) == share

    def test_several_images_share_as_one(self) -> None:
        pair = trial(64, images=[image(64), image(64, "moon")])
        assert gpu_share(pair) == gpu_share(trial(64))

    def test_what_is_not_counted_has_a_whole_gpu(self) -> None:
        lasso = {
            "kind": "reconstruction",
            "source": "dct",
            "images": image(8),
            "task": {"kind": "compressed_sensing", "m": 10},
            "solver": "lasso",
        }
        assert gpu_share(*Sweep.build({"name": "s", "trial": lasso}).trials) == 1

    @pytest.mark.parametrize(
        ("prior", "sides"),
        [
            ("skip", (64, 128, 256)),
            (NARROW, (64, 256, 512)),
            ({"kind": "skip", "width": 4, "scales": 3}, (64, 1024)),
            ("oes_unet", (160, 256, 512)),
            ("deep_decoder", (128, 256, 512)),
        ],
        ids=str,
    )
    def test_it_fits_into_its_share_of_a_card(self, prior: object, sides: tuple[int, ...]) -> None:
        """Thrice what a pass keeps for the way back, and four numbers for each parameter, beside
        what a process itself takes."""
        for side in sides:
            one = trial(side, prior=prior)
            needed = 3 * kept_bytes(one) + 16 * one.size.parameters + CONTEXT_BYTES
            assert needed <= gpu_share(one) * 24e9, side


SMALL: dict[str, Any] = {
    "images": "camera",
    "task": {"kind": "denoising", "sigma": 25},
    "schedule": [1, 0.5],
    "fit": {"steps": 1000},
}


def image(side: int, name: str = "camera") -> dict[str, Any]:
    return {"kind": "builtin", "name": name, "size": [side, side]}


def trial(side: int, **fields: Any) -> Trajectory:
    """A trajectory on a square image."""
    (one,) = Sweep.build({"name": "s", "trial": SMALL | {"images": image(side)} | fields}).trials
    assert isinstance(one, Trajectory)
    return one


def kept_bytes(one: Trajectory) -> int:
    """What a forward pass keeps for the way back, each tensor as often as it is kept."""
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.nbytes)
        return tensor

    shape = one.setting.shape
    with torch.device("meta"):
        module = one.prior.network(shape[0], size=shape[1:])
        latent = torch.empty(1, *one.prior.latent_shape(shape))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            module(latent)
    return sum(kept)
