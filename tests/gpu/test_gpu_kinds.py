"""Every kind of trial runs on a GPU, with no tensor on the wrong device and no wait in its loop."""

from fractions import Fraction
from functools import partial
from math import inf
from typing import Literal

import pytest
import torch
from torch import Tensor

from lip_ray.fits import WindowedVariance, adversarial, weights
from lip_ray.priors.network import LAYOUTS
from lip_ray.spec import Spec
from lip_ray.tasks import Problem
from lip_ray.trials import Context, run
from tests.gpu import kinds
from tests.gpu.kinds import Case, artifacts, cases, generator, missing, trajectory
from tests.gpu.standin import GPU, WrongDeviceError, gpu, lacking
from tests.gpu.waits import LENGTH, recorded, waits
from tests.trials.ladders import MemoryArtifacts

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

CASES = dict(cases())

ALLOWED = {
    "step": {},
    "epoch": {("lip_ray/fits/classifier.py", "_Training.run"): 1},
    "round": {
        ("lip_ray/pruning/mask.py", "require_finite"): 1,
        ("lip_ray/pruning/density.py", "_LinearNetwork.paths"): inf,
        ("lip_ray/pruning/density.py", "_LinearNetwork.paths.<locals>.<dictcomp>"): inf,
        ("lip_ray/fits/numerics.py", "DeadScales.__init__.<locals>.<dictcomp>"): inf,
    },
}
"""Where a loop may wait, and how often per step, epoch or round: an epoch's losses and errors say
which one is chosen, and weights without an order end a ladder. Criteria that use the loss also look
for the paths of each round's mask, on the CPU."""

PER_LOOK = {
    ("lip_ray/fits/adversarial.py", "_Training._failure"),
    ("lip_ray/fits/trace.py", "Trace.finite"),
    ("lip_ray/fits/trace.py", "Watch.closed"),
}
"""Where the host may wait once per interval of many steps, to end a fit that has failed."""


def by_function(case: Case, length: int) -> dict[tuple[str, str], Fraction]:
    """The waits of a case's loop by file and function, per step, epoch or round."""
    total: dict[tuple[str, str], Fraction] = {}
    for (place, _), count in waits(case, length).items():
        name = (place.file, place.function)
        total[name] = total.get(name, Fraction()) + count
    return total


def test_no_member_of_a_family_is_left_out() -> None:
    assert missing() == []


def test_a_member_without_specs_is_named(monkeypatch) -> None:
    class Odd(Spec):
        kind: Literal["odd"] = "odd"
        needed: int

    monkeypatch.setattr(kinds, "FAMILIES", kinds.FAMILIES | {"oddity": (Odd, None)})
    assert missing() == ["specs of Odd to SMALL"]


@pytest.mark.parametrize("name", CASES)
def test_a_loop_mixes_no_devices_and_does_not_wait(name: str) -> None:
    found = by_function(CASES[name], LENGTH)
    allowed = ALLOWED[CASES[name].unit]
    assert {at: often for at, often in found.items() if often > allowed.get(at, 0)} == {}


ENDING = {"stopping": WindowedVariance(window=2, stride=1, warm_up=0, ends_fit=True)}


@pytest.mark.parametrize(
    ("case", "interval"),
    [
        (Case(partial(trajectory, fit=ENDING)), weights.LOOK_EVERY),
        (Case(generator), adversarial.INTERVAL),
    ],
    ids=["restoration", "adversarial"],
)
def test_the_host_looks_at_the_device_once_per_interval(case: Case, interval: int) -> None:
    found = by_function(case, interval)
    assert found
    assert {at: often * interval for at, often in found.items()} == dict.fromkeys(
        PER_LOOK & set(found), 1
    )


def test_a_generators_training_resumes_on_the_device(monkeypatch) -> None:
    monkeypatch.setattr(adversarial, "INTERVAL", 2)
    trial = CASES["generator dcgan"].make(4)
    saved: list[bytes] = []

    def save(trial_id: str, level: int, state: bytes) -> None:
        saved.append(state)

    with gpu():
        whole = list(run(trial, Context(device=GPU, checkpoint_every_s=0, save_checkpoint=save)))
        interrupted = MemoryArtifacts([])
        interrupted.keep(trial.id, 0, saved[0])
        resumed = list(run(trial, Context(device=GPU, artifacts=interrupted)))
    assert len(saved) == 2
    assert resumed[0].network == whole[0].network
    assert resumed[0].curve == whole[0].curve


def test_a_wait_in_a_loop_is_found(monkeypatch) -> None:
    loss = Problem.loss

    def read(self: Problem, output: Tensor) -> Tensor:
        float(output.detach().mean())
        return loss(self, output)

    monkeypatch.setattr(Problem, "loss", read)
    assert sum(waits(Case(trajectory)).values()) == 1


def test_the_sections_of_a_recording_are_the_steps() -> None:
    before, *steps, after = recorded(CASES["solver erm 1"], 4, taping=True).sections
    names = [[operation.name for operation in step] for step in steps]
    assert len(names) == 4
    assert len(names[1]) > 50
    assert names[1] == names[2] == names[3]
    assert before != after


def test_a_tensor_on_the_host_is_found(monkeypatch) -> None:
    def on_host(self: Problem, output: Tensor) -> Tensor:
        return (output - self.measured.cpu()).square().mean()

    monkeypatch.setattr(Problem, "loss", on_host)
    with pytest.raises(WrongDeviceError, match=r"lip_ray/fits/descent\.py"):
        waits(Case(trajectory))


@pytest.mark.parametrize("name", ["rule wmv 1", "generator dcgan", "solver median_of_means"])
def test_numbers_are_those_of_the_cpu(name: str, monkeypatch) -> None:
    monkeypatch.delitem(LAYOUTS, "cuda")  # another layout adds in another order
    trial = CASES[name].make(4)
    context = partial(Context, artifacts=artifacts(trial))
    with gpu():
        there = list(run(trial, context(device=GPU)))
    here = list(run(trial, context(device=torch.device("cpu"))))
    for ours, theirs in zip(there, here, strict=True):
        assert repr(ours.curve) == repr(theirs.curve)  # in which NaN equals itself
        assert ours.network == theirs.network
        assert ours.reconstructions == theirs.reconstructions
