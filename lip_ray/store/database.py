"""Databases in memory for queries, which keep within limits and end as soon as somebody wants it.

DuckDB by itself would take 80 % of the memory, all cores, a folder `.tmp` in the current one, and
any file that a query names. A DuckDB that is set up otherwise takes longer to begin than most
queries take: between two of them it is kept.
"""

import atexit
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from threading import Lock, Thread, current_thread, main_thread
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from lip_ray.cores import available_cpus
from lip_ray.errors import UserError
from lip_ray.scratch import named_folder
from lip_ray.store.limits import Limits
from lip_ray.store.manifest import FOLDER
from lip_ray.store.paths import QueryError, StoreError
from lip_ray.store.verified import SCHEME
from lip_ray.store_names import MEMORY

PREFIX = "lip-ray-query-"
"""How the names of temporary folders begin."""

BATCH = 100_000
"""Rows at a time, of an answer."""

NOT_IN_ARROW = ("UHUGEINT", "BIT", "BIGNUM", "TIME WITH TIME ZONE", "UNION", "VARIANT")
"""How the types begin that come out as other values, or not at all."""

STREAMED = {
    "Conversion Error": duckdb.ConversionException,
    "Invalid Input Error": duckdb.InvalidInputException,
    "Out of Memory Error": duckdb.OutOfMemoryException,
    "Out of Range Error": duckdb.OutOfRangeException,
}
"""DuckDB's errors of queries by the words that they begin with: once the first rows have come,
Arrow tells of them as if a file could not be read."""

INTERRUPTED = "Query interrupted"
"""How DuckDB tells of a Ctrl-C that came while it worked in the main thread."""

PATIENCE_S = 0.05

MOST_USES = 100
"""How often a DuckDB is used, so that what it remembers of files stays small."""

LOCKED = f"""
set parquet_metadata_cache = true;
set enable_external_file_cache = false;
set allowed_directories = ['{SCHEME}://{FOLDER}/'];
set enable_external_access = false;
set lock_configuration = true
"""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Database:
    """An empty database that keeps within limits and reads no file but those of `VerifiedFiles`."""

    connection: duckdb.DuckDBPyConnection
    """In a transaction that is taken back in the end."""
    memory: int
    """In bytes: for the work, and for an answer."""

    def answer(self, query: str) -> pa.Table:
        """The rows of a select, which Ctrl-C ends at once.

        Raises QueryError for an answer that is larger than the memory that is allowed.
        """
        return interruptible(self.connection, lambda: self._collected(query))

    def _collected(self, query: str) -> pa.Table:
        reader = _exportable(self.connection.sql(query)).to_arrow_reader(BATCH)
        kept, size = [], 0
        for batch in _batches(reader):
            kept.append(batch)
            size += batch.nbytes
            if size > self.memory:
                raise QueryError(
                    f"the answer has more than {self.memory / 1e6:,.0f} MB: select fewer rows or "
                    f"columns, or allow more with --memory or {MEMORY}"
                )
        return pa.Table.from_batches(kept, reader.schema)


@contextmanager
def database(limits: Limits) -> Iterator[Database]:
    """A database with nothing in it, for one user at a time.

    What does not fit into memory is in a folder of its own, which is gone afterwards. Where no such
    folder can be made it does without: a query that needs it says so.
    """
    try:
        engine = _taken(_Setting.of(limits))
        try:
            with engine.connection.cursor() as connection:
                connection.begin()
                refused: UserError | None = None
                try:
                    yield Database(connection=connection, memory=engine.memory)
                except UserError as error:
                    if not _is_sound_after(error):
                        raise
                    refused = error
                connection.rollback()
                if connection.filesystem_is_registered(SCHEME):
                    connection.unregister_filesystem(SCHEME)
        except BaseException:  # who knows in what state it is
            engine.close()
            raise
        _give_back(engine)
        if refused:
            raise refused
    except RuntimeError as error:
        if str(error) != INTERRUPTED:
            raise
        raise KeyboardInterrupt from error


def _is_sound_after(error: UserError) -> bool:
    """Whether DuckDB has only refused a query, or has nothing to do with what went wrong."""
    if isinstance(error.__cause__, duckdb.Error):
        return isinstance(error.__cause__, duckdb.ProgrammingError)
    return isinstance(error, StoreError)


@dataclass(frozen=True)
class _Setting:
    """What a DuckDB is set up for."""

    limits: Limits
    threads: int
    folder: Path
    """The folder in which its temporary one is made."""

    @staticmethod
    def of(limits: Limits) -> "_Setting":
        """As things are now: tests move the temporary folder, and schedulers take cores."""
        return _Setting(limits, limits.threads or available_cpus(), Path(tempfile.gettempdir()))


