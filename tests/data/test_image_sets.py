"""What generators learn from: exact pixels, who is in a set and who never is, what is refused."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from pydantic import TypeAdapter, ValidationError

from lip_ray.data import image_sets, npz
from lip_ray.data.folders import picture_files
from lip_ray.data.image_sets import ArraySet, DigitSet, FolderSet, ImageSet
from lip_ray.data.images import ArrayImage, DigitImage, FileImage
from lip_ray.data.labelled import Digits

SETS = TypeAdapter(ImageSet)
TRAINING, TEST = 1438, 359

shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
stacks = st.one_of(
    arrays(np.uint8, shapes), arrays(np.uint8, shapes.map(lambda shape: (*shape, 3)))
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that examples write one over the other."""
    return tmp_path_factory.mktemp("sets")


def written(path: Path, **named: np.ndarray) -> str:
    np.savez(path, **named)  # type: ignore[arg-type]
    return str(path)


def planes(pictures: np.ndarray) -> torch.Tensor:
    """(N, C, H, W) of (N, H, W) or (N, H, W, 3)."""
    stack = pictures[..., None] if pictures.ndim == 3 else pictures
    return torch.from_numpy(stack.copy()).permute(0, 3, 1, 2)


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


class TestDigits:
    def test_it_is_the_training_set_in_eight_bits(self) -> None:
        images, rest = DigitSet().load(), Digits().load()[0]
        assert images.dtype == torch.uint8
        assert images.shape == (TRAINING, 1, 8, 8) == (DigitSet().count, *DigitSet().shape)
        assert torch.equal(images, (rest.pictures.double() * 255 / 16).round().to(torch.uint8))
        assert images.unique().numel() == 17

    @pytest.mark.parametrize("size", [None, (16, 16)])
    def test_training_digits_are_held(self, size: tuple[int, int] | None) -> None:
        held = DigitSet(size=size)
        some = range(0, TRAINING, 7)
        digits = (DigitImage(index=i, split="training", size=size) for i in some)
        assert all(held.holds(digit.load()) for digit in digits)

    @pytest.mark.parametrize("size", [None, (16, 16)])
    def test_no_test_digit_is_held(self, size: tuple[int, int] | None) -> None:
        held = DigitSet(size=size)
        assert not any(held.holds(DigitImage(index=i, size=size).load()) for i in range(TEST))

    def test_colour_is_part_of_the_picture(self) -> None:
        digit = DigitImage(index=3, split="training")
        coloured = digit.model_copy(update={"channels": 3}).load()
        assert not DigitSet().holds(coloured)
        assert DigitSet(channels=3).holds(coloured)
        assert not DigitSet(channels=3).holds(digit.load())

    def test_short_form_and_label(self) -> None:
        assert SETS.validate_python("digits") == DigitSet()
        assert DigitSet().label == "digits"


class TestHolding:
    @given(stacks, st.data())
    def test_eight_bits_decide(self, place: Path, pictures: np.ndarray, data: st.DataObject):
        held = ArraySet.model_validate({"path": written(place / "held.npz", images=pictures)})
        index = data.draw(st.integers(0, len(pictures) - 1))
        exact = planes(pictures)[index].float() / 255
        noise = torch.linspace(-0.49, 0.49, exact.numel()).reshape(exact.shape) / 255
        assert held.holds(exact)
        assert held.holds((exact + noise).clamp(0, 1))
        assert held.holds(exact.double())
        other = exact.clone()
        other[0, 0, 0] = (other[0, 0, 0] + 128 / 255) % (256 / 255)
        among = (planes(pictures) == (other * 255).round()).flatten(1).all(1).any()
        assert held.holds(other) == bool(among)

    def test_neither_a_crop_nor_a_transposed_picture_is_held(self, tmp_path: Path) -> None:
        pictures = random_pixels(4, 6, 8)
        held = ArraySet(path=written(tmp_path / "a.npz", images=pictures))
        picture = planes(pictures)[2].float() / 255
        assert held.holds(picture)
        assert not held.holds(picture[:, 1:])
        assert not held.holds(picture.reshape(1, 8, 6))
        assert not held.holds(picture[0])

    def test_those_beside_the_items_are_not_held(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 4))
        held = ArraySet(path=path, items=(1, 4))
        found = [held.holds(ArrayImage(path=path, index=index).load()) for index in range(6)]
        assert found == [False, True, True, True, False, False]


