"""glibc's allocator, set to keep the memory that a fit frees at every step.

A step of a fit frees all its activations, and the next one asks for as much again. By default glibc
may return such memory to the system, and always returns blocks above 32 MiB. The system then clears
every page anew.
"""

import ctypes
import os
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Parameters of `mallopt`, as glibc's malloc.h numbers them."""

THRESHOLD_BYTES = 2**30
OLDER_THRESHOLD_BYTES = 2**25
"""The largest M_MMAP_THRESHOLD of a glibc before 2.35."""

HEAP_BYTES = 2**26
"""The size of a heap. All threads but the main one, and Ray's workers fit in another, allocate from
heaps, and glibc returns an empty one unless M_TOP_PAD is as large."""

VARIABLES = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
"""Variables of the environment by which a user sets these parameters."""


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    r"""Let this process keep blocks of up to 1 GiB that it frees, for as long as it runs.

    In threads other than the main one, blocks above 64 MiB still return to the system.

    Returns whether that was set. It is not where the C library is another than glibc, and where the
    environment sets parameters of the allocator.
    """
    if not _is_glibc() or _is_chosen(environment):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    allowed = (THRESHOLD_BYTES, OLDER_THRESHOLD_BYTES)
    if not any(mallopt(M_MMAP_THRESHOLD, size) for size in allowed):
        return False
    mallopt(M_TRIM_THRESHOLD, THRESHOLD_BYTES)
    mallopt(M_TOP_PAD, HEAP_BYTES)
    return True


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # no such function, or no such name
        return False


def _is_chosen(environment: Mapping[str, str]) -> bool:
    """Whether the environment sets parameters of the allocator."""
    tunables = environment.get("GLIBC_TUNABLES", "")
    return "glibc.malloc." in tunables or any(name in environment for name in VARIABLES)
