"""The processes of this process's own Ray, found and ended where Ray itself no longer does."""

import os
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ENDING_S, LOOK_S = 10.0, 0.05
"""How long processes that are killed may take to be gone, and how often one looks, in seconds."""

EMPTY_LOOKS = 4
"""How many looks in a row must find no process: one that just begins a program has no environment
to be known by for a moment, or for longer where the machine is busy."""


def end_processes(token: str, folder: Path) -> None:
    """End the processes of the Ray that has this token and writes its logs into this folder.

    Helpers of a raylet that was killed live on, and nothing ends them with this process. One that
    is killed may have begun another meanwhile, so it looks again until none is left.
    """
    folder = folder.resolve()  # as the kernel names files
    until = time.monotonic() + ENDING_S
    empty = 0
    while empty < EMPTY_LOOKS and time.monotonic() < until:
        processes = list(_processes(token, folder))
        empty = 0 if processes else empty + 1
        for process in processes:
            with suppress(OSError):  # it is gone
                os.kill(process, signal.SIGKILL)
        time.sleep(LOOK_S)


def _processes(token: str, folder: Path) -> Iterator[int]:
    own = f"\0RAY_AUTH_TOKEN={token}\0".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it is gone, or another user's
            if int(process.name) != os.getpid() and (
                own in b"\0" + (process / "environ").read_bytes() or writes(process, folder)
            ):
                yield int(process.name)


def writes(process: Path, folder: Path) -> bool:
    """Whether a process has a file below the folder open for writing, as all of Ray's soon have.

    Those that give themselves a title write it over their environment, and over the token in it.
    """
    return any(
        file.lstat().st_mode & stat.S_IWUSR and file.readlink().is_relative_to(folder)
        for file in (process / "fd").iterdir()
    )
