"""Publishing: a small copy of a store with all of its numbers, to be kept in a repository.

Numbers are small. Masks, weights, networks, pictures and curves are bulky and can be made again;
the copy has those that were asked for, and notes which it lacks in the table `omissions`. Whatever
is published once stays: a trial whose rows of a table are there keeps getting them, and publishing
again adds parts beside those that there are, which keep their bytes.

All new rows appear at once, by a manifest. Killed before, publishing leaves parts that nothing
reads, and the same command removes them. Where two publish at once, the later one begins again.
"""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa

from lip_ray.names import hint
from lip_ray.store.files import READ_ERRORS, Files, files_of
from lip_ray.store.manifest import (
    COMPACTED,
    held,
    loose_files,
    manifests,
    newest,
    origin_of,
    part_schema,
    parts_of,
    stems,
    table_of,
    version_of,
)
from lip_ray.store.omissions import BULKY
from lip_ray.store.paths import QueryError, StoreError
from lip_ray.store.reader import Reader
from lip_ray.store.schema import TABLES
from lip_ray.store.upkeep.compact import compact
from lip_ray.store.upkeep.merge import Choice, Inventory, Merged, copied, same, trial_of
from lip_ray.store.upkeep.rows import opened
from lip_ray.store.writer import Writer
from lip_ray.store_names import MARKER

NUMBERS = tuple(table for table in TABLES if table not in (*BULKY, "omissions"))
"""The tables that are always published whole."""


@dataclass(frozen=True, kw_only=True)
class TableSize:
    """What a published store has of one table."""

    table: str
    files: int
    rows: int
    size: int
    """In bytes."""
    left_out: int
    """The number of levels whose rows are not there, although the original store has them."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The result of publishing: what the store in its place now has."""

    merged: Merged
    tables: tuple[TableSize, ...]
    """Those with rows or omissions."""

    @property
    def table(self) -> pa.Table:
        """One row per table, and one for all: files, rows, megabytes and levels left out."""
        rows = [
            {
                "table": one.table,
                "files": one.files,
                "rows": one.rows,
                "MB": round(one.size / 1e6, 3),
                "levels_left_out": one.left_out,
            }
            for one in (*self.tables, self.total)
        ]
        return pa.Table.from_pylist(rows)

    @property
    def total(self) -> TableSize:
        """The sums over all tables."""
        return TableSize(
            table="all",
            files=sum(one.files for one in self.tables),
            rows=sum(one.rows for one in self.tables),
            size=sum(one.size for one in self.tables),
            left_out=sum(one.left_out for one in self.tables),
        )

    @property
    def lines(self) -> Iterator[str]:
        """What was copied, in sentences."""
        return self.merged.lines


def publish(
    store: str | Path, target: str | Path, *, keep: Mapping[str, str] | None = None
) -> Published:
    r"""Copy all numbers of a store into another, made if there is none, and of bulky tables only
    the rows of some trials.

    `keep` has, for tables of `BULKY`, an SQL condition on columns of the table `trials`; a table
    without one is left out. What is published already stays, and its trials keep getting rows of
    the tables that they have. What is left out is noted in the table `omissions`.

    Raises StoreError for a target that is the store itself, in it, around it, or a folder of other
    files, and QueryError for a table that is not bulky and for wrong SQL, before anything is
    written.
    """
    source, into = opened(store), files_of(target)
    _refuse_place(source, into)
    wanted = _wanted(Reader(store), keep or {})
    Writer.open(target)
    merged = copied(into, source, _choice(wanted, Inventory.of(into)), in_parts=True)
    if any(loose_files(into, table) for table in COMPACTED):  # a run has written there
        for _ in range(2):  # the second one deletes what the first has folded
            compact(target, grace_s=0)
    _tidy(into, source)
    return Published(merged=merged, tables=tuple(_sizes(into, Reader(target))))


def rehearsed(
    store: str | Path, target: str | Path, *, keep: Mapping[str, str] | None = None
) -> Published:
    """What `publish` would do, done in a temporary folder. Raises what it would raise."""
    source, into = opened(store), files_of(target)
    _refuse_place(source, into)
    with tempfile.TemporaryDirectory(prefix="lip-ray-publish-") as folder:
        copy, there = Path(folder) / "store", into.local(".")
        if there is None:
            raise StoreError(f"{into.where}: what would be published is told of folders alone")
        if into.exists(MARKER):
            shutil.copytree(there, copy)
        return publish(store, copy, keep=keep)


