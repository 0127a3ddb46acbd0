"""Merging: copying into a store what others have and it lacks."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.store import omissions
from lip_ray.store.decoded import Reading, rows_of
from lip_ray.store.files import AT_ONCE, Files, files_of
from lip_ray.store.manifest import (
    COMPACTED,
    FILE,
    Manifest,
    Origin,
    begin,
    loose_files,
    manifests,
    newest,
    part_schema,
    publish,
    stem_of,
    version_of,
)
from lip_ray.store.omissions import BULKY, omission_of
from lip_ray.store.paths import SUFFIX, StoreError, level_of
from lip_ray.store.upkeep.compact import gathered, put_part
from lip_ray.store.upkeep.rows import alike, covered_by, folded_rows_of, opened
from lip_ray.store.writer import Writer

OF_TRIALS = (
    "trials",
    "curves",
    "choices",
    "masks",
    "weights",
    "networks",
    "reconstructions",
    "pictures",
    "omissions",
    "levels",
)
"""Tables whose rows belong together: a mask is stored within the one of the level before."""

ORDER = ("points", "scores", "failures", "sweeps", *OF_TRIALS)
"""The order in which tables are copied. The `levels` rows of a level make it visible, so they come
last."""

BATCH = 512
"""The number of files of two stores that are compared at a time."""

ATTEMPTS = 5

Choice = Callable[[str, str | None], bool]
"""Whether rows are to be copied, by their table and trial; None for those of no single trial."""


class Overtaken(Exception):  # noqa: N818 (a state of the store, no mistake)
    """Another process has changed the parts of the store meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """The result of a merge: what was copied, and what was not."""

    copied: int
    """The number of copied files; rows in parts count as the files that they came from."""
    known: int
    """The number of files that were in the store already, with the same rows."""
    conflicts: tuple[str, ...]
    """Files that were left out, with all levels of their trials, and why."""

    @property
    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        yield f"{self.copied:,} files copied; {self.known:,} were there already, with the same rows"
        if self.conflicts:
            files = (
                "1 file was" if len(self.conflicts) == 1 else f"{len(self.conflicts):,} files were"
            )
            yield f"{files} left out, and with each all levels of its trial:"
            yield from (f"  {conflict}" for conflict in self.conflicts)


def merge(into: str | Path, *sources: str | Path, trials: Collection[str] | None = None) -> Merged:
    r"""Copy into a store, made if there is none, what other stores have and it lacks.

    Where both have a file of one name the store's own stays. Unless the rows are equal, nothing of
    its trial is then taken from the other, as rows of one trial depend on each other. Sources are
    left unchanged; checkpoints of unfinished levels are not copied. Nothing is taken of trials with
    rows in a damaged part of either store, which can still be restored from a copy. With `trials`,
    only what these have and why they failed is copied, and nothing of sweeps and searches.

    Raises StoreError, before anything is copied, for a source that is no store, of a newer layout,
    or the store itself, and where a damaged part does not even tell whose rows it has.
    """
    target = files_of(into)
    found = [opened(source) for source in sources]
    for source in found:
        if same(target, source):
            raise StoreError(f"{source.where} cannot be merged into itself")
    Writer.open(into)
    only = None if trials is None else _of_trials(frozenset(trials))
    each = [copied(target, source, only) for source in found]
    return Merged(
        copied=sum(one.copied for one in each),
        known=sum(one.known for one in each),
        conflicts=tuple(conflict for one in each for conflict in one.conflicts),
    )


def _of_trials(trials: frozenset[str]) -> Choice:
    return lambda table, trial: trial in trials


def same(one: Files, other: Files) -> bool:
    """Whether two stores are in one place."""
    here, there = one.local("."), other.local(".")
    if here is None or there is None:
        return one.where == other.where
    return here.exists() and here.samefile(there)


