"""One small trial of every kind of everything, each as a function of the length of its loop.

Families are walked, so a new member takes part by its defaults. One that has required fields, or
takes long, needs specs in `SMALL`; a new kind of trial needs a case in `TRIALS`.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType, NoneType
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from lip_ray.fits import Lasso
from lip_ray.fits.latent import Erm, MedianOfMeans, Trimmed
from lip_ray.fits.numerics import Precision
from lip_ray.fits.stopping import (
    ExponentialVariance,
    Stopping,
    WindowedVariance,
)
from lip_ray.priors import DeepDecoder, OesUnet, Prior, Skip
from lip_ray.priors.generators import Dcgan, GeneratorFile, GeneratorSpec, LayerList, Pgan
from lip_ray.pruning import AbstractPruner, Magnitude, Pruner, Random
from lip_ray.records import LevelRecord
from lip_ray.rng import keyed
from lip_ray.spec import Spec, kind_of, members
from lip_ray.tasks import (
    CompressedSensing,
    Deblurring,
    Deepinv,
    Denoising,
    ImpulseDenoising,
    Inpainting,
    PoissonDenoising,
    SuperResolution,
    Task,
)
from lip_ray.tasks.deblurring import GaussianKernel, MotionKernel
from lip_ray.tasks.inpainting import BoxMask, RandomMask
from lip_ray.tasks.outliers import CorruptedRows, SignFlips, StudentNoise
from lip_ray.trials import (
    AbstractTrial,
    Classification,
    Context,
    Generator,
    Reconstruction,
    Trajectory,
    Transfer,
    Trial,
    run,
    ticketfile,
)
from lip_ray.trials.reconstruction import AnySolver
from lip_ray.trials.rewinding import Rewind, ToStep
from lip_ray.trials.sources import Consensus, FromFile, Source
from lip_ray.trials.takeover import Travels
from lip_ray.trials.ticketfile import Ticket
from tests.trials.generators import linear_file
from tests.trials.ladders import MemoryArtifacts

IMAGE = {"kind": "builtin", "name": "astronaut", "rows": (100, 116), "columns": (200, 216)}
OTHER = IMAGE | {"name": "camera", "channels": 3}
DIGITS = [{"kind": "digit", "index": index} for index in (0, 1)]
SKIP = Skip(width=4, scales=2, skip_width=2, input_channels=3)
RULE = WindowedVariance(window=2, stride=1, warm_up=0)
BRIEF = 2
"""The steps of a fit whose length is not what a case varies."""

FOLDER = tempfile.TemporaryDirectory(prefix="lip-ray-gpu-")


@cache
def linear() -> GeneratorFile:
    """A generator in a file, of 8×8 grey pixels."""
    return GeneratorFile(path=linear_file(Path(FOLDER.name)))


@cache
def ticket() -> FromFile:
    """A ticket of the small network in a file."""
    path = Path(FOLDER.name) / "ticket.safetensors"
    module = SKIP.module((3, 16, 16), keyed(0, "ticket"))
    weights = module.state_dict()
    masks = {name: value > 0 for name, value in weights.items() if value.ndim == 4}
    about = {"prior": SKIP.model_dump(mode="json"), "image_channels": 3}
    ticketfile.write(Ticket(about=about, weights=weights, masks=masks), path)
    return FromFile.model_validate({"path": str(path)})


SMALL: Mapping[type[Spec], Callable[[], tuple[Spec, ...]]] = {
    Skip: lambda: (SKIP,),
    DeepDecoder: lambda: (DeepDecoder(width=4, layers=2),),
    OesUnet: lambda: (OesUnet(widths=(3, 4), input_channels=2),),
    Denoising: lambda: (Denoising(sigma=25.0), Denoising(sigma=25.0, clip=False)),
    PoissonDenoising: lambda: (PoissonDenoising(peak=30.0),),
    ImpulseDenoising: lambda: (ImpulseDenoising(share=0.1),),
    Inpainting: lambda: (
        Inpainting(mask=RandomMask(kept=0.5)),
        Inpainting(mask=BoxMask(rows=(4, 8), columns=(4, 8)), sigma=10.0),
    ),
    SuperResolution: lambda: (
        SuperResolution(factor=2),
        SuperResolution(factor=2, border=None),
    ),
    Deblurring: lambda: (
        Deblurring(kernel=GaussianKernel(std=1.0)),
        Deblurring(kernel=MotionKernel(length=5.0, angle=30.0), boundary="circular"),
    ),
    Deepinv: lambda: (Deepinv(name="Dimmed"),),
    CompressedSensing: lambda: (
        CompressedSensing(m=40, sigma=2.0),
        CompressedSensing(m=40, matrix="orthogonal"),
        CompressedSensing(m=40, outliers=CorruptedRows(share=0.1)),
        CompressedSensing(m=40, outliers=StudentNoise(sigma=5.0)),
        CompressedSensing(m=40, matrix="orthogonal", outliers=SignFlips(share=0.1)),
    ),
    Magnitude: lambda: (Magnitude(), Magnitude(scope="erk"), Magnitude(at="dense")),
    Random: lambda: (Random(), Random(scope="layer")),
    ToStep: lambda: (ToStep(step=1),),
    WindowedVariance: lambda: (RULE, RULE.model_copy(update={"ends_fit": True, "patience": 1})),
    ExponentialVariance: lambda: (ExponentialVariance(alpha=0.5, warm_up=0),),
    Erm: lambda: (Erm(), Erm(candidates=2, latent_penalty=0.1)),
    MedianOfMeans: lambda: (MedianOfMeans(block=5),),
    Trimmed: lambda: (Trimmed(trim=0.1),),
    Dcgan: lambda: (Dcgan(size=8, channels=1, width=4, latent_size=4),),
    Pgan: lambda: (Pgan(depths=(6, 4), latent_size=4, channels=1),),
    LayerList: lambda: (
        LayerList(layers=(("linear", 4, 64), ("view", 1, 8, 8)), latent_size=4, output="unit"),
    ),
    GeneratorFile: lambda: (linear(),),
    Trajectory: lambda: (found(),),
    Consensus: lambda: tuple(
        Consensus(trajectories=(found(), found(images=OTHER)), rule=rule)
        for rule in ("mean_rank", "vote")
    ),
    FromFile: lambda: (ticket(),),
}
"""By member of any family: its specs, made when they are asked for."""


def specs(member: type[Spec]) -> tuple[Spec, ...]:
    """The specs of a member; empty where it needs fields and has none in `SMALL`."""
    if member in SMALL:
        return SMALL[member]()
    try:
        return (member(),)
    except ValidationError:
        return ()


@dataclass(frozen=True)
class Case:
    """A trial with a loop of any length."""

    make: Callable[[int], AbstractTrial]
    unit: str = "step"
    """What the length counts: steps, epochs, or rounds of a pruner."""
    loops: int = 1
    """How many such loops the trial has."""
    rows: int | None = None
    """The number of the trial's rows that are made; None makes all."""


