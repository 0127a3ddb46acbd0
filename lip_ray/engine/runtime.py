"""Ray on one machine: started inside this process, on loopback only, gone without a trace."""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import ray
import torch

OBJECT_STORE_BYTES = 100_000_000
"""Nothing but specs and short reports passes through it."""


PREFIX = "lip-"
LOCK = "lock"

LONGEST_TEMPORARY_FOLDER = 24
"""In characters: Linux allows a socket's name 107, and Ray's own part of it takes 82."""


@contextmanager
def local_ray() -> Iterator[Path]:
    """A Ray of this process's own on the cores it may use; yields a folder for Tune's state.

    The folder and all that Ray writes lie in a private temporary folder, removed afterwards:
    by itself Ray would open its files to everyone on the machine.
    """
    _remove_abandoned_folders()
    private = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_short_folder()))
    lock = _locked(private)
    try:
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told at the end
        ray.init(
            address="local",
            num_cpus=available_cpus(),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(private / "ray"),
        )
        yield private / "tune"
    finally:
        ray.shutdown()
        shutil.rmtree(private, ignore_errors=True)
        lock.close()


def _locked(private: Path) -> IO[bytes]:
    """The folder's lock file, held until it is closed or this process ends, however it ends."""
    lock = (private / f"{LOCK}.new").open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (private / f"{LOCK}.new").rename(private / LOCK)  # it appears only once it is held
    return lock


def _remove_abandoned_folders() -> None:
    """Remove what runs that were killed have left in the temporary folder."""
    for private in Path(_short_folder()).glob(f"{PREFIX}*"):
        try:
            with (private / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(private, ignore_errors=True)
        except OSError:  # it is in use, or another user's
            continue


def _short_folder() -> str:
    """The temporary folder, or /tmp where its name leaves no room for the names of sockets."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= LONGEST_TEMPORARY_FOLDER else "/tmp"


def available_cpus() -> int:
    """The cores this process may run on, which a container or `taskset` can make fewer."""
    return len(os.sched_getaffinity(0))


def available_gpus() -> int:
    """The GPUs this process may use."""
    return torch.cuda.device_count()


def answers() -> bool:
    """Whether a task sent to the running Ray comes back."""
    return bool(ray.get(ray.remote(lambda: True).remote()))
