"""Stores of any size without a fit: what the store and the page cost when there is much in them.

    python -m benchmarks.synthetic /tmp/store 100000            # compacted: seconds
    python -m benchmarks.synthetic /tmp/store 10000 --loose     # a file a table and level, as runs
    python -m benchmarks.synthetic /tmp/store 10000 --pictures  # with small PNGs

Specs and ids are real ones, sizes those of the study's networks at 128×128; scores are drawn, with
the shape of those that fits find. A size always gives the same store.
"""

import hashlib
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isqrt
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from PIL import Image

from lip_ray.fits import Discrepancy
from lip_ray.records import Facets
from lip_ray.spec import EPOCH
from lip_ray.store.files import files_of
from lip_ray.store.manifest import FOLDER, Manifest, part_schema, publish
from lip_ray.store.marker import mark
from lip_ray.store.schema import TABLES
from lip_ray.store.upkeep.compact import part
from lip_ray.store.writer import lean
from lip_ray.trials import Trajectory

DENSITIES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015)
STEPS = 3000
CURVE_STEPS = np.unique(np.geomspace(1, STEPS, 48).astype(np.int32)) - 1
RULE = Discrepancy()
"""The stopping rule of all fits."""
STARTED = datetime(2026, 1, 1)
FLAT_DB = 12.0
"""The PSNR of a constant image."""

CHUNK_TRIALS = 20_000
"""The trials that are in memory at once, and in one part of a compacted store."""

PHOTOS = (
    "astronaut", "camera", "chelsea", "coffee", "rocket", "coins", "clock", "moon", "cell",
    "brick", "grass", "gravel",
)  # fmt: skip