def trajectory(steps: int, *, fit: Mapping[str, Any] | None = None, **changes: Any) -> Trajectory:
    """Dense unless `changes` say otherwise."""
    fields = {"images": IMAGE, "task": Denoising(sigma=25.0), "prior": SKIP, "schedule": [1.0]}
    fitted = {"steps": steps, "stopping": RULE, **(fit or {})}
    return Trajectory.model_validate(fields | changes | {"fit": fitted})


def generator(steps: int, **changes: Any) -> Generator:
    """A small DCGAN that learns digits."""
    (dcgan,) = specs(Dcgan)
    fit = {"steps": steps, "batch": 8} | changes.pop("fit", {})
    fields = {"prior": dcgan, "images": "digits", "schedule": [1.0], "fit": fit}
    return Generator.model_validate(fields | changes)


def reconstruction(steps: int, solver: Spec, **changes: Any) -> Reconstruction:
    """Two digits from a few measurements, with a linear generator or, for the Lasso, with none."""
    source: Spec | str = "dct"
    if not isinstance(solver, Lasso):
        source = Generator.model_validate({"prior": linear(), "schedule": [1.0]})
        solver = solver.model_copy(update={"steps": steps, "restarts": 2})
    fields = {"source": source, "images": DIGITS, "task": CompressedSensing(m=20)}
    return Reconstruction.model_validate(fields | {"solver": solver} | changes)


def transfer(steps: int, *, source: Spec | None = None, **changes: Any) -> Transfer:
    """The tickets of a source, by default a trajectory, on another image."""
    fields = {
        "source": source or found(),
        "images": OTHER,
        "task": Denoising(sigma=25.0),
        "seed": 1,
    }
    return Transfer.model_validate(fields | {"fit": {"steps": steps, "stopping": RULE}} | changes)


def classification(epochs: int) -> Classification:
    """Digits, in minibatches so large that an epoch has few of them."""
    fields = {"source": found(), "dataset": "digits", "fit": {"epochs": epochs, "batch": 600}}
    return Classification.model_validate(fields)


def found(**changes: Any) -> Trajectory:
    """A trajectory that others take tickets of."""
    return trajectory(BRIEF, schedule=[1.0, 0.5], **changes)


def lengthened(pruner: AbstractPruner, length: int) -> AbstractPruner:
    """A pruner that takes so many steps or, where it has none, rounds for each mask; as it is
    where it has neither."""
    fields = type(pruner).model_fields
    if "steps" in fields:
        return pruner.model_copy(update={"steps": length})
    if fields["rounds"].annotation is not NoneType:
        return pruner.model_copy(update={"rounds": length})
    return pruner


def pruning(length: int, pruner: AbstractPruner) -> Trajectory:
    """One cut by a pruner; where that has no length, the fits have it."""
    longer = lengthened(pruner, length)
    steps = length if longer == pruner else BRIEF
    return trajectory(steps, pruner=longer, schedule=[1.0, 0.5])


def _pruner(pruner: AbstractPruner) -> Case:
    """The case of a pruner. Where the mask has a length, the fit with that mask is left out, as
    what it does before its first step depends on the mask."""
    make = partial(pruning, pruner=pruner)
    if lengthened(pruner, BRIEF) == pruner:
        return Case(make, loops=2)
    return Case(make, "step" if "steps" in type(pruner).model_fields else "round", rows=1)


