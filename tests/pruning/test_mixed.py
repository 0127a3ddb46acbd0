"""Every criterion on a network of mixed layers: none is left unpruned by accident."""

import pytest
import torch
from torch import nn
from toys import mixed_context

from lip_ray.pruning import Grasp, Magnitude, Mask, Oes, Random, ScoreContext, Snip, Synflow

CRITERIA = (
    Magnitude(),
    Random(),
    Snip(),
    Snip(rounds=3),
    Grasp(),
    Grasp(rounds=3),
    Synflow(rounds=10),
    Oes(steps=20),
)


def context_of(mask: Mask, density: float) -> ScoreContext:
    whole = mixed_context()
    masked = {name: weight * mask.layers[name] for name, weight in whole.weights.items()}
    return mixed_context(mask=mask, density=density) if mask.density == 1 else pruned(mask, masked)


def pruned(mask: Mask, weights: dict[str, torch.Tensor]) -> ScoreContext:
    whole = mixed_context()
    return ScoreContext(
        weights=weights,
        mask=mask,
        density=mask.density / 2,
        loss=whole.loss,
        module=whole.module,
        latent_shape=whole.latent_shape,
        seed=whole.seed,
        level=whole.level,
    )


@pytest.mark.parametrize("pruner", CRITERIA, ids=repr)
def test_every_convolution_is_scored_weight_by_weight(pruner) -> None:
    given = mixed_context()
    convolutions = [m for m in given.module.modules() if isinstance(m, nn.Conv2d)]
    scores = pruner.score(given)
    assert len(scores) == len(convolutions) == 5
    for score, layer in zip(scores.values(), convolutions, strict=True):
        assert score.shape == layer.weight.shape
        assert bool(torch.isfinite(score).all())
        assert len(score.unique()) > score.numel() / 2


@pytest.mark.parametrize("pruner", CRITERIA, ids=repr)
def test_every_layer_loses_weights_at_a_low_density(pruner) -> None:
    dense = Mask.dense(mixed_context().weights)
    chosen = pruner.prune(context_of, dense, kept=dense.total // 20)
    for name, layer in chosen.layers.items():
        assert int(layer.sum()) < layer.numel(), name


@pytest.mark.parametrize("scope", ["layer", "erk"])
@pytest.mark.parametrize("pruner", CRITERIA, ids=repr)
def test_every_layer_has_the_share_that_the_scope_says(pruner, scope: str) -> None:
    dense = Mask.dense(mixed_context().weights)
    chosen = pruner.model_copy(update={"scope": scope}).prune(context_of, dense, kept=200)
    counts = [int(layer.sum()) for layer in chosen.layers.values()]
    # 162, 108, 24, 36, 18 weights of 348; sums of sides 15, 14, 12, 12, 11: the last three fill up
    assert counts == ([93, 62, 14, 21, 10] if scope == "layer" else [63, 59, 24, 36, 18])
