"""Pictures in NumPy's .npz archives: listing the arrays, and reading one of them."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lip_ray.data import fingerprint

WHAT = "array file"
SUFFIX = ".npy"
UNREADABLE = (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)
"""All errors raised for bytes that are no archive of arrays."""


def only_array(path: Path) -> str:
    """The name of the only array of pictures. Raises ValueError when there are none or several."""
    shapes = headers(path)
    names = [name for name, (shape, dtype) in shapes.items() if _are_pictures(shape, dtype)]
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(f"array must say which of {path}: one of {', '.join(names)}")
    raise ValueError(
        f"{path} holds no uint8 array of pictures, (N, H, W) or (N, H, W, 3); it holds "
        f"{_listed(shapes)}"
    )


def shape(path: str, array: str) -> tuple[int, ...]:
    r"""The shape (N, H, W) or (N, H, W, C) of an array, of which only the header is read.

    Raises ValueError when there is no such array or it does not hold pictures of 8 bits.
    """
    shapes = headers(Path(path))
    if array not in shapes:
        raise ValueError(f"array {array!r} is not in {path}; it holds {_listed(shapes)}")
    if not _are_pictures(*shapes[array]):
        raise ValueError(
            f"array {array!r} of {path} must be uint8 of shape (N, H, W) or (N, H, W, 3), got "
            f"{_listed({array: shapes[array]})}"
        )
    return shapes[array][0]


def read(path: str, sha256: str, array: str) -> np.ndarray[Any, Any]:
    r"""One array of pictures, (N, H, W) or (N, H, W, C) uint8.

    Raises ValueError when the file is missing, has changed or is no archive, and as `shape` does.
    """
    fingerprint.check(path, sha256, WHAT)
    shape(path, array)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[array])
    except UNREADABLE as error:
        raise ValueError(f"array {array!r} of {path} cannot be read ({error})") from error


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape and type of every array of an archive. Raises ValueError when the file is no
    archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name.removesuffix(SUFFIX): _header(archive, name) for name in archive.namelist()
            }
    except OSError as error:
        raise ValueError(f"cannot read {WHAT} {path}: {error.strerror}") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} is not an .npz archive of arrays ({error})") from error


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(name) as member:
        first = np.lib.format.read_magic(member) == (1, 0)
        reader = (
            np.lib.format.read_array_header_1_0 if first else (np.lib.format.read_array_header_2_0)
        )
        found, _, dtype = reader(member)
    return found, dtype


def _are_pictures(found: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    layout = len(found) == 3 or (len(found) == 4 and found[3] in (1, 3))
    return dtype == np.uint8 and layout and min(found) > 0


def _listed(shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]]) -> str:
    return ", ".join(f"{name} {dtype} {found}" for name, (found, dtype) in shapes.items()) or "none"
