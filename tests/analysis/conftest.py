"""A store made by hand: three pruners, two seeds, six densities; SNIP and one random fit collapse.

The frames have the columns of a real store's; every picture is a flat colour of its own.
"""

import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pandas as pd
import pytest
from PIL import Image

TOTAL = 2_208_768
DENSITIES = (1.0, 0.5, 0.25, 0.12, 0.05, 0.03)
MEASURED_DB = 20.3
FLAT_DB = 13.0
SELECTED_DB = {
    "magnitude": (27.3, 27.35, 27.4, 27.3, 27.3, 26.5),
    "random": (27.3, 27.1, 26.4, 25.2, 23.7, 12.9),
    "snip": (27.3, 26.6, 23.5, 11.2, 11.2, 11.2),
}
SHADES = count()


@dataclass(frozen=True)
class FakeStore:
    """Frames by name, as the store's reader gives them."""

    frames: dict[str, pd.DataFrame]

    def frame(self, table: str) -> pd.DataFrame:
        """The table of that name."""
        return self.frames[table]


def flat_png() -> bytes:
    """A small PNG in a colour that no other has."""
    shade = next(SHADES)
    colour = (40 + shade * 7 % 200, 40 + shade * 53 % 200, shade % 256)
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def _without_location(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "path"}


def make_trial(pruner: str = "magnitude", seed: int = 0, /, **changes: Any) -> dict[str, Any]:
    """A row of `trials`; `changes` replace fields of its spec."""
    spec = {
        "kind": "trajectory",
        "images": [{"kind": "builtin", "name": "astronaut", "size": [128, 128]}],
        "task": {"kind": "denoising", "sigma": 25.0, "clip": True},
        "prior": {"kind": "skip", "width": 128},
        "pruner": {"kind": pruner},
        "schedule": {"kind": "densities", "densities": list(DENSITIES)},
        "fit": {"steps": 3000, "learning_rate": 0.01},
        "seed": seed,
    } | changes
    text = json.dumps(spec)
    return {
        "trial_id": f"{pruner}-{seed}-{zlib.crc32(text.encode()):x}",
        "kind": "trajectory",
        "pruner": pruner,
        "prior": "skip",
        "task": "denoising",
        "image": "astronaut",
        "seed": seed,
        "source_ids": [],
        "travels": None,
        "levels": len(DENSITIES),
        "levels_done": len(DENSITIES),
        "outcome": "budget",
        "spec": text,
        "canonical": json.dumps(json.loads(text, object_hook=_without_location)),
    }


def make_level(trial: dict[str, Any], level: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of `levels`: a good fit, save for `changes`."""
    kept = changes["kept"] if "kept" in changes else round(TOTAL * DENSITIES[level])
    psnr = changes.pop("psnr", 27.0)
    return {
        "trial_id": trial["trial_id"],
        "level": level,
        "image": trial["image"],
        "kept": kept,
        "total": TOTAL,
        "density": kept / TOTAL,
        "kept_all": kept + 4_000,
        "total_all": TOTAL + 4_000,
        "effective": kept - 1000,
        "psnr_measured_db": MEASURED_DB,
        "psnr_peak_db": psnr + 0.5,
        "psnr_selected_db": psnr,
        "psnr_final_db": psnr - 1.5,
        "ssim_peak": 0.82,
        "ssim_selected": 0.8,
        "ssim_final": 0.75,
        "peak_step": 1500,
        "selected_step": 1800,
        "steps": 3000,
        "outcome": "budget",
        "reason": "",
    } | changes


def make_pictures(level: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of `reconstructions` for a level."""
    roles = ("selected", "peak", "final") if level["outcome"] != "failed" else ()
    shared = ("clean", "measured") if level["level"] == 0 else ()
    keys = {name: level[name] for name in ("trial_id", "level", "image")}
    size = {"step": 1, "height": 128, "width": 128}
    return [keys | size | {"role": role, "png": flat_png()} for role in (*shared, *roles)]


def make_store(trials: list[dict[str, Any]], levels: list[dict[str, Any]]) -> FakeStore:
    """A store of these rows, with a picture wherever a fit leaves one."""
    pictures = [picture for level in levels for picture in make_pictures(level)]
    rows = {"trials": trials, "levels": levels, "reconstructions": pictures}
    return FakeStore({name: pd.DataFrame(found) for name, found in rows.items()})


def _fit(trial: dict[str, Any], level: int) -> dict[str, Any]:
    psnr = SELECTED_DB[trial["pruner"]][level] + 0.1 * trial["seed"]
    if trial["pruner"] == "random" and level == 4 and trial["seed"] == 1:
        psnr = 12.9
    if psnr > FLAT_DB:
        return make_level(trial, level, psnr=psnr)
    flat = {"psnr_peak_db": psnr, "psnr_final_db": psnr, "effective": 0, "outcome": "collapsed"}
    return make_level(trial, level, psnr=psnr, reason="no path from input to output", **flat)


@pytest.fixture(scope="session")
def study() -> FakeStore:
    """Three pruners by two seeds on one problem, all complete."""
    trials = [make_trial(pruner, seed) for pruner in SELECTED_DB for seed in (0, 1)]
    return make_store(trials, [_fit(trial, i) for trial in trials for i in range(len(DENSITIES))])


@pytest.fixture(scope="session")
def trial_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `trials`."""
    return make_trial


@pytest.fixture(scope="session")
def level_row() -> Callable[..., dict[str, Any]]:
    """Makes rows of `levels`."""
    return make_level


@pytest.fixture(scope="session")
def store_of() -> Callable[..., FakeStore]:
    """Makes a store of rows."""
    return make_store
