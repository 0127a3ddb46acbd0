"""What a picture file may be: its format by content, its depth, its pages, its size."""

import io
import os
import socket
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from pydantic import ValidationError

from lip_ray.data import decoding, fingerprint
from lip_ray.data.image_sets import ArraySet, FolderSet
from lip_ray.data.images import ArrayImage, FileImage

GHOSTLY = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n{} loop\n%%EOF\n"
"""A PostScript program that never ends."""


def ramp(height: int = 6, width: int = 8) -> np.ndarray[Any, Any]:
    """(H, W, 3) uint8, all different."""
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


def file(path: Path, data: bytes) -> FileImage:
    path.write_bytes(data)
    return FileImage(path=str(path))


def encoded(*pictures: np.ndarray[Any, Any], form: str, **options: Any) -> bytes:
    """A file of one or several pages."""
    first, *others = map(Pillow.fromarray, pictures)
    buffer = io.BytesIO()
    several = {"save_all": True, "append_images": others} if others else {}
    first.save(buffer, form, **several, **options)
    return buffer.getvalue()


def png_of(pixels: np.ndarray[Any, Any], *, colour: int) -> bytes:
    """A PNG of 16 bits a channel."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    height, width = pixels.shape[:2]
    header = width.to_bytes(4) + height.to_bytes(4) + bytes((16, colour, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def tiff_of(pixels: np.ndarray[Any, Any]) -> bytes:
    """A TIFF of any type of numbers, uncompressed, little-endian, with one strip."""
    height, width, channels = np.atleast_3d(pixels).shape
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    body = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    bits = [pixels.dtype.itemsize * 8] * channels
    begins = 8 + len(body)
    more = b"".join(value.to_bytes(2, "little") for value in [*bits, *[kind] * channels])

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        parts = ((tag, 2), (kind, 2), (count, 4), (value, 4))
        return b"".join(number.to_bytes(size, "little") for number, size in parts)

    def shorts(tag: int, values: list[int], at: int) -> bytes:
        return entry(tag, 3, len(values), values[0] if len(values) == 1 else at)

    entries = [
        entry(256, 4, 1, width),
        entry(257, 4, 1, height),
        shorts(258, bits, begins),
        entry(259, 3, 1, 1),
        entry(262, 3, 1, 2 if channels == 3 else 1),
        entry(273, 4, 1, 8),
        entry(277, 3, 1, channels),
        entry(278, 4, 1, height),
        entry(279, 4, 1, len(body)),
        shorts(339, [kind] * channels, begins + 2 * channels),
    ]
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + bytes(4)
    return b"II*\0" + (begins + len(more)).to_bytes(4, "little") + body + more + directory


GREY16, COLOUR16 = ramp()[:, :, 0].astype(np.uint16) * 257, ramp().astype(np.uint16) * 257
DEEP: dict[str, bytes] = {
    "grey16.png": png_of(GREY16, colour=0),
    "colour16.png": png_of(COLOUR16, colour=2),
    "grey16.tif": tiff_of(GREY16),
    "colour16.tif": tiff_of(COLOUR16),
    "camera12.tif": tiff_of(ramp().astype(np.uint16) * 16),
    "colour32.tif": tiff_of(COLOUR16.astype(np.uint32)),
    "float.tif": tiff_of(ramp().astype(np.float32) / 255),
    "grey16.pgm": b"P5 8 6 65535\n" + GREY16.astype(">u2").tobytes(),
    "colour16.ppm": b"P6 8 6 65535\n" + COLOUR16.astype(">u2").tobytes(),
    "camera12.ppm": b"P6 8 6 4095\n" + (ramp().astype(">u2") * 16).tobytes(),
    "grey10.pgm": b"P5 8 6 1023\n" + GREY16.astype(">u2").tobytes(),
    "plain16.ppm": b"P3 8 6 65535\n" + b" ".join(b"%d" % v for v in COLOUR16.ravel()),
    "float.pfm": b"Pf 8 6 -1.0\n" + (ramp()[:, :, 0] / 255).astype("<f4").tobytes(),
}


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


def two_pages(first: bytes, second: bytes) -> bytes:
    """One TIFF of two that `tiff_of` made: the second moved behind the first."""
    shift = len(first)
    moved = bytearray(second)
    at = int.from_bytes(second[4:8], "little")
    for entry in range(at + 2, len(second) - 4, 12):
        tag, count = (int.from_bytes(second[entry + o : entry + o + 2], "little") for o in (0, 4))
        if tag == 273 or (tag in (258, 339) and count > 1):
            value = int.from_bytes(second[entry + 8 : entry + 12], "little") + shift
            moved[entry + 8 : entry + 12] = value.to_bytes(4, "little")
    return first[:-4] + (shift + at).to_bytes(4, "little") + bytes(moved)


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
