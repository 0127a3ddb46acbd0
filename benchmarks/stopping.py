"""What watching a fit costs: each rule alone, all rules, and all that a trace does, beside a step.

    python benchmarks/stopping.py                         # this machine's device, 512×512
    python benchmarks/stopping.py --device cuda --precision bf16 --rounds 30

Rounds alternate the training steps and the statistics, so that a machine's moods meet all alike; a
share is taken within a round and reported as its median over rounds, with the lowest and highest.
"""

import statistics
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count
from typing import Annotated, cast

import torch
import typer
from fit import Stopwatch, half, noisy_photo, spread
from torch import Tensor

from lip_ray.fits import Fit, arithmetic
from lip_ray.fits.numerics import GradientMask, Precision
from lip_ray.fits.stopping import AbstractStopping, Seen
from lip_ray.fits.trace import Trace, Watch, steps_together
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.tasks import Problem

TARGET = 0.03
"""The share of a step that all rules together may take."""
ALL_RULES, WHOLE_TRACE = "all rules", "whole trace"

Step = Callable[[], Tensor]
Work = Callable[[Tensor], None]


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
    fit = Fit(steps=total)
    problem = problem.holding_out(0.03, torch.Generator(device="cpu").manual_seed(0))
    rules = [rule for rule in fit.rules if rule.applies(problem)]
    watches = {f"{rule.kind}, {rule.signal}": watching([rule], problem) for rule in rules}
    watches[ALL_RULES] = watching(rules, problem)
    watches[WHOLE_TRACE] = everything(fit, problem)
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
    print(f"  {'step':<20} {spread([1000 * row['step'] for row in seconds])} ms")
    met = True
    for name in watches:
        shares = [row[name] / row["step"] for row in seconds]
        met &= name != ALL_RULES or statistics.median(shares) < TARGET
        print(
            f"  {name:<20} {spread([1000 * row[name] for row in seconds])} ms, "
            f"{spread([100 * share for share in shares])} % of a step"
        )
    print(f"all rules under {TARGET:.0%} of a step: {'yes' if met else 'no'}")
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


def watching(rules: Sequence[AbstractStopping], problem: Problem) -> Work:
    """What these rules do for every step, some together, including strides and windows that end."""
    watches, taken = [Watch(rule, problem) for rule in rules], count(1)
    together = steps_together(problem.blank)
    counts = torch.ones(together, dtype=torch.bool, device=problem.measured.device)

    def watch(output: Tensor) -> None:
        step = next(taken)
        if step % together == 0:
            outputs = output.expand(together, -1, -1, -1).contiguous()
            seen = Seen(problem, step - together, outputs=outputs, averages=outputs)
            for one in watches:
                one.observe(seen, counts=counts)

    return watch


def everything(fit: Fit, problem: Problem) -> Work:
    """All that a fit does beside training: average, PSNRs, all rules, and the images to keep."""
    rules = [rule for rule in fit.rules if rule.applies(problem)]
    trace = Trace(problem, steps=fit.steps, decay=fit.average, rules=rules)

    def watch(output: Tensor) -> None:
        trace.observe(problem.loss(output), output)

    return watch


def timed(device: torch.device, work: Callable[[], object], times: int) -> float:
    """The seconds per call, over `times` calls."""
    with Stopwatch(device) as clock:
        for _ in range(times):
            work()
    return clock.seconds / times


if __name__ == "__main__":
    typer.run(main)
