"""Compaction: many small files become a few large ones, beside whoever reads and writes.

A part holds the rows of many loose files and says of each row which. A manifest that names it
appears in one step; from then on readers leave the loose files out. These stay until a manifest
that covers them is older than the grace period: whoever listed them before may still be reading.
Killed between any two steps it leaves a store that reads the same, and the next one goes on.

Nothing is deleted whose rows are not in parts of the newest manifest that are whole to the last
byte, and no file whose name is not that of a loose file, a part or a manifest. A damaged part stays
as it is, beside new ones: it may be restored from a copy.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from lip_ray.store.decoded import Reading
from lip_ray.store.files import AT_ONCE, READ_ERRORS, Files
from lip_ray.store.manifest import (
    COMPACTED,
    FILE,
    FOLDER,
    Manifest,
    Origin,
    loose_files,
    manifests,
    newest,
    part_schema,
    parts_of,
    publish,
    read_manifest,
    stem_of,
    stems,
    table_of,
    version_of,
)
from lip_ray.store.paths import SUFFIX, Damaged, StoreError
from lip_ray.store.seal import BLOCKS_KEY, blocks_over, sealed
from lip_ray.store.upkeep.rows import covered_by, opened, safe_in

PART_BYTES = 256 << 20
"""In memory: a part is written once it has as many."""

SMALL_BYTES = 16 << 20
"""A part with less is merged with what comes next, so that there never are many. It is far below
what becomes of `PART_BYTES` in a file, so no row is rewritten more than a few times."""

GROUP_BYTES = 4 << 20
"""The bytes of a row group in memory: the least that is read to see a few trials."""

COMPRESSION = 9
"""The level of zstd: parts are written once and read often, and reading takes no longer."""

JSON = ("spec", "canonical", "params", "objectives", "settings", "_key", "_keys")
"""Ends of the names of columns with long texts in JSON."""

ORPHAN_S = 86400.0
"""A part that no manifest names may be another compaction's until it is so old."""

ATTEMPTS = 10


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """What one compaction did."""

    folded: int
    """Loose files whose rows are in parts since."""
    parts: int
    """That the store has now."""
    bytes_before: int
    """The bytes of the files and parts that were merged."""
    bytes_after: int
    """The bytes of the parts that hold their rows now."""
    removed: int = 0
    """Loose files that were deleted, as parts had held their rows for long enough."""
    damaged: tuple[str, ...] = ()
    """Loose files and parts that cannot be read and were left where they are."""

    @property
    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        if self.bytes_after:
            sizes = f"{_mb(self.bytes_before)} became {_mb(self.bytes_after)}"
            yield f"{self.folded:,} files folded in, {sizes}: the store has {self.parts} parts"
        else:
            yield f"nothing new to fold in: the store has {self.parts} parts"
        if self.removed:
            yield f"{self.removed:,} files deleted whose rows have been in parts long enough"
        if self.damaged:
            yield f"{len(self.damaged):,} damaged files left alone: {', '.join(self.damaged)}"


def compact(store: str | Path, *, grace_s: float = 86400.0) -> Compaction:
    """Fold the rows of loose files into parts; delete files whose rows have long been in parts.

    Any number of others may read and write meanwhile, and compact: the later one begins again.
    Damaged files and parts are left where they are. Where a part does not even tell whose rows it
    has, nothing of its table changes. Raises StoreError where there is no store, or one of its
    parts is missing, or the manifest that names them is missing or damaged.
    """
    files = opened(store)
    settled = _settled(files, grace_s)
    for _ in range(ATTEMPTS):
        done = _attempt(files)
        if done is not None:
            return replace(done, removed=_sweep(files, settled, max(grace_s, ORPHAN_S)))
    raise StoreError(
        f"{files.where} changed under the compaction {ATTEMPTS} times, or lacks a part: see what "
        "lip store check says"
    )


def part(rows: pa.Table, origin: Origin | None = None) -> bytes:
    """A part's file: rows with their `file`, in its order, so that few trials are quick to read.

    Its metadata says where it comes from, and has its checksum.
    """
    rows = rows.sort_by(FILE)  # stable: rows of one file stay in their order
    words = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    floats = [_leaf(field) for field in rows.schema if pa.types.is_floating(_item(field.type))]
    sink = BytesIO()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="zstd",
        compression_level=COMPRESSION,
        use_dictionary=words,
        use_byte_stream_split=floats,
        write_statistics=[_leaf(field) for field in rows.schema if _has_bounds(field)],
        store_schema=False,
        write_page_checksum=True,
    ) as file:
        file.write_table(
            rows, row_group_size=max(1, GROUP_BYTES * len(rows) // max(rows.nbytes, 1))
        )
        with sink.getbuffer() as so_far:
            blocks = {BLOCKS_KEY: blocks_over(so_far)}
        file.add_key_value_metadata(blocks | (origin or Origin()).metadata)
    return sealed(sink.getvalue())


def _item(kind: pa.DataType) -> pa.DataType:
    """The type of single values, also where they are in lists."""
    return kind.value_type if pa.types.is_list(kind) else kind


def _leaf(field: pa.Field) -> str:
    """The name of a column within a Parquet file."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)


def _has_bounds(field: pa.Field) -> bool:
    """Whether the bounds of a column's values are noted, by which readers skip rows: those of bytes
    and of JSON help nobody, and are as long as a value each."""
    return not (pa.types.is_binary(field.type) or field.name.endswith(JSON))


def put_part(files: Files, table: str, rows: pa.Table, origin: Origin) -> tuple[str, int]:
    """Write a part that no manifest names yet: its name and bytes."""
    name = f"{FOLDER}/{table}-{uuid4().hex[:8]}{SUFFIX}"
    content = part(rows, origin)
    if not files.publish(name, content):
        raise StoreError(f"{files.where}/{name} is there already: try again")
    return name, len(content)


def gathered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of many small tables, as many as a part is to hold at a time."""
    held, size = [], 0
    for rows in tables:
        held.append(rows)
        size += rows.nbytes
        if size >= PART_BYTES:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)


