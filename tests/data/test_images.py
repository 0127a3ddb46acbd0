"""The image catalogue: exact pixels, files of every sort, and what is refused by name."""

import hashlib
import io
import os
import shutil
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as Pillow
from pydantic import Field, TypeAdapter, ValidationError

from lip_ray.data import fingerprint, images
from lip_ray.data.folders import expanded, one_or_many_images
from lip_ray.data.images import (
    ArrayImage,
    BuiltinImage,
    BuiltinName,
    DigitImage,
    FileImage,
    Image,
    Picture,
    png,
    rounded,
)
from lip_ray.data.labelled import Digits
from lip_ray.mistakes import explained
from lip_ray.spec import Spec
from lip_ray.tasks import Denoising

IMAGES = TypeAdapter(Image)
CPU = torch.device("cpu")


def coloured(height: int = 6, width: int = 8) -> np.ndarray:
    """Pixels that all differ, (H, W, 3) uint8."""
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def saved(picture: Pillow.Image, path: Path, **options) -> FileImage:
    picture.save(path, **options)
    return FileImage(path=str(path))


def bytes_of(image: torch.Tensor) -> np.ndarray:
    return (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


class TestBuiltin:
    @pytest.mark.parametrize("name", get_args(BuiltinName))
    def test_every_photo_loads_exactly_and_without_a_network(self, name, monkeypatch) -> None:
        monkeypatch.setattr("socket.socket.connect", None)
        image = BuiltinImage(name=name).load()
        pixels = np.atleast_3d(getattr(skimage.data, name)())
        assert pixels.dtype == np.uint8
        assert image.dtype == torch.float32
        assert np.array_equal(bytes_of(image), pixels)
        assert 0 <= float(image.min()) <= float(image.max()) <= 1

    def test_a_crop_is_the_slice(self) -> None:
        whole = BuiltinImage(name="astronaut").load()
        crop = BuiltinImage(name="astronaut", rows=(10, 42), columns=(100, 164)).load()
        assert torch.equal(crop, whole[:, 10:42, 100:164])

    def test_size_comes_after_the_crop(self) -> None:
        image = BuiltinImage(name="camera", rows=(0, 200), size=(20, 30)).load()
        assert image.shape == (1, 20, 30)
        top = BuiltinImage(name="camera", rows=(0, 200)).load()
        assert float(image.mean()) == pytest.approx(float(top.mean()), abs=0.01)

    def test_the_size_it_has_changes_nothing(self) -> None:
        plain = BuiltinImage(name="camera", rows=(0, 32), columns=(0, 32))
        sized = plain.model_copy(update={"size": (32, 32)})
        assert torch.allclose(plain.load(), sized.load(), atol=1e-6)

    def test_grey_is_luminance_and_colour_is_repeated(self) -> None:
        colour = BuiltinImage(name="astronaut").load()
        grey = BuiltinImage(name="astronaut", channels=1).load()
        weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
        assert torch.allclose(grey, (colour * weights).sum(0, keepdim=True), atol=1e-6)
        repeated = BuiltinImage(name="camera", channels=3).load()
        assert torch.equal(repeated, BuiltinImage(name="camera").load().expand(3, -1, -1))

    def test_a_crop_outside_names_the_photo_and_its_size(self) -> None:
        with pytest.raises(ValueError, match=r"outside of astronaut \(512×512\)"):
            BuiltinImage(name="astronaut", rows=(500, 513)).load()

    @pytest.mark.parametrize(
        "framing",
        [
            {"rows": (5, 5)},
            {"columns": (9, 3)},
            {"rows": (-1, 4)},
            {"size": (0, 8)},
            {"channels": 2},
        ],
    )
    def test_senseless_framing_is_refused(self, framing) -> None:
        (field,) = framing
        with pytest.raises(ValidationError, match=field):
            BuiltinImage(name="astronaut", **framing)


class TestFileContent:
    def test_colour_and_grey_pixels_are_exact(self, tmp_path) -> None:
        colour = saved(Pillow.fromarray(coloured()), tmp_path / "colour.png")
        assert np.array_equal(bytes_of(colour.load()), coloured())
        grey = saved(Pillow.fromarray(coloured()[:, :, 0]), tmp_path / "grey.png")
        assert np.array_equal(bytes_of(grey.load()), coloured()[:, :, :1])

    def test_an_opaque_alpha_channel_is_dropped(self, tmp_path) -> None:
        picture = Pillow.fromarray(coloured())
        picture.putalpha(255)
        image = saved(picture, tmp_path / "opaque.png")
        assert np.array_equal(bytes_of(image.load()), coloured())

    def test_grey_with_an_opaque_alpha_channel_stays_grey(self, tmp_path) -> None:
        picture = Pillow.fromarray(coloured()[:, :, 0]).convert("LA")
        image = saved(picture, tmp_path / "opaque.png")
        assert np.array_equal(bytes_of(image.load()), coloured()[:, :, :1])

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    def test_one_transparent_pixel_is_refused(self, tmp_path, mode) -> None:
        picture = Pillow.fromarray(coloured()).convert(mode)
        alpha = Pillow.new("L", picture.size, 255)
        alpha.putpixel((3, 2), 254)
        picture.putalpha(alpha)
        image = saved(picture, tmp_path / "glass.png")
        with pytest.raises(ValueError, match=r"glass\.png has transparent pixels"):
            image.load()

    def test_a_palette_is_looked_up_and_its_transparency_refused(self, tmp_path) -> None:
        picture = Pillow.fromarray(coloured()).quantize(16)
        image = saved(picture, tmp_path / "palette.png")
        assert np.array_equal(bytes_of(image.load()), np.asarray(picture.convert("RGB")))
        glass = saved(picture, tmp_path / "glass.png", transparency=picture.getpixel((0, 0)))
        with pytest.raises(ValueError, match=r"glass\.png has transparent pixels"):
            glass.load()

    def test_black_and_white_is_grey(self, tmp_path) -> None:
        picture = Pillow.fromarray(coloured()[:, :, 0] > 60)
        assert picture.mode == "1"
        loaded = saved(picture, tmp_path / "bits.png").load()
        assert np.array_equal(bytes_of(loaded)[:, :, 0], (coloured()[:, :, 0] > 60) * np.uint8(255))

    @pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("CMYK", 3)])
    def test_jpegs_are_as_pillow_decodes_them(self, tmp_path, mode, channels) -> None:
        picture = Pillow.fromarray(coloured(16, 16)).convert(mode)
        loaded = saved(picture, tmp_path / "photo.jpg").load()
        with Pillow.open(tmp_path / "photo.jpg") as opened:
            assert opened.mode == mode
            expected = np.asarray(opened.convert("L" if channels == 1 else "RGB"))
        assert np.array_equal(bytes_of(loaded), np.atleast_3d(expected))

    def test_the_orientation_a_camera_notes_is_honoured(self, tmp_path) -> None:
        exif = Pillow.Exif()
        exif[0x0112] = 6  # the camera was held upright: turn by 90° clockwise to see it so
        image = saved(Pillow.fromarray(coloured()), tmp_path / "upright.png", exif=exif)
        assert np.array_equal(bytes_of(image.load()), np.rot90(coloured(), -1))


