"""What every task turns an image into: an inverse problem made concrete."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lip_ray.data.images import Picture
from lip_ray.metrics import luma, psnr, ssim
from lip_ray.spec import Spec


class Operator(ABC):
    """A linear map from images (N, C, H, W) to as many measurements, each of any shape."""

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
        """(C, H, W) of the images that are measured so; the measurement's own unless overridden."""
        channels, height, width = measurement.shape[1:]
        return channels, height, width

    def view(self, measurement: Tensor) -> Tensor:
        """How galleries show a measurement (1, …): (1, C, H, W), as large as the image."""
        return measurement


class Identity(Operator):
    """The forward operator of denoising: it returns images unchanged."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images unchanged."""
        return images


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A measurement and, where it is known, the image it is of; all on one device."""

    measured: Tensor
    """(1, …): what the operator makes of an image, with its noise."""
    clean: Tensor | None = None
    """(1, C, H, W) in [0, 1]; None for a user's own measurement, whose truth nobody knows."""
    operator: Operator = field(default_factory=Identity)
    target: Literal["measured", "clean"] = "measured"
    """What a restored image is fitted to; `clean` is an oracle that no user has."""
    luma_border: int | None = None
    """PSNR and SSIM on the luma with so many pixels cut from each side; None: on all there is."""

    def __post_init__(self) -> None:
        if self.target == "clean" and self.clean is None:
            raise ValueError("a measured photo has no clean image, so target cannot be clean")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the image that is looked for."""
        if self.clean is None:
            return self.operator.image_shape(self.measured)
        channels, height, width = self.clean.shape[1:]
        return channels, height, width

    @property
    def view(self) -> Tensor:
        """The measurement as galleries show it: (1, C, H, W), as large as the image."""
        return self.operator.view(self.measured)

    def loss(self, output: Tensor) -> Tensor:
        """The data loss of a restored image, a scalar.

        Mean squared error of its measurement to the one at hand, or of itself to the clean image
        where that is the target.
        """
        if self.target == "clean" and self.clean is not None:
            return F.mse_loss(output, self.clean)
        return F.mse_loss(self.operator(output), self.measured)

    def psnr(self, output: Tensor) -> Tensor:
        """PSNR in dB of a restored image against the clean one: measured, never optimised.

        A scalar; NaN where there is no clean image.
        """
        if self.clean is None:
            return _nan(output)
        return psnr(self._compared(output), self._compared(self.clean))

    def ssim(self, output: Tensor) -> Tensor:
        """SSIM of a restored image against the clean one, a scalar; NaN where there is none."""
        if self.clean is None:
            return _nan(output)
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

        system = columns.reshape(channels, -1).double().T
        basis, triangle = torch.linalg.qr(system)
        right = basis.T @ values.reshape(-1).double()
        solution = lsq_linear(triangle.cpu().numpy(), right.cpu().numpy(), (0, 1), method="bvls")
        colour = torch.from_numpy(solution.x).to(planes).clamp(0, 1)
        return colour[None, :, None, None].expand(1, -1, height, width)

    def _compared(self, image: Tensor) -> Tensor:
        """The part of an image that metrics look at."""
        border = self.luma_border
        if border is None:
            return image
        height, width = image.shape[2:]
        return luma(image)[..., border : height - border, border : width - border]


class AbstractTask(Spec, ABC):
    """A way to degrade an image; `realise` makes the problem.

    A measured image is the degraded one already: nothing is drawn and there is no clean image.
    """

    kind: str

    @abstractmethod
    def realise(self, image: Picture, *, seed: int, device: torch.device) -> Problem:
        """The problem of restoring `image` from a measurement drawn with `seed`."""

    def conflicts(self, image: Picture) -> Iterator[tuple[str, str]]:
        """What keeps the task from an image: the path of a field and what is wrong with it.

        Raises ValueError where the image itself cannot be loaded.
        """
        yield from ()

    def refuse_conflicts(self, image: Picture) -> None:
        """Raise ValueError with the first conflict, if there is any."""
        for path, message in self.conflicts(image):
            raise ValueError(f"{self.kind}, {path}: {message}")


def _nan(like: Tensor) -> Tensor:
    return like.new_full((), float("nan"))
