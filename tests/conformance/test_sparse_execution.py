"""The laws of sparse execution: what dense execution computes, at any number of threads."""

import copy

import pytest
import torch
from test_priors import EXAMPLES as EXAMPLES
from test_priors import built
from torch import nn

from lip_ray.data.images import BuiltinImage
from lip_ray.fits import Fit, Subject, WindowedVariance
from lip_ray.fits.numerics import check_zeros
from lip_ray.fits.sparse.program import Program, UnsupportedError, lacking, too_large
from lip_ray.fits.sparse.steps import SparseSteps
from lip_ray.priors import AbstractPrior, Prior
from lip_ray.pruning import Mask
from lip_ray.rng import keyed
from lip_ray.tasks import Denoising
from lip_ray.trials import Trajectory, bench

FAMILY = Prior
CPU = torch.device("cpu")
SIZES = {"even": (16, 20), "odd": (17, 23)}
RULE = WindowedVariance(window=4, warm_up=1, patience=10)


@pytest.fixture(params=SIZES)
def shape(request, example) -> tuple[int, int, int]:
    """The shape of an image that the prior is large enough for."""
    least = example.minimum_side
    height, width = SIZES[request.param]
    odd = request.param == "odd"
    return 3, max(height, least | odd), max(width, least | odd)


@pytest.fixture
def prior(example, shape):
    return example.build(shape, seed=0, image="cat", device=CPU)


def random_mask(prior, density: float) -> Mask:
    draws = torch.Generator().manual_seed(1)
    layers = {
        name: torch.rand(weight.shape, generator=draws) < density
        for name, weight in prior.prunable().items()
    }
    return Mask(layers)


def pruned(prior, density: float) -> Mask:
    mask = random_mask(prior, density)
    prior.rewind(prior.snapshot(), mask.layers)
    return mask


@pytest.mark.parametrize("density", [1.0, 0.3])
class TestAPass:
    """One pass forward and back, against the dense network in single and double precision."""

    @pytest.fixture
    def passes(self, prior, density, shape):
        mask = pruned(prior, density)
        steps = SparseSteps(prior, mask, {})
        gradient = torch.randn(1, *shape, generator=torch.Generator().manual_seed(2))
        exact = copy.deepcopy(prior.module).double()
        images = steps(prior.latent), prior.module(prior.latent), exact(prior.latent.double())
        for image in images:
            image.backward(gradient.to(image.dtype))
        return prior, steps, exact, images

    def test_the_image_is_that_of_the_dense_network(self, passes) -> None:
        _, _, _, (sparse, dense, exact) = passes
        assert sparse.shape == dense.shape
        mine, theirs = ((image - exact).detach().abs().max() for image in (sparse, dense))
        assert float(mine) <= max(1e-5, 8 * float(theirs))  # the worst of few pixels, on any CPU

    def test_gradients_are_as_near_to_exact_ones(self, passes) -> None:
        prior, steps, exact, _ = passes
        cancelled = biases_before_normalisation(prior.module)
        wanted = dict(exact.named_parameters())
        mine, dense = [], []
        for name, parameter in prior.module.named_parameters():
            piece = steps._weights.pieces[name]
            if name in cancelled or not len(piece.entries):
                continue
            true = wanted[name].grad.flatten()[piece.entries]
            found = steps.parameters[0].grad[piece.start : piece.end]
            scale = true.abs().max().clamp_min(1e-6)
            mine.append(float((found - true).abs().max() / scale))
            theirs = parameter.grad.flatten()[piece.entries]
            dense.append(float((theirs - true).abs().max() / scale))
        assert sorted(mine)[len(mine) // 2] <= max(1e-4, 4 * sorted(dense)[len(dense) // 2])

    def test_running_statistics_are_those_of_the_dense_network(self, passes) -> None:
        prior, steps, _, _ = passes
        before = {name: value.clone() for name, value in prior.module.named_buffers()}
        steps.store()
        for name, value in prior.module.named_buffers():
            if "running" in name:
                torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-5)


def biases_before_normalisation(module: nn.Module) -> set[str]:
    """All biases of convolutions but the last layer's. What they add, normalisation takes away, so
    their gradient is noise."""
    convolutions = [n for n, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]
    return {f"{name}.bias" for name in convolutions[:-1]}


