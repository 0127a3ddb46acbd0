"""The loop of the original scripts, written from its description, beside a fit of ours.

The network is the skip network of Deep Image Prior. The loop is that by which the study of lottery
image priors evaluates tickets: a latent with new noise at every step, the mean squared error to the
noisy image, Adam at 0.01 on all parameters, gradients of pruned weights set to zero, and an average
of the outputs with a decay of 0.99. Only the random numbers are shared with the tested fit.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, Subject
from lip_ray.fits.trace import LOSS, PSNR
from lip_ray.priors import Skip
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising
from lip_ray.trials.bench import Bench, Setting

WIDTH, SCALES, SKIP, LATENT = 16, 3, 4, 8
STEPS = 50
EARLY = 8
CPU = torch.device("cpu")


def convolution(inward: int, outward: int, side: int, stride: int = 1) -> list[nn.Module]:
    return [nn.ReflectionPad2d(side // 2), nn.Conv2d(inward, outward, side, stride)]


def activated(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.LeakyReLU(0.2)]


class Scale(nn.Module):
    """Down, whatever is below, up; beside it the skip connection; then convolutions of both."""

    def __init__(self, inward: int, below: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(*convolution(inward, SKIP, 1), *activated(SKIP))
        self.down = nn.Sequential(
            *convolution(inward, WIDTH, 3, 2),
            *activated(WIDTH),
            *convolution(WIDTH, WIDTH, 3),
            *activated(WIDTH),
        )
        self.below = Scale(WIDTH, below - 1) if below else nn.Identity()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.joined = nn.Sequential(
            nn.BatchNorm2d(SKIP + WIDTH),
            *convolution(SKIP + WIDTH, WIDTH, 3),
            *activated(WIDTH),
            *convolution(WIDTH, WIDTH, 1),
            *activated(WIDTH),
        )

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([self.skip(x), self.up(self.below(self.down(x)))], dim=1)
        return self.joined(both)  # type: ignore[no-any-return]


def original_network(weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with weights in the order in which it uses them, as state dicts have them."""
    network = nn.Sequential(Scale(LATENT, SCALES - 1), *convolution(WIDTH, 3, 1), nn.Sigmoid())
    own = network.state_dict()
    assert [value.shape for value in own.values()] == [value.shape for value in weights.values()]
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))
    return network.train()


def original_loop(
    weights: Mapping[str, Tensor], subject: Subject, kept: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """The loss, and the PSNR of the averaged output, of every step, in either precision."""
    network = original_network(weights).to(dtype)
    latent, noisy = subject.prior.latent.to(dtype), subject.problem.measured.to(dtype)
    clean = cast(Tensor, subject.problem.clean).to(dtype).numpy()
    noise_of = keyed(0, "input noise", image="chelsea")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    average, losses, psnrs = None, [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        noise = torch.empty(latent.shape).normal_(generator=noise_of).to(dtype)
        output = network(latent + noise * (1 / 30))
        loss = nn.functional.mse_loss(output, noisy)
        loss.backward()
        for layer, mask in zip(convolutions, kept.values(), strict=True):
            assert layer.weight.grad is not None
            layer.weight.grad *= mask
        optimizer.step()
        image = output.detach().numpy()
        average = image if average is None else average * 0.99 + image * (1 - 0.99)
        losses.append(loss.item())
        psnrs.append(10 * np.log10(1 / np.mean((clean - average) ** 2)))
    return np.array(losses), np.array(psnrs)


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_a_fit_follows_the_original_loop_step_by_step(density: float) -> None:
    """The fit is as near to the loop in float64 as the loop in float32 is, dense and pruned."""
    setting = Setting(
        trial_id="original",
        images=(BuiltinImage(name="chelsea", rows=(0, 300), columns=(75, 375), size=(64, 64)),),
        task=Denoising(sigma=25.0),
        prior=Skip(width=WIDTH, scales=SCALES, skip_width=SKIP, input_channels=LATENT),
        fit=Fit(steps=STEPS),
        seed=0,
    )
    bench = Bench(setting, CPU)
    draws = torch.Generator().manual_seed(0)
    mask = Mask(
        {
            name: torch.rand(layer.shape, generator=draws) < density
            for name, layer in bench.dense.layers.items()
        }
    )
    start = {
        name: value * mask.layers[name] if name in mask.layers else value
        for name, value in bench.initial.items()
    }
    (subject,) = bench.subjects(level=0)
    exact, rounded = (
        original_loop(start, subject, mask.layers, dtype)
        for dtype in (torch.float64, torch.float32)
    )

    (result,) = bench.fit(0, bench.initial, mask)

    ours = result.rows[:, LOSS].numpy(), result.rows[:, PSNR].numpy()
    for found, loop, true in zip(ours, rounded, exact, strict=True):
        assert found[:EARLY] == pytest.approx(true[:EARLY], rel=1e-3), "before rounding has grown"
        assert np.abs(found - true).max() < 4 * np.abs(loop - true).max()
    assert exact[1][-1] > exact[1][0] + 2, "fifty steps learn something"
