"""Sets of images that generators learn from: digits, arrays and folders, all of one shape."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, final

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from lip_ray.data import fingerprint, npz
from lip_ray.data.decoding import decoded
from lip_ray.data.folders import picture_files
from lip_ray.data.images import Framing, Range, digits, framed, rounded
from lip_ray.spec import Family, RunOnly, is_unset

WHAT = "image"

Pixels = np.ndarray[Any, Any]
"""Pixels of one picture, (H, W) or (H, W, C): uint8, or floating-point numbers in [0, 1]."""


class AbstractImageSet(Framing, ABC):
    """Pictures to learn from: each is cropped, resized and coloured alike, rounded to 8 bits."""

    kind: str

    @property
    @abstractmethod
    def label(self) -> str:
        """The name in tables and figures."""

    @property
    def title(self) -> str:
        """The label without the part that only tells versions of the content apart."""
        return str(getattr(self, "name", self.kind))

    @property
    @abstractmethod
    def count(self) -> int:
        """How many pictures there are. Raises ValueError when they cannot be read."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of a picture, found without reading all of them. Raises ValueError as `load`
        does."""
        return _shape(self)

    def load(self) -> Tensor:
        """(N, C, H, W) uint8 on the CPU, 255 is white, read once and not to be changed.

        Raises ValueError when the pictures cannot be read, have changed since their SHA-256 was
        noted or are not all of one shape, or when the crop is outside of one.
        """
        return _loaded(self)

    def holds(self, picture: Tensor) -> bool:
        """Whether an image (C, H, W) in [0, 1], rounded to 8 bits, is in the set, bit for bit."""
        return tuple(picture.shape) == self.shape and _print(rounded(picture)) in _prints(self)

    @abstractmethod
    def _example(self) -> tuple[str, Pixels]:
        """A name, and pixels of the size and channels of the first picture, before framing."""

    @abstractmethod
    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        """The name and the pixels of each picture, before framing."""


@final
class DigitSet(AbstractImageSet):
    """Handwritten digits of 8×8 grey pixels: the training set of scikit-learn's, without classes.

    They are those of the dataset `digits`, so its test set is never learned from. The grey levels,
    0 to 16, are scaled to 0 to 255 and rounded, as in images of the kind `digit`.
    """

    kind: Literal["digits"] = "digits"

    @property
    def label(self) -> str:
        return self.kind

    @property
    def count(self) -> int:
        return len(digits("training"))

    def _example(self) -> tuple[str, Pixels]:
        return next(self._pictures())

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        return ((f"digit {index}", pixels) for index, pixels in enumerate(digits("training")))


@final
class ArraySet(AbstractImageSet):
    """An array of pictures in an .npz file, known by the content of that file.

    The array is of shape (N, H, W) or (N, H, W, 3): uint8, 255 is white; float32 in [0, 1]; or
    uint16 with a `white` of its own. Like all pictures to learn from, they are rounded to 8 bits.
    """

    kind: Literal["npz"] = "npz"
    path: Annotated[str, RunOnly()]
    """The path of the .npz file, relative to the working directory; it is stored as absolute."""
    array: str
    """The name of the array in the file; by default the only array of pictures there is."""
    items: Range | None = None
    """The first picture to learn from and the one after the last; by default the whole array."""
    name: str
    """The name in tables and figures; by default the file's own name without its ending."""
    sha256: str
    """The SHA-256 of the file's bytes. It is filled in at the first reading and checked at each
    later one."""
    white: npz.White | None = Field(default=None, exclude_if=is_unset)
    """The value that is white; by default 255 of uint8 and 1 of float32. Arrays of uint16 need it:
    4095 for what a camera of 12 bits saved."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(
            fields,
            array=npz.only_array,
            name=fingerprint.stem,
            sha256=fingerprint.sha256_of(npz.WHAT),
        )

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.items is not None and not 0 <= self.items[0] < self.items[1]:
            raise ValueError(f"items must be [first, end] with 0 <= first < end, got {self.items}")
        return self

    @property
    def label(self) -> str:
        items = "" if self.items is None else "-{}-{}".format(*self.items)
        return f"{self.name}-{self.array}{items}-{self.sha256[:6]}"

    @property
    def count(self) -> int:
        first, end = self._items()
        return end - first

    def _items(self) -> tuple[int, int]:
        there = npz.shape(self.path, self.array)[0]
        first, end = self.items or (0, there)
        if end > there:
            raise ValueError(
                f"items must end at {there} or before in array {self.array!r} of {self.path}, "
                f"got {self.items}"
            )
        return first, end

    def _example(self) -> tuple[str, Pixels]:
        return self.label, np.zeros(npz.shape(self.path, self.array)[1:], dtype=np.uint8)

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        pictures = npz.read(self.path, self.sha256, self.array)
        return (
            (self.label, npz.scaled(pictures[index], self.white, f"{self.label}, picture {index}"))
            for index in range(*self._items())
        )


@final
class FolderSet(AbstractImageSet):
    r"""The pictures in a folder and its subfolders, in the order of their relative paths.

    Pictures are the files that end in .bmp .jpeg .jpg .png .tif .tiff .webp, decoded as images of
    the kind `file` are; hidden files are ignored. The set is known by names and content, so moving
    the folder changes no id.
    """

    kind: Literal["folder"] = "folder"
    path: Annotated[str, RunOnly()]
    """The path of the folder, relative to the working directory; it is stored as absolute."""
    name: str
    """The name in tables and figures; by default the folder's own name."""
    sha256: str
    """The SHA-256 of one line per picture, `<its SHA-256>  <its relative path>`, as sha256sum
    prints them. It is filled in at the first reading and checked at each later one."""

    @model_validator(mode="before")
    @classmethod
    def _fingerprinted(cls, fields: object) -> object:
        return fingerprint.filled(fields, name=attrgetter("name"), sha256=folder_sha256)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.sha256[:6]}"

    @property
    def count(self) -> int:
        """How many pictures there are. Raises ValueError when there are none."""
        return len(picture_files(Path(self.path)))

    def _example(self) -> tuple[str, Pixels]:
        return _decoded(Path(self.path), picture_files(Path(self.path))[0])

    def _pictures(self) -> Iterator[tuple[str, Pixels]]:
        folder = Path(self.path)
        fingerprint.refuse_changed(self.path, self.sha256, folder_sha256(folder))
        return (_decoded(folder, relative) for relative in picture_files(folder))


