"""One degraded photo, restored in one go: a trial is made for it, timed, and run right here."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from lip_ray import strict_yaml
from lip_ray.allocator import keep_freed_memory
from lip_ray.cores import available_cpus
from lip_ray.data import decoding, fingerprint
from lip_ray.data.encoding import Bits, png_of
from lip_ray.data.images import WHAT, FileImage
from lip_ray.errors import UserError
from lip_ray.exchange.pictures import REPORT_EVERY_S, tensor_of
from lip_ray.fits import AbstractStopping, Discrepancy, HeldOut
from lip_ray.mistakes import explained
from lip_ray.outputs import write_whole
from lip_ray.priors import Skip
from lip_ray.records import LevelRecord, Standing
from lip_ray.scratch import private_folder
from lip_ray.spec import Spec
from lip_ray.tasks import AbstractTask, Denoising, Task
from lip_ray.trials import Context, Trajectory, run

WHITE_OF_16_BITS = 65535

STEPS = 3000
"""The most steps of a fit, as published for denoising."""
PATIENCE = 500
"""How many steps without a better prediction of held-out values end a fit."""

WIDTHS = ((2**14, 128), (2**16, 64), (2**18, 32), (2**20, 16))
"""The most pixels of an image, and the width of its network on a CPU. All of them cost about 15 to
18 billion multiply-adds per step at most, half a second on two cores."""
NARROWEST = 8
"""The width for larger images."""
PUBLISHED_WIDTH = 128
"""The width on a GPU, whatever the size."""

BYTES_ALWAYS, BYTES_A_PIXEL, BYTES_A_CHANNEL = 10**8, 1800, 105
"""Memory of a fit: in all, for each pixel, and for each pixel and channel of the network's width.
Measured on networks of width 8 to 128 and images of 65,536 to 1,000,000 pixels, on a CPU."""
MOST_SCALES = 5
COARSEST_SIDE = 8
"""The fewest pixels of a side at the coarsest scale, where there is more than one scale."""

MOST_PRUNED = 0.5
"""The largest share of the remaining weights that one level prunes."""

REHEARSED_S = 2.0
"""About how many seconds steps are tried for after the first one."""
MOST_REHEARSED = 10

FACTOR = 2
"""How many times larger super-resolution makes a photo where nothing is said."""


SpecClass = TypeVar("SpecClass", bound=Spec)


class RestoringError(UserError):
    """The photo cannot be restored so; the message says what is wrong and what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is wanted of a restoration; what is None is chosen by `prepared`."""

    task: str = "denoising"
    """The kind of a task, or a task in YAML."""
    mask: Path | None = None
    """For inpainting, a picture in which white is known and black is missing."""
    white: float | None = None
    """The value that is white in a photo of more than 8 bits, by default 65535."""
    page: int | None = None
    """The page or frame of a photo that has several, from 0."""
    noise: float | None = None
    """The standard deviation of the noise in 8-bit grey levels, where it is known."""
    density: float = 1.0
    """The share of the network's weights to keep, in (0, 1]."""
    steps: int = STEPS
    """The most steps of a fit."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Restored:
    """A photo that was restored, with the row of its fit."""

    image: Tensor
    """(C, H, W) in [0, 1]."""
    record: LevelRecord
    """The row of its fit."""


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """A photo and the trial that restores it, which has not run yet."""

    trial: Trajectory
    device: torch.device
    image: FileImage
    prior: Skip
    densities: tuple[float, ...]
    """The density of each level, dense first."""
    sigma: float | None
    """The estimated standard deviation of the noise in 8-bit grey levels; None where there is none,
    or nothing tells."""

    @property
    def bits(self) -> Bits:
        """Bits a channel of the photo, and so of what is written."""
        return 16 if self.image.is_deep else 8

    @property
    def steps(self) -> int:
        """The most steps of all levels together."""
        return self.trial.fit.steps * self.trial.levels

    @property
    def lines(self) -> Iterator[str]:
        """What was found and chosen, in words."""
        channels, height, width = self.image.load().shape
        colour = "grey" if channels == 1 else "colour"
        white = f", white is {self.image.white:g}" if self.image.white else ""
        noise = f", noise of about σ = {self.sigma:.1f} of 255" if self.sigma else ""
        yield f"{self.image.name}: {width}×{height}, {colour}, {self.bits} bits{white}{noise}"
        yield (
            f"task {self.trial.task.kind}; skip network of width {self.prior.width} with "
            f"{self.prior.scales} scales, {self.trial.size.parameters:,} parameters"
        )
        if len(self.densities) > 1:
            densities = ", ".join(f"{density:.3g}" for density in self.densities)
            yield (
                f"{len(self.densities)} fits at densities {densities}: magnitude prunes at most "
                f"{MOST_PRUNED:.0%} of what remains before each"
            )

    def seconds_per_step(self) -> float:
        """The measured seconds of one step of the whole network, without the first one's start."""
        first = self.trial.rehearse(1, device=self.device)
        few = max(1, min(MOST_REHEARSED, int(REHEARSED_S / max(first, 1e-9))))
        return self.trial.rehearse(few, device=self.device) / few

    def run(self, report: Callable[[Standing], None]) -> Restored:
        """Fit the network, level by level; `report` receives the progress of each.

        Raises RestoringError where the last fit leaves no image.
        """
        context = Context(
            device=self.device, pictures="full", report=report, report_every_s=REPORT_EVERY_S
        )
        *_, last = run(self.trial, context)
        found = [picture for picture in last.pictures if picture.role == "selected"]
        if not found:
            why = last.reason or str(last.outcome)
            raise RestoringError(f"the fit of level {last.level} leaves no image: {why}")
        return Restored(image=tensor_of(found[0]), record=last)


