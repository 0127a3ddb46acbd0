"""The image catalogue: exact pixels, files of every sort, and what is refused by name."""

import io
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image as Pillow
from pydantic import TypeAdapter, ValidationError

from lip_ray.images import BuiltinImage, BuiltinName, FileImage, Image, png
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


class TestThumbnails:
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
