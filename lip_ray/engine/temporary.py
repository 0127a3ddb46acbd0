"""The folder that Ray's own files lie in while a run lasts, within the machine's temporary folder.

Ray needs sockets there, whose names Linux limits. A temporary folder that is not fit for them is
refused by name: no other is taken in its place.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lip_ray import scratch
from lip_ray.engine.resources import LaunchError

VARIABLES = ("TMPDIR", "TEMP", "TMP")
"""Where the folder's name is looked for, the first that is set; those of Python's `tempfile`."""

DEFAULT = "/tmp"

LONGEST = 24
"""The longest name of a temporary folder in bytes.

Linux allows 107 for a socket's, and Ray's part of it takes 82.
"""

ROOM_BYTES = 16_000_000
"""What has to be free there: Ray's logs of a short run take 0.2 MB, those of a long one more."""

SHARED_MEMORY = Path("/dev/shm")
"""Where Ray keeps objects, unless they do not fit: then they lie in the temporary folder too."""


@contextmanager
def private_folder(*, object_store_bytes: int = 0, sockets: bool = True) -> Iterator[Path]:
    """A temporary folder for this user's eyes only, removed afterwards.

    By itself Ray would open its files to everyone on the machine. Raises LaunchError where the
    temporary folder does not do.
    """
    folder = usable_folder(object_store_bytes=object_store_bytes, sockets=sockets)
    with scratch.private_folder(folder) as private:
        yield private


def usable_folder(*, object_store_bytes: int = 0, sockets: bool = True) -> Path:
    """The temporary folder of this machine, with room for what Ray writes.

    `object_store_bytes` are needed there too where shared memory does not have them; without
    `sockets` its name may have any length. Raises LaunchError with what to set.
    """
    variable = next((name for name in VARIABLES if os.environ.get(name)), "")
    folder = Path(os.environ.get(variable) or DEFAULT).absolute()
    told = f"{variable}={folder}" if variable else f"the temporary folder {folder}"
    length = len(os.fsencode(folder))
    if sockets and length > LONGEST:
        raise LaunchError(
            f"{told}: its name has {length} bytes, and the names of Ray's sockets leave it "
            f"{LONGEST}: set TMPDIR to a folder with a shorter name, such as {DEFAULT}"
        )
    needed = ROOM_BYTES + (0 if _shared_memory_has(object_store_bytes) else object_store_bytes)
    try:
        _write(folder, needed)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LaunchError(
                f"{told}: it has no room for {needed / 1e6:.0f} MB, which Ray needs there "
                f"({error.strerror}): free some, or set TMPDIR to another folder"
            ) from error
        raise LaunchError(
            f"{told}: it cannot be written to ({error.strerror}): set TMPDIR to a folder that can"
        ) from error
    return folder


def _write(folder: Path, size: int) -> None:
    """Take so many bytes there for a moment, which finds quotas too."""
    with tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _shared_memory_has(size: int) -> bool:
    try:
        return shutil.disk_usage(SHARED_MEMORY).free >= size
    except OSError:
        return False
