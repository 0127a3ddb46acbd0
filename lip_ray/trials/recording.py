"""From a fit to its row: metrics read off the device, thinned curves, small pictures."""

import math
import platform
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lip_ray.columns import MEBIBYTE
from lip_ray.data import encoding
from lip_ray.data.images import Picture, is_deep, png
from lip_ray.fits import AdversarialResult, FitResult, Snapshot
from lip_ray.fits.trace import LOSS, PSNR, PSNR_RAW, STATISTIC
from lip_ray.processor import cpu_name
from lip_ray.pruning import Mask
from lip_ray.records import (
    Curve,
    FullPicture,
    KeptPictures,
    LevelRecord,
    Reconstruction,
    ReconstructionRole,
    StepChoice,
)
from lip_ray.tasks import Problem
from lip_ray.trials.tensors import stored

CURVE_POINTS_EARLY = 160
CURVE_POINTS_EVEN = 128

CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = b"5"
STATUS = Path("/proc/self/status")
KIBIBYTE = 2**10
PEAK_KIB = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
"""The peak of the resident memory since the process began, or since the peak was reset."""


def fit_columns(result: FitResult, problem: Problem, *, share: int = 1) -> dict[str, Any]:
    """The columns of a level's row that describe its fit; its time is divided among `share`
    images."""
    return {
        "psnr_measured_db": _known(problem.psnr(problem.view)),
        "psnr_peak_db": _psnr(result.peak, problem),
        "psnr_selected_db": _psnr(result.selected, problem),
        "psnr_final_db": _psnr(result.final, problem),
        "ssim_peak": _ssim(result.peak, problem),
        "ssim_selected": _ssim(result.selected, problem),
        "ssim_final": _ssim(result.final, problem),
        "peak_step": result.peak.step if result.peak else None,
        "selected_step": result.selected.step if result.selected else None,
        "steps": result.steps,
        "loss_final": float(result.rows[-1, LOSS]) if result.steps else None,
        "execution": result.execution,
        "fit_s": result.seconds / share,  # so that rows add up to the time spent
    }


def choices(result: FitResult) -> tuple[StepChoice, ...]:
    """What each stopping rule that watched a fit chose, as rows."""
    return tuple(
        StepChoice(
            rule=choice.rule.kind,
            signal=choice.rule.signal,
            settings=choice.rule.model_dump_json(),
            in_force=choice.in_force,
            step=choice.step,
            psnr_db=None if math.isnan(choice.psnr_db) else choice.psnr_db,
            statistic=choice.statistic,
            fired=choice.fired,
            noise=choice.noise,
        )
        for choice in result.choices
    )


