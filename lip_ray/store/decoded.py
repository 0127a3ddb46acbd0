"""The rows of whole files: verified by their checksum, decoded, and valid."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from lip_ray.store import legacy
from lip_ray.store.files import AT_ONCE, READ_ERRORS, Files, valid
from lip_ray.store.manifest import FILE, part_schema, stem_of
from lip_ray.store.seal import Seal, seal_of


class Reading:
    """The rows of files, one after another, each with the `file` that it came from; counted."""

    def __init__(self, files: Files, table: str, names: Sequence[str]) -> None:
        self._files = files
        self._table = table
        self._names = names
        self.count = 0
        self.size = 0
        self.damaged: list[str] = []
        """Those without rows, as they cannot be read."""
        self.unsealed = 0
        """Those with rows and without a checksum."""

    def __iter__(self) -> Iterator[pa.Table]:
        """Raises FileNotFoundError for one that is gone."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(self._names), 64 * AT_ONCE):
                names = self._names[start : start + 64 * AT_ONCE]
                for name, content in zip(names, pool.map(self._files.read, names), strict=True):
                    seal = seal_of(content)
                    rows = _rows(self._table, name, content, seal)
                    if rows is None:
                        self.damaged.append(name)
                        continue
                    self.count += 1
                    self.size += len(content)
                    self.unsealed += seal is Seal.MISSING
                    yield rows


def rows_of(table: str, name: str, content: bytes) -> pa.Table | None:
    """The rows of a loose file or a part with the `file` of each; none where it is damaged."""
    return _rows(table, name, content, seal_of(content))


def _rows(table: str, name: str, content: bytes, seal: Seal) -> pa.Table | None:
    if seal is Seal.BROKEN:
        return None
    schema = part_schema(table)
    try:
        stored = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)
        if FILE not in stored.column_names:
            stored = stored.append_column(FILE, pa.repeat(stem_of(name), len(stored)))
        rows = valid(stored if stored.schema.equals(schema) else _aligned(stored, schema))
        return legacy.completed(table, rows)
    except READ_ERRORS:
        return None


def _aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """With the columns that an older version did not have, and without any that it had more."""
    missing = [field for field in schema if field.name not in rows.column_names]
    for field in missing:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(schema.names).cast(schema)
