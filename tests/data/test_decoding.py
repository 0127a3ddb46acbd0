"""What a picture file may be: its format by content, its depth, its pages, its size."""

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from pictures import COLOUR16, DEEP, GREY16, encoded, png_of, ramp, tiff_of, two_pages
from PIL import Image as Pillow
from pydantic import ValidationError

from lip_ray.data import decoding, fingerprint
from lip_ray.data.image_sets import ArraySet, FolderSet
from lip_ray.data.images import ArrayImage, FileImage, is_deep

GHOSTLY = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n%%EOF\n"
"""A PostScript program that never ends."""


def file(path: Path, data: bytes) -> FileImage:
    path.write_bytes(data)
    return FileImage(path=str(path))


class TestDepth:
    @pytest.mark.parametrize("name", DEEP)
    def test_more_than_eight_bits_are_refused_whatever_the_format(self, tmp_path, name) -> None:
        image = file(tmp_path / name, DEEP[name])
        with pytest.raises(ValueError, match=r"(more than 8 bits|16-bit|another kind).*an \.npz"):
            image.load()

    def test_signed_bytes_are_no_grey_levels(self, tmp_path) -> None:
        image = file(tmp_path / "a.tif", tiff_of(ramp()[:, :, 0].astype(np.int8)))
        with pytest.raises(ValueError, match=r"a\.tif has numbers with a sign"):
            image.load()

    @pytest.mark.parametrize("pixels", [ramp(), ramp()[:, :, 0]], ids=["colour", "grey"])
    def test_eight_bits_are_read_exactly_from_every_format(self, tmp_path, pixels) -> None:
        head = b"P6" if pixels.ndim == 3 else b"P5"
        files = {form: encoded(pixels, form=form) for form in ("BMP", "PNG", "TIFF", "PPM")}
        files |= {"own TIFF": tiff_of(pixels), "raw": head + b" 8 6 255\n" + pixels.tobytes()}
        files["WEBP"] = encoded(ramp() * 0 + np.atleast_3d(pixels), form="WEBP", lossless=True)
        for form, data in files.items():
            found = file(tmp_path / f"a.{form}", data).load()
            assert torch.equal(
                found.mul(255).round(),
                torch.from_numpy(np.atleast_3d(pixels)).permute(2, 0, 1).expand_as(found),
            ), form

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    @pytest.mark.parametrize("white", [None, 1, 255, 4095, 65535])
    def test_arrays_keep_all_of_their_depth(self, tmp_path, dtype, white) -> None:
        deepest = white or {"f": 1, "u": 255}[np.dtype(dtype).kind]
        values = np.linspace(0, min(deepest, 255 if dtype is np.uint8 else deepest), 48)
        pixels = values.astype(dtype).reshape(1, 6, 8)
        np.savez(tmp_path / "a.npz", images=pixels)
        image = ArrayImage(path=str(tmp_path / "a.npz"), index=0, white=white)
        if dtype is np.uint16 and white is None:
            with pytest.raises(ValueError, match=r"white must say .*4095 .*its largest is 255"):
                image.load()
        else:
            expected = torch.from_numpy(pixels.astype(np.float64) / deepest)
            assert torch.allclose(image.load().double(), expected, atol=1e-7, rtol=0)

    @pytest.mark.parametrize(
        ("pixels", "white", "message"),
        [
            ([0.0, 1.5], None, "values from 0 to its white, 1, got 0 to 1.5"),
            ([-0.5, 1.0], None, "got -0.5 to 1"),
            ([0.0, float("nan")], None, "got nan to nan"),
            ([0.0, 200.0], 100, "its white, 100, got 0 to 200"),
        ],
    )
    def test_values_beyond_white_are_refused(self, tmp_path, pixels, white, message) -> None:
        np.savez(tmp_path / "a.npz", images=np.array(pixels, np.float32).reshape(1, 1, 2))
        path = str(tmp_path / "a.npz")
        for read in (ArrayImage(path=path, index=0, white=white), ArraySet(path=path, white=white)):
            with pytest.raises(ValueError, match=message):
                read.load()

    def test_a_set_of_deep_arrays_is_rounded(self, tmp_path) -> None:
        deep = ramp()[None].astype(np.uint16) * 16
        np.savez(tmp_path / "a.npz", images=deep)
        found = ArraySet(path=str(tmp_path / "a.npz"), white=255 * 16)
        assert found.shape == (3, 6, 8)
        assert np.array_equal(found.load()[0].permute(1, 2, 0).numpy(), ramp())

    def test_of_several_arrays_that_of_8_bits_is_meant_as_ever(self, tmp_path) -> None:
        np.savez(tmp_path / "a.npz", deep=np.zeros((1, 2, 2), np.float32), a=ramp()[None])
        assert ArrayImage(path=str(tmp_path / "a.npz"), index=0).array == "a"

    def test_white_is_in_the_id_only_where_it_is_given(self, tmp_path) -> None:
        np.savez(tmp_path / "a.npz", images=ramp()[None])
        plain = ArrayImage(path=str(tmp_path / "a.npz"), index=0)
        assert "white" not in plain.canonical_json()
        assert ArrayImage(path=plain.path, index=0, white=300).id != plain.id


