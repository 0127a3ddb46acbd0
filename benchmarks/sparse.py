"""Fits by kept weights, against fits with masks: whole steps, and whole ladders.

    python benchmarks/sparse.py                       # the quickstart's network at 64×64
    python benchmarks/sparse.py --paper --threads 2   # the study's 2.2 million weights at 128×128
    python benchmarks/sparse.py --ladder              # 17 levels end to end, to 0.8^16
    python benchmarks/sparse.py --picture sparse.png  # both networks, as a figure

A step has everything in it: input noise, both passes, loss, Adam, averages and all stopping rules.
Rounds interleave both executions, and a ratio is taken within a round. Masks of single steps are
random; those of a ladder are pruned by magnitude, and it also has all that lies between fits.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import plotly.graph_objects as go
import torch
import typer
from fit import noisy_photo, spread

from lip_ray.analysis import write_figure
from lip_ray.analysis.charts.style import OKABE_ITO, axis_lines, layout
from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, Subject
from lip_ray.fits.execution import Execution
from lip_ray.priors import Skip
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising
from lip_ray.trials import Context, Trajectory, run

CPU = torch.device("cpu")
EXECUTIONS: tuple[Execution, ...] = get_args(Execution)
Times = Mapping[Execution, float]
"""Seconds by execution, of one round."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network at a size, and how many steps are enough to time it."""

    name: str
    prior: Skip
    size: int
    """Height and width in pixels."""
    steps: int


SMALL = Network(
    name="0.12 M, 64×64",
    prior=Skip(width=32, scales=4, input_channels=16),
    size=64,
    steps=100,
)
PAPER = Network(name="2.2 M, 128×128", prior=Skip(), size=128, steps=40)


def main(
    densities: Annotated[str, typer.Option(help="By commas.")] = "1,0.5,0.2,0.1,0.05,0.02,0.01",
    paper: Annotated[bool, typer.Option(help="The study's network and size.")] = False,
    ladder: Annotated[bool, typer.Option(help="Time a trial of 17 levels instead.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Draw both networks to a file.")] = None,
    threads: int = 1,
    steps: Annotated[int, typer.Option(help="Per fit; as many as are enough by default.")] = 0,
    rounds: int = 5,
) -> None:
    """Print milliseconds a step of both executions, or seconds a ladder, and dense ÷ sparse."""
    torch.set_num_threads(threads)
    networks = (SMALL, PAPER) if picture else (PAPER,) if paper else (SMALL,)
    shares = [float(share) for share in densities.split(",")]
    found: dict[str, dict[float, list[Times]]] = {}
    for network in networks:
        count = steps or network.steps
        weights = network.prior.prunable_count(3)
        print(f"{network.name}, {weights:,} weights, {threads} threads, {count} steps", flush=True)
        if ladder:
            print_line("17 levels", [ladder_s(network, count) for _ in range(rounds)], unit="s")
            continue
        found[network.name] = {}
        for share in shares:
            found[network.name][share] = steps_s(network, share, count, rounds)
            print_line(f"{share}", found[network.name][share], unit="ms")
    if picture:
        write_figure(figure(found), picture, width_mm=110, font_size_pt=8.0, dpi=120)


def print_line(name: str, rounds: list[Times], *, unit: str) -> None:
    """Print the times of both executions, and their ratio."""
    scale = {"s": 1, "ms": 1000}[unit]
    dense, sparse = ([scale * times[one] for times in rounds] for one in EXECUTIONS)
    ratios = spread([times["dense"] / times["sparse"] for times in rounds])
    print(f"  {name:<9} dense {spread(dense)} {unit}, sparse {spread(sparse)} {unit}, ÷ {ratios}")


def steps_s(network: Network, density: float, steps: int, rounds: int) -> list[Times]:
    """Seconds a step of each execution, by round; a first round warms up and is left out."""
    found = [
        {execution: step_s(network, density, steps, execution) for execution in EXECUTIONS}
        for _ in range(rounds + 1)
    ]
    return list(found[1:])


def step_s(network: Network, density: float, steps: int, execution: Execution) -> float:
    """Seconds a step of a fit to a noisy photo."""
    problem, built = noisy_photo(network.size, network.prior, CPU)
    dense = Mask.dense(built.prunable())
    mask = random_mask(dense, max(1, round(density * dense.total)))
    built.rewind(built.snapshot(), mask.layers)
    subject = Subject(prior=built, problem=problem, draws=keyed(0, "input noise"))
    (result,) = Fit(steps=steps, execution=execution).run([subject], mask)
    return result.seconds / steps


def random_mask(dense: Mask, kept: int) -> Mask:
    """As many weights as asked for, drawn without regard to layers."""
    draws = torch.Generator().manual_seed(0)
    order = torch.randperm(dense.total, generator=draws)
    flat = torch.zeros(dense.total, dtype=torch.bool)
    flat[order[:kept]] = True
    parts = flat.split([layer.numel() for layer in dense.layers.values()])
    named = zip(dense.layers.items(), parts, strict=True)
    return Mask({name: part.view(layer.shape) for (name, layer), part in named})


def ladder_s(network: Network, steps: int) -> Times:
    """Seconds of a trajectory of each execution: 16 prunings of 20 % of what remains."""
    found: dict[Execution, float] = {}
    for execution in EXECUTIONS:
        trial = Trajectory(
            images=(BuiltinImage(name="astronaut", size=(network.size, network.size)),),
            task=Denoising(sigma=25.0),
            prior=network.prior,
            fit=Fit(steps=steps, execution=execution),
        )
        started = time.perf_counter()
        levels = len(list(run(trial, Context(device=CPU))))
        found[execution] = time.perf_counter() - started
        if levels != 17:
            raise ValueError(f"the ladder ended after {levels} levels")
    return found


def figure(found: Mapping[str, Mapping[float, list[Times]]]) -> go.Figure:
    """Milliseconds a step against density, a colour a network; dense steps are dashed."""
    drawn = go.Figure()
    for colour, (name, by_density) in zip(OKABE_ITO, found.items(), strict=False):
        for execution, dash in zip(EXECUTIONS, ("dash", "solid"), strict=True):
            drawn.add_scatter(
                x=list(by_density),
                y=[1000 * least(rounds, execution) for rounds in by_density.values()],
                name=f"{name}, {execution}",
                mode="lines+markers",
                line={"color": colour, "dash": dash},
            )
    drawn.update_layout(layout(""), showlegend=True)
    densities = sorted({density for rows in found.values() for density in rows})
    drawn.update_xaxes(
        title={"text": "Density"},
        type="log",
        tickvals=densities,
        ticktext=[f"{density:g}" for density in densities],
        **axis_lines(),
    )
    drawn.update_yaxes(title={"text": "Milliseconds a step"}, type="log", dtick=1, **axis_lines())
    return drawn


def least(rounds: list[Times], execution: Execution) -> float:
    """The least over rounds: what else a machine does only adds to it."""
    return min(times[execution] for times in rounds)


if __name__ == "__main__":
    typer.run(main)
