"""The laws of every generator: keyed, prunable, rewindable, in range, with a critic."""

import tempfile
from pathlib import Path

import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lip_ray.priors.generators import (
    AbstractGenerator,
    Dcgan,
    GeneratorFile,
    GeneratorSpec,
    LayerList,
    Pgan,
)
from lip_ray.priors.generators.file import Trained, write
from lip_ray.pruning import Mask, effective
from lip_ray.rng import keyed
from lip_ray.spec import Spec

CPU = torch.device("cpu")
FAMILY = GeneratorSpec
BASE = AbstractGenerator

DECODER = LayerList(
    layers=(
        ("linear", 5, 12),
        ("bn1d", 12, 1e-3),
        ("leaky", 0.3),
        ("view", 3, 2, 2),
        ("convT", 3, 4, 3, 2, 0, True),
        ("crop_br",),
        ("bn2d", 4, 1e-5),
        ("relu",),
        ("conv", 4, 1, 3, 1, 1, True),
        ("sigmoid",),
    ),
    latent_size=5,
    law="uniform",
    output="unit",
)
PLAIN = LayerList(
    layers=(("linear", 3, 12), ("tanh",), ("view", 3, 2, 2)), latent_size=3, output="symmetric"
)
PROGRESSIVE = Pgan(depths=(6, 5, 4), latent_size=7, channels=1)


FOLDER = tempfile.TemporaryDirectory(prefix="lip-ray-generators-")


def filed(spec: AbstractGenerator) -> GeneratorFile:
    """A file of a network with drawn weights, as if they were trained."""
    made, critic = spec.build(seed=9, device=CPU), spec.build_critic(seed=9, device=CPU)
    trained = Trained(
        architecture=spec, weights=made.snapshot(), critic=critic.snapshot(), origin={}
    )
    return GeneratorFile(path=str(write(trained, Path(FOLDER.name), spec.kind)))


EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Dcgan: (
        Dcgan(size=8, channels=1, latent_size=5, width=4),
        Dcgan(size=32, latent_size=3, width=2, law="uniform"),
    ),
    Pgan: (
        PROGRESSIVE,
        Pgan(depths=(3,), latent_size=2, minibatch_deviation=False, law="uniform"),
    ),
    LayerList: (DECODER, PLAIN),
    GeneratorFile: (filed(PROGRESSIVE), filed(DECODER)),
}


def built(example, *, seed=0):
    return example.build(seed=seed, device=CPU)


def latents(example, count=2) -> torch.Tensor:
    return example.latents(count, keyed(0, "test"))


def half(network) -> dict[str, torch.Tensor]:
    """A mask of every second weight."""
    weights = network.prunable()
    return {name: (torch.arange(w.numel()) % 2 == 0).view(w.shape) for name, w in weights.items()}


def equal(first, second) -> bool:
    return list(first) == list(second) and all(torch.equal(first[n], second[n]) for n in first)


class TestImages:
    def test_have_the_shape_that_the_spec_says(self, example) -> None:
        made = built(example)(latents(example, 3))
        assert made.shape == (3, *example.image_shape)
        assert made.dtype == torch.float32

    def test_have_black_and_white_at_0_and_1(self, example) -> None:
        """The network's own numbers, moved; where a squash ends it, all lie between."""
        network, z = built(example), latents(example)
        own, made = network.module(z), network(z)
        assert network.output == example.output
        expected = own if example.output == "unit" else 0.5 * own + 0.5
        torch.testing.assert_close(made, expected)
        if any(isinstance(layer, nn.Tanh | nn.Sigmoid) for layer in network.module.modules()):
            assert 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1

    def test_of_a_batch_do_not_depend_on_each_other(self, example) -> None:
        """In eval mode."""
        network, z = built(example), latents(example, 5)
        assert not any(layer.training for layer in network.module.modules())
        together = network(z)
        alone = torch.cat([network(one[None]) for one in z])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    def test_depend_on_every_number_of_the_latent(self, example) -> None:
        network, z = built(example), latents(example, 1).requires_grad_()
        (gradient,) = torch.autograd.grad(network(z).square().sum(), z)
        assert gradient.shape == z.shape
        assert bool((gradient != 0).all())


class TestLatents:
    def test_follow_the_law(self, example) -> None:
        drawn = example.latents(20_000, keyed(0, "test"))
        assert drawn.shape == (20_000, example.latent_size)
        assert drawn.dtype == torch.float32
        assert float(drawn.mean(dim=0).abs().max()) < 0.04
        moments = [float(drawn.pow(k).mean()) for k in (2, 4)]
        if example.law == "normal":
            assert moments == pytest.approx([1, 3], rel=0.06)
        else:
            assert float(drawn.abs().max()) <= 1
            assert moments == pytest.approx([1 / 3, 1 / 5], rel=0.06)

    def test_are_keyed(self, example) -> None:
        same = example.latents(4, keyed(0, "test"))
        assert torch.equal(example.latents(4, keyed(0, "test")), same)
        assert not torch.equal(example.latents(4, keyed(1, "test")), same)


