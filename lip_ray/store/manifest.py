"""Which files hold the rows that compaction folded in.

    ROOT/compacted/<table>-<8 hex>.parquet        the rows of many files, each with its `file`
    ROOT/compacted/manifest-<version>.json        which of these count; the newest does

A loose file whose name is in the `file` column of a part that counts is left out by readers. They
list the loose files first and read the manifest then: in that order nothing is missed, and nothing
is seen twice.

Before the first part is written there is a manifest, an empty one if need be. So parts without any
manifest have lost it, unless all their rows are in loose files too, and reading such a store raises
an error instead of answering from the loose files alone. Each part's metadata says which parts it
replaces, from which a lost manifest is rebuilt: see `upkeep.repair`.
"""

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.store.files import READ_ERRORS, Files
from lip_ray.store.marker import renew
from lip_ray.store.paths import SUFFIX as PARQUET
from lip_ray.store.paths import Damaged, StoreError
from lip_ray.store.schema import TABLES, VERSION, VERSION_KEY
from lip_ray.store.seal import BLANK, KEY

COMPACTED = (
    "trials",
    "levels",
    "curves",
    "choices",
    "masks",
    "reconstructions",
    "omissions",
)
"""Tables that compaction covers; the others have few files, or large ones."""

FOLDER = "compacted"
FILE = "file"
"""The column of parts that names a row's loose file: without folder and suffix."""

PARTS, CHECKSUM = "parts", "crc32"
"""The keys of a manifest: the parts by table, and the CRC-32 of these as JSON."""

PREFIX, SUFFIX = "manifest-", ".json"

PART = re.compile(rf"{FOLDER}/({'|'.join(COMPACTED)})-[0-9a-f]{{8}}{re.escape(PARQUET)}")
MANIFEST = re.compile(rf"{FOLDER}/{PREFIX}(\d{{6,}}){re.escape(SUFFIX)}")

NAMED = re.compile(rf"{FOLDER}/[^/]+")
"""What a manifest may name: whatever else it said would lie outside its folder."""

ORIGIN_KEY = "lip_ray_part"
"""The key of a part's metadata that holds its `Origin` as JSON."""

ATTEMPTS = 5
"""Looks at a folder that compaction changes meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Which parts each table has."""

    version: int = 0
    """0 without a compaction; each one adds 1."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a part says of itself in its metadata."""

    version: int = 0
    """The manifest that it was written for; 0 for a part that does not say."""
    replaces: tuple[str, ...] = ()
    """Parts of the same table that it stands for: it has all their rows, but for removed ones."""

    @property
    def metadata(self) -> dict[str, str]:
        """It as key-value metadata of a Parquet file, beside the version of the schema and the
        place of the checksum."""
        said = {"manifest": self.version, "replaces": self.replaces}
        return {VERSION_KEY: str(VERSION), ORIGIN_KEY: json.dumps(said), KEY: BLANK}


def origin_of(files: Files, table: str, part: str) -> Origin:
    """What a part says of itself. Raises one of `READ_ERRORS` where it cannot be read."""
    [fragment] = files.parts([part], part_schema(table)).get_fragments()
    said = (fragment.metadata.metadata or {}).get(ORIGIN_KEY.encode())
    try:
        found = json.loads(said or "{}")
        return Origin(version=found["manifest"], replaces=tuple(found["replaces"]))
    except (ValueError, KeyError, TypeError, RecursionError):  # of an older version
        return Origin()


def newest(files: Files) -> Manifest:
    """The manifest that counts; an empty one where nothing was ever compacted.

    Raises StoreError for one that cannot be read, and where there is none although parts hold rows
    that are nowhere else.
    """
    for _ in range(ATTEMPTS):
        found = manifests(files)
        if not found:
            lost = homeless(files, parts_of(files))
            if lost and not manifests(files):  # else the first compaction has just ended
                raise lost_manifest(files, lost)
            if not lost:
                return Manifest()
            continue
        try:
            return read_manifest(files, found[-1])
        except FileNotFoundError:  # a newer one is there, and compaction has removed this one
            continue
    raise StoreError(f"{files.where} changes all the time: try again")


def lost_manifest(files: Files, parts: Iterable[str]) -> StoreError:
    """The error of a store whose parts have lost their manifest."""
    count = len(tuple(parts))
    holds = "1 part there has" if count == 1 else f"{count:,} parts there have"
    return StoreError(
        f"{files.where}/{FOLDER} has no manifest, and {holds} rows that are nowhere else: "
        "lip store check --repair writes a manifest anew from what the parts say"
    )


def manifests(files: Files) -> list[str]:
    """All manifests, the oldest first."""
    return [name for name in files.names(FOLDER) if MANIFEST.fullmatch(name)]


def version_of(manifest: str) -> int:
    """The version in a manifest's name."""
    return int(PurePosixPath(manifest).stem.removeprefix(PREFIX))


def read_manifest(files: Files, name: str) -> Manifest:
    """One manifest. Raises StoreError where it cannot be understood, FileNotFoundError."""
    try:
        parts = _parts_in(json.loads(files.read(name)))
        named = {table: tuple(found) for table, found in parts.items()}
        for table, found in named.items():
            if not all(isinstance(part, str) and NAMED.fullmatch(part) for part in found):
                raise ValueError(f"{list(found)} are no parts of {table}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{files.where}/{name} cannot be read: {error}: lip store check --repair writes a "
            "manifest anew from what the parts say"
        ) from error
    return Manifest(version=version_of(name), parts=named)


