"""The only reader: done levels by file name, everything else by SQL over the files."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from lip_ray.records import (
    LayerMask,
    PointRecord,
    ScoreRecord,
    Standing,
    StoredTensor,
)
from lip_ray.store import masks
from lip_ray.store.files import files_of
from lip_ray.store.manifest import COMPACTED, FILE, newest, part_schema, stem_of, stems
from lip_ray.store.marker import check_there, check_version
from lip_ray.store.paths import (
    MARKER,
    SUFFIX,
    Damaged,
    QueryError,
    StoreError,
    level_file,
    level_of,
    points_in,
    unfinished_file,
)
from lip_ray.store.schema import TABLES
from lip_ray.store.views import PER_LEVEL, define

if TYPE_CHECKING:
    import pandas as pd

ATTEMPTS = 5
"""Looks at a store that compaction changes meanwhile."""

UNREADABLE = (OSError, pa.ArrowException, duckdb.IOException, duckdb.InvalidInputException)
"""What a damaged file, or one that is gone, may end a query with."""


class Reader:
    """Reads one store, also while others write: a level is seen whole or not at all."""

    def __init__(self, store: str | Path) -> None:
        """Raises StoreError when there is no store, or one of a newer layout."""
        self._files = files_of(store)
        if not self.exists(store):
            where = self._files.where
            raise StoreError(f"there is no store in {where} (no {MARKER}): run a sweep first")
        check_version(self._files)
        self._known: dict[str, tuple[frozenset[str], pa.Table]] = {}
        self._stems: dict[str, frozenset[str]] = {}
        self._damaged: set[str] = set()

    @staticmethod
    def exists(store: str | Path) -> bool:
        """Whether there is a store."""
        files = files_of(store)
        try:
            return files.exists(MARKER)
        except OSError as error:
            raise StoreError(f"{files.where} cannot be read: {error}") from error

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read so far: their rows are missing from the answers."""
        return tuple(sorted(self._damaged))

    def sees(self, beacon: str) -> bool:
        """Whether a writer's `beacon` is seen from here: it is the same store."""
        return self._files.exists(beacon)

    def levels_done(self) -> dict[str, int]:
        """By trial id, how many levels are committed, counted from level 0 without a gap.

        Raises StoreError where the store is away: a mount that is gone has no levels either.
        """
        found = defaultdict(set)
        try:
            check_there(self._files)
            listed = self._listed("levels")
        except OSError as error:
            raise StoreError(f"{self._files.where} cannot be read: {error}") from error
        for stem in listed.folded.union(map(stem_of, listed.loose)):
            trial_id, level = level_of(stem)
            found[trial_id].add(level)
        return {trial_id: _prefix(levels) for trial_id, levels in sorted(found.items())}

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

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """How far a level has come that is not committed yet; None where nothing was noted."""
        try:
            return self._files.read(unfinished_file(trial_id, level))
        except FileNotFoundError:
            return None

    def points(self, search: str, search_id: str) -> list[PointRecord]:
        """What a search asked for, in order of number.

        Raises StoreError for a file that cannot be read.
        """
        found = points_in(self._files.names("points"), search, search_id)
        return [_point(self._rows(name, "points")) for _, name in found]

    def scores(self, search: str, search_id: str) -> dict[int, ScoreRecord]:
        """What its points came to, by number, as far as they have come to an end.

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
            noted = [self._standing(name, now) for name in names]
        except OSError as error:
            raise StoreError(f"{self._files.where}/running cannot be read: {error}") from error
        return [standing for standing in noted if standing is not None]

    def sql(self, query: str) -> pa.Table:
        """The result of one reading statement over the tables `TABLES`, as Arrow.

        Files that cannot be read are left out; `damaged` names them. Raises QueryError for SQL
        that is wrong or would change anything, StoreError for a store that cannot be read.
        """
        return self._answer(query)

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> "pd.DataFrame":
        """All rows of one table, or those of some trials, as pandas."""
        query = f"from {table}"
        if trials is not None:
            chosen = ", ".join(map(_quoted, trials)) or "null"
            query += f" where trial_id in ({chosen})"
        rows: pd.DataFrame = self._answer(query, trials).to_pandas()
        return rows

    def _answer(self, query: str, trials: Collection[str] | None = None) -> pa.Table:
        for _ in range(ATTEMPTS):
            with duckdb.connect() as connection:
                _refuse_writing(connection, query)
                store: dict[str, _Listed] = {}
                try:
                    store = self._snapshot(trials)
                    self._define_tables(connection, store)
                    return connection.sql(query).to_arrow_table()
                except UNREADABLE as error:
                    if not self._changed(store):
                        raise self._told(error) from error
                except duckdb.Error as error:
                    raise QueryError(_in_user_words(error)) from error
        raise StoreError(f"{self._files.where} changes all the time: try again")

    def _told(self, error: Exception) -> StoreError | QueryError:
        """Whose mistake it was, in words."""
        if isinstance(error, duckdb.InvalidInputException):  # no file is to blame
            return QueryError(_in_user_words(error))
        return StoreError(f"{self._files.where} cannot be read: {error}")

    def _snapshot(self, trials: Collection[str] | None) -> dict[str, "_Listed"]:
        """The files of every table; levels are listed first, so what belongs to them is there.

        Of the tables of a level only the files of `trials`, where these are given.
        """
        tables = ("levels", *(name for name in TABLES if name != "levels"))
        found = {table: self._listed(table) for table in tables}
        if trials is not None:
            wanted = frozenset(trials)
            for table in PER_LEVEL:
                found[table] = found[table].of(wanted)
        return found

    def _listed(self, table: str) -> "_Listed":
        """The loose files of a table that no part covers, and the parts."""
        names = self._sound([n for n in self._files.names(table) if n.endswith(SUFFIX)])
        if table not in COMPACTED:
            return _Listed(loose=names)
        parts = self._sound(newest(self._files).parts.get(table, ()))
        folded = frozenset[str]().union(*(self._stems_in(table, part) for part in parts))
        loose = [name for name in names if stem_of(name) not in folded] if folded else names
        return _Listed(loose=loose, parts=parts, folded=folded)

    def _sound(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name not in self._damaged]

    def _stems_in(self, table: str, part: str) -> frozenset[str]:
        """Parts never change, so each is read once; a damaged one covers nothing."""
        if part not in self._stems:
            try:
                self._stems[part] = stems(self._files, table, part)
            except (OSError, pa.ArrowException):
                self._damaged.add(part)
                return frozenset()
        return self._stems[part]

    def _define_tables(
        self, connection: duckdb.DuckDBPyConnection, store: Mapping[str, "_Listed"]
    ) -> None:
        """Views over the files. Rows that every view rests on are loaded; bulky ones, and those in
        parts, are read as far as a query needs them."""
        connection.sql("create schema files")
        allowed: list[str] = []
        for table, listed in store.items():
            bulky = table in PER_LEVEL
            loose = (
                self._files.dataset(listed.loose, TABLES[table])
                if bulky
                else self._loaded(table, listed.loose)
            )
            connection.register(f"loose_{table}", loose)
            parts = sorted(set(listed.parts) - self._damaged)
            if not parts:
                made = "view" if bulky else "table"
                connection.sql(f"create {made} files.{table} as from loose_{table}")
                continue
            allowed += [str(path) for path in map(self._files.local, parts) if path]
            self._define_folded(connection, table, parts)
        define(connection)
        paths = ", ".join(map(_quoted, allowed))
        connection.sql(f"set allowed_paths = [{paths}]")
        connection.sql("set enable_external_access = false")
        connection.sql("set lock_configuration = true")

    def _define_folded(
        self, connection: duckdb.DuckDBPyConnection, table: str, parts: Sequence[str]
    ) -> None:
        """DuckDB reads parts itself where they are on this machine: it is the fastest."""
        columns = ", ".join(f'"{name}"' for name in TABLES[table].names)
        paths = [self._files.local(part) for part in parts]
        source = f"folded_{table}"
        if all(paths):
            listed = ", ".join(_quoted(str(path)) for path in paths)
            source = f"read_parquet([{listed}], union_by_name = true)"
        elif table in PER_LEVEL:
            connection.register(source, self._files.dataset(parts, part_schema(table)))
        else:
            connection.register(source, self._loaded(f"folded {table}", parts, table))
        connection.register(f"none_{table}", TABLES[table].empty_table())
        connection.sql(
            f"create view files.{table} as select {columns} from (from none_{table} "
            f"union all by name select * exclude ({FILE}) from {source} "
            f"union all by name from loose_{table})"
        )

    def _loaded(self, key: str, names: Sequence[str], table: str = "") -> pa.Table:
        """All rows of a table. Files never change, so those read before are not read again."""
        schema = part_schema(table) if table else TABLES[key]
        known, rows = self._known.get(key, (frozenset(), schema.empty_table()))
        if not known <= set(names):  # another store is there now, or compaction went over it
            known, rows = frozenset(), schema.empty_table()
        new = [name for name in names if name not in known]
        if new:
            read = self._files.dataset(new, schema).to_table()
            rows = pa.concat_tables([rows, read]).combine_chunks()
            self._known[key] = known.union(new), rows
        return rows

    def _changed(self, store: Mapping[str, "_Listed"]) -> bool:
        """Whether a file that was listed is damaged, which is remembered, or gone by now."""
        changed = False
        for table, listed in store.items():
            for name in (*listed.parts, *listed.loose):
                if name in self._damaged:
                    continue
                try:
                    self._files.table(name, TABLES[table])
                except FileNotFoundError:
                    if name in listed.parts:
                        self._damaged.add(name)
                    changed = True
                except Damaged:
                    self._damaged.add(name)
                    changed = True
        return changed

    def _rows(self, name: str, table: str) -> list[dict[str, Any]]:
        """A file's rows in order of `position`, where the table has one."""
        try:
            stored = self._files.table(name, TABLES[table])
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
        """None for a note that is gone by now, or of another lip-ray."""
        try:
            note = json.loads(self._files.read(name))
            host = note.pop("host")
            return Standing(**note), max(0.0, now - self._files.modified(name)), host
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None


