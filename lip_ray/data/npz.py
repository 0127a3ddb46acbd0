"""Pictures in NumPy's .npz archives: listing the arrays, and reading one of them."""

import math
import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from lip_ray.data import fingerprint

WHAT = "array file"
SUFFIX = ".npy"
WHITES: dict[str, float | None] = {"uint8": 255, "uint16": None, "float32": 1}
"""The types of arrays of pictures, and the values that are white in them; None where only whoever
made the array knows."""
MOST_ARRAYS = 10_000
MOST_BYTES = 2**32
"""The largest array, unpacked."""
LONGEST_HEADER = 2**16

Header = tuple[tuple[int, ...], np.dtype[Any]]
"""Shape and type of an array."""
White = Annotated[float, Field(gt=0)]


def only_array(path: Path) -> str:
    """The name of the only array of pictures, of 8 bits where there is one of them.

    Raises ValueError when there are none or several.
    """
    shapes = headers(path)
    pictures = [name for name, header in shapes.items() if _are_pictures(*header)]
    names = [name for name in pictures if shapes[name][1] == np.uint8] or pictures
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(f"array must say which of {path}: one of {', '.join(names)}")
    raise ValueError(
        f"{path} holds no {_listed_types()} array of pictures, (N, H, W) or (N, H, W, 3); it holds "
        f"{_listed(shapes)}"
    )


def shape(path: str, array: str) -> tuple[int, ...]:
    r"""The shape (N, H, W) or (N, H, W, C) of an array, of which only the header is read.

    Raises ValueError when there is no such array or it does not hold pictures.
    """
    shapes = headers(Path(path))
    if array not in shapes:
        raise ValueError(f"array {array!r} is not in {path}; it holds {_listed(shapes)}")
    if not _are_pictures(*shapes[array]):
        raise ValueError(
            f"array {array!r} of {path} must be {_listed_types()} of shape (N, H, W) or "
            f"(N, H, W, 3), got {_listed({array: shapes[array]})}"
        )
    return shapes[array][0]


def read(path: str, sha256: str, array: str) -> np.ndarray[Any, Any]:
    r"""One array of pictures, (N, H, W) or (N, H, W, C) of uint8, uint16 or float32, as stored.

    Raises ValueError when the file is missing, has changed or is no archive, and as `shape` does.
    """
    fingerprint.check(path, sha256, WHAT)
    shape(path, array)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[array])
    except Exception as error:  # damaged archives may raise anything
        raise ValueError(f"array {array!r} of {path} cannot be read ({_said(error)})") from error


def scaled(
    picture: np.ndarray[Any, Any], white: float | None, where: str, *, bounded: bool = True
) -> np.ndarray[Any, Any]:
    r"""A picture as uint8 where it is that and no white is given; else as float64, white as 1.

    Raises ValueError, which names the picture by `where`, where white is not known, where a value
    is no number and, if it is `bounded`, where one is beyond white or negative.
    """
    if picture.dtype == np.uint8 and white is None:
        return picture
    white = WHITES[picture.dtype.newbyteorder("=").name] if white is None else white
    if white is None:
        raise ValueError(
            f"white must say which value of {where} is white, as {picture.dtype.name} does not: "
            f"65535, or 4095 for what a camera of 12 bits saved; its largest is {picture.max()}"
        )
    if not bounded and not np.isfinite(picture).all():
        raise ValueError(f"{where} must have finite values, got {picture.min():g}")
    if bounded and not (picture.min() >= 0 and picture.max() <= white):  # also where one is NaN
        raise ValueError(
            f"{where} must have values from 0 to its white, {white:g}, got {picture.min():g} to "
            f"{picture.max():g}"
        )
    return picture.astype(np.float64) / white


def headers(path: Path) -> dict[str, Header]:
    """Shape and type of every array of an archive.

    Raises ValueError when it is none, or when an array is larger than any that is read.
    """
    try:
        fingerprint.regular(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise ValueError(f"it has {len(members):,} arrays, more than {MOST_ARRAYS:,}")
            return {m.filename.removesuffix(SUFFIX): _header(archive, m) for m in members}
    except OSError as error:
        if error.strerror:
            raise fingerprint.unreadable(WHAT, path, error) from error
        raise _no_archive(path, error) from error
    except Exception as error:  # damaged archives may raise anything
        raise _no_archive(path, error) from error


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Header:
    """Read without the array, which must be as long as shape and type say."""
    with archive.open(member) as opened:
        version = np.lib.format.read_magic(opened)
        reader = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        found, _, dtype = reader(_Beginning(opened))
        begins = opened.tell()
    if not dtype.hasobject:
        _refuse_length(member, begins, math.prod(found) * dtype.itemsize)
    return found, dtype


def _refuse_length(member: zipfile.ZipInfo, begins: int, length: int) -> None:
    if length > MOST_BYTES:
        raise ValueError(
            f"{member.filename} has {length:,} bytes, more than the {MOST_BYTES:,} that are read"
        )
    if begins + length != member.file_size:
        raise ValueError(
            f"{member.filename} is {member.file_size:,} bytes long, its header says "
            f"{begins + length:,}"
        )


class _Beginning:
    """A file of which no more is read at once than a header may be long."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    def read(self, size: int = -1, /) -> bytes:
        """That many bytes. Raises ValueError where they are too many."""
        if not 0 <= size <= LONGEST_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        found: bytes = self._opened.read(size)
        return found


def _no_archive(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is not an .npz archive of arrays ({_said(error)})")


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _are_pictures(found: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    layout = len(found) == 3 or (len(found) == 4 and found[3] in (1, 3))
    return dtype.newbyteorder("=").name in WHITES and layout and min(found) > 0


def _listed_types() -> str:
    *first, last = WHITES
    return f"{', '.join(first)} or {last}"


def _listed(shapes: dict[str, Header]) -> str:
    return ", ".join(f"{name} {dtype} {found}" for name, (found, dtype) in shapes.items()) or "none"