FAMILIES: Mapping[str, tuple[Any, Callable[[Any], Case]]] = {
    "task": (Task, lambda task: Case(partial(trajectory, task=task))),
    "prior": (Prior, lambda prior: Case(partial(trajectory, prior=prior))),
    "pruner": (Pruner, _pruner),
    "rewind": (
        Rewind,
        lambda rewind: Case(partial(trajectory, rewind=rewind, schedule=[1.0, 0.5]), loops=2),
    ),
    "rule": (Stopping, lambda rule: Case(partial(trajectory, fit={"stopping": rule}))),
    "source": (Source, lambda source: Case(partial(transfer, source=source), loops=2)),
    "solver": (AnySolver, lambda solver: Case(partial(reconstruction, solver=solver))),
    "generator": (GeneratorSpec, lambda prior: Case(partial(generator, prior=prior))),
}
"""Each family, and the case of a spec of it."""

TRIALS: Mapping[type[Spec], Mapping[str, Case]] = {
    Trajectory: {
        "two images": Case(partial(trajectory, images=[IMAGE, OTHER])),
        "one latent": Case(
            partial(trajectory, images=[IMAGE, OTHER], latents="shared", target="clean")
        ),
        "clean target": Case(partial(trajectory, target="clean")),
        "redrawn latents": Case(
            partial(trajectory, latents="redrawn", schedule=[1.0, 0.5]), loops=2
        ),
        "no noise, no average": Case(partial(trajectory, fit={"input_noise": 0.0, "average": 0.0})),
        "held out": Case(partial(trajectory, fit={"held_out": 0.1})),
        "roll back": Case(partial(trajectory, fit={"roll_back": {"every": 1}})),
        **{
            precision: Case(partial(trajectory, fit={"precision": precision}))
            for precision in get_args(Precision)
        },
    },
    Transfer: {
        travels: Case(partial(transfer, travels=travels), loops=2) for travels in get_args(Travels)
    },
    Classification: {"digits": Case(classification, "epoch", loops=2)},
    Generator: {
        "critic pruned": Case(partial(generator, critic_pruned=True, schedule=[1.0, 0.5]), loops=2),
        "two critic steps": Case(partial(generator, fit={"critic_steps": 2})),
        "bf16": Case(partial(generator, fit={"precision": "bf16"})),
    },
    Reconstruction: {
        "pixels": Case(partial(reconstruction, solver=Erm(), task="projection")),
        "missing pixels": Case(
            partial(reconstruction, solver=Erm(), task=Inpainting(mask=RandomMask(kept=0.5)))
        ),
        "samples": Case(partial(reconstruction, solver=Erm(), images={"kind": "sample"})),
    },
}
"""Cases of what no family has, by kind of trial."""


def missing() -> list[str]:
    """What to add to this module, for members of families that have no case."""
    lacking = [
        f"specs of {member.__name__} to SMALL"
        for family, _ in FAMILIES.values()
        for member in members(family)
        if not specs(member)
    ]
    return lacking + [
        f"cases of {member.__name__} to TRIALS" for member in members(Trial) if member not in TRIALS
    ]


def cases() -> Iterator[tuple[str, Case]]:
    """All cases with their names."""
    for name, (family, case) in FAMILIES.items():
        for member in members(family):
            for place, spec in enumerate(specs(member), start=1):
                variant = f" {place}" if len(specs(member)) > 1 else ""
                yield f"{name} {kind_of(member)}{variant}", case(spec)
    for trial, own in TRIALS.items():
        yield from ((f"{kind_of(trial)}, {name}", case) for name, case in own.items())


@cache
def records(source: AbstractTrial) -> tuple[LevelRecord, ...]:
    """What a source leaves, fitted on the CPU."""
    device = torch.device("cpu")
    return tuple(run(source, Context(device=device, artifacts=artifacts(source))))


def artifacts(trial: AbstractTrial) -> MemoryArtifacts:
    """What the sources of a trial leave; it needs nothing of its floor."""
    sources = [source for source in trial.sources if not isinstance(source, Reconstruction)]
    return MemoryArtifacts([record for source in sources for record in records(source)])


class LinearPhysics(torch.nn.Module):
    """The base of linear physics, as in deepinv."""

    def A(self, x: torch.Tensor) -> torch.Tensor:  # noqa: N802
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.A(x)


class Dimmed(LinearPhysics):
    """Half of the light."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("share", torch.tensor([0.5]))

    def A(self, x: torch.Tensor) -> torch.Tensor:  # noqa: N802
        return x * self.share


@contextmanager
def deepinv() -> Iterator[None]:
    """A double of the package deepinv, which need not be installed."""
    package, physics = ModuleType("deepinv"), ModuleType("deepinv.physics")
    vars(package).update(physics=physics)
    vars(physics).update(LinearPhysics=LinearPhysics, Dimmed=Dimmed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "deepinv", package)
        patch.setitem(sys.modules, "deepinv.physics", physics)
        yield
