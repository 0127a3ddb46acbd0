"""Rules that choose a step of a fit without ever seeing the clean image.

A rule is one file with a spec, added to the union below.
"""

from typing import Annotated

from lip_ray.fits.stopping.base import AbstractMonitor as AbstractMonitor
from lip_ray.fits.stopping.base import AbstractStopping as AbstractStopping
from lip_ray.fits.stopping.base import Choice as Choice
from lip_ray.fits.stopping.base import Seen as Seen
from lip_ray.fits.stopping.discrepancy import Discrepancy as Discrepancy
from lip_ray.fits.stopping.held_out import HeldOut as HeldOut
from lip_ray.fits.stopping.variance import ExponentialVariance as ExponentialVariance
from lip_ray.fits.stopping.variance import WindowedVariance as WindowedVariance
from lip_ray.spec import Family

Stopping = Annotated[
    WindowedVariance | ExponentialVariance | Discrepancy | HeldOut, Family(default="wmv")
]

WATCHING: tuple[AbstractStopping, ...] = (
    WindowedVariance(signal="output", window=100, stride=10, warm_up=0, patience=1000),
    WindowedVariance(),
    ExponentialVariance(),
    Discrepancy(),
    HeldOut(),
)
"""The rules that watch every fit they apply to, beside the one of its spec. The first is ES-WMV as
it was published."""
