"""The rows a study leaves behind: plain dataclasses, no torch, no files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Outcome(StrEnum):
    """How a fit ended. Every outcome is a row; none is dropped or retried for luck."""

    BUDGET = "budget"
    """It used all of its steps."""
    STOPPED = "stopped"
    """The stopping rule's patience ran out before the steps did."""
    DIVERGED = "diverged"
    """The loss became infinite or not a number."""
    COLLAPSED = "collapsed"
    """The mask leaves no path from input to output: the image cannot depend on the latent."""
    FAILED = "failed"
    """There was nothing to fit; the reason says why."""


@dataclass(frozen=True, kw_only=True)
class LayerMask:
    """One layer of a mask: `bits` holds the flattened booleans, packed most significant first."""

    layer: str
    shape: tuple[int, ...]
    kept: int
    total: int
    bits: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One parameter or buffer of a network: `values` are its numbers, row by row, little-endian."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """As NumPy writes it: float32, int64."""
    values: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Thinned traces of one fit: equally long columns, one entry per recorded step.

    `psnr_db` is of the averaged output, `psnr_raw_db` of the network's own; both are empty where
    no clean image is known. `statistic` is the stopping rule's latest, NaN before its first.
    """

    step: tuple[int, ...]
    loss: tuple[float, ...]
    psnr_raw_db: tuple[float, ...]
    psnr_db: tuple[float, ...]
    statistic: tuple[float, ...]


ReconstructionRole = Literal["clean", "measured", "peak", "selected", "final", "samples"]
Split = Literal["in_range", "training", "held_out", "unknown"]
"""Where a reconstructed image comes from, seen from its generator: drawn from it, one that it was
trained on, one that it was not, or nobody knows, as its training images are not at hand."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """A small picture for galleries; `height` and `width` are those of the full image."""

    role: ReconstructionRole
    step: int | None
    height: int
    width: int
    png: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class LevelRecord:
    """What one level of a trial found on one image, and the masks that became known with it."""

    trial_id: str
    level: int
    image: str

    kept: int
    total: int
    kept_all: int
    total_all: int
    effective: int | None
    """Kept weights on a path from input to output; none known where nothing was fitted."""
    macs: int | None = None
    """Multiply-adds of one forward pass over one image with the kept weights."""

    psnr_measured_db: float | None = None
    psnr_peak_db: float | None = None
    psnr_selected_db: float | None = None
    psnr_final_db: float | None = None
    ssim_peak: float | None = None
    ssim_selected: float | None = None
    ssim_final: float | None = None
    peak_step: int | None = None
    selected_step: int | None = None
    steps: int = 0
    loss_final: float | None = None

    accuracy: float | None = None
    """Of a classifier on the held-out test set, in [0, 1], at the epoch that validation chose."""
    accuracy_final: float | None = None
    """The same after the last epoch."""

    split: Split | None = None
    """Of a reconstructed image."""
    l2_per_pixel: float | None = None
    """Of the selected reconstruction: mean squared error in the generator's own range of values,
    as compressed sensing with generative models reports it (Bora et al. 2017)."""
    critic_gap: float | None = None
    """Of a generator: the critic's mean score of real images less that of generated ones."""
    frechet: float | None = None
    """Of a generator: Fréchet distance of generated to training images, by their pixels."""

    outcome: Outcome
    reason: str = ""
    fit_s: float = 0.0
    memory_mb: float = 0.0
    """Peak of the level: tensors on a GPU; on a CPU all that the process held."""
    host: str = ""
    device: str = ""
    threads: int = 0
    finished_at: datetime | None = None

    masks: Mapping[int, tuple[LayerMask, ...]] = field(default_factory=dict, repr=False)
    """By level: this level's own mask (level 0 only) and those pruned for levels below, so that a
    run broken off between two levels goes on without fitting the last one again."""
    weights: Mapping[int, tuple[StoredTensor, ...]] = field(default_factory=dict, repr=False)
    """By level: the weights that it and the levels below begin with, where no seed draws them."""
    network: tuple[StoredTensor, ...] = field(default=(), repr=False)
    """The network that the level ended with, where it is a result and not a means: a generator."""
    curve: Curve | None = field(default=None, repr=False)
    reconstructions: tuple[Reconstruction, ...] = field(default=(), repr=False)

    @property
    def density(self) -> float:
        """Kept ÷ total prunable weights, in [0, 1]."""
        return self.kept / self.total


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """What a trial is. How it ended follows from its levels."""

    trial_id: str
    kind: str
    pruner: str
    prior: str
    task: str
    image: str
    seed: int
    levels: int
    """How many levels the trial has when complete."""
    source_ids: tuple[str, ...]
    """The trials whose tickets it evaluates; none where it finds its own."""
    travels: str | None
    """What of a ticket it takes over: mask, mask_and_weights or layer_densities."""
    parameters: int
    """Of the network: weights, biases and normalisation."""
    macs_per_step: int
    """Multiply-adds of one dense step on its first image, forward and backward."""
    spec: str
    """The full spec as JSON, defaults included."""
    canonical: str
    """The JSON that its id is the hash of: without defaults, and without what only says where."""
    lip_ray_version: str
    torch_version: str
    ray_version: str
    python_version: str
    host: str
    device: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """Which trials a sweep asked for, in order: trials belong to no sweep, sweeps share them."""

    sweep: str
    sweep_id: str
    trial_ids: tuple[str, ...]
    specs: tuple[str, ...]
    levels: tuple[int, ...]
    lip_ray_version: str
    requested_at: datetime


