"""Files that are found by their path and identified by the SHA-256 of their bytes."""

import hashlib
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""The age in nanoseconds of a file's last change from which on its SHA-256 is remembered: a younger
file may change again without a later modification time."""


def filled(fields: object, **found: Callable[[Path], object]) -> object:
    r"""The raw fields of a spec that is a file: `path` absolute, and those of `found` filled in.

    Each function of `found` is called with the path, and only where its field is not given: a
    stored spec can be read back without its file. It may raise ValueError. Where the path itself is
    missing or no text, the other fields become "", so that the error is about the path alone.
    """
    if not isinstance(fields, dict):
        return fields
    if not isinstance(fields.get("path"), str):
        return dict.fromkeys(found, "") | fields
    path = Path(fields["path"]).expanduser().resolve()
    missing = {name: find(path) for name, find in found.items() if name not in fields}
    return missing | fields | {"path": str(path)}


def stem(path: Path) -> str:
    """The name of a file without its ending."""
    return path.stem


def sha256_of(what: str) -> Callable[[Path], str]:
    r"""A function that gives the SHA-256 of a file's bytes and remembers it while the file is
    unchanged.

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
    """All bytes of a file. Raises ValueError, which calls the file a `what`, when it cannot be
    read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {what} {path}: {error.strerror}") from error


def read(path: str, sha256: str, what: str) -> bytes:
    """All bytes of a file. Raises ValueError when it is missing or has another SHA-256."""
    data = contents(Path(path), what)
    refuse_changed(path, sha256, hashlib.sha256(data).hexdigest())
    return data


def check(path: str, sha256: str, what: str) -> None:
    """Raise ValueError when a file is missing or has another SHA-256, without keeping it in
    memory."""
    refuse_changed(path, sha256, sha256_of(what)(Path(path)))


def refuse_changed(path: str, noted: str, found: str) -> None:
    """Raise ValueError when the SHA-256 of a file is not the one that was noted before."""
    if found != noted:
        raise ValueError(f"{path} has changed since its sha256 {noted[:12]}… was noted")


def _sha256(path: Path, *_: int) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


_remembered = lru_cache(maxsize=2**16)(_sha256)
