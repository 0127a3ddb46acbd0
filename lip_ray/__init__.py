"""Distributed sweeps that map the accuracy-sparsity frontier of image priors."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lip_ray.results import Results

__version__ = "0.1.0"


def open_store(store: str | Path, *, sweep: str | None = None) -> "Results":
    """What a store holds, for notebooks: figures, tables, SQL, masks and pictures.

    With the name or id of a `sweep` only the trials that it asked for are there. Raises StoreError
    where there is no store, one of a newer lip-ray, or no such sweep, and WrongSystem on Windows.
    """
    from lip_ray.systems import require_known

    require_known()
    from lip_ray.results import Results  # pandas and DuckDB, which the version does not need

    return Results(store, sweep=sweep)
