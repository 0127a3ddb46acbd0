"""What a query may take of a machine: memory, threads, room on disk, and no more time than wanted.

DuckDB would take 80 % of the memory, all cores, and a folder `.tmp` in the current one.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from lip_ray.cores import available_cpus
from lip_ray.scratch import private_folder
from lip_ray.store.paths import QueryError
from lip_ray.store_names import MEMORY, MOST_MEMORY, MOST_SPILL, SPILL, THREADS

UNITS = {
    unit + ending: base**power
    for power, unit in enumerate("KMGT", start=1)
    for ending, base in (("B", 1000), ("iB", 1024))
}

SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", re.IGNORECASE)
SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")

DUCKDB_SHARE = 0.8
"""What DuckDB takes by default of the memory that a process may use."""

PREFIX = "lip-ray-query-"
"""How the names of temporary folders begin."""

SMALLEST = 10**7
"""Bytes of memory that DuckDB needs to begin with."""

BATCH = 100_000
"""Rows at a time, of an answer."""

NOT_IN_ARROW = ("UHUGEINT", "BIT", "BIGNUM", "TIME WITH TIME ZONE", "UNION", "VARIANT")
"""How the types begin that come out as other values, or not at all."""

INTERRUPTED = "Query interrupted"
"""How DuckDB tells of a Ctrl-C that came while it worked in the main thread."""

PATIENCE_S = 0.05

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that a query may take."""

    memory: str = MOST_MEMORY
    """A size, as 4GB, or a share of the memory that this process may use, as 50%. It holds for the
    work and, once more, for the answer."""
    threads: int | None = None
    """By default as many as cores that this process may use."""
    spill: str = MOST_SPILL
    """A size: what may be written to the temporary folder where memory does not suffice."""

    def __post_init__(self) -> None:
        """Raises QueryError for a value that is not allowed."""
        if not (_share(self.memory) or _size(self.memory) >= SMALLEST):
            raise QueryError(
                f"memory must be a size of at least 10MB, as 4GB or 512MiB, or a share of up to "
                f"100%, got {self.memory!r}: set --memory or {MEMORY}"
            )
        if self.threads is not None and self.threads < 1:
            raise QueryError(
                f"threads must be at least 1, got {self.threads}: set --threads or {THREADS}"
            )
        if _size(self.spill) < 0:
            raise QueryError(
                f"spill must be a size, as 10GB or 0MB, got {self.spill!r}: set --spill or {SPILL}"
            )

    @staticmethod
    def of_environment() -> "Limits":
        """What the environment sets, else defaults. Raises QueryError."""
        threads = os.environ.get(THREADS)
        if threads and not threads.isdecimal():
            raise QueryError(f"{THREADS} must be a whole number of at least 1, got {threads!r}")
        return Limits(
            memory=os.environ.get(MEMORY) or Limits.memory,
            threads=int(threads) if threads else None,
            spill=os.environ.get(SPILL) or Limits.spill,
        )


@dataclass(frozen=True, kw_only=True)
class Database:
    """An empty database that keeps within limits."""

    connection: duckdb.DuckDBPyConnection
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
        for batch in reader:
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
    """A database whose folder for what does not fit into memory is its own, and gone afterwards.

    Where no such folder can be made it does without: a query that needs it says so.
    """
    try:
        with _own_folder() as folder:
            config: dict[str, str | bool | int | float | list[str]] = {
                "temp_directory": folder,
                "max_temp_directory_size": limits.spill,
            }
            with duckdb.connect(config=config) as connection:
                memory = _memory(connection, limits)
                threads = limits.threads or available_cpus()
                connection.execute(f"set threads = {threads}; set memory_limit = '{memory}B'")
                yield Database(connection=connection, memory=memory)
    except RuntimeError as error:
        if str(error) != INTERRUPTED:
            raise
        raise KeyboardInterrupt from error


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


def beyond_limits(error: duckdb.OutOfMemoryException) -> QueryError:
    """That a query needs more memory or room on disk than it may take."""
    said = re.sub(r"^\w+(?: \w+)* Error: ", "", str(error).strip().splitlines()[0])
    return QueryError(
        f"the query needs more than it may take ({said}): select less, or allow more with "
        f"--memory, --spill, {MEMORY} or {SPILL}"
    )


def _settle(found: "Future[Any]", act: Callable[[], object]) -> None:
    try:
        found.set_result(act())
    except BaseException as error:  # whoever waits raises it
        found.set_exception(error)


@contextmanager
def _own_folder() -> Iterator[str]:
    """A temporary folder, after the removal of those that killed queries have left; no name where
    none can be made."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(private_folder(Path(tempfile.gettempdir()), PREFIX))
        except OSError:
            made = None
        yield str(made or "")


def _memory(connection: duckdb.DuckDBPyConnection, limits: Limits) -> int:
    """In bytes what a query may use on this machine. DuckDB knows what the process may have."""
    share = _share(limits.memory)
    if not share:
        return _size(limits.memory)
    [(default,)] = connection.execute("select current_setting('memory_limit')").fetchall()
    return max(SMALLEST, int(share * _size(default) / DUCKDB_SHARE))


def _share(text: str) -> float:
    """The share that a text says, 0 for one that says none or too much."""
    found = SHARE.fullmatch(text.strip())
    share = float(found[1]) / 100 if found else 0.0
    return share if share <= 1 else 0.0


def _size(text: str) -> int:
    """The bytes that a text says, -1 for one that says none."""
    found = SIZE.fullmatch(text.strip())
    units = {unit.casefold(): bytes_ for unit, bytes_ in UNITS.items()}
    return int(float(found[1]) * units[found[2].casefold()]) if found else -1
