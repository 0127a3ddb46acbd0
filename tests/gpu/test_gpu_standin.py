"""The stand-in for a GPU: it refuses what CUDA refuses, finds every wait, and changes no number."""

import copy

import pytest
import torch
from torch import nn

from lip_ray.fits.sending import sent
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from tests.gpu.standin import GPU, Operation, WrongDeviceError, differences, gpu, lacking

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())


def on_gpu(*shape: int) -> torch.Tensor:
    return torch.ones(shape, device="cuda")


REFUSED = {
    "a sum": lambda: on_gpu(2) + torch.ones(2),
    "a sum in place": lambda: torch.ones(()).add_(on_gpu()),
    "a concatenation": lambda: torch.cat((on_gpu(2), torch.ones(2))),
    "numbers that are stacked": lambda: torch.stack((on_gpu(), torch.ones(()))),
    "a convolution": lambda: nn.functional.conv2d(on_gpu(1, 1, 3, 3), torch.ones(1, 1, 2, 2)),
    "indices of the device": lambda: torch.ones(3)[on_gpu(2).long()],
    "values of the host": lambda: on_gpu(3).index_put_((on_gpu(2).long(),), torch.ones(2)),
    "a draw there": lambda: on_gpu(2).normal_(generator=torch.Generator()),
    "a draw here": lambda: torch.rand(2, generator=torch.Generator("cuda")),
    "a product of lists": lambda: torch._foreach_mul_([on_gpu(2)], [torch.ones(2)]),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_cuda_refuses_is_refused(case) -> None:
    with gpu(), pytest.raises(WrongDeviceError):
        case()


def test_numpy_is_refused() -> None:
    with gpu(), pytest.raises(TypeError, match="numpy"):
        on_gpu(2).numpy()


WAITS = {
    "a number": lambda: on_gpu(1).item(),
    "a condition": lambda: bool(on_gpu(2).sum() > 1),
    "a list": lambda: on_gpu(2).tolist(),
    "a copy to the host": lambda: on_gpu(2).cpu(),
    "a copy into the host's": lambda: torch.ones(2).copy_(on_gpu(2)),
    "a late copy into pageable memory": lambda: torch.ones(2).copy_(on_gpu(2), non_blocking=True),
    "a copy to the device": lambda: torch.ones(2).to("cuda"),
    "a late copy from pageable memory": lambda: torch.ones(2).to("cuda", non_blocking=True),
    "a copy from pinned memory": lambda: torch.ones(2).pin_memory().to("cuda"),
    "a tensor of numbers": lambda: torch.tensor([1.0, 2.0], device="cuda"),
    "a mask": lambda: on_gpu(2)[on_gpu(2) > 0],
    "a mask that is put": lambda: on_gpu(2).index_put_((on_gpu(2) > 0,), on_gpu()),
    "indices of the host": lambda: on_gpu(3)[torch.tensor([0, 1])],
    "nonzero": lambda: on_gpu(2).nonzero(),
    "equal": lambda: torch.equal(on_gpu(2), on_gpu(2)),
    "unique": lambda: on_gpu(2).unique(),
    "a choice of the host's number": lambda: torch.where(on_gpu(2) > 0, on_gpu(2), torch.ones(())),
    "synchronisation": lambda: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("case", WAITS.values(), ids=WAITS)
def test_a_wait_is_found_once(case) -> None:
    with gpu() as run:
        case()
    assert len(run.waits) == 1


FREE = {
    "a factory": lambda: torch.arange(3, device="cuda") + torch.full((3,), 2.0, device="cuda"),
    "a number of the host": lambda: on_gpu(2) * torch.tensor(2.0) + 1,
    "indices of the device": lambda: on_gpu(3)[torch.arange(2, device="cuda")],
    "a late copy from pinned memory": lambda: (
        torch.rand(4).pin_memory()[1:].to("cuda", non_blocking=True)
    ),
    "a late copy to new memory": lambda: on_gpu(2).to("cpu", non_blocking=True),
    "a filled mask": lambda: on_gpu(2).masked_fill_(on_gpu(2) > 0, 0),
    "a choice": lambda: torch.where(on_gpu(2) > 0, on_gpu(2), 0.0),
    "a draw": lambda: torch.rand(2, generator=keyed(0, "a", device="cuda"), device="cuda"),
    "a sort": lambda: on_gpu(3).sort(descending=True).values.topk(2).values.median(0),
}


@pytest.mark.parametrize("case", FREE.values(), ids=FREE)
def test_what_need_not_wait_does_not(case) -> None:
    with gpu() as run:
        case()
    assert run.waits == []


def test_a_wait_has_the_line_of_lip_ray_and_the_section() -> None:
    with gpu() as run:
        mask = Mask({"a": on_gpu(3) > 0})
        run.mark()
        assert mask.kept == 3
        run.mark()
    (wait,) = run.waits
    assert (wait.place.file, wait.section) == ("lip_ray/pruning/mask.py", 1)
    assert wait.place.function.startswith("Mask.")


def test_draws_are_sent_without_a_wait() -> None:
    drawn = torch.rand(6, generator=keyed(0, "a"))
    with gpu() as run:
        there = sent(drawn[2:], GPU)
        assert run.waits == []
        assert there.device == GPU
        assert sent(there, GPU) is there
        assert there.tolist() == drawn[2:].tolist()
    assert sent(drawn, torch.device("cpu")) is drawn


def descended(device: torch.device, steps: int = 3) -> list[torch.Tensor]:
    """The weights of a small network after some steps, and a draw, on the CPU."""
    draws = keyed(0, "weights", device=device)
    network = nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.LeakyReLU(), nn.Flatten()
    ).to(device)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=draws)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        image = torch.rand((2, 2, 6, 6), generator=draws, device=device)
        network(image).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(parameter.device == device for parameter in network.parameters())
    return [value.detach().cpu() for value in network.state_dict().values()]