def unfinished(result: FitResult) -> bool | None:
    """Whether the best step is in the last hundredth of a fit; None where no step was taken.

    The best step is the one of the peak or, without a clean image, the selected one.
    """
    best = result.peak or result.selected
    if best is None or not result.steps:
        return None
    return best.step >= result.steps - max(result.steps // 100, 1)


def identity_columns(
    trial_id: str, level: int, *, kept: int, total: int, unpruned: int = 0
) -> dict[str, Any]:
    """The columns of a level's row that identify it and count its weights.

    `kept` of `total` prunable weights remain; `unpruned` is the number of all other parameters.
    """
    return {
        "trial_id": trial_id,
        "level": level,
        "kept": kept,
        "total": total,
        "kept_all": kept + unpruned,
        "total_all": total + unpruned,
    }


def reset_peak_memory(device: torch.device) -> None:
    r"""Begin to measure a level: `memory_mb` is the peak from here on.

    On the CPU without a writable /proc, as outside of Linux, it stays the peak of the process.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        CLEAR_REFS.write_bytes(RESET_PEAK)


def machine_columns(device: torch.device) -> dict[str, Any]:
    r"""The columns of a level's row that say where, when and on what it was found.

    `memory_mb` is the peak of the level so far: on the GPU of all tensors of this process; on the
    CPU of the resident memory of the whole process, Python and libraries included. It includes what
    earlier levels and trials left allocated.
    """
    return {
        "memory_mb": _peak_memory_mb(device),
        "host": platform.node(),
        "device": _device_name(device),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "finished_at": datetime.now(UTC).replace(tzinfo=None),
    }


def with_found(
    rows: Sequence[LevelRecord],
    *,
    masks: Mapping[int, Mask],
    weights: Mapping[int, Mapping[str, Tensor]] | None = None,
) -> tuple[LevelRecord, ...]:
    """The rows of a level; the first holds the masks and weights, by level."""
    first, *others = rows
    found = replace(
        first,
        masks={level: mask.to_rows() for level, mask in masks.items()},
        weights={level: stored(values) for level, values in (weights or {}).items()},
    )
    return (found, *others)


def curve(result: FitResult) -> Curve:
    """About 250 steps of a fit: dense at first, evenly spaced later, peak and selected among
    them."""
    marked = [snapshot.step for snapshot in (result.peak, result.selected) if snapshot]
    steps = _thinned(result.steps, marked)
    rows = result.rows[torch.tensor(steps, dtype=torch.long)]
    statistic = _carried_forward(result.rows[:, STATISTIC])[steps]
    return Curve(
        step=tuple(steps),
        loss=tuple(rows[:, LOSS].tolist()),
        psnr_raw_db=_where_known(rows[:, PSNR_RAW]),
        psnr_db=_where_known(rows[:, PSNR]),
        statistic=tuple(statistic.tolist()),
    )


def adversarial_curve(result: AdversarialResult) -> Curve:
    """The critic's loss and, as the statistic, its gap between real and generated images."""
    steps = _thinned(result.steps)
    rows = result.rows[torch.tensor(steps, dtype=torch.long)]
    return Curve(
        step=tuple(steps),
        loss=tuple(rows[:, 0].tolist()),
        psnr_raw_db=(),
        psnr_db=(),
        statistic=tuple(rows[:, 2].tolist()),
    )


def sheet(images: Tensor, *, step: int) -> Reconstruction:
    """A square of (N, C, H, W) images in [0, 1], row by row, N a square number."""
    side = math.isqrt(len(images))
    square = images.unflatten(0, (side, side)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
    return Reconstruction(
        role="samples",
        step=step,
        height=square.shape[1],
        width=square.shape[2],
        png=png(square),
    )


def picture_fields(
    result: FitResult, problem: Problem, picture: Picture, *, level: int, kept: KeptPictures
) -> dict[str, Any]:
    r"""The fields of a level's row that hold the restored images of a fit and, at level 0, the
    measurement and the clean image.

    All are there as small pictures; at full size where `kept` says so for this picture.
    """
    full = kept == "full" or (kept == "auto" and picture.measurement is not None)
    own = full_pictures(result, problem, with_problem=level == 0, deep=is_deep(picture))
    return {
        "reconstructions": pictures(result, problem, with_problem=level == 0),
        "pictures": tuple(own) if full else (),
    }


def pictures(
    result: FitResult, problem: Problem, *, with_problem: bool
) -> tuple[Reconstruction, ...]:
    """Small pictures of the restored images of a fit and, if asked, of its measurement and the
    clean image."""
    return tuple(
        Reconstruction(
            role=role, step=step, height=image.shape[2], width=image.shape[3], png=png(image)
        )
        for role, step, image in _shown(result, problem, with_problem=with_problem)
    )


def full_pictures(
    result: FitResult, problem: Problem, *, with_problem: bool, deep: bool
) -> Iterator[FullPicture]:
    """The same pictures at full size; `deep` says whether the input has more than 8 bits."""
    for role, step, image in _shown(result, problem, with_problem=with_problem):
        yield FullPicture(
            role=role,
            step=step,
            height=image.shape[2],
            width=image.shape[3],
            depth=16 if deep else 8,
            png=encoding.png(image, 16),
        )


def _shown(
    result: FitResult, problem: Problem, *, with_problem: bool
) -> list[tuple[ReconstructionRole, int | None, Tensor]]:
    """Roles, steps and images (1, C, H, W) of what a fit has to show."""
    shown: list[tuple[ReconstructionRole, int | None, Tensor]] = []
    if with_problem and problem.clean is not None:
        shown.append(("clean", None, problem.clean))
    if with_problem:
        shown.append(("measured", None, problem.view))
    snapshots: tuple[tuple[ReconstructionRole, Snapshot | None], ...] = (
        ("peak", result.peak),
        ("selected", result.selected),
        ("final", result.final),
    )
    shown += [(role, taken.step, taken.image) for role, taken in snapshots if taken is not None]
    return shown


def _where_known(values: Tensor) -> tuple[float, ...]:
    return () if bool(values.isnan().all()) else tuple(values.tolist())


def _psnr(snapshot: Snapshot | None, problem: Problem) -> float | None:
    return _known(problem.psnr(snapshot.image)) if snapshot else None


def _ssim(snapshot: Snapshot | None, problem: Problem) -> float | None:
    return _known(problem.ssim(snapshot.image)) if snapshot else None


def _known(value: Tensor) -> float | None:
    """The number, or None where it is NaN, as a PSNR without a clean image is."""
    return None if bool(value.isnan()) else float(value)


def _thinned(count: int, marked: Sequence[int] = ()) -> list[int]:
    """Some of `steps` step numbers, the marked ones among them."""
    if not count:
        return []
    early = np.geomspace(1, count, CURVE_POINTS_EARLY).astype(int) - 1
    even = np.linspace(0, count - 1, CURVE_POINTS_EVEN).astype(int)
    return [int(step) for step in np.unique(np.concatenate((early, even, marked)).astype(int))]


def _carried_forward(values: Tensor) -> Tensor:
    known = torch.where(torch.isnan(values), -1, torch.arange(len(values)))
    latest = known.cummax(0).values
    return torch.where(latest >= 0, values[latest.clamp(min=0)], torch.nan)


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEBIBYTE
    with suppress(OSError):
        peak = PEAK_KIB.search(STATUS.read_bytes())
        if peak:
            return int(peak[1]) * KIBIBYTE / MEBIBYTE
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest * (1 if sys.platform == "darwin" else KIBIBYTE) / MEBIBYTE


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
