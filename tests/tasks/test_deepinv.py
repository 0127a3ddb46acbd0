"""The adapter to deepinv, against a double of its interface: the package is not needed."""

import sys
import warnings
from importlib.abc import MetaPathFinder
from types import ModuleType

import pytest
import torch
from pydantic import TypeAdapter

from lip_ray.data.images import BuiltinImage, FileImage, png
from lip_ray.tasks import Deepinv, Task
from lip_ray.tasks.deepinv import DeepinvNoise

CPU = torch.device("cpu")
IMAGE = BuiltinImage(name="astronaut", rows=(0, 16), columns=(100, 124))


class Plain(torch.nn.Module):
    """A physics that is not linear."""

    def __init__(self, noise_model=None, **kwargs):
        super().__init__()
        self.noise_model = noise_model or (lambda x: x)
        if kwargs:
            warnings.warn(f"Arguments {kwargs} are passed but are ignored.", stacklevel=1)

    def A(self, x):  # noqa: N802
        return x

    def set_noise_model(self, noise_model):
        self.noise_model = noise_model

    def forward(self, x):
        return self.noise_model(self.A(x))


class LinearPhysics(Plain):
    """The identity."""


class CompressedSensing(LinearPhysics):
    """Random projections, from a generator of its own and from the global one."""

    def __init__(self, m, img_size, rng=None, **kwargs):
        super().__init__(**kwargs)
        assert isinstance(img_size, tuple)
        count = img_size[0] * img_size[1] * img_size[2]
        self.register_buffer("rows", torch.randn(m, count, generator=rng) + torch.rand(m, 1))

    def A(self, x):  # noqa: N802
        return x.flatten(1) @ self.rows.T


class Halves(LinearPhysics):
    """Every other row and column; its size may be left out."""

    def __init__(self, img_size=None, **kwargs):
        super().__init__(**kwargs)
        self.img_size = img_size

    def A(self, x):  # noqa: N802
        return x[..., ::2, ::2]


class Complex(LinearPhysics):
    """A measurement that no mean squared error can be taken of."""

    def A(self, x):  # noqa: N802
        return torch.fft.fft2(x)


class Filtered(LinearPhysics):
    """A physics with a tensor as its argument, as Blur has."""

    def __init__(self, filter, **kwargs):
        super().__init__(**kwargs)
        self.size = filter.shape


class TwoChannels(LinearPhysics):
    """A physics of complex images, as MRI is."""

    def A(self, x):  # noqa: N802
        assert x.shape[1] == 2, f"needs 2 channels, got {x.shape[1]}"
        return x


class NoiseModel(torch.nn.Module):
    """No noise."""

    def forward(self, x):
        return x


class GaussianNoise(NoiseModel):
    """White noise from its own generator."""

    def __init__(self, sigma=0.1, rng=None):
        super().__init__()
        self.sigma, self.rng = sigma, rng

    def forward(self, x):
        return x + self.sigma * torch.empty_like(x).normal_(generator=self.rng)