def test_numbers_are_those_of_the_cpu() -> None:
    with gpu():
        there = descended(GPU)
    here = descended(torch.device("cpu"))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(there, here, strict=True))


def test_an_operation_in_place_returns_its_tensor() -> None:
    with gpu():
        numbers = on_gpu(2)
        assert numbers.add_(1) is numbers
        assert torch.mul(numbers, 2, out=numbers) is numbers
        view = numbers[1:]
        view.zero_()
        assert numbers.tolist() == [4, 0]


def test_a_copy_of_a_module_is_apart() -> None:
    with gpu():
        network = nn.Linear(2, 1).to(GPU)
        other = copy.deepcopy(network)
        with torch.no_grad():
            network.weight.zero_()
        assert other.weight.device == GPU
        assert bool((other.weight != 0).all())


def test_a_reduced_precision_is_the_devices() -> None:
    with gpu(), torch.autocast("cuda", torch.bfloat16):
        assert (on_gpu(2, 2) @ on_gpu(2, 2)).dtype == torch.bfloat16


def test_the_tape_tells_equal_steps_from_others() -> None:
    def step(number: int) -> None:
        torch.lerp(on_gpu(2), on_gpu(2), 0.5).add_(float(number > 2))

    with gpu(taping=True) as run:
        for number in range(4):
            run.mark()
            step(number)
    before, *steps = run.sections
    assert before == []
    assert steps[0] == steps[1] == steps[2] != steps[3]
    assert [operation.name for operation in steps[3]][-1] == "aten.add_.Tensor"
    assert steps[3][-1].arguments == "cuda float32 [2], 1.0"


def test_a_replay_needs_memory_that_stays() -> None:
    def steps(kept: bool) -> list[list[Operation]]:
        with gpu(taping=True) as run:
            best = on_gpu(2)
            for _ in range(3):
                run.mark()
                higher = torch.where(best > 1, best, best + 1)
                best = best.copy_(higher) if kept else higher
        return run.sections[1:]

    first, second, third = steps(kept=True)
    assert differences(first, second) == differences(second, third) == []
    first, second, third = steps(kept=False)
    assert first == second
    assert any("made anew" in difference for difference in differences(second, third))


def test_differences_name_the_number_that_changes() -> None:
    with gpu(taping=True) as run:
        numbers = on_gpu(3)
        for number in (1, 2):
            run.mark()
            numbers.mul_(number)
    first, second = run.sections[1:]
    (difference,) = differences(first, second)
    assert (
        "aten.mul_.Tensor(cuda float32 [3], 1), aten.mul_.Tensor(cuda float32 [3], 2)" in difference
    )
    assert differences(first, []) == ["there are 1 operations, and 0"]


def test_afterwards_there_is_no_gpu() -> None:
    generator = torch.Generator
    with gpu():
        assert torch.cuda.is_available()
        assert isinstance(torch.Generator("cuda"), torch.Generator)
        assert isinstance(generator(), torch.Generator)
    assert torch.Generator is generator
    assert not torch.cuda.is_available()
    assert not torch.accelerator.is_available()
    with pytest.raises((AssertionError, RuntimeError)):
        torch.ones(2, device="cuda")
    assert nn.Linear(1, 1)(torch.ones(1)).sum().backward() is None
