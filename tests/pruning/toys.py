"""Networks small enough to work out by hand, and contexts over them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lip_ray.pruning import Mask, ScoreContext

CHAIN = {
    "first.weight": torch.tensor([2.0, -0.5]).view(2, 1, 1, 1),
    "second.weight": torch.tensor([-0.25, 3.0]).view(1, 2, 1, 1),
}
"""One channel to two to one: y = (a·b) x with a = (2, −½), b = (−¼, 3), so a·b = −2."""
X, T = 0.5, 1.0
"""Input and target: y = −1, so the residual r = y − t is −2."""


def forbidden(_: Mapping[str, Tensor]) -> Tensor:
    """The loss of a criterion that must not look at the data."""
    raise AssertionError("this criterion has no use for the loss")


def context(weights: Mapping[str, Tensor], **parts: Any) -> ScoreContext:
    """A context of the dense network; what is not said may not be looked at."""
    given = {
        "mask": Mask.dense(weights),
        "density": 0.5,
        "loss": forbidden,
        "module": nn.Module(),
        "latent_shape": (1, 1, 1),
        "seed": 0,
        "level": 1,
    }
    return ScoreContext(weights=weights, **(given | parts))


def chain_loss(weights: Mapping[str, Tensor]) -> Tensor:
    """½ (a·b x − t)², by convolutions."""
    image = torch.full((1, 1, 1, 1), X, dtype=weights["first.weight"].dtype)
    hidden = torch.conv2d(image, weights["first.weight"])
    return 0.5 * (torch.conv2d(hidden, weights["second.weight"]) - T).square().sum()


def chain_context(**parts: Any) -> ScoreContext:
    """The chain and its loss."""
    return context(CHAIN, **({"loss": chain_loss} | parts))


def by_layer(first: list[float], second: list[float]) -> dict[str, Tensor]:
    """Numbers in the shape of the chain's weights."""
    return {
        "first.weight": torch.tensor(first).view(2, 1, 1, 1),
        "second.weight": torch.tensor(second).view(1, 2, 1, 1),
    }


class Mixed(nn.Module):
    """Convolutions of every sort that a prior may hold, one of them grouped, one without bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.LeakyReLU(0.2, True)
        )
        self.down = nn.Sequential(
            nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=3), nn.ReLU(inplace=True)
        )
        self.point = nn.Conv2d(6, 4, 1, bias=False)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.skip = nn.Conv2d(6, 2, (1, 3), padding=(0, 1))
        self.head = nn.Sequential(nn.Conv2d(6, 3, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        branches = self.up(self.point(self.down(stem))), self.skip(stem)
        return self.head(torch.cat(branches, dim=1))


def mixed_context(**parts: Any) -> ScoreContext:
    """The mixed network in double precision, fitted to noise."""
    draws = torch.Generator().manual_seed(0)
    module = Mixed().double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) / 3)
    latent, target = torch.rand(2, 1, 3, 8, 8, generator=draws, dtype=torch.float64)

    def loss(weights: Mapping[str, Tensor]) -> Tensor:
        buffers = {name: value.clone() for name, value in module.named_buffers()}
        output = torch.func.functional_call(module, dict(weights) | buffers, latent)
        return (output - target).square().mean()

    weights = {
        f"{name}.weight": layer.weight.detach()
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    given = {"loss": loss, "module": module, "latent_shape": (3, 2, 2)}
    return context(weights, **(given | parts))
