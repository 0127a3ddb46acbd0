"""Trials: pure functions from a spec to records. One file a kind, one line here."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from lip_ray.records import LevelRecord
from lip_ray.spec import kind_or_mapping
from lip_ray.trials import classification, trajectory, transfer
from lip_ray.trials.base import AbstractTrial as AbstractTrial
from lip_ray.trials.base import Context as Context
from lip_ray.trials.classification import Classification as Classification
from lip_ray.trials.trajectory import Trajectory as Trajectory
from lip_ray.trials.transfer import Transfer as Transfer

Trial = Annotated[
    Trajectory | Transfer | Classification,
    Field(discriminator="kind"),
    kind_or_mapping(Trajectory | Transfer | Classification, default="trajectory"),
]


def run(trial: Trajectory | Transfer | Classification, context: Context) -> Iterator[LevelRecord]:
    """The records of a trial, one per level and image, from its first missing level on."""
    if isinstance(trial, Transfer):
        return transfer.run(trial, context)
    if isinstance(trial, Classification):
        return classification.run(trial, context)
    return trajectory.run(trial, context)
