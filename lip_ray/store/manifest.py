"""Which files hold the rows that compaction folded in.

    ROOT/compacted/<table>-<8 hex>.parquet        the rows of many files, each with its `file`
    ROOT/compacted/manifest-<version>.json        which of these count; the newest does

A loose file whose name is in the `file` column of a part that counts is left out by readers. They
list the loose files first and read the manifest then: in that order nothing is missed, and nothing
is seen twice.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from lip_ray.store.files import Files
from lip_ray.store.marker import renew
from lip_ray.store.paths import SUFFIX as PARQUET
from lip_ray.store.paths import Damaged, StoreError
from lip_ray.store.schema import TABLES

COMPACTED = ("trials", "levels", "curves", "masks", "reconstructions")
"""Tables that compaction covers; the others have few files, or large ones."""

FOLDER = "compacted"
FILE = "file"
"""The column of parts that names a row's loose file: without folder and suffix."""

PREFIX, SUFFIX = "manifest-", ".json"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Which parts each table has."""

    version: int = 0
    """0 without a compaction; each one adds 1."""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def newest(files: Files) -> Manifest:
    """The manifest that counts; an empty one where nothing was ever compacted.

    Raises StoreError for one that cannot be read.
    """
    names = [name for name in files.names(FOLDER) if name.endswith(SUFFIX)]
    if not names:
        return Manifest()
    name = names[-1]
    try:
        parts = json.loads(files.read(name))["parts"]
        version = int(PurePosixPath(name).stem.removeprefix(PREFIX))
        return Manifest(version=version, parts={t: tuple(found) for t, found in parts.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{files.where}/{name} cannot be read: {error}") from error


def publish(files: Files, manifest: Manifest) -> bool:
    """Make a manifest count; False where another of its version was there first.

    From then on the store is of today's layout: an older lip-ray knows no parts.
    """
    renew(files)
    name = f"{FOLDER}/{PREFIX}{manifest.version:06d}{SUFFIX}"
    content = json.dumps({"parts": manifest.parts})
    return files.publish(name, content.encode())


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
    """The loose files whose rows a part holds. Raises OSError or an ArrowException."""
    column = files.dataset([name], part_schema(table)).to_table(columns=[FILE])[FILE]
    return frozenset(pc.unique(column).to_pylist())


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