def copied(
    target: Files, source: Files, only: Choice | None = None, *, in_parts: bool = False
) -> Merged:
    r"""Copy into a store what one other has, it lacks, and is to be copied.

    With `in_parts`, rows are written into parts at once where compaction covers their table. Rows
    of `BULKY` tables that are not copied, although their trial is, are noted as omissions.
    """
    for _ in range(ATTEMPTS):
        try:
            inventories = Inventory.of(target), Inventory.of(source)
            return Merge(*inventories, only, in_parts=in_parts).run()
        except (FileNotFoundError, Overtaken):  # one of the two was compacted meanwhile
            continue
    raise StoreError(f"{source.where} or {target.where} changes all the time: try again")


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """The files of a store, by table and stem."""

    files: Files
    manifest: Manifest
    parts: Mapping[str, tuple[str, ...]]
    loose: Mapping[str, frozenset[str]]
    folded: Mapping[str, frozenset[str]]
    broken: tuple[str, ...]
    """Damaged parts; `parts` has the others."""
    lost: Mapping[str, frozenset[str]]
    """The files whose rows are in these and nowhere else; `folded` has them too."""

    @classmethod
    def of(cls, files: Files) -> "Inventory":
        """The inventory of a store in its present state."""
        listed = {table: loose_files(files, table) for table in reversed(ORDER)}
        manifest = newest(files)
        named = manifest.parts
        broken = files.broken([part for parts in named.values() for part in parts])
        parts = {
            table: tuple(name for name in found if name not in broken)
            for table, found in named.items()
        }
        stems = {table: frozenset(map(stem_of, listed[table])) for table in ORDER}
        sound = {table: covered_by(files, table, parts.get(table, ())) for table in ORDER}
        named_stems = {table: covered_by(files, table, named.get(table, ())) for table in ORDER}
        lost = {table: named_stems[table] - sound[table] - stems[table] for table in ORDER}
        return cls(
            files=files,
            manifest=manifest,
            parts=parts,
            loose={table: stems[table] - sound[table] for table in ORDER},
            folded={table: sound[table] | lost[table] for table in ORDER},
            broken=tuple(broken),
            lost=lost,
        )

    def has(self, table: str) -> frozenset[str]:
        """The names of all files of a table, loose and in parts."""
        return self.loose[table] | self.folded[table]

    def rows(self, table: str, stems: Sequence[str]) -> dict[str, pa.Table | None]:
        """The rows of each file; None where it is damaged."""
        folded = [stem for stem in stems if stem in self.folded[table]]
        found: dict[str, pa.Table | None] = {}
        found.update(folded_rows_of(self.files, table, self.parts.get(table, ()), folded))
        for stem in stems:
            if stem not in found:
                name = f"{table}/{stem}{SUFFIX}"
                found[stem] = rows_of(table, name, self.files.read(name))
        return found


