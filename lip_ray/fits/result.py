"""The result of fitting one image."""

from dataclasses import dataclass

from torch import Tensor

from lip_ray.fits.execution import Execution
from lip_ray.fits.stopping import AbstractStopping
from lip_ray.records import Outcome


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One image of a fit, (1, C, H, W), and the step it was taken at."""

    step: int
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class ChosenStep:
    """The step of one image of a fit that a rule chose."""

    rule: AbstractStopping
    """The rule, with all its lengths set."""
    in_force: bool
    """Whether it is the rule of the fit's spec, so that its choice is the selected image."""
    step: int
    statistic: float
    """The rule's statistic at that step."""
    psnr_db: float
    """The PSNR there of the signal that the rule watches; NaN without a clean image."""
    fired: bool
    """Whether the choice was final before the fit ended; otherwise it is the best step so far."""
    noise: float | None
    """The standard deviation of the noise that the rule went by, on the scale of images in [0, 1];
    None where it needs none."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    r"""How a fit went on one image.

    Images are of the signal that the stopping rule watches: averaged outputs, by default. A fit
    that diverged has no final one, and a problem without a clean image no peak.
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
    execution: Execution | None = None
    """What the steps computed: all weights of a network, or the kept ones alone; None where no
    weights were fitted."""
    choices: tuple[ChosenStep, ...] = ()
    """What each rule that watched the fit chose; the one of the spec first."""
    snapshot: dict[str, Tensor] | None = None
    """All parameters and buffers after step `snapshot_at`; None where the fit ended before it."""
