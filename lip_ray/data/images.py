"""The image catalogue: photos, files, arrays, digits; crop, size, channels, checksum, PNG."""

import io
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, cast

import numpy as np
import skimage.data
import torch
from PIL import Image as PillowImage
from pydantic import Field, WithJsonSchema, model_validator
from torch import Tensor

from lip_ray.data import fingerprint, npz
from lip_ray.data.decoding import decoded
from lip_ray.data.labelled import Digits
from lip_ray.spec import Family, RunOnly, Spec, is_unset

BuiltinName = Literal[
    "astronaut", "brick", "camera", "cell", "chelsea", "clock", "coffee", "coins", "grass",
    "gravel", "hubble_deep_field", "immunohistochemistry", "moon", "page", "retina", "rocket",
    "text",
]  # fmt: skip
"""The photos inside scikit-image's wheel: none of them is downloaded."""

THUMBNAIL_SIDE = 256
WHAT = "image"
MOST_PIXELS = 2**24
"""The largest picture that `size` may make: 4096×4096, say."""

Range = Annotated[tuple[int, int], Field(strict=False)]
Split = Literal["test", "training"]
_FROM_0 = {"type": "integer", "minimum": 0, "exclusiveMaximum": 2**31}
Index = Annotated[
    int,
    Field(ge=0, lt=2**31),
    WithJsonSchema({"anyOf": [_FROM_0, {"type": "array", "items": _FROM_0, "minItems": 1}]}),
]
"""The number of a picture, from 0. In the schema, a list of numbers stands for several images."""


class Picture(Protocol):
    """The image of an inverse problem: one of the catalogue, or one that a generator draws."""

    @property
    def measured(self) -> bool:
        """Whether the picture is itself the measurement, so that no clean image is known."""

    @property
    def measurement(self) -> "Measurement | None":
        """The measurement that came with the picture; None where a task makes one."""

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU. Raises ValueError when it cannot be read."""

    def __hash__(self) -> int:
        """A hash, as results about a picture are cached."""


class Framing(Spec):
    """How a picture is cropped, resized and coloured before anything else happens to it.

    Cropping by rows and columns comes first, then resizing, which is bilinear after Gaussian
    anti-aliasing, then cropping to a multiple.
    """

    rows: Range | None = None
    """The first row and the one after the last, in pixels of the original."""
    columns: Range | None = None
    """The first column and the one after the last, in pixels of the original."""
    size: Range | None = None
    """Height and width in pixels after cropping."""
    channels: Literal[1, 3] | None = None
    """1 turns colour into luminance, 3 repeats grey; by default as in the picture."""
    crop_to: Annotated[int, Field(ge=2, le=4096)] | None = Field(default=None, exclude_if=is_unset)
    """A number that height and width become multiples of, by cutting off as little as possible
    at all sides, after resizing. Published scripts crop to multiples of 32 or 64."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        for name, span in (("rows", self.rows), ("columns", self.columns)):
            if span is not None and not 0 <= span[0] < span[1]:
                raise ValueError(f"{name} must be [first, end] with 0 <= first < end, got {span}")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size must be [height, width] of at least 1, got {self.size}")
        if self.size is not None and self.size[0] * self.size[1] > MOST_PIXELS:
            raise ValueError(
                f"size must be [height, width] of {MOST_PIXELS:,} pixels at most, got {self.size}"
            )
        return self


