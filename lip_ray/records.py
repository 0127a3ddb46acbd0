"""The rows a study leaves behind: plain dataclasses, no torch, no files."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal


class Outcome(StrEnum):
    """How a fit ended. Every outcome is a row; none is dropped or retried for luck."""

    BUDGET = "budget"
    """The fit used all of its steps."""
    STOPPED = "stopped"
    """The stopping rule's patience ran out before the steps did."""
    DIVERGED = "diverged"
    """The loss became infinite or not a number."""
    COLLAPSED = "collapsed"
    """The mask leaves no path from input to output: the image cannot depend on the latent."""
    FAILED = "failed"
    """There was nothing to fit; the reason says why."""


BAD_OUTCOMES = (Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED)
"""How fits end that went wrong."""

FAILURES = [outcome.value for outcome in BAD_OUTCOMES]
"""The same, as rows have them."""


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
    """NumPy's name of the type, such as float32 or int64."""
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


@dataclass(frozen=True, kw_only=True)
class StepChoice:
    """The step of a fit that one stopping rule chose; several rules watch every fit."""

    rule: str
    """The kind of the rule."""
    signal: str
    """What it watches and would report: the average of outputs, or each output."""
    settings: str
    """All its settings, as JSON."""
    in_force: bool
    """Whether it is the rule of the fit's spec, so that its choice is `selected`."""
    step: int
    psnr_db: float | None
    """The PSNR of the signal at that step; None where no clean image is known."""
    statistic: float
    """The rule's statistic at that step."""
    fired: bool
    """Whether the choice was final before the fit ended; otherwise it is the best step so far."""
    noise: float | None
    """The standard deviation of the noise that the rule went by, for images in [0, 1]; None where
    it needs none."""