class TestFileRefusals:
    @pytest.mark.parametrize("channels", [1, 3])
    def test_sixteen_bits_in_a_png_are_refused_by_name(self, tmp_path, channels) -> None:
        path = tmp_path / "deep.png"
        path.write_bytes(png_header(bit_depth=16, colour_type={1: 0, 3: 2}[channels]))
        with pytest.raises(ValueError, match=r"deep\.png is a 16-bit PNG"):
            FileImage(path=str(path)).load()

    @pytest.mark.parametrize("dtype", [np.uint16, np.float32])
    def test_more_than_eight_bits_elsewhere_are_refused(self, tmp_path, dtype) -> None:
        picture = Pillow.fromarray(coloured()[:, :, 0].astype(dtype))
        image = saved(picture, tmp_path / "deep.tiff")
        with pytest.raises(ValueError, match=r"deep\.tiff has more than 8 bits"):
            image.load()

    @pytest.mark.parametrize(
        "content",
        [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + b"\0" * 60],
        ids=["empty", "text", "signature", "garbled"],
    )
    def test_what_is_no_image_is_refused(self, tmp_path, content) -> None:
        path = tmp_path / "odd.png"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"odd\.png is not an image"):
            FileImage(path=str(path)).load()

    def test_half_a_file_is_refused(self, tmp_path) -> None:
        buffer = io.BytesIO()
        Pillow.fromarray(coloured(64, 64)).save(buffer, "PNG")
        path = tmp_path / "half.png"
        path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
        with pytest.raises(ValueError, match=r"half\.png is not an image"):
            FileImage(path=str(path)).load()

    def test_a_bomb_is_refused(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 10)
        image = saved(Pillow.fromarray(coloured()), tmp_path / "vast.png")
        with pytest.raises(ValueError, match=r"vast\.png is not an image"):
            image.load()

    @pytest.mark.parametrize("path", ["nowhere.png", "."])
    def test_missing_files_and_folders_are_refused(self, tmp_path, path) -> None:
        with pytest.raises(ValueError, match="cannot read image"):
            FileImage(path=str(tmp_path / path))

    def test_a_changed_file_is_noticed(self, tmp_path) -> None:
        image = saved(Pillow.fromarray(coloured()), tmp_path / "cat.png")
        Pillow.fromarray(255 - coloured()).save(tmp_path / "cat.png")
        with pytest.raises(ValueError, match=r"cat\.png has changed"):
            image.load()

    def test_a_file_that_went_away_is_noticed(self, tmp_path) -> None:
        image = saved(Pillow.fromarray(coloured()), tmp_path / "cat.png")
        (tmp_path / "cat.png").unlink()
        with pytest.raises(ValueError, match=r"cannot read image .*cat\.png"):
            image.load()


