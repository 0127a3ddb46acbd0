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

from lip_ray.errors import UserError
from lip_ray.records import (
    LayerMask,
    Outcome,
    PointRecord,
    ScoreRecord,
    Standing,
    StoredTensor,
)
from lip_ray.store import masks
from lip_ray.store.paths import (
    MARKER,
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

if TYPE_CHECKING:
    import pandas as pd

LEVELS_VIEW = """
create view levels as
select *, effective / total as effective_density,
       psnr_peak_db - psnr_selected_db as psnr_gap_db,
       pow(10, -psnr_selected_db / 10) as mse_selected
from files.levels
"""
"""With what follows from the columns: a gap of 0 dB is a stopping rule as good as an oracle."""

SENSING_VIEW = """
create view sensing as
select level.trial_id, level.level, level.image, level.split, trial.pruner, trial.prior, trial.task,
       trial.spec->>'$.solver.kind' as solver, (trial.spec->>'$.task.m')::integer as m,
       coalesce((trial.spec->>'$.task.outliers.share')::double, 0) as outlier_share, trial.seed,
       level.kept, level.total, level.density, level.psnr_selected_db, level.psnr_peak_db,
       level.psnr_final_db, level.mse_selected, level.l2_per_pixel,
       floor.psnr_selected_db as psnr_floor_db
from levels as level join files.trials as trial using (trial_id)
left join (
    select reach.level, reach.image, reach.psnr_selected_db, whole.trial_id
    from files.levels as reach join files.trials as whole using (trial_id)
    where whole.kind = 'reconstruction' and whole.task = 'projection'
) as floor
on list_contains(trial.source_ids, floor.trial_id)
   and floor.level = level.level and floor.image = level.image
where trial.kind = 'reconstruction'
"""
"""Reconstructions with what tells them apart. The floor is the best fit of the same generator to
the image itself, from as many restarts: what no solver can be expected to pass."""

PER_LEVEL = ("curves", "masks", "weights", "networks", "reconstructions")
"""Tables whose rows count only once their level is committed."""

WORST_LAST = [str(outcome) for outcome in (
    Outcome.BUDGET, Outcome.STOPPED, Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED,
)]  # fmt: skip

TRIALS_VIEW = f"""
create view trials as
select trial.*, coalesce(done.levels_done, 0) as levels_done,
       case when coalesce(done.levels_done, 0) >= trial.levels then done.outcome
            when trial.trial_id in (select trial_id from files.failures) then 'given up'
            else 'incomplete' end as outcome
from files.trials as trial
left join (
    select trial_id, count(distinct level)::integer as levels_done,
           arg_max(outcome, list_position({WORST_LAST}, outcome)) as outcome
    from files.levels group by trial_id
) as done using (trial_id)
"""
"""A trial ended as the worst of its levels did; rows are never rewritten to say so. One that was
given up and completed later ended like any other."""

FAILURES_VIEW = """
create view failures as
select failure.*, coalesce(trial.levels_done < trial.levels, true) as open
from files.failures as failure left join trials as trial using (trial_id)
"""
"""A trial without a row never began."""

TIMINGS_VIEW = """
create view timings as
select trial.kind, trial.prior, trial.task, trial.image, fit.device, size.height, size.width,
       trial.macs_per_step, count(distinct trial.trial_id) as trials, count(*) as fits,
       median(fit.fit_s / fit.steps) as step_s, median(fit.fit_s) as fit_s,
       median(fit.memory_mb) as memory_mb
from (
    select trial_id, level, any_value(device) as device, sum(fit_s) as fit_s, max(steps) as steps,
           max(memory_mb) as memory_mb
    from files.levels group by all
) as fit
join files.trials as trial using (trial_id)
left join (
    select trial_id, max(height) as height, max(width) as width
    from files.reconstructions where role != 'samples' group by trial_id
) as size using (trial_id)
where fit.steps > 0
group by trial.kind, trial.prior, trial.task, trial.image, fit.device, size.height, size.width,
         trial.macs_per_step
"""
"""What a fit, of all images of a level together, took by what it was of: medians, in seconds and
10⁶ bytes. A sheet of a generator's samples says nothing of its images' size."""

POINTS_VIEW = """
create view points as
with told as (
    select score.*, list_transform(
        list_zip(
            score."values", json_extract_string(point.objectives, '$[*].direction'), true
        ),
        lambda pair: case when pair[2] = 'maximize' then -pair[1] else pair[1] end
    ) as losses
    from files.scores as score
    join (select distinct search, search_id, number, objectives from files.points) as point
    using (search, search_id, number)
),
dominated as (
    select distinct one.search, one.search_id, one.number
    from told as one join told as other using (search, search_id)
    where one.state = 'complete' and other.state = 'complete' and other.losses != one.losses
      and list_bool_and(list_transform(
          list_zip(other.losses, one.losses), lambda pair: pair[1] <= pair[2]
      ))
)
select point.*, told.state, told."values", told.losses,
       coalesce(told.state = 'complete', false) and dominated.number is null as pareto,
       told.reason, told.told_at
from files.points as point
left join told using (search, search_id, number)
left join dominated using (search, search_id, number)
"""
"""Points of equal values are all on the front, or all off it."""

PARETO_VIEW = """
create view pareto as
select distinct on (search, search_id, number)
       search, search_id, number, params, objectives, "values", losses
from points where pareto order by search, search_id, number
"""
"""The front of each search: one row a point."""


class QueryError(UserError):
    """The SQL is wrong, or asks for more than reading; the message says what and where."""


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
        connection.sql(LEVELS_VIEW)
        connection.sql("create view sweeps as from files.sweeps")
        for table in PER_LEVEL:
            derived = ", kept / total as density" if table == "masks" else ""
            connection.sql(
                f"create view {table} as select * {derived} from files.{table} "
                "semi join files.levels using (trial_id, level)"
            )
        connection.sql(TRIALS_VIEW)
        for view in (FAILURES_VIEW, TIMINGS_VIEW, POINTS_VIEW, PARETO_VIEW, SENSING_VIEW):
            connection.sql(view)
        connection.sql("create view scores as from files.scores")
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