class TestArrays:
    @given(stacks)
    def test_every_pixel_is_kept(self, place: Path, pictures: np.ndarray) -> None:
        found = ArraySet.model_validate({"path": written(place / "all.npz", images=pictures)})
        assert found.load().dtype == torch.uint8
        assert torch.equal(found.load(), planes(pictures))
        assert (found.count, *found.shape) == found.load().shape
        assert found.load().is_contiguous()

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_the_order_of_the_bytes_in_the_file_does_not_matter(self, tmp_path, save) -> None:
        pictures = random_pixels(3, 4, 5, 3)
        save(tmp_path / "a.npz", images=np.asfortranarray(pictures))
        assert torch.equal(ArraySet(path=str(tmp_path / "a.npz")).load(), planes(pictures))

    @pytest.mark.parametrize(
        "framing",
        [
            {},
            {"rows": (1, 5)},
            {"size": (3, 9)},
            {"channels": 1},
            {"columns": (2, 7), "size": (4, 4)},
            {"crop_to": 4},
        ],
    )
    def test_each_is_framed_as_an_image_of_the_array_is(self, tmp_path, framing) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(3, 6, 8, 3))
        found = ArraySet(path=path, **framing)
        images = [ArrayImage(path=path, index=index, **framing).load() for index in range(3)]
        assert torch.equal(found.load(), (torch.stack(images) * 255).round().to(torch.uint8))
        assert found.shape == images[0].shape

    def test_items_are_a_slice(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 4))
        whole, part = ArraySet(path=path), ArraySet(path=path, items=(2, 5))
        assert torch.equal(part.load(), whole.load()[2:5])
        assert (part.count, whole.count) == (3, 6)
        assert torch.equal(ArraySet(path=path, items=(0, 6)).load(), whole.load())

    @pytest.mark.parametrize("items", [(3, 3), (4, 2), (-1, 2)])
    def test_senseless_items_are_refused(self, tmp_path: Path, items: tuple[int, int]) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 4))
        with pytest.raises(ValidationError, match=r"items must be \[first, end\]"):
            ArraySet(path=path, items=items)

    def test_items_beyond_the_array_are_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 4))
        with pytest.raises(ValueError, match=r"items must end at 6 or before .*got \(2, 7\)"):
            ArraySet(path=path, items=(2, 7)).load()

    def test_the_crop_must_be_inside(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 4))
        with pytest.raises(ValueError, match=r"rows \(0, 5\).* outside of a-images-.*4×4"):
            ArraySet(path=path, rows=(0, 5)).load()

    def test_its_shape_is_told_without_its_pixels(self, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.setattr(npz, "read", None)
        path = written(tmp_path / "a.npz", images=random_pixels(6, 4, 5, 3))
        found = ArraySet(path=path, size=(7, 9), channels=1)
        assert (found.count, found.shape) == (6, (1, 7, 9))

    def test_moving_the_file_changes_no_id(self, tmp_path: Path) -> None:
        first = ArraySet(path=written(tmp_path / "a.npz", images=random_pixels(2, 4, 4)))
        (tmp_path / "elsewhere").mkdir()
        moved = ArraySet(path=shutil.move(first.path, str(tmp_path / "elsewhere")))
        assert (moved.id, moved.label) == (first.id, first.label)
        stored = first.model_dump_json()
        assert ArraySet.model_validate_json(stored) == first  # without the file

    def test_labels_tell_what_is_in_them(self, tmp_path: Path) -> None:
        one = written(tmp_path / "one.npz", a=random_pixels(3, 4, 4), b=random_pixels(3, 4, 4))
        two = written(tmp_path / "two.npz", a=random_pixels(3, 4, 4, seed=1))
        found = [
            ArraySet(path=path, array=array, items=items, name="x")
            for path, array in ((one, "a"), (one, "b"), (two, "a"))
            for items in (None, (0, 2), (1, 3))
        ]
        assert len({s.label for s in found}) == len({s.id for s in found}) == len(found)

    def test_a_changed_file_is_refused(self, tmp_path: Path) -> None:
        found = ArraySet(path=written(tmp_path / "a.npz", images=random_pixels(2, 4, 4)))
        written(tmp_path / "a.npz", images=random_pixels(2, 4, 4, seed=1))
        with pytest.raises(ValueError, match=r"a\.npz has changed since its sha256"):
            found.load()

    def test_a_file_that_went_away_is_named(self, tmp_path: Path) -> None:
        found = ArraySet(path=written(tmp_path / "a.npz", images=random_pixels(2, 4, 4)))
        Path(found.path).unlink()
        with pytest.raises(ValueError, match=r"cannot read array file .*a\.npz"):
            found.load()


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Pictures of every ending without loss, and what else lies in a folder."""
        folder = tmp_path / "photos.d"
        (folder / "b").mkdir(parents=True)
        (folder / ".cache").mkdir()
        for seed, name in enumerate(("b.PNG", "a.bmp", "b/c.tif", "b/a.webp", "b-1.tiff")):
            picture = Pillow.fromarray(random_pixels(5, 7, 3, seed=seed))
            picture.save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
        (folder / "notes.txt").write_text("no picture")
        (folder / "._a.png").write_bytes(b"what a Mac leaves")
        (folder / ".cache" / "a.png").write_bytes(b"hidden")
        (folder / "album.jpg").mkdir()
        return folder

    def test_pictures_come_in_the_order_of_their_paths(self, folder: Path) -> None:
        found = FolderSet(path=str(folder))
        names = ["a.bmp", "b-1.tiff", "b.PNG", "b/a.webp", "b/c.tif"]
        assert picture_files(folder) == names
        pixels = [random_pixels(5, 7, 3, seed=seed) for seed in (1, 4, 0, 3, 2)]
        assert torch.equal(found.load(), planes(np.stack(pixels)))
        assert (found.count, found.shape) == (5, (3, 5, 7))
        assert found.name == "photos.d"

    def test_the_sum_is_that_of_sha256sum(self, folder: Path) -> None:
        lines = "".join(
            f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
            for name in ("a.bmp", "b-1.tiff", "b.PNG", "b/a.webp", "b/c.tif")
        )
        found = FolderSet(path=str(folder))
        assert found.sha256 == hashlib.sha256(lines.encode()).hexdigest()

    def test_each_is_read_as_an_image_file_is(self, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        exif = Pillow.Exif()
        exif[0x0112] = 6  # to be turned by 90°
        Pillow.fromarray(random_pixels(16, 24, 3)).save(folder / "a.jpeg", exif=exif)
        Pillow.fromarray(random_pixels(30, 30)).convert("LA").save(folder / "b.png")
        Pillow.fromarray(random_pixels(24, 16, 3)).quantize(8).save(folder / "c.png")
        framing: dict[str, Any] = {"size": (12, 8), "channels": 3}
        found = FolderSet(path=str(folder), **framing)
        images = [
            FileImage(path=str(folder / name), **framing).load()
            for name in ("a.jpeg", "b.png", "c.png")
        ]
        assert torch.equal(found.load(), (torch.stack(images) * 255).round().to(torch.uint8))
        assert all(found.holds(image) for image in images)
        assert not found.holds(images[0].flip(-1))

    def test_moving_it_changes_no_id_and_renaming_a_picture_does(self, folder: Path) -> None:
        first = FolderSet(path=str(folder))
        moved = FolderSet(path=shutil.move(folder, f"{folder}-moved"), name=first.name)
        assert (moved.id, moved.label, moved.sha256) == (first.id, first.label, first.sha256)
        assert FolderSet.model_validate_json(first.model_dump_json()) == first  # without it
        (Path(moved.path) / "a.bmp").rename(Path(moved.path) / "z.bmp")
        other = FolderSet(path=moved.path, name=first.name)
        assert other.id != first.id
        assert other.label != first.label

    @pytest.mark.parametrize("change", ["more", "fewer", "other"])
    def test_a_changed_folder_is_refused(self, folder: Path, change: str) -> None:
        found = FolderSet(path=str(folder))
        pixels = Pillow.fromarray(random_pixels(5, 7, 3, seed=9))
        if change == "fewer":
            (folder / "b.PNG").unlink()
        else:
            pixels.save(folder / ("z.png" if change == "more" else "b.PNG"))
        with pytest.raises(ValueError, match=r"photos\.d has changed since its sha256"):
            found.load()

    def test_what_is_no_picture_may_change(self, folder: Path) -> None:
        found = FolderSet(path=str(folder))
        (folder / "notes.txt").write_text("other notes")
        assert FolderSet(path=str(folder)) == found
        assert len(found.load()) == 5

    @pytest.mark.parametrize(
        ("shape", "shown"), [((5, 8, 3), "3×5×8"), ((5, 7), "1×5×7")], ids=["size", "colour"]
    )
    def test_the_first_of_another_shape_is_named(self, folder: Path, shape, shown: str) -> None:
        Pillow.fromarray(random_pixels(*shape)).save(folder / "b" / "b.png")
        Pillow.fromarray(random_pixels(*shape)).save(folder / "c.png")
        with pytest.raises(ValueError, match=rf"b/b\.png is {shown} and the first is 3×5×7"):
            FolderSet(path=str(folder)).load()
        assert len(FolderSet(path=str(folder), size=(4, 4), channels=1).load()) == 7

    def test_a_picture_that_cannot_be_read_is_named(self, folder: Path) -> None:
        (folder / "b" / "z.png").write_bytes(b"no picture")
        with pytest.raises(ValueError, match=r"b/z\.png is not an image"):
            FolderSet(path=str(folder)).load()

    def test_a_crop_outside_of_one_names_it(self, folder: Path) -> None:
        Pillow.fromarray(random_pixels(4, 7, 3)).save(folder / "c.png")
        with pytest.raises(ValueError, match=r"rows \(0, 5\).* outside of .*c\.png \(4×7\)"):
            FolderSet(path=str(folder), rows=(0, 5)).load()

    def test_without_pictures_there_is_no_set(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(ValidationError, match=r"holds no picture, no file that ends in .bmp"):
            FolderSet(path=str(tmp_path))

    @pytest.mark.parametrize("name", ["nowhere", "notes.txt"])
    def test_the_path_must_be_a_folder(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "notes.txt").write_text("no picture")
        with pytest.raises(ValidationError, match=rf"path must be a folder of pictures.*{name}"):
            FolderSet(path=str(tmp_path / name))

    @pytest.mark.parametrize("kind", ["npz", "folder"])
    def test_without_a_path_only_that_is_missing(self, kind: str) -> None:
        with pytest.raises(ValidationError) as raised:
            SETS.validate_python(kind)
        assert [error["loc"][-1] for error in raised.value.errors()] == ["path"]

    def test_only_the_result_is_held(self, tmp_path: Path, monkeypatch) -> None:
        """Pictures are decoded one by one, each after the one before is in its place."""
        for seed in range(4):
            Pillow.fromarray(random_pixels(4, 4, seed=seed)).save(tmp_path / f"{seed}.png")
        found = FolderSet(path=str(tmp_path))
        order: list[str] = []
        for name in ("decoded", "rounded"):
            original = getattr(image_sets, name)
            monkeypatch.setattr(
                image_sets, name, lambda *a, n=name, f=original: (order.append(n), f(*a))[1]
            )
        found.load()
        assert order[1:] == ["decoded", "rounded"] * 4  # the first tells the shape


class TestRealPictures:
    def test_faces_of_people(self, shared: Path) -> None:
        path = str(shared / "data" / "images" / "faces" / "lfw_gray64.npz")
        faces = ArraySet(path=path, items=(0, 3500))
        assert faces.load().shape == (3500, 1, 64, 64)
        assert faces.array == "images"
        assert faces.holds(ArrayImage(path=path, index=3499).load())
        assert not faces.holds(ArrayImage(path=path, index=3500).load())

    def test_handwritten_digits(self, shared: Path) -> None:
        path = str(shared / "data" / "images" / "digits" / "mnist_t10k.npz")
        images = ArraySet(path=path).load()
        assert images.shape == (10_000, 1, 28, 28)
        assert float(images.double().mean()) / 255 == pytest.approx(0.1325, abs=5e-5)

    def test_faces_in_colour(self, shared: Path) -> None:
        path = str(shared / "data" / "images" / "faces" / "celeba_test64_64x64.npz")
        with pytest.raises(ValidationError, match="one of center108, squash"):
            ArraySet(path=path)
        squashed = ArraySet(path=path, array="squash")
        assert squashed.load().shape == (64, 3, 64, 64)
        cropped = ArrayImage(path=path, array="center108", index=0)
        assert not squashed.holds(cropped.load())
        assert ArraySet(path=path, array="center108").holds(cropped.load())
