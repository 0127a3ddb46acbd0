"""How far generated pictures are from real ones: the Fréchet distance of their coarse pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 8
"""Pictures are averaged to at most so many pixels a side."""


def pixel_features(pictures: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 1] → (N, features) float64: pixels averaged to at most 8×8 a channel.

    Values outside [0, 1] count as its ends, as they would in a file. Unlike the features of a
    classifier these need no download and fit every domain, but they see no finer detail.
    """
    height, width = pictures.shape[-2:]
    coarse = F.adaptive_avg_pool2d(
        pictures.clamp(0, 1).double(), (min(height, SIDE), min(width, SIDE))
    )
    return coarse.flatten(1)


def frechet(features: Tensor, others: Tensor) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets (Dowson & Landau 1982).

    ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), of (N, features) float64 with N ≥ 2 each; covariances
    are unbiased and may be singular. Where Σ = RᵀR, the trace of the root is the sum of the
    singular values of R₁R₂ᵀ: so nothing is squared first and no root is taken of rounding errors.
    """
    root, other_root = _covariance_root(features), _covariance_root(others)
    shift = (features.mean(0) - others.mean(0)).square().sum()
    spread = root.square().sum() + other_root.square().sum()
    shared = torch.linalg.svdvals(root @ other_root.T).sum()
    return max(0.0, float(shift + spread - 2 * shared))


def _covariance_root(features: Tensor) -> Tensor:
    """R, at most as high as wide, with RᵀR the covariance. Raises ValueError for one sample."""
    count = len(features)
    if count < 2:
        raise ValueError(f"a covariance needs at least two pictures, got {count}")
    root: Tensor = torch.linalg.qr(features - features.mean(0), mode="r").R
    return root.div((count - 1) ** 0.5)
