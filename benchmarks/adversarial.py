"""What the adversarial fit costs beside its bare steps: masks, average, draws, looks at the device.

    python benchmarks/adversarial.py                          # this machine's device, 32×32
    python benchmarks/adversarial.py --device cuda --size 64 --width 64 --precision bf16

Rounds interleave the two loops, so that a machine's moods meet both alike; a ratio is taken within
a round and reported as its median over rounds, with the lowest and highest.
"""

from typing import Annotated, Literal, cast

import torch
import typer
from fit import Loop, Stopwatch, half, spread
from torch import Tensor, nn

from lip_ray.fits import AdversarialFit, arithmetic
from lip_ray.fits.numerics import Precision
from lip_ray.priors.generators import Dcgan
from lip_ray.rng import keyed


def main(
    device: str = "cuda" if torch.cuda.is_available() else "cpu",
    size: Annotated[int, typer.Option(help="Height and width in pixels.")] = 32,
    width: Annotated[int, typer.Option(help="Channels of both networks at that size.")] = 32,
    batch: int = 64,
    steps: Annotated[int, typer.Option(help="Per loop and round.")] = 10,
    rounds: int = 7,
    threads: int = torch.get_num_threads(),
    precision: Annotated[str, typer.Option(help="fp32, tf32 or bf16; of both loops.")] = "fp32",
) -> None:
    """Print seconds a step of each loop, and their ratio."""
    torch.set_num_threads(threads)
    where = torch.device(device)
    side = cast(Literal[32], size)  # the spec refuses what is none
    spec = Dcgan(size=side, width=width)
    fit = AdversarialFit(batch=batch, precision=cast(Precision, precision))
    loops = {"bare": bare(spec, fit, where, steps), "ours": ours(spec, fit, where, steps)}
    for loop in loops.values():
        loop()  # warm up: kernels are chosen, memory is taken
    seconds = [{name: loop() / steps for name, loop in loops.items()} for _ in range(rounds)]
    print(f"{device}, {size}×{size}, width {width}, batch {batch}, {threads} threads, {precision}")
    print(f"{rounds} rounds of {steps} steps; median [lowest, highest]")
    for name in loops:
        print(f"  {name:<12} {spread([1000 * row[name] for row in seconds])} ms a step")
    print(f"  ours ÷ bare  {spread([row['ours'] / row['bare'] for row in seconds])}")


def pictures(spec: Dcgan) -> Tensor:
    """Noise as training images, (count, channels, size, size) uint8."""
    draws = keyed(0, "benchmark pictures")
    return torch.randint(256, (1000, *spec.image_shape), generator=draws, dtype=torch.uint8)


def ours(spec: Dcgan, fit: AdversarialFit, device: torch.device, steps: int) -> Loop:
    """The loop that a generator trial runs, both networks at density 0.5."""
    made, judge = spec.build(seed=0, device=device), spec.build_critic(seed=0, device=device)
    masks = half(made), half(judge)
    for network, mask in zip((made, judge), masks, strict=True):
        network.rewind(network.snapshot(), mask.layers)
    images = pictures(spec)
    return lambda: fit.rehearse(made, judge, spec, images, *masks, steps=steps)


def bare(spec: Dcgan, fit: AdversarialFit, device: torch.device, steps: int) -> Loop:
    """Forward, backward and Adam's steps on the same pictures and latents, and nothing else."""
    made, judge = spec.build(seed=0, device=device), spec.build_critic(seed=0, device=device)
    made.module.train()
    judge.module.train()
    adams = [adam(fit, network.module) for network in (made, judge)]
    real = pictures(spec)[: fit.batch].to(device) / 127.5 - 1
    latents = spec.latents(fit.batch, keyed(0, "benchmark latents")).to(device)
    reduced = fit.precision == "bf16"

    def run(module: nn.Module, values: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            output: Tensor = module(values)
        return output.float()

    def step() -> None:
        with torch.no_grad():
            fake = run(made.module, latents)
        mixed = ((real + fake) / 2).requires_grad_()
        scores = judge.module(mixed).sum()
        (slope,) = torch.autograd.grad(scores, mixed, create_graph=True)
        real_scores = run(judge.module, real)
        loss = run(judge.module, fake).mean() - real_scores.mean()
        loss = loss + fit.drift * real_scores.square().mean()
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        (loss + fit.gradient_penalty * penalty).backward()
        adams[1].step()
        adams[1].zero_grad()
        loss = -run(judge.module, run(made.module, latents)).mean()
        loss.backward(inputs=list(made.module.parameters()))
        adams[0].step()
        adams[0].zero_grad()

    def block() -> float:
        with Stopwatch(device) as clock, arithmetic(fit.precision, device):
            for _ in range(steps):
                step()
        return clock.seconds

    return block


def adam(fit: AdversarialFit, module: nn.Module) -> torch.optim.Adam:
    """Adam with the settings of the fit."""
    betas = (fit.beta_1, fit.beta_2)
    return torch.optim.Adam(module.parameters(), lr=fit.learning_rate, betas=betas, fused=True)


if __name__ == "__main__":
    typer.run(main)