def _refuse_place(source: Files, target: Files) -> None:
    """Raise StoreError where the two stores would be one, or one a part of the other, and where
    other files are in the way."""
    if same(target, source):
        raise StoreError(f"{target.where} is the store itself: name another place to publish it in")
    here, there = source.local("."), target.local(".")
    if here is None or there is None:
        return
    for inner, outer in ((here, there), (there, here)):
        if inner.is_relative_to(outer):
            raise StoreError(
                f"{target.where}: one store would be inside of the other, {source.where}: name a "
                "place beside it"
            )
    if there.is_dir() and not target.exists(MARKER) and any(_visible(there)):
        raise StoreError(
            f"{target.where} has files and is no store (no {MARKER}): name a folder that is new, "
            "empty or a published store"
        )
    if there.exists() and not there.is_dir():
        raise StoreError(f"{target.where} is a file: a store is a folder")


def _visible(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _wanted(reader: Reader, keep: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """The trials whose rows are asked for, by bulky table."""
    for table in keep:
        _require_bulky(table)
    found = {}
    for table, condition in keep.items():
        query = f"select trial_id from trials where (\n{condition}\n)"
        try:
            rows = reader.sql(query)
        except QueryError as error:
            raise QueryError(f"--keep {table}: {error}") from error
        found[table] = frozenset(rows["trial_id"].to_pylist())
    return found


def _require_bulky(table: str) -> None:
    """Raise QueryError, with the nearest name, for what is no bulky table."""
    if table in BULKY:
        return
    if table in NUMBERS:
        raise QueryError(
            f"--keep {table}: this table is always published whole; those that may be left out "
            f"are: {', '.join(BULKY)}"
        )
    raise QueryError(
        f"--keep: there is no bulky table {table!r}; {hint(table, BULKY)}there are: "
        f"{', '.join(BULKY)}"
    )


def _choice(wanted: Mapping[str, frozenset[str]], target: Inventory) -> Choice:
    """What is copied: all numbers and, of bulky tables, what is asked for and what continues that
    which is published already."""
    kept = {
        table: wanted.get(table, frozenset())
        | {trial for stem in target.has(table) if (trial := trial_of(table, stem))}
        for table in BULKY
    }
    return lambda table, trial: table not in kept or trial in kept[table]


def _tidy(target: Files, source: Files) -> None:
    """Remove what publishing has left behind that was killed: older manifests, and parts and drafts
    that nothing can make count any more and whose rows are not lost with them."""
    current = newest(target)
    for name in manifests(target):
        if version_of(name) < current.version:
            target.remove(name)
    named = frozenset(chain.from_iterable(current.parts.values()))
    for name in parts_of(target):
        if name not in named and _is_left_behind(name, current.version, target, source):
            target.remove(name)
    target.remove_drafts()


def _is_left_behind(part: str, version: int, target: Files, source: Files) -> bool:
    """Whether a part that no manifest names will be named by none, and its rows are elsewhere; what
    was left out is known again from the source."""
    table = table_of(part)
    try:
        own, written_for = stems(target, table, part), origin_of(target, table, part).version
    except READ_ERRORS:
        return False
    if written_for > version:  # another process may be about to make it count
        return False
    return table == "omissions" or own <= held(target, table) | held(source, table)


def _sizes(files: Files, reader: Reader) -> Iterator[TableSize]:
    counted = reader.sql("select omitted, count(*) as n from omissions group by all").to_pylist()
    left_out = defaultdict(int, {row["omitted"]: row["n"] for row in counted})
    parts = newest(files).parts
    for table in TABLES:
        names = [*loose_files(files, table), *parts.get(table, ())]
        if names or left_out[table]:
            yield TableSize(
                table=table,
                files=len(names),
                rows=files.parts(names, part_schema(table)).count_rows() if names else 0,
                size=sum(map(files.size, names)),
                left_out=left_out[table],
            )
