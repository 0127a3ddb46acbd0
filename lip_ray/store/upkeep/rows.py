"""Rows with the file that each came from, as needed for the maintenance of a store."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.store import legacy
from lip_ray.store.files import Files, files_of, valid
from lip_ray.store.manifest import FILE, part_schema, stems
from lip_ray.store.paths import Damaged
from lip_ray.store.reader import Reader


def opened(store: str | Path) -> Files:
    """The files of a store. Raises StoreError where there is none, or one of a newer layout."""
    Reader(store)
    return files_of(store)


def covered_by(files: Files, table: str, parts: Iterable[str]) -> frozenset[str]:
    """The loose files whose rows some parts hold.

    Raises FileNotFoundError for a missing part, Damaged for one that does not tell.
    """
    found: frozenset[str] = frozenset()
    for name in parts:
        try:
            found |= stems(files, table, name)
        except FileNotFoundError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise Damaged(f"{files.where}/{name} is damaged: {error}") from error
    return found


def safe_in(files: Files, table: str, parts: Sequence[str]) -> frozenset[str]:
    """The loose files whose rows parts hold that are whole to the last byte."""
    broken = files.broken(parts)
    return covered_by(files, table, [name for name in parts if name not in broken])


def folded_rows_of(
    files: Files, table: str, parts: Sequence[str], wanted: Collection[str]
) -> dict[str, pa.Table]:
    """For each wanted file, the rows that the parts hold. Raises StoreError for a damaged part."""
    if not parts or not wanted:
        return {}
    schema = part_schema(table)
    chosen = pc.field(FILE).isin(list(wanted))
    rows = valid(files.parts(parts, schema).to_table(filter=chosen)).sort_by(FILE)
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
