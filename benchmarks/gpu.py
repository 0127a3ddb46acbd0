"""The first hour on a new GPU: what memory layout and precision cost there, in under ten minutes.

    python benchmarks/gpu.py                        # prints a table, and keeps gpu.json
    python benchmarks/gpu.py --device cpu --quick   # seconds: does it run?

Whole steps of a fit are timed, with input noise, loss, Adam, averages and stopping rules: launched
one by one, and replayed as a CUDA graph, which fits on a GPU do. Rounds
interleave the settings of one network and size, so that a machine's moods meet all alike. Beside
its time, each setting has the relative differences of its image and of its gradients from exact
32-bit floats in the contiguous layout, for the same weights, and whether both are the same bits
when they are computed again.
"""

import json
import platform
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from fit import Loop, half, noisy_photo, ours
from torch import Tensor

from lip_ray import __version__
from lip_ray.engine.mps import mps_runs
from lip_ray.fits import Fit, Subject
from lip_ray.fits.numerics import Precision, arithmetic
from lip_ray.fits.replay import WORTH_CAPTURING
from lip_ray.outputs import write_whole
from lip_ray.priors import Skip, UntrainedPrior
from lip_ray.priors.network import LAYOUTS
from lip_ray.rng import keyed
from lip_ray.tasks import Problem