class Broken(MetaPathFinder):
    """Raises an error where deepinv is imported, as its own imports may."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def find_spec(self, name, path=None, target=None):
        if name == "deepinv":
            raise self._error


@pytest.fixture(autouse=True)
def deepinv(monkeypatch) -> None:
    """The double, in the place of the package."""
    package, physics = ModuleType("deepinv"), ModuleType("deepinv.physics")
    package.physics = physics
    for member in (
        Plain, LinearPhysics, CompressedSensing, Halves, Complex, Filtered, TwoChannels, NoiseModel,
        GaussianNoise,
    ):  # fmt: skip
        setattr(physics, member.__name__, member)
    monkeypatch.setitem(sys.modules, "deepinv", package)
    monkeypatch.setitem(sys.modules, "deepinv.physics", physics)


@pytest.fixture
def photo(tmp_path) -> FileImage:
    (tmp_path / "photo.png").write_bytes(png(IMAGE.load()))
    return FileImage(path=str(tmp_path / "photo.png"), measured=True)


SENSING = Deepinv(name="CompressedSensing", arguments={"m": 7})
NOISE = DeepinvNoise(name="GaussianNoise", arguments={"sigma": 0.5})


class TestRealise:
    def test_the_operator_is_the_physics_for_the_size_of_the_image(self) -> None:
        problem = SENSING.realise(IMAGE, seed=0, device=CPU)
        rows = problem.operator.physics.rows
        assert rows.shape == (7, 3 * 16 * 24)
        assert torch.equal(problem.measured, problem.clean.flatten(1) @ rows.T)
        assert problem.image_shape == (3, 16, 24)

    def test_its_draws_are_keyed_even_those_of_the_global_generator(self) -> None:
        first = SENSING.realise(IMAGE, seed=3, device=CPU)
        before = torch.get_rng_state()
        again = SENSING.realise(IMAGE, seed=3, device=CPU)
        other = SENSING.realise(IMAGE, seed=4, device=CPU)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.equal(first.operator.physics.rows, again.operator.physics.rows)
        assert not torch.equal(first.operator.physics.rows, other.operator.physics.rows)

    def test_its_noise_is_keyed_apart_and_as_strong_as_it_says(self) -> None:
        task = Deepinv(name="LinearPhysics", noise=NOISE)
        large = BuiltinImage(name="astronaut")
        problem, again, other = (task.realise(large, seed=seed, device=CPU) for seed in (0, 0, 1))
        noise = problem.measured - problem.clean
        assert float(noise.std()) == pytest.approx(0.5, rel=0.01)
        assert torch.equal(again.measured, problem.measured)
        assert not torch.equal(other.measured, problem.measured)

    def test_the_adjoint_is_the_transpose(self) -> None:
        problem = SENSING.realise(IMAGE, seed=0, device=CPU)
        measurement = torch.arange(7.0)[None]
        expected = (measurement @ problem.operator.physics.rows).reshape(1, 3, 16, 24)
        assert torch.allclose(problem.operator.adjoint(measurement), expected, atol=1e-5)

    def test_lists_become_tuples_and_a_size_that_is_given_is_kept(self) -> None:
        task = Deepinv(name="Halves", arguments={"img_size": [3, [16, 24]]})
        problem = task.realise(IMAGE, seed=0, device=CPU)
        assert problem.operator.physics.img_size == (3, (16, 24))
        plain = Deepinv(name="Halves").realise(IMAGE, seed=0, device=CPU)
        assert plain.operator.physics.img_size is None


class TestView:
    def test_what_looks_like_the_image_is_shown_as_it_is(self) -> None:
        problem = Deepinv(name="LinearPhysics").realise(IMAGE, seed=0, device=CPU)
        assert torch.equal(problem.view, problem.clean)

    def test_another_size_is_resized(self) -> None:
        problem = Deepinv(name="Halves").realise(IMAGE, seed=0, device=CPU)
        assert problem.view.shape == problem.clean.shape
        assert 0 <= float(problem.view.min()) <= float(problem.view.max()) <= 1

    def test_anything_else_is_pulled_back_and_stretched(self) -> None:
        view = SENSING.realise(IMAGE, seed=0, device=CPU).view
        assert view.shape == (1, 3, 16, 24)
        assert (float(view.min()), float(view.max())) == (0, 1)


class TestRefusals:
    def test_without_the_package_it_says_how_to_get_it(self, monkeypatch) -> None:
        monkeypatch.setitem(sys.modules, "deepinv", None)
        monkeypatch.delitem(sys.modules, "deepinv.physics")
        ((path, message),) = SENSING.conflicts(IMAGE)
        assert path == "kind"
        assert "pip install 'lip-ray[deepinv]'" in message
        with pytest.raises(ValueError, match=r"pip install 'lip-ray\[deepinv\]'"):
            SENSING.realise(IMAGE, seed=0, device=CPU)

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("operator torchvision::nms does not exist"),
            ModuleNotFoundError("No module named 'torchvision'", name="torchvision"),
            OSError("libcudart.so.12: cannot open shared object file"),
        ],
    )
    def test_one_that_is_broken_is_one_message_each_time(self, monkeypatch, error) -> None:
        """What deepinv needs, like torchvision, may raise anything while it is imported."""

        monkeypatch.delitem(sys.modules, "deepinv")
        monkeypatch.delitem(sys.modules, "deepinv.physics")
        monkeypatch.setattr(sys, "meta_path", [Broken(error), *sys.meta_path])
        for _ in range(2):
            ((path, message),) = SENSING.conflicts(IMAGE)
            assert path == "kind"
            assert "installed but cannot be imported" in message
            assert str(error) in message
            assert "pip install" not in message
        with pytest.raises(ValueError, match="cannot be imported"):
            SENSING.realise(IMAGE, seed=0, device=CPU)

    @pytest.mark.parametrize(
        ("name", "arguments", "part"),
        [("Filtered", {"filter": [1, 2, 1]}, "shape"), ("TwoChannels", {}, "2 channels")],
    )
    def test_what_yaml_cannot_say_is_refused(self, name, arguments, part) -> None:
        """As deepinv's Blur, which needs a tensor, and MRI, which needs two channels."""
        ((path, message),) = Deepinv(name=name, arguments=arguments).conflicts(IMAGE)
        assert path == "arguments"
        assert part in message

    @pytest.mark.parametrize("name", ["Nowhere", "Plain", "GaussianNoise"])
    def test_what_is_no_linear_physics(self, name: str) -> None:
        ((path, message),) = Deepinv(name=name).conflicts(IMAGE)
        assert path == "name"
        assert message.endswith(f"LinearPhysics, got '{name}'")

    @pytest.mark.parametrize("name", ["Nowhere", "Halves"])
    def test_what_is_no_noise(self, name: str) -> None:
        task = Deepinv(name="LinearPhysics", noise=DeepinvNoise(name=name))
        ((path, message),) = task.conflicts(IMAGE)
        assert path == "noise.name"
        assert message.endswith(f"NoiseModel, got '{name}'")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({}, "missing 1 required positional argument: 'm'"),
            ({"m": "many"}, "randn"),
            ({"m": 7, "n": 3}, r"{'n': 3} are passed but are ignored"),
            ({"m": 7, "img_size": [3, 16, 25]}, "cannot be multiplied"),
        ],
    )
    def test_arguments_that_it_does_not_take(self, arguments, reason: str) -> None:
        ((path, message),) = Deepinv(name="CompressedSensing", arguments=arguments).conflicts(IMAGE)
        assert path == "arguments"
        assert message.startswith("are refused by CompressedSensing, for astronaut: ")
        assert reason in message

    def test_a_complex_measurement(self) -> None:
        ((path, message),) = Deepinv(name="Complex").conflicts(IMAGE)
        assert path == "name"
        assert "no real tensor" in message


