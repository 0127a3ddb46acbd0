"""Ray on one machine: started inside this process, on loopback only, gone without a trace."""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Ray reads these when it is imported or started, its workers inherit them.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # makes the node's address, and all ports, loopback
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # in memory: without it Ray writes a readable file
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer one prints a box even when asked to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

import ray

OBJECT_STORE_BYTES = 100_000_000
"""Nothing but specs and short reports passes through it."""


@contextmanager
def local_ray() -> Iterator[Path]:
    """A Ray of this process's own on the cores it may use; yields a folder for Tune's state.

    The folder and all that Ray writes lie in a private temporary folder, removed afterwards.
    """
    private = Path(tempfile.mkdtemp(prefix="lip-"))  # Ray opens its own folder to everyone
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


def available_cpus() -> int:
    """The cores this process may run on, which a container or `taskset` can make fewer."""
    return len(os.sched_getaffinity(0))


def gpus() -> float:
    """The GPUs that the running Ray has."""
    return float(ray.cluster_resources().get("GPU", 0))