class BuiltinImage(Framing):
    """A photo from scikit-image's own package."""

    kind: Literal["builtin"] = "builtin"
    name: BuiltinName
    """The name of the photo."""
    measured: ClassVar[Literal[False]] = False
    """Always false: the photos are clean images, never measurements."""
    measurement: ClassVar[None] = None
    """Always None, as tasks make the measurement."""

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
    """A picture in a file, known by its name and content, so that moving the file changes no id."""

    kind: Literal["file"] = "file"
    path: Annotated[str, RunOnly()]
    """The path of the file, relative to the working directory; it is stored as absolute."""
    name: str
    """The name in tables and figures; by default the file's own name without its ending."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""
    measured: bool = False
    """Whether the picture is itself the measurement, so that no clean image is known."""
    page: Annotated[int, Field(ge=0, lt=2**31)] | None = Field(default=None, exclude_if=is_unset)
    """Which page or frame of the file it is, from 0; by default the only one."""
    white: npz.White | None = Field(default=None, exclude_if=is_unset)
    """The value that is white; by default 255 of 8 bits. PNG and TIFF files of more than 8 bits a
    channel need it: 65535, or 4095 for what a camera of 12 bits saved."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(fields, name=fingerprint.stem, sha256=fingerprint.sha256_of(WHAT))

    @property
    def measurement(self) -> "FileImage | None":
        """The picture itself where it is measured."""
        return self if self.measured else None

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        page = "" if self.page is None else f"-page-{self.page}"
        return f"{self.name}{page}-{self.sha256[:6]}"

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU.

        Raises ValueError when the file is missing, changed, or no opaque picture, when it has more
        than 8 bits a channel and no white is given, when it has several pages and none is chosen,
        or when the crop is outside of it.
        """
        return _framed(self)

    def _pixels(self) -> np.ndarray[Any, Any]:
        data = fingerprint.read(self.path, self.sha256, WHAT)
        pixels = decoded(data, self.path, page=self.page, deep=self.white is not None)
        return npz.scaled(pixels, self.white, self.path)

    @property
    def is_deep(self) -> bool:
        """Whether the picture has more than 8 bits a channel."""
        return self.white is not None and self.white > 255


class ArrayImage(Framing):
    """One picture of an array in an .npz file, known by the content of that file.

    The array is of shape (N, H, W) or (N, H, W, 3): uint8, 255 is white; float32 in [0, 1]; or
    uint16 with a `white` of its own. Whatever its depth, all of it is kept.
    """

    kind: Literal["npz"] = "npz"
    path: Annotated[str, RunOnly()]
    """The path of the .npz file, relative to the working directory; it is stored as absolute."""
    array: str
    """The name of the array in the file; by default the only array of pictures there is."""
    index: Index
    """The number of the picture in the array, from 0; a list stands for several images."""
    name: str
    """The name in tables and figures; by default the file's own name without its ending."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""
    white: npz.White | None = Field(default=None, exclude_if=is_unset)
    """The value that is white; by default 255 of uint8 and 1 of float32. Arrays of uint16 need it:
    4095 for what a camera of 12 bits saved."""
    measured: ClassVar[Literal[False]] = False
    """Always false: an array holds clean images, never measurements."""
    measurement: ClassVar[None] = None
    """Always None, as tasks make the measurement."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(
            fields,
            array=npz.only_array,
            name=fingerprint.stem,
            sha256=fingerprint.sha256_of(npz.WHAT),
        )

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return f"{self.name}-{self.array}-{self.index}-{self.sha256[:6]}"

    def load(self) -> Tensor:
        """(C, H, W) float32 in [0, 1] on the CPU.

        Raises ValueError when the file is missing, changed or no archive, when it has no such array
        of pictures or the array no such picture, or when the crop is outside of it.
        """
        return _framed(self)

    def _pixels(self) -> np.ndarray[Any, Any]:
        pictures = _array(self.path, self.sha256, self.array)
        _refuse_beyond(self.index, len(pictures), f"array {self.array!r} of {self.path}")
        return self._scaled(pictures[self.index])

    def _scaled(self, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return npz.scaled(picture, self.white, self.label)

    @property
    def is_deep(self) -> bool:
        """Whether the array has more than 8 bits a value. Raises ValueError where the file cannot
        be read."""
        return bool(_array(self.path, self.sha256, self.array).dtype != np.uint8)


class ArrayMeasurement(ArrayImage):
    """A measurement in an array of an .npz file: its values may be below black and above white."""

    def _scaled(self, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return npz.scaled(picture, self.white, self.label, bounded=False)


class DigitImage(Framing):
    r"""One of scikit-learn's handwritten digits, from the same sets as in the dataset `digits`.

    Its grey levels, 0 to 16, are scaled to 0 to 255 and rounded, as in the image set of digits.
    """

    kind: Literal["digit"] = "digit"
    index: Index
    """The number of the digit in its set, from 0; a list stands for several images."""
    split: Split = "test"
    """The set: `test`, which generators of digits never learn from, or `training`."""
    measured: ClassVar[Literal[False]] = False
    """Always false: digits are clean images, never measurements."""
    measurement: ClassVar[None] = None
    """Always None, as tasks make the measurement."""

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return f"digit-{self.index}" if self.split == "test" else f"digit-training-{self.index}"

    def load(self) -> Tensor:
        """(1, H, W) or (3, H, W) float32 in [0, 1] on the CPU, of 8×8 pixels without a `size`.

        Raises ValueError when the set has no such digit, or when the crop is outside of it.
        """
        return _framed(self)

    def _pixels(self) -> np.ndarray[Any, Any]:
        pictures = digits(self.split)
        _refuse_beyond(self.index, len(pictures), f"the {self.split} set of digits")
        return cast("np.ndarray[Any, Any]", pictures[self.index])


def named(value: object) -> object:
    """The raw fields of the image that a bare name or path stands for, not yet checked."""
    if not isinstance(value, str):
        return value
    if "." in value or "/" in value:
        return {"kind": "file", "path": value}
    return {"kind": "builtin", "name": value}


Measurement = Annotated[FileImage | ArrayMeasurement, Family(short=named, offers=str)]
"""A measurement that was made elsewhere: a file, or an array, which need not be in [0, 1]."""

CleanImage = Annotated[
    BuiltinImage | FileImage | ArrayImage | DigitImage, Family(short=named, offers=str)
]


class Pair(Spec):
    r"""A clean image and a measurement of it that was made elsewhere, so that nothing is drawn.

    With it others' noise can be compared, be it of their random numbers or of a camera. Each of the
    two is framed by its own fields. The task says what kind of measurement it is: a noisy image as
    large as the clean one, or a smaller one for super-resolution.
    """

    kind: Literal["pair"] = "pair"
    clean: CleanImage
    """The image that restored ones are compared with."""
    measurement: Measurement
    """What is restored: the noisy, masked, blurred or small picture."""
    measured: ClassVar[Literal[False]] = False
    """Always false, as the clean image is known."""

    @model_validator(mode="after")
    def _known_clean(self) -> Self:
        if self.clean.measured:
            raise ValueError("clean must be a clean image: leave out its measured, got true")
        return self

    @property
    def label(self) -> str:
        """The name in tables and figures, and the key of all draws made for this image."""
        return f"{self.clean.label}-as-{self.measurement.label}"

    def load(self) -> Tensor:
        """The clean image, (C, H, W) float32 in [0, 1] on the CPU. Raises ValueError as its own
        `load` does."""
        return self.clean.load()


AnyImage = BuiltinImage | FileImage | ArrayImage | DigitImage | Pair

Image = Annotated[AnyImage, Family(short=named, offers=str)]
"""A photo, file, array, digit or pair; `astronaut` stands for the built-in photo, `photos/cat.png`
for the file."""


def is_deep(picture: Picture) -> bool:
    """Whether what is measured has more than 8 bits a channel, as far as its file says; for a
    picture without a measurement of its own, whether the picture itself has."""
    source = picture.measurement or picture
    return isinstance(source, FileImage | ArrayImage) and source.is_deep


def digits(split: Split) -> np.ndarray[Any, Any]:
    """scikit-learn's digits of a set, (N, 8, 8) uint8, scaled to 0 to 255 and rounded."""
    training, test = Digits().load()
    values = (test if split == "test" else training).values[:, 0]
    return rounded(values).numpy()


