"""Files that are found by their path and identified by the SHA-256 of their bytes."""

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""The age in nanoseconds of a file's last change from which on its SHA-256 is remembered: a younger
file may change again without a later modification time."""
MOST_BYTES = 2**32
"""The largest file that is read as a whole."""
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""How the addresses of other machines' files begin."""
PATTERN = re.compile(r"[*?\[]")
"""What patterns of file names are made with."""
SPECIAL: dict[int, str] = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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
    path = absolute(fields["path"])
    missing = {name: find(path) for name, find in found.items() if name not in fields}
    return missing | fields | {"path": str(path)}


def absolute(path: str) -> Path:
    """The absolute path, links followed. Raises ValueError for what can be no path of a file."""
    if ADDRESS.match(path):
        raise ValueError(f"path must be of a file on this machine: download {path!r} first")
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:  # an unknown user's ~, or links in a circle
        raise ValueError(f"path {path!r} leads nowhere: {error}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"path {path!r} can be no file's: {error}") from error


def stem(path: Path) -> str:
    """The name of a file without its ending."""
    return path.stem


def regular(path: Path) -> os.stat_result:
    """The state of a file that can be read from beginning to end.

    Raises OSError for folders, pipes and devices, which may never end, and for files that are
    larger than any that is meant.
    """
    state = path.stat()
    kind = stat.S_IFMT(state.st_mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"it is {SPECIAL.get(kind, 'no file')}", str(path))
    if state.st_size > MOST_BYTES:
        size = f"it has {state.st_size:,} bytes, more than the {MOST_BYTES:,} that are read"
        raise OSError(errno.EFBIG, size, str(path))
    return state


def sha256_of(what: str) -> Callable[[Path], str]:
    r"""A function that gives the SHA-256 of a file's bytes and remembers it while the file is
    unchanged.

    It raises ValueError, which calls the file a `what`, when the file cannot be read.
    """

    def found(path: Path) -> str:
        try:
            state = regular(path)
            if time.time_ns() - state.st_mtime_ns < SETTLED_NS:
                return _sha256(path)
            return _remembered(path, state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError as error:
            raise unreadable(what, path, error) from error

    return found


def contents(path: Path, what: str) -> bytes:
    """All bytes of a file. Raises ValueError, which calls the file a `what`, when it cannot be
    read."""
    try:
        regular(path)
        return path.read_bytes()
    except OSError as error:
        raise unreadable(what, path, error) from error


def unreadable(what: str, path: Path, error: OSError) -> ValueError:
    """Why a file cannot be read."""
    hint = ""
    if error.errno == errno.ENOENT and PATTERN.search(str(path)):
        hint = "; patterns stand for no files here: name each"
    if error.errno == errno.EISDIR and what == "image":
        hint = f"; {{kind: folder, path: {path}}} makes a trial of each of its pictures"
    return ValueError(f"cannot read {what} {path}: {error.strerror}{hint}")


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
