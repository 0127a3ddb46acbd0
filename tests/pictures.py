"""Picture files of every depth and format, some of which Pillow itself does not write."""

import io
import zlib
from typing import Any

import numpy as np
from PIL import Image as Pillow


def ramp(height: int = 6, width: int = 8) -> np.ndarray[Any, Any]:
    """(H, W, 3) uint8, all different."""
    return np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)


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
