"""Published numbers: only those with a source, only beside the same image, size and task."""

import json
from typing import Any

import pytest

from lip_ray.analysis.rows.points import WHICH
from lip_ray.analysis.statistics.published import published_for, published_table

BABY = {"kind": "file", "name": "baby", "sha256": "ab" * 32}
DENOISING = {"kind": "denoising", "sigma": 25.0, "clip": True}
UNMASKED = 36_992 / 2_208_768
"""The share of the skip network that the study's code never masked."""


def scene(task: dict[str, Any] = DENOISING, **image: Any) -> str:
    return json.dumps({"image": BABY | image, "task": task})


def test_every_number_says_where_it_was_read() -> None:
    table = published_table()
    for column in ("source", "where", "task", "image", "network", "method", "which"):
        assert (table[column] != "").all(), column
    assert table["which"].isin(WHICH).all()
    assert table["psnr_db"].between(5, 60).all()
    assert table["density"].between(0, 1, inclusive="right").all()
    assert not table.duplicated(
        ["where", "task", "image", "method", "density", "which", "note"]
    ).any()


def test_a_density_that_is_not_the_published_one_says_why() -> None:
    table = published_table()
    differing = table[table["density"] != table["density_nominal"]]
    assert (differing["note"] != "").all()
    ours = differing[differing["method"] == "magnitude"]
    true = ours["density_nominal"] * (1 - UNMASKED) + UNMASKED
    assert ours["density"].tolist() == pytest.approx(true.tolist(), rel=1e-3)
    assert ours["density"].min() > UNMASKED


def test_the_same_image_size_and_task_meet() -> None:
    found = published_for(scene())
    assert set(found["image"]) == {"baby"}
    dense = found[found["method"] == "dense"]
    assert dense["psnr_db"].tolist() == [31.07]
    assert len(published_for(scene(size=[512, 512]))) == len(found)
    assert len(published_for(scene(rows=[0, 512], columns=[0, 512]))) == len(found)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "astronaut"},
        {"size": [64, 64]},
        {"rows": [0, 256]},
        {"rows": [0, 256], "columns": [0, 512]},
        {"task": DENOISING | {"sigma": 30.0}},
        {"task": {"kind": "inpainting", "share": 0.5}},
    ],
)
def test_others_do_not(other: dict[str, Any]) -> None:
    assert published_for(scene(**other)).empty


def test_a_picture_that_was_cropped_is_not_the_whole_one() -> None:
    task = {"kind": "super_resolution", "factor": 4, "sigma": 0.0}
    assert published_for(scene(task, name="zebra")).empty
    assert len(published_for(scene(task, name="zebra", rows=[3, 387], columns=[7, 583]))) == 5


def test_a_builtin_photo_and_a_generated_image() -> None:
    photo = {"kind": "builtin", "name": "astronaut"}
    sigma = {"kind": "denoising", "sigma": 30.0}
    assert len(published_for(json.dumps({"image": photo, "task": sigma}))) == 2
    digit = {"kind": "digit", "index": 3, "split": "test"}
    assert published_for(json.dumps({"image": digit, "task": sigma})).empty


def test_the_table_is_the_callers_own() -> None:
    own = published_table()
    own["psnr_db"] = 0.0
    assert (published_table()["psnr_db"] > 0).all()
