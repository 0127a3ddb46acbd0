"""Temporary folders that carry a mark and are locked by their owner, so that whoever comes next can
remove what a killed process has left, and nothing else."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

PREFIX = "lip-"
"""How the names of all such folders begin."""

LOCK = "lip-ray.lock"

MARK = "lip-ray's own temporary folder: {folder}\n"
"""The content of a folder's lock file. A folder without it, or moved, is never removed."""


def hold(lock: IO[bytes]) -> None:
    """Wait until no other process holds the lock of a file, and hold it until it is closed or this
    process ends, however it ends. Raises OSError where the folder takes no locks."""
    fcntl.flock(lock, fcntl.LOCK_EX)


@contextmanager
def private_folder(folder: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """A folder within another for this user's eyes only, removed afterwards.

    Those that killed processes have left there are removed first. Raises OSError where none can be
    made.
    """
    remove_abandoned(folder, prefix)
    with _removed_afterwards(Path(tempfile.mkdtemp(prefix=prefix, dir=folder))) as private:
        yield private


@contextmanager
def named_folder(private: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """Like `private_folder`, with a name that begins with the prefix and that nothing has.

    Raises FileExistsError where something has it.
    """
    remove_abandoned(private.parent, prefix)
    private.mkdir(mode=0o700)
    with _removed_afterwards(private):
        yield private


@contextmanager
def _removed_afterwards(private: Path) -> Iterator[Path]:
    try:
        with _locked(private):
            yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


def remove_abandoned(folder: Path, prefix: str = PREFIX) -> None:
    """Remove what killed processes have left in a folder, and nothing else."""
    for private in folder.glob(f"{prefix}*"):
        with suppress(OSError):  # it is in use, or gone by now
            if _is_own(private, stat.S_ISDIR):
                _remove_unlocked(private)


def _locked(private: Path) -> IO[bytes]:
    """The folder's lock file, which is held."""
    lock = (private / f"{LOCK}.new").open("wb")
    hold(lock)
    lock.write(_mark(private))
    lock.flush()
    (private / f"{LOCK}.new").rename(private / LOCK)  # it appears only once it is held
    return lock


def _mark(private: Path) -> bytes:
    return MARK.format(folder=private).encode()


def _remove_unlocked(private: Path) -> None:
    """Remove a folder whose lock file is ours and held by nobody. Raises OSError otherwise."""
    handle = os.open(private / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_own(private / LOCK, stat.S_ISREG) and lock.read() == _mark(private):
            shutil.rmtree(private, ignore_errors=True)  # follows no links


def _is_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind, no link, and belongs to this user."""
    found = path.lstat()
    return is_kind(found.st_mode) and found.st_uid == os.getuid()
