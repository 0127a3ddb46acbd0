"""Where and how trials run. Nothing here changes their results, so none of it is part of an id."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lip_ray.records import KeptPictures
from lip_ray.spec import Spec

Kind = Literal["trajectory", "transfer", "classification", "generator", "reconstruction"]
Tracker = Literal["tensorboard", "mlflow", "wandb"]

Cores = Annotated[int, Field(ge=1, le=2**16)]


def _number_or_auto(value: object) -> object:
    """The value. Raises one ValueError where it is no number of GPUs, which a union would not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "auto" and not (number and math.isfinite(value)):  # type: ignore[arg-type]
        raise ValueError("must be a number or auto")
    if number and value < 0:  # type: ignore[operator]
        raise ValueError("must be at least 0")
    return value


Gpus = Annotated[Annotated[float, Field(ge=0)] | Literal["auto"], BeforeValidator(_number_or_auto)]
"""A share of one GPU up to 1, or a whole number of GPUs; 0 is none, auto a share by the size of the
trial."""


class Resources(Spec):
    """The resources of one trial of a kind; None leaves those that `run` sets for all kinds."""

    cpus: Cores | None = None
    """CPU cores, and so threads."""
    gpus: Gpus | None = None
    """GPUs, where it runs on CUDA; a share of one up to 1, or auto."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Main memory that is reserved."""

    @model_validator(mode="after")
    def _gpus_whole(self) -> Self:
        _refuse_split(self.gpus)
        return self


class Run(Spec):
    """Where and how the trials of a sweep run."""

    store: str | None = None
    """Folder of the results; `results/<name of the sweep>` by default. A quick run appends -quick,
    as its short fits are not to be shown among the others."""
    sources: str | None = None
    """The store that finished trials of `sources` are copied from, instead of running them again;
    by default that of the sweep that `sources` names."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto is CUDA wherever Ray finds a GPU."""
    cpus: Cores = 1
    """CPU cores, and so threads, per trial."""
    gpus: Gpus = 1.0
    """GPUs per trial, where it runs on CUDA; 0.5 lets two trials share one, 0 needs none. auto is a
    share by the multiply-adds of a step, which grow with the network and the image: the study's
    network has 1/8 up to 64×64 pixels, 1/4 up to 128×128, 1/2 up to 256×256 and 1 above."""
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Main memory in 10⁹ bytes reserved per trial; by default none is reserved."""
    kinds: dict[Kind, Resources] = {}  # noqa: RUF012
    """Other resources for trials of one kind."""
    concurrent: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """The most trials at once; by default as many as there are cores or GPUs for."""
    most_trials: Annotated[int, Field(ge=1, le=10**9)] = 10_000
    """The most trials that sources, cases and grid may make together. Raise it where more are
    meant: a typing error can make millions, which take hours to check."""
    retries: Annotated[int, Field(ge=0, le=10**6)] = 3
    """How often a trial whose process died is started again."""
    level_limit_s: Annotated[float, Field(gt=0)] | None = None
    """Seconds that one level may take, including its wait for the store. A trial that takes longer
    is killed as hanging and counts as a process that died. By default there is no limit."""
    store_patience_s: Annotated[float, Field(ge=0)] = 600.0
    """Seconds that a level waits for a store that cannot be written to, as when a disk is full,
    before the run stops."""
    checkpoint_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between two checkpoints of a generator's level in the store: the most work that a
    killed trial loses."""
    pictures: KeptPictures = "auto"
    """Which pictures are stored at full size, in the table `pictures`: `full` all, `small` none;
    auto those of images with a measurement of their own. `lip picture` makes others again."""
    trackers: tuple[Tracker, ...] = Field(default=(), strict=False)
    """Experiment trackers that every level is also reported to."""

    @model_validator(mode="after")
    def _gpus_whole(self) -> Self:
        _refuse_split(self.gpus)
        return self

    def store_of(self, name: str) -> str:
        """The store that the results of the sweep of this name are written to."""
        return self.store or default_store(name)

    @property
    def asks_by_size(self) -> bool:
        """Whether a kind of trial has its share of a GPU by its size."""
        return "auto" in (self.gpus, *(own.gpus for own in self.kinds.values()))

    def resources(self, kind: str) -> Resources:
        """The resources of one trial of this kind; `gpus` counts on CUDA only."""
        own = next((given for name, given in self.kinds.items() if name == kind), Resources())
        return Resources(
            cpus=own.cpus or self.cpus,
            gpus=self.gpus if own.gpus is None else own.gpus,
            memory_gb=own.memory_gb or self.memory_gb,
        )


def default_store(name: str) -> str:
    """The folder of a sweep's results where it names none."""
    return f"results/{name}"


def _refuse_split(gpus: float | str | None) -> None:
    if isinstance(gpus, float) and gpus > 1 and gpus != int(gpus):
        raise ValueError(
            f"gpus above 1 must be a whole number: GPUs are shared, not split; got {gpus:g}"
        )
