"""Removal: everything that a store has of some trials, taken out for good.

What makes a level count goes first and the row of its trial last, so that a removal that is killed
leaves trials that are as good as incomplete, and the same removal ends it. Rows in parts go in one
step, by a manifest that names parts without them. Nothing of other trials is ever touched.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.records import FRESH_S
from lip_ray.store.files import AT_ONCE, Files
from lip_ray.store.manifest import (
    COMPACTED,
    FILE,
    Manifest,
    Origin,
    loose_files,
    manifests,
    newest,
    part_schema,
    publish,
    stem_of,
    stems,
    version_of,
)
from lip_ray.store.paths import StoreError, level_of, running_file
from lip_ray.store.reader import Reader
from lip_ray.store.upkeep.compact import put_part
from lip_ray.store.upkeep.merge import OF_TRIALS, Merged, merge, trial_of
from lip_ray.store.upkeep.rows import opened

ORDER = ("levels", *(table for table in reversed(OF_TRIALS) if table not in ("levels", "trials")))
"""The tables whose loose files go one after another, before the rows in parts: `levels` files make
levels count. `trials` files go last."""

NAMED = 8
"""The most trials that a message names."""

PARENTS = "select trial_id, unnest(source_ids) as source_id from trials"


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What a store has of some trials."""

    trials: tuple[str, ...]
    files: tuple[str, ...] = field(repr=False)
    """Loose files, in the order in which they go."""
    parts: Mapping[str, tuple[str, ...]] = field(repr=False)
    """By table, the parts with rows of the trials."""

    @property
    def line(self) -> str:
        """What is removed, in one line."""
        parts = sum(map(len, self.parts.values()))
        inside = f", and their rows in {_count(parts, 'part')}" if parts else ""
        return f"{_count(len(self.trials), 'trial')}: {_count(len(self.files), 'file')}{inside}"


def removal(store: str | Path, trials: Collection[str]) -> Removal:
    r"""What is to be removed of some trials, by their whole ids. Nothing is changed.

    Raises StoreError where another trial of the store needs one of them as its source, where a run
    is using the store, and where a part is damaged or missing.
    """
    reader = Reader(store)
    files = opened(store)
    _refuse_running(reader, files)
    _refuse_needed(reader, trials)
    chosen = frozenset(trials)
    loose = (_files_of(files, table, chosen) for table in (*ORDER, "failures"))
    parts = {table: _parts_of(files, table, chosen) for table in COMPACTED}
    return Removal(
        trials=tuple(sorted(chosen)),
        files=(
            *(name for names in loose for name in names),
            *_notes(files, chosen),
            *_files_of(files, "trials", chosen),
        ),
        parts={table: found for table, found in parts.items() if found},
    )


def remove(store: str | Path, trials: Collection[str], *, to: str | Path | None = None) -> Removal:
    r"""Remove all that a store has of some trials, after copying it `to` another store if asked.

    Raises StoreError as `removal` does, and, before anything is removed, where something cannot be
    copied.
    """
    found = removal(store, trials)
    if to is not None:
        _refuse_uncopied(merge(to, store, trials=found.trials))
    files = opened(store)
    last = [name for name in found.files if name.startswith("trials/")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for table in (*ORDER, "failures", "unfinished", "running"):
            own = [name for name in found.files if name.startswith(f"{table}/")]
            list(pool.map(files.remove, own))
        if found.parts:
            _drop_rows(files, found.parts, frozenset(found.trials))
        list(pool.map(files.remove, last))
    return found


def _refuse_running(reader: Reader, files: Files) -> None:
    running = [
        standing.trial_id for standing, noted_s, _ in reader.standings() if noted_s < FRESH_S
    ]
    if running:
        raise StoreError(
            f"{files.where}: a run is using it, {_named(running)} in progress: end that first, or "
            f"wait {FRESH_S:g} s after it was killed"
        )


def _refuse_needed(reader: Reader, trials: Collection[str]) -> None:
    """Refuse to take the source from trials that stay."""
    chosen = frozenset(trials)
    for row in reader.sql(f"{PARENTS} order by all").to_pylist():
        if row["source_id"] in chosen and row["trial_id"] not in chosen:
            raise StoreError(
                f"trial {row['source_id']} is a source of {row['trial_id']}, which would stay: "
                "remove that too, or neither"
            )


def _refuse_uncopied(merged: Merged) -> None:
    if merged.conflicts:
        raise StoreError(f"nothing is removed, as it cannot be copied: {merged.conflicts[0]}")


def _files_of(files: Files, table: str, trials: frozenset[str]) -> list[str]:
    """The loose files of some trials in one table; the sparsest level first, as the levels above it
    then still are a ladder."""
    found = [name for name in loose_files(files, table) if trial_of(table, stem_of(name)) in trials]
    return sorted(found, reverse=True)


def _notes(files: Files, trials: frozenset[str]) -> Iterator[str]:
    """Checkpoints of unfinished levels, and notes of how far trials have come."""
    for name in files.names("unfinished"):
        found = level_of(name.rpartition("/")[2])
        if found and found[0] in trials:
            yield name
    running = frozenset(files.names("running"))
    yield from (name for name in map(running_file, sorted(trials)) if name in running)


def _parts_of(files: Files, table: str, trials: frozenset[str]) -> tuple[str, ...]:
    """The parts of a table with rows of some trials. Raises StoreError for one that cannot tell."""
    names = newest(files).parts.get(table, ())
    if broken := files.broken(names):
        raise StoreError(f"{files.where}/{broken[0]} is damaged: restore it from a copy first")
    return tuple(name for name in names if _own_stems(files, table, name, trials))


def _own_stems(files: Files, table: str, part: str, trials: frozenset[str]) -> list[str]:
    return [stem for stem in stems(files, table, part) if trial_of(table, stem) in trials]


def _drop_rows(files: Files, parts: Mapping[str, Sequence[str]], trials: frozenset[str]) -> None:
    """Put parts without the rows of some trials in place of those with them, all in one step."""
    old = newest(files)
    version = old.version + 1
    new = {
        table: {part: _without(files, table, part, trials, version) for part in found}
        for table, found in parts.items()
    }
    named = {
        table: tuple(new.get(table, {}).get(part, part) for part in old.parts.get(table, ()))
        for table in COMPACTED
    }
    if not publish(files, Manifest(version=version, parts=named)):
        for name in (name for found in new.values() for name in found.values()):
            files.remove(name)
        raise StoreError(f"{files.where} was compacted meanwhile: give the same command again")
    for name in manifests(files):
        if version_of(name) < version:
            files.remove(name)
    for part in (part for found in parts.values() for part in found):
        files.remove(part)


def _without(files: Files, table: str, part: str, trials: frozenset[str], version: int) -> str:
    """A new part with what stays of an old one, which it says that it stands for."""
    rows = files.table(part, part_schema(table))
    own = pa.array(_own_stems(files, table, part, trials), pa.string())
    kept = rows.filter(pc.invert(pc.is_in(rows[FILE], own)))
    name, _ = put_part(files, table, kept, Origin(version=version, replaces=(part,)))
    return name


def _named(trials: Sequence[str]) -> str:
    more = len(trials) - NAMED
    return ", ".join(trials[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
