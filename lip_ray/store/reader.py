"""The only reader: done levels by file name, everything else by SQL over the files."""

import json
from collections import defaultdict
from collections.abc import Collection, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from difflib import get_close_matches
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lip_ray.records import (
    FullPicture,
    LayerMask,
    PointRecord,
    ScoreRecord,
    Standing,
    StoredTensor,
)
from lip_ray.store import legacy, masks
from lip_ray.store.files import Files, files_of
from lip_ray.store.limits import Limits
from lip_ray.store.manifest import folded_levels, held, stem_of
from lip_ray.store.marker import check_there, check_version
from lip_ray.store.omissions import BULKY
from lip_ray.store.paths import (
    StoreError,
    level_file,
    points_in,
    unfinished_file,
)
from lip_ray.store.queries import Queries, Request, among, quoted
from lip_ray.store.schema import TABLES
from lip_ray.store.views import in_order
from lip_ray.store_names import MARKER

if TYPE_CHECKING:
    import pandas as pd

NOTES_AT_ONCE = 8
"""The number of small files that are read in parallel, as each takes its time over a network."""


class Reader:
    """Reads one store, also while others write: a level is seen whole or not at all."""

    def __init__(
        self, store: str | Path, *, limits: Limits | None = None, sweep: str | None = None
    ) -> None:
        """What queries may take of the machine is in the environment where no limits are given.

        With the name or the id of a `sweep`, tables and views have only the trials that it asked
        for, and the sources of these only where it asked for them too.

        Raises StoreError when there is no store, one of a newer layout, or one without that sweep.
        """
        self._files = files_of(store)
        if not _is_store(self._files):
            where = self._files.where
            raise StoreError(f"there is no store in {where} (no {MARKER}): run a sweep first")
        check_version(self._files)
        self._queries = Queries(self._files, limits)
        self._sweep = sweep
        if sweep is not None:
            _require_known(sweep, self._queries.requests(), self._files.where)

    @staticmethod
    def exists(store: str | Path) -> bool:
        """Whether there is a store."""
        return _is_store(files_of(store))

    @property
    def sweep(self) -> str | None:
        """The name or id of the one sweep that is read; None where all are."""
        return self._sweep

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read so far: their rows are missing from the answers."""
        return self._queries.damaged

    def sees(self, beacon: str) -> bool:
        """Whether a writer's `beacon` is seen from here: it is the same store."""
        return self._files.exists(beacon)

    def levels_done(self) -> dict[str, int]:
        """By trial id, how many levels are committed, counted from level 0 without a gap.

        Raises StoreError where the store is away: a mount that is gone has no levels either.
        """
        try:
            check_there(self._files)
        except OSError as error:
            raise StoreError(f"{self._files.where} cannot be read: {error}") from error
        done, own = self._queries.levels_done(), self._asked_for()
        return done if own is None else {trial: n for trial, n in done.items() if trial in own}

    def levels_done_of(self, trial_id: str) -> int:
        r"""The number of committed levels of one trial, which need not exist.

        Like `levels_done`, but it checks a few file names instead of listing the folder.
        """
        try:
            check_there(self._files)
            loose = self._first_missing(trial_id, frozenset())
            return self._first_missing(trial_id, folded_levels(self._files, trial_id), loose)
        except OSError as error:
            raise StoreError(f"{self._files.where} cannot be read: {error}") from error

    def _first_missing(self, trial_id: str, known: Collection[int], start: int = 0) -> int:
        return next(
            level
            for level in count(start)
            if level not in known and not self._files.exists(level_file("levels", trial_id, level))
        )

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """The mask of a level, also of one that is pruned but not yet fitted; None without."""
        return masks.read(self._files, trial_id, level)

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """What a level begins with: stored for it or the nearest level above; None without.

        Raises StoreError for a file that cannot be read.
        """
        for above in range(level, -1, -1):
            name = level_file("weights", trial_id, above)
            if self._files.exists(name):
                return self._tensors(name, "weights")
        return None

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """The generator that a level ended with; None where none was stored.

        Raises StoreError for a file that cannot be read.
        """
        name = level_file("networks", trial_id, level)
        return self._tensors(name, "networks") if self._files.exists(name) else None

    def pictures(self, trial_id: str, level: int) -> dict[str, tuple[FullPicture, ...]]:
        """The pictures of a level at full size, by the label of their image; empty where none were
        kept. Raises StoreError for a file that cannot be read."""
        name = level_file("pictures", trial_id, level)
        rows = self._rows(name, "pictures") if self._files.exists(name) else []
        found: dict[str, tuple[FullPicture, ...]] = {}
        names = [one.name for one in fields(FullPicture)]
        for row in rows:
            picture = FullPicture(**{name: row[name] for name in names})
            found[row["image"]] = (*found.get(row["image"], ()), picture)
        return found

    def left_out(
        self, trials: Collection[str] | None = None, tables: Collection[str] = BULKY
    ) -> dict[str, dict[str, frozenset[int]]]:
        """By trial and table, the levels whose rows were left out when the store was published and
        are not there; nothing of what lacks nothing. Without `trials`, of all."""
        names = ", ".join(map(quoted, tables))
        query = f"select * from omissions where omitted in ({names})"
        if trials is not None:
            query += f" and {among(trials)}"
        rows = self.sql(query).to_pylist()
        there = {table: held(self._files, table) for table in {row["omitted"] for row in rows}}
        found: defaultdict[str, defaultdict[str, set[int]]]
        found = defaultdict(lambda: defaultdict(set))
        for row in rows:
            trial_id, level, table = row["trial_id"], row["level"], row["omitted"]
            if stem_of(level_file(table, trial_id, level)) not in there[table]:
                found[trial_id][table].add(level)
        return {
            trial_id: {table: frozenset(levels) for table, levels in own.items()}
            for trial_id, own in found.items()
        }

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """How far a level has come that is not committed yet; None where nothing was noted."""
        try:
            return self._files.read(unfinished_file(trial_id, level))
        except FileNotFoundError:
            return None

    def points(self, search: str, search_id: str) -> list[PointRecord]:
        r"""The stored points of a search, in order of number.

        Raises StoreError for a file that cannot be read.
        """
        found = points_in(self._files.names("points"), search, search_id)
        return [_point(self._rows(name, "points")) for _, name in found]

    def scores(self, search: str, search_id: str) -> dict[int, ScoreRecord]:
        r"""The stored scores of a search's points, by number.

        Raises StoreError for a file that cannot be read.
        """
        found = points_in(self._files.names("scores"), search, search_id)
        return {number: _score(*self._rows(name, "scores")) for number, name in found}

    def standings(self) -> list[tuple[Standing, float, str]]:
        """How far trials in flight have come, the seconds since that was noted, and the host.

        The store's own clock counts: those of hosts may differ. A host that died has left its
        notes, which grow old. Raises StoreError where the store is away.
        """
        try:
            names = self._files.names("running")
            now = self._files.clock() if names else 0.0
            with ThreadPoolExecutor(NOTES_AT_ONCE) as pool:
                noted = list(pool.map(partial(self._standing, now=now), names))
        except OSError as error:
            raise StoreError(f"{self._files.where}/running cannot be read: {error}") from error
        known = [standing for standing in noted if standing is not None]
        own = self._asked_for()
        return known if own is None else [one for one in known if one[0].trial_id in own]

    def sql(self, query: str) -> pa.Table:
        """The result of one reading statement over the tables `TABLES`, as Arrow.

        Files that cannot be read are left out; `damaged` names them. Raises QueryError for SQL
        that is wrong or would change anything, StoreError for a store that cannot be read.
        """
        return self._queries.answer(query, self._asked_for(), sweep=self._sweep)

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> "pd.DataFrame":
        """All rows of a table or view, or those of some trials, as pandas.

        Rows of a table come in the same order each time.
        """
        if trials is None:
            rows = self.sql(f"from {table} {in_order(table)}")
        else:
            own = self._asked_for()
            chosen = trials if own is None else own & set(trials)
            alone = chosen if table in TABLES else own  # views may compare with other trials
            query = f"from {table} where {among(chosen)} {in_order(table)}"
            rows = self._queries.answer(query, alone, sweep=self._sweep)
        frame: pd.DataFrame = rows.combine_chunks().to_pandas()  # pandas picks rows faster then
        return frame

    def _asked_for(self) -> Set[str] | None:
        """The trials of the one sweep that is read; None where all are."""
        if self._sweep is None:
            return None
        return frozenset(
            trial
            for name, own_id, trial in self._queries.requests()
            if trial is not None and self._sweep in (name, own_id)
        )

    def _rows(self, name: str, table: str) -> list[dict[str, Any]]:
        """A file's rows in order of `position`, where the table has one."""
        try:
            stored = legacy.completed(table, self._files.table(name, TABLES[table]))
        except OSError as error:
            raise StoreError(f"{self._files.where}/{name} cannot be read: {error}") from error
        ordered = stored.sort_by("position") if "position" in stored.column_names else stored
        rows: list[dict[str, Any]] = ordered.to_pylist()
        return rows

    def _tensors(self, name: str, table: str) -> tuple[StoredTensor, ...]:
        return tuple(
            StoredTensor(
                name=row["name"],
                shape=tuple(row["shape"]),
                dtype=row["dtype"],
                values=row["values"],
            )
            for row in self._rows(name, table)
        )

    def _standing(self, name: str, now: float) -> tuple[Standing, float, str] | None:
        """The note of a running trial; None for one that is gone by now or from another version."""
        try:
            note = json.loads(self._files.read(name))
            host = note.pop("host")
            return Standing(**note), max(0.0, now - self._files.modified(name)), host
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