_array = lru_cache(maxsize=2)(npz.read)


def _refuse_beyond(index: int, count: int, where: str) -> None:
    if index >= count:
        raise ValueError(f"index must be from 0 to {count - 1} in {where}, got {index}")


@lru_cache(maxsize=64)
def _framed(image: BuiltinImage | FileImage | ArrayImage | DigitImage) -> Tensor:
    pixels = framed(image._pixels(), image, image.label)
    return pixels if isinstance(image, ArrayMeasurement) else pixels.clamp(0, 1)


def framed(pixels: np.ndarray[Any, Any], framing: Framing, label: str) -> Tensor:
    r"""A picture of (H, W) or (H, W, C) pixels, framed: (C, H, W) float32, white is 1.

    The pixels are uint8, or floating-point numbers of which 1 is white.
    Raises ValueError, which names the picture by its label, when the crop is outside of it or
    leaves nothing of it.
    """
    height, width = pixels.shape[:2]
    rows, columns = framing.rows or (0, height), framing.columns or (0, width)
    if rows[1] > height or columns[1] > width:
        raise ValueError(
            f"crop rows {rows}, columns {columns} is outside of {label} ({height}×{width})"
        )
    white = 255 if pixels.dtype == np.uint8 else 1
    cropped = pixels[slice(*rows), slice(*columns)].astype(np.float64) / white
    if framing.size is not None:
        from skimage.transform import resize  # it loads much of scipy, which few commands need

        cropped = resize(cropped, framing.size, order=1, anti_aliasing=True)
    if framing.crop_to is not None:
        cropped = _cropped_to(framing.crop_to, cropped, label)
    planes = torch.from_numpy(np.atleast_3d(cropped)).permute(2, 0, 1).contiguous()
    return _recoloured(planes, framing.channels).float()


def _cropped_to(multiple: int, pixels: np.ndarray[Any, Any], label: str) -> np.ndarray[Any, Any]:
    """The centre of a picture whose sides are the largest multiples; above and on the left goes
    the smaller half, as in the `crop_image` of the published scripts."""
    height, width = pixels.shape[:2]
    if min(height, width) < multiple:
        raise ValueError(f"crop_to {multiple} leaves nothing of {label} ({height}×{width})")
    top, left = height % multiple // 2, width % multiple // 2
    bottom, right = top + height - height % multiple, left + width - width % multiple
    return pixels[top:bottom, left:right]


def _recoloured(planes: Tensor, channels: int | None) -> Tensor:
    if channels is None or channels == len(planes):
        return planes
    if channels == 3:
        return planes.expand(3, -1, -1)
    luminance = torch.tensor([0.299, 0.587, 0.114], dtype=planes.dtype)  # ITU-R BT.601
    return torch.einsum("c,chw->hw", luminance, planes)[None]


def rounded(image: Tensor) -> Tensor:
    """An image in [0, 1] as uint8, 1 as 255; values outside are clipped."""
    return image.clamp(0, 1).mul(255).round().to(torch.uint8)


def png(image: Tensor) -> bytes:
    """A PNG of a (1, C, H, W) or (C, H, W) image in [0, 1], with sides of at most 256 pixels."""
    planes = rounded(image.detach().reshape(-1, *image.shape[-2:]))
    pixels = planes.cpu().permute(1, 2, 0).numpy()
    picture = PillowImage.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