@contextmanager
def on_this_machine() -> Iterator[torch.device]:
    """The device to fit on, a GPU where there is one; else with all cores that this process may
    use."""
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(available_cpus())
    try:
        yield torch.device("cuda" if torch.cuda.is_available() else "cpu")
    finally:
        torch.set_num_threads(before)


class _Problem(Spec):
    image: FileImage
    task: Task


@contextmanager
def prepared(photo: Path, wishes: Wishes, device: torch.device) -> Iterator[Restoration]:
    r"""The restoration of a photo, read and checked; nothing is fitted yet.

    The network is a skip network. Its width follows from the number of pixels, and it has as many
    scales as leave `COARSEST_SIDE` pixels. Held-out values choose the step and end the fit; where
    the noise is stated, the discrepancy principle does. A density below 1 is reached by magnitude
    pruning, in as few levels as prune at most `MOST_PRUNED` each.

    Raises RestoringError, with everything that is wrong.
    """
    _refuse_wishes(wishes)
    with private_folder(Path(tempfile.gettempdir())) as folder:
        problem = _problem(photo, wishes, folder)
        image, task = problem.image, problem.task
        with _refused(photo):
            posed = task.realise(image, seed=wishes.seed, device=torch.device("cpu"))
        variance = posed.noise_variance if isinstance(task, Denoising) else None
        sigma = 255 * math.sqrt(variance) if variance else None
        _, height, width = posed.image_shape
        prior = network_for(height, width, on_gpu=device.type == "cuda")
        densities = densities_to(wishes.density)
        fields = {
            "images": [image],
            "task": task,
            "prior": prior,
            "schedule": densities,
            "fit": {"steps": wishes.steps, "stopping": _rule(wishes, task, sigma)},
            "seed": wishes.seed,
        }
        trial = _validated(Trajectory, fields)
        if wrong := [f"{path}: {message}" for path, message in trial.conflicts()]:
            raise RestoringError(f"{photo}: {'; '.join(wrong)}")
        if device.type == "cpu":
            _refuse_too_large(photo, height * width, prior.width)
        yield Restoration(
            trial=trial, device=device, image=image, prior=prior, densities=densities, sigma=sigma
        )


def _refuse_wishes(wishes: Wishes) -> None:
    """Raise RestoringError for numbers that nothing else checks."""
    if not 0 < wishes.density <= 1:
        raise RestoringError(f"density must be in (0, 1], got {wishes.density:g}")
    if wishes.noise is not None:
        _validated(Denoising, {"sigma": wishes.noise})


def _problem(photo: Path, wishes: Wishes, folder: Path) -> _Problem:
    """The photo and the task. Transparent pixels that are to be inpainted are moved to a mask of
    their own, in the folder."""
    task = _task_fields(wishes.task)
    inpaints = task.get("kind") == "inpainting"
    if wishes.mask is not None and not inpaints:
        raise RestoringError(f"a mask is for the task inpainting, got {task.get('kind')}")
    with _refused(photo):
        data = fingerprint.contents(photo, WHAT)
        deep = decoding.bits(data, str(photo), page=wishes.page) > 8
    image: dict[str, Any] = {"path": str(photo), "measured": True, "name": photo.stem}
    if wishes.page is not None:
        image["page"] = wishes.page
    if deep or wishes.white is not None:
        image["white"] = WHITE_OF_16_BITS if wishes.white is None else wishes.white
    if inpaints and "mask" not in task:
        mask = wishes.mask
        if mask is None:
            with _refused(photo):
                mask = _separated(data, photo, folder, page=wishes.page, deep=deep)
            image |= {"path": str(folder / "photo.png"), "page": None}
        task |= {"mask": {"kind": "file", "path": str(mask), "channels": 1}}
    if task.get("kind") == "super_resolution":
        task = {"factor": FACTOR} | task
    return _validated(_Problem, {"image": image, "task": task})


