"""SynFlow: flows counted by hand, conservation, and no layer lost."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from toys import CHAIN, Mixed, by_layer, context, mixed_context

from lip_ray.priors import Skip
from lip_ray.pruning import Mask, ScoreContext, Synflow, effective, keep_top


def weights_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f"{name}.weight": layer.weight.detach()
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d)
    }


def chain(*channels: int, kernel: int = 1) -> nn.Sequential:
    """Convolutions with all in between that a linear network does not have."""
    layers: list[nn.Module] = []
    for inward, outward in pairwise(channels):
        layers += [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(inward, outward, kernel)]
        layers += [nn.BatchNorm2d(outward), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Sigmoid())


class Two(nn.Module):
    """The chain of `toys`, with biases and a squashed output, which the flow must not see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
        self.second, self.squash = nn.Conv2d(2, 1, 1), nn.Sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.squash(self.second(self.norm(self.first(x))))


def pruned_by(pruner: Synflow, module: nn.Module, shape: tuple[int, int, int], kept: int) -> Mask:
    weights = weights_of(module)

    def context_of(mask: Mask, density: float) -> ScoreContext:
        masked = {name: weight * mask.layers[name] for name, weight in weights.items()}
        return context(masked, mask=mask, density=density, module=module, latent_shape=shape)

    return pruner.prune(context_of, Mask.dense(weights), kept=kept)


def test_two_convolutions_by_hand() -> None:
    """R = |a₁b₁| + |a₂b₂|, so each weight has its channel's part: ½ and 3/2.

    Gradients alone, as one published code has them, would be |b| and |a|.
    """
    scores = Synflow().score(context(CHAIN, module=Two()))
    expected = by_layer([0.5, 1.5], [0.5, 1.5])
    torch.testing.assert_close(scores, {n: s.double() for n, s in expected.items()})
    dense = Mask.dense(CHAIN)
    kept = keep_top(scores, dense, kept=2).layers["second.weight"].flatten().tolist()
    slip = by_layer([0.25, 3.0], [2.0, 0.5])
    wrong = keep_top(slip, dense, kept=2).layers["second.weight"].flatten().tolist()
    assert (kept, wrong) == ([False, True], [True, False])


def test_signs_do_not_cancel() -> None:
    """Without absolute values, ab = −½ − 3/2 and ab = ½ − 3/2 would be told apart."""
    turned = CHAIN | {"first.weight": CHAIN["first.weight"].abs()}
    ours, theirs = (Synflow().score(context(w, module=Two())) for w in (CHAIN, turned))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_kernel_is_summed_over_all_places() -> None:
    """With reflected borders the flow of ones is constant: R = pixels × Σ|w|, score pixels·|w|."""
    module = chain(2, 3, kernel=3)
    (name, weight), *_ = weights_of(module).items()
    scores = Synflow().score(context({name: weight}, module=module, latent_shape=(2, 4, 5)))
    torch.testing.assert_close(scores[name], 20 * weight.double().abs())


def test_a_kernel_padded_with_zeros_is_no_different() -> None:
    """Or a 3×3 kernel on one pixel would be all centre."""
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1))
    (name, weight), *_ = weights_of(module).items()
    given = context({name: weight}, module=module, latent_shape=(2, 1, 1))
    torch.testing.assert_close(Synflow().score(given)[name], weight.double().abs())
    assert effective(module, Mask.dense({name: weight}), (2, 1, 1)) == weight.numel()


@pytest.mark.parametrize("kernel", [1, 3])
def test_flow_is_conserved_from_layer_to_layer(kernel: int) -> None:
    """Theorem 1 of the paper: in a chain the scores of every layer add up to R."""
    module = chain(2, 5, 4, 3, kernel=kernel)
    scores = Synflow().score(context(weights_of(module), module=module, latent_shape=(2, 4, 4)))
    first, *others = (float(layer.sum()) for layer in scores.values())
    assert others == pytest.approx([first] * len(others), rel=1e-12)


def test_the_size_of_the_input_scales_all_scores_alike() -> None:
    spec = Skip(width=4, scales=2, skip_width=2, input_channels=3)
    prior = spec.build((3, 16, 16), seed=0, image="cat", device=torch.device("cpu"))
    weights = weights_of(prior.module)
    small, large = (
        Synflow().score(context(weights, module=prior.module, latent_shape=(3, side, side)))
        for side in (8, 16)
    )
    for name in weights:
        torch.testing.assert_close(large[name], 4 * small[name], rtol=1e-10, atol=0.0)


def test_many_paths_do_not_overflow() -> None:
    module = chain(*[128] * 40)
    scores = Synflow().score(context(weights_of(module), module=module, latent_shape=(128, 1, 1)))
    assert all(bool(torch.isfinite(layer).all()) for layer in scores.values())


def test_rounds_lose_no_layer_where_one_round_does() -> None:
    """Maximal critical compression: one weight a layer can be left, and they make a path."""
    torch.manual_seed(0)
    module = chain(3, 40, 2, 40, 3)
    path = pruned_by(Synflow(), module, (3, 1, 1), kept=4)
    assert [int(layer.sum()) for layer in path.layers.values()] == [1, 1, 1, 1]
    assert effective(module, path, (3, 1, 1)) == 4
    at_once = pruned_by(Synflow(rounds=None), module, (3, 1, 1), kept=4)
    assert 0 in [int(layer.sum()) for layer in at_once.layers.values()]


def test_the_network_is_left_alone_and_no_data_is_looked_at() -> None:
    given = mixed_context(loss=lambda _: 1 / 0)
    before = {name: value.clone() for name, value in given.module.state_dict().items()}
    kinds = [type(layer) for layer in given.module.modules()]
    Synflow().score(given)
    assert [type(layer) for layer in given.module.modules()] == kinds
    assert all(torch.equal(before[n], v) for n, v in given.module.state_dict().items())
    assert all(parameter.grad is None for parameter in given.module.parameters())
    assert isinstance(given.module, Mixed)
