"""Linear physics of the deepinv package, which need not be installed for anything else."""

import inspect
import warnings
from collections.abc import Iterator
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.rng import keyed
from lip_ray.spec import Spec
from lip_ray.tasks.base import AbstractTask, Operator, Problem, given, given_conflicts, posed

Shape = tuple[int, int, int]
REFUSALS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, RuntimeError,
    TypeError, UserWarning, ValueError,
)  # fmt: skip
"""The errors that deepinv's classes raise for arguments, or images, that do not suit them."""


class Physics(Operator):
    """The operator of a deepinv physics, for images of one shape."""

    def __init__(self, physics: Any, shape: Shape) -> None:
        """`physics` has a method A; `shape` is (C, H, W)."""
        self.physics = physics
        self.shape = shape

    def __call__(self, images: Tensor) -> Tensor:
        """Apply the method `A` of the physics."""
        measurement: Tensor = self.physics.A(images)
        return measurement

    def image_shape(self, measurement: Tensor) -> Shape:
        """(C, H, W) of the images that it was made for."""
        return self.shape

    def view(self, measurement: Tensor) -> Tensor:
        r"""The measurement as a picture, resized to the image where it has as many channels.

        Any other measurement is mapped back by the adjoint and stretched to [0, 1].
        """
        if measurement.ndim == 4 and measurement.shape[1] == self.shape[0]:
            if measurement.shape[2:] == self.shape[1:]:
                return measurement
            return F.interpolate(measurement, size=self.shape[1:], mode="bicubic").clamp(0, 1)
        pulled_back = self.adjoint(measurement)
        least, most = torch.aminmax(pulled_back)
        return (pulled_back - least) / (most - least).clamp(min=torch.finfo(most.dtype).tiny)


@final
class DeepinvNoise(Spec):
    """A noise model of deepinv."""

    name: str
    """The name of a class in deepinv.physics, like GaussianNoise."""
    arguments: dict[str, JsonValue] = {}  # noqa: RUF012
    """The arguments of its constructor. Its random numbers are keyed by seed and image."""

    def __hash__(self) -> int:
        """A hash of the names alone, since values may be lists, which have no hash."""
        return hash((self.name, frozenset(self.arguments)))