TASKS: tuple[tuple[dict[str, Any], float, float], ...] = (
    ({"kind": "denoising", "sigma": 25.0}, 20.3, 28.0),
    ({"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}}, 9.0, 30.0),
    ({"kind": "super_resolution", "factor": 4}, 23.0, 25.5),
    ({"kind": "denoising", "sigma": 50.0}, 14.8, 25.0),
    ({"kind": "deblurring", "kernel": {"kind": "gaussian", "std": 1.6}}, 22.5, 27.0),
)
"""Tasks, with the PSNR of the measurement and of a dense fit, in dB."""

LAYERS = (
    ("1.1.1.1.weight", (8, 4, 3, 3)),
    ("1.1.4.1.weight", (8, 8, 3, 3)),
    ("9.1.weight", (3, 8, 1, 1)),
)
"""The layers that masks are stored for: a few small ones, not the whole network."""

MASK_POOL = 64
PICTURE_SIDE = 16
PICTURE_POOL = 6
"""The number of pictures of each image, from bad to good."""

Numbers = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A prior, what its dense fit loses against the best in dB, and its size at 128×128."""

    prior: dict[str, Any]
    loss_db: float
    total: int
    parameters: int
    macs: int
    """The multiply-adds of one forward pass."""
    pruners: tuple[str, ...]

    @property
    def levels(self) -> int:
        """The number of levels; one where nothing is pruned."""
        return len(DENSITIES) if self.pruners != ("magnitude",) else 1


NETWORKS = (
    Network(
        prior={"kind": "skip"},
        loss_db=0.0,
        total=2_208_768,
        parameters=2_217_831,
        macs=4_792_407_381,
        pruners=("magnitude", "random", "synflow", "snip", "grasp"),
    ),
    Network(
        prior={"kind": "skip", "width": 32, "scales": 4},
        loss_db=1.1,
        total=119_840,
        parameters=121_779,
        macs=339_236_182,
        pruners=("magnitude", "random", "synflow"),
    ),
    Network(
        prior={"kind": "deep_decoder"},
        loss_db=2.2,
        total=98_688,
        parameters=100_224,
        macs=364_030_634,
        pruners=("magnitude",),
    ),
    Network(
        prior={"kind": "deep_decoder", "width": 64},
        loss_db=3.1,
        total=24_768,
        parameters=25_536,
        macs=92_580_522,
        pruners=("magnitude",),
    ),
)

KNEE_AND_SLOPE = {
    "magnitude": (0.08, 1.0),
    "random": (0.6, 0.7),
    "synflow": (0.2, 0.8),
    "snip": (0.3, 1.1),
    "grasp": (0.4, 1.0),
}
"""The density down to which a method costs nothing, and the dB lost for each factor of e below
it."""

COLLAPSING = {"snip": (0.5, 4), "random": (0.08, 6)}
"""The share of trials whose networks lose all paths, and the level from which on they have."""

METHODS = tuple((network, pruner) for network in NETWORKS for pruner in network.pruners)
ROWS_PER_PROBLEM = sum(network.levels for network, _ in METHODS)
"""The number of rows of one task, image and seed."""


def write(
    path: str | Path,
    levels: int,
    *,
    compacted: bool = False,
    pictures: bool = False,
    seed: int = 0,
) -> None:
    r"""Make a store with `levels` rows of the table `levels` in a folder that does not exist yet.

    The last trial is incomplete where the number of rows requires it.
    """
    root = Path(path)
    root.mkdir(parents=True)
    mark(files_of(root))
    plan = Plan.of(levels)
    rng = np.random.default_rng(seed)
    parts: dict[str, tuple[str, ...]] = {}
    for number, chunk in enumerate(plan.chunks(CHUNK_TRIALS)):
        for table, rows in _tables(chunk, plan, rng, pictures=pictures).items():
            if compacted:
                parts[table] = (*parts.get(table, ()), _write_part(root, table, rows, number))
            else:
                _write_files(root, table, rows)
    _write_sweep(root, plan)
    if compacted:
        publish(files_of(root), Manifest(version=1, parts=parts))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All trials, in order of their ids: one array per column."""

    images: tuple[dict[str, Any], ...]
    ids: list[str]
    specs: list[str]
    canonicals: list[str]
    task: Numbers
    image: Numbers
    method: Numbers
    seed: Numbers
    done: Numbers
    """The number of each trial's levels in the store."""

    @classmethod
    def of(cls, levels: int) -> "Plan":
        """The plan of a store with so many levels: larger ones have more images, and more seeds."""
        problems = max(4, isqrt(2 * levels // ROWS_PER_PROBLEM))
        tasks = min(len(TASKS), isqrt(problems))
        images = _images(problems // tasks)
        shape = (-(-levels // (ROWS_PER_PROBLEM * tasks * len(images))), tasks, len(images))
        axes = np.unravel_index(np.arange(np.prod(shape) * len(METHODS)), (*shape, len(METHODS)))
        done = np.array([network.levels for network, _ in METHODS])[axes[3]]
        last = int(np.searchsorted(done.cumsum(), levels))
        seed, task, image, method = (axis[: last + 1] for axis in axes)
        done = done[: last + 1]
        done[-1] -= done.sum() - levels
        texts = _texts(images, task, image, method, seed)
        ids = [hashlib.sha256(text.encode()).hexdigest()[:16] for _, text in texts]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        return cls(
            images=images,
            ids=[ids[i] for i in order],
            specs=[texts[i][0] for i in order],
            canonicals=[texts[i][1] for i in order],
            task=task[order],
            image=image[order],
            method=method[order],
            seed=seed[order],
            done=done[order],
        )

    def chunks(self, size: int) -> Iterator[slice]:
        """The plan in chunks of neighbouring trials."""
        return (slice(i, min(i + size, len(self.ids))) for i in range(0, len(self.ids), size))


def _images(count: int) -> tuple[dict[str, Any], ...]:
    """Photos that come with lip-ray, then files that do not exist."""
    found: list[dict[str, Any]] = [{"kind": "builtin", "name": name} for name in PHOTOS[:count]]
    for number in range(len(found), count):
        name = f"photo-{number:03d}"
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        found.append({"kind": "file", "path": f"/{name}.png", "name": name, "sha256": sha256})
    return tuple(image | {"size": [128, 128]} for image in found)


def _texts(
    images: Sequence[dict[str, Any]], task: Numbers, image: Numbers, method: Numbers, seed: Numbers
) -> list[tuple[str, str]]:
    """Each trial's spec and its canonical JSON; seeds differ in one number only."""
    known: dict[tuple[int, int, int], tuple[str, str, str]] = {}
    found = []
    for *place, number in zip(*(a.tolist() for a in (task, image, method, seed)), strict=True):
        key = (place[0], place[1], place[2])
        if key not in known:
            first, second = (_trial(images, *key, seed=i) for i in (0, 1))
            known[key] = (
                first.canonical_json(),
                second.canonical_json(),
                second.model_dump_json(),
            )
        seedless, canonical, spec = known[key]
        own = f'"seed":{number}'
        found.append(
            (
                spec.replace('"seed":1', own),
                canonical.replace('"seed":1', own) if number else seedless,
            )
        )
    return found


def _trial(
    images: Sequence[dict[str, Any]], task: int, image: int, method: int, *, seed: int
) -> Trajectory:
    network, pruner = METHODS[method]
    return Trajectory.model_validate(
        {
            "images": [images[image]],
            "task": TASKS[task][0],
            "prior": network.prior,
            "pruner": {"kind": pruner},
            "schedule": {"kind": "densities", "densities": DENSITIES[: network.levels]},
            "seed": seed,
        }
    )


def _tables(
    chunk: slice, plan: Plan, rng: np.random.Generator, *, pictures: bool
) -> dict[str, pa.Table]:
    """The rows of some trials, each with the stem of its loose file in a column `file`."""
    trials = np.arange(chunk.start, chunk.stop)
    done = plan.done[chunk]
    trial = np.repeat(trials, done)
    level = np.arange(len(trial)) - np.repeat(done.cumsum() - done, done)
    keys = {
        "trial_id": [plan.ids[i] for i in trial],
        "level": level,
        "image": [_label(plan.images[i]) for i in plan.image[trial]],
        "file": [f"{plan.ids[i]}-{at:03d}" for i, at in zip(trial, level, strict=True)],
    }
    scores = _scores(plan, trial, level, rng)
    found = {
        "trials": _table("trials", _trial_columns(plan, trials)),
        "levels": _table("levels", keys | _level_columns(plan, trial, level, scores, rng)),
        "curves": _table("curves", keys | _curve_columns(scores)),
        "choices": _table("choices", keys | _choice_columns(scores)),
        "masks": _mask_rows(keys, plan.method[trial], level, rng),
    }
    if pictures:
        found["reconstructions"] = _picture_rows(keys, plan.image[trial], level, scores)
    return found


def _label(image: dict[str, Any]) -> str:
    return f"{image['name']}-{image['sha256'][:6]}" if "sha256" in image else image["name"]


def _table(table: str, columns: dict[str, Any]) -> pa.Table:
    """A table's columns, null where none are given, and `file`."""
    schema = part_schema(table)
    nothing = [None] * len(columns["file"])
    return pa.table(
        [_column(columns.get(field.name, nothing), field.type) for field in schema], schema=schema
    )


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    """A column of values, with NaN as null and fractions of whole numbers cut off."""
    if isinstance(values, np.ndarray):
        return pa.array(values, from_pandas=True).cast(kind, safe=False)
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _facets(plan: Plan, trials: Numbers) -> dict[str, list[Any]]:
    """The facets of each trial, by column; computed once for trials that differ by their seeds
    alone."""
    known: dict[tuple[int, int, int], dict[str, Any]] = {}
    found = []
    axes = (axis[trials].tolist() for axis in (plan.task, plan.image, plan.method, plan.seed))
    for task, image, method, seed in zip(*axes, strict=True):
        key = (task, image, method)
        if key not in known:
            known[key] = _trial(plan.images, *key, seed=0).facets().columns()
        found.append(known[key] | {"source_seed": seed})
    return {name: [one[name] for one in found] for name in Facets.names()}


def _trial_columns(plan: Plan, trials: Numbers) -> dict[str, Any]:
    methods = [METHODS[i] for i in plan.method[trials]]
    ids = [plan.ids[i] for i in trials]
    same = {
        "kind": "trajectory",
        "epoch": EPOCH,
        "lip_ray_version": "0.1.0",
        "torch_version": "2.13.0",
        "ray_version": "2.60.0",
        "python_version": "3.11.7",
        "host": "synthetic",
        "device": "cpu",
        "started_at": STARTED,
    }
    return {
        **{name: [value] * len(ids) for name, value in same.items()},
        "trial_id": ids,
        "file": ids,
        "pruner": [pruner for _, pruner in methods],
        "prior": [network.prior["kind"] for network, _ in methods],
        "task": [TASKS[i][0]["kind"] for i in plan.task[trials]],
        "image": [_label(plan.images[i]) for i in plan.image[trials]],
        "seed": plan.seed[trials],
        "levels": [network.levels for network, _ in methods],
        "source_ids": [[]] * len(ids),
        "parameters": [network.parameters for network, _ in methods],
        "macs_per_step": [3 * network.macs for network, _ in methods],
        "spec": [plan.specs[i] for i in trials],
        "canonical": [plan.canonicals[i] for i in trials],
        **_facets(plan, trials),
    }


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The results of all fits: one entry per row."""

    measured: Numbers
    peak: Numbers
    selected: Numbers
    final: Numbers
    peak_step: Numbers
    outcome: Numbers
    """The outcome, as an index in `OUTCOMES`."""


OUTCOMES = ("budget", "stopped", "collapsed", "diverged", "failed")
REASONS = (
    "",
    "",
    "the mask leaves no path from input to output",
    "the loss is not a number",
    "no gradient reaches the weights",
)
BUDGET, STOPPED, COLLAPSED, DIVERGED, FAILED = range(len(OUTCOMES))


def _scores(plan: Plan, trial: Numbers, level: Numbers, rng: np.random.Generator) -> Scores:
    """Scores that fits may have: dense fits of one problem, network and seed are equal, whatever
    prunes them later."""
    method = plan.method[trial]
    network = np.array([NETWORKS.index(network) for network, _ in METHODS])[method]
    place = (plan.task[trial], plan.image[trial], network, plan.seed[trial])
    fixed = np.random.default_rng(0)
    by_image = fixed.normal(0, 1.5, len(plan.images))[plan.image[trial]]
    dense = np.array([best for _, _, best in TASKS])[place[0]] + by_image
    dense -= np.array([network.loss_db for network in NETWORKS])[network]
    dense += 0.25 * _keyed_normal(*place)
    curves = np.array([KNEE_AND_SLOPE[pruner] for _, pruner in METHODS])[method]
    below = np.log(curves[:, 0] / np.array(DENSITIES)[level]).clip(0)
    own = (level > 0) * rng.normal(0, 0.12, len(level))
    selected = dense - curves[:, 1] * below**1.3 + own
    outcome = _outcomes(plan, trial, level, rng)
    flat = np.isin(outcome, (COLLAPSED, DIVERGED))
    selected = np.where(flat, FLAT_DB + by_image, selected)
    lost = np.where(outcome == FAILED, np.nan, 1.0)
    overfit = np.where(flat, 0.0, 1.5 * np.array(DENSITIES)[level] ** 0.3)
    peak = selected + ~flat * np.abs(0.2 * _keyed_normal(*place, level))
    return Scores(
        measured=np.array([measured for _, measured, _ in TASKS])[place[0]] + 0.1 * by_image,
        peak=peak * lost,
        selected=selected * lost,
        final=(peak - overfit) * lost,
        peak_step=(STEPS * (0.35 + 0.1 * level) * (1 - 0.05 * lost)).clip(1, STEPS - 1),
        outcome=outcome,
    )


def _outcomes(plan: Plan, trial: Numbers, level: Numbers, rng: np.random.Generator) -> Numbers:
    """Outcomes: most fits use their budget; a collapsed network is collapsed at all levels
    below."""
    outcome = np.where(rng.random(len(level)) < 0.2, STOPPED, BUDGET)
    rare = rng.random(len(level))
    outcome[(level > 0) & (rare < 0.002)] = DIVERGED
    outcome[(level > 0) & (rare > 0.999)] = FAILED
    drawn = np.abs(_keyed_normal(trial))
    for pruner, (share, first) in COLLAPSING.items():
        methods = [i for i, (_, name) in enumerate(METHODS) if name == pruner]
        chosen = np.isin(plan.method[trial], methods) & (drawn < 0.674 * share / 0.5)
        outcome[chosen & (level >= first)] = COLLAPSED
    return outcome


def _keyed_normal(*key: Numbers) -> Numbers:
    """A standard normal draw for each row, equal for equal keys."""
    mixed = np.full(len(key[0]), 0x9E3779B97F4A7C15, np.uint64)
    for value in key:
        mixed ^= value.astype(np.uint64) + np.uint64(0x632BE59BD9B4E019)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    first = ((mixed >> np.uint64(40)) + np.uint64(1)) / 2.0**24
    second = (mixed & np.uint64(0xFFFFFF)) / 2.0**24
    normal: Numbers = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    return normal


def _level_columns(
    plan: Plan, trial: Numbers, level: Numbers, scores: Scores, rng: np.random.Generator
) -> dict[str, Any]:
    method = plan.method[trial]
    sizes = {
        name: np.array([getattr(network, name) for network, _ in METHODS])[method]
        for name in ("total", "parameters", "macs")
    }
    kept = np.rint(sizes["total"] * np.array(DENSITIES)[level]).astype(np.int64)
    density = kept / sizes["total"]
    beside = sizes["parameters"] - sizes["total"]
    steps = np.where(scores.outcome == FAILED, 0, STEPS)
    finished = np.datetime64(STARTED, "us") + np.arange(len(level)) * np.timedelta64(1, "s")
    return {
        "kept": kept,
        "total": sizes["total"],
        "density": density,
        "kept_all": kept + beside,
        "total_all": sizes["parameters"],
        "effective": np.where(
            scores.outcome == COLLAPSED, 0, np.rint(kept * (1 - 0.02 * level)).astype(np.int64)
        ),
        "macs": np.rint(sizes["macs"] * density**0.9).astype(np.int64),
        "psnr_measured_db": scores.measured,
        "psnr_peak_db": scores.peak,
        "psnr_selected_db": scores.selected,
        "psnr_final_db": scores.final,
        "ssim_peak": 1 / (1 + np.exp((21 - scores.peak) / 4)),
        "ssim_selected": 1 / (1 + np.exp((21 - scores.selected) / 4)),
        "ssim_final": 1 / (1 + np.exp((21 - scores.final) / 4)),
        "peak_step": scores.peak_step,
        "selected_step": 0.9 * scores.peak_step,
        "steps": steps,
        "loss_final": 10 ** (-scores.final / 10),
        "outcome": [OUTCOMES[i] for i in scores.outcome],
        "reason": [REASONS[i] for i in scores.outcome],
        "fit_s": steps * sizes["macs"] * 2e-11 * rng.uniform(0.9, 1.1, len(level)),
        "unfinished": np.zeros(len(level), bool),
        "memory_mb": 300 + sizes["parameters"] / 2e4,
        "host": ["synthetic"] * len(level),
        "device": ["cpu"] * len(level),
        "threads": np.ones(len(level)),
        "finished_at": finished,
    }


def _curve_columns(scores: Scores) -> dict[str, Any]:
    """A rise to the peak, then the slow loss of overfitting; a flat line where nothing was fit."""
    step = CURVE_STEPS[None, :]
    peak = scores.peak[:, None]
    peak_step = np.nan_to_num(scores.peak_step, nan=1.0)[:, None]
    risen = -np.expm1(-5 * step / peak_step)
    late = ((step - peak_step) / (STEPS - peak_step)).clip(0)
    psnr = 8 + (peak - 8) * risen - (peak - scores.final[:, None]) * late
    return {
        "step": _lists(np.broadcast_to(step, psnr.shape), pa.int32()),
        "loss": _lists(10 ** (-(psnr + late) / 10), pa.float32()),
        "psnr_raw_db": _lists(psnr - 0.5, pa.float32()),
        "psnr_db": _lists(psnr, pa.float32()),
        "statistic": _lists(np.where(step < 100, np.nan, 0.01 / (1 + step)), pa.float32(), psnr),
    }


def _choice_columns(scores: Scores) -> dict[str, Any]:
    """One rule, the one in force, which chose the selected step."""
    count = len(scores.selected)
    return {
        "rule": [RULE.kind] * count,
        "signal": [RULE.signal] * count,
        "settings": [RULE.model_dump_json()] * count,
        "in_force": np.ones(count, bool),
        "step": np.nan_to_num(0.9 * scores.peak_step),
        "psnr_db": scores.selected,
        "statistic": np.full(count, 0.009),
        "fired": np.ones(count, bool),
        "noise": np.full(count, 0.1),
    }


def _lists(values: Numbers, kind: pa.DataType, like: Numbers | None = None) -> pa.Array:
    """A column of lists, one per row."""
    if like is not None:
        values = np.broadcast_to(values, like.shape)
    rows, length = values.shape
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * length)
    flat = pa.array(values.reshape(-1).astype(kind.to_pandas_dtype()))
    return pa.ListArray.from_arrays(offsets, flat)


def _mask_rows(
    keys: dict[str, Any], method: Numbers, level: Numbers, rng: np.random.Generator
) -> pa.Table:
    """Masks nested level by level, drawn from a pool: bits within those of the level before."""
    pool = _mask_pool()
    ladder = _ladder_of(keys["trial_id"])
    first = (ladder * len(DENSITIES) + level) * len(LAYERS)
    chosen = (first[:, None] + np.arange(len(LAYERS))).reshape(-1)
    rows = np.repeat(np.arange(len(level)), len(LAYERS))
    return _table(
        "masks",
        {
            name: pool.column(name).take(pa.array(chosen)).combine_chunks()
            for name in pool.column_names
        }
        | {
            "trial_id": pa.array(keys["trial_id"]).take(pa.array(rows)),
            "level": level[rows],
            "file": pa.array(keys["file"]).take(pa.array(rows)),
        },
    )


def _ladder_of(trial_ids: Sequence[str]) -> Numbers:
    return np.array([int(trial_id[-2:], 16) % MASK_POOL for trial_id in trial_ids])


def _mask_pool() -> pa.Table:
    """`MASK_POOL` ladders of masks, level by level and layer by layer."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(MASK_POOL):
        ranks = [rng.permutation(int(np.prod(shape))) for _, shape in LAYERS]
        outer = [np.ones(len(rank), bool) for rank in ranks]
        for level, density in enumerate(DENSITIES):
            inner = [rank < max(1, round(density * len(rank))) for rank in ranks]
            for position, (layer, shape) in enumerate(LAYERS):
                rows.append(
                    {
                        "position": position,
                        "layer": layer,
                        "shape": list(shape),
                        "kept": int(inner[position].sum()),
                        "total": inner[position].size,
                        "within": level - 1 if level else None,
                        "bits": np.packbits(inner[position][outer[position]]).tobytes(),
                    }
                )
            outer = inner
    names = ("position", "layer", "shape", "kept", "total", "within", "bits")
    schema = pa.schema([TABLES["masks"].field(name) for name in names])
    return pa.Table.from_pylist(rows, schema=schema)


def _picture_rows(keys: dict[str, Any], image: Numbers, level: Numbers, scores: Scores) -> pa.Table:
    """Pictures of each fit's result and, at level 0, of the clean image and the measurement."""
    pool = pa.array(_picture_pool(int(image.max()) + 1), pa.binary())
    roles = {
        "clean": (np.full(len(level), PICTURE_POOL - 1), level == 0),
        "measured": (np.zeros(len(level), int), level == 0),
        "peak": (_quality(scores.peak), scores.outcome != FAILED),
        "selected": (_quality(scores.selected), scores.outcome != FAILED),
        "final": (_quality(scores.final), scores.outcome != FAILED),
    }
    place = np.concatenate([np.flatnonzero(shown) for _, shown in roles.values()])
    role = np.repeat(np.arange(len(roles)), [shown.sum() for _, shown in roles.values()])
    order = np.lexsort((role, place))
    place, role = place[order], role[order]
    quality = np.stack([quality for quality, _ in roles.values()])[role, place]
    side = np.full(len(place), PICTURE_SIDE)
    return _table(
        "reconstructions",
        {name: pa.array(keys[name]).take(pa.array(place)) for name in ("trial_id", "image", "file")}
        | {
            "level": level[place],
            "role": pa.array(list(roles)).take(pa.array(role)),
            "height": side,
            "width": side,
            "png": pool.take(pa.array(image[place] * PICTURE_POOL + quality)),
        },
    )


def _quality(psnr: Numbers) -> Numbers:
    return ((np.nan_to_num(psnr) - 12) / 4).clip(0, PICTURE_POOL - 1).astype(int)


def _picture_pool(images: int) -> list[bytes]:
    """PNGs of each image, from noise to clean."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(images):
        corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
        clean = np.array(Image.fromarray(corners).resize((PICTURE_SIDE, PICTURE_SIDE)), float)
        for quality in range(PICTURE_POOL):
            noise = rng.normal(0, 60 * (1 - quality / (PICTURE_POOL - 1)), clean.shape)
            buffer = io.BytesIO()
            pixels = (clean + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(buffer, "PNG")
            found.append(buffer.getvalue())
    return found


def _write_part(root: Path, table: str, rows: pa.Table, number: int) -> str:
    """Write the rows as one part of a compacted store; its name."""
    name = f"{FOLDER}/{table}-{number:08x}.parquet"
    (root / FOLDER).mkdir(exist_ok=True)
    (root / name).write_bytes(part(rows))
    return name


def _write_files(root: Path, table: str, rows: pa.Table) -> None:
    """A file for each run of rows with the same stem, as the writer makes them."""
    folder = root / table
    folder.mkdir(exist_ok=True)
    stems = np.array(rows.column("file"))
    lean = rows.drop_columns("file").combine_chunks()
    starts = [0, *(np.flatnonzero(stems[1:] != stems[:-1]) + 1).tolist()]
    for start, end in zip(starts, [*starts[1:], len(stems)], strict=True):
        _write_file(folder / f"{stems[start]}.parquet", table, lean[start:end])


def _write_file(path: Path, table: str, rows: pa.Table) -> None:
    """Write a file as the store's writer does."""
    path.write_bytes(lean(table, rows))


def _write_sweep(root: Path, plan: Plan) -> None:
    """Write one sweep that lists all trials."""
    count = len(plan.ids)
    columns = {
        "sweep": ["synthetic"] * count,
        "sweep_id": ["0" * 16] * count,
        "position": list(range(count)),
        "trial_id": plan.ids,
        "kind": ["trajectory"] * count,
        "levels": [METHODS[i][0].levels for i in plan.method],
        "spec": plan.specs,
        "lip_ray_version": ["0.1.0"] * count,
        "requested_at": [STARTED] * count,
    }
    (root / "sweeps").mkdir()
    rows = pa.table(columns, schema=TABLES["sweeps"])
    _write_file(root / f"sweeps/synthetic-{'0' * 16}.parquet", "sweeps", rows)


def main(
    path: Path,
    levels: int,
    loose: Annotated[bool, typer.Option(help="A file a table and level.")] = False,
    pictures: Annotated[bool, typer.Option(help="With small PNGs.")] = False,
) -> None:
    """Make a store with `levels` rows of the table `levels` in a folder that does not exist yet."""
    started = time.perf_counter()
    write(path, levels, compacted=not loose, pictures=pictures)
    print(f"{path}: {levels} levels in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    typer.run(main)
