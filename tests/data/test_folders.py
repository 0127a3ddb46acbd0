"""Folders of pictures: which files they stand for, how these are framed, and what is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import ValidationError

from lip_ray.data import folders
from lip_ray.data.folders import PictureFolder
from lip_ray.data.images import BuiltinImage, FileImage
from lip_ray.sweep import Sweep
from lip_ray.tasks import Denoising
from lip_ray.trials import Trajectory

LIMIT: dict[str, Any] = {"most": 100, "limit": "a hundred"}


def picture(path: Path, seed: int, *, height: int = 6, width: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(path)
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a folder of three pictures and what else lies in one."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("b.png", "a.PNG", "more/c.bmp")):
        picture(tmp_path / "set" / name, seed)
    picture(tmp_path / "set" / ".hidden.png", 9)
    picture(tmp_path / "set" / ".cache" / "d.png", 9)
    (tmp_path / "set" / "notes.txt").write_text("no picture")
    return tmp_path


def names(path: str, **fields: Any) -> list[str]:
    return [
        getattr(image, "name", image.label)
        for image in PictureFolder(path=path, **fields).files(**LIMIT)
    ]


class TestFiles:
    @pytest.mark.parametrize(
        ("path", "found"),
        [
            ("set", ["a", "b", "c"]),
            ("set/", ["a", "b", "c"]),
            ("set/more", ["c"]),
            ("set/*.png", ["b"]),
            ("set/[ab].*", ["a", "b"]),
            ("set/**/*.bmp", ["c"]),
            ("s?t/*/c.*", ["c"]),
            ("set/.hidden.*", [".hidden"]),
        ],
    )
    def test_a_folder_or_a_pattern(self, here: Path, path: str, found: list[str]) -> None:
        assert names(path) == names(str(here / path)) == found

    def test_a_folder_whose_name_looks_like_a_pattern(self, here: Path) -> None:
        picture(here / "[1]" / "x.png", 5)
        assert names("[1]") == ["x"]

    def test_each_is_the_image_of_its_file(self, here: Path) -> None:
        framing: dict[str, Any] = {"rows": (0, 5), "size": (5, 7), "channels": 1, "crop_to": 2}
        found = PictureFolder(path="set", measured=True, **framing).files(**LIMIT)
        paths = ("set/a.PNG", "set/b.png", "set/more/c.bmp")
        assert found == tuple(FileImage(path=p, measured=True, **framing) for p in paths)

    def test_moving_it_changes_no_id_and_changing_a_picture_changes_one(self, here: Path) -> None:
        before = [image.id for image in PictureFolder(path="set").files(**LIMIT)]
        shutil.move("set", "elsewhere")
        assert [image.id for image in PictureFolder(path="elsewhere").files(**LIMIT)] == before
        picture(here / "elsewhere" / "b.png", 7)
        after = [image.id for image in PictureFolder(path="elsewhere").files(**LIMIT)]
        assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]

    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("nothing", "path must be a folder of pictures or a pattern of files, got nothing"),
            ("set/b.png", "path must be a folder of pictures or a pattern of files, got set/b"),
            ("a" * 300, "path must be a folder of pictures or a pattern of files, got aaa"),
            ("set/*.gif", r"path is a pattern that no file matches, got set/\*\.gif"),
            ("set/mor?", r"path is a pattern that no file matches, got set/mor\?"),
            ("empty", r"empty holds no picture, no file that ends in \.bmp, .*\.webp"),
            ("https://a.org/x", r"path must be of a file on this machine"),
        ],
    )
    def test_without_a_picture_it_is_refused(self, here: Path, path: str, message: str) -> None:
        (here / "empty").mkdir()
        with pytest.raises(ValueError, match=message):
            names(path)

    def test_more_than_are_meant_are_refused_before_any_is_read(self, here: Path) -> None:
        (here / "set" / "b.png").chmod(0)
        with pytest.raises(ValueError, match="path holds 3 pictures, more than two, 2: got set"):
            PictureFolder(path="set").files(most=2, limit="two")

    def test_one_picture_twice_is_refused(self, here: Path) -> None:
        shutil.copy("set/b.png", "set/more/b.png")
        with pytest.raises(ValueError, match=r"one picture twice.* got .*set/b\.png and .*more/b"):
            names("set")


class TestMeasurements:
    @pytest.fixture(autouse=True)
    def noisy(self, here: Path) -> None:
        for seed, name in enumerate(("a.bmp", "b.png", "c.png", "d.png"), start=10):
            picture(here / "noisy" / name, seed)

    def test_each_picture_is_a_pair_with_the_one_of_its_name_framed_alike(self) -> None:
        found = PictureFolder(path="set", measurements="noisy", crop_to=4).files(**LIMIT)
        clean = PictureFolder(path="set", crop_to=4).files(**LIMIT)
        assert [pair.kind for pair in found] == ["pair"] * 3
        assert tuple(pair.clean for pair in found) == clean
        names = ("a.bmp", "b.png", "c.png")
        assert [pair.measurement for pair in found] == [
            FileImage(path=f"noisy/{name}", crop_to=4) for name in names
        ]

    def test_a_sweep_has_a_trial_for_each_and_a_list_all_of_them(self) -> None:
        folder = {"kind": "folder", "path": "set", "measurements": "noisy"}
        document = {"name": "pairs", "trial": {"images": folder, "task": {"kind": "denoising"}}}
        document["trial"]["prior"] = {"kind": "skip", "width": 4, "scales": 1}
        trials = Sweep.build(document).trials
        assert [trial.images[0].clean.name for trial in trials] == ["a", "b", "c"]
        trial = together(folder | {"together": True})
        assert trial.images == tuple(one.images[0] for one in trials)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"measurements": "noisy/*.png"}, "one picture called a, got 0 in noisy"),
            ({"measurements": "noisy/more"}, "measurements must be a folder of pictures or"),
            ({"measurements": "noisy/*.x"}, "measurements is a pattern that no file matches"),
            ({"measurements": "[sn]*/*.*"}, "one picture called a, got 2 in"),
            ({"measurements": "noisy", "measured": True}, "leave measured out, got true"),
        ],
    )
    def test_what_is_wrong(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            names("set", **fields)


class TestTogether:
    def test_they_are_the_images_of_one_trial(self, here: Path) -> None:
        trial = together({"kind": "folder", "path": "set", "together": True, "crop_to": 2})
        assert [image.label[:1] for image in trial.images] == ["a", "b", "c"]
        assert Trajectory.model_validate_json(trial.model_dump_json()) == trial

    def test_others_may_stand_beside_them(self, here: Path) -> None:
        folder = {"kind": "folder", "path": "set", "together": True}
        labels = [image.label for image in together(["astronaut", folder]).images]
        assert labels[0] == "astronaut"
        assert len(labels) == 4

    def test_a_spec_says_the_same(self, here: Path) -> None:
        folder = PictureFolder(path="set", together=True)
        assert together(folder) == together({"kind": "folder", "path": "set", "together": True})

    @pytest.mark.parametrize(
        ("folder", "message"),
        [
            ({"path": "set"}, "it needs together: true, got set"),
            ({"path": "set", "together": True, "paht": "x"}, "unknown key 'paht'"),
            ({"path": "nothing", "together": True}, "path must be a folder of pictures or"),
        ],
    )
    def test_what_is_wrong(self, here: Path, folder: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            together({"kind": "folder"} | folder)

    def test_no_more_than_one_network_takes(self, here: Path, monkeypatch) -> None:
        monkeypatch.setattr(folders, "MOST_TOGETHER", 2)
        with pytest.raises(ValidationError, match="more than a network can be fitted to, 2"):
            together({"kind": "folder", "path": "set", "together": True})


def together(images: object) -> Trajectory:
    task = Denoising(sigma=25).model_dump(mode="json")
    return Trajectory.model_validate({"images": images, "task": task})


class TestCropToAMultiple:
    @pytest.mark.parametrize(
        ("shape", "multiple", "rows", "columns"),
        [
            ((64, 96), 32, (0, 64), (0, 96)),
            ((65, 99), 32, (0, 64), (1, 97)),
            ((95, 127), 32, (15, 79), (15, 111)),
            ((228, 228), 32, (2, 226), (2, 226)),
            ((127, 130), 64, (31, 95), (1, 129)),
        ],
    )
    def test_the_centre_is_kept(self, here: Path, shape, multiple, rows, columns) -> None:
        """By the rule of the published `crop_image`, written with half-open intervals."""
        path = str(picture(here / "x.png", 0, height=shape[0], width=shape[1]))
        found = FileImage(path=path, crop_to=multiple).load()
        assert torch.equal(found, FileImage(path=path, rows=rows, columns=columns).load())

    def test_it_comes_after_resizing(self, here: Path) -> None:
        path = str(picture(here / "x.png", 0, height=50, width=50))
        whole = FileImage(path=path, size=(38, 45)).load()
        found = FileImage(path=path, size=(38, 45), crop_to=32).load()
        assert torch.equal(found, whole[:, 3:35, 6:38])

    def test_a_smaller_picture_is_refused(self, here: Path) -> None:
        image = FileImage(path=str(picture(here / "x.png", 0, height=31, width=64)), crop_to=32)
        with pytest.raises(ValueError, match=r"crop_to 32 leaves nothing of x-.* \(31×64\)"):
            image.load()

    def test_unset_it_is_in_no_stored_spec(self) -> None:
        assert "crop_to" not in BuiltinImage(name="camera").model_dump_json()
        assert "crop_to" in BuiltinImage(name="camera", crop_to=32).model_dump_json()
