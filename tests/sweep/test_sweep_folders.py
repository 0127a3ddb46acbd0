"""Folders in a sweep are one trial for each picture, wherever images are named."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from PIL import Image as Pillow

from lip_ray.sweep import Sweep, SweepError, json_schema

NOISE = {"kind": "denoising", "sigma": 25}
TRIAL: dict[str, Any] = {
    "task": NOISE,
    "prior": {"kind": "skip", "width": 4, "scales": 2, "input_channels": 2},
    "schedule": [1, 0.5],
    "fit": {"steps": 100},
}
FOLDER = {"kind": "folder", "path": "set", "crop_to": 4}
EACH = ["a", "b", "c"]
CAMERA = {"kind": "builtin", "name": "camera", "size": [32, 32], "channels": 3}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of three pictures of different sizes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    for seed, name in enumerate(EACH):
        shape = (17 + seed, 22, 3)
        pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / "set" / f"{name}.png")
    return tmp_path


def built(trial: dict[str, Any], **sections: Any) -> Sweep:
    return Sweep.build({"name": "folders", "trial": TRIAL | trial, **sections})


def names(sweep: Sweep) -> list[str]:
    """The names of the images of each trial."""
    return ["+".join(image.name for image in trial.images) for trial in sweep.trials]  # type: ignore[attr-defined]


def fault(trial: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(SweepError) as caught:
        built(trial, **sections)
    (problem,) = caught.value.problems
    return str(problem)


class TestEachPicture:
    def test_in_the_trial(self) -> None:
        sweep = built({"images": FOLDER})
        assert names(sweep) == EACH
        assert [trial.setting.shape for trial in sweep.trials] == [(3, 16, 20)] * 3  # type: ignore[attr-defined]

    def test_in_the_grid_beside_others(self) -> None:
        sweep = built({}, grid={"images": [CAMERA, FOLDER], "seed": [0, 1]})
        assert names(sweep) == ["camera", "camera", *EACH, *EACH]

    def test_in_a_case(self) -> None:
        cases = [{"images": FOLDER, "seed": 1}, {"images": CAMERA}]
        assert names(built({}, cases=cases)) == [*EACH, "camera"]

    def test_by_an_override(self) -> None:
        document = {"name": "folders", "trial": TRIAL | {"images": CAMERA}}
        sweep = Sweep.build(document, overrides=["images={kind: folder, path: 'set/[ab].png'}"])
        assert names(sweep) == ["a", "b"]

    def test_in_the_sweep_of_the_sources(self, here: Path) -> None:
        theirs = {"name": "theirs", "trial": TRIAL | {"images": FOLDER}}
        Path("theirs.yaml").write_text(yaml.safe_dump(theirs))
        trial = {"kind": "transfer", "travels": "mask"}
        document: dict[str, Any] = {"name": "ours", "trial": trial, "sources": "theirs.yaml"}
        assert names(Sweep.build(document, folder=here)) == EACH
        changed = {"sweep": "theirs.yaml", "set": {"images": FOLDER | {"path": "set/a*"}}}
        assert names(Sweep.build(document | {"sources": changed}, folder=here)) == ["a"]

    def test_in_a_source_and_in_its_transfers(self) -> None:
        source = TRIAL | {"images": FOLDER}
        trial = {"kind": "transfer", "source": source, "images": FOLDER, "task": NOISE}
        trials = Sweep.build({"name": "all", "trial": trial}).trials
        pairs = [(t.source.images[0].name, t.images[0].name) for t in trials]  # type: ignore[attr-defined]
        assert pairs == [(source, target) for source in EACH for target in EACH]

    def test_in_the_trajectories_of_a_consensus(self) -> None:
        found = [TRIAL | {"images": CAMERA}, TRIAL | {"images": FOLDER}]
        consensus = {"kind": "consensus", "trajectories": found}
        document = {"kind": "transfer", "source": consensus, "images": CAMERA, "task": NOISE}
        trials = Sweep.build({"name": "all", "trial": document | {"seed": 0}}).trials
        assert [t.source.trajectories[1].images[0].name for t in trials] == EACH  # type: ignore[attr-defined]

    def test_ids_are_those_of_the_single_files(self) -> None:
        files = [{"kind": "file", "path": f"set/{name}.png", "crop_to": 4} for name in EACH]
        by_folder = built({"images": FOLDER})
        assert by_folder.id == built({}, grid={"images": files}).id
        shutil.move("set", "Set14")
        assert built({"images": FOLDER | {"path": "Set14"}}).id == by_folder.id

    def test_what_a_generator_learns_from_stays_one_set(self) -> None:
        generator = {
            "kind": "generator",
            "prior": {"kind": "dcgan", "size": 8},
            "images": {"kind": "folder", "path": "set", "size": [8, 8]},
            "schedule": [1, 0.5],
            "fit": {"steps": 10, "batch": 3},
        }
        (learnt,) = Sweep.build({"name": "set", "trial": generator}).trials
        assert learnt.images.kind == "folder"  # type: ignore[attr-defined]
        sensed = {
            "kind": "reconstruction",
            "source": generator,
            "images": FOLDER | {"size": [8, 8]},
            "task": {"kind": "compressed_sensing", "m": 20},
        }
        assert names(Sweep.build({"name": "sensed", "trial": sensed})) == EACH

    def test_in_a_search_each_point_has_all_of_them(self) -> None:
        search = {
            "space": {"fit.learning_rate": {"kind": "float", "low": 0.001, "high": 0.1}},
            "objectives": [{"column": "psnr_selected_db", "direction": "maximize"}],
            "points": 2,
        }
        sweep = built({"images": FOLDER}, search=search)
        assert [t.images[0].name for t in sweep.typical_trials()] == EACH  # type: ignore[attr-defined]
        assert built({"images": FOLDER}, search=search).search_id == sweep.search_id
        shutil.copy("set/a.png", "set/b.png")
        assert built({"images": FOLDER}, search=search).search_id != sweep.search_id


@pytest.mark.parametrize(
    ("images", "right"),
    [
        (FOLDER, True),
        (FOLDER | {"together": True}, True),
        ([CAMERA, FOLDER | {"together": True}], True),
        (FOLDER | {"crop_to": 1}, False),
        (FOLDER | {"name": "x"}, False),
    ],
)
def test_editors_are_told(images: object, right: bool) -> None:
    document = {"name": "folders", "trial": TRIAL | {"images": images}}
    assert Draft202012Validator(json_schema()).is_valid(document) is right


class TestTogether:
    def test_one_trial_of_all(self) -> None:
        assert names(built({"images": FOLDER | {"together": True}})) == ["a+b+c"]

    def test_each_and_all_in_one_grid(self) -> None:
        sweep = built({}, grid={"images": [FOLDER, FOLDER | {"together": True}]})
        assert names(sweep) == [*EACH, "a+b+c"]


class TestRefused:
    @pytest.mark.parametrize(
        ("folder", "message"),
        [
            ({"path": "no"}, ": path must be a folder of pictures or a pattern of files, got no"),
            ({"path": "set/*.x"}, ": path is a pattern that no file matches, got set/*.x"),
            ({"path": 3}, ".path: must be text, got 3"),
            ({"crop_to": 1}, ".crop_to: must be at least 2, got 1"),
            ({"pages": 1}, ".pages: unknown key 'pages'; allowed: rows, columns, size, channels, "
             "crop_to, kind, path, together, measured, measurements"),
            ({"together": "yes"}, ".together: must be true or false, got 'yes'"),
        ],
    )  # fmt: skip
    def test_it_is_told_where_it_was_written(self, folder: dict[str, Any], message: str) -> None:
        wrong = FOLDER | folder
        assert fault({"images": wrong}) == f"trial.images{message}"
        assert fault({}, grid={"images": [CAMERA, wrong]}) == f"grid.images[1]{message}"
        assert fault({}, cases=[{"images": wrong}]) == f"cases[0].images{message}"

    def test_a_file_that_is_no_picture(self) -> None:
        Path("set/b.png").write_text("no picture")
        message = fault({"images": FOLDER})
        assert message.startswith("trial.images: ")
        assert "set/b.png is not an image that can be read" in message

    def test_a_list_of_images_of_one_trial_needs_to_say_together(self) -> None:
        assert "it needs together: true, got set" in fault({"images": [CAMERA, FOLDER]})

    def test_more_pictures_than_trials_are_meant(self) -> None:
        found = fault({"images": FOLDER}, run={"most_trials": 2})
        assert found == "trial.images: path holds 3 pictures, more than run.most_trials, 2: got set"
        found = fault({"images": FOLDER}, grid={"seed": [0, 1]}, run={"most_trials": 5})
        assert found == (
            "grid: makes 6 trials (2 and one for each picture of a folder), more than "
            "run.most_trials, 5: raise that if so many are meant"
        )
