"""Which stored rows of other trials, and of its own earlier levels, a trial builds on."""

from lip_ray.trials.base import AbstractTrial
from lip_ray.trials.generator import Generator
from lip_ray.trials.trajectory import Trajectory

TICKETS = ("masks", "weights", "networks")
"""The tables of tickets and generators."""

WITHOUT_WEIGHTS = ("mask", "layer_densities")
"""What can be taken over of a ticket without the weights that it rewinds to."""


def needed_of_sources(trial: AbstractTrial) -> tuple[str, ...]:
    """The tables whose rows a trial needs of each of its sources, where these have any."""
    if getattr(trial, "travels", None) in WITHOUT_WEIGHTS:
        return ("masks", "networks")
    return TICKETS


def needed_of_itself(trial: AbstractTrial) -> tuple[str, ...]:
    """The tables whose rows of earlier levels a trial needs for a later one."""
    return ("masks", "weights") if isinstance(trial, Trajectory | Generator) else ()
