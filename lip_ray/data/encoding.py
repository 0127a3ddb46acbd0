"""Whole pictures as files: PNG and TIFF of 8 or 16 bits a channel, and NumPy's arrays."""

import io
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lip_ray.data.decoding import PNG_SIGNATURE

Bits = Literal[8, 16]
"""Bits a channel."""
Pixels = np.ndarray[Any, Any]

PNG_COLOURS = {1: 0, 3: 2}
"""PNG's numbers for grey and RGB, by the number of channels."""
PNG_UP = 2
"""PNG's filter that stores the difference of each byte to the one above."""

INFERNO = (
    (0, 0, 4), (27, 12, 65), (74, 12, 107), (120, 28, 109), (165, 44, 96), (207, 68, 70),
    (237, 105, 37), (251, 155, 6), (247, 209, 61), (252, 255, 164),
)  # fmt: skip
"""The colours of matplotlib's perceptually uniform scale `inferno`, in equal steps from black over
red to pale yellow."""


def pixels(image: Tensor, bits: Bits) -> Pixels:
    """(H, W) or (H, W, 3), uint8 or uint16, of an image (C, H, W) or (1, C, H, W) in [0, 1].

    White is the largest value; values outside are clipped.
    """
    values = _channels_last(image).astype(np.float64).clip(0, 1) * (2**bits - 1)
    rounded: Pixels = values.round().astype(np.uint8 if bits == 8 else np.uint16)
    return rounded


def png(image: Tensor, bits: Bits) -> bytes:
    """A PNG of an image (C, H, W) or (1, C, H, W) in [0, 1], at full size."""
    return png_of(pixels(image, bits))


def png_of(picture: Pixels) -> bytes:
    r"""A PNG of (H, W) or (H, W, 3) pixels, uint8 or uint16.

    It is written here, as Pillow writes no colours of 16 bits.
    """
    height, width = picture.shape[:2]
    depth, colour = 8 * picture.itemsize, PNG_COLOURS[picture[0, 0].size]
    header = width.to_bytes(4) + height.to_bytes(4) + bytes((depth, colour, 0, 0, 0))
    big_endian = np.ascontiguousarray(picture, picture.dtype.newbyteorder(">"))
    rows = big_endian.view(np.uint8).reshape(height, -1)
    filtered = np.full((height, rows.shape[1] + 1), PNG_UP, np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(_chunk(name, body) for name, body in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)


def _tiff(image: Tensor, bits: Bits) -> bytes:
    """A TIFF, compressed without loss."""
    from tifffile import imwrite  # scikit-image has it; few commands need it

    picture, buffer = pixels(image, bits), io.BytesIO()
    imwrite(
        buffer,
        picture,
        photometric="rgb" if picture.ndim == 3 else "minisblack",
        compression="zlib",
    )
    return buffer.getvalue()


def _npy(image: Tensor, bits: Bits) -> bytes:
    """An array of float32, (H, W) or (H, W, 3), of which 1 is white."""
    del bits  # it has all of them
    buffer = io.BytesIO()
    np.save(buffer, _channels_last(image).astype(np.float32))
    return buffer.getvalue()


def _channels_last(image: Tensor) -> Pixels:
    """(H, W) or (H, W, 3) of an image (C, H, W) or (1, C, H, W)."""
    planes = image.detach().cpu().reshape(-1, *image.shape[-2:]).numpy()
    return planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)


ENCODERS: dict[str, Callable[[Tensor, Bits], bytes]] = {
    ".png": png,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".npy": _npy,
}
"""What makes a file of an image (C, H, W) or (1, C, H, W) in [0, 1], by the ending of its name."""


def in_colours(values: Tensor, most: float) -> Tensor:
    """Numbers (H, W) as colours (3, H, W) of `INFERNO`: 0 is black, `most` and above are pale
    yellow."""
    scale = np.asarray(INFERNO) / 255
    at = values.detach().cpu().double().div(most).clamp(0, 1).mul(len(scale) - 1).numpy()
    planes = [np.interp(at, range(len(scale)), channel) for channel in scale.T]
    return torch.from_numpy(np.stack(planes))
