"""What reduced precision costs in decibels: fits that are the same but for it.

    python benchmarks/precision.py                    # bf16 on this machine's device
    python benchmarks/precision.py --device cuda --precision tf32 --size 128

The fit is the quickstart's, and so is the network by default. Each fit to a photo with a seed is
run in fp32 and in the other precision. Reported are decibels, the other precision minus fp32: the
mean over photos and seeds with its 95 % interval, and the standard deviation of one pair.
"""

import itertools
import math
import statistics
from dataclasses import replace
from typing import Annotated, cast

import torch
import typer
from rounding import PHOTOS, psnrs_of, thinned
from scipy import stats

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, HeldOut
from lip_ray.fits.numerics import Precision
from lip_ray.priors import Skip
from lip_ray.tasks import Denoising
from lip_ray.trials.bench import Bench, Setting

QUICKSTART = Fit(learning_rate=0.03, input_noise=0, average=0.9, held_out=0.03, stopping=HeldOut())
DENSITIES = (1.0, 0.1)


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    precision: Annotated[str, typer.Option(help="bf16 or tf32.")] = "bf16",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 64,
    steps: int = 400,
    sigma: Annotated[float, typer.Option(help="Of the noise, in grey levels.")] = 25.0,
    width: int = 32,
    scales: int = 4,
    seeds: int = 6,
    photos: Annotated[int, typer.Option(help="How many of the photos.")] = len(PHOTOS),
) -> None:
    """Print the mean difference of peak, selected and final PSNR at each density."""
    torch.set_num_threads(1)
    where = torch.device(device)
    print(
        f"{device}, {precision} minus fp32: {size}×{size}, width {width}, {scales} scales, "
        f"σ = {sigma:g}, {steps} steps; {photos} photos with {seeds} seeds each"
    )
    settings = [
        Setting(
            trial_id=photo,
            images=(BuiltinImage(name=photo, size=(size, size)),),
            task=Denoising(sigma=sigma),
            prior=Skip(width=width, scales=scales, input_channels=16),
            fit=QUICKSTART.model_copy(update={"steps": steps}),
            seed=seed,
        )
        for photo, seed in itertools.product(PHOTOS[:photos], range(seeds))
    ]
    for density in DENSITIES:
        pairs = [
            [fitted(setting, each, density, where) for each in ("fp32", cast(Precision, precision))]
            for setting in settings
        ]
        said = [
            f"{which} {interval([other[which] - exact[which] for exact, other in pairs])}"
            for which in ("peak", "selected", "final")
        ]
        print(f"  density {density:g}: {'; '.join(said)}")


def fitted(
    setting: Setting, precision: Precision, density: float, device: torch.device
) -> dict[str, float]:
    """Peak, selected and final PSNR of one fit in dB."""
    fit = setting.fit.model_copy(update={"precision": precision})
    bench = Bench(replace(setting, fit=fit), device)
    (result,) = bench.fit(0, bench.initial, thinned(bench.dense, density))
    return psnrs_of(result, setting, device)


def interval(values: list[float]) -> str:
    """The mean with its 95 % interval by Student's t, and the standard deviation."""
    spread = statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return f"{mean:+.2f} [{mean - half:+.2f}, {mean + half:+.2f}] dB, sd {spread:.2f}"


if __name__ == "__main__":
    typer.run(main)