class TestFileIdentity:
    @pytest.fixture
    def pair(self, tmp_path) -> tuple[FileImage, FileImage]:
        """The same file in two places."""
        first = saved(Pillow.fromarray(coloured(24, 24)), tmp_path / "cat.png")
        (tmp_path / "elsewhere").mkdir()
        shutil.copy(tmp_path / "cat.png", tmp_path / "elsewhere")
        return first, FileImage(path=str(tmp_path / "elsewhere" / "cat.png"))

    def test_moving_a_file_changes_neither_id_nor_label(self, pair) -> None:
        assert pair[0].path != pair[1].path
        assert pair[0].id == pair[1].id
        assert pair[0].label == pair[1].label

    def test_draws_do_not_depend_on_the_place(self, pair) -> None:
        first, second = (Denoising(sigma=25.0).realise(i, seed=0, device=CPU) for i in pair)
        assert torch.equal(first.measured, second.measured)

    def test_other_content_is_another_image(self, pair, tmp_path) -> None:
        other = saved(Pillow.fromarray(255 - coloured(24, 24)), tmp_path / "cat.png")
        assert other.id != pair[0].id
        assert other.label != pair[0].label

    def test_a_stored_spec_reads_back_without_the_file(self, pair, tmp_path) -> None:
        stored = pair[0].model_dump_json()
        (tmp_path / "cat.png").unlink()
        assert FileImage.model_validate_json(stored) == pair[0]

    def test_a_measurement_is_another_image_than_the_photo(self, pair, tmp_path) -> None:
        measured = FileImage(path=pair[0].path, measured=True)
        assert not pair[0].measured
        assert measured.id != pair[0].id
        assert FileImage(path=pair[0].path, measured=False).id == pair[0].id
        assert torch.equal(measured.load(), pair[0].load())
        assert FileImage.model_validate_json(measured.model_dump_json()) == measured

    def test_built_in_photos_are_no_measurements(self) -> None:
        assert not BuiltinImage(name="camera").measured
        with pytest.raises(ValidationError, match="measured"):
            BuiltinImage(name="camera", measured=True)

    def test_the_path_is_relative_to_the_working_directory(self, pair, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert FileImage(path="cat.png") == pair[0]

    def test_short_forms(self, pair, tmp_path) -> None:
        assert IMAGES.validate_python("astronaut") == BuiltinImage(name="astronaut")
        assert IMAGES.validate_python(str(tmp_path / "cat.png")) == pair[0]


def archive(path: Path, **named: np.ndarray) -> str:
    np.savez(path, **named)  # type: ignore[arg-type]
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that examples write one over the other."""
    return tmp_path_factory.mktemp("images")


class TestArrays:
    @given(st.data(), st.sampled_from([(), (1,), (3,)]))
    def test_every_pixel_is_kept(self, place: Path, data: st.DataObject, last: tuple[int, ...]):
        sides = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)))
        pixels = data.draw(arrays(np.uint8, (*sides, *last)))
        index = data.draw(st.integers(0, sides[0] - 1))
        found = ArrayImage.model_validate(
            {"path": archive(place / "a.npz", images=pixels), "index": index}
        )
        assert found.load().dtype == torch.float32
        assert np.array_equal(bytes_of(found.load()), np.atleast_3d(pixels[index]))

    def test_it_is_framed_as_a_file_is(self, tmp_path) -> None:
        file = saved(Pillow.fromarray(coloured(10, 12)), tmp_path / "a.png")
        path = archive(tmp_path / "a.npz", images=np.stack([coloured(10, 12)] * 2))
        for framing in ({}, {"rows": (2, 8)}, {"size": (4, 5), "columns": (0, 9)}, {"channels": 1}):
            expected = file.model_copy(update=framing).load()
            assert torch.equal(ArrayImage(path=path, index=1, **framing).load(), expected)

    def test_the_only_array_of_pictures_is_meant(self, tmp_path) -> None:
        others = {"names": np.array(["a", "b"]), "labels": np.zeros(2, np.uint8)}
        path = archive(tmp_path / "a.npz", pictures=coloured()[None], **others)
        assert ArrayImage(path=path, index=0).array == "pictures"

    def test_of_several_arrays_one_must_be_named(self, tmp_path) -> None:
        path = archive(tmp_path / "a.npz", left=coloured()[None], right=255 - coloured()[None])
        with pytest.raises(ValidationError, match=r"array must say .* one of left, right"):
            ArrayImage(path=path, index=0)
        right = ArrayImage(path=path, array="right", index=0)
        assert np.array_equal(bytes_of(right.load()), 255 - coloured())

    def test_an_archive_without_pictures_says_what_it_holds(self, tmp_path) -> None:
        path = archive(tmp_path / "a.npz", images=coloured()[None] / 255)
        with pytest.raises(ValidationError, match=r"holds images float64 \(1, 6, 8, 3\)"):
            ArrayImage(path=path, index=0)

    def test_a_missing_name_lists_those_there_are_and_loads_none(self, tmp_path, monkeypatch):
        path = archive(tmp_path / "a.npz", left=coloured()[None], right=np.zeros(3))
        monkeypatch.setattr(np, "load", None)
        with pytest.raises(ValueError, match=r"array 'middle' .*left uint8 .*right float64 \(3,\)"):
            ArrayImage(path=path, array="middle", index=0).load()

    @pytest.mark.parametrize(
        "pixels",
        [
            np.zeros((2, 4, 4)),
            np.zeros((4, 4), np.uint8),
            np.zeros((2, 3, 4, 4), np.uint8),
            np.zeros((0, 4, 4), np.uint8),
            np.array([{}, {}]),
        ],
        ids=["float", "flat", "channels first", "empty", "objects"],
    )
    def test_an_array_of_something_else_is_refused(self, tmp_path, pixels: np.ndarray) -> None:
        path = archive(tmp_path / "a.npz", images=pixels)
        with pytest.raises(
            ValueError, match=r"array 'images' .* must be uint8, uint16 or float32 of shape"
        ):
            ArrayImage(path=path, array="images", index=0).load()

    def test_an_index_beyond_the_array_is_refused(self, tmp_path) -> None:
        path = archive(tmp_path / "a.npz", images=np.stack([coloured()] * 2))
        assert ArrayImage(path=path, index=1).load().shape == (3, 6, 8)
        with pytest.raises(ValueError, match=r"index must be from 0 to 1 in array 'images'.*got 2"):
            ArrayImage(path=path, index=2).load()
        with pytest.raises(ValidationError, match="index"):
            ArrayImage(path=path, index=-1)

    def test_a_changed_file_is_noticed(self, tmp_path) -> None:
        image = ArrayImage(path=archive(tmp_path / "a.npz", images=coloured()[None]), index=0)
        archive(tmp_path / "a.npz", images=255 - coloured()[None])
        with pytest.raises(ValueError, match=r"a\.npz has changed"):
            image.load()

    @pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 no archive"])
    def test_what_is_no_archive_is_refused(self, tmp_path, content: bytes) -> None:
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ValidationError, match=r"a\.npz is not an \.npz archive"):
            ArrayImage(path=str(tmp_path / "a.npz"), index=0)

    def test_a_damaged_array_is_refused(self, tmp_path) -> None:
        path = tmp_path / "a.npz"
        data = bytearray(Path(archive(path, images=coloured(256, 256)[None])).read_bytes())
        data[100_000] ^= 1
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"array 'images' .* cannot be read \(Bad CRC-32"):
            ArrayImage(path=str(path), index=0).load()

    @pytest.mark.parametrize("path", ["nowhere.npz", "."])
    def test_missing_files_and_folders_are_refused(self, tmp_path, path) -> None:
        with pytest.raises(ValidationError, match="cannot read array file"):
            ArrayImage(path=str(tmp_path / path), index=0)

    def test_the_array_is_read_once(self, tmp_path, monkeypatch) -> None:
        path = archive(tmp_path / "a.npz", images=np.stack([coloured()] * 5))
        read, original = [], np.load
        monkeypatch.setattr(np, "load", lambda *a, **k: (read.append(a), original(*a, **k))[1])
        for index in range(5):
            ArrayImage(path=path, index=index).load()
        assert len(read) == 1

    def test_moving_the_file_changes_neither_id_nor_label(self, tmp_path) -> None:
        first = ArrayImage(path=archive(tmp_path / "a.npz", images=coloured()[None]), index=0)
        (tmp_path / "elsewhere").mkdir()
        moved = ArrayImage(path=shutil.move(first.path, str(tmp_path / "elsewhere")), index=0)
        assert moved.path != first.path
        assert (moved.id, moved.label) == (first.id, first.label)
        assert ArrayImage.model_validate_json(first.model_dump_json()) == first
        one, two = (Denoising(sigma=9.0).realise(i, seed=0, device=CPU) for i in (moved, moved))
        assert torch.equal(one.measured, two.measured)

    def test_labels_tell_pictures_apart(self, tmp_path) -> None:
        pixels = np.stack([coloured()] * 12)
        paths = [
            archive(tmp_path / "a.npz", one=pixels, two=pixels),
            archive(tmp_path / "b.npz", one=pixels, two=255 - pixels),
        ]
        found: list[Picture] = [
            ArrayImage(path=path, array=array, index=index, name="x")
            for path in paths
            for array in ("one", "two")
            for index in range(12)
        ]
        assert len({image.label for image in found}) == len(found)
        assert not any(image.measured for image in found)


class TestDigits:
    def test_they_are_the_sets_of_the_dataset_in_eight_bits(self) -> None:
        for split, part in zip(("training", "test"), Digits().load(), strict=True):
            for index in (0, 7, len(part) - 1):
                found = DigitImage(index=index, split=split).load()
                assert torch.equal(found, found.mul(255).round() / 255)
                assert torch.allclose(found, part.values[index], atol=0.5 / 255)

    def test_by_default_it_was_never_learned_from(self) -> None:
        assert DigitImage(index=3) == DigitImage(index=3, split="test")
        assert DigitImage(index=3).id != DigitImage(index=3, split="training").id

    @pytest.mark.parametrize(("split", "last"), [("test", 358), ("training", 1437)])
    def test_an_index_beyond_the_set_is_refused(self, split, last: int) -> None:
        DigitImage(index=last, split=split).load()
        with pytest.raises(ValueError, match=f"index must be from 0 to {last} in the {split} set"):
            DigitImage(index=last + 1, split=split).load()

    def test_labels_tell_them_apart(self) -> None:
        assert DigitImage(index=12).label == "digit-12"
        assert DigitImage(index=12, split="training").label == "digit-training-12"

    def test_framing_is_that_of_every_image(self) -> None:
        assert DigitImage(index=0, size=(32, 32), channels=3).load().shape == (3, 32, 32)
        whole = DigitImage(index=0).load()
        assert torch.equal(DigitImage(index=0, rows=(1, 6)).load(), whole[:, 1:6])

    def test_loading_draws_nothing_from_the_global_generator(self) -> None:
        images._framed.cache_clear()
        state = torch.get_rng_state()
        DigitImage(index=0, size=(9, 9)).load()
        assert torch.equal(state, torch.get_rng_state())


class Album(Spec):
    """A spec that takes several images."""

    images: Annotated[tuple[Image, ...], Field(strict=False), one_or_many_images]


def problems(value: object) -> list[str]:
    """What is wrong with an album, in a user's words."""
    with pytest.raises(ValidationError) as raised:
        Album.model_validate({"images": value})
    return [str(problem) for problem in explained(raised.value, Album, {"images": value})]


class TestSeveral:
    def test_a_list_of_indices_stands_for_several(self) -> None:
        digits = {"kind": "digit", "index": [3, 1, 2], "size": [16, 16]}
        found = Album.model_validate({"images": digits}).images
        assert found == tuple(DigitImage(index=index, size=(16, 16)) for index in (3, 1, 2))

    def test_others_stand_beside_them_in_order(self) -> None:
        value = ["camera", {"kind": "digit", "index": [1, 0]}, {"kind": "digit", "index": 5}]
        labels = [image.label for image in Album.model_validate({"images": value}).images]
        assert labels == ["camera", "digit-1", "digit-0", "digit-5"]

    def test_arrays_too(self, tmp_path) -> None:
        path = archive(tmp_path / "a.npz", images=np.stack([coloured()] * 3))
        value = {"kind": "npz", "path": path, "index": [2, 0]}
        found = Album.model_validate({"images": value}).images
        assert found == (ArrayImage(path=path, index=2), ArrayImage(path=path, index=0))

    def test_one_image_is_a_list_of_one(self) -> None:
        assert expanded("camera") == ["camera"]
        assert expanded(DigitImage(index=1)) == [DigitImage(index=1)]
        assert expanded(("camera", "coins")) == ["camera", "coins"]

    def test_what_it_is_given_stays_as_it_is(self) -> None:
        value = {"kind": "digit", "index": [1, 2]}
        expanded(value)
        assert value == {"kind": "digit", "index": [1, 2]}

    def test_stored_it_reads_back(self) -> None:
        album = Album.model_validate({"images": {"kind": "digit", "index": [1, 2]}})
        assert Album.model_validate_json(album.model_dump_json()) == album

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            ([], "images: index must be a whole number or a list of at least 1, got []"),
            ([0, -1], "images.index: must be at least 0, got -1"),
            ([0, 1.5], "images.index: must be a whole number, got 1.5"),
            ([0, "a"], "images.index: must be a whole number, got 'a'"),
            ([0, True], "images.index: must be a whole number, got true"),
            ([[0]], "images.index: must be a whole number, got [0]"),
            ("0", "images.index: must be a whole number, got '0'"),
        ],
    )
    def test_what_is_wrong_names_the_index(self, index: object, message: str) -> None:
        assert problems({"kind": "digit", "index": index}) == [message]

    def test_where_one_image_is_taken_a_list_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="index"):
            IMAGES.validate_python({"kind": "digit", "index": [0, 1]})

    def test_other_kinds_know_no_index(self) -> None:
        found = problems({"kind": "builtin", "name": "camera", "index": [0, 1]})
        assert found
        assert all("unknown key 'index'" in problem for problem in found)

    def test_editors_are_told(self) -> None:
        schema = Album.model_json_schema()
        for name in ("ArrayImage", "DigitImage"):
            index = schema["$defs"][name]["properties"]["index"]
            assert [option["type"] for option in index["anyOf"]] == ["integer", "array"]
            assert "a list stands for several" in index["description"]