class Cause(StrEnum):
    """Why a trial was given up. Unlike a fit's outcome it is the machine's doing: the same command
    tries again."""

    ERROR = "error"
    """It raised, each time it was tried."""
    DIED = "died"
    """Its process ended: killed, out of main memory, or its node was lost."""
    TIME_LIMIT = "time_limit"
    """One level took longer than `run.level_limit_s`."""
    OUT_OF_MEMORY = "out_of_memory"
    """The GPU's memory did not suffice, even alone."""
    SOURCE = "source"
    """A trial that it takes tickets from was given up."""


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """A trial that was given up by one run of a sweep, and at which level."""

    trial_id: str
    kind: str
    pruner: str
    prior: str
    task: str
    image: str
    seed: int
    level: int
    """The first that the store lacks."""
    cause: Cause
    reason: str
    """One line."""
    traceback: str
    """The last one of its worker; empty where there is none."""
    source_id: str | None = None
    """The source that was given up, where that is the cause."""
    host: str
    """Of the driver."""
    lip_ray_version: str
    failed_at: datetime


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a trial has come inside the level that it is fitting."""

    trial_id: str
    level: int
    step: int
    """Steps taken."""
    steps: int
    """Of the whole level, at most."""
    psnr_db: float | None = None
    """Of the averaged output at that step, mean over images."""


@dataclass(frozen=True, kw_only=True)
class PointRecord:
    """A point of a search space that was asked for, and the trials that it stands for."""

    search: str
    """The sweep's name."""
    search_id: str
    number: int
    """From 0, in the order of asking."""
    params: str
    """The value of every searched field by its dotted path, as JSON."""
    objectives: str
    """The objectives as JSON: a list of mappings."""
    trial_ids: tuple[str, ...]
    specs: tuple[str, ...]
    levels: tuple[int, ...]
    """Of each trial, when complete."""
    problem: str = ""
    """Why there are no trials: the values do not go together."""
    lip_ray_version: str
    asked_at: datetime


PointState = Literal["complete", "stopped", "collapsed", "failed"]


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """What a point came to."""

    search: str
    search_id: str
    number: int
    state: PointState
    """complete; stopped early as hopeless; collapsed, with values that are no images' worth; or
    failed, without values."""
    values: tuple[float, ...]
    """One an objective, in their order; none where it stopped or failed."""
    reason: str = ""
    told_at: datetime
