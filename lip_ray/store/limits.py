"""What a query may take of a machine: memory, threads and room on disk."""

import os
import re
from dataclasses import dataclass

import duckdb

from lip_ray.store.paths import QueryError
from lip_ray.store_names import MEMORY, MOST_MEMORY, MOST_SPILL, SPILL, THREADS

UNITS = {
    unit + ending: base**power
    for power, unit in enumerate("KMGT", start=1)
    for ending, base in (("B", 1000), ("iB", 1024))
}

SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", re.IGNORECASE)
SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")

DUCKDB_SHARE = 0.8
"""What DuckDB takes by default of the memory that a process may use."""

SMALLEST = 10**7
"""Bytes of memory that DuckDB needs to begin with."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a query may take."""

    memory: str = MOST_MEMORY
    """A size, as 4GB, or a share of the memory that this process may use, as 50%. It holds for the
    work and, once more, for the answer."""
    threads: int | None = None
    """By default as many as cores that this process may use."""
    spill: str = MOST_SPILL
    """A size: what may be written to the temporary folder where memory does not suffice."""

    def __post_init__(self) -> None:
        """Raises QueryError for a value that is not allowed."""
        if not (_share(self.memory) or _size(self.memory) >= SMALLEST):
            raise QueryError(
                f"memory must be a size of at least 10MB, as 4GB or 512MiB, or a share of up to "
                f"100%, got {self.memory!r}: set --memory or {MEMORY}"
            )
        if self.threads is not None and self.threads < 1:
            raise QueryError(
                f"threads must be at least 1, got {self.threads}: set --threads or {THREADS}"
            )
        if _size(self.spill) < 0:
            raise QueryError(
                f"spill must be a size, as 10GB or 0MB, got {self.spill!r}: set --spill or {SPILL}"
            )

    @staticmethod
    def of_environment() -> "Limits":
        """What the environment sets, else defaults. Raises QueryError."""
        threads = os.environ.get(THREADS)
        if threads and not threads.isdecimal():
            raise QueryError(f"{THREADS} must be a whole number of at least 1, got {threads!r}")
        return Limits(
            memory=os.environ.get(MEMORY) or Limits.memory,
            threads=int(threads) if threads else None,
            spill=os.environ.get(SPILL) or Limits.spill,
        )

    def memory_bytes(self, duckdb_default: str) -> int:
        """The memory that a query may use, where DuckDB by itself would use so much: it knows what
        the process may have."""
        share = _share(self.memory)
        if not share:
            return _size(self.memory)
        return max(SMALLEST, int(share * _size(duckdb_default) / DUCKDB_SHARE))


def beyond_limits(error: duckdb.OutOfMemoryException) -> QueryError:
    """That a query needs more memory or room on disk than it may take."""
    said = re.sub(r"^\w+(?: \w+)* Error: ", "", str(error).strip().splitlines()[0])
    return QueryError(
        f"the query needs more than it may take ({said}): select less, or allow more with "
        f"--memory, --spill, {MEMORY} or {SPILL}"
    )


def _share(text: str) -> float:
    """The share that a text says, 0 for one that says none or too much."""
    found = SHARE.fullmatch(text.strip())
    share = float(found[1]) / 100 if found else 0.0
    return share if share <= 1 else 0.0


def _size(text: str) -> int:
    """The bytes that a text says, -1 for one that says none."""
    found = SIZE.fullmatch(text.strip())
    units = {unit.casefold(): bytes_ for unit, bytes_ in UNITS.items()}
    return int(float(found[1]) * units[found[2].casefold()]) if found else -1
