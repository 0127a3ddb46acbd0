"""The compiled kernels, from numba's cache or compiled anew."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

Run = Callable[..., None]
"""A pass: (table, arena, weights, gradients, lists, threads)."""


def missing() -> str:
    """What to install where sparse execution cannot run; empty where it can."""
    if find_spec("numba"):
        return ""
    return "sparse needs numba: pip install 'lip-ray[sparse]'; dense needs nothing"


@cache
def loaded() -> Run:
    r"""The compiled pass.

    The first time on a machine it is compiled, which takes some ten seconds, and cached. A cache
    that a dying machine left half written makes numba fail: it is emptied, and filled anew.
    """
    threads = torch.get_num_threads()
    from lip_ray.fits.sparse import kernels

    run: Any = kernels.run
    try:
        try:
            run.compile(kernels.PASS)
        except Exception:  # whatever the bytes make of it
            damaged = cache_files(run)
            if not damaged:
                raise
            for path in damaged:
                path.unlink(missing_ok=True)  # others may have been faster
            run.compile(kernels.PASS)
    finally:
        torch.set_num_threads(threads)  # numba sets OpenMP's threads, which PyTorch has too
    found: Run = run
    return found


def cache_files(run: Any) -> list[Path]:
    """The files of a compiled function in numba's cache."""
    return sorted(Path(run.stats.cache_path).glob(f"kernels.{run.__name__}-*"))
