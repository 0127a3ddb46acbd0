"""Where every row lies: the only place that knows a file's name.

    ROOT/lip-ray-store.json               which layout the store has
    ROOT/sweeps/<sweep>-<sweep_id>.parquet
    ROOT/trials/<trial_id>.parquet
    ROOT/<table>/<trial_id>-<level>.parquet    levels, curves, masks, weights, networks,
                                               reconstructions
    ROOT/failures/<trial_id>-<number>.parquet  from 0: each time that a run gave the trial up
    ROOT/<table>/<search>-<search_id>-<number>.parquet    points and their scores
    ROOT/unfinished/<trial_id>-<level>         the state of a long level that is being fitted
    ROOT/running/<trial_id>                    how far a trial has come that is being fitted

A file's name is a pure function of what is in it, so whoever writes the same thing twice writes
the same file. Only an unfinished level's state and a running trial's note are ever replaced; the
one is removed with its commit, the other when the trial ends.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from lip_ray.errors import UserError
from lip_ray.store.schema import VERSION

MARKER = "lip-ray-store.json"
SUFFIX = ".parquet"


class StoreError(UserError):
    """The store cannot be read or written; the message names the path and what to do."""


class StoreUnavailable(StoreError):  # noqa: N818 (a state of the store, no mistake)
    """The store could not be written to for as long as was waited: nothing is wrong with the work,
    and the same command goes on once the store is back."""


class QueryError(UserError):
    """The SQL is wrong, or asks for more than reading; the message says what and where."""


def sweep_file(root: Path, sweep: str, sweep_id: str) -> Path:
    """Which trials a sweep asked for."""
    return root / "sweeps" / f"{sweep}-{sweep_id}{SUFFIX}"


def trial_file(root: Path, trial_id: str) -> Path:
    """What a trial is."""
    return root / "trials" / f"{trial_id}{SUFFIX}"


def level_file(root: Path, table: str, trial_id: str, level: int) -> Path:
    """One table's rows of one level of a trial."""
    return root / table / f"{trial_id}-{level:03d}{SUFFIX}"


def unfinished_file(root: Path, trial_id: str, level: int) -> Path:
    """How far a level has come that is not committed yet."""
    return root / "unfinished" / f"{trial_id}-{level:03d}"


def failure_file(root: Path, trial_id: str, number: int) -> Path:
    """Why a trial was given up, the `number`-th time from 0."""
    return root / "failures" / f"{trial_id}-{number:03d}{SUFFIX}"


def point_file(root: Path, table: str, search: str, search_id: str, number: int) -> Path:
    """One table's rows of one point of a search."""
    return root / table / f"{search}-{search_id}-{number:05d}{SUFFIX}"


def point_files(root: Path, table: str, search: str, search_id: str) -> list[tuple[int, Path]]:
    """The number and file of every point of a search that the table has, in order of number."""
    named = ((path.stem.rpartition("-"), path) for path in files(root, table))
    return sorted(
        (int(number), path)
        for (point_of, _, number), path in named
        if point_of == f"{search}-{search_id}"
    )


def running_file(root: Path, trial_id: str) -> Path:
    """How far a trial has come that is being fitted."""
    return root / "running" / trial_id


def level_of(path: Path) -> tuple[str, int]:
    """The trial id and level in the name that `level_file` gave."""
    trial_id, _, level = path.stem.partition("-")
    return trial_id, int(level)


def files(root: Path, table: str) -> Iterator[Path]:
    """A table's complete files in the order of their names; those being written are left out."""
    folder = root / table
    if folder.is_dir():
        with os.scandir(folder) as entries:  # knows files from folders without asking for each
            names = [entry.name for entry in entries if entry.is_file()]
        yield from (
            folder / name
            for name in sorted(names)
            if name.endswith(SUFFIX) and not name.startswith(".")
        )


def root_of(store: str | Path) -> Path:
    """The folder of a store. Raises StoreError for what is not a path on this machine."""
    if "://" in str(store):
        raise StoreError(f"{store}: a store is a folder; other file systems are not read yet")
    return Path(store).expanduser().resolve()


def check_version(root: Path) -> None:
    """Raise StoreError unless this lip-ray knows the layout that the store's marker names."""
    try:
        version = json.loads((root / MARKER).read_text())["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{root / MARKER} cannot be read: {error}") from error
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise StoreError(
            f"{root} has schema version {version}, this lip-ray knows 1 to {VERSION}: "
            "use the lip-ray that wrote it, or a newer one"
        )
