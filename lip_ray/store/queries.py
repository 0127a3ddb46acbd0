"""SQL over a store's files as they are at the moment, loose or in parts; damaged ones are left out.

Rows that every view rests on are loaded, each file once. Bulky loose files are verified before
they are read. Of parts no more is read, and verified, than a query needs: DuckDB, which verifies
nothing by itself, reads them through `VerifiedFiles`.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.store import legacy
from lip_ray.store.database import database
from lip_ray.store.decoded import Reading, rows_of
from lip_ray.store.files import READ_ERRORS, Files, valid
from lip_ray.store.limits import Limits, beyond_limits
from lip_ray.store.manifest import (
    COMPACTED,
    FILE,
    FOLDER,
    loose_files,
    newest,
    part_schema,
    stem_of,
)
from lip_ray.store.paths import Damaged, QueryError, StoreError, level_of
from lip_ray.store.schema import TABLES
from lip_ray.store.verified import SCHEME
from lip_ray.store.views import PER_LEVEL, define, needed_by, without_rows

ATTEMPTS = 5
"""Looks at a store that compaction changes meanwhile."""

ASKING = {"sweeps": "sweep", "points": "search"}
"""By table of the trials that were asked for, the column with the sweep's name."""

NAMED_AFTER = {**ASKING, "scores": "search"}
"""By table whose rows are each of one sweep, the column with its name; with _id, that of its id."""

BY_TRIAL = ("trials", "levels", "failures", "omissions", *PER_LEVEL)
"""Tables of which a query about some trials needs the rows of those trials only."""

UNREADABLE = (*READ_ERRORS, duckdb.Error)
"""Errors of queries that damaged or vanished files cause; DuckDB's own reader of Parquet has
many."""

MISTAKES = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.PermissionException,
)
"""Errors of queries that no file can cause, so that no file is checked."""

DONE = """
select trial_id, len(list_filter(list_sort(list_distinct(list(level))), lambda n, i: n = i - 1))
from {rows} group by trial_id order by trial_id
"""
"""Counts the levels of each trial from 0 up to the first gap."""


Request: TypeAlias = tuple[str, str, str | None]
"""Name and id of a sweep or search, and a trial that it asked for; a point may have no trial."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The files of a table."""

    loose: Sequence[str]
    parts: Sequence[str] = ()


