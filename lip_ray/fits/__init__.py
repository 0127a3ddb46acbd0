"""Fits: what is optimised, how it is watched, and when it stops."""

from lip_ray.fits.adversarial import AdversarialFit as AdversarialFit
from lip_ray.fits.adversarial import AdversarialResult as AdversarialResult
from lip_ray.fits.checkpoint import Checkpointer as Checkpointer
from lip_ray.fits.descent import Subject as Subject
from lip_ray.fits.lasso import Lasso as Lasso
from lip_ray.fits.latent import L1 as L1
from lip_ray.fits.latent import AbstractSolver as AbstractSolver
from lip_ray.fits.latent import Erm as Erm
from lip_ray.fits.latent import Huber as Huber
from lip_ray.fits.latent import LatentSolver as LatentSolver
from lip_ray.fits.latent import MedianOfMeans as MedianOfMeans
from lip_ray.fits.latent import Solver as Solver
from lip_ray.fits.latent import Trimmed as Trimmed
from lip_ray.fits.numerics import arithmetic as arithmetic
from lip_ray.fits.progress import Callback as Callback
from lip_ray.fits.result import FitResult as FitResult
from lip_ray.fits.result import Snapshot as Snapshot
from lip_ray.fits.stopping import AbstractStopping as AbstractStopping
from lip_ray.fits.stopping import Discrepancy as Discrepancy
from lip_ray.fits.stopping import ExponentialVariance as ExponentialVariance
from lip_ray.fits.stopping import HeldOut as HeldOut
from lip_ray.fits.stopping import Stopping as Stopping
from lip_ray.fits.stopping import WindowedVariance as WindowedVariance
from lip_ray.fits.weights import Fit as Fit