@dataclass(frozen=True, kw_only=True)
class _Listed:
    """The files of a table that count."""

    loose: Sequence[str]
    parts: Sequence[str] = ()
    folded: frozenset[str] = frozenset()
    """The loose files whose rows are in parts."""

    def of(self, trials: frozenset[str]) -> "_Listed":
        """Without the loose files of other trials."""
        own = [name for name in self.loose if level_of(stem_of(name))[0] in trials]
        return _Listed(loose=own, parts=self.parts, folded=self.folded)


def _refuse_writing(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(_in_user_words(error)) from error
    if len(statements) != 1:
        raise QueryError(f"one SQL statement is expected, got {len(statements)}")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name.lower().replace("_", " ")
        raise QueryError(f"the store is read only: select is allowed, got a {kind} statement")


def _in_user_words(error: duckdb.Error) -> str:
    """DuckDB's message: it quotes the line, with a caret, and suggests near names."""
    return re.sub(r"^\w+ Error: ", "", str(error)).strip()


def _quoted(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _point(rows: list[dict[str, Any]]) -> PointRecord:
    trials = [row for row in rows if row["trial_id"] is not None]
    shared = {
        name: rows[0][name]
        for name in TABLES["points"].names
        if name not in ("position", "trial_id", "spec", "levels")
    }
    return PointRecord(
        **shared,
        trial_ids=tuple(row["trial_id"] for row in trials),
        specs=tuple(row["spec"] for row in trials),
        levels=tuple(row["levels"] for row in trials),
    )


def _score(row: dict[str, Any]) -> ScoreRecord:
    return ScoreRecord(**row | {"values": tuple(row["values"])})


def _prefix(levels: set[int]) -> int:
    return next(count for count in range(len(levels) + 1) if count not in levels)
