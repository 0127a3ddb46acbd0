"""Small ladders to test with, and what trials have left for each other, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from lip_ray.pruning import Mask
from lip_ray.records import LayerMask, LevelRecord, StoredTensor
from lip_ray.trials import AbstractTrial, Context, Trajectory, run

CPU = torch.device("cpu")
OF_THE_RUN = {"fit_s", "memory_mb", "host", "finished_at"}
"""Columns that say how a level was run, not what it found."""

SPEC: dict[str, Any] = {
    "images": {"kind": "builtin", "name": "astronaut", "rows": (100, 112), "columns": (200, 213)},
    "task": {"kind": "denoising", "sigma": 25.0},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "skip_width": 2, "input_channels": 3},
    "schedule": [1.0, 0.6, 0.4, 0.3],
    "fit": {"steps": 12, "stopping": {"window": 6, "stride": 3}},
}


class MemoryArtifacts:
    """The masks, weights and networks in records, as a store would give them back."""

    def __init__(self, records: Sequence[LevelRecord]) -> None:
        self._masks = {(r.trial_id, at): m for r in records for at, m in r.masks.items()}
        self._weights = {(r.trial_id, at): w for r in records for at, w in r.weights.items()}
        self._networks = {(r.trial_id, r.level): r.network for r in records if r.network}
        self._unfinished: dict[tuple[str, int], bytes] = {}

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """Of that very level."""
        return self._masks.get((trial_id, level))

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """Of that level or the nearest above."""
        levels = [at for name, at in self._weights if name == trial_id and at <= level]
        return self._weights[trial_id, max(levels)] if levels else None

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """Of that very level."""
        return self._networks.get((trial_id, level))

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """What was kept last of that level."""
        return self._unfinished.get((trial_id, level))

    def keep(self, trial_id: str, level: int, state: bytes) -> None:
        """In place of what was kept before."""
        self._unfinished[trial_id, level] = state


NOTHING = MemoryArtifacts(())


def crop(name: str) -> dict[str, Any]:
    return SPEC["images"] | {"name": name}


def trajectory(**changes: Any) -> Trajectory:
    return Trajectory.model_validate(SPEC | changes)


def records_of(
    spec: AbstractTrial, *, artifacts: MemoryArtifacts = NOTHING, first: int = 0
) -> list[LevelRecord]:
    return list(run(spec, Context(device=CPU, first_level=first, artifacts=artifacts)))


def found(record: LevelRecord) -> dict[str, Any]:
    """What a record says of its level, in a form in which NaN equals itself."""
    return {
        field.name: repr(getattr(record, field.name))
        if field.name not in ("masks", "reconstructions", "pictures")
        else getattr(record, field.name)
        for field in fields(record)
        if field.name not in OF_THE_RUN
    }


def masks_of(records: list[LevelRecord]) -> dict[int, Mask]:
    rows = {level: mask for record in records for level, mask in record.masks.items()}
    return {level: Mask.from_rows(mask, device=CPU) for level, mask in rows.items()}


@dataclass
class Start:
    """What a level's fit was given."""

    weights: dict[str, Tensor]
    latent: Tensor
    clean: Tensor
    measured: Tensor
    mask: Mask
    draws: int
