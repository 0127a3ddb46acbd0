"""The cost of the fit loop, against the published scripts' loop, the bare step, and no callback.

    python benchmarks/fit.py                                  # this machine's device, 128×128
    python benchmarks/fit.py --device cuda --size 512 --precision bf16 --compiled
    python benchmarks/fit.py --allocator                      # what workers gain by keeping memory

benchmarks/gpu.py times `ours` in all layouts and precisions of a GPU.

Rounds interleave the loops, so that a machine's moods meet all alike; a ratio is taken within
a round and reported as its median over rounds, with the lowest and highest.
"""

import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Annotated, Any, Self, cast

import numpy as np
import torch
import typer
from torch import Tensor
from torch.nn.utils import prune

from lip_ray.allocator import keep_freed_memory
from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Callback, Fit, Subject, WindowedVariance
from lip_ray.fits.numerics import Precision, arithmetic
from lip_ray.fits.progress import no_callback
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.priors.network import Network
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising, Problem
from lip_ray.trials import Context

Loop = Callable[[], float]
"""Runs one block of steps; the seconds it took."""


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 128,
    width: Annotated[int, typer.Option(help="Channels; 128 is the study's network.")] = 128,
    scales: int = 5,
    steps: Annotated[int, typer.Option(help="Per loop and round.")] = 10,
    rounds: int = 7,
    threads: int = torch.get_num_threads(),
    precision: Annotated[str, typer.Option(help="fp32, tf32 or bf16; ours and bare.")] = "fp32",
    compiled: Annotated[bool, typer.Option(help="torch.compile; ours and bare.")] = False,
    allocator: Annotated[
        bool, typer.Option(help="Compare ours with the allocator of workers and without, only.")
    ] = False,
) -> None:
    """Print milliseconds per step of each loop, and their ratios."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    network = Skip(width=width, scales=scales)

    def study() -> tuple[Problem, UntrainedPrior]:
        return noisy_photo(size, network, where)

    fit = Fit(
        steps=steps,
        stopping=WindowedVariance(window=steps),
        precision=cast(Precision, precision),  # the spec refuses what is none
        compiled=compiled,
    )
    print(
        f"{device}, {size}×{size}, width {width}, {scales} scales, {threads} threads, {precision}",
        end="",
    )
    print(", compiled" if compiled else "")
    print(f"{rounds} rounds of {steps} steps; median [lowest, highest]")
    if allocator:
        compare_allocators(Block(size, network, fit, device, threads), rounds)
        return
    loops = {
        "plain": plain(*study(), steps),
        "bare": bare(*study(), fit),
        "ours": ours(*study(), fit),
        "watched": ours(*study(), fit, callback=Context(device=where).callback("benchmark", 0)),
    }
    for loop in loops.values():
        loop()  # warm up: kernels are chosen, memory is taken, networks are compiled
    seconds = [{name: loop() / steps for name, loop in loops.items()} for _ in range(rounds)]
    for name in loops:
        print(f"  {name:<12} {spread([1000 * row[name] for row in seconds])} ms a step")
    print(f"  plain ÷ ours {spread([row['plain'] / row['ours'] for row in seconds])}")
    print(f"  ours ÷ bare  {spread([row['ours'] / row['bare'] for row in seconds])}")
    print(f"  watched ÷ ours {spread([row['watched'] / row['ours'] for row in seconds])}")


def spread(values: list[float]) -> str:
    """The median, the lowest and the highest of some values."""
    return f"{statistics.median(values):.3f} [{min(values):.3f}, {max(values):.3f}]"


@dataclass(frozen=True)
class Block:
    """A block of steps of our loop that another process can run."""

    size: int
    network: Skip
    fit: Fit
    device: str
    threads: int

    def run(self) -> tuple[float, float]:
        """CPU milliseconds and page faults per step, the beginning and the end of the fit left out.

        Each process has one thread that fits: Ray runs trials in a thread beside the main one, and
        glibc gives the two memory in different ways.
        """
        return _beside().submit(self._run).result()

    def _run(self) -> tuple[float, float]:
        spent: list[tuple[float, int]] = []

        def note(step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
            del psnr_db  # asking for it would take time
            if step in (0, steps):
                faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                spent.append((1000 * time.process_time(), faults))

        torch.set_num_threads(self.threads)
        study = noisy_photo(self.size, self.network, torch.device(self.device))
        ours(*study, self.fit, callback=note)()
        (begun_ms, faults), (ended_ms, more_faults) = spent
        return (ended_ms - begun_ms) / self.fit.steps, (more_faults - faults) / self.fit.steps


@cache
def _beside() -> Executor:
    """The one thread of this process that fits."""
    return ThreadPoolExecutor(1)


def compare_allocators(block: Block, rounds: int) -> None:
    """Print the time and page faults per step in two processes, one of which keeps freed memory."""
    with ExitStack() as stack:
        processes: dict[str, Executor] = {
            name: stack.enter_context(
                ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=initializer)
            )
            for name, initializer in (("as it is", None), ("kept", keep_freed_memory))
        }
        found = [
            {name: process.submit(block.run).result() for name, process in processes.items()}
            for _ in range(rounds + 1)
        ][1:]  # the first one warms up
    for name in processes:
        took, faults = (spread([row[name][place] for row in found]) for place in (0, 1))
        print(f"  {name:<12} {took} ms of CPU a step, {faults} page faults")
    print(f"  as it is ÷ kept {spread([row['as it is'][0] / row['kept'][0] for row in found])}")


def noisy_photo(size: int, network: Skip, device: torch.device) -> tuple[Problem, UntrainedPrior]:
    """The problem and the network that every loop fits."""
    image = BuiltinImage(name="astronaut", size=(size, size))
    problem = Denoising(sigma=25.0).realise(image, seed=0, device=device)
    prior = network.build(problem.image_shape, seed=0, image=image.label, device=device)
    return problem, prior


def ours(
    problem: Problem,
    prior: UntrainedPrior,
    fit: Fit,
    *,
    callback: Callback = no_callback,
    replay: bool = True,
) -> Loop:
    """The loop that a trajectory runs, at density 0.5 so that masks are at work."""
    mask = half(prior)
    prior.rewind(prior.snapshot(), mask.layers)

    def block() -> float:
        draws = keyed(0, "input noise", device=prior.latent.device)
        subject = Subject(prior=prior, problem=problem, draws=draws)
        return fit.run((subject,), mask, callback=callback, replay=replay)[0].seconds

    return block


def half(prior: Network) -> Mask:
    """A mask that keeps about half of every layer."""
    draws = keyed(0, "benchmark mask")
    return Mask(
        {
            name: (torch.rand(weight.shape, generator=draws) < 0.5).to(weight.device)
            for name, weight in prior.prunable().items()
        }
    )


def bare(problem: Problem, prior: UntrainedPrior, fit: Fit) -> Loop:
    """Forward, backward and Adam's step, and nothing else."""
    network = torch.compile(prior.module) if fit.compiled else prior.module
    optimizer = torch.optim.Adam(prior.module.parameters(), lr=0.01, fused=True)
    device = prior.latent.device

    def block() -> float:
        with Stopwatch(device) as clock, arithmetic(fit.precision, device):
            for _ in range(fit.steps):
                with torch.autocast(device.type, torch.bfloat16, enabled=fit.precision == "bf16"):
                    output = network(prior.latent)
                problem.loss(output.float()).backward()
                optimizer.step()
                optimizer.zero_grad()
        return clock.seconds

    return block


