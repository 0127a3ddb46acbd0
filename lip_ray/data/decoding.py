"""Pictures out of the bytes of a file: formats by content, one page, 8 bits, upright, opaque."""

import io
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is read, as Pillow names it. No other format is tried, as some start other programs."""
MOST_PIXELS = 178_956_970
"""The largest picture that is decoded: Pillow refuses to open larger ones."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH_AT = 24
PNG_CHUNK_FRAME = 12
"""Bytes of a chunk beside its data: length, name, checksum."""
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
TIFF_BITS, TIFF_SAMPLES = 258, 339
"""Tags of a TIFF: bits of each channel, and what kind of numbers they are."""
UNSIGNED = 1
GREY_MODES = ("1", "L", "LA", "La")
DEEPEST = 255
"""The largest value of 8 bits."""
HOW_TO_KEEP = (
    "only 8-bit images are read, convert it first; its whole depth comes in as a uint16 or float32 "
    "array in an .npz"
)


def decoded(data: bytes, path: str, *, page: int | None = None) -> np.ndarray[Any, Any]:
    """(H, W) or (H, W, 3) uint8 pixels, upright, of the only page or the chosen one.

    Raises ValueError, which names the file by `path`, for other formats than FORMATS, more pixels
    than MOST_PIXELS, more than 8 bits a channel, several pages without a choice, and transparency.
    """
    _refuse_deep_or_damaged_png(data, path)
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as opened:
            _choose_page(opened, path, page)
            _refuse_vast(opened, path)
            _refuse_deep(opened, path)
            picture = ImageOps.exif_transpose(opened)
    except _PictureError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(_unidentified(data, path)) from error
    except Exception as error:  # damaged pictures may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is not an image that can be read ({reason})") from error
    if picture.mode.startswith(("I", "F")):
        raise _too_deep(path, f"mode {picture.mode}")
    return np.asarray(_opaque(picture, path))


class _PictureError(ValueError):
    """A sound picture that is not one that is meant."""


def _unidentified(data: bytes, path: str) -> str:
    """Why Pillow knows no such picture."""
    if data.startswith(TIFF_SIGNATURES):
        return f"{path} is a TIFF of another kind than 8-bit grey or colour; {HOW_TO_KEEP}"
    names = ", ".join(FORMATS)
    return f"{path} is not an image that can be read: none of {names}, or a rare kind of one"


def _choose_page(opened: ImageFile, path: str, page: int | None) -> None:
    """Turn to the chosen page. Raises _PictureError where there is none, or several unchosen."""
    count = getattr(opened, "n_frames", 1)
    if page is None and count > 1:
        raise _PictureError(
            f"{path} has {count} pages or frames, and an image is one: choose it by page, from 0 "
            f"to {count - 1}"
        )
    if page is not None and page >= count:
        raise _PictureError(f"page must be from 0 to {count - 1} in {path}, got {page}")
    if count > 1 and page is not None:
        opened.seek(page)


def _refuse_vast(opened: ImageFile, path: str) -> None:
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise _PictureError(
            f"{path} has {height:,}×{width:,} pixels, more than the {MOST_PIXELS:,} that are read"
        )


def _refuse_deep(opened: ImageFile, path: str) -> None:
    """Raise _PictureError where Pillow would silently drop bits or a sign."""
    if opened.format == "TIFF":
        bits = max(_numbers(opened, TIFF_BITS, default=1))
        if bits > 8:
            raise _too_deep(path, f"{bits}")
        if set(_numbers(opened, TIFF_SAMPLES, default=UNSIGNED)) != {UNSIGNED}:
            raise _PictureError(f"{path} has numbers with a sign or a fraction; {HOW_TO_KEEP}")
    for tile in opened.tile:
        if tile.codec_name in ("ppm", "ppm_plain"):
            deepest = tile.args[-1] if isinstance(tile.args, tuple) else DEEPEST
            if isinstance(deepest, int) and deepest > DEEPEST:
                raise _too_deep(path, f"values up to {deepest:,}")


def _numbers(opened: ImageFile, tag: int, *, default: int) -> tuple[int, ...]:
    found = opened.tag_v2.get(tag, (default,))  # type: ignore[attr-defined]
    return tuple(found) if isinstance(found, tuple) else (int(found),)


def _too_deep(path: str, found: str) -> _PictureError:
    return _PictureError(f"{path} has more than 8 bits a channel ({found}); {HOW_TO_KEEP}")


def _opaque(picture: PillowImage.Image, path: str) -> PillowImage.Image:
    """The picture in grey or RGB. Raises ValueError where some of it is transparent."""
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise ValueError(f"{path} has transparent pixels; flatten its alpha channel first")
    try:
        return picture.convert("L" if picture.mode in GREY_MODES else "RGB")
    except ValueError as error:
        raise ValueError(f"{path} has colours of the mode {picture.mode}: make it RGB") from error


def _refuse_deep_or_damaged_png(data: bytes, path: str) -> None:
    """Raise ValueError for a PNG of 16 bits, or whose pixels have a wrong checksum.

    Pillow takes the upper bytes of the one, and does not look at the other.
    """
    if not data.startswith(PNG_SIGNATURE):
        return
    if data[PNG_BIT_DEPTH_AT : PNG_BIT_DEPTH_AT + 1] == b"\x10":
        raise ValueError(f"{path} is a 16-bit PNG; {HOW_TO_KEEP}")
    for name, body, checksum in _png_chunks(data):
        if name == b"IDAT" and zlib.crc32(name + body) != checksum:
            raise ValueError(f"{path} is not an image that can be read (a checksum is wrong)")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Name, data and checksum of each whole chunk."""
    at = len(PNG_SIGNATURE)
    while at + PNG_CHUNK_FRAME <= len(data):
        body = at + 8
        end = body + int.from_bytes(data[at : at + 4])
        if end + 4 > len(data):
            return
        yield data[at + 4 : body], data[body:end], int.from_bytes(data[end : end + 4])
        at = end + 4