ReconstructionRole = Literal["clean", "measured", "peak", "selected", "final", "samples"]
Split = Literal["in_range", "training", "held_out", "unknown"]
"""The relation of a reconstructed image to its generator: drawn from it, one of its training
images, not one of them, or unknown, where its training images are not at hand."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """A small picture for galleries; `height` and `width` are those of the full image."""

    role: ReconstructionRole
    step: int | None
    height: int
    width: int
    png: bytes = field(repr=False)


KeptPictures = Literal["auto", "full", "small"]
"""Which levels keep pictures at full size beside those for galleries: all of them (`full`), none
(`small`), or those of images that came with a measurement of their own (`auto`)."""


@dataclass(frozen=True, kw_only=True)
class FullPicture:
    """A picture at full size: `png` has 16 bits a channel, whatever the depth of the input."""

    role: ReconstructionRole
    step: int | None
    height: int
    width: int
    depth: int
    """Bits a channel of the input: 8, or 16 for whatever is deeper."""
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
    """The number of kept weights on a path from input to output; None where nothing was fitted."""
    macs: int | None = None
    """Multiply-adds of one forward pass over one image with the kept weights alone, whether or not
    the fit computed so few."""

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
    """Accuracy of a classifier on the held-out test set, in [0, 1], at the epoch that validation
    chose."""
    accuracy_final: float | None = None
    """Accuracy on the test set after the last epoch, in [0, 1]."""

    split: Split | None = None
    """The relation of a reconstructed image to its generator."""
    l2_per_pixel: float | None = None
    """Mean squared error of the selected reconstruction in the generator's own range of values, as
    compressed sensing with generative models reports it (Bora et al. 2017)."""
    critic_gap: float | None = None
    """For a generator, the critic's mean score of real images minus that of generated ones."""
    frechet: float | None = None
    """For a generator, the Fréchet distance of generated to training images, by their pixels."""

    outcome: Outcome
    reason: str = ""
    fit_s: float = 0.0
    memory_mb: float = 0.0
    """Peak of the level in 2²⁰ bytes: of tensors on a GPU; on a CPU of the whole process."""
    host: str = ""
    device: str = ""
    cpu: str | None = None
    """The machine's CPU, as `processor.cpu_name` says it."""
    threads: int = 0
    execution: str | None = None
    """Whether steps computed all weights, dense, or the kept ones alone, sparse; None where no
    weights were fitted to an image."""
    finished_at: datetime | None = None

    unfinished: bool | None = None
    """Whether the best step is in the last hundredth of the fit, so that more steps would restore
    better; None where nothing was restored."""

    masks: Mapping[int, tuple[LayerMask, ...]] = field(default_factory=dict, repr=False)
    """Masks by level: this level's own (level 0 only) and those pruned for levels below, so that a
    run interrupted between two levels resumes without fitting the last one again."""
    weights: Mapping[int, tuple[StoredTensor, ...]] = field(default_factory=dict, repr=False)
    """Weights by level, for itself and the levels below to begin with, where no seed draws them."""
    network: tuple[StoredTensor, ...] = field(default=(), repr=False)
    """The network at the end of the level, where it is itself a result: a generator."""
    curve: Curve | None = field(default=None, repr=False)
    choices: tuple[StepChoice, ...] = field(default=(), repr=False)
    """What each stopping rule that watched the fit chose."""
    reconstructions: tuple[Reconstruction, ...] = field(default=(), repr=False)
    pictures: tuple[FullPicture, ...] = field(default=(), repr=False)
    """The pictures of `reconstructions` at full size, where they are kept."""

    @property
    def density(self) -> float:
        """Kept weights divided by all prunable weights, in [0, 1]."""
        return self.kept / self.total


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a trial that others may have in common with it, such as its network."""

    name: str
    """The name for people; different parts may share it."""
    key: str
    """JSON without defaults: parts with equal keys are the same, in every version of the
    package."""
    settings: str
    """JSON with the defaults of the version that wrote the trial."""


@dataclass(frozen=True, kw_only=True)
class Facets:
    r"""What a trial means, apart from its seeds: given by its class and stored beside its spec.

    The problem of a level's row is one of `images` together with the task and the network.
    """

    setting: str
    """A hash that is equal for trials that differ by their seeds alone."""
    images: tuple[str, ...]
    """Labels of the images, as in the rows of `levels`."""
    image_keys: tuple[str, ...]
    """The key of each image, like the key of a part."""
    image_settings: tuple[str, ...]
    """The settings of each image, like the settings of a part."""
    task: Part
    network: Part
    """The prior, and how it is fitted or trained."""
    method: Part
    """How the network's weights were chosen and, if elsewhere, where; for reconstructions the
    solver."""
    dense: Part | None = None
    """The dense fit that the ladder begins with, where it restores images."""
    finder: Part | None = None
    """How tickets are found, wherever that is."""
    source: Part | None = None
    """Where tickets were found."""
    outliers: Part | None = None
    """The kind of outliers among the measurements."""
    source_images: tuple[str, ...] = ()
    """Labels of the images that tickets were found on; empty where unknown."""
    source_tasks: tuple[str, ...] = ()
    """The kinds of the tasks that tickets were found with."""
    source_task: str | None = None
    """The tasks that tickets were found with, in words, with their strengths."""
    source_seed: int | None = None
    """The seed of the trial that the tickets come from."""
    target: str | None = None
    """The target that tickets were fitted to: measured, or clean where the ground truth was
    used."""
    owns_masks: bool = False
    """Whether the trial itself found masks of images to restore."""
    solver: str | None = None
    m: int | None = None
    """The number of measurements, where the task has such a number."""
    outlier_share: float | None = None
    """The share of measurements that are outliers."""

    def columns(self) -> dict[str, Any]:
        """The value of each column; a part has three, for its name, key and settings."""
        found: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in PARTS:
                found |= {f"{one.name}_{end}": value and getattr(value, end) for end in ENDS}
            else:
                found[one.name] = value
        return found

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the columns."""
        places = ((one.name, ENDS if one.name in PARTS else ("",)) for one in fields(cls))
        return tuple(f"{name}_{end}".rstrip("_") for name, ends in places for end in ends)


PARTS = ("task", "network", "method", "dense", "finder", "source", "outliers")
"""The fields of `Facets` that are parts."""

