"""The laws of every task: keyed draws, honest measurements, nothing global touched."""

import math
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written
from PIL import Image as Pillow

from lip_ray.data.images import ArrayMeasurement, BuiltinImage, FileImage, Pair
from lip_ray.spec import Spec
from lip_ray.tasks import (
    AbstractTask,
    CompressedSensing,
    Deblurring,
    Deepinv,
    Denoising,
    ImpulseDenoising,
    Inpainting,
    PoissonDenoising,
    Problem,
    Projection,
    SuperResolution,
    Task,
)
from lip_ray.tasks.deblurring import GaussianKernel, MotionKernel
from lip_ray.tasks.inpainting import BoxMask, RandomMask
from lip_ray.tasks.outliers import CorruptedRows, SignFlips, StudentNoise

FAMILY = Task
BASE = AbstractTask
BOX = BoxMask(rows=(4, 9), columns=(0, 12))
GAUSSIAN = GaussianKernel(std=1.0)

UNDRAWN: dict[type[Spec], tuple[AbstractTask, ...]] = {
    Denoising: (),
    PoissonDenoising: (),
    ImpulseDenoising: (),
    Inpainting: (Inpainting(mask=BOX),),
    SuperResolution: (SuperResolution(factor=2), SuperResolution(factor=4, border=None)),
    Deblurring: (
        Deblurring(kernel=GAUSSIAN),
        Deblurring(kernel=MotionKernel(length=5.0, angle=30.0), boundary="circular"),
    ),
    Deepinv: (Deepinv(name="LinearPhysics"), Deepinv(name="Rows", arguments={"kept": [1, 3]})),
    CompressedSensing: (),
    Projection: (Projection(),),
}
"""Without any random draw: the measurement is what the operator says. A task that is in neither
table is held to that too, by its defaults."""

DRAWN: dict[type[Spec], tuple[AbstractTask, ...]] = {
    Denoising: (Denoising(sigma=25.0), Denoising(sigma=50.0, clip=False)),
    PoissonDenoising: (PoissonDenoising(peak=30.0),),
    ImpulseDenoising: (ImpulseDenoising(share=0.2),),
    Inpainting: (
        Inpainting(mask=RandomMask(kept=0.5)),
        Inpainting(mask=RandomMask(kept=0.5, channels="independent"), sigma=10.0),
        Inpainting(mask=BOX, sigma=10.0),
    ),
    SuperResolution: (SuperResolution(factor=2, sigma=10.0),),
    Deblurring: (Deblurring(kernel=GAUSSIAN, sigma=2.0),),
    Deepinv: (),
    CompressedSensing: (
        CompressedSensing(m=40),
        CompressedSensing(m=1),
        CompressedSensing(m=2000, sigma=10.0),
        CompressedSensing(m=40, outliers=CorruptedRows(share=0.1)),
        CompressedSensing(m=40, outliers=StudentNoise(sigma=5.0)),
        CompressedSensing(m=40, matrix="orthogonal"),
        CompressedSensing(m=480, matrix="orthogonal", sigma=10.0),
        CompressedSensing(m=40, matrix="orthogonal", outliers=CorruptedRows(share=0.1)),
        CompressedSensing(m=40, matrix="orthogonal", outliers=SignFlips(share=0.1)),
    ),
    Projection: (),
}
EXAMPLES = {member: UNDRAWN[member] + DRAWN[member] for member in DRAWN}

OPERATOR_DRAWN = (Inpainting, CompressedSensing)
"""Whose operator is what is drawn, and all that is, where nothing is added to what it measures."""

OF_A_PHOTO: dict[type[Spec], AbstractTask] = {
    Denoising: Denoising(),
    PoissonDenoising: PoissonDenoising(),
    ImpulseDenoising: ImpulseDenoising(),
    Inpainting: Inpainting(mask=BOX),
    SuperResolution: SuperResolution(factor=2),
    Deblurring: Deblurring(kernel=GAUSSIAN),
    Deepinv: Deepinv(name="LinearPhysics"),
}
"""What a user says of a measurement of their own; tasks that are not here take none."""