def _attempt(files: Files) -> Compaction | None:
    """One compaction; none where another was faster, so that it has to begin again."""
    loose = {
        table: loose_files(files, table) for table in COMPACTED
    }  # before the manifest, as readers do
    old = newest(files)
    try:
        folds = {table: _fold(files, table, loose[table], old) for table in COMPACTED}
    except FileNotFoundError:
        return None
    written = [name for fold in folds.values() for name in fold.written]
    parts = {table: fold.parts for table, fold in folds.items()}
    if written and not publish(files, Manifest(version=old.version + 1, parts=parts)):
        for name in written:
            files.remove(name)
        return None
    return Compaction(
        folded=sum(fold.folded for fold in folds.values()),
        parts=sum(len(fold.parts) for fold in folds.values()),
        bytes_before=sum(fold.bytes_before for fold in folds.values()),
        bytes_after=sum(fold.bytes_after for fold in folds.values()),
        damaged=tuple(name for fold in folds.values() for name in fold.damaged),
    )


@dataclass(frozen=True, kw_only=True)
class Fold:
    """What becomes of one table."""

    parts: tuple[str, ...]
    """All of it, with those it had and keeps."""
    written: tuple[str, ...] = ()
    folded: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    damaged: tuple[str, ...] = ()


def _fold(files: Files, table: str, loose: Sequence[str], old: Manifest) -> Fold:
    """Write what is new of a table, together with the parts that are still small."""
    parts = tuple(old.parts.get(table, ()))
    try:
        covered = covered_by(files, table, parts)
        small = [name for name in parts if _bytes_in(files, table, name) < SMALL_BYTES]
    except Damaged:
        return Fold(parts=parts, damaged=tuple(files.broken(parts)))
    damaged = files.broken(small)
    small = [name for name in small if name not in damaged]
    reading = Reading(files, table, [name for name in loose if stem_of(name) not in covered])
    new = iter(reading)
    first = next(new, None)
    if first is None and len(small) < 2:
        return Fold(parts=parts, damaged=(*damaged, *reading.damaged))
    if not old.version:
        publish(files, old)  # parts without any manifest would seem to have lost it
    merged = Reading(files, table, small)
    rows = chain(merged, [] if first is None else [first], new)
    written, done = [], 0
    for chunk in gathered(rows):
        origin = Origin(version=old.version + 1, replaces=tuple(small[done : merged.count]))
        done = merged.count
        written.append(put_part(files, table, chunk, origin))
    if merged.damaged:
        raise StoreError(f"{files.where}/{merged.damaged[0]} is damaged: restore it from a copy")
    names = tuple(name for name, _ in written)
    return Fold(
        parts=(*(name for name in parts if name not in small), *names),
        written=names,
        folded=reading.count,
        bytes_before=reading.size + merged.size,
        bytes_after=sum(size for _, size in written),
        damaged=(*damaged, *reading.damaged),
    )


def _bytes_in(files: Files, table: str, part: str) -> int:
    """The uncompressed bytes of a table in a part."""
    [fragment] = files.parts([part], part_schema(table)).get_fragments()
    return sum(group.total_byte_size for group in fragment.row_groups)


def _settled(files: Files, grace_s: float) -> Manifest:
    """The newest manifest that is older than the grace period: nobody reads what came before it."""
    now = files.clock()
    for name in reversed(manifests(files)):
        try:
            if now - files.modified(name) >= grace_s:
                return read_manifest(files, name)
        except FileNotFoundError:  # another compaction swept it
            break
        except StoreError:  # an older one does as well
            continue
    return Manifest(version=0, parts={})


def _sweep(files: Files, settled: Manifest, orphan_s: float) -> int:
    """Delete what nobody reads any more; how many loose files that were.

    Old manifests go first: each of those that are left then names parts that, with the loose files,
    are all of the store.
    """
    removed = 0
    try:
        current = newest(files)
        for name in manifests(files):
            if version_of(name) < settled.version:
                files.remove(name)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(files.remove, _long_covered(files, settled, current)):
                removed += 1
        for name in list(_superseded(files, current, orphan_s)):
            files.remove(name)
    except FileNotFoundError:  # another compaction sweeps, and is further
        pass
    return removed


def _long_covered(files: Files, settled: Manifest, current: Manifest) -> Iterator[str]:
    """Loose files whose rows are in parts of both manifests."""
    for table in COMPACTED:
        parts = settled.parts.get(table, ())
        loose = loose_files(files, table) if parts else []
        if loose:
            now = safe_in(files, table, current.parts.get(table, ()))
            covered = now & safe_in(files, table, parts)
            yield from (name for name in loose if stem_of(name) in covered)


def _superseded(files: Files, current: Manifest, orphan_s: float) -> Iterator[str]:
    """Parts that no manifest names, no compaction is about to name, and whose rows all are in
    parts of the current manifest."""
    named: set[str] = set()
    for manifest in manifests(files):
        with suppress(StoreError):
            named.update(chain.from_iterable(read_manifest(files, manifest).parts.values()))
    now = files.clock()
    for name in parts_of(files):
        if name not in named and now - files.modified(name) >= orphan_s:
            table = table_of(name)
            with suppress(*READ_ERRORS):  # what it holds cannot be told: it stays
                held = safe_in(files, table, current.parts.get(table, ()))
                if stems(files, table, name) <= held:
                    yield name


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
