"""The critic for generators that do not bring one of their own."""

from torch import nn

from lip_ray.priors.base import Shape
from lip_ray.priors.generators.blocks import SLOPE

SMALLEST = 4
"""The side in pixels at which the linear layer takes over,"""
FEWEST = 2
"""but not before this number of convolutions, as images of 8 pixels would hardly be judged."""
WIDEST = 512


def critic(image_shape: Shape, *, width: int) -> nn.Module:
    r"""(N, C, H, W) → (N,) scores: convolutions 4×4 of stride 2, then one linear layer.

    It has `width` channels at first, twice as many at each scale up to 512; LeakyReLU 0.2; no
    normalisation, so that the score of an image depends on no other (Gulrajani et al. 2017, arXiv
    1704.00028, section 4).
    """
    inward, height, width_px = image_shape
    layers: list[nn.Module] = []
    scales = 0
    while min(height, width_px) > (SMALLEST if scales >= FEWEST else 1):
        scales += 1
        layers += [nn.Conv2d(inward, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        inward, width = width, min(2 * width, max(width, WIDEST))
        height, width_px = height // 2, width_px // 2
    layers += [nn.Flatten(), nn.Linear(inward * height * width_px, 1), nn.Flatten(0)]
    return nn.Sequential(*layers)
