"""What every task turns an image into: an inverse problem made concrete."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lip_ray.images import BuiltinImage, FileImage
from lip_ray.metrics import psnr
from lip_ray.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A measurement of a clean image. Both are (1, C, H, W) float in [0, 1], on one device."""

    clean: Tensor
    measured: Tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the image that is looked for."""
        channels, height, width = self.clean.shape[1:]
        return channels, height, width

    def loss(self, output: Tensor) -> Tensor:
        """The data loss of a restored image: mean squared error to the measurement, a scalar."""
        return F.mse_loss(output, self.measured)

    def psnr(self, output: Tensor) -> Tensor:
        """PSNR in dB of a restored image against the clean one: measured, never optimised."""
        return psnr(output, self.clean)


class AbstractTask(Spec, ABC):
    """A way to degrade an image; `realise` makes the problem."""

    kind: str

    @abstractmethod
    def realise(
        self, image: BuiltinImage | FileImage, *, seed: int, device: torch.device
    ) -> Problem:
        """The problem of restoring `image` from a measurement drawn with `seed`."""
