"""SNIP against its closed form."""

import torch
import torch.nn.functional as F
from toys import by_layer, chain_context, context

from lip_ray.pruning import Mask, Snip, keep_top


def scores_of(weights, loss):
    return Snip().score(context(weights, loss=loss))


def test_linear_regression_has_a_closed_form() -> None:
    """L = ½(w·x − y)², so |∂L/∂wᵢ · wᵢ| = |(w·x − y) xᵢ wᵢ|."""
    w, x, y = torch.tensor([1.0, -2.0, 0.0, 0.5]), torch.tensor([3.0, 1.0, 7.0, -4.0]), 2.0
    scores = scores_of({"w": w}, lambda weights: 0.5 * ((weights["w"] * x).sum() - y) ** 2)
    torch.testing.assert_close(scores["w"], torch.tensor([9.0, 6.0, 0.0, 6.0]))  # w·x − y = −3


def test_two_linear_convolutions_by_hand() -> None:
    """g_a = r x b and g_b = r x a, so |g·w| is |r x a_i b_i| for both: r x = −1.

    Scores |g| alone, as one published code has them, would rank b₂'s gradient ½ lowest and a₂'s 3
    highest, in the same channel.
    """
    scores = Snip().score(chain_context())
    torch.testing.assert_close(scores, by_layer([0.5, 1.5], [0.5, 1.5]))
    kept = Snip().prune(lambda *_: chain_context(), Mask.dense(scores), kept=2)
    assert kept.layers["first.weight"].flatten().tolist() == [False, True]
    assert kept.layers["second.weight"].flatten().tolist() == [False, True]
    gradients = by_layer([0.25, 3.0], [2.0, 0.5])  # |r x b|, |r x a|
    wrong = keep_top(gradients, Mask.dense(scores), kept=2)
    assert wrong.layers["second.weight"].flatten().tolist() == [True, False]


def test_the_gradient_of_two_convolutions_by_finite_differences() -> None:
    draws = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 1, 2, 5, 5, generator=draws, dtype=torch.float64)
    weights = {
        "first": torch.randn(3, 2, 3, 3, generator=draws, dtype=torch.float64),
        "second": torch.randn(2, 3, 1, 1, generator=draws, dtype=torch.float64),
    }

    def loss(weights) -> torch.Tensor:
        hidden = torch.tanh(F.conv2d(image, weights["first"], padding=1))
        return F.mse_loss(F.conv2d(hidden, weights["second"]), target)

    scores = scores_of(weights, loss)
    for name, index in (("first", (0, 1, 2, 0)), ("first", (2, 0, 1, 1)), ("second", (1, 2, 0, 0))):
        step = 1e-6
        shifted = []
        for sign in (1, -1):
            moved = {n: w.clone() for n, w in weights.items()}
            moved[name][index] += sign * step
            shifted.append(loss(moved))
        slope = (shifted[0] - shifted[1]) / (2 * step)
        torch.testing.assert_close(
            scores[name][index], (slope * weights[name][index]).abs(), rtol=1e-6, atol=1e-10
        )


def test_a_weight_that_the_loss_ignores_goes_first() -> None:
    weights = {"used": torch.tensor([0.01]), "idle": torch.tensor([100.0])}
    scores = scores_of(weights, lambda w: w["used"].square().sum() + 0 * w["idle"].sum())
    chosen = keep_top(scores, Mask.dense(weights), kept=1)
    assert bool(chosen.layers["used"])


def test_scoring_leaves_the_weights_as_they_are() -> None:
    weights = {"w": torch.tensor([1.0, 2.0])}
    scores = scores_of(weights, lambda w: w["w"].square().sum())
    assert weights["w"].grad is None
    assert not weights["w"].requires_grad
    assert not scores["w"].requires_grad
