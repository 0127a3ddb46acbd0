"""What watching a fit costs: each rule's statistic, and all that a trace does, beside a step.

    python benchmarks/stopping.py                         # this machine's device, 512×512
    python benchmarks/stopping.py --device cuda --precision bf16 --rounds 30

Rounds alternate the training steps and the statistics, so that a machine's moods meet all alike; a
share is taken within a round and reported as its median over rounds, with the lowest and highest.
"""

import statistics
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Annotated, cast

import torch
import typer
from fit import Stopwatch, half, noisy_photo, spread
from torch import Tensor

from lip_ray.fits import ExponentialVariance, WindowedVariance, arithmetic
from lip_ray.fits.numerics import GradientMask, Precision
from lip_ray.fits.stopping import AbstractStopping
from lip_ray.fits.trace import Trace
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.tasks import Problem

TARGET = 0.03
"""The share of a step that a rule's statistic may take."""

Step = Callable[[], Tensor]
Watch = Callable[[Tensor], None]


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 512,
    width: Annotated[int, typer.Option(help="Channels; 128 is the study's network.")] = 128,
    scales: int = 5,
    rounds: int = 5,
    steps: Annotated[int, typer.Option(help="Training steps a round.")] = 1,
    updates: Annotated[int, typer.Option(help="Statistics a round; a multiple of 100.")] = 100,
    threads: int = torch.get_num_threads(),
    precision: Annotated[str, typer.Option(help="fp32, tf32 or bf16.")] = "fp32",
) -> None:
    """Print milliseconds and shares of a step; the exit status says whether the target is met."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    problem, prior = noisy_photo(size, Skip(width=width, scales=scales), where)
    step = training_step(problem, prior, cast(Precision, precision))
    output = step()
    total = updates * (rounds + 1)
    watches = {
        "wmv": statistic(WindowedVariance(), output),
        "emv": statistic(ExponentialVariance(), output),
        "all, wmv": everything(WindowedVariance(), problem, total),
        "all, emv": everything(ExponentialVariance(), problem, total),
    }
    for watch in watches.values():
        timed(where, partial(watch, output), updates)  # memory is taken
    with arithmetic(cast(Precision, precision), where):
        seconds = [
            {"step": timed(where, step, steps)}
            | {
                name: timed(where, partial(watch, output), updates)
                for name, watch in watches.items()
            }
            for _ in range(rounds)
        ]
    print(
        f"{device}, {size}×{size}, width {width}, {scales} scales, {threads} threads, {precision}"
    )
    print(f"{rounds} rounds of {steps} steps and {updates} updates; median [lowest, highest]")
    print(f"  {'step':<9} {spread([1000 * row['step'] for row in seconds])} ms")
    met = True
    for name in watches:
        shares = [row[name] / row["step"] for row in seconds]
        met &= name.startswith("all") or statistics.median(shares) < TARGET
        print(
            f"  {name:<9} {spread([1000 * row[name] for row in seconds])} ms, "
            f"{spread([100 * share for share in shares])} % of a step"
        )
    print(f"each statistic under {TARGET:.0%}: {'yes' if met else 'no'}")
    raise typer.Exit(0 if met else 1)


def training_step(problem: Problem, prior: UntrainedPrior, precision: Precision) -> Step:
    """Forward, loss, backward, mask and Adam's step, as a fit takes them; gives the output."""
    optimizer = torch.optim.Adam(prior.module.parameters(), lr=0.01, fused=True)
    apply_mask = GradientMask(prior, half(prior).layers)
    kind = prior.latent.device.type
    reduced = torch.autocast(kind, torch.bfloat16) if precision == "bf16" else nullcontext()

    def step() -> Tensor:
        with reduced:
            output = prior.module(prior.latent)
        output = output.float()
        problem.loss(output).backward()
        apply_mask()
        optimizer.step()
        optimizer.zero_grad()
        return cast(Tensor, output.detach())

    return step


def statistic(rule: AbstractStopping, image: Tensor) -> Watch:
    """One rule's update, including strides and windows that end."""
    monitor, taken = rule.monitor(image), iter(range(2**31))

    def watch(output: Tensor) -> None:
        monitor.update(next(taken), output)

    return watch


def everything(rule: WindowedVariance | ExponentialVariance, problem: Problem, steps: int) -> Watch:
    """All that a fit does beside training: average, PSNRs, statistic, and the images to keep."""
    trace, taken = Trace(problem, steps=steps, decay=0.99, stopping=rule), iter(range(steps))

    def watch(output: Tensor) -> None:
        trace.observe(next(taken), problem.loss(output), output)

    return watch


def timed(device: torch.device, work: Callable[[], object], times: int) -> float:
    """The seconds per call, over `times` calls."""
    with Stopwatch(device) as clock:
        for _ in range(times):
            work()
    return clock.seconds / times


if __name__ == "__main__":
    typer.run(main)