class TestFormats:
    @pytest.mark.parametrize("ending", ["png", "jpg", "eps"])
    def test_no_program_is_started_for_what_is_called_a_picture(
        self, tmp_path, ending, monkeypatch
    ) -> None:
        for name in ("Popen", "run", "call", "check_call", "check_output"):
            monkeypatch.setattr(f"subprocess.{name}", None)
        image = file(tmp_path / f"photo.{ending}", GHOSTLY)
        with pytest.raises(ValueError, match=r"photo\..* none of BMP, GIF, JPEG, PNG, PPM, TIFF"):
            image.load()

    @pytest.mark.parametrize("form", ["ICO", "PCX", "SGI", "TGA", "PDF", "ICNS", "DDS"])
    def test_other_formats_are_refused_whatever_the_name(self, tmp_path, form) -> None:
        image = file(tmp_path / "photo.png", encoded(ramp(16, 16), form=form))
        with pytest.raises(ValueError, match=r"photo\.png is not an image that can be read"):
            image.load()

    def test_a_format_is_known_by_its_content(self, tmp_path) -> None:
        image = file(tmp_path / "photo.jpg", encoded(ramp(), form="PNG"))
        assert np.array_equal(image.load().mul(255).round().permute(1, 2, 0).numpy(), ramp())

    def test_pixels_with_a_wrong_checksum_are_refused(self, tmp_path) -> None:
        data = bytearray(encoded(ramp(64, 64), form="PNG", compress_level=0))
        data[data.index(b"IDAT") + 200] ^= 1
        with pytest.raises(ValueError, match=r"a\.png is not an image .*checksum is wrong"):
            file(tmp_path / "a.png", bytes(data)).load()

    @pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
    def test_more_pixels_than_are_read_are_refused_before_decoding(
        self, tmp_path, form, monkeypatch
    ) -> None:
        image = file(tmp_path / "vast", encoded(ramp(), form=form))
        monkeypatch.setattr(decoding, "MOST_PIXELS", 47)
        monkeypatch.setattr(Pillow.Image, "load", None)
        with pytest.raises(ValueError, match=r"6×8 pixels, more than the 47 that are read"):
            image.load()