def _is_store(files: Files) -> bool:
    try:
        return files.exists(MARKER)
    except OSError as error:
        raise StoreError(f"{files.where} cannot be read: {error}") from error


def _require_known(sweep: str, requests: Collection[Request], where: str) -> None:
    """Raise StoreError, with the nearest name, unless a sweep has this name or id."""
    ids: dict[str, set[str]] = defaultdict(set)
    for name, own_id, _ in requests:
        ids[name].add(own_id)
    if sweep in ids or any(sweep in own for own in ids.values()):
        return
    near = get_close_matches(sweep, ids, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    known = (
        f"{name} ({', '.join(sorted(own))})" if len(own) > 1 else name
        for name, own in sorted(ids.items())
    )
    raise StoreError(
        f"no sweep {sweep!r} in {where}; {hint}there are: {', '.join(known) or 'none'}"
    )


def _point(rows: list[dict[str, Any]]) -> PointRecord:
    trials = [row for row in rows if row["trial_id"] is not None]
    shared = {
        name: rows[0][name]
        for name in TABLES["points"].names
        if name not in ("position", "trial_id", "kind", "spec", "levels")
    }
    return PointRecord(
        **shared,
        trial_ids=tuple(row["trial_id"] for row in trials),
        kinds=tuple(row["kind"] for row in trials),
        specs=tuple(row["spec"] for row in trials),
        levels=tuple(row["levels"] for row in trials),
    )


def _score(row: dict[str, Any]) -> ScoreRecord:
    return ScoreRecord(**row | {"values": tuple(row["values"])})
