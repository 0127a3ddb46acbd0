"""The image catalogue: built-in photos and files; crop, size, channels, checksum, PNG."""

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
import skimage.data
import torch
from PIL import Image as PillowImage
from PIL import ImageOps
from pydantic import BeforeValidator, Field, model_validator
from skimage.transform import resize
from torch import Tensor

from lip_ray.spec import RunOnly, Spec

BuiltinName = Literal[
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass",
    "gravel", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket",
    "text",
]  # fmt: skip
"""The photos inside scikit-image's wheel: none of them is downloaded."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_BIT_DEPTH_AT = 24
GREY_MODES = ("1", "L", "LA", "La")
THUMBNAIL_SIDE = 256
UNREADABLE = (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError)
"""All that Pillow raises for bytes that are no picture."""

Range = Annotated[tuple[int, int], Field(strict=False)]


class Framing(Spec):
    """How a picture is cropped, resized and coloured before anything else happens to it.

    Cropping comes first. Resizing is bilinear after Gaussian anti-aliasing.
    """

    rows: Range | None = None
    """First row and the one after the last, in pixels of the original."""
    columns: Range | None = None
    """First column and the one after the last, in pixels of the original."""
    size: Range | None = None
    """Height and width in pixels after cropping."""
    channels: Literal[1, 3] | None = None
    """1 turns colour into luminance, 3 repeats grey; by default as in the picture."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name, span in (("rows", self.rows), ("columns", self.columns)):
            if span is not None and not 0 <= span[0] < span[1]:
                raise ValueError(f"{name} must be [first, end] with 0 <= first < end, got {span}")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size must be [height, width] of at least 1, got {self.size}")
        return self


class BuiltinImage(Framing):
    """A photo from scikit-image's own package."""

    kind: Literal["builtin"] = "builtin"
    name: BuiltinName
    measured: ClassVar[Literal[False]] = False
    """Photos are what is looked for, never a measurement of it."""

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return self.name

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU. Raises ValueError when the crop is outside."""
        return _framed(self)

    def _pixels(self) -> np.ndarray[Any, Any]:
        return cast("np.ndarray[Any, Any]", getattr(skimage.data, self.name)())


class FileImage(Framing):
    """A picture in a file, known by its name and content: moving the file changes no id."""

    kind: Literal["file"] = "file"
    path: Annotated[str, RunOnly()]
    """Relative to the working directory; stored absolute."""
    name: str
    """In tables and figures; by default the file's own name without its ending."""
    sha256: str
    """Of the file's bytes; filled in when the path is read first, checked ever after."""
    measured: bool = False
    """Whether the picture is the measurement itself, so that nobody knows the clean image."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        if not isinstance(fields.get("path"), str):
            return {"name": "", "sha256": ""} | fields  # only the path is at fault
        path = Path(fields["path"]).expanduser().resolve()
        found = {"path": str(path), "name": path.stem}
        if "sha256" not in fields:
            found["sha256"] = hashlib.sha256(_read(path)).hexdigest()
        return found | fields | {"path": str(path)}

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return f"{self.name}-{self.sha256[:6]}"

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU.

        Raises ValueError when the file is missing, changed, or no 8-bit opaque picture, or when
        the crop is outside of it.
        """
        return _framed(self)

    def _pixels(self) -> np.ndarray[Any, Any]:
        data = _read(Path(self.path))
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(
                f"{self.path} has changed since its sha256 {self.sha256[:12]}… was noted"
            )
        return _decode(data, self.path)


def _expand_name(value: object) -> object:
    if not isinstance(value, str):
        return value
    if "." in value or "/" in value:
        return {"kind": "file", "path": value}
    return {"kind": "builtin", "name": value}


Image = Annotated[
    BuiltinImage | FileImage,
    Field(discriminator="kind"),
    BeforeValidator(_expand_name, json_schema_input_type=str | BuiltinImage | FileImage),
]
"""`astronaut` stands for the built-in photo, `photos/cat.png` for the file."""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read image {path}: {error.strerror}") from error


def _decode(data: bytes, path: str) -> np.ndarray[Any, Any]:
    """(H, W) or (H, W, 3) uint8 pixels, upright."""
    if data.startswith(PNG_SIGNATURE) and data[PNG_BIT_DEPTH_AT : PNG_BIT_DEPTH_AT + 1] == b"\x10":
        raise ValueError(f"{path} is a 16-bit PNG; only 8-bit images are read, convert it first")
    try:
        with PillowImage.open(io.BytesIO(data)) as opened:
            picture = ImageOps.exif_transpose(opened)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from error
    if picture.mode.startswith(("I", "F")):
        raise ValueError(f"{path} has more than 8 bits a channel (mode {picture.mode})")
    if picture.has_transparency_data:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            raise ValueError(f"{path} has transparent pixels; flatten its alpha channel first")
    return np.asarray(picture.convert("L" if picture.mode in GREY_MODES else "RGB"))


@cache
def _framed(image: BuiltinImage | FileImage) -> Tensor:
    pixels = image._pixels()
    height, width = pixels.shape[:2]
    rows, columns = image.rows or (0, height), image.columns or (0, width)
    if rows[1] > height or columns[1] > width:
        raise ValueError(
            f"crop rows {rows}, columns {columns} is outside of {image.label} ({height}×{width})"
        )
    cropped = pixels[slice(*rows), slice(*columns)].astype(np.float64) / 255
    if image.size is not None:
        cropped = resize(cropped, image.size, order=1, anti_aliasing=True)
    planes = torch.from_numpy(np.atleast_3d(cropped)).permute(2, 0, 1).contiguous()
    return _recoloured(planes, image.channels).float().clamp(0, 1)


def _recoloured(planes: Tensor, channels: int | None) -> Tensor:
    if channels is None or channels == len(planes):
        return planes
    if channels == 3:
        return planes.expand(3, -1, -1)
    luminance = torch.tensor([0.299, 0.587, 0.114], dtype=planes.dtype)  # ITU-R BT.601
    return torch.einsum("c,chw->hw", luminance, planes)[None]


def png(image: Tensor) -> bytes:
    """A PNG of a (1, C, H, W) or (C, H, W) image in [0, 1], at most 256 pixels a side."""
    planes = image.detach().reshape(-1, *image.shape[-2:]).clamp(0, 1).mul(255).round()
    pixels = planes.to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    picture = PillowImage.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