@dataclass(kw_only=True)
class _Engine:
    """A DuckDB that is set up, and locked for good. While it is in use it has a temporary folder,
    always with the same name."""

    setting: _Setting
    connection: duckdb.DuckDBPyConnection
    memory: int
    temporary: Path | None
    """The folder for what does not fit into memory; None where none could be made."""
    uses: int = 1
    _folder: ExitStack

    @classmethod
    def begun(cls, setting: _Setting) -> "_Engine":
        """A new one, in use."""
        name = setting.folder / f"{PREFIX}{token_hex(8)}"
        with ExitStack() as stack:
            try:
                temporary = stack.enter_context(named_folder(name, PREFIX))
            except OSError:
                temporary = None
            config: dict[str, str | bool | int | float | list[str]] = {
                "temp_directory": str(temporary or ""),
                "max_temp_directory_size": setting.limits.spill,
            }
            connection = duckdb.connect(config=config)
            asked = connection.execute("select current_setting('memory_limit')")
            [(default,)] = asked.fetchall()
            memory = setting.limits.memory_bytes(default)
            connection.execute(
                f"set threads = {setting.threads}; set memory_limit = '{memory}B'; {LOCKED}"
            )
            return cls(
                setting=setting,
                connection=connection,
                memory=memory,
                temporary=temporary,
                _folder=stack.pop_all(),
            )

    def taken_again(self, setting: _Setting) -> bool:
        """Whether it is fit for that setting, and in use from now on."""
        if self.setting != setting or self.uses == MOST_USES or self.temporary is None:
            return False
        try:
            self._folder.enter_context(named_folder(self.temporary, PREFIX))
        except OSError:
            return False
        self.uses += 1
        return True

    def end(self) -> None:
        """End to use it: its folder is removed."""
        self._folder.close()

    def close(self) -> None:
        """End its threads, and remove its folder."""
        self.connection.close()
        self.end()


_idle: list[_Engine] = []
"""The DuckDB that was used last, unless it is in use."""
_changing = Lock()


def _taken(setting: _Setting) -> _Engine:
    """The idle DuckDB where it fits, else a new one."""
    with _changing:
        engine = _idle.pop() if _idle else None
    if engine:
        if engine.taken_again(setting):
            return engine
        engine.close()
    return _Engine.begun(setting)


def _give_back(engine: _Engine) -> None:
    """Keep it for the next query, in place of another."""
    engine.end()
    with _changing:
        others = _idle[:]
        _idle[:] = [engine]
    for other in others:
        other.close()


def close_idle() -> None:
    """End the DuckDB that waits for another query, if any: its threads are in no fork of this
    process, which would wait for their end."""
    with _changing:
        idle = _idle[:]
        _idle.clear()
    for engine in idle:
        engine.close()


atexit.register(close_idle)
os.register_at_fork(before=close_idle)


def interruptible(connection: duckdb.DuckDBPyConnection, act: Callable[[], Result]) -> Result:
    """What `act` returns, which works with the connection: Ctrl-C ends it at once.

    DuckDB itself looks for signals only between long pieces of work.
    """
    if current_thread() is not main_thread():  # signals do not come here
        return act()
    found: Future[Result] = Future()
    worker = Thread(target=_settle, args=(found, act), daemon=True)
    worker.start()
    try:
        return found.result()
    except (KeyboardInterrupt, SystemExit):
        while worker.is_alive():  # one that has not begun yet does not hear the first call
            connection.interrupt()
            worker.join(PATIENCE_S)
        raise
    finally:
        worker.join()  # one that is still in DuckDB when Python ends would abort the process


def _settle(found: "Future[Any]", act: Callable[[], object]) -> None:
    try:
        found.set_result(act())
    except BaseException as error:  # whoever waits raises it
        found.set_exception(error)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """Its batches. Raises DuckDB's own errors for those of DuckDB that come by way of Arrow."""
    try:
        yield from reader
    except OSError as error:
        kind, _, _ = str(error).partition(": ")
        if kind not in STREAMED:
            raise
        raise STREAMED[kind](str(error)) from error


def _exportable(rows: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With text in place of types that Arrow lacks, which would be other values there."""
    kinds = list(map(str, rows.types))
    if not any(kind.startswith(NOT_IN_ARROW) for kind in kinds):
        return rows
    columns = [
        f"#{place}::varchar as {_name(name)}" if kind.startswith(NOT_IN_ARROW) else f"#{place}"
        for place, (name, kind) in enumerate(zip(rows.columns, kinds, strict=True), start=1)
    ]
    return rows.project(", ".join(columns))


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