class Queries:
    """Answers about one store, remembering what does not change between two of them."""

    def __init__(self, files: Files, limits: Limits | None = None) -> None:
        """Without limits, those of the environment count."""
        self._files = files
        self._limits = limits
        self._loaded: dict[str, tuple[frozenset[str], pa.Table]] = {}
        self._folded: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        """For each part, whether it has the rows of a loose file that was looked for."""
        self._damaged: dict[str, float | None] = {}
        """Damaged files and the times of their last change; None for a part that is missing."""
        self._sound: set[tuple[str, bool]] = set()
        self._older: dict[str, pa.Table | None] = {}
        """For each part of `trials`, its rows with facets; None where DuckDB reads the part
        itself."""

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that could not be read."""
        return tuple(sorted(self._damaged))

    def answer(
        self, query: str, trials: Collection[str] | None = None, *, sweep: str | None = None
    ) -> pa.Table:
        r"""The result of one statement, of which only the rows of the given trials are used.

        Of what sweeps asked for, only the rows of the sweep with this name or id are used.
        Raises QueryError for one that is wrong or no select, StoreError for a store that is
        unavailable.
        """
        for _ in range(ATTEMPTS):
            listing: dict[str, Listed] = {}
            with database(self._limits or Limits.of_environment()) as bounded:
                connection = bounded.connection
                refuse_writing(connection, query)
                try:
                    needed = needed_by(connection, query)
                    listing = _of(trials, self._listing(needed.tables))
                    listing = self._verified(listing)
                    self._define(connection, listing, trials, needed.views, sweep)
                    return valid(bounded.answer(query))
                except duckdb.OutOfMemoryException as error:
                    raise beyond_limits(error) from error
                except MISTAKES as error:
                    raise QueryError(in_user_words(error) + _nearest(connection, error)) from error
                except UNREADABLE as error:
                    if not self._changed(listing):
                        raise self._told(error) from error
        raise StoreError(f"{self._files.where} changes all the time: try again")

    def requests(self) -> Set[Request]:
        r"""What sweeps and searches asked for.

        Raises StoreError for a store that is unavailable.
        """
        try:
            listing = self._listing(ASKING)
            found = set[Request]()
            for table, listed in listing.items():
                column = ASKING[table]
                rows = self._loaded_rows(table, listed.loose)
                names = (column, f"{column}_id", "trial_id")
                found |= set(zip(*(rows[name].to_pylist() for name in names), strict=True))
        except READ_ERRORS as error:
            raise self._told(error) from error
        return found

    def levels_done(self) -> dict[str, int]:
        """By trial id, how many levels are committed, from level 0 without a gap."""
        for _ in range(ATTEMPTS):
            listing: dict[str, Listed] = {}
            try:
                listing = self._listing(["levels"])
                return self._done(listing["levels"])
            except UNREADABLE as error:
                if not self._changed(listing):
                    raise self._told(error) from error
        raise StoreError(f"{self._files.where} changes all the time: try again")

    def _done(self, listed: Listed) -> dict[str, int]:
        loose = defaultdict(set)
        for found in (level_of(stem_of(name)) for name in listed.loose):
            if found is not None:  # `lip store check` names files that are no level's
                trial_id, level = found
                loose[trial_id].add(level)
        if not listed.parts:
            return {trial_id: _prefix(levels) for trial_id, levels in loose.items()}
        pairs = [
            {"trial_id": trial_id, "level": level}
            for trial_id, levels in loose.items()
            for level in levels
        ]
        with database(self._limits or Limits.of_environment()) as bounded:
            connection = bounded.connection
            connection.register("loose", pa.Table.from_pylist(pairs, LEVELS_SEEN))
            self._open_to(connection, listed.parts)
            folded = self._source(connection, "levels", listed.parts)
            rows = f"(from loose union all select trial_id, level from {folded})"
            done = bounded.answer(DONE.format(rows=rows))
        return dict(zip(done[0].to_pylist(), done[1].to_pylist(), strict=True))

    def _listing(self, tables: Collection[str]) -> dict[str, Listed]:
        """The files of tables; levels are listed first, so what belongs to them is there.

        The manifest is read last: whatever left the loose files meanwhile is in its parts.
        """
        order = sorted(tables, key=lambda table: table != "levels")
        loose = {table: loose_files(self._files, table) for table in order}
        parts = newest(self._files).parts
        listing = {
            table: Listed(
                loose=loose[table], parts=parts.get(table, ()) if table in COMPACTED else ()
            )
            for table in order
        }
        self._forget_mended(listing)
        return {table: self._sound_ones(listed) for table, listed in listing.items()}

    def _verified(self, listing: Mapping[str, Listed]) -> dict[str, Listed]:
        """Without the loose files that are read as they are needed and are damaged."""
        bulky = [name for t, listed in listing.items() if t in PER_LEVEL for name in listed.loose]
        self._note_broken(bulky)
        return {table: self._sound_ones(listed) for table, listed in listing.items()}

    def _note_broken(self, names: Sequence[str]) -> bool:
        """Note which files have a checksum that does not fit; whether there are any."""
        broken = self._files.broken(names)
        self._damaged.update({name: self._written(name) for name in broken})
        return bool(broken)

    def _sound_ones(self, listed: Listed) -> Listed:
        if not self._damaged:
            return listed
        loose, parts = (
            [name for name in names if name not in self._damaged]
            for names in (listed.loose, listed.parts)
        )
        return Listed(loose=loose, parts=parts)

    def _forget_mended(self, listing: Mapping[str, Listed]) -> None:
        """A damaged file may have been removed, or written anew under its name."""
        for name in self.damaged:
            if _table_of(name) not in listing:
                continue
            there = any(name in (*ones.loose, *ones.parts) for ones in listing.values())
            if not there or self._written(name) != self._damaged[name]:
                del self._damaged[name]

    def _written(self, name: str) -> float | None:
        try:
            return self._files.modified(name)
        except FileNotFoundError:
            return None

    def _uncovered(self, table: str, listed: Listed) -> list[str]:
        """The loose files whose rows are in no part."""
        names = listed.loose
        for part in listed.parts if names else ():
            known = self._folded[part]
            new = {stem_of(name): name for name in names if name not in known}
            if new:
                chosen = [(FILE, "in", list(new))]
                rows = self._files.table(part, part_schema(table), columns=[FILE], filters=chosen)
                found = frozenset(pc.unique(rows[FILE]).to_pylist())
                known.update({name: stem in found for stem, name in new.items()})
            names = [name for name in names if not known[name]]
        return list(names)

    def _define(
        self,
        connection: duckdb.DuckDBPyConnection,
        listing: Mapping[str, Listed],
        trials: Collection[str] | None,
        views: Collection[str] | None,
        sweep: str | None,
    ) -> None:
        """Define these views and the tables that they read; without views, all of both.

        Tables that are not listed are empty and open no file.
        """
        connection.execute("create schema files")
        without_rows(connection, TABLES.keys() - listing.keys() if views is None else ())
        for table, listed in listing.items():
            names = self._uncovered(table, listed)
            if table in PER_LEVEL:
                rows = self._files.dataset(names, TABLES[table])
            elif trials is not None and table in BY_TRIAL:
                rows = self._rows(table, names)
            else:
                rows = self._loaded_rows(table, names)
            connection.register(f"loose_{table}", rows)
            made = "view" if listed.parts or table in PER_LEVEL else "table"
            rows_of_sweep = f"loose_{table}{_where_asked(table, sweep)}"
            connection.execute(f"create {made} files.{table} as from {rows_of_sweep}")
        define(connection, views)
        self._open_to(connection, [part for listed in listing.values() for part in listed.parts])
        for table, listed in listing.items():
            if listed.parts:
                self._add_parts(connection, table, listed.parts, trials)

    def _loaded_rows(self, table: str, names: Sequence[str]) -> pa.Table:
        """All rows of loose files. Files never change: those read before are not read again."""
        known, rows = self._loaded.get(table, (frozenset(), TABLES[table].empty_table()))
        if not known <= set(names):  # another store is there now, or compaction went over it
            known, rows = frozenset(), TABLES[table].empty_table()
        new = [name for name in names if name not in known]
        if new:
            rows = pa.concat_tables([rows, self._rows(table, new)]).combine_chunks()
            self._loaded[table] = known.union(new).difference(self._damaged), rows
        return rows

    def _rows(self, table: str, names: Sequence[str]) -> pa.Table:
        """All rows of loose files, those of older versions with what these lack. Damaged ones are
        noted and left out."""
        reading = Reading(self._files, table, names)
        rows = pa.concat_tables([part_schema(table).empty_table(), *reading])
        for name in reading.damaged:
            self._damaged[name] = self._written(name)
        return rows.drop_columns(FILE)

    def _add_parts(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: str,
        parts: Sequence[str],
        trials: Collection[str] | None,
    ) -> None:
        """Parts of an older lip-ray lack columns: null, but for what a trial's class says."""
        source = self._source(connection, table, parts)
        if trials is not None:
            source += f" where {among(trials)}"
        columns = ", ".join(f'"{name}"' for name in TABLES[table].names)
        connection.execute(
            f"create or replace view files.{table} as select {columns} from (from loose_{table} "
            f"union all by name select * exclude ({FILE}) from {source})"
        )

    def _source(
        self, connection: duckdb.DuckDBPyConnection, table: str, parts: Sequence[str]
    ) -> str:
        """What SQL is to select the rows of parts from."""
        older = [rows for rows in map(self._completed, parts) if rows is not None]
        if table != "trials" or not older:
            return _read_by_duckdb(parts)
        connection.register("older_trials", pa.concat_tables(older))
        whole = [part for part in parts if self._older[part] is None]
        if not whole:
            return "older_trials"
        source = _read_by_duckdb(whole)
        return f"(from older_trials union all by name from {source})"

    def _completed(self, part: str) -> pa.Table | None:
        """The rows of an older part of `trials` with their facets; none of any other part."""
        if _table_of(part) != "trials":
            return None
        if part not in self._older:
            schema = part_schema("trials")
            [opened] = self._files.parts([part], schema).get_fragments()
            older = legacy.may_be_older(opened.metadata)
            rows = self._files.table(part, schema) if older else None
            self._older[part] = None if rows is None else legacy.completed("trials", rows)
        return self._older[part]

    def _open_to(self, connection: duckdb.DuckDBPyConnection, parts: Collection[str]) -> None:
        """Let a connection read these parts, and nothing else."""
        if parts:
            from lip_ray.store.file_system import VerifiedFiles  # stores without parts need none

            connection.register_filesystem(VerifiedFiles(self._files.opened, parts))

    def _changed(self, listing: Mapping[str, Listed]) -> bool:
        """Whether files that are read as they are needed turn out damaged, or gone by now.

        Checksums are compared first, footers then: few files with good ones are damaged elsewhere.
        """
        lazy = [name for table, listed in listing.items() for name in _lazy(table, listed)]
        with suppress(FileNotFoundError):  # which one, the next look tells
            if self._note_broken([name for name in lazy if name not in self._damaged]):
                return True
        for whole in (False, True):
            checks = [
                self._is_sound(table, name, whole)
                for table, listed in listing.items()
                for name in _lazy(table, listed)
                if name not in self._damaged and (name, whole) not in self._sound
            ]
            if not all(checks):
                return True
        return False

    def _is_sound(self, table: str, name: str, whole: bool) -> bool:
        if not self._readable(table, name, whole):
            self._damaged[name] = self._written(name)  # forgotten where nothing names it any more
            return False
        self._sound.add((name, whole))
        return True

    def _readable(self, table: str, name: str, whole: bool) -> bool:
        try:
            if whole:
                return rows_of(table, name, self._files.read(name)) is not None
            self._files.table(name, part_schema(table), columns=[])
        except (Damaged, FileNotFoundError):
            return False
        return True

    def _told(self, error: Exception) -> StoreError | QueryError:
        """Whose mistake it was, in words."""
        if isinstance(error, duckdb.Error) and not isinstance(error, duckdb.IOException):
            return QueryError(in_user_words(error))
        return StoreError(f"{self._files.where} cannot be read: {error}")


