"""Whether CUDA MPS lets processes of a machine compute on its GPUs side by side.

Nothing here imports torch, so that a worker answers seconds earlier; nothing starts a daemon.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")

DAEMON = "nvidia-cuda-mps-control"
START = f"{DAEMON} -d"

PROCESS_NAME = DAEMON[:15]
"""The name of its process: Linux keeps 15 bytes."""

PIPES = "CUDA_MPS_PIPE_DIRECTORY"
"""The variable that names the folder of its pipes where that is not /tmp/nvidia-mps."""

MOST_NAMED = 3


def lacks_mps(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this machine has an NVIDIA GPU, and its MPS does not run as far as can be seen.

    `root` has the folders `dev` and `proc`.
    """
    return any(root.glob("dev/nvidia[0-9]*")) and not mps_runs(root, environment)


def mps_runs(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> bool:
    r"""Whether the control daemon of MPS runs on this machine.

    A process in a container may not see the daemon of its host. Then the pipe in the folder that
    the environment names counts; in the folder that is meant without it, an ended daemon may have
    left its pipe.
    """
    named = environment.get(PIPES)
    return _daemon_seen(root) or (named is not None and (Path(named) / "control").exists())


def _daemon_seen(root: Path) -> bool:
    for process in root.glob("proc/[0-9]*/comm"):
        with suppress(OSError):  # it has ended
            if process.read_text(encoding="utf-8", errors="replace").strip() == PROCESS_NAME:
                return True
    return False


def turns_remark(hosts: Sequence[str]) -> str:
    """What to do on machines whose trials share a GPU without MPS."""
    more = f" and {len(hosts) - MOST_NAMED} more" if len(hosts) > MOST_NAMED else ""
    return (
        f"CUDA MPS does not run on {', '.join(hosts[:MOST_NAMED])}{more}: trials that share a GPU "
        f"compute in turns there. Start it with {START} before the run"
    )