CPU = torch.device("cpu")
COLOUR = BuiltinImage(name="astronaut", rows=(0, 20), columns=(100, 124))
GREY = BuiltinImage(name="camera", rows=(100, 120), columns=(200, 224))
LUMA_SWING = 219 / 255


class LinearPhysics(torch.nn.Module):
    """The identity, as in deepinv."""

    def A(self, x):  # noqa: N802
        return x

    def forward(self, x):
        return self.A(x)


class Rows(LinearPhysics):
    """Some of the rows, all else in one line."""

    def __init__(self, kept):
        super().__init__()
        assert isinstance(kept, tuple)
        self.kept = kept

    def A(self, x):  # noqa: N802
        return x[:, :, self.kept].flatten(1)


@pytest.fixture(autouse=True)
def deepinv(monkeypatch) -> None:
    """A double of the package, which need not be installed."""
    package, physics = ModuleType("deepinv"), ModuleType("deepinv.physics")
    package.physics = physics
    physics.LinearPhysics, physics.Rows = LinearPhysics, Rows
    monkeypatch.setitem(sys.modules, "deepinv", package)
    monkeypatch.setitem(sys.modules, "deepinv.physics", physics)


def colours(image: torch.Tensor) -> torch.Tensor:
    return image[0, :, 0, 0]


@pytest.mark.parametrize("image", [COLOUR, GREY], ids=["colour", "grey"])
class TestProblem:
    @pytest.fixture
    def problem(self, example, image) -> Problem:
        return example.realise(image, seed=0, device=CPU)

    def test_nothing_is_in_its_way(self, example, image) -> None:
        assert list(example.conflicts(image)) == []

    def test_the_clean_image_is_the_image(self, problem, image) -> None:
        assert torch.equal(problem.clean, image.load()[None])
        assert problem.image_shape == tuple(image.load().shape)
        assert problem.measured.dtype == torch.float32
        assert bool(torch.isfinite(problem.measured).all())

    def test_the_same_seed_gives_the_same_bits(self, example, image) -> None:
        first = example.realise(image, seed=3, device=CPU)
        torch.rand(10)
        second = example.realise(image, seed=3, device=CPU)
        assert torch.equal(first.measured, second.measured)

    def test_the_seed_matters_where_anything_is_drawn(self, example, image) -> None:
        first = example.realise(image, seed=3, device=CPU)
        second = example.realise(image, seed=4, device=CPU)
        drawn = example in DRAWN.get(type(example), ())
        assert torch.equal(first.measured, second.measured) is not drawn

    def test_without_draws_the_operator_says_it_all(self, example, problem) -> None:
        exact = torch.equal(problem.operator(problem.clean), problem.measured)
        added = getattr(example, "sigma", None) or getattr(example, "outliers", None)
        in_operator = isinstance(example, OPERATOR_DRAWN) and not added
        assert exact is (in_operator or example not in DRAWN.get(type(example), ()))

    def test_the_global_generator_is_left_alone(self, example, image) -> None:
        before = torch.get_rng_state()
        example.realise(image, seed=0, device=CPU)
        assert torch.equal(before, torch.get_rng_state())

    def test_the_loss_is_a_scalar_with_a_gradient(self, problem) -> None:
        output = (0.5 * problem.clean + 0.1).requires_grad_()
        loss = problem.loss(output)
        assert loss.shape == ()
        (gradient,) = torch.autograd.grad(loss, output)
        assert float(gradient.abs().max()) > 0

    def test_psnr_is_measured_against_the_clean_image(self, problem) -> None:
        swing = LUMA_SWING if problem.luma_border is not None and len(problem.clean[0]) == 3 else 1
        assert float(problem.psnr(problem.clean)) == float("inf")
        expected = 20 - 20 * math.log10(swing)
        assert float(problem.psnr(problem.clean + 0.1)) == pytest.approx(expected, abs=1e-3)
        assert float(problem.ssim(problem.clean)) == pytest.approx(1)

    def test_the_operator_is_linear_and_its_adjoint_the_transpose(self, problem) -> None:
        draws = torch.Generator().manual_seed(0)
        image, other = torch.randn((2, *problem.clean.shape), generator=draws)
        measurement = torch.randn(problem.measured.shape, generator=draws)
        operator = problem.operator
        mixed = 2 * operator(image) - operator(other)
        assert torch.allclose(operator(2 * image - other), mixed, atol=1e-5)
        measured = float((operator(image) * measurement).sum())
        pulled_back = float((image * operator.adjoint(measurement)).sum())
        assert measured == pytest.approx(pulled_back, abs=1e-3)
        assert operator.image_shape(measurement) == problem.image_shape

    def test_images_are_measured_side_by_side(self, problem) -> None:
        draws = torch.Generator().manual_seed(0)
        images = torch.rand((3, *problem.image_shape), generator=draws)
        together, alone = problem.operator(images), [problem.operator(one[None]) for one in images]
        assert problem.measured.shape == (1, *together.shape[1:])
        assert torch.allclose(together, torch.cat(alone), atol=1e-5)
        pulled_back = [problem.operator.adjoint(one) for one in alone]
        assert torch.allclose(problem.operator.adjoint(together), torch.cat(pulled_back), atol=1e-5)

    def test_the_view_is_as_large_as_the_image(self, problem) -> None:
        assert problem.view.shape == (1, *problem.image_shape)
        assert bool(torch.isfinite(problem.view).all())

    def test_no_other_colour_is_better_than_the_constant(self, problem) -> None:
        best = problem.constant()
        assert best.shape == problem.clean.shape
        assert bool((best == best[:, :, :1, :1]).all())
        loss = float(problem.loss(best))
        for channel in range(len(best[0])):
            for change in (-0.02, 0.02):
                other = best.clone()
                other[:, channel] = (other[:, channel] + change).clamp(0, 1)
                assert float(problem.loss(other)) >= loss - 1e-7

    def test_an_oracle_changes_the_loss_alone(self, problem) -> None:
        oracle = replace(problem, target="clean")
        output = 0.5 * problem.clean + 0.1
        assert float(oracle.loss(problem.clean)) == 0
        assert float(oracle.loss(output)) == float(((output - problem.clean) ** 2).mean())
        assert torch.equal(oracle.psnr(output), problem.psnr(output))
        assert torch.equal(oracle.view, problem.view)
        assert oracle.image_shape == problem.image_shape
        assert torch.allclose(colours(oracle.constant()), problem.clean.mean((0, 2, 3)), atol=1e-6)


