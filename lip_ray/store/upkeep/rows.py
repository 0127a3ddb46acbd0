"""Rows with the file that each came from, as needed for the maintenance of a store."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lip_ray.store import legacy
from lip_ray.store.files import Files, files_of
from lip_ray.store.manifest import FILE, part_schema, stem_of, stems
from lip_ray.store.paths import StoreError
from lip_ray.store.reader import Reader

READERS = 16
"""The number of files that are read in parallel, as each takes its time over a network."""


def opened(store: str | Path) -> Files:
    """The files of a store. Raises StoreError where there is none, or one of a newer layout."""
    Reader(store)
    return files_of(store)


class Reading:
    """Iterates over the rows of files, each with the `file` that it came from, and counts them."""

    def __init__(self, files: Files, table: str, names: Sequence[str]) -> None:
        self._files = files
        self._table = table
        self._names = names
        self.count = 0
        self.size = 0
        self.damaged: list[str] = []
        """Files that could not be read, and so have no rows."""

    def __iter__(self) -> Iterator[pa.Table]:
        """The rows of each readable file. Raises FileNotFoundError for one that has vanished."""
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(self._names), 64 * READERS):
                names = self._names[start : start + 64 * READERS]
                for name, content in zip(names, pool.map(self._files.read, names), strict=True):
                    rows = rows_of(self._table, name, content)
                    if rows is None:
                        self.damaged.append(name)
                        continue
                    self.count += 1
                    self.size += len(content)
                    yield rows


def covered_by(files: Files, table: str, parts: Iterable[str]) -> frozenset[str]:
    """The loose files whose rows some parts hold.

    Raises FileNotFoundError for a missing part, StoreError for a damaged one.
    """
    found: frozenset[str] = frozenset()
    for name in parts:
        try:
            found |= stems(files, table, name)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{files.where}/{name} is damaged: {error}") from error
    return found


def rows_of(table: str, name: str, content: bytes) -> pa.Table | None:
    """The rows of a loose file or a part with the `file` of each; none where it is damaged."""
    schema = part_schema(table)
    try:
        stored = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        if FILE not in stored.column_names:
            stored = stored.append_column(FILE, pa.repeat(stem_of(name), len(stored)))
        rows = stored if stored.schema.equals(schema) else _aligned(stored, schema)
    except (OSError, pa.ArrowException):
        return None
    return legacy.completed(table, rows)


def _aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with exactly the present columns: missing ones are null, unknown ones are dropped."""
    missing = [field for field in schema if field.name not in rows.column_names]
    for field in missing:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(schema.names).cast(schema)


def folded_rows_of(
    files: Files, table: str, parts: Sequence[str], wanted: Collection[str]
) -> dict[str, pa.Table]:
    """For each wanted file, the rows that the parts hold."""
    if not parts or not wanted:
        return {}
    schema = part_schema(table)
    chosen = pc.field(FILE).isin(list(wanted))
    rows = files.dataset(parts, schema).to_table(filter=chosen).sort_by(FILE)
    rows = legacy.completed(table, rows)
    runs = pc.run_end_encode(rows[FILE].combine_chunks())
    ends = runs.run_ends.to_pylist()
    return {
        stem: rows.slice(start, end - start)
        for stem, start, end in zip(runs.values.to_pylist(), [0, *ends], ends, strict=False)
    }


def alike(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables have the same rows, with NaN equal to NaN."""
    return repr(one.to_pylist()) == repr(other.to_pylist())