@final
class Deepinv(AbstractTask):
    r"""A linear physics of deepinv, with one of its noise models.

    Arguments are what YAML can say: numbers, texts and lists. A class that needs a tensor, as Blur
    needs its filter, or images of other than the picture's channels, as MRI needs two, is refused
    before anything runs.
    """

    kind: Literal["deepinv"] = "deepinv"
    name: str
    """The name of a subclass of LinearPhysics in deepinv.physics, like Tomography."""
    arguments: dict[str, JsonValue] = {}  # noqa: RUF012
    """The arguments of its constructor; lists become tuples.

    An `img_size` that the class needs and is not given is that of the image. Random numbers, if
    the class draws any, are keyed by seed and image.
    """
    noise: DeepinvNoise | None = None
    """A noise model for the measurement; by default there is none."""

    def __hash__(self) -> int:
        """A hash of the names alone, since values may be lists, which have no hash."""
        return hash((self.name, frozenset(self.arguments), self.noise))

    @property
    def adds_noise(self) -> bool:
        """Whether there is a noise model."""
        return self.noise is not None

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """A missing deepinv, names that it does not have, or arguments that it refuses."""
        try:
            found = _deepinv_physics()
        except ImportError as error:
            yield "kind", str(error)
            return
        wrong = list(self._unknown_names(found))
        if image.measurement is not None:
            wrong += self._unknown_of_a_photo(found, image)
        yield from wrong
        if not wrong:
            try:
                measured = self._measured(found, image, seed=0)[0]
            except REFUSALS as error:
                yield "arguments", f"are refused by {self.name}, for {image.label}: {error}"
                return
            if not isinstance(measured, Tensor) or not measured.is_floating_point():
                yield "name", f"{self.name} measures no real tensor, which a fit needs"
            elif image.measured and measured.shape[1:] != image.load().shape:
                yield (
                    "arguments",
                    f"say a measurement of {tuple(measured.shape[1:])}, but {image.label} is "
                    f"{tuple(image.load().shape)}: set img_size to that of the image looked for",
                )
            else:
                yield from given_conflicts(image, self.name, tuple(measured.shape[1:]))

    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The clean image and its measurement by the physics; all draws are made on the CPU."""
        self.refuse_conflicts(image)
        found = _deepinv_physics()
        measured, physics, shape = self._measured(found, image, seed=seed)
        known = given(image)
        return posed(
            image,
            measured if known is None else known,
            device=device,
            operator=Physics(physics.to(device), shape),
        )

    def _measured(self, found: Any, image: Picture, *, seed: int) -> tuple[Tensor, Any, Shape]:
        r"""The physics with the measurement of the image; of black where a measurement came with
        the image.

        The global generator, which some of the classes use, is seeded meanwhile.
        """
        pixels = image.load()[None]
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            draws = keyed(seed, "physics", image=image.label)
            torch.default_generator.manual_seed(draws.initial_seed())
            shape = self._image_shape(image)
            physics = _made(getattr(found, self.name), self.arguments, draws, shape)
            if self.noise is not None:
                draws = keyed(seed, "noise", image=image.label)
                noise = _made(getattr(found, self.noise.name), self.noise.arguments, draws, shape)
                physics.set_noise_model(noise)
            if image.measurement is not None:
                return physics.A(pixels.new_zeros(1, *shape)), physics, shape
            return physics(pixels), physics, shape

    def _image_shape(self, image: Picture) -> Shape:
        """The shape of the image to restore: `img_size` where it is given, else that of the
        picture."""
        given = self.arguments.get("img_size") if image.measured else None
        channels, height, width = image.load().shape if given is None else _tuples(given)
        return channels, height, width

    def _unknown_names(self, found: Any) -> Iterator[tuple[str, str]]:
        """Names of classes that deepinv does not have, or that are not linear."""
        physics = getattr(found, self.name, None)
        if not (inspect.isclass(physics) and issubclass(physics, found.LinearPhysics)):
            yield "name", f"must be a subclass of deepinv.physics.LinearPhysics, got {self.name!r}"
        if self.noise is not None:
            noise = getattr(found, self.noise.name, None)
            if not (inspect.isclass(noise) and issubclass(noise, found.NoiseModel)):
                rule = "must be a subclass of deepinv.physics.NoiseModel"
                yield "noise.name", f"{rule}, got {self.noise.name!r}"

    def _unknown_of_a_photo(self, found: Any, image: Picture) -> Iterator[tuple[str, str]]:
        """Settings that a measured photo cannot have: more noise, or an operator drawn anew."""
        if self.noise is not None:
            yield "noise", f"{image.label} is measured already and gets no more noise"
        physics = getattr(found, self.name, None)
        if inspect.isclass(physics) and "rng" in inspect.signature(physics).parameters:
            yield "name", f"{self.name} draws its operator, which cannot have measured a photo"


def _deepinv_physics() -> Any:
    """The module deepinv.physics. Raises ImportError, with what to do, where deepinv is not
    installed, or broken."""
    try:
        import deepinv.physics  # type: ignore[import-not-found, unused-ignore]
    except Exception as error:  # packages that it needs may raise anything
        if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("deepinv"):
            raise ImportError("needs deepinv: pip install 'lip-ray[deepinv]'") from error
        raise ImportError(
            "the package deepinv is installed but cannot be imported, often as torchvision was "
            f"made for another torch: {type(error).__name__}: {error}"
        ) from error
    return deepinv.physics


def _made(made: Any, arguments: dict[str, JsonValue], draws: torch.Generator, shape: Shape) -> Any:
    r"""An instance, with its random generator and the size it needs filled in where they are not
    given.

    Arguments that a class would ignore are an error.
    """
    taken = inspect.signature(made).parameters
    implied: dict[str, Any] = {"rng": draws} if "rng" in taken else {}
    if "img_size" in taken and taken["img_size"].default is inspect.Parameter.empty:
        implied["img_size"] = shape
    given = {name: _tuples(value) for name, value in arguments.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*are ignored")
        return made(**implied | given)


def _tuples(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