def _read_by_duckdb(parts: Iterable[str]) -> str:
    """The rows of parts in SQL, without a copy."""
    paths = ", ".join(quoted(f"{SCHEME}://{part}") for part in parts)
    return f"read_parquet([{paths}], union_by_name = true)"


def _table_of(name: str) -> str:
    """The table of a loose file or a part."""
    folder, _, stem = name.partition("/")
    return stem.rpartition("-")[0] if folder == FOLDER else folder


def _where_asked(table: str, sweep: str | None) -> str:
    """The clause that leaves a table the rows of one sweep; none where it has rows of no sweep."""
    if sweep is None or table not in NAMED_AFTER:
        return ""
    column = NAMED_AFTER[table]
    return f" where {quoted(sweep)} in ({column}, {column}_id)"


LEVELS_SEEN = pa.schema([("trial_id", pa.string()), ("level", pa.int32())])


def _of(trials: Collection[str] | None, listing: dict[str, Listed]) -> dict[str, Listed]:
    """The listing without loose files that hold only rows of other trials."""
    if trials is None:
        return listing
    chosen = frozenset(trials)

    def own(table: str, listed: Listed) -> Listed:
        if table not in BY_TRIAL:
            return listed
        loose = [n for n in listed.loose if stem_of(n).partition("-")[0] in chosen]
        return Listed(loose=loose, parts=listed.parts)

    return {table: own(table, listed) for table, listed in listing.items()}