def _task_fields(text: str) -> dict[str, Any]:
    try:
        value = strict_yaml.parse(text)
    except strict_yaml.YamlError as error:
        raise RestoringError(f"task: {error}") from error
    if isinstance(value, str):
        return {"kind": value}
    if not isinstance(value, dict):
        raise RestoringError(f"task must be a kind of task or a mapping, got {text!r}")
    return value


def _separated(data: bytes, photo: Path, folder: Path, *, page: int | None, deep: bool) -> Path:
    """The mask of a photo's transparent pixels, written into a folder with the photo without them.

    Raises ValueError where nothing says what is missing.
    """
    opacity = decoding.opacity(data, str(photo), page=page)
    if opacity is None or opacity.min() >= 1:
        raise ValueError(
            f"nothing says which pixels of {photo} are missing: inpainting needs a mask, a picture "
            "as large in which white is known and black is missing, or a photo with transparent "
            "pixels"
        )
    pixels = decoding.decoded(data, str(photo), page=page, deep=deep, transparent=True)
    mask = folder / "mask.png"
    write_whole(folder / "photo.png", png_of(pixels))
    write_whole(mask, png_of(np.where(opacity >= 0.5, 255, 0).astype(np.uint8)))
    return mask


@contextmanager
def _refused(photo: Path) -> Iterator[None]:
    """Turn what a photo or a task is refused for into a RestoringError."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        said = str(error)
        raise RestoringError(said if photo.name in said else f"{photo}: {said}") from error


def _validated(model: type[SpecClass], fields: Mapping[str, Any]) -> SpecClass:
    """The spec that these fields make. Raises RestoringError with all that is wrong with them."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RestoringError("; ".join(map(str, explained(error, model, fields)))) from error


def network_for(height: int, width: int, *, on_gpu: bool) -> Skip:
    """The skip network for an image of this size."""
    pixels = height * width
    narrow = next((own for most, own in WIDTHS if pixels <= most), NARROWEST)
    halvings = int(math.log2(max(min(height, width) / COARSEST_SIDE, 1)))
    scales = min(max(halvings, 1), MOST_SCALES)
    return Skip(width=PUBLISHED_WIDTH if on_gpu else narrow, scales=scales)


def _refuse_too_large(photo: Path, pixels: int, width: int) -> None:
    """Raise RestoringError for an image whose fit needs more memory than this machine has."""
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    each = BYTES_A_PIXEL + BYTES_A_CHANNEL * width
    needed = BYTES_ALWAYS + pixels * each
    if needed > there:
        most = max(there - BYTES_ALWAYS, 0) // each
        raise RestoringError(
            f"{photo}: an image of {pixels:,} pixels takes about {needed / 1e9:,.0f} GB of memory, "
            f"and this machine has {there / 1e9:,.0f} GB: make it smaller, to {most:,} pixels at "
            "most"
        )


def densities_to(density: float) -> tuple[float, ...]:
    """Densities from 1 down to this one, by equal factors that prune no more than allowed."""
    levels = math.ceil(math.log(density) / math.log(1 - MOST_PRUNED) - 1e-9)
    return tuple(density ** (level / levels) if level else 1.0 for level in range(levels + 1))


def _rule(wishes: Wishes, task: AbstractTask, sigma: float | None) -> AbstractStopping:
    """The stopping rule. Where the noise is stated, the residual is compared with it in place of
    the estimate that the rule goes by."""
    if wishes.noise is None:
        return HeldOut(ends_fit=True, patience=PATIENCE)
    if not isinstance(task, Denoising):
        raise RestoringError(f"noise is stated for the task denoising alone, not for {task.kind}")
    if sigma is None:
        raise RestoringError("no noise was found in the photo, so none can be stated")
    usual: float = Discrepancy.model_fields["factor"].default
    return Discrepancy(ends_fit=True, factor=usual * (wishes.noise / sigma) ** 2)
