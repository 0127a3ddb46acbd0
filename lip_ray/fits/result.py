"""The result of fitting one image."""

from dataclasses import dataclass

from torch import Tensor

from lip_ray.records import Outcome


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One image of a fit, (1, C, H, W), and the step it was taken at."""

    step: int
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class FitResult:
    r"""How a fit went on one image.

    Images are averaged outputs. A fit that diverged has no final one, and a problem without a clean
    image no peak.
    """

    outcome: Outcome
    reason: str
    steps: int
    seconds: float
    """The seconds of the whole fit, all of its images together."""
    rows: Tensor
    """(steps, 4) on the host: loss, PSNR of the output and of the average, stopping statistic."""
    peak: Snapshot | None
    selected: Snapshot | None
    final: Snapshot | None
    snapshot: dict[str, Tensor] | None = None
    """All parameters and buffers after step `snapshot_at`; None where the fit ended before it."""
