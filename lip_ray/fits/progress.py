"""How far a fit has come, for whoever asks while it runs."""

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor


class Callback(Protocol):
    """Told of a fit before its first step and after every one: it must not hold the fit up."""

    def __call__(self, step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
        """`step` steps are taken, of `steps` at most.

        `psnr_db` makes the host wait for the device and gives the PSNR at the last step, the mean
        over images; none where no clean image is known.
        """


def no_callback(step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
    """Report nothing: the progress callback of a fit that nobody follows."""


def unknown() -> None:
    """None: the PSNR of a fit that restores no image, or has not begun."""


def mean_psnr_db(values: Iterable[Tensor]) -> float | None:
    """The mean of scalars on one device, read at once. Values that are not finite are left out."""
    known = [value for value in torch.stack(list(values)).tolist() if math.isfinite(value)]
    return sum(known) / len(known) if known else None
