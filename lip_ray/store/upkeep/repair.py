"""Repair: a manifest that is lost or cannot be read is made anew from what the parts say."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lip_ray.store.files import READ_ERRORS, Files
from lip_ray.store.manifest import (
    COMPACTED,
    Manifest,
    Origin,
    homeless,
    loose_files,
    manifests,
    newest,
    origin_of,
    parts_of,
    publish,
    stem_of,
    stems,
    table_of,
    version_of,
)
from lip_ray.store.paths import StoreError
from lip_ray.store.upkeep.rows import alike, folded_rows_of, opened

BATCH = 512
"""The number of files with rows in two parts that are compared at a time."""

ATTEMPTS = 5


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Which parts are to count, judged by their content."""

    manifest: Manifest
    """The one that counts, or the one that would."""
    needed: bool = False
    """Whether a manifest must be written, because it is lost, unreadable, or lacks parts."""
    undecided: tuple[str, ...] = ()
    """Parts with different rows of the same files, so that it is not known which of them count."""
    damaged: tuple[str, ...] = ()
    """Parts that cannot be read. The manifest names them, so that every answer reports them."""

    @property
    def lines(self) -> Iterator[str]:
        """The report in sentences."""
        if not self.needed:
            yield "the manifest needs no repair"
        elif self.undecided:
            yield "nothing was changed: these parts have different rows of the same files"
            yield from (f"  {name}" for name in self.undecided)
        else:
            count = sum(map(len, self.manifest.parts.values()))
            yield f"the manifest was written anew: the store has {count} parts"
        yield from (f"  {name} is damaged: restore it from a copy" for name in self.damaged)


def repair(store: str | Path) -> Recovery:
    """Write a manifest where it is lost or cannot be read, or where parts with rows that are
    nowhere else are in none. Nothing is deleted.

    Rows neither appear twice nor go missing; where parts contradict each other nothing is written.
    Raises StoreError where there is no store.
    """
    files = opened(store)
    for _ in range(ATTEMPTS):
        found = recovery(files)
        if not found.needed or found.undecided or publish(files, found.manifest):
            return found
    raise StoreError(f"{files.where} is compacted all the time: try again")


def recovery(files: Files) -> Recovery:
    """The manifest that a repair would write, and why."""
    known = _known(files)
    if known and not any(_readable(files, part) for part in strays(files, known)):
        return Recovery(manifest=known)
    found = [_solved(files, table, known) for table in COMPACTED]
    last = max(map(version_of, manifests(files)), default=0)
    return Recovery(
        manifest=Manifest(version=last + 1, parts={one.table: one.counting for one in found}),
        needed=True,
        undecided=tuple(part for one in found for part in one.undecided),
        damaged=tuple(part for one in found for part in one.damaged),
    )


def strays(files: Files, known: Manifest) -> list[str]:
    """Parts that no manifest names, with rows that are nowhere else or cannot be read."""
    named = frozenset(chain.from_iterable(known.parts.values()))
    others = [part for part in parts_of(files) if part not in named]
    others = [part for part in others if part not in _replaced_by(files, known)]
    tables = frozenset(map(table_of, others))
    held = {table: _stems_of(files, table, known.parts.get(table, ())) for table in tables}
    return homeless(files, others, held)


def _replaced_by(files: Files, known: Manifest) -> frozenset[str]:
    """The parts that those which count stand for: rows that these lack were removed."""
    counting = [part for parts in known.parts.values() for part in parts]
    found = (_part(files, table_of(part), part, counting) for part in counting)
    return frozenset(chain.from_iterable(part.origin.replaces for part in found if part))


def _known(files: Files) -> Manifest | None:
    """The manifest that counts; None where it is lost or cannot be read."""
    try:
        return newest(files)
    except StoreError:
        return None


@dataclass(frozen=True, kw_only=True)
class Part:
    """A compacted part that can be read, with what its metadata say."""

    name: str
    stems: frozenset[str]
    """The loose files whose rows it holds."""
    origin: Origin
    named: bool
    """Whether the manifest that counts names it."""

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The rank among parts with the same rows: the part of highest rank is kept."""
        return self.named, self.origin.version, len(self.stems)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Which parts of a table are to count."""

    table: str
    counting: tuple[str, ...]
    undecided: tuple[str, ...]
    damaged: tuple[str, ...]


def _solved(files: Files, table: str, known: Manifest | None) -> Solution:
    loose = frozenset(map(stem_of, loose_files(files, table)))
    named = known.parts.get(table, ()) if known else ()
    names = [part for part in parts_of(files) if table_of(part) == table]
    parts = [part for name in names if (part := _part(files, table, name, named))]
    replaced = frozenset(chain.from_iterable(part.origin.replaces for part in parts))
    kept = _needed([part for part in parts if part.name not in replaced], loose)
    unread = [name for name in names if not _readable(files, name)]
    damaged = [name for name in unread if name in named or not (known or name in replaced)]
    missing = [name for name in named if name not in names]
    return Solution(
        table=table,
        counting=(*(part.name for part in kept), *damaged, *missing),
        undecided=tuple(sorted(_contradicting(files, table, parts, kept, replaced))),
        damaged=tuple(damaged),
    )


def _part(files: Files, table: str, name: str, named: Collection[str]) -> Part | None:
    """The part with this name; None where it cannot be read."""
    with suppress(*READ_ERRORS):
        return Part(
            name=name,
            stems=stems(files, table, name),
            origin=origin_of(files, table, name),
            named=name in named,
        )
    return None


def _readable(files: Files, name: str) -> bool:
    return _part(files, table_of(name), name, ()) is not None


def _stems_of(files: Files, table: str, names: Iterable[str]) -> frozenset[str]:
    """The loose files whose rows the readable parts hold."""
    found = (_part(files, table, name, ()) for name in names)
    return frozenset().union(*(part.stems for part in found if part))


def _needed(parts: Sequence[Part], loose: frozenset[str]) -> list[Part]:
    r"""The parts without those whose rows all are in others.

    Loose files replace a part that no manifest names, and no other: they may be about to be deleted
    because their rows are in a part that counts.
    """
    kept = sorted(parts, key=lambda part: part.name)
    for part in sorted(parts, key=lambda part: part.rank):
        others = frozenset().union(*(other.stems for other in kept if other is not part))
        if part.stems <= (others if part.named else others | loose):
            kept.remove(part)
    return kept


def _contradicting(
    files: Files,
    table: str,
    parts: Sequence[Part],
    kept: Sequence[Part],
    replaced: Collection[str],
) -> set[str]:
    """Parts with rows of the same file of which neither can be left out, or not the same rows."""
    found: set[str] = set()
    for part in parts:
        for other in kept:
            common = part.stems & other.stems
            if other is part or not common:
                continue
            apart = part in kept or (
                part.name not in replaced and not _agree(files, table, part, other, common)
            )
            found.update({part.name, other.name} if apart else ())
    return found


def _agree(files: Files, table: str, one: Part, other: Part, common: Collection[str]) -> bool:
    """Whether two parts have the same rows of these files."""
    ordered = sorted(common)
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        ours, theirs = (folded_rows_of(files, table, [p.name], batch) for p in (one, other))
        if not all(alike(ours[stem], theirs[stem]) for stem in batch):
            return False
    return True
