"""What a trial is given when it runs: a device, stored results, and where to report."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Protocol

import torch
from torch import Tensor

from lip_ray.fits import Callback
from lip_ray.pruning import Mask
from lip_ray.records import KeptPictures, LayerMask, Standing, StoredTensor
from lip_ray.trials.tensors import loaded


class Artifacts(Protocol):
    """Stored results that trials and levels build on; the store's reader is one."""

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """The mask of a level, which may not be fitted yet; None where none is stored."""

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """The weights that a level begins with; None where the seed draws them."""

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """The weights that a level ended with; None where they were not stored."""

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """The last checkpoint of an interrupted level; None without one."""


class NoArtifacts:
    """The artifacts of a trial that needs no other's and begins at level 0."""

    def masks(self, trial_id: str, level: int) -> None:
        """None, as no trial has run before."""

    def weights(self, trial_id: str, level: int) -> None:
        """None, as no trial has run before."""

    def network(self, trial_id: str, level: int) -> None:
        """None, as no trial has run before."""

    def unfinished(self, trial_id: str, level: int) -> None:
        """None, as no trial has run before."""


@dataclass(frozen=True, kw_only=True)
class LevelCheckpointer:
    """Saves and loads the checkpoint of one level while it is being fitted."""

    interval_s: float
    load: Callable[[], bytes | None]
    save: Callable[[bytes], None]


def _save_nothing(trial_id: str, level: int, state: bytes) -> None:
    """Take a checkpoint and drop it."""


def _report_nothing(standing: Standing) -> None:
    """Take a report of progress and drop it."""


@dataclass(kw_only=True)
class LevelProgress:
    """Reports the progress of a level: when it begins, and then at most every `interval_s`.

    Between two reports it reads a clock and nothing else.
    """

    trial_id: str
    level: int
    interval_s: float
    report: Callable[[Standing], None]
    due: float = -inf
    """When the next report is due, on the clock of `time.monotonic`."""

    def __call__(self, step: int, steps: int, psnr_db: Callable[[], float | None]) -> None:
        """Report that `step` of at most `steps` steps are taken, if it is time for a report."""
        if time.monotonic() < self.due:
            return
        self.report(
            Standing(
                trial_id=self.trial_id,
                level=self.level,
                step=step,
                steps=steps,
                psnr_db=psnr_db(),
            )
        )
        self.due = time.monotonic() + self.interval_s  # from its end, as a report may be slow


@dataclass(frozen=True, kw_only=True)
class Context:
    """Where a trial runs and at which level it resumes: nothing here changes its results."""

    device: torch.device
    first_level: int = 0
    """The first level that is not recorded yet."""
    artifacts: Artifacts = field(default_factory=NoArtifacts)
    """Results of this trial's earlier levels and of its sources."""
    save_checkpoint: Callable[[str, int, bytes], None] = _save_nothing
    """Stores the checkpoint of a level, by trial id and level, in place of the last one."""
    checkpoint_every_s: float = 300.0
    """Seconds between two checkpoints of a level: the work that a killed trial can lose."""
    pictures: KeptPictures = "auto"
    """Which pictures the rows of a level hold at full size."""
    report: Callable[[Standing], None] = _report_nothing
    """Receives the progress of the level that is being fitted."""
    report_every_s: float = 10.0
    """Seconds between two reports of a level; the first is made when its fit begins."""

    def mask(self, trial_id: str, level: int) -> Mask | None:
        """The stored mask of a level on this trial's device; None where none is stored."""
        rows = self.artifacts.masks(trial_id, level)
        return Mask.from_rows(rows, device=self.device) if rows else None

    def weights(self, trial_id: str, level: int) -> dict[str, Tensor] | None:
        """The weights that a level begins with, by name; None where a seed draws them."""
        tensors = self.artifacts.weights(trial_id, level)
        return loaded(tensors, self.device) if tensors else None

    def network(self, trial_id: str, level: int) -> dict[str, Tensor] | None:
        """The weights that a level ended with, by name; None where they were not stored."""
        tensors = self.artifacts.network(trial_id, level)
        return loaded(tensors, self.device) if tensors else None

    def checkpointer(self, trial_id: str, level: int) -> LevelCheckpointer:
        """The checkpointer for the fit of a level."""
        return LevelCheckpointer(
            interval_s=self.checkpoint_every_s,
            load=partial(self.artifacts.unfinished, trial_id, level),
            save=partial(self.save_checkpoint, trial_id, level),
        )

    def callback(self, trial_id: str, level: int) -> Callback:
        """The callback through which the fit of a level reports its progress."""
        return LevelProgress(
            trial_id=trial_id, level=level, interval_s=self.report_every_s, report=self.report
        )
