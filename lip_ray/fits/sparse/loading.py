"""The compiled kernels, which numba's cache has, or gets."""

import subprocess
import sys
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

COMPILE = """
import sys
sys.path[:] = sys.argv[1:]
from lip_ray.fits.sparse.kernels import PASS, run
run.compile(PASS)
"""


def missing() -> str:
    """What to install where sparse execution cannot run; empty where it can."""
    if find_spec("numba"):
        return ""
    return "sparse needs numba: pip install 'lip-ray[sparse]'; dense needs nothing"


@cache
def loaded() -> Run:
    """The compiled pass, as `load` says."""
    return load()


def load(begins: Callable[[], None] = lambda: None) -> Run:
    r"""The compiled pass from numba's cache; where that lacks it, it is compiled there first.

    That takes ten to twenty seconds, before which `begins` is called, once on a machine. Processes
    that need it meanwhile wait for the one that compiles. A cache that a dying machine left half
    written makes numba fail: it is emptied, and filled anew. Raises RuntimeError where the cache
    cannot be filled.
    """
    threads = torch.get_num_threads()
    from lip_ray.fits.sparse import kernels

    found: Any = kernels.run
    try:
        with _one_at_a_time(Path(found.stats.cache_path)):
            if not _is_cached(found, kernels.PASS):
                begins()
                _compile()
                if not _is_cached(found, kernels.PASS):
                    raise RuntimeError(f"numba keeps no kernels in {found.stats.cache_path}")
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's threads, which PyTorch has too
    run: Run = found
    return run


def _is_cached(run: Any, signature: Any) -> bool:
    """Load a function from numba's cache; whether it was there, and sound."""
    from numba.core import event

    class Refusal(event.Listener):
        def on_start(self, event: event.Event) -> None:
            raise _NotCachedError

        def on_end(self, event: event.Event) -> None:
            """Do nothing."""

    try:
        with event.install_listener("numba:compile", Refusal()):
            run.compile(signature)
    except _NotCachedError:
        return False
    except Exception:  # whatever the bytes make of it
        damaged = cache_files(run)
        if not damaged:
            raise
        for path in damaged:
            path.unlink(missing_ok=True)  # others may have been faster
        return False
    return True


class _NotCachedError(Exception):
    """Numba is about to compile."""


def _compile() -> None:
    """Compile the pass into numba's cache, in a process of its own.

    What a process has compiled itself is other machine code than what it writes to the cache, and
    its sums have other bits: nobody computes with it. Raises RuntimeError where that fails.
    """
    command = [sys.executable, "-c", COMPILE, *sys.path]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        *_, said = ["", *ended.stderr.strip().splitlines()]
        raise RuntimeError(
            f"the kernels of sparse execution cannot be compiled, exit status {ended.returncode}: "
            f"{said}"
        )


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
