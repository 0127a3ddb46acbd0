"""What the process of a worker is given before its first trial."""

import atexit
import os
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from lip_ray.allocator import keep_freed_memory
from lip_ray.scratch import private_folder
from lip_ray.trials import AbstractTrial

SCRATCH = "LIP_RAY_SCRATCH"
"""The variable that names the temporary folder of the run to the workers of its own Ray."""

COMPILE_CACHE = "TORCHINDUCTOR_CACHE_DIR"
TRITON_CACHE = "TRITON_CACHE_DIR"


def set_up(trial: AbstractTrial) -> None:
    """Set up this process for a trial. Whatever the user has set in the environment stays."""
    keep_freed_memory()
    fit = trial.image_fit
    if fit is not None and fit.compiled and COMPILE_CACHE not in os.environ:
        _own_compile_cache()


@cache
def _own_compile_cache() -> None:
    r"""Give this process a folder of its own for what torch.compile writes.

    A compiler that is killed leaves an empty library behind, and every process with the same folder
    fails to load it. The folder is removed with this process; where that is killed, with the
    temporary folder of its run or, on a cluster, by the next run on that machine.
    """
    stack = ExitStack()
    parent = Path(os.environ.get(SCRATCH) or tempfile.gettempdir())
    folder = stack.enter_context(private_folder(parent))
    atexit.register(stack.close)
    os.environ[COMPILE_CACHE] = str(folder)
    os.environ.setdefault(TRITON_CACHE, str(folder / "triton"))