class TestFingerprints:
    def test_a_file_that_stays_is_read_once(self, tmp_path, monkeypatch) -> None:
        path = tmp_path / "large"
        path.write_bytes(b"some content")
        monkeypatch.setattr(fingerprint, "SETTLED_NS", -1)
        find = fingerprint.sha256_of("file")
        first = find(path)
        monkeypatch.setattr(fingerprint.hashlib, "file_digest", None)
        assert find(path) == first == fingerprint.sha256_of("other")(path)

    def test_a_second_change_at_the_same_time_is_noticed(self, tmp_path) -> None:
        """As clocks of file systems are coarse; the file is as long as before, too."""
        path, find = tmp_path / "file", fingerprint.sha256_of("file")
        path.write_bytes(b"one")
        before, first = path.stat(), find(path)
        path.write_bytes(b"two")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert find(path) == hashlib.sha256(b"two").hexdigest() != first

    def test_what_is_given_is_not_looked_for(self, tmp_path) -> None:
        fields = {"path": str(tmp_path), "sha256": "given"}
        found: Any = fingerprint.filled(fields, sha256=fingerprint.sha256_of("file"))
        assert found == fields
        assert fingerprint.filled("text", name=fingerprint.stem) == "text"
        assert fingerprint.filled({}, name=fingerprint.stem) == {"name": ""}


