"""Optimal Eye Surgeon: the gates' distribution, their divergence, and what they learn."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode
from toys import context, mixed_context

from lip_ray.pruning import Mask, Oes
from lip_ray.pruning.oes import divergence, relaxed


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_a_gate_is_more_open_than_shut_with_its_probability(logit, temperature) -> None:
    gates = relaxed(torch.full((200_000,), logit), temperature, draws())
    share = float((gates > 0.5).float().mean())
    assert share == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.005)  # 4 standard deviations


def test_gates_are_the_gumbel_softmax_of_two_classes() -> None:
    """Quantiles against PyTorch's, with logits log σ(p) and log (1 − σ(p))."""
    logits = torch.full((200_000,), -0.7)
    classes = torch.stack([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
    torch.manual_seed(0)
    theirs = F.gumbel_softmax(classes, tau=0.5)[:, 0]
    ours = relaxed(logits, 0.5, draws())
    steps = torch.linspace(0.05, 0.95, 19)
    torch.testing.assert_close(ours.quantile(steps), theirs.quantile(steps), rtol=0.05, atol=0.003)


def test_a_draw_of_zero_shuts_the_gate_and_moves_nothing(monkeypatch) -> None:
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape))
    logits = torch.tensor([0.3, -4.0], requires_grad=True)
    gates = relaxed(logits, 0.2, draws())
    (gradient,) = torch.autograd.grad(gates.sum(), logits)
    assert gates.tolist() == gradient.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("density", [0.01, 0.5, 0.9])
def test_the_divergence_is_that_of_bernoulli_variables(density: float) -> None:
    logits = torch.linspace(-8, 8, 33, dtype=torch.float64)
    prior = Bernoulli(probs=torch.tensor(density, dtype=torch.float64))
    expected = kl_divergence(Bernoulli(logits=logits), prior).sum()
    torch.testing.assert_close(divergence(logits, density), expected)


def test_the_divergence_is_finite_far_out_and_zero_at_the_prior() -> None:
    at_prior = torch.tensor([math.log(0.2 / 0.8)] * 3, dtype=torch.float64)
    assert float(divergence(at_prior, 0.2)) == pytest.approx(0, abs=1e-12)
    far = divergence(torch.tensor([-500.0, 500.0], dtype=torch.float64), 0.2)
    assert float(far) == pytest.approx(-math.log(0.8) - math.log(0.2), rel=1e-6)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.8])
def test_the_divergence_alone_drives_the_gates_to_the_density(density: float) -> None:
    weights = {"a": torch.ones(40), "b": torch.ones(2, 5)}
    given = context(weights, density=density, loss=lambda w: 0 * w["a"].sum() + 0 * w["b"].sum())
    scores = Oes(steps=1200, kl=1.0).score(given)
    for layer in scores.values():
        assert float(torch.sigmoid(layer).mean()) == pytest.approx(density, abs=1e-3)


def test_in_rounds_the_prior_is_the_share_of_what_is_left() -> None:
    """A tenth of all out of a fifth of all: half of what is left."""
    layer = torch.arange(50).remainder(5) == 0
    given = context(
        {"a": torch.ones(50) * layer},
        mask=Mask({"a": layer}),
        density=0.1,
        loss=lambda w: 0 * w["a"].sum(),
    )
    assert Oes(steps=50, kl=1.0).score(given)["a"].abs().max() < 1e-6


def test_logits_order_weights_by_what_each_is_worth() -> None:
    """Separable: Σ (m_i − t_i)², each gate for itself, so logits rise with the wanted opening t."""
    wanted = torch.tensor([[0.75, 0.0], [1.0, 0.25], [0.5, 0.75]])
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    given = context({"w": signs}, loss=lambda w: (w["w"] - signs * wanted).square().sum())
    scores = Oes(steps=1500).score(given)["w"]
    means = [float(scores[wanted == t].mean()) for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert means == sorted(means)
    assert means[0] < -1 < 1 < means[-1]
    chosen = Oes(steps=1500).prune(lambda *_: given, Mask.dense({"w": signs}), kept=2)
    assert bool(chosen.layers["w"][1, 0])  # wanted whole
    assert not bool(chosen.layers["w"][0, 1])  # wanted gone


def test_useful_weights_win_over_harmful_ones_in_every_layer() -> None:
    """The target is the network with half its weights: gates shut where those are missing."""
    draw = draws()
    weights = {"a": torch.randn(12, 4, generator=draw), "b": torch.randn(4, 12, generator=draw)}
    half = {name: torch.rand(w.shape, generator=draw) < 0.5 for name, w in weights.items()}
    x = torch.randn(4, 200, generator=draw)
    target = (weights["b"] * half["b"]) @ (weights["a"] * half["a"]) @ x
    given = context(weights, loss=lambda w: (w["b"] @ w["a"] @ x - target).square().mean())
    scores = Oes(steps=600).score(given)
    for name, needed in half.items():
        assert scores[name][needed].mean() > scores[name][~needed].mean() + 0.5


def test_draws_are_keyed_by_seed_and_level() -> None:
    def logits(**parts):
        return Oes(steps=3).score(mixed_context(**parts))["stem.1.weight"]

    assert torch.equal(logits(), logits())
    assert not torch.equal(logits(), logits(seed=1))
    assert not torch.equal(logits(), logits(level=2))


def test_scores_are_logits_from_zero_and_steps_of_adam() -> None:
    """Adam's first step is the learning rate, whatever the gradient's size."""
    weights = {"w": torch.ones(6)}
    given = context(weights, loss=lambda w: (torch.tensor([1, -1, 3, -3, 1, -9]) * w["w"]).sum())
    scores = Oes(steps=1, learning_rate=0.25, temperature=1.0, kl=0.0).score(given)["w"]
    expected = torch.tensor([-0.25, 0.25, -0.25, 0.25, -0.25, 0.25])
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=0)


def test_the_loop_never_waits_for_the_device() -> None:
    """No tensor is read out on the host, in one step or in five."""

    class Reads(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._local_scalar_dense.default
            return func(*args, **(kwargs or {}))

    counts = []
    for steps in (1, 5):
        given = mixed_context()
        with Reads() as reads:
            Oes(steps=steps).score(given)
            float(torch.ones(()))  # the one that is counted
        counts.append(reads.count)
    assert counts == [1, 1]


def test_only_gates_are_moved() -> None:
    given = mixed_context()
    before = {name: value.clone() for name, value in given.module.state_dict().items()}
    Oes(steps=3).score(given)
    assert all(torch.equal(before[n], v) for n, v in given.module.state_dict().items())
    assert all(parameter.grad is None for parameter in given.module.parameters())


def test_a_loss_that_is_not_finite_leaves_no_ranking() -> None:
    given = context({"w": torch.ones(4)}, loss=lambda w: (w["w"] * torch.inf).sum())
    scores = Oes(steps=2).score(given)
    assert not bool(torch.isfinite(scores["w"]).any())


def test_a_sample_whose_gradient_overflows_teaches_nothing_where_it_does() -> None:
    """One layer's gates get a gradient that is not finite from a loss that is."""

    class Overflowing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * torch.tensor([torch.inf, torch.nan, -torch.inf])

    given = context(
        {"dead": torch.ones(3), "alive": torch.ones(3)},
        loss=lambda w: (Overflowing.apply(w["dead"]) + w["alive"]).sum(),
    )
    scores = Oes(steps=5, kl=0.0).score(given)
    assert not bool(scores["dead"].any())
    assert bool((scores["alive"] < 0).all())