ENDS = ("name", "key", "settings")
"""The fields of a part, which are also the ends of the names of its columns."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The identity of a trial. How it ended follows from its levels."""

    trial_id: str
    kind: str
    pruner: str
    prior: str
    task: str
    image: str
    seed: int
    levels: int
    """The number of levels that the complete trial has."""
    source_ids: tuple[str, ...]
    """The trials whose tickets it evaluates; empty where it finds its own."""
    travels: str | None
    """What it takes over of a ticket: mask, mask_and_weights or layer_densities."""
    parameters: int
    """The parameters of the network: weights, biases and normalisation."""
    macs_per_step: int
    """Multiply-adds of one step of the whole network on its first image, forward and backward."""
    spec: str
    """The full spec as JSON, defaults included."""
    canonical: str
    """The JSON that its id is the hash of: without defaults and without run-only fields such as
    paths."""
    epoch: int
    """The number of the defaults that the canonical JSON leaves out."""
    facets: Facets | None = None
    """What it means; None in stores of older versions, where it is read off the specs."""
    lip_ray_version: str
    torch_version: str
    ray_version: str
    python_version: str
    host: str
    device: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """The trials of a sweep, in order. A trial belongs to no sweep; sweeps may share it."""

    sweep: str
    sweep_id: str
    trial_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    specs: tuple[str, ...]
    levels: tuple[int, ...]
    lip_ray_version: str
    requested_at: datetime


class Cause(StrEnum):
    """Why a trial failed. Unlike the outcome of a fit it is the machine's doing, and the same
    command tries the trial again."""

    ERROR = "error"
    """The trial raised an error every time it was tried."""
    DIED = "died"
    """Its process ended: killed, out of main memory, or its node was lost."""
    TIME_LIMIT = "time_limit"
    """One level took longer than `run.level_limit_s`."""
    OUT_OF_MEMORY = "out_of_memory"
    """The GPU's memory did not suffice, even with no other trial on it."""
    SOURCE = "source"
    """A trial that it takes tickets from failed."""


@dataclass(frozen=True, kw_only=True)
class FailureRecord:
    """A trial that failed in one run of a sweep, and its level."""

    trial_id: str
    kind: str
    pruner: str
    prior: str
    task: str
    image: str
    seed: int
    level: int
    """The first level that the store lacks."""
    cause: Cause
    reason: str
    """The reason, in one line."""
    traceback: str
    """The last traceback of its worker; empty where there is none."""
    source_id: str | None = None
    """The source that failed, where that is the cause."""
    host: str
    """The host of the driver."""
    lip_ray_version: str
    failed_at: datetime


FRESH_S = 120.0
"""A note this old is of a trial whose process ended: those that run note every few seconds."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The progress of a trial within the level that it is fitting."""

    trial_id: str
    level: int
    step: int
    """The number of steps taken."""
    steps: int
    """The most steps of the level."""
    psnr_db: float | None = None
    """PSNR of the averaged output at that step, mean over images."""


@dataclass(frozen=True, kw_only=True)
class PointRecord:
    """A point of a search space that is to be evaluated, and its trials."""

    search: str
    """The name of the sweep."""
    search_id: str
    number: int
    """The number of the point, from 0, in the order they were drawn."""
    params: str
    """The value of every searched field by its dotted path, as JSON."""
    objectives: str
    """The objectives as JSON: a list of mappings."""
    trial_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    specs: tuple[str, ...]
    levels: tuple[int, ...]
    """For each trial, its number of levels when complete."""
    problem: str = ""
    """Why the point has no trials: its values do not go together."""
    lip_ray_version: str
    asked_at: datetime


PointState = Literal["complete", "stopped", "collapsed", "failed"]


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """The result of a point."""

    search: str
    search_id: str
    number: int
    state: PointState
    """complete; stopped early as hopeless; collapsed, with values that describe no restored image;
    or failed, without values."""
    values: tuple[float, ...]
    """One value per objective, in their order; empty where the point was stopped or failed."""
    reason: str = ""
    told_at: datetime