class TestMeasuredPhoto:
    @pytest.fixture(params=["colour", "grey"])
    def photo(self, request, tmp_path) -> FileImage:
        shape = {"colour": (20, 24, 3), "grey": (20, 24)}[request.param]
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / "photo.png")
        return FileImage(path=str(tmp_path / "photo.png"), measured=True)

    @pytest.fixture(params=OF_A_PHOTO.values(), ids=repr)
    def task(self, request) -> AbstractTask:
        return request.param

    def test_it_is_taken_by_those_that_know_what_to_make_of_it(self, member, photo) -> None:
        if member in OF_A_PHOTO:
            assert list(OF_A_PHOTO[member].conflicts(photo)) == []
            return
        for task in EXAMPLES.get(member) or (member(),):
            (path, message), *_ = task.conflicts(photo)
            assert path == "kind"
            assert f"{photo.label} is measured already" in message
            with pytest.raises(ValueError, match=f"{task.kind}, kind: "):
                task.realise(photo, seed=0, device=CPU)

    def test_its_pixels_are_the_measurement_and_nothing_is_drawn(self, task, photo) -> None:
        problem, again = (task.realise(photo, seed=seed, device=CPU) for seed in (0, 1))
        pixels = photo.load()[None]
        if isinstance(task, Inpainting):
            pixels = problem.operator(pixels)  # what is missing counts for nothing
        assert torch.equal(problem.measured, pixels)
        assert torch.equal(again.measured, problem.measured)

    def test_its_truth_is_unknown(self, task, photo) -> None:
        problem = task.realise(photo, seed=0, device=CPU)
        assert problem.clean is None
        output = torch.full((1, *problem.image_shape), 0.5, requires_grad=True)
        assert math.isnan(float(problem.psnr(output)))
        assert math.isnan(float(problem.ssim(output)))
        (gradient,) = torch.autograd.grad(problem.loss(output), output)
        assert float(gradient.abs().max()) > 0
        assert problem.view.shape == problem.constant().shape == output.shape

    def test_what_degrades_a_clean_image_is_refused(self, member, photo) -> None:
        degrading = [
            task
            for task in DRAWN.get(member, ())
            if member in OF_A_PHOTO
            and not (isinstance(task, Inpainting) and isinstance(task.mask, RandomMask))
        ]
        for task in degrading:
            ((path, message),) = task.conflicts(photo)
            assert path in ("sigma", "peak", "share")
            assert f"{photo.label} is measured already" in message
            with pytest.raises(ValueError, match=f"{task.kind}, {path}"):
                task.realise(photo, seed=0, device=CPU)


