"""Pictures out of the bytes of a file: formats by content, one page, upright, opaque; of 8 bits or,
where white is known, of up to 16."""

import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
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
LOW_BYTES = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""For the order of bytes in Pillow's names of raw 16-bit values, the one that takes the other byte:
of colours Pillow keeps the upper byte of each value."""
OPAQUE = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}
HOW_TO_KEEP = (
    "only 8-bit images are read without white, the value that is white: 65535, or 4095 for what a "
    "camera of 12 bits saved (PNG and TIFF of up to 16 bits); any depth comes in as a uint16 or "
    "float32 array in an .npz"
)


def decoded(
    data: bytes,
    path: str,
    *,
    page: int | None = None,
    deep: bool = False,
    transparent: bool = False,
) -> np.ndarray[Any, Any]:
    """(H, W) or (H, W, 3) uint8 pixels, upright, of the only page or the chosen one.

    With `deep`, those of a file of more than 8 bits a channel are uint16. With `transparent`,
    transparent pixels have the colours that the file gives them.

    Raises ValueError, which names the file by `path`, for other formats than FORMATS, more pixels
    than MOST_PIXELS, more bits than are asked for, several pages without a choice, and transparency
    that is not asked for.
    """
    _refuse_damaged_png(data, path)
    if _is_deep_png(data) and not deep:
        raise _PictureError(f"{path} is a 16-bit PNG; {HOW_TO_KEEP}")
    with _opened(data, path, page) as opened:
        if deep and _is_deep(opened, data):
            pixels = _deep_pixels(opened, data, path, page)
        else:
            _refuse_deep(opened, path)
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith(("I", "F")):
                raise _too_deep(path, f"mode {picture.mode}")
            pixels = np.asarray(_with_alpha(picture, path))
    return _opaque(pixels, path, transparent=transparent)


def bits(data: bytes, path: str, *, page: int | None = None) -> int:
    """How many bits a channel of a picture has, as far as they are read: 8, or 16 where it has
    more than 8. Raises ValueError as `decoded` does for what is no picture."""
    with _opened(data, path, page) as opened:
        return 16 if _is_deep(opened, data) else 8


def opacity(data: bytes, path: str, *, page: int | None = None) -> np.ndarray[Any, Any] | None:
    """(H, W) in [0, 1], upright: how opaque each pixel is; None for a picture without
    transparency. Raises ValueError as `decoded` does for what is no picture."""
    _refuse_damaged_png(data, path)
    with _opened(data, path, page) as opened:
        if not opened.has_transparency_data:
            return None
        upright = ImageOps.exif_transpose(opened)
        return np.asarray(upright.convert("RGBA").getchannel("A")) / 255


@contextmanager
def _opened(data: bytes, path: str, page: int | None) -> Iterator[ImageFile]:
    """A picture on its page. What goes wrong with it meanwhile is a ValueError with its name."""
    try:
        with PillowImage.open(io.BytesIO(data), formats=FORMATS) as opened:
            _choose_page(opened, path, page)
            _refuse_vast(opened, path)
            yield opened
    except _PictureError:
        raise
    except UnidentifiedImageError as error:
        raise ValueError(_unidentified(data, path)) from error
    except Exception as error:  # damaged pictures may raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} is not an image that can be read ({reason})") from error


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


def _is_deep(opened: ImageFile, data: bytes) -> bool:
    """Whether the picture has 9 to 16 bits a channel, in a format of which all of them are read."""
    return _is_deep_png(data) or (
        opened.format == "TIFF"
        and 8 < max(_numbers(opened, TIFF_BITS, default=1)) <= 16
        and set(_numbers(opened, TIFF_SAMPLES, default=UNSIGNED)) == {UNSIGNED}
    )


def _is_deep_png(data: bytes) -> bool:
    return (
        data.startswith(PNG_SIGNATURE) and data[PNG_BIT_DEPTH_AT : PNG_BIT_DEPTH_AT + 1] == b"\x10"
    )


def _raw_mode(tile: Any) -> Any:
    """Pillow's name of how the values of a part of the file lie in it."""
    return tile.args[0] if isinstance(tile.args, tuple) else tile.args


def _deep_pixels(
    opened: ImageFile, data: bytes, path: str, page: int | None
) -> np.ndarray[Any, Any]:
    """(H, W) or (H, W, 3 or 4) uint16, upright. Colours are decoded twice: the upper byte of each
    value, and the lower one."""
    if opened.mode.startswith("I;16"):
        if opened.has_transparency_data:
            raise _PictureError(f"{path} has transparent pixels; flatten its alpha channel first")
        return np.asarray(ImageOps.exif_transpose(opened)).astype(np.uint16)
    if opened.mode not in ("RGB", "RGBA"):
        raise _too_deep(path, f"mode {opened.mode}")
    upper = np.asarray(ImageOps.exif_transpose(opened)).astype(np.uint16)
    with _opened(data, path, page) as again:
        again.tile = [_of_lower_bytes(tile, path) for tile in again.tile]
        lower = np.asarray(ImageOps.exif_transpose(again))
    return np.asarray(upper << 8 | lower)


def _of_lower_bytes(tile: Any, path: str) -> Any:
    """The same part of a file, but for the byte that is taken of each value."""
    colours, separator, order = str(_raw_mode(tile)).partition(";16")
    if not separator or order not in LOW_BYTES:
        raise _too_deep(path, f"values of the kind {_raw_mode(tile)}")
    mode = f"{colours};16{LOW_BYTES[order]}"
    more = tile.args[1:] if isinstance(tile.args, tuple) else ()
    return tile._replace(args=(mode, *more))


def _numbers(opened: ImageFile, tag: int, *, default: int) -> tuple[int, ...]:
    found = opened.tag_v2.get(tag, (default,))  # type: ignore[attr-defined]
    return tuple(found) if isinstance(found, tuple) else (int(found),)


def _too_deep(path: str, found: str) -> _PictureError:
    return _PictureError(f"{path} has more than 8 bits a channel ({found}); {HOW_TO_KEEP}")


def _with_alpha(picture: PillowImage.Image, path: str) -> PillowImage.Image:
    """The picture in grey, in RGB or, where it has transparency, in RGBA."""
    if picture.has_transparency_data:
        return picture.convert("RGBA" if picture.mode not in GREY_MODES else "LA")
    try:
        return picture.convert("L" if picture.mode in GREY_MODES else "RGB")
    except ValueError as error:
        raise ValueError(f"{path} has colours of the mode {picture.mode}: make it RGB") from error


def _opaque(pixels: np.ndarray[Any, Any], path: str, *, transparent: bool) -> np.ndarray[Any, Any]:
    """Pixels without their alpha channel. Raises ValueError where some are transparent, unless
    that is allowed."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels
    colours, alpha = pixels[..., :-1], pixels[..., -1]
    if not transparent and alpha.min() < OPAQUE[pixels.dtype]:
        raise _PictureError(f"{path} has transparent pixels; flatten its alpha channel first")
    return colours.squeeze(2) if colours.shape[2] == 1 else colours


def _refuse_damaged_png(data: bytes, path: str) -> None:
    """Raise ValueError for a PNG whose pixels have a wrong checksum, which Pillow does not look
    at."""
    if not data.startswith(PNG_SIGNATURE):
        return
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
