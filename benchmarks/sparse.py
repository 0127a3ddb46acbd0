"""Whole steps of a fit by kept weights, against whole steps with masks.

    python benchmarks/sparse.py                       # the quickstart's network at 64×64
    python benchmarks/sparse.py --paper --threads 2   # the study's 2.2 million weights at 128×128

A step has everything in it: input noise, both passes, loss, Adam, averages and all stopping rules.
Rounds interleave both executions, and a ratio is taken within a round. Masks are random.
"""

from typing import Annotated

import torch
import typer
from fit import noisy_photo, spread

from lip_ray.fits import Fit, Subject, WindowedVariance
from lip_ray.fits.execution import Execution
from lip_ray.priors import Skip
from lip_ray.pruning import Mask
from lip_ray.rng import keyed

SMALL = Skip(width=32, scales=4, input_channels=16)


def main(
    densities: Annotated[str, typer.Option(help="Separated by commas.")] = "1,0.5,0.2,0.05,0.01",
    paper: Annotated[bool, typer.Option(help="The study's network and size.")] = False,
    threads: int = 1,
    steps: Annotated[int, typer.Option(help="Per execution and round.")] = 20,
    rounds: int = 7,
) -> None:
    """Print milliseconds a step of both, and dense ÷ sparse."""
    torch.set_num_threads(threads)
    prior, size = (Skip(), 128) if paper else (SMALL, 64)
    print(f"{size}×{size}, {prior.prunable_count(3):,} weights, {threads} threads")
    for density in map(float, densities.split(",")):
        seconds = measured(prior, size, density, steps=steps, rounds=rounds)
        dense, sparse = ([1000 * row[name] for row in seconds] for name in ("dense", "sparse"))
        ratios = spread([row["dense"] / row["sparse"] for row in seconds])
        print(f"  {density:<5} dense {spread(dense)} ms, sparse {spread(sparse)} ms, ÷ {ratios}")


def measured(
    prior: Skip, size: int, density: float, *, steps: int, rounds: int
) -> list[dict[Execution, float]]:
    """Seconds a step of each execution, by round; a first round warms up and is left out."""
    rule = WindowedVariance(window=steps, patience=10**6)
    found = []
    for _ in range(rounds + 1):
        row: dict[Execution, float] = {}
        executions: tuple[Execution, ...] = ("dense", "sparse")
        for execution in executions:
            fit = Fit(steps=steps, stopping=rule, execution=execution)
            row[execution] = step_s(prior, size, density, fit)
        found.append(row)
    return found[1:]


def step_s(prior: Skip, size: int, density: float, fit: Fit) -> float:
    """Seconds a step of a fit to a noisy photo."""
    problem, network = noisy_photo(size, prior, torch.device("cpu"))
    dense = Mask.dense(network.prunable())
    kept = max(1, round(density * dense.total))
    mask = random_mask(dense, kept)
    network.rewind(network.snapshot(), mask.layers)
    subject = Subject(prior=network, problem=problem, draws=keyed(0, "input noise"))
    (result,) = fit.run([subject], mask)
    return result.seconds / fit.steps


def random_mask(dense: Mask, kept: int) -> Mask:
    """As many weights as asked for, drawn without regard to layers."""
    draws = torch.Generator().manual_seed(0)
    order = torch.randperm(dense.total, generator=draws)
    flat = torch.zeros(dense.total, dtype=torch.bool)
    flat[order[:kept]] = True
    parts = flat.split([layer.numel() for layer in dense.layers.values()])
    named = zip(dense.layers.items(), parts, strict=True)
    return Mask({name: part.view(layer.shape) for (name, layer), part in named})


if __name__ == "__main__":
    typer.run(main)
