"""Trials: pure functions from a spec to records. One file a kind, one line here."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Annotated

from pydantic import TypeAdapter

from lip_ray.records import LevelRecord
from lip_ray.spec import Family
from lip_ray.trials import classification, generator, reconstruction, trajectory, transfer
from lip_ray.trials.base import AbstractTrial as AbstractTrial
from lip_ray.trials.classification import Classification as Classification
from lip_ray.trials.context import Context as Context
from lip_ray.trials.generator import Generator as Generator
from lip_ray.trials.reconstruction import Reconstruction as Reconstruction
from lip_ray.trials.trajectory import Trajectory as Trajectory
from lip_ray.trials.transfer import Transfer as Transfer

AnyTrial = Trajectory | Transfer | Classification | Generator | Reconstruction

Trial = Annotated[AnyTrial, Family(default="trajectory")]


_ANY: TypeAdapter[AnyTrial] = TypeAdapter(Trial)


def from_json(spec: str) -> AnyTrial:
    """The trial that a stored spec describes. Raises pydantic's ValidationError for invalid
    ones."""
    return _ANY.validate_json(spec)


def refit(trial: AnyTrial, level: int, context: Context) -> tuple[LevelRecord, ...]:
    """The rows of one level of a trial, one per image, fitted again on its own: masks, weights and
    sources are the artifacts of the context."""
    if isinstance(trial, Trajectory):
        return trajectory.refit(trial, level, context)
    rows = run(trial, replace(context, first_level=level))
    return tuple(islice(rows, trial.images_per_level))


def run(trial: AnyTrial, context: Context) -> Iterator[LevelRecord]:
    """The records of a trial, one per level and image, from its first missing level on."""
    match trial:
        case Trajectory():
            return trajectory.run(trial, context)
        case Transfer():
            return transfer.run(trial, context)
        case Classification():
            return classification.run(trial, context)
        case Generator():
            return generator.run(trial, context)
        case Reconstruction():
            return reconstruction.run(trial, context)
