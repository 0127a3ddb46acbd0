"""GraSP against its closed form, the whole Hessian, and what it is for: the gradient's norm."""

import pytest
import torch
from torch import Tensor
from toys import CHAIN, by_layer, chain_context, chain_loss, context, mixed_context

from lip_ray.data.images import BuiltinImage
from lip_ray.priors import Skip
from lip_ray.pruning import Grasp, Mask, ScoreContext, Snip, keep_top
from lip_ray.tasks import Denoising


def test_two_linear_convolutions_by_hand() -> None:
    """With r = −2, x = ½: g_a = r x b = (¼, −3), g_b = r x a = (−2, ½).

    (Hg)_a = x² b (b·g_a + a·g_b) + r x g_b and (Hg)_b = x² a (a·g_b + b·g_a) + r x g_a, where
    b·g_a = −9.0625, a·g_b = −4.25, so (Hg)_a = (2.83203125, −10.484375) and
    (Hg)_b = (−6.90625, 4.6640625).
    """
    scores = Grasp().score(chain_context())
    expected = by_layer([2 * 2.83203125, 5.2421875], [-0.25 * -6.90625, 3 * 4.6640625])
    torch.testing.assert_close(scores, expected)


def test_a_separable_quadratic_where_the_published_slip_ranks_otherwise() -> None:
    """L = Σ ½ h w², so g = h w and w·Hg = h² · h w² ÷ h = (h w)².

    Differentiating Σ g·w instead of gᵀg gives g + Hw = 2 h w, and w (g + Hw) = 2 h w²: the order of
    the two weights turns.
    """
    h, w = torch.tensor([1.0, 9.0]), torch.tensor([4.0, 1.0])
    loss = lambda weights: 0.5 * (h * weights["w"].square()).sum()  # noqa: E731
    scores = Grasp().score(context({"w": w}, loss=loss))
    torch.testing.assert_close(scores["w"], torch.tensor([16.0, 81.0]))
    dense = Mask.dense({"w": w})
    assert keep_top(scores, dense, kept=1).layers["w"].tolist() == [False, True]
    slip = {"w": 2 * h * w.square()}
    assert keep_top(slip, dense, kept=1).layers["w"].tolist() == [True, False]


def test_the_whole_hessian() -> None:
    """The Hessian of a network with normalisation and activations, row by row."""
    given = mixed_context()
    sizes = [weight.numel() for weight in given.weights.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(given.weights.items(), flat.split(sizes), strict=True)
        return given.loss({name: part.view_as(weight) for (name, weight), part in parts})

    flat = torch.cat([weight.flatten() for weight in given.weights.values()])
    point = flat.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    expected = flat * (torch.autograd.functional.hessian(loss, flat) @ gradient)
    found = torch.cat([score.flatten() for score in Grasp().score(given).values()])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-14)


def squared_norm(given: ScoreContext, weights: dict[str, Tensor]) -> float:
    leaves = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    gradients = torch.autograd.grad(given.loss(leaves), list(leaves.values()))
    return sum(float(gradient.square().sum()) for gradient in gradients)


@pytest.mark.parametrize("which", [0, 7, 40])
def test_shrinking_a_weight_of_high_score_costs_gradient_norm(which: int) -> None:
    """d/dα of ‖g‖² for w → (1 − α) w in one place is −2 w·Hg there: high scores are worth keeping.

    The published slip, keeping the lowest, would be off by the sign.
    """
    given = mixed_context()
    name = "stem.1.weight"
    score = float(Grasp().score(given)[name].flatten()[which])
    norms = []
    for alpha in (1e-5, -1e-5):
        moved = {n: w.clone() for n, w in given.weights.items()}
        moved[name].view(-1)[which] *= 1 - alpha
        norms.append(squared_norm(given, moved))
    assert (norms[0] - norms[1]) / 2e-5 == pytest.approx(-2 * score, rel=1e-5)


def test_what_is_pruned_is_no_direction() -> None:
    """With a₁ pruned, g_a₁ is left out of g: (Hg)_b follows from g_a₂ and g_b alone."""
    mask = Mask.dense(CHAIN)
    mask = Mask(mask.layers | {"first.weight": torch.tensor([False, True]).view(2, 1, 1, 1)})
    masked = {name: weight * mask.layers[name] for name, weight in CHAIN.items()}
    # a = (0, −½), a·b = −3/2, r = −7/4, r x = −7/8: g_a₂ = −21/8, g_b = (0, 7/16)
    # (Hg)_a₂ = x² b₂ (b₂ g_a₂ + a·g_b) + r x g_b₂, (Hg)_b = x² a (a·g_b + b₂ g_a₂) + (0, r x g_a₂)
    inner = 3 * -21 / 8 - 0.5 * 7 / 16
    expected = by_layer(
        [0.0, -0.5 * (0.25 * 3 * inner - 7 / 8 * 7 / 16)],
        [0.0, 3 * (0.25 * -0.5 * inner + 7 / 8 * 21 / 8)],
    )
    scores = Grasp().score(context(masked, mask=mask, loss=chain_loss))
    torch.testing.assert_close(scores, expected)


class Held:
    """Counts the bytes saved for differentiating, each storage once, at their highest."""

    def __init__(self) -> None:
        self._uses: dict[int, list[int]] = {}
        self.most = 0

    def pack(self, tensor: Tensor) -> "Saved":
        storage = tensor.untyped_storage()
        entry = self._uses.setdefault(storage.data_ptr(), [storage.nbytes(), 0])
        entry[1] += 1
        self.most = max(self.most, sum(size for size, _ in self._uses.values()))
        return Saved(tensor, self)

    def drop(self, tensor: Tensor) -> None:
        key = tensor.untyped_storage().data_ptr()
        self._uses[key][1] -= 1
        if not self._uses[key][1]:
            del self._uses[key]


class Saved:
    """One tensor in the graph."""

    def __init__(self, tensor: Tensor, held: Held) -> None:
        self.tensor, self._held = tensor, held

    def __del__(self) -> None:
        self._held.drop(self.tensor)


def test_no_more_than_two_copies_of_the_activations_are_held() -> None:
    """Against SNIP, which holds the forward pass's for one pass back."""
    image = BuiltinImage(name="astronaut", size=(64, 64))
    problem = Denoising(sigma=25.0).realise(image, seed=0, device=torch.device("cpu"))
    spec = Skip(width=16, scales=3)
    prior = spec.build((3, 64, 64), seed=0, image="cat", device=torch.device("cpu"))
    given = context(
        {name: weight.detach() for name, weight in prior.prunable().items()},
        loss=lambda weights: problem.loss(prior.restored_with(weights)),
    )
    most = {}
    for pruner in (Snip(), Grasp()):
        held = Held()
        with torch.autograd.graph.saved_tensors_hooks(held.pack, lambda saved: saved.tensor):
            pruner.score(given)
        most[pruner.kind] = held.most
    assert most["snip"] > 1_000_000
    assert most["snip"] < most["grasp"] < 2 * most["snip"]
