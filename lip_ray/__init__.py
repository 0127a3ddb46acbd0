"""Distributed sweeps that map the accuracy-sparsity frontier of image priors."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lip_ray.results import Results

__version__ = version("lip-ray")


def open_store(store: str | Path) -> "Results":
    """What a store holds, for notebooks: tables, SQL, masks and pictures.

    Raises StoreError where there is no store, or one of a newer lip-ray.
    """
    from lip_ray.results import Results  # pandas and DuckDB, which the version does not need

    return Results(store)
