"""What tasks make of an image: a concrete inverse problem."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.metrics import luma, psnr, ssim
from lip_ray.spec import Spec

STRENGTHS = {"sigma": "σ", "peak": "peak", "share": "share"}
"""Fields that set the strength of a task's noise, with the symbols for them in titles."""


class Operator(ABC):
    """A linear map from images (N, C, H, W) to one measurement each, of any shape."""

    @abstractmethod
    def __call__(self, images: Tensor) -> Tensor:
        """(N, …): the measurement of each image, without noise."""

    def adjoint(self, measurement: Tensor) -> Tensor:
        """The transpose: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for all images x and measurements y.

        (N, …) → (N, C, H, W), the transpose of each measurement.
        """
        shape = (len(measurement), *self.image_shape(measurement))
        images = measurement.new_zeros(shape, requires_grad=True)
        with torch.enable_grad():
            (pulled_back,) = torch.autograd.grad(self(images), images, measurement)
        return pulled_back

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        """(C, H, W) of the images; by default the shape of the measurement."""
        channels, height, width = measurement.shape[1:]
        return channels, height, width

    def view(self, measurement: Tensor) -> Tensor:
        """A measurement (1, …) as galleries show it: (1, C, H, W), as large as the image."""
        return measurement


class Identity(Operator):
    """The forward operator of denoising: it returns images unchanged."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images unchanged."""
        return images


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A measurement and, where it is known, the clean image; all on one device."""

    measured: Tensor
    """The measurement with its noise, (1, …)."""
    clean: Tensor | None = None
    """The clean image, (1, C, H, W) in [0, 1]; None for a user's own measurement, where it is
    unknown."""
    operator: Operator = field(default_factory=Identity)
    target: Literal["measured", "clean"] = "measured"
    """What a restored image is fitted to. `clean` makes the fit an oracle, which no user has."""
    noise_variance: float | None = None
    """The expected mean square of the noise over all measured values, as the task states it or as
    it was estimated; None where it is unknown, or there is none."""
    held_out: Tensor | None = None
    """Measured values that the loss leaves out, booleans in the shape of the measurement; None
    where every value is fitted."""
    luma_border: int | None = None
    """With a number, PSNR and SSIM are those of the luma without that many pixels at each side;
    with None they are those of all values."""

    def __post_init__(self) -> None:
        if self.target == "clean" and self.clean is None:
            raise ValueError("a measured photo has no clean image, so target cannot be clean")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the image to restore."""
        if self.clean is None:
            return self.operator.image_shape(self.measured)
        channels, height, width = self.clean.shape[1:]
        return channels, height, width

    @property
    def blank(self) -> Tensor:
        """A black image to restore into, (1, C, H, W), on the device."""
        return self.measured.new_zeros((1, *self.image_shape))

    @property
    def view(self) -> Tensor:
        """The measurement as galleries show it: (1, C, H, W), as large as the image."""
        return self.operator.view(self.measured)

    def loss(self, output: Tensor) -> Tensor:
        r"""The data loss of a restored image, a scalar.

        It is the mean squared error of the image's measurement to the given one, without the
        values that are held out, or of the image itself to the clean one where that is the target.
        """
        if self.target == "clean" and self.clean is not None:
            return F.mse_loss(output, self.clean)
        return self.residual(output)

    def residual(self, output: Tensor) -> Tensor:
        """The mean squared error of an image's measurement, without the values that are held out,
        whatever the target; a scalar."""
        if self.held_out is None:
            return F.mse_loss(self.operator(output), self.measured)
        return _mean_squares(self.operator(output) - self.measured, ~self.held_out).squeeze(0)

    def errors(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        r"""The mean squared errors of images' measurements, whatever the target.

        (N, C, H, W) → (N,) on the values that are fitted, and (N,) on those that are held out;
        None for the latter where none is.
        """
        differences = self.operator(images) - self.measured
        if self.held_out is None:
            return differences.square().flatten(1).mean(1), None
        fitted = _mean_squares(differences, ~self.held_out)
        return fitted, _mean_squares(differences, self.held_out)

    def holding_out(self, share: float, draws: torch.Generator) -> "Problem":
        r"""The same problem with about that share of the measured values left out of the loss.

        Each value is drawn by itself, at least one is held out, and at least one is fitted. With a
        share of 0 nothing is drawn.
        """
        if not share:
            return self
        chances = torch.rand(self.measured.shape, generator=draws)
        held = (chances < share) & (chances < chances.max()) | (chances == chances.min())
        return replace(self, held_out=held.to(self.measured.device))

    def psnr(self, images: Tensor) -> Tensor:
        """PSNR in dB of restored images against the clean one: measured, never optimised.

        (N, C, H, W) → (N,); NaN where there is no clean image.
        """
        if self.clean is None:
            return images.new_full((len(images),), float("nan"))
        return psnr(self._compared(images), self._compared(self.clean))

    def ssim(self, output: Tensor) -> Tensor:
        """SSIM of a restored image against the clean one, a scalar; NaN where there is none."""
        if self.clean is None:
            return output.new_full((), float("nan"))
        return ssim(self._compared(output), self._compared(self.clean))

    def constant(self) -> Tensor:
        """The image of one colour in [0, 1] with the least loss, (1, C, H, W).

        Linear least squares over the channels; a channel that nothing measures is black.
        """
        channels, height, width = self.image_shape
        planes = torch.eye(channels, dtype=self.measured.dtype, device=self.measured.device)
        pure = planes[..., None, None].expand(-1, -1, height, width)
        if self.target == "clean" and self.clean is not None:
            columns, values = pure, self.clean
        else:
            columns, values = self.operator(pure), self.measured
        from scipy.optimize import lsq_linear  # 30 MB, and few fits need it

        system, right = columns.reshape(channels, -1).double().T, values.reshape(-1).double()
        if self.held_out is not None:
            fitted = ~self.held_out.flatten()
            system, right = system[fitted], right[fitted]
        basis, triangle = torch.linalg.qr(system)
        right = basis.T @ right
        solution = lsq_linear(triangle.cpu().numpy(), right.cpu().numpy(), (0, 1), method="bvls")
        colour = torch.from_numpy(solution.x).to(planes).clamp(0, 1)
        return colour[None, :, None, None].expand(1, -1, height, width)

    def _compared(self, images: Tensor) -> Tensor:
        """The part of images that metrics are computed on."""
        border = self.luma_border
        if border is None:
            return images
        height, width = images.shape[2:]
        return luma(images)[..., border : height - border, border : width - border]


class AbstractTask(Spec, ABC):
    r"""A way to degrade an image; `realise` makes the problem.

    Where the measurement came with the image, nothing is drawn. Of a measured image, which is its
    own measurement, no clean image is known.
    """

    kind: str

    @property
    def title(self) -> str:
        """The task and its strength, as `denoising, σ = 25`."""
        factor = getattr(self, "factor", None)
        said = [f"{self.kind} × {factor}" if factor else self.kind]
        strengths = {name: getattr(self, name, None) for name in STRENGTHS}
        return ", ".join(said + [f"{STRENGTHS[n]} = {v:g}" for n, v in strengths.items() if v])

    @property
    def adds_noise(self) -> bool:
        """Whether the task adds noise to its measurements, by the spec alone."""
        return bool(getattr(self, "sigma", None))

    @abstractmethod
    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The problem of restoring `image` from a measurement drawn with `seed`."""

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        r"""Why the task cannot use an image: the path of a field and what is wrong with it.

        Raises ValueError where the image itself cannot be loaded.
        """
        yield from ()

    def refuse_conflicts(self, image: Picture) -> None:
        """Raise ValueError with the first conflict, if there is any."""
        for path, message in self.conflicts(image):
            raise ValueError(f"{self.kind}, {path}: {message}")


def _mean_squares(differences: Tensor, chosen: Tensor) -> Tensor:
    """The mean square of each image's chosen differences, (N,), whatever the others are, NaN
    included.

    Sums are of a fixed size, so that a GPU need not wait.
    """
    return differences.where(chosen, 0.0).square().flatten(1).sum(1) / chosen.sum()


def given(image: Picture) -> Tensor | None:
    """The measurement that came with an image, (1, C, H, W) on the CPU; None without one."""
    return None if image.measurement is None else image.measurement.load()[None]


def given_conflicts(image: Picture, task: str, shape: Sequence[int]) -> Iterator[tuple[str, str]]:
    """A measurement that came with a clean image, and is not of the shape that the task makes."""
    if image.measurement is None or image.measured:
        return
    found = image.measurement.load().shape
    if found != tuple(shape):
        yield (
            "kind",
            f"the measurement {image.measurement.label} is {_size(found)}, but {task} of an image "
            f"of {_size(image.load().shape)} makes {_size(shape)} (channels, height, width)",
        )


def posed(
    image: Picture,
    measured: Tensor,
    *,
    device: torch.device,
    operator: Operator | None = None,
    noise_variance: float | None = None,
    luma_border: int | None = None,
) -> Problem:
    """The problem of restoring an image from a measurement, with the clean image if it is known."""
    return Problem(
        clean=None if image.measured else image.load()[None].to(device),
        measured=measured.to(device),
        operator=operator or Identity(),
        noise_variance=noise_variance,
        luma_border=luma_border,
    )


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