class TestPages:
    PAGES = (ramp(), 255 - ramp(), ramp()[::-1])

    @pytest.mark.parametrize("form", ["TIFF", "PNG", "WEBP", "GIF", "MPO"])
    def test_several_are_refused_with_their_number(self, tmp_path, form) -> None:
        image = file(tmp_path / "scan", encoded(*self.PAGES, form=form))
        with pytest.raises(ValueError, match=r"scan has 3 pages .* by page, from 0 to 2"):
            image.load()
        with pytest.raises(ValueError, match=r"page must be from 0 to 2 in .*scan, got 3"):
            FileImage(path=image.path, page=3).load()

    @pytest.mark.parametrize(("form", "options"), [("TIFF", {}), ("WEBP", {"lossless": True})])
    def test_a_page_is_chosen(self, tmp_path, form, options) -> None:
        image = file(tmp_path / "scan", encoded(*self.PAGES, form=form, **options))
        for page, pixels in enumerate(self.PAGES):
            found = FileImage(path=image.path, page=page).load()
            assert np.array_equal(found.mul(255).round().permute(1, 2, 0).numpy(), pixels)

    def test_a_page_has_its_own_depth_and_orientation(self, tmp_path) -> None:
        image = file(tmp_path / "a.tif", two_pages(DEEP["colour16.tif"], tiff_of(ramp())))
        with pytest.raises(ValueError, match="more than 8 bits"):
            FileImage(path=image.path, page=0).load()
        found = FileImage(path=image.path, page=1).load()
        assert np.array_equal(found.mul(255).round().permute(1, 2, 0).numpy(), ramp())

    def test_pages_have_ids_and_labels_of_their_own(self, tmp_path) -> None:
        image = file(tmp_path / "scan.tif", encoded(*self.PAGES, form="TIFF"))
        pages = [FileImage(path=image.path, page=page) for page in range(3)]
        assert len({one.id for one in (image, *pages)}) == 4
        assert len({one.label for one in (image, *pages)}) == 4
        assert "page" not in image.canonical_json()
        assert image.label == f"scan-{image.sha256[:6]}"

    def test_the_only_page_may_be_named(self, tmp_path) -> None:
        image = file(tmp_path / "a.png", encoded(ramp(), form="PNG"))
        assert torch.equal(FileImage(path=image.path, page=0).load(), image.load())
        with pytest.raises(ValidationError, match="page"):
            FileImage(path=image.path, page=-1)

    def test_pictures_of_a_folder_have_one_each(self, tmp_path) -> None:
        file(tmp_path / "scan.tif", encoded(*self.PAGES, form="TIFF"))
        with pytest.raises(ValueError, match=r"scan\.tif has 3 pages"):
            FolderSet(path=str(tmp_path)).load()


def a_pipe(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def a_socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
    return str(path)


def a_loop(path: Path) -> str:
    path.symlink_to(path.with_name("back"))
    path.with_name("back").symlink_to(path)
    return str(path)


ODD_PATHS: dict[str, tuple[Callable[[Path], str], str]] = {
    "pipe": (a_pipe, "odd: it is a named pipe"),
    "socket": (a_socket, "odd: it is a socket"),
    "device": (lambda path: "/dev/zero", "/dev/zero: it is a device"),
    "folder": (lambda path: str(path.parent), "cannot read .*: Is a directory"),
    "link loop": (a_loop, "path '.*odd' leads nowhere: Symlink loop"),
    "no such user": (lambda path: "~nobody-of-that-name/a", "leads nowhere: Could not determine"),
    "address": (lambda path: "https://example.org/a.png", "download 'https://example.org/a.png'"),
    "bucket": (lambda path: "s3://photos/a.png", "download 's3://photos/a.png' first"),
    "pattern": (lambda path: f"{path}/*.png", r"\*\.png: No such file.*patterns stand for no"),
    "zero byte": (lambda path: "a\0b.png", r"path 'a\\x00b.png' can be no file's"),
    "long name": (lambda path: f"{path}{'a' * 300}", "cannot read .*: File name too long"),
    "under a file": (lambda path: f"{__file__}/a.png", "cannot read .*: Not a directory"),
}


@pytest.mark.parametrize("oddity", ODD_PATHS)
@pytest.mark.parametrize("kind", [FileImage, ArrayImage, ArraySet])
def test_odd_paths_get_one_message(tmp_path: Path, oddity: str, kind: Any) -> None:
    make, message = ODD_PATHS[oddity]
    fields = {"path": make(tmp_path / "odd")} | ({"index": 0} if kind is ArrayImage else {})
    with pytest.raises(ValidationError, match=message) as raised:
        kind.model_validate(fields)
    assert raised.value.error_count() == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 10)
    with pytest.raises(ValidationError, match="it has 11 bytes, more than the 10 that are read"):
        file(tmp_path / "a.png", b"0123456789a")