def plain(problem: Problem, prior: UntrainedPrior, steps: int) -> Loop:
    """The published scripts' loop: contiguous layout, a mask inside every forward pass, PSNR of two
    images on the host and a copy of all parameters there, at every step."""
    network = prior.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    latent = prior.latent.contiguous()
    for name, kept in half(prior).layers.items():
        layer = network.get_submodule(name.removesuffix(".weight"))
        prune.custom_from_mask(layer, "weight", kept)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    assert problem.clean is not None
    clean = problem.clean[0].cpu().numpy()

    def block() -> float:
        average: Tensor | None = None
        last_parameters: list[Tensor] = []
        with Stopwatch(latent.device) as clock:
            for _ in range(steps):
                optimizer.zero_grad()
                output = network(latent + latent.clone().normal_() * (1 / 30))
                average = (
                    output.detach() if average is None else average * 0.99 + output.detach() * 0.01
                )
                loss = problem.loss(output)
                loss.backward()
                psnr_on_host(output, clean)
                psnr_on_host(average, clean)
                loss.item()  # printed by the scripts
                last_parameters = [p.detach().cpu().clone() for p in network.parameters()]
                optimizer.step()
        assert last_parameters
        return clock.seconds

    return block


def psnr_on_host(image: Tensor, clean: np.ndarray[Any, Any]) -> float:
    """The PSNR in dB, computed on the host after a copy of the whole image."""
    pixels = image.detach().cpu().numpy()[0]
    return float(10 * np.log10(1 / np.mean((pixels - clean) ** 2)))


class Stopwatch:
    """Seconds between two moments at which the device has nothing left to do."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._wait()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait()
        self.seconds = time.perf_counter() - self._started

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


if __name__ == "__main__":
    typer.run(main)
