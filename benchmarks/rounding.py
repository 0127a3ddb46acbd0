"""How far rounding alone moves a fit: the same numbers, added up in another order.

    python benchmarks/rounding.py                     # four photos at 64×64, two densities
    python benchmarks/rounding.py --steps 1000 --size 128

Each fit is repeated with two threads, with another memory layout, with one weight changed by its
last bit, and in sparse execution; everything else is the same. No pair of fits can tell less than
they then differ by. Reported are decibels: the standard deviation over fits, the largest
difference, and the mean difference with its 95 % interval, which holds zero where nothing but
rounding differs.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

import torch
import typer
from torch import Tensor

from lip_ray.analysis.statistics.intervals import mean_interval
from lip_ray.data.images import BuiltinImage, BuiltinName
from lip_ray.fits import Fit, FitResult, HeldOut, Snapshot
from lip_ray.priors import Skip
from lip_ray.pruning import Mask
from lip_ray.pruning.allocation import keep_counts
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising
from lip_ray.trials.bench import Bench, Setting

CPU = torch.device("cpu")
PHOTOS: tuple[BuiltinName, ...] = ("astronaut", "chelsea", "coffee", "rocket")
DENSITIES = (1.0, 0.1)

Variant = Callable[[Setting, float], FitResult]


def main(
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 64,
    steps: int = 600,
    sigma: Annotated[float, typer.Option(help="Of the noise, in grey levels.")] = 25.0,
    width: int = 32,
    scales: int = 4,
    photos: Annotated[int, typer.Option(help="How many of the photos.")] = len(PHOTOS),
    seeds: Annotated[int, typer.Option(help="Of initial weights and noise.")] = 1,
    only: Annotated[str, typer.Option(help="One of the changes; all without it.")] = "",
) -> None:
    """Print the spread of peak, selected and final PSNR by what was added up in another order."""
    variants = {name: one for name, one in VARIANTS.items() if only in (name, "")}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for photo, density, seed in itertools.product(PHOTOS[:photos], DENSITIES, range(seeds)):
        setting = Setting(
            trial_id=photo,
            images=(BuiltinImage(name=photo, size=(size, size)),),
            task=Denoising(sigma=sigma),
            prior=Skip(width=width, scales=scales),
            fit=Fit(steps=steps, held_out=0.03, stopping=HeldOut()),
            seed=seed,
        )
        first = psnrs(setting, density, plainly)
        for name, variant in variants.items():
            again = psnrs(setting, density, variant)
            found[name].append({which: again[which] - first[which] for which in first})
    print(f"{size}×{size}, width {width}, {scales} scales, σ = {sigma:g}, {steps} steps")
    print(
        f"{photos} photos, {seeds} seeds, densities {DENSITIES}; dB: standard deviation, largest,"
    )
    print("mean difference with its 95 % interval")
    for name, differences in found.items():
        print(f"  {name:<20}" + "".join(said(differences, which) for which in differences[0]))


def said(differences: list[dict[str, float]], which: str) -> str:
    """The spread of one PSNR in words; half of a difference's variance is of either fit."""
    values = [each[which] for each in differences]
    spread = math.sqrt(statistics.fmean(value**2 for value in values) / 2)
    about = mean_interval([[value] for value in values])
    return (
        f"  {which} {spread:.3f}, {max(map(abs, values)):.2f}, "
        f"{about.mean:+.3f} [{about.low:+.3f}, {about.high:+.3f}]"
    )


def psnrs(setting: Setting, density: float, variant: Variant) -> dict[str, float]:
    """Peak, selected and final PSNR of one fit."""
    return psnrs_of(variant(setting, density), setting, CPU)


def psnrs_of(result: FitResult, setting: Setting, device: torch.device) -> dict[str, float]:
    """Peak, selected and final PSNR of a fit's result in dB."""
    problem = setting.problem(setting.images[0], device)

    def psnr(snapshot: Snapshot | None) -> float:
        return math.nan if snapshot is None else float(problem.psnr(snapshot.image))

    return {
        "peak": psnr(result.peak),
        "selected": psnr(result.selected),
        "final": psnr(result.final),
    }


def thinned(dense: Mask, density: float) -> Mask:
    """A random mask with that share of each layer's weights, one of them at least."""
    draws = keyed(0, "random pruning")
    scores = {
        name: torch.rand(layer.shape, generator=draws).to(layer.device)
        for name, layer in dense.layers.items()
    }
    counts = {name: max(1, round(layer.numel() * density)) for name, layer in dense.layers.items()}
    return keep_counts(scores, dense, counts=counts)


def ready(setting: Setting, density: float) -> tuple[Bench, Mask]:
    """The bench of a fit, and its mask."""
    bench = Bench(setting, CPU)
    return bench, thinned(bench.dense, density)


def fitted(bench: Bench, mask: Mask, start: Mapping[str, Tensor], *, threads: int = 1) -> FitResult:
    """One fit with so many threads."""
    torch.set_num_threads(threads)
    try:
        (result,) = bench.fit(0, start, mask)
    finally:
        torch.set_num_threads(1)
    return result


def plainly(setting: Setting, density: float) -> FitResult:
    """One fit with one thread."""
    bench, mask = ready(setting, density)
    return fitted(bench, mask, bench.initial)


def two_threads(setting: Setting, density: float) -> FitResult:
    """The same with two threads."""
    bench, mask = ready(setting, density)
    return fitted(bench, mask, bench.initial, threads=2)


def channels_last(setting: Setting, density: float) -> FitResult:
    """The same with channels innermost in memory."""
    bench, mask = ready(setting, density)
    bench.prior.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fitted(bench, mask, bench.initial)


def sparse(setting: Setting, density: float) -> FitResult:
    """The same with kept weights only."""
    fit = setting.fit.model_copy(update={"execution": "sparse"})
    return plainly(replace(setting, fit=fit), density)


def last_bit(setting: Setting, density: float) -> FitResult:
    """The same from initial weights of which one is the next larger number."""
    bench, mask = ready(setting, density)
    start = dict(bench.initial)
    name = next(iter(mask.layers))
    kept = int(mask.layers[name].flatten().nonzero()[0])
    changed = start[name].clone()
    flat = changed.view(-1)
    flat[kept] = torch.nextafter(flat[kept], flat.new_tensor(math.inf))
    return fitted(bench, mask, start | {name: changed})


VARIANTS: dict[str, Variant] = {
    "two threads": two_threads,
    "channels last": channels_last,
    "last bit of a weight": last_bit,
    "sparse execution": sparse,
}


if __name__ == "__main__":
    typer.run(main)