class TestWhite:
    """Files of more than 8 bits, read whole where white is known."""

    @pytest.mark.parametrize(
        ("name", "expected", "white"),
        [
            ("grey16.png", GREY16, 65535),
            ("colour16.png", COLOUR16, 65535),
            ("grey16.tif", GREY16, 65535),
            ("colour16.tif", COLOUR16, 65535),
            ("camera12.tif", ramp().astype(np.uint16) * 16, 4095),
        ],
    )
    def test_every_bit_is_kept(self, tmp_path, name, expected, white) -> None:
        (tmp_path / name).write_bytes(DEEP[name])
        image = FileImage(path=str(tmp_path / name), white=white)
        planes = np.atleast_3d(expected).transpose(2, 0, 1).astype(np.float64) / white
        assert torch.equal(image.load(), torch.from_numpy(planes).float())
        assert is_deep(image)

    @pytest.mark.parametrize("options", [{"compression": "zlib"}, {"byteorder": ">"}], ids=str)
    def test_lower_bytes_of_other_tiffs_are_found(self, options) -> None:
        draws = np.random.default_rng(0)
        pixels = draws.integers(0, 65536, (9, 5, 3)).astype(np.uint16)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, photometric="rgb", **options)
        assert np.array_equal(decoding.decoded(buffer.getvalue(), "a.tif", deep=True), pixels)

    @pytest.mark.parametrize("name", ["colour32.tif", "float.tif", "grey16.pgm", "colour16.ppm"])
    def test_what_is_deeper_or_of_another_format_is_refused_all_the_same(
        self, tmp_path, name
    ) -> None:
        (tmp_path / name).write_bytes(DEEP[name])
        with pytest.raises(ValueError, match=r"PNG and TIFF of up to 16 bits|another kind"):
            FileImage(path=str(tmp_path / name), white=65535).load()

    def test_values_beyond_white_are_refused(self, tmp_path) -> None:
        (tmp_path / "a.png").write_bytes(DEEP["colour16.png"])
        with pytest.raises(ValueError, match=r"a\.png must have values from 0 to its white, 4095"):
            FileImage(path=str(tmp_path / "a.png"), white=4095).load()

    def test_eight_bits_have_their_own_white_too(self, tmp_path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(ramp() // 2, form="PNG"))
        image = FileImage(path=str(tmp_path / "a.png"), white=127)
        assert image.load().max() == pytest.approx((ramp() // 2).max() / 127)
        assert not is_deep(image)

    def test_white_is_part_of_the_id_and_its_absence_is_not(self, tmp_path) -> None:
        (tmp_path / "a.png").write_bytes(encoded(ramp(), form="PNG"))
        plain = FileImage(path=str(tmp_path / "a.png"))
        assert plain.id != FileImage(path=str(tmp_path / "a.png"), white=255).id
        assert "white" not in plain.model_dump()

    def test_opaque_alpha_is_dropped_and_transparency_refused(self) -> None:
        alpha = np.full((6, 8, 1), 65535, np.uint16)
        data = png_of(np.concatenate([COLOUR16, alpha], 2), colour=6)
        assert np.array_equal(decoding.decoded(data, "a.png", deep=True), COLOUR16)
        alpha[2, 3] = 65534
        data = png_of(np.concatenate([COLOUR16, alpha], 2), colour=6)
        with pytest.raises(ValueError, match=r"a\.png has transparent pixels"):
            decoding.decoded(data, "a.png", deep=True)
        found = decoding.decoded(data, "a.png", deep=True, transparent=True)
        assert np.array_equal(found, COLOUR16)


class TestOpacity:
    def test_a_picture_without_alpha_has_none(self) -> None:
        assert decoding.opacity(encoded(ramp(), form="PNG"), "a.png") is None

    @pytest.mark.parametrize("depth", [8, 16])
    def test_alpha_is_read_from_zero_to_one(self, depth) -> None:
        alpha = np.full((6, 8, 1), 255, np.uint8)
        alpha[1, 2] = 0
        colours = np.concatenate([ramp(), alpha], 2)
        deep = png_of(colours.astype(np.uint16) * 257, colour=6)
        data = encoded(colours, form="PNG") if depth == 8 else deep
        found = decoding.opacity(data, "a.png")
        assert found is not None
        assert np.array_equal(found, alpha[..., 0] / 255)
        assert decoding.bits(data, "a.png") == depth
