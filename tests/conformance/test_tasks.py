"""The laws of every task: keyed draws, honest measurements, nothing global touched."""

import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written

from lip_ray.images import BuiltinImage
from lip_ray.spec import Spec
from lip_ray.tasks import AbstractTask, Denoising, Task

FAMILY = Task
BASE = AbstractTask
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Denoising: (Denoising(sigma=25.0), Denoising(sigma=50.0, clip=False)),
}

CPU = torch.device("cpu")
COLOUR = BuiltinImage(name="astronaut", rows=(0, 20), columns=(0, 24))
GREY = BuiltinImage(name="camera", rows=(0, 20), columns=(0, 24))


@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["colour", "grey"])
class TestProblem:
    def test_the_clean_image_is_the_image(self, example, image) -> None:
        problem = example.realise(image, seed=0, device=CPU)
        assert torch.equal(problem.clean, image.load()[None])
        assert problem.image_shape == tuple(image.load().shape)
        assert problem.measured.dtype == torch.float32
        assert bool(torch.isfinite(problem.measured).all())

    def test_the_same_seed_gives_the_same_bits(self, example, image) -> None:
        first = example.realise(image, seed=3, device=CPU)
        torch.rand(10)
        second = example.realise(image, seed=3, device=CPU)
        assert torch.equal(first.measured, second.measured)

    def test_the_seed_matters(self, example, image) -> None:
        first = example.realise(image, seed=3, device=CPU)
        second = example.realise(image, seed=4, device=CPU)
        assert not torch.equal(first.measured, second.measured)

    def test_the_global_generator_is_left_alone(self, example, image) -> None:
        before = torch.get_rng_state()
        example.realise(image, seed=0, device=CPU)
        assert torch.equal(before, torch.get_rng_state())

    def test_the_loss_is_a_scalar_with_a_gradient(self, example, image) -> None:
        problem = example.realise(image, seed=0, device=CPU)
        output = problem.clean.clone().requires_grad_()
        loss = problem.loss(output)
        assert loss.shape == ()
        (gradient,) = torch.autograd.grad(loss, output)
        assert float(gradient.abs().max()) > 0

    def test_psnr_is_measured_against_the_clean_image(self, example, image) -> None:
        problem = example.realise(image, seed=0, device=CPU)
        assert float(problem.psnr(problem.clean)) == float("inf")
        assert float(problem.psnr(problem.clean + 0.1)) == pytest.approx(20, abs=1e-3)