NETWORKS = {
    "small": Skip(width=32, scales=4, input_channels=16),  # the quickstart's
    "2.2 M": Skip(),  # the study's
}
MEMORY = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")
EXACT = ("contiguous", "fp32")
"""The setting that all others are compared with."""
SIZES = (64, 128, 512)
EAGER, REPLAYED = "eager", "replayed"
ANSWERS = {True: "yes", False: "no", None: "not replayed"}
WORTH = 1.1
"""How many times as fast another setting must be to be worth setting."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to compute the steps of one network at one size."""

    network: str
    size: int
    """Height and width in pixels."""
    layout: str
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one setting."""

    setting: Setting
    step_ms: Mapping[str, list[float]]
    """Milliseconds per step, one number per round, by how steps are taken."""
    image_difference: float
    """‖image − exact image‖ ÷ ‖exact image‖, before any step."""
    gradient_difference: float
    """Likewise for the gradients of all weights."""
    same_bits: bool
    """Whether image and gradients were the same bits the second time."""
    replay_is_exact: bool | None
    """Whether a fit of replayed steps has the bits of one of launched steps; None where none are
    replayed."""

    def median_ms(self, way: str = "") -> float:
        """The median over rounds, of steps as fits take them if no way is named."""
        named = way or (REPLAYED if REPLAYED in self.step_ms else EAGER)
        return statistics.median(self.step_ms[named])


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    quick: Annotated[bool, typer.Option(help="The smallest network and size, few steps.")] = False,
    steps: Annotated[int, typer.Option(help="Per setting and round.")] = 100,
    rounds: int = 3,
    output: Annotated[Path, typer.Option(help="The file to keep.")] = Path("gpu.json"),
) -> None:
    """Print milliseconds per step of each setting and what to set, and write both to a file."""
    where = torch.device(device)
    networks, sizes = list(NETWORKS), list(SIZES)
    if quick:
        networks, sizes, steps, rounds = networks[:1], sizes[:1], 2, 1
    about = machine(where)
    print(", ".join(f"{name} {value}" for name, value in about.items() if value is not None))
    findings: list[Finding] = []
    for network, size in product(networks, sizes):
        found = compared(network, size, where, steps=steps, rounds=rounds)
        print("\n".join(table(found, used_layout(where))), flush=True)
        findings += found
    kept = {**about, "findings": [asdict(finding) for finding in findings]}
    write_whole(output, json.dumps(kept, indent=2) + "\n")
    print(f"kept in {output}")


def machine(device: torch.device) -> dict[str, Any]:
    """What the timings are of: the card, and the versions of what computes on it."""
    cuda = device.type == "cuda"
    card = torch.cuda.get_device_properties(device) if cuda else None
    return {
        "card": card.name if card else platform.processor() or platform.machine(),
        "capability": f"{card.major}.{card.minor}" if card else None,
        "memory_bytes": card.total_memory if card else None,
        "mps": mps_runs() if cuda else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "lip-ray": __version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def compared(
    network: str, size: int, device: torch.device, *, steps: int, rounds: int
) -> list[Finding]:
    """All settings of one network and size, timed in turns."""
    settings = [
        Setting(network=network, size=size, layout=layout, precision=precision)
        for layout, precision in product(MEMORY, PRECISIONS)
    ]
    loops = {setting: ways(setting, device, steps) for setting in settings}
    for timed in loops.values():
        for loop in timed.values():
            loop()  # warm up: kernels are chosen, memory is taken
    taken: dict[Setting, dict[str, list[float]]] = {
        setting: {way: [] for way in timed} for setting, timed in loops.items()
    }
    for _ in range(rounds):
        for setting, timed in loops.items():
            for way, loop in timed.items():
                taken[setting][way].append(1000 * loop() / steps)
    exact = passed(replace(settings[0], layout=EXACT[0], precision="fp32"), device)
    return [finding(setting, taken[setting], exact, device) for setting in settings]


def ways(setting: Setting, device: torch.device, steps: int) -> dict[str, Loop]:
    """The ways to take the steps of a setting, by name: launched one by one, or on a GPU replayed
    as a graph; capturing it is part of the time."""
    fit = brief(setting, steps)
    found = {EAGER: ours(*laid_out(setting, device), fit, replay=False)}
    if device.type == "cuda" and steps >= WORTH_CAPTURING:
        found[REPLAYED] = ours(*laid_out(setting, device), fit)
    return found


def brief(setting: Setting, steps: int) -> Fit:
    """A fit of so many steps."""
    return Fit(steps=steps, precision=setting.precision)


def replay_is_exact(setting: Setting, device: torch.device) -> bool | None:
    """Whether a fit that replays its steps records what one does that launches them; None on a
    CPU."""
    if device.type != "cuda":
        return None
    fit = brief(setting, WORTH_CAPTURING)
    results = []
    for replay in (False, True):
        problem, prior = laid_out(setting, device)
        mask = half(prior)
        prior.rewind(prior.snapshot(), mask.layers)
        subject = Subject(prior=prior, problem=problem, draws=keyed(0, "noise", device=device))
        results.append(fit.run((subject,), mask, replay=replay)[0])
    launched, replayed = (result.rows.nan_to_num(nan=-1.0) for result in results)
    return torch.equal(launched, replayed)


def laid_out(setting: Setting, device: torch.device) -> tuple[Problem, UntrainedPrior]:
    """The problem, and the network and its latent in the layout of a setting."""
    problem, prior = noisy_photo(setting.size, NETWORKS[setting.network], device)
    layout = MEMORY[setting.layout]
    module = prior.module.to(memory_format=layout)  # type: ignore[call-overload]
    latent = prior.latent.contiguous(memory_format=layout)
    return problem, replace(prior, module=module, latent=latent)


def finding(
    setting: Setting,
    step_ms: Mapping[str, list[float]],
    exact: tuple[Tensor, Tensor],
    device: torch.device,
) -> Finding:
    """The times of a setting beside what it computes."""
    once, again = passed(setting, device), passed(setting, device)
    image, gradient = (difference(*pair) for pair in zip(once, exact, strict=True))
    return Finding(
        setting=setting,
        step_ms=step_ms,
        image_difference=image,
        gradient_difference=gradient,
        same_bits=all(map(torch.equal, once, again)),
        replay_is_exact=replay_is_exact(setting, device),
    )


def passed(setting: Setting, device: torch.device) -> tuple[Tensor, Tensor]:
    """The image of the initial weights, and the gradients of all weights in one vector."""
    problem, prior = laid_out(setting, device)
    with arithmetic(setting.precision, device):
        with torch.autocast(device.type, torch.bfloat16, enabled=setting.precision == "bf16"):
            image = prior.module(prior.latent)
        problem.loss(image.float()).backward()
    found = (weight.grad for weight in prior.prunable().values())
    gradients = torch.cat([gradient.flatten() for gradient in found if gradient is not None])
    return image.detach().float(), gradients


def difference(one: Tensor, other: Tensor) -> float:
    """‖one − other‖ ÷ ‖other‖."""
    return float((one - other).norm() / other.norm())


def used_layout(device: torch.device) -> str:
    """The layout that fits have on such a device."""
    used = LAYOUTS.get(device.type, torch.contiguous_format)
    return next(name for name, layout in MEMORY.items() if layout is used)


def table(findings: list[Finding], used: str) -> Iterator[str]:
    """The lines of one network and size, the last of which says what to set; `used` is the layout
    that fits have today."""
    first = findings[0]
    taken = list(first.step_ms)
    heads = "".join(f"{way + ', ms':>14}" for way in taken)
    yield f"\n{first.setting.network}, {first.setting.size}×{first.setting.size}"
    yield (
        f"  {'layout':<14}{'precision':<10}{heads}   Δ image  Δ gradient  same bits again  "
        "as replayed"
    )
    for one in findings:
        times = "".join(f"{one.median_ms(way):>14.2f}" for way in taken)
        yield (
            f"  {one.setting.layout:<14}{one.setting.precision:<10}{times}"
            f"{one.image_difference:>10.1e}{one.gradient_difference:>12.1e}  "
            f"{ANSWERS[one.same_bits]:<17}{ANSWERS[one.replay_is_exact]}"
        )
    yield from (f"  {line}" for line in advice(findings, used))


def advice(findings: list[Finding], used: str) -> Iterator[str]:
    """What to set for one network and size, by the times of steps as fits take them."""
    here = {one.setting.precision: one for one in findings if one.setting.layout == used}
    exact = here["fp32"].median_ms()
    gains = {precision: exact / one.median_ms() for precision, one in here.items()}
    worth = [precision for precision, gain in gains.items() if gain >= WORTH]
    for precision in worth:
        yield (
            f"set: --set fit.precision={precision} is {gains[precision]:.1f} times as fast as "
            f"fp32, with gradients {here[precision].gradient_difference:.1e} apart"
        )
    if not worth:
        yield "set: nothing, fp32 is as fast as any"
    fastest, best = min(here.values(), key=Finding.median_ms), min(findings, key=Finding.median_ms)
    gain = fastest.median_ms() / best.median_ms()
    if gain >= WORTH:
        yield (
            f"layout: {best.setting.layout} would be {gain:.1f} times as fast as {used}: "
            "LAYOUTS in lip_ray/priors/network.py"
        )


if __name__ == "__main__":
    typer.run(main)
