"""Which numbers the rows of a trial cannot have: no search can be after them."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from lip_ray.data.images import Picture
from lip_ray.metrics import SSIM_WINDOW
from lip_ray.tasks import SuperResolution, Task

SSIM = ("ssim_peak", "ssim_selected", "ssim_final")
COMPARED = (
    "psnr_measured_db",
    "psnr_peak_db",
    "psnr_selected_db",
    "psnr_final_db",
    *SSIM,
    "peak_step",
    "l2_per_pixel",
)
"""Columns that compare a restored image with the clean one."""
CLASSIFIED = ("accuracy", "accuracy_final")
"""Columns of classifiers."""
ADVERSARIAL = ("critic_gap", "frechet")
"""Columns of generators in training."""
OF_LATENTS = ("l2_per_pixel",)
"""Columns of reconstructions alone."""


def of_other_kinds(kind: str, *columns: str) -> dict[str, str]:
    """Columns that are filled by trials of other kinds only."""
    return dict.fromkeys(columns, f"a trial of the kind {kind} has none")


def uncomparable(images: Iterable[Picture], task: Task) -> dict[str, str]:
    """Columns that need a clean image, where one is its own measurement; SSIM where one is small.

    Images that cannot be read lack nothing.
    """
    border = (task.border or 0) if isinstance(task, SuperResolution) else 0
    lacking: dict[str, str] = {}
    for image in images:
        if image.measured:
            return dict.fromkeys(COMPARED, f"it needs a clean image, and {image.label} is measured")
        with suppress(ValueError):
            lacking |= without_ssim(image.load().shape[1:], border)
    return lacking


def without_ssim(size: Sequence[int], border: int = 0) -> dict[str, str]:
    """SSIM of images of this height and width, where its window is larger."""
    left = min(size) - 2 * border
    if left >= SSIM_WINDOW:
        return {}
    window = f"{SSIM_WINDOW}×{SSIM_WINDOW}"
    return dict.fromkeys(SSIM, f"its window is {window}, and an image has {left} pixels a side")
