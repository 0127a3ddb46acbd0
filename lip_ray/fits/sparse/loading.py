"""The compiled kernels, from numba's cache or compiled anew."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from lip_ray.scratch import hold

Run = Callable[..., None]
"""A pass: (table, arena, weights, gradients, lists, threads)."""

LOCK = "kernels.lock"
"""The file in numba's cache that is locked by the process that loads or compiles."""


def missing() -> str:
    """What to install where sparse execution cannot run; empty where it can."""
    if find_spec("numba"):
        return ""
    return "sparse needs numba: pip install 'lip-ray[sparse]'; dense needs nothing"


@cache
def loaded() -> Run:
    r"""The compiled pass.

    The first time on a machine it is compiled, which takes ten to twenty seconds, and cached. Processes
    that need it meanwhile wait for the one that compiles. A cache that a dying machine left half
    written makes numba fail: it is emptied, and filled anew.
    """
    threads = torch.get_num_threads()
    from lip_ray.fits.sparse import kernels

    run: Any = kernels.run
    try:
        with _one_at_a_time(Path(run.stats.cache_path)):
            _compile(run, kernels.PASS)
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's threads, which PyTorch has too
    found: Run = run
    return found


def _compile(run: Any, signature: Any) -> None:
    """Load a function from numba's cache, or compile it into there."""
    try:
        run.compile(signature)
    except Exception:  # whatever the bytes make of it
        damaged = cache_files(run)
        if not damaged:
            raise
        for path in damaged:
            path.unlink(missing_ok=True)  # others may have been faster
        run.compile(signature)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for other processes with the same cache; a process that is killed is waited for no
    longer. Where the folder takes no locks, as on some networks, nobody waits."""
    with ExitStack() as stack:
        with suppress(OSError):
            lock = stack.enter_context((folder / LOCK).open("wb"))
            hold(lock)
        yield


def cache_files(run: Any) -> list[Path]:
    """The files of a compiled function in numba's cache."""
    return sorted(Path(run.stats.cache_path).glob(f"kernels.{run.__name__}-*"))