class TestWeights:
    def test_the_same_seed_gives_the_same_bits(self, example) -> None:
        assert equal(built(example).snapshot(), built(example).snapshot())
        ours, theirs = (example.build_critic(seed=3, device=CPU).snapshot() for _ in range(2))
        assert equal(ours, theirs)

    def test_another_seed_draws_others_and_a_checkpoint_has_none(self, example) -> None:
        first, other = built(example), built(example, seed=1)
        for name, weight in first.prunable().items():
            same = torch.equal(weight, other.prunable()[name])
            assert same == (example.pretrained() is not None), name

    def test_the_network_is_drawn_by_its_purpose(self, example) -> None:
        """What `module` draws is what `build` builds, unless it was trained."""
        drawn = example.module(keyed(0, "initial weights")).state_dict()
        assert equal(drawn, built(example).snapshot()) == (example.pretrained() is None)

    def test_the_global_generator_is_left_alone(self, example) -> None:
        before = torch.get_rng_state()
        built(example)
        example.build_critic(seed=0, device=CPU)
        latents(example)
        _ = example.cost, example.image_shape
        assert torch.equal(before, torch.get_rng_state())

    def test_everything_was_set(self, example) -> None:
        """What memory held before shows nowhere."""
        for network, draw in (
            (example.network, example.initialise),
            (example.critic_network, example.initialise_critic),
        ):
            with torch.device("meta"):
                module = network()
            module.to_empty(device="cpu")
            for value in module.state_dict().values():
                value.fill_(77)
            draw(module, torch.Generator())
            for name, value in module.state_dict().items():
                assert not bool((value == 77).any()), name

    def test_the_prunable_are_all_but_biases_and_normalisation(self, example) -> None:
        """So nothing stays dense unseen."""
        for network in (built(example), example.build_critic(seed=0, device=CPU)):
            normalised = {
                f"{name}.{own}"
                for name, layer in network.module.named_modules()
                if isinstance(layer, nn.modules.batchnorm._BatchNorm)
                for own, _ in layer.named_parameters()
            }
            others = {
                name
                for name, _ in network.module.named_parameters()
                if name not in normalised and not name.endswith("bias")
            }
            assert set(network.prunable()) == others != set()
            for name, weight in network.prunable().items():
                assert weight is network.module.get_parameter(name)
            assert list(network.factors()) == list(network.prunable())

    def test_every_prunable_weight_is_used(self, example) -> None:
        """It changes the images, or the scores."""
        images = torch.rand(4, *example.image_shape, generator=torch.Generator())
        critic = example.build_critic(seed=0, device=CPU)
        for network, given in ((built(example), latents(example, 8)), (critic, images)):
            network.module(given).square().sum().backward()
            for name, weight in network.prunable().items():
                assert bool((weight.grad != 0).any()), name

    def test_the_cost_is_that_of_the_network(self, example) -> None:
        network, cost = built(example), example.cost
        assert cost.parameters == network.parameter_count()
        assert cost.prunable == Mask.dense(network.prunable()).total
        with FlopCounterMode(display=False) as counter:
            network.module(latents(example, 1)).sum().backward()
        assert cost.macs_per_step == counter.get_total_flops() / 2 > 0


class TestPruning:
    def test_a_masked_network_is_rewound_bit_for_bit(self, example) -> None:
        network = built(example)
        initial, mask = network.snapshot(), half(network)
        network.module.train()
        optimizer = torch.optim.Adam(network.module.parameters(), lr=1e-2)
        for _ in range(2):
            network(latents(example, 8)).square().mean().backward()
            optimizer.step()
        assert not equal(network.snapshot(), initial)
        network.rewind(initial, mask)
        for name, value in network.snapshot().items():
            expected = initial[name] * mask[name] if name in mask else initial[name]
            assert torch.equal(value, expected), name

    def test_a_masked_network_stays_masked(self, example) -> None:
        """Another with its weights makes the same images, and its gradients can be masked."""
        network, other = built(example), built(example)
        network.rewind(network.snapshot(), half(network))
        other.module.load_state_dict(network.snapshot())
        z = latents(example)
        assert torch.equal(network(z), other(z))
        assert not torch.equal(network(z), built(example)(z))
        for name, mask in half(network).items():
            assert not bool(other.prunable()[name][~mask].any())

    def test_every_weight_of_the_dense_network_is_effective(self, example) -> None:
        network = built(example)
        mask = Mask.dense(network.prunable())
        assert effective(network.module, mask, (example.latent_size,)) == mask.total

    def test_an_empty_network_is_collapsed(self, example) -> None:
        network = built(example)
        nothing = {name: torch.zeros_like(w).bool() for name, w in network.prunable().items()}
        assert effective(network.module, Mask(nothing), (example.latent_size,)) == 0

    def test_the_signs_of_what_is_kept_do_not_matter(self, example) -> None:
        network, mask = built(example), Mask(half(built(example)))
        before = effective(network.module, mask, (example.latent_size,))
        with torch.no_grad():
            for parameter in network.module.parameters():
                parameter.mul_(-1)
        assert effective(network.module, mask, (example.latent_size,)) == before <= mask.kept


class TestCritics:
    def test_score_every_image(self, example) -> None:
        critic = example.build_critic(seed=0, device=CPU)
        images = torch.rand(4, *example.image_shape, generator=torch.Generator()) * 2 - 1
        images.requires_grad_()
        scores = critic.module(images)
        assert scores.shape == (4,)
        (gradient,) = torch.autograd.grad(scores.sum(), images)
        assert bool((gradient.flatten(1).abs().amax(dim=1) > 0).all())

    def test_a_gradient_penalty_reaches_every_weight(self, example) -> None:
        """They are differentiated twice; biases do not bend what is linear on both sides."""
        critic = example.build_critic(seed=0, device=CPU)
        images = torch.rand(
            4, *example.image_shape, generator=torch.Generator(), requires_grad=True
        )
        scores = critic.module(images).sum()
        (gradient,) = torch.autograd.grad(scores, images, create_graph=True)
        (gradient.flatten(1).norm(dim=1) - 1).square().mean().backward()
        for name, weight in critic.prunable().items():
            assert weight.grad is not None, name
            assert bool(weight.grad.isfinite().all()), name
            assert bool((weight.grad != 0).any()), name

    def test_know_no_normalisation_over_a_batch(self, example) -> None:
        modules = example.build_critic(seed=0, device=CPU).module.modules()
        assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in modules)
