"""What trials say that they lack is what their rows have no number in, kind by kind."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pydantic import TypeAdapter

from lip_ray.columns import OBJECTIVES
from lip_ray.engine.trainable import trial_record
from lip_ray.records import LevelRecord
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep, SweepError
from lip_ray.trials import AnyTrial, Context, Trial, run

ONE: TypeAdapter[Any] = TypeAdapter(Trial)
CAMERA = {"kind": "builtin", "name": "camera", "size": [16, 16]}
FIT = {"steps": 12, "stopping": {"window": 6, "stride": 3}}
FOUND = {
    "images": CAMERA,
    "task": {"kind": "denoising", "sigma": 25.0},
    "prior": {"kind": "skip", "width": 4, "scales": 2, "skip_width": 2, "input_channels": 3},
    "schedule": [1.0],
    "fit": FIT,
}
DIGIT = {"kind": "digit", "index": 0}
DRAWN = {
    "kind": "generator",
    "prior": {"kind": "dcgan", "size": 8, "channels": 1, "width": 4, "latent_size": 4},
    "images": "digits",
    "schedule": [1.0],
    "fit": {"steps": 2, "batch": 8},
}
SENSED = {"kind": "compressed_sensing", "m": 9}
ERM = {"kind": "erm", "steps": 2, "restarts": 1}
NEEDS_CLEAN = [name for name in OBJECTIVES if "psnr" in name or "ssim" in name] + ["peak_step"]


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16), dtype=np.uint8)
    Picture.fromarray(pixels).save(tmp_path / "old.png")
    return {"kind": "file", "path": str(tmp_path / "old.png"), "measured": True}


def sources(kind: str, measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Specs of trials, the last of the kind in question."""
    unclean = {"images": measured, "task": "denoising"}
    moved = {"kind": "transfer", "source": FOUND, "images": CAMERA, "fit": FIT}
    solved = {"kind": "reconstruction", "source": DRAWN, "images": DIGIT, "task": SENSED}
    return {
        "trajectory": [FOUND],
        "of a measurement": [FOUND | unclean],
        "transfer": [FOUND, moved | {"task": FOUND["task"]}],
        "to a measurement": [FOUND, moved | unclean],
        "classification": [
            FOUND,
            {"kind": "classification", "source": FOUND, "dataset": "digits"}
            | {"fit": {"epochs": 1, "batch": 512}},
        ],
        "generator": [DRAWN],
        "reconstruction": [DRAWN, solved | {"solver": ERM}],
        "of a basis": [
            {"kind": "reconstruction", "source": "dct", "images": DIGIT, "task": SENSED}
            | {"solver": {"kind": "lasso", "passes": 20}}
        ],
    }[kind]


KINDS = [
    "trajectory", "of a measurement", "transfer", "to a measurement", "classification",
    "generator", "reconstruction", "of a basis",
]  # fmt: skip


def rows_of(trials: list[AnyTrial], store: Writer) -> Iterator[LevelRecord]:
    """The rows of the last trial, after running those before it."""
    reader = Reader(store.where)
    for trial in trials:
        store.write_trial(trial_record(trial, device="cpu"))
        context = Context(device=torch.device("cpu"), artifacts=reader)
        for _, level in groupby(run(trial, context), key=lambda row: row.level):
            rows = list(level)
            store.write_level(rows)
            if trial is trials[-1]:
                yield from rows


@pytest.mark.parametrize("kind", KINDS)
def test_rows_have_numbers_in_all_but_what_is_lacking(
    kind: str, measured: dict[str, Any], tmp_path: Path
) -> None:
    trials = [ONE.validate_python(spec) for spec in sources(kind, measured)]
    store = Writer.open(tmp_path / "store")
    rows = list(rows_of(trials, store))
    columns = set(OBJECTIVES) - {"density"}
    empty = {name for name in columns if all(getattr(row, name) is None for row in rows)}
    assert empty == set(trials[-1].lacks()) & columns
    if kind.endswith("measurement"):
        assert set(NEEDS_CLEAN) <= empty


class TestSearches:
    """A search that is after a number that cannot be is refused before anything runs."""

    SPACE = {"fit.learning_rate": {"kind": "float", "low": 0.001, "high": 0.1}}  # noqa: RUF012

    def faults(self, trial: dict[str, Any], *columns: str, **more: Any) -> str:
        objectives = [{"column": column, "direction": "maximize"} for column in columns]
        search = {"space": self.SPACE, "objectives": objectives, "points": 3} | more
        with pytest.raises(SweepError) as caught:
            Sweep.build({"name": "s", "trial": trial, "search": search})
        return str(caught.value)

    @pytest.mark.parametrize("column", NEEDS_CLEAN)
    def test_without_a_clean_image(self, measured: dict[str, Any], column: str) -> None:
        trial = FOUND | {"images": measured, "task": "denoising"}
        message = self.faults(trial, "fit_s", column)
        assert (
            f"search.objectives[1].column: {column} can have no value: it needs a clean image, and "
            "old-"
        ) in message
        assert "objectives[0]" not in message

    def test_one_measured_image_among_others_is_enough(self, measured: dict[str, Any]) -> None:
        trial = FOUND | {"images": [measured, CAMERA], "task": {"kind": "inpainting"}}
        trial["task"] = {"kind": "inpainting", "mask": {"kind": "box", "rows": [2, 5]}}
        trial["task"]["mask"]["columns"] = [2, 5]
        assert "psnr_peak_db can have no value" in self.faults(trial, "psnr_peak_db")

    @pytest.mark.parametrize("column", ["accuracy", "frechet", "critic_gap", "l2_per_pixel"])
    def test_numbers_of_other_kinds(self, column: str) -> None:
        message = self.faults(FOUND, column)
        assert f"{column} can have no value: a trial of the kind trajectory has none" in message

    def test_stopping_needs_a_selected_psnr(self, measured: dict[str, Any]) -> None:
        trial = FOUND | {"images": measured, "task": "denoising"}
        message = self.faults(trial, "loss_final", stop_hopeless={})
        assert "search.stop_hopeless: psnr_selected_db can have no value" in message

    def test_a_searched_image_is_named(self, measured: dict[str, Any]) -> None:
        space = self.SPACE | {"images": [CAMERA, measured]}
        task = {"kind": "inpainting", "mask": {"kind": "box", "rows": [2, 5], "columns": [2, 5]}}
        message = self.faults(FOUND | {"task": task}, "psnr_peak_db", space=space)
        assert "search.space.images[1]: search.objectives[0].column: psnr_peak_db can" in message

    def test_what_can_be_had_is_searched(self, measured: dict[str, Any]) -> None:
        trial = FOUND | {"images": measured, "task": "denoising"}
        objectives = [{"column": "loss_final", "direction": "minimize"}]
        search = {"space": self.SPACE, "objectives": objectives, "points": 3}
        assert Sweep.build({"name": "s", "trial": trial, "search": search}).search

    @pytest.mark.parametrize(("size", "border"), [([10, 32], 0), ([18, 18], 4)])
    def test_ssim_of_images_smaller_than_its_window(self, size: list[int], border: int) -> None:
        task = {"kind": "super_resolution", "factor": 2, "border": border}
        trial = FOUND | {"images": CAMERA | {"size": size}, "task": task}
        message = self.faults(trial, "ssim_peak", "psnr_peak_db")
        assert "ssim_peak can have no value: its window is 11×11, and an image has 10" in message
        assert "objectives[1]" not in message