class TestRealPictures:
    def test_faces_and_digits(self, shared: Path) -> None:
        folder = shared / "data" / "images"
        faces = ArrayImage(path=str(folder / "faces" / "lfw_gray64.npz"), index=3599)
        assert faces.load().shape == (1, 64, 64)
        digit = ArrayImage(path=str(folder / "digits" / "mnist_t10k.npz"), index=9999)
        assert digit.load().shape == (1, 28, 28)

    def test_the_crop_for_small_generators_is_a_mean_of_four(self, shared: Path) -> None:
        path = str(shared / "data" / "images" / "faces" / "celeba_test64_64x64.npz")
        whole = ArrayImage(path=path, array="center108", index=0)
        assert whole.load().shape == (3, 64, 64)
        small = whole.model_copy(update={"size": (32, 32)}).load()
        means = torch.nn.functional.avg_pool2d(whole.load(), 2)
        assert float((small - means).abs().mean()) < 0.02


class TestThumbnails:
    @given(arrays(np.uint8, (3, 2, 2)))
    def test_eight_bits_survive(self, pixels: np.ndarray) -> None:
        values = torch.from_numpy(pixels.copy())
        assert torch.equal(rounded(values.float() / 255), values)

    @pytest.mark.parametrize("channels", [1, 3])
    def test_small_images_keep_every_pixel(self, channels) -> None:
        image = torch.from_numpy(coloured()[:, :, :channels].copy()).permute(2, 0, 1)[None] / 255
        with Pillow.open(io.BytesIO(png(image))) as picture:
            assert picture.format == "PNG"
            assert np.array_equal(np.atleast_3d(np.asarray(picture)), coloured()[:, :, :channels])

    def test_large_images_shrink_in_proportion(self) -> None:
        with Pillow.open(io.BytesIO(png(torch.full((3, 600, 300), 0.5)))) as picture:
            assert picture.size == (128, 256)

    def test_values_beyond_the_range_are_clipped(self) -> None:
        image = torch.tensor([[[[-1.0, 2.0]]]])
        with Pillow.open(io.BytesIO(png(image))) as picture:
            assert np.asarray(picture).tolist() == [[0, 255]]


def png_header(*, bit_depth: int, colour_type: int) -> bytes:
    """The first bytes of a PNG of 1 by 1 pixel."""
    size = (1).to_bytes(4, "big") * 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + (13).to_bytes(4, "big")
        + b"IHDR"
        + size
        + bytes((bit_depth, colour_type, 0, 0, 0))
    )
