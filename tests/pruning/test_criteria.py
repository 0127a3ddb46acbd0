"""Magnitude and random pruning: which weights they keep."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toys import context

from lip_ray.priors.generators import Pgan
from lip_ray.pruning import Magnitude, Mask, Random, Rate, keep_top


def test_magnitude_ranks_over_all_layers_at_once() -> None:
    weights = {"a": torch.tensor([0.1, -0.2, 0.3]), "b": torch.tensor([-10.0, 20.0, -0.25])}
    chosen = keep_top(Magnitude().score(context(weights)), Mask.dense(weights), kept=3)
    assert chosen.layers["a"].tolist() == [False, False, True]
    assert chosen.layers["b"].tolist() == [True, True, False]


def test_magnitude_keeps_what_the_original_scripts_keep(shared: Path) -> None:
    """Three times a fifth of what remains, all layers at once, without training in between."""
    oracles, suffix = shared / "oracles", "_mask"
    published = torch.load(oracles / "skip_small_mask_prune_state_3.pt", weights_only=True)
    tensors = load_file(oracles / "skip_small.safetensors")
    names = [name.removesuffix(suffix) for name in published]
    weights = {name: tensors[f"state_dict.{name}"] for name in names}
    mask = Mask.dense(weights)
    for kept in Rate(rate=0.2, steps=3).kept(mask.total)[1:]:
        mask = Magnitude().prune(lambda *_: context(weights), mask, kept=kept)
    for name in names:
        assert torch.equal(mask.layers[name], published[name + suffix].bool()), name


def test_magnitude_ranks_what_an_equalised_layer_makes_of_its_weights() -> None:
    """0.5 · 0.1 is less than 0.2 · 1; raw, and where no factor is given, 0.5 is more."""
    weights = {"a": torch.tensor([0.5, -3.0]), "b": torch.tensor([0.2, -0.01])}
    dense, given = Mask.dense(weights), context(weights, factors={"a": 0.1})
    for pruner, kept_a, kept_b in (
        (Magnitude(), [False, True], [True, False]),
        (Magnitude(raw=True), [True, True], [False, False]),
    ):
        mask = pruner.prune(lambda *_: given, dense, kept=2)
        assert mask.layers["a"].tolist() == kept_a
        assert mask.layers["b"].tolist() == kept_b
    scores = Magnitude().score(given)
    assert torch.equal(scores["a"], weights["a"].abs() * 0.1)
    assert torch.equal(scores["b"], weights["b"].abs())


def test_magnitude_is_the_weights_own_where_all_layers_are_plain() -> None:
    """To the last bit, whether factors of one are given or none."""
    weights = {"a": torch.randn(500, generator=torch.Generator()) * 1e-30}
    for factors in ({}, {"a": 1.0}):
        scores = Magnitude().score(context(weights, factors=factors))
        assert torch.equal(scores["a"], weights["a"].abs())


@pytest.mark.parametrize("layer", ["formatLayer", "scaleLayers.0.0", "toRGBLayers.1"])
def test_the_factor_is_what_makes_equal_layers_equal(layer: str) -> None:
    """Of a progressive GAN: a layer scaled up and its weights down by as much is the same layer,
    and is pruned alike."""
    spec = Pgan(depths=(6, 4), latent_size=5)
    network = spec.build(seed=0, device=torch.device("cpu"))
    z = spec.latents(2, torch.Generator())
    before, images = network.snapshot(), network(z)

    def kept() -> Mask:
        weights = {name: weight.detach() for name, weight in network.prunable().items()}
        given = context(weights, factors=network.factors())
        return Magnitude().prune(lambda *_: given, Mask.dense(weights), kept=200)

    first, equalised = kept(), network.module.get_submodule(layer)
    equalised.factor *= 4
    scaled = {n: v / 4 if n.startswith(f"{layer}.") else v for n, v in before.items()}
    network.module.load_state_dict(scaled)
    torch.testing.assert_close(network(z), images)
    for name, mask in kept().layers.items():
        assert torch.equal(mask, first.layers[name]), name


def test_random_does_not_look_at_the_weights() -> None:
    small, large = {"a": torch.zeros(50)}, {"a": 100 * torch.randn(50)}
    ours, theirs = (Random().score(context(weights))["a"] for weights in (small, large))
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, Random().score(context(small, seed=1))["a"])


def test_random_keeps_every_layer_in_proportion() -> None:
    weights = {"a": torch.zeros(4000), "b": torch.zeros(16000)}
    chosen = keep_top(Random().score(context(weights)), Mask.dense(weights), kept=5000)
    assert abs(int(chosen.layers["a"].sum()) - 1000) < 150  # 5 standard deviations


def test_random_by_layer_keeps_every_layer_exactly_in_proportion() -> None:
    weights = {"a": torch.zeros(4000), "b": torch.zeros(16000)}
    mask = Mask.dense(weights)
    chosen = Random(scope="layer").prune(lambda *_: context(weights), mask, kept=5000)
    assert int(chosen.layers["a"].sum()) == 1000


def test_random_scores_have_no_ties() -> None:
    """Ties would favour the first layers of a large network."""
    scores = Random().score(context({"a": torch.zeros(300_000)}))["a"]
    assert len(scores.unique()) == 300_000
