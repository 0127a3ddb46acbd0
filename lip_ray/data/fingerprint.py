"""Files known by their content: found by a path, told apart by the SHA-256 of their bytes."""

import hashlib
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""A file changed later than this ago may change again with no later time in its folder."""


def filled(fields: object, **found: Callable[[Path], object]) -> object:
    """The raw fields of a spec that is a file: `path` absolute, and those of `found` filled in.

    Each of `found` is called with the path, and only where its field is not given: a stored spec
    reads back without its file. It may raise ValueError. Where the path itself is missing or no
    text, the others are "", so that an error speaks of the path alone.
    """
    if not isinstance(fields, dict):
        return fields
    if not isinstance(fields.get("path"), str):
        return dict.fromkeys(found, "") | fields
    path = Path(fields["path"]).expanduser().resolve()
    missing = {name: find(path) for name, find in found.items() if name not in fields}
    return missing | fields | {"path": str(path)}


def stem(path: Path) -> str:
    """A file's own name without its ending."""
    return path.stem


def sha256_of(what: str) -> Callable[[Path], str]:
    """A function that gives the SHA-256 of a file's bytes, read once while the file stays as it is.

    It raises ValueError, which calls the file a `what`, when the file cannot be read.
    """

    def found(path: Path) -> str:
        try:
            state = path.stat()
            if time.time_ns() - state.st_mtime_ns < SETTLED_NS:
                return _sha256(path)
            return _remembered(path, state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError as error:
            raise ValueError(f"cannot read {what} {path}: {error.strerror}") from error

    return found


def contents(path: Path, what: str) -> bytes:
    """All bytes of a file. Raises ValueError, which calls it a `what`, when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {what} {path}: {error.strerror}") from error


def read(path: str, sha256: str, what: str) -> bytes:
    """All bytes of a file. Raises ValueError when it is missing or not that of the SHA-256."""
    data = contents(Path(path), what)
    refuse_changed(path, sha256, hashlib.sha256(data).hexdigest())
    return data


def check(path: str, sha256: str, what: str) -> None:
    """Raise ValueError when a file is missing or not that of the SHA-256, without holding it."""
    refuse_changed(path, sha256, sha256_of(what)(Path(path)))


def refuse_changed(path: str, noted: str, found: str) -> None:
    """Raise ValueError when the SHA-256 that is found is not the one that was noted."""
    if found != noted:
        raise ValueError(f"{path} has changed since its sha256 {noted[:12]}… was noted")


def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


_remembered = lru_cache(maxsize=2**16)(_sha256)