def _lazy(table: str, listed: Listed) -> Iterator[str]:
    """Files that are read only as far as a query needs them."""
    yield from listed.parts
    if table in PER_LEVEL:
        yield from listed.loose


def refuse_writing(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise QueryError for what is not one select."""
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise QueryError(in_user_words(error)) from error
    if len(statements) != 1:
        raise QueryError(f"one SQL statement is expected, got {len(statements)}")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name.lower().replace("_", " ")
        raise QueryError(f"the store is read only: select is allowed, got a {kind} statement")


def in_user_words(error: duckdb.Error) -> str:
    """DuckDB's message: it quotes the line, with a caret, and suggests near names."""
    return re.sub(r"^(\w+ )+Error: ", "", str(error)).strip()


def _nearest(connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> str:
    """What may be meant by `table.column`: DuckDB has suggestions only for a column alone."""
    slip = re.search(r'does not have a column named "(.+)"', str(error))
    if not slip:
        return ""
    columns = connection.sql("select distinct column_name from duckdb_columns() order by 1")
    near = difflib.get_close_matches(slip[1], [name for (name,) in columns.fetchall()])
    return "\nDid you mean " + " or ".join(f'"{name}"' for name in near) + "?" if near else ""


def quoted(text: str) -> str:
    """A string in SQL."""
    return "'" + text.replace("'", "''") + "'"


def among(trials: Collection[str]) -> str:
    """The condition that a row is of one of these trials."""
    return f"trial_id in ({', '.join(map(quoted, trials)) or 'null'})"


def _prefix(levels: set[int]) -> int:
    return next(count for count in range(len(levels) + 1) if count not in levels)
