"""Where every row lies: the only place that knows a file's name.

    ROOT/lip-ray-store.json               which layout the store has
    ROOT/sweeps/<sweep>-<sweep_id>.parquet
    ROOT/trials/<trial_id>.parquet
    ROOT/<table>/<trial_id>-<level>.parquet    levels, curves, choices, masks, weights,
                                               networks, reconstructions, pictures
    ROOT/omissions/                            nothing: its rows are written in parts alone
    ROOT/failures/<trial_id>-<number>.parquet  from 0: each time that a run gave the trial up
    ROOT/<table>/<search>-<search_id>-<number>.parquet    points and their scores
    ROOT/unfinished/<trial_id>-<level>         the state of a long level that is being fitted
    ROOT/running/<trial_id>                    how far a trial has come that is being fitted
    ROOT/compacted/                            rows of many files in a few: see `manifest`

A file's name is a pure function of what is in it, so whoever writes the same thing twice writes
the same file. Only an unfinished level's state and a running trial's note are ever replaced; the
one is removed with its commit, the other when the trial ends.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from lip_ray.errors import UserError

SUFFIX = ".parquet"


class StoreError(UserError):
    """The store cannot be read or written; the message names the path and what to do."""


class StoreUnavailable(StoreError):  # noqa: N818 (a state of the store, no mistake)
    """The store could not be written to for as long as was waited: nothing is wrong with the work,
    and the same command goes on once the store is back."""


class Damaged(StoreError):  # noqa: N818 (a state of a file, no mistake)
    """A file exists but cannot be understood."""


class QueryError(UserError):
    """The SQL is wrong, or asks for more than reading; the message says what and where."""

    many_lines = True


def sweep_file(sweep: str, sweep_id: str) -> str:
    """The file with the trials of a sweep."""
    return f"sweeps/{sweep}-{sweep_id}{SUFFIX}"


def trial_file(trial_id: str) -> str:
    """The file with the row of a trial."""
    return f"trials/{trial_id}{SUFFIX}"


def level_file(table: str, trial_id: str, level: int) -> str:
    """The file with one table's rows of one level of a trial."""
    return f"{table}/{trial_id}-{level:03d}{SUFFIX}"


def unfinished_file(trial_id: str, level: int) -> str:
    """How far a level has come that is not committed yet."""
    return f"unfinished/{trial_id}-{level:03d}"


def failure_file(trial_id: str, number: int) -> str:
    """The file of a trial's failure with this number, from 0."""
    return f"failures/{trial_id}-{number:03d}{SUFFIX}"


def point_file(table: str, search: str, search_id: str, number: int) -> str:
    """The file with one table's rows of one point of a search."""
    return f"{table}/{search}-{search_id}-{number:05d}{SUFFIX}"


def points_in(names: Iterable[str], search: str, search_id: str) -> list[tuple[int, str]]:
    """The number and file of every point of a search among these files, in order of number."""
    named = ((PurePosixPath(name).stem.rpartition("-"), name) for name in names)
    return sorted(
        (int(number), name)
        for (point_of, _, number), name in named
        if point_of == f"{search}-{search_id}" and number.isdecimal()
    )


def running_file(trial_id: str) -> str:
    """How far a trial has come that is being fitted."""
    return f"running/{trial_id}"


def level_of(stem: str) -> tuple[str, int] | None:
    """The trial id and level in the name that `level_file` gave, without folder and suffix.

    None for a name that it gives to no level, as somebody may have renamed the file.
    """
    trial_id, _, level = stem.partition("-")
    return (trial_id, int(level)) if trial_id and level.isdecimal() else None
