"""Trials: pure functions from a spec to records. One file a kind, one line here."""

from lip_ray.trials.base import Context as Context
from lip_ray.trials.trajectory import Trajectory as Trajectory
from lip_ray.trials.trajectory import run as run

Trial = Trajectory
