"""A store for notebooks: tables as pandas or Arrow, masks as arrays, pictures as arrays."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lip_ray.records import ReconstructionRole
from lip_ray.store import Reader, StoreError, booleans

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Booleans = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


class Results:
    """The contents of a store, read only, also while a sweep writes to it."""

    def __init__(self, store: str | Path) -> None:
        """Raises StoreError where there is no store, or one of a newer lip-ray."""
        self._reader = Reader(store)

    def trials(self) -> "pd.DataFrame":
        """One row per trial that has begun."""
        return self._reader.frame("trials")

    def levels(self) -> "pd.DataFrame":
        """One row per level and image."""
        return self._reader.frame("levels")

    def table(self, name: str) -> "pd.DataFrame":
        """All rows of a table or view; `lip tables` lists them with their columns.

        Raises QueryError for one that is not there.
        """
        return self.sql(f'from "{name}"')

    def sql(self, query: str) -> "pd.DataFrame":
        r"""The rows of one select in DuckDB's SQL.

        Raises QueryError for SQL that is wrong or would write, StoreError for a store that cannot
        be read.
        """
        rows: pd.DataFrame = self.arrow(query).to_pandas()
        return rows

    def arrow(self, query: str) -> "pa.Table":
        """The rows of one select as Arrow, which copies no large answers. Raises as `sql` does."""
        return self._reader.sql(query)

    def masks(self, trial: str, level: int) -> dict[str, Booleans]:
        r"""The mask of a level: boolean arrays by state-dict name, True where a weight is kept.

        Raises StoreError where none is stored.
        """
        layers = self._reader.masks(trial, level)
        if layers is None:
            raise StoreError(f"there is no mask of level {level} of trial {trial!r}")
        return {
            layer.layer: booleans(layer.bits, layer.total).reshape(layer.shape) for layer in layers
        }

    def picture(
        self, trial: str, level: int, image: str, role: ReconstructionRole = "selected"
    ) -> Bytes:
        r"""A stored picture, 8-bit: (height, width, 3) in colour, (height, width) in grey.

        `clean` and `measured` are stored with level 0. Raises StoreError where there is none.
        """
        pictures = self._reader.frame("reconstructions", trials=[trial])
        found = pictures.loc[
            (pictures["level"] == level)
            & (pictures["image"] == image)
            & (pictures["role"] == role),
            "png",
        ]
        if found.empty:
            raise StoreError(
                f"there is no picture {role!r} of {image!r} at level {level} of trial {trial!r}"
            )
        return np.asarray(Image.open(io.BytesIO(found.iloc[0])))

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read so far and were left out; `lip store check` says more."""
        return self._reader.damaged
