"""Reports of a fit's progress while it runs."""

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor


class Callback(Protocol):
    """Called before the first step of a fit and after every one; it must return quickly."""

    def __call__(self, step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
        r"""Take in that `step` of at most `steps` steps are taken.

        `psnr_db` makes the host wait for the device and gives the PSNR at the last step, the mean
        over images; None where no clean image is known.
        """


def no_callback(step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
    """The callback of a fit whose progress nobody follows."""


def unknown() -> None:
    """None: the PSNR of a fit that restores no image or has not begun."""


def mean_psnr_db(values: Iterable[Tensor]) -> float | None:
    """The mean of scalars on one device, read at once. Values that are not finite are left out."""
    known = [value for value in torch.stack(list(values)).tolist() if math.isfinite(value)]
    return sum(known) / len(known) if known else None