class Merge:
    """One source that is copied into the store."""

    def __init__(
        self,
        target: Inventory,
        source: Inventory,
        only: Choice | None = None,
        *,
        in_parts: bool = False,
    ) -> None:
        self._target = target
        self._source = source
        self._only = only
        self._in_parts = in_parts
        self._known = 0
        self._copied = 0
        self._conflicts: list[str] = []
        self._written: list[str] = []
        """Parts that no manifest may name yet."""
        self._closed: set[str] = set()
        """Trials, and files of no trial, of which nothing more is copied."""

    def run(self) -> Merged:
        r"""Compare what both have, then copy the rest.

        Raises FileNotFoundError for a file that has vanished meanwhile; then it is known what was
        copied.
        """
        for one in (self._target, self._source):
            self._close_lost(one)
        tables = [table for table in ORDER if table != "omissions"]
        for table in tables:
            self._compare(table)
        loose = [table for table in tables if not (self._in_parts and table in COMPACTED)]
        for table in loose:
            if table != ORDER[-1]:
                self._copy_files(table)
        self._copy_parts()
        if ORDER[-1] in loose:
            self._copy_files(ORDER[-1])
        return Merged(copied=self._copied, known=self._known, conflicts=tuple(self._conflicts))

    def _close_lost(self, store: Inventory) -> None:
        """Close the trials with rows in damaged parts, which are named once."""
        self._conflicts += [f"{part} of {store.files.where}: damaged" for part in store.broken]
        for table, stems in store.lost.items():
            self._closed.update(_owner(table, stem) for stem in stems)

    def _compare(self, table: str) -> None:
        """Close the trials whose files differ."""
        lost = self._source.lost[table] | self._target.lost[table]
        shared = (self._source.has(table) & self._target.has(table)) - lost
        both = sorted(stem for stem in shared if self._asked(table, stem))
        for start in range(0, len(both), BATCH):
            batch = both[start : start + BATCH]
            ours, theirs = self._target.rows(table, batch), self._source.rows(table, batch)
            for stem in batch:
                one, other = ours[stem], theirs[stem]
                if one is not None and other is not None and alike(one, other):
                    self._known += 1
                else:
                    damaged = "damaged" if other is None else "unlike the one that is there"
                    self._close(table, stem, damaged)

    def _close(self, table: str, stem: str, why: str) -> None:
        name = f"{table}/{stem}{SUFFIX}"
        self._conflicts.append(f"{name} of {self._source.files.where}: {why}")
        self._closed.add(_owner(table, stem))

    def _new(self, table: str, stems: Iterable[str]) -> list[str]:
        """The files that the store lacks and may take, in order."""
        lacking = frozenset(stems) - self._target.has(table)
        asked = (stem for stem in lacking if self._asked(table, stem))
        return sorted(stem for stem in asked if _owner(table, stem) not in self._closed)

    def _asked(self, table: str, stem: str) -> bool:
        """Whether a file is of the trials that are to be copied."""
        return self._only is None or self._only(table, trial_of(table, stem))

    def _copy_files(self, table: str) -> None:
        stems = self._new(table, self._source.loose[table])
        names = [f"{table}/{stem}{SUFFIX}" for stem in stems]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(names), BATCH):
                batch = names[start : start + BATCH]
                for name, content in zip(
                    batch, pool.map(self._source.files.read, batch), strict=True
                ):
                    self._copy_file(table, name, content)

    def _copy_file(self, table: str, name: str, content: bytes) -> None:
        """Copy a file byte by byte, whatever version wrote it."""
        if _owner(table, stem_of(name)) in self._closed:  # another file of its trial was damaged
            return
        if rows_of(table, name, content) is None:
            self._close(table, stem_of(name), "damaged")
        elif self._target.files.publish(name, content):
            self._copied += 1
        else:
            self._close(table, stem_of(name), "unlike the one that was written meanwhile")

    def _copy_parts(self) -> None:
        """Copy the missing rows of parts, and what is to be in parts, as new parts; all appear at
        once, together with what is known to be left out."""
        old = self._target.manifest
        written: dict[str, tuple[str, ...]] = {}
        try:
            for table in sorted(COMPACTED, key=ORDER.index):
                if table != "omissions":
                    parts = (self._put(table, rows) for rows in gathered(self._new_rows(table)))
                    written[table] = tuple(filter(None, parts))
            named = {table: (*old.parts.get(table, ()), *own) for table, own in written.items()}
            named["omissions"] = self._with_omissions(old.parts.get("omissions", ()))
            if named != {table: tuple(old.parts.get(table, ())) for table in COMPACTED}:
                new = Manifest(version=old.version + 1, parts=named)
                if not publish(self._target.files, new):
                    raise Overtaken
                if not set(old.parts.get("omissions", ())) <= set(named["omissions"]):
                    self._remove_replaced(new)
        except BaseException:
            self._take_back()
            raise

    def _new_rows(self, table: str) -> Iterator[pa.Table]:
        """The rows that become parts: those of parts and, where these are to be in parts, of loose
        files."""
        new = self._new(table, self._source.folded[table])
        chosen = pc.field(FILE).isin(pa.array(new, pa.string()))
        for part in self._source.parts.get(table, ()) if new else ():
            yield self._source.files.table(part, part_schema(table)).filter(chosen)
        if self._in_parts:
            stems = self._new(table, self._source.loose[table])
            names = [f"{table}/{stem}{SUFFIX}" for stem in stems]
            reading = Reading(self._source.files, table, names)
            yield from reading
            for name in reading.damaged:
                self._close(table, stem_of(name), "damaged")

    def _put(self, table: str, rows: pa.Table, replaces: tuple[str, ...] = ()) -> str:
        """Write a part for the next manifest; none where there is nothing to write or replace."""
        if not len(rows) and not replaces:
            return ""
        files, version = self._target.files, self._target.manifest.version + 1
        begin(files)
        name, _ = put_part(files, table, rows, Origin(version=version, replaces=replaces))
        self._written.append(name)
        if table != "omissions":
            self._copied += len(rows[FILE].unique())
        return name

    def _with_omissions(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """The parts of `omissions` once all is copied: with what is left out now, and without what
        is there."""
        had = self._target.has("omissions") - self._target.lost["omissions"]
        new = (had | self._left_out()) - self._there()
        if new >= had:
            return tuple(
                filter(None, (*parts, self._put("omissions", omissions.rows_of(new - had))))
            )
        sound = self._target.parts.get("omissions", ())
        own = self._put("omissions", omissions.rows_of(new), replaces=tuple(sound))
        return tuple(filter(None, (*(name for name in parts if name not in sound), own)))

    def _remove_replaced(self, new: Manifest) -> None:
        """Remove the parts of `omissions` that others stand for, and the manifests that name
        them."""
        files = self._target.files
        for name in manifests(files):
            if version_of(name) < new.version:
                files.remove(name)
        for name in self._target.manifest.parts.get("omissions", ()):
            if name not in new.parts["omissions"]:
                files.remove(name)

    def _left_out(self) -> frozenset[str]:
        """The omissions of the source, and those that this copying makes."""
        source = self._source
        lacking = (
            omission_of(table, stem)
            for table in BULKY
            for stem in source.has(table) - source.lost[table]
            if self._asked("levels", stem)
            and not self._asked(table, stem)
            and _owner(table, stem) not in self._closed
        )
        return frozenset((*lacking, *self._new("omissions", source.has("omissions"))))

    def _there(self) -> frozenset[str]:
        """The omissions of files that the store has once all is copied."""
        return frozenset(
            omission_of(table, stem)
            for table in BULKY
            for stem in (*self._target.has(table), *self._new(table, self._source.has(table)))
        )

    def _take_back(self) -> None:
        """Remove the parts that were written, but for those that somebody has made count."""
        if self._written:
            named = frozenset(chain.from_iterable(newest(self._target.files).parts.values()))
            for name in self._written:
                if name not in named:
                    self._target.files.remove(name)


def _owner(table: str, stem: str) -> str:
    """The trial that a file's rows depend on, or the file itself where they stand alone."""
    trial_id = trial_of(table, stem) if table in OF_TRIALS else None
    return trial_id or f"{table}/{stem}"


def trial_of(table: str, stem: str) -> str | None:
    """The trial that a file is about; None where it is about none, or has another's name."""
    if table == "trials":
        return stem
    if table == "omissions":
        _, stem = omissions.file_of(stem)
    found = level_of(stem) if table in (*OF_TRIALS, "failures") else None
    return found[0] if found else None
