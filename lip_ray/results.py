"""A store for notebooks: figures, tables as pandas or Arrow, masks and pictures as arrays."""

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lip_ray.columns import REGISTRY
from lip_ray.errors import UserError, one_line
from lip_ray.records import ReconstructionRole
from lip_ray.store import QueryError, Reader, StoreError, booleans, require_known

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    import pyarrow as pa

Booleans = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


ASKED = """
select sweep, sweep_id, count(*) as trials, count(*) filter (levels_done >= levels) as done
from (select sweep, sweep_id, trial_id from sweeps
      union select search, search_id, trial_id from points where trial_id is not null)
left join trials using (trial_id) group by all order by all
"""
"""The query for how far each sweep of a store has come."""

HELD = """
select (select count(*) from trials) as trials, (select count(*) from levels) as fits,
       (select list(distinct image order by image) from levels) as images,
       (select list(distinct task order by task) from trials) as tasks,
       (select list(distinct prior order by prior) from trials) as networks,
       (select list(distinct pruner order by pruner) from trials) as methods
"""
"""The query for what a store is about."""

MOST_NAMED = 8
"""Sweeps, images and the like that are named one by one."""


class Results:
    """The contents of a store, read only, also while a sweep writes to it.

    Shown in a notebook it says which sweeps, images, tasks, networks and methods there are.
    """

    def __init__(self, store: str | Path, *, sweep: str | None = None) -> None:
        """Reads all of a store, or only the trials that one sweep asked for, by its name or id.

        Raises StoreError where there is no store, one of a newer lip-ray, or no such sweep.
        """
        self._store = str(store)
        self._reader = Reader(store, sweep=sweep)

    def figure(
        self,
        name: str,
        *,
        which: str = "selected",
        choose: Sequence[str] = (),
        part: int | str = 0,
    ) -> "go.Figure":
        r"""A figure of the store's page, such as "frontier", which notebooks show by themselves.

        `which` of the PSNRs is shown: selected, peak or final. `choose` are words on its other
        controls, such as "0.05"; `part` is the place or title of one of several figures of this
        name. Raises FigureError for what the page does not have, naming what it has, and UserError
        where no level is finished.
        """
        from lip_ray.analysis import figure_of

        return figure_of(self._reader, name, which=which, choose=choose, part=part)

    def report(self, output: str | Path = "report.html", *, pictures_mb: float = 40.0) -> Path:
        r"""Write the store's page: an .html file, or a folder where pages share plotly.js.

        Returns where it is. Pictures beyond `pictures_mb` stay out. Raises UserError where no level
        is finished, and an OSError where nothing can be written.
        """
        from lip_ray.analysis import write_report

        page: Path = write_report(self._reader, Path(output), pictures_mb=pictures_mb)
        return page

    def trials(self) -> "pd.DataFrame":
        """One row per trial that has begun."""
        return self._reader.frame("trials")

    def levels(self) -> "pd.DataFrame":
        """One row per level and image."""
        return self._reader.frame("levels")

    def table(self, name: str, **settings: Any) -> "pd.DataFrame":
        """A table or view of the store, or a table of `lip_ray.analysis` such as `matching_table`.

        `lip tables` lists the tables and views with their columns. A table of analysis takes the
        settings of its function, such as `margin_db`. Raises UserError for a name that is neither,
        naming those that are.
        """
        if name not in REGISTRY:
            from lip_ray.analysis.tabled import TABLES  # takes a second, with Plotly

            require_known(name, also=TABLES)
            found: pd.DataFrame = TABLES[name](self._reader, **settings)
            return found
        if settings:
            raise QueryError(
                f"{name} is a table of the store and takes no settings, got {settings}"
            )
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

    def __repr__(self) -> str:
        try:
            title, facts = self._said()
        except UserError as error:
            title, facts = f"{self._store}: {error}", {}
        return "\n".join([title, *(f"  {name:<9} {said}" for name, said in facts.items())])

    def _repr_html_(self) -> str:
        """What notebooks show: all text is escaped."""
        try:
            title, facts = self._said()
        except UserError as error:
            title, facts = f"{self._store}: {error}", {}
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(said)}</td></tr>'
            for name, said in facts.items()
        )
        return f"<div><b>{escape(title)}</b><table>{rows}</table></div>"

    def _said(self) -> tuple[str, dict[str, str]]:
        """A title and what there is, by what it is called, in one line each."""
        [held] = self.arrow(HELD).to_pylist()
        sweeps = self.arrow(ASKED).to_pylist()
        twice = [row["sweep"] for row in sweeps]
        asked = [
            f"{row['sweep']}{' ' + row['sweep_id'] if twice.count(row['sweep']) > 1 else ''} "
            f"({row['done']:,} of {row['trials']:,} trials done)"
            for row in sweeps
        ]
        lists = {name: held[name] or [] for name in ("images", "tasks", "networks", "methods")}
        facts = {name: _few(values) for name, values in {"sweeps": asked, **lists}.items()}
        counts = (held["trials"], "trial"), (held["fits"], "fit")
        sizes = ", ".join(f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in counts)
        return one_line(f"{self._store}: {sizes}"), facts

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read so far and were left out; `lip store check` says more."""
        return self._reader.damaged


def _few(values: Sequence[str]) -> str:
    """The first values in one line, and how many more there are; "none" where there is none."""
    named = [one_line(str(value)) for value in values[:MOST_NAMED]]
    more = len(values) - len(named)
    return ", ".join(named) + (f" and {more:,} more" if more else "") or "none"
