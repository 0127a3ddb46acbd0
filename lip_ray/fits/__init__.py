"""Fits: what is optimised, how it is watched, and when it stops."""

from lip_ray.fits.stopping import ExponentialVariance as ExponentialVariance
from lip_ray.fits.stopping import Stopping as Stopping
from lip_ray.fits.stopping import WindowedVariance as WindowedVariance
from lip_ray.fits.weights import Fit as Fit
from lip_ray.fits.weights import FitResult as FitResult
from lip_ray.fits.weights import Snapshot as Snapshot
from lip_ray.fits.weights import Subject as Subject
from lip_ray.fits.weights import arithmetic as arithmetic