ImageSet = Annotated[DigitSet | ArraySet | FolderSet, Family()]
"""`digits` stands for the set with all of its defaults."""


def folder_sha256(folder: Path) -> str:
    """The SHA-256 of names and contents of a folder's pictures. Raises ValueError without any."""
    found = hashlib.sha256()
    for name in picture_files(folder):
        found.update(f"{fingerprint.sha256_of(WHAT)(folder / name)}  {name}\n".encode())
    return found.hexdigest()


def _decoded(folder: Path, relative: str) -> tuple[str, Pixels]:
    path = folder / relative
    return str(path), decoded(fingerprint.contents(path, WHAT), str(path))


@lru_cache(maxsize=16)
def _shape(images: AbstractImageSet) -> tuple[int, int, int]:
    name, pixels = images._example()
    channels, height, width = framed(pixels, images, name).shape
    return channels, height, width


@lru_cache(maxsize=4)
def _loaded(images: AbstractImageSet) -> Tensor:
    """All pictures as one array. They are framed one by one, so that memory holds one more at
    most."""
    found = torch.empty((images.count, *images.shape), dtype=torch.uint8)
    for index, (name, pixels) in enumerate(images._pictures()):
        picture = rounded(framed(pixels, images, name))
        if picture.shape != found.shape[1:]:
            raise ValueError(
                f"all pictures must have one shape, but {name} is {_written(picture.shape)} and "
                f"the first is {_written(found.shape[1:])}; size and channels make them alike"
            )
        found[index] = picture
    return found


def _written(shape: torch.Size) -> str:
    return "×".join(map(str, shape))


@lru_cache(maxsize=4)
def _prints(images: AbstractImageSet) -> frozenset[bytes]:
    return frozenset(map(_print, images.load()))


def _print(picture: Tensor) -> bytes:
    """A short fingerprint by which pictures of one shape are told apart in little memory."""
    return hashlib.blake2b(picture.cpu().contiguous().numpy().tobytes(), digest_size=16).digest()