def fitted(example, shape, *, density=0.3, execution="sparse", threads=1, steps=30, images=1):
    prior = example.build(shape, seed=0, image="cat", device=CPU)
    mask = pruned(prior, density)
    subjects = []
    for number in range(images):
        rows, columns = (0, shape[1]), (20 * number, 20 * number + shape[2])
        image = BuiltinImage(name="astronaut", rows=rows, columns=columns)
        problem = Denoising(sigma=25).realise(image, seed=0, device=CPU)
        draws = keyed(0, "input noise", image=image.label)
        subjects.append(Subject(prior=prior, problem=problem, draws=draws))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        fit = Fit(steps=steps, execution=execution, stopping=RULE)
        results = fit.run(subjects, mask, snapshot_at=steps // 2)
    finally:
        torch.set_num_threads(before)
    return prior, mask, results


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


class TestAFit:
    def test_any_number_of_threads_gives_the_same_bits(self, example, shape) -> None:
        first, _, (alone,) = fitted(example, shape, steps=6)
        for threads in (2, 3):
            other, _, (result,) = fitted(example, shape, steps=6, threads=threads)
            torch.testing.assert_close(result.rows, alone.rows, rtol=0, atol=0, equal_nan=True)
            assert same_bits(other.snapshot(), first.snapshot())

    def test_it_begins_as_the_dense_fit_does(self, example, shape) -> None:
        _, _, (sparse,) = fitted(example, shape, steps=12)
        _, _, (dense,) = fitted(example, shape, steps=12, execution="dense")
        torch.testing.assert_close(sparse.rows[:3, :3], dense.rows[:3, :3], rtol=1e-3, atol=1e-3)

    def test_pruned_weights_are_zero_and_others_learn(self, example, shape) -> None:
        prior, mask, (result,) = fitted(example, shape, density=0.8, steps=12)
        check_zeros(prior, mask)
        start = example.build(shape, seed=0, image="cat", device=CPU).snapshot()
        moved = [
            bool((prior.snapshot()[name] != start[name])[kept].any())
            for name, kept in mask.layers.items()
            if kept.any()
        ]
        assert any(moved)
        assert result.snapshot is not None
        assert result.snapshot.keys() == start.keys()

    def test_a_snapshot_is_what_a_shorter_fit_ends_with(self, example, shape) -> None:
        _, _, (longer,) = fitted(example, shape, steps=24)
        shorter, _, _ = fitted(example, shape, steps=12)
        assert same_bits(longer.snapshot, shorter.snapshot())

    def test_several_images_share_the_weights(self, example) -> None:
        side = max(16, example.minimum_side)
        _, _, results = fitted(example, (3, side, side), steps=6, images=2)
        _, _, dense = fitted(example, (3, side, side), steps=6, images=2, execution="dense")
        for mine, theirs in zip(results, dense, strict=True):
            torch.testing.assert_close(mine.rows[:2, :3], theirs.rows[:2, :3], rtol=1e-3, atol=1e-3)


def test_weights_on_no_path_stay_as_they_are(example, shape) -> None:
    prior = example.build(shape, seed=0, image="cat", device=CPU)
    mask = pruned(prior, 0.5)
    frozen = {name: torch.zeros_like(p, dtype=bool) for name, p in prior.module.named_parameters()}
    steps = SparseSteps(prior, mask, frozen)
    steps(prior.latent).sum().backward()
    steps.mask_gradients()
    assert not steps.parameters[0].grad.any()


class Foreign(nn.Sequential):
    """A network with a layer that no kernel is for."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 3, 1), nn.Tanh())


def test_an_unknown_layer_is_named() -> None:
    assert lacking(Foreign()) == "the layer 1 is a Tanh"
    assert lacking(nn.Sequential(nn.Conv2d(2, 2, 3, padding=1))).endswith("padding of its own")
    with pytest.raises(UnsupportedError, match="Tanh"):
        Program(Foreign(), None, None, (2, 4, 4))


def trajectory(prior: AbstractPrior, **fit: object) -> Trajectory:
    side = max(16, prior.minimum_side)
    image = BuiltinImage(name="camera", rows=(0, side), columns=(0, side))
    return Trajectory.model_validate(
        {
            "images": [image],
            "task": Denoising(sigma=25),
            "prior": prior,
            "schedule": [1, 0.5],
            "fit": {"steps": 100, "execution": "sparse", **fit},
        }
    )


def test_a_trial_takes_it_or_says_which_layer_is_unknown(example) -> None:
    with torch.device("meta"):
        unknown = lacking(example.network(3))
    conflicts = dict(trajectory(example).conflicts())
    assert ("fit.execution" in conflicts) is bool(unknown)
    assert unknown in conflicts.get("fit.execution", "")


def test_images_with_too_many_values_are_refused(example, monkeypatch) -> None:
    """Offsets have 32 bits; here fewer are enough."""
    with torch.device("meta"):
        if lacking(example.network(3)):
            pytest.skip("sparse execution knows this prior nowhere")
        assert not too_large(example.network(3), 512, 512)
        assert too_large(example.network(3), 60_000, 60_000).endswith("can address")
    monkeypatch.setattr("lip_ray.fits.sparse.program.MOST_FLOATS", 100)
    bench._too_large.cache_clear()
    conflicts = dict(trajectory(example).conflicts())
    bench._too_large.cache_clear()
    assert "than the 100 that sparse execution can address" in conflicts["fit.execution"]


def test_without_numba_it_says_what_to_install(example, monkeypatch) -> None:
    monkeypatch.setattr("lip_ray.fits.sparse.loading.find_spec", lambda name: None)
    conflicts = dict(trajectory(example).conflicts())
    assert "pip install 'lip-ray[sparse]'" in conflicts["fit.execution"]


@pytest.mark.parametrize(
    "other", [{"precision": "bf16"}, {"compiled": True}, {"roll_back": {"every": 10}}]
)
def test_what_it_lacks_is_refused_by_name(example, other) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(other))} must be .* with execution sparse"):
        trajectory(example, **other)


def test_another_device_is_refused(example) -> None:
    prior = built(example)
    there = prior.with_latent(prior.latent.to("meta"))
    with pytest.raises(ValueError, match="computes on CPUs, and this fit is on meta"):
        SparseSteps(there, Mask.dense(prior.prunable()), {})