class TestMeasuredPhoto:
    def test_the_image_looked_for_may_be_larger(self, photo) -> None:
        task = Deepinv(name="Halves", arguments={"img_size": [3, 32, 48]})
        problem = task.realise(photo, seed=0, device=CPU)
        assert problem.clean is None
        assert torch.equal(problem.measured, photo.load()[None])
        assert problem.image_shape == (3, 32, 48)

    def test_its_size_must_be_what_the_physics_measures(self, photo) -> None:
        ((path, message),) = Deepinv(name="Halves").conflicts(photo)
        assert path == "arguments"
        assert "say a measurement of (3, 8, 12)" in message

    def test_noise_and_chance_are_refused(self, photo) -> None:
        task = SENSING.model_copy(update={"noise": NOISE})
        conflicts = dict(task.conflicts(photo))
        assert set(conflicts) == {"noise", "name"}
        assert "draws its operator" in conflicts["name"]


def test_arguments_are_in_the_id_whatever_their_order() -> None:
    written = {"kind": "deepinv", "name": "Blur", "arguments": {"a": 1, "b": [2.5, True]}}
    turned = written | {"arguments": {"b": [2.5, True], "a": 1}}
    other = written | {"arguments": {"a": 1, "b": [2.5, False]}}
    first, second, third = (TypeAdapter(Task).validate_python(w) for w in (written, turned, other))
    assert first.id == second.id
    assert first.id != third.id
    assert hash(first) == hash(second)
    assert len({first, second, third}) == 2