class TestPair:
    """A measurement that was made elsewhere, beside the clean image."""

    @pytest.fixture(params=OF_A_PHOTO.values(), ids=repr)
    def task(self, request) -> AbstractTask:
        return request.param

    @pytest.fixture
    def pair(self, task, tmp_path) -> Pair:
        return self.of(tmp_path, shape=(10, 12) if task.kind == "super_resolution" else (20, 24))

    def of(self, folder, *, shape: tuple[int, int]) -> Pair:
        """Values from -0.5 to 1.5, in an array of float32."""
        values = np.random.default_rng(0).random((1, *shape, 3), dtype=np.float32) * 2 - 0.5
        np.savez(folder / "noisy.npz", images=values)
        noisy = ArrayMeasurement(path=str(folder / "noisy.npz"), index=0)
        return Pair(clean=COLOUR, measurement=noisy)

    def test_its_values_are_the_measurement_and_nothing_is_drawn(self, task, pair) -> None:
        assert list(task.conflicts(pair)) == []
        problem, again = (task.realise(pair, seed=seed, device=CPU) for seed in (0, 1))
        given = pair.measurement.load()[None]
        assert float(given.min()) < -0.4
        if isinstance(task, Inpainting):
            given = problem.operator(given)
        assert torch.equal(problem.measured, given)
        assert torch.equal(again.measured, given)

    def test_it_is_compared_with_the_clean_image(self, task, pair) -> None:
        problem = task.realise(pair, seed=0, device=CPU)
        assert torch.equal(problem.clean, COLOUR.load()[None])
        assert problem.image_shape == (3, 20, 24)
        assert float(problem.psnr(problem.clean)) == math.inf
        assert float(problem.loss(problem.clean)) > 0
        assert float(replace(problem, target="clean").loss(problem.clean)) == 0

    def test_another_size_is_refused_by_name(self, task, tmp_path) -> None:
        pair = self.of(tmp_path, shape=(9, 12))
        path, message = next(iter(task.conflicts(pair)))
        assert path == "kind"
        assert message.startswith(f"the measurement {pair.measurement.label} is 3×9×12, but ")
        assert message.endswith(f"{problem_shape(task)} (channels, height, width)")

    def test_what_is_drawn_is_refused(self, member, tmp_path) -> None:
        small = member is SuperResolution
        pair = self.of(tmp_path, shape=(10, 12) if small else (20, 24))
        for task in DRAWN.get(member, ()):
            messages = [message for _, message in task.conflicts(pair)]
            assert any(f"{pair.label} is measured already" in message for message in messages)

    def test_its_floor_is_of_the_clean_image(self, tmp_path) -> None:
        pair = self.of(tmp_path, shape=(20, 24))
        problem = Projection().realise(pair, seed=0, device=CPU)
        assert torch.equal(problem.measured, COLOUR.load()[None])


def problem_shape(task: AbstractTask) -> str:
    """What the task makes of the colour picture."""
    return "3×10×12" if isinstance(task, SuperResolution) else "3×20×24"