def _parts_in(said: dict[str, Any]) -> dict[str, Any]:
    """What a manifest says, by its checksum; older ones have none."""
    if said.keys() - {PARTS, CHECKSUM}:
        raise ValueError(f"it says {', '.join(sorted(said))}")
    parts: dict[str, Any] = said[PARTS]
    if said.get(CHECKSUM, _checksum(parts)) != _checksum(parts):
        raise ValueError("its checksum does not fit")
    return parts


def _checksum(parts: Mapping[str, Sequence[str]]) -> str:
    return f"{zlib.crc32(json.dumps(parts, sort_keys=True).encode()):08x}"


def parts_of(files: Files) -> list[str]:
    """All parts, whether or not a manifest names them."""
    return [name for name in files.names(FOLDER) if PART.fullmatch(name)]


def table_of(part: str) -> str:
    """The table in a part's name."""
    return part.removeprefix(f"{FOLDER}/").rpartition("-")[0]


def homeless(
    files: Files, parts: Iterable[str], held: Mapping[str, frozenset[str]] | None = None
) -> list[str]:
    """The parts with rows of files that are neither loose nor in `held`, by table.

    A part that cannot be read is one of them: nobody can tell what it holds.
    """
    found: list[str] = []
    known = dict(held or {})
    loose: dict[str, frozenset[str]] = {}
    for part in parts:
        table = table_of(part)
        if table not in loose:
            loose[table] = frozenset(map(stem_of, loose_files(files, table)))
        try:
            if not stems(files, table, part) <= loose[table] | known.get(table, frozenset()):
                found.append(part)
        except FileNotFoundError:  # compaction has removed it
            continue
        except READ_ERRORS:
            found.append(part)
    return found


def begin(files: Files) -> Manifest:
    """The manifest that counts, written to the store where there was none: parts come after it."""
    found = newest(files)
    if not found.version:
        publish(files, found)
    return found


def publish(files: Files, manifest: Manifest) -> bool:
    """Make a manifest count; False where another of its version was there first.

    From then on the store is of today's layout: an older lip-ray knows no parts.
    """
    renew(files)
    content = json.dumps({PARTS: manifest.parts, CHECKSUM: _checksum(manifest.parts)})
    first = files.publish(_name_of(manifest.version), content.encode())
    if first and manifest.version == 1:
        files.remove(_name_of(0))  # else a store that loses this one would seem to have no parts
    return first


def _name_of(version: int) -> str:
    return f"{FOLDER}/{PREFIX}{version:06d}{SUFFIX}"


def loose_files(files: Files, table: str) -> list[str]:
    """The complete Parquet files of a table."""
    return [name for name in files.names(table) if name.endswith(PARQUET)]


def part_schema(table: str) -> pa.Schema:
    """The columns of a table's parts."""
    return TABLES[table].append(pa.field(FILE, pa.string()))


def stem_of(name: str) -> str:
    """What a part's `file` says of a loose file."""
    return name.rpartition("/")[2].removesuffix(PARQUET)


def stems(files: Files, table: str, name: str) -> frozenset[str]:
    """The loose files whose rows a part holds. Raises one of `READ_ERRORS`."""
    column = files.parts([name], part_schema(table)).to_table(columns=[FILE])[FILE]
    return frozenset(pc.unique(column).to_pylist())


def held(files: Files, table: str) -> frozenset[str]:
    """The names of the files whose rows a store has, loose or in parts that can be read."""
    found = set(map(stem_of, loose_files(files, table)))
    for name in newest(files).parts.get(table, ()):
        with suppress(*READ_ERRORS):
            found |= stems(files, table, name)
    return frozenset(found)


def folded_rows(files: Files, table: str, loose: str) -> pa.Table | None:
    """The rows that a part holds of a loose file, by its name; None where none does.

    Raises Damaged where none does that can be read, and others cannot.
    """
    problem: Damaged | None = None
    for name in newest(files).parts.get(table, ()) if table in COMPACTED else ():
        try:
            found = files.table(name, part_schema(table), filters=[(FILE, "=", stem_of(loose))])
        except FileNotFoundError:
            if name not in newest(files).parts.get(table, ()):  # compaction has replaced it
                return folded_rows(files, table, loose)
            problem = Damaged(f"{files.where}/{name} is missing")
        except Damaged as error:
            problem = error
        else:
            if len(found):
                return found.drop_columns(FILE)
    if problem:
        raise problem
    return None


def folded_levels(files: Files, trial_id: str) -> frozenset[int]:
    """The committed levels of a trial whose rows are in parts; unreadable ones have none."""
    found: set[int] = set()
    for name in newest(files).parts.get("levels", ()):
        with suppress(Damaged, FileNotFoundError):
            own = [("trial_id", "=", trial_id)]
            rows = files.table(name, part_schema("levels"), columns=["level"], filters=own)
            found.update(rows["level"].to_pylist())
    return frozenset(found)
