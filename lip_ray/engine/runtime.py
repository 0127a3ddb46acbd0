"""Ray on one machine: started inside this process, on loopback only, gone without a trace."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import torch

OBJECT_STORE_BYTES = 100_000_000
"""Nothing but specs and short reports passes through it."""


LONGEST_TEMPORARY_FOLDER = 24
"""In characters: Linux allows a socket's name 107, and Ray's own part of it takes 82."""


@contextmanager
def local_ray() -> Iterator[Path]:
    """A Ray of this process's own on the cores it may use; yields a folder for Tune's state.

    The folder and all that Ray writes lie in a private temporary folder, removed afterwards:
    by itself Ray would open its files to everyone on the machine.
    """
    private = Path(tempfile.mkdtemp(prefix="lip-", dir=_short_folder()))
    try:
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
