"""The only reader: done levels by file name, everything else by SQL over the files."""

import json
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.dataset import dataset

from lip_ray.records import (
    LayerMask,
    PointRecord,
    ScoreRecord,
    Standing,
    StoredTensor,
)
from lip_ray.store import masks
from lip_ray.store.paths import (
    MARKER,
    QueryError,
    StoreError,
    check_version,
    files,
    level_file,
    level_of,
    point_files,
    root_of,
    unfinished_file,
)
from lip_ray.store.schema import TABLES
from lip_ray.store.views import PER_LEVEL, define

if TYPE_CHECKING:
    import pandas as pd


class Reader:
    """Reads one store, also while others write: a level is seen whole or not at all."""

    def __init__(self, store: str | Path) -> None:
        """Raises StoreError when there is no store, or one of a newer layout."""
        self._root = root_of(store)
        if not self.exists(store):
            raise StoreError(f"there is no store in {self._root} (no {MARKER}): run a sweep first")
        check_version(self._root)
        self._known: dict[str, tuple[frozenset[str], pa.Table]] = {}

    @staticmethod
    def exists(store: str | Path) -> bool:
        """Whether the folder is a store."""
        return (root_of(store) / MARKER).is_file()

    def sees(self, beacon: str) -> bool:
        """Whether a writer's `beacon` is seen from here: it is the same store."""
        return (self._root / beacon).exists()

    def levels_done(self) -> dict[str, int]:
        """By trial id, how many levels are committed, counted from level 0 without a gap.

        Raises StoreError where the store is away: a mount that is gone has no levels either.
        """
        found = defaultdict(set)
        try:
            (self._root / MARKER).stat()
            for path in files(self._root, "levels"):
                trial_id, level = level_of(path)
                found[trial_id].add(level)
        except OSError as error:
            raise StoreError(f"{self._root} cannot be read: {error}") from error
        return {trial_id: _prefix(levels) for trial_id, levels in found.items()}

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        """The mask of a level, also of one that is pruned but not yet fitted; None without."""
        return masks.read(self._root, trial_id, level)

    def weights(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """What a level begins with: stored for it or the nearest level above; None without.

        Raises StoreError for a file that cannot be read.
        """
        for above in range(level, -1, -1):
            path = level_file(self._root, "weights", trial_id, above)
            if path.is_file():
                return _stored_tensors(path, "weights")
        return None

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        """The generator that a level ended with; None where none was stored.

        Raises StoreError for a file that cannot be read.
        """
        path = level_file(self._root, "networks", trial_id, level)
        return _stored_tensors(path, "networks") if path.is_file() else None

    def unfinished(self, trial_id: str, level: int) -> bytes | None:
        """How far a level has come that is not committed yet; None where nothing was noted."""
        path = unfinished_file(self._root, trial_id, level)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def points(self, search: str, search_id: str) -> list[PointRecord]:
        """What a search asked for, in order of number.

        Raises StoreError for a file that cannot be read.
        """
        found = point_files(self._root, "points", search, search_id)
        return [_point(_rows(path, "points")) for _, path in found]

    def scores(self, search: str, search_id: str) -> dict[int, ScoreRecord]:
        """What its points came to, by number, as far as they have come to an end.

        Raises StoreError for a file that cannot be read.
        """
        found = point_files(self._root, "scores", search, search_id)
        return {number: _score(*_rows(path, "scores")) for number, path in found}

    def standings(self) -> list[tuple[Standing, float, str]]:
        """How far trials in flight have come, the seconds since that was noted, and the host.

        The store's own clock counts: those of hosts may differ. A host that died has left its
        notes, which grow old. Raises StoreError where the store is away.
        """
        folder = self._root / "running"
        try:
            if not folder.is_dir():
                return []
            now = _clock_of(folder)
            noted = [_standing(path, now) for path in sorted(folder.iterdir())]
        except OSError as error:
            raise StoreError(f"{folder} cannot be read: {error}") from error
        return [standing for standing in noted if standing is not None]

    def sql(self, query: str) -> pa.Table:
        """The result of one reading statement over the tables `TABLES`, as Arrow.

        Raises QueryError for SQL that is wrong or would change anything, StoreError for a file
        that cannot be read.
        """
        with duckdb.connect() as connection:
            _refuse_writing(connection, query)
            try:
                self._define_tables(connection)
                return connection.sql(query).to_arrow_table()
            except (OSError, pa.ArrowException, duckdb.InvalidInputException) as error:
                raise StoreError(f"{self._root} cannot be read: {error}") from error
            except duckdb.Error as error:
                raise QueryError(_in_user_words(error)) from error

    def frame(self, table: str) -> "pd.DataFrame":
        """All rows of one table, as pandas."""
        rows: pd.DataFrame = self.sql(f"from {table}").to_pandas()
        return rows

    def _define_tables(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Views over the files; `levels` are listed first, so what belongs to them is there.

        Rows that every view rests on are loaded, bulky ones read as far as the query needs them.
        """
        connection.sql("create schema files")
        for table in ("levels", *(name for name in TABLES if name != "levels")):
            paths = [str(path) for path in files(self._root, table)]
            bulky = table in PER_LEVEL
            rows = dataset(paths, TABLES[table]) if bulky else self._loaded(table, paths)
            connection.register(f"stored_{table}", rows)
            made = "view" if bulky else "table"
            connection.sql(f"create {made} files.{table} as from stored_{table}")
        define(connection)
        connection.sql("set enable_external_access = false")
        connection.sql("set lock_configuration = true")

    def _loaded(self, table: str, paths: Sequence[str]) -> pa.Table:
        """All rows of a table. Files never change, so those read before are not read again."""
        known, rows = self._known.get(table, (frozenset(), TABLES[table].empty_table()))
        if not known <= set(paths):  # another store is there now
            known, rows = frozenset(), TABLES[table].empty_table()
        new = [path for path in paths if path not in known]
        if new:
            read = dataset(new, TABLES[table]).to_table()
            rows = pa.concat_tables([rows, read]).combine_chunks()
            self._known[table] = known.union(new), rows
        return rows


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


def _rows(path: Path, table: str) -> list[dict[str, Any]]:
    """A file's rows in order of `position`, where the table has one."""
    try:
        stored = pq.read_table(path, schema=TABLES[table])
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    ordered = stored.sort_by("position") if "position" in stored.column_names else stored
    rows: list[dict[str, Any]] = ordered.to_pylist()
    return rows


def _stored_tensors(path: Path, table: str) -> tuple[StoredTensor, ...]:
    return tuple(
        StoredTensor(
            name=row["name"], shape=tuple(row["shape"]), dtype=row["dtype"], values=row["values"]
        )
        for row in _rows(path, table)
    )


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


def _standing(path: Path, now: float) -> tuple[Standing, float, str] | None:
    """None for a draft, and for a note that is gone by now or of another lip-ray."""
    if path.name.startswith("."):
        return None
    try:
        note = json.loads(path.read_text())
        host = note.pop("host")
        return Standing(**note), max(0.0, now - path.stat().st_mtime), host
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _clock_of(folder: Path) -> float:
    """The time that a file written there now would have; this host's where none can be."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def _prefix(levels: set[int]) -> int:
    return next(count for count in range(len(levels) + 1) if count not in levels)
