"""What a shell completes: names of sweeps, stores, tables, figures and tickets.

A shell asks at each press of Tab, so nothing here imports more than the command line has anyway,
and nothing is said where nothing can be found.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import typer

from lip_ray.columns import REGISTRY
from lip_ray.errors import UserError
from lip_ray.store_names import MARKER
from lip_ray.sweeps import FOLDER

RESULTS = Path("results")
"""The folder that stores lie in unless a sweep says otherwise."""

FIGURES = (
    "frontier",
    "grid",
    "size",
    "transfer",
    "accuracy",
    "generators",
    "sensing",
    "measurements",
    "outliers",
    "search",
    "stopping",
    "curves",
    "layers",
    "overlap",
    "cost",
)
"""The names of the figures of pages; which of them a page has depends on its store."""

Completer = Callable[[str], list[str]]


def words(*allowed: str) -> Completer:
    """What completes one of a few words."""
    return lambda incomplete: _beginning(incomplete, allowed)


def tables(incomplete: str) -> list[str]:
    """The tables and views whose names begin like this."""
    return _beginning(incomplete, REGISTRY)


def shipped_sweeps() -> dict[str, Path]:
    """The sweeps that come with lip-ray, by name."""
    return {file.stem: file for file in FOLDER.rglob("*.yaml")}


def sweeps(incomplete: str) -> list[str]:
    """The shipped sweeps, YAML files and folders whose names begin like this."""
    return [*_beginning(incomplete, sorted(shipped_sweeps())), *_paths(incomplete, ".yaml")]


def stores(incomplete: str) -> list[str]:
    """The stores under results/ whose paths begin like this, then folders."""
    known = [str(folder) for folder in stores_in(RESULTS)]
    return list(dict.fromkeys([*_beginning(incomplete, known), *_paths(incomplete)]))


def stores_in(folder: Path) -> Iterator[Path]:
    """The stores in a folder, in order, without those deeper down."""
    for inside in sorted(folder.glob("*")):
        if os.path.lexists(inside / MARKER):  # no, where nobody may read
            yield inside


def tickets(context: typer.Context, incomplete: str) -> list[str]:
    """The tickets of the store that the command names, and ticket files."""
    return [*_beginning(incomplete, _tickets(context)), *_paths(incomplete, ".safetensors")]


def trials(context: typer.Context, incomplete: str) -> list[str]:
    """The ids of the trials in the store that the command names."""
    return _beginning(incomplete, sorted(_levels_done(context)))


def _tickets(context: typer.Context) -> list[str]:
    done = _levels_done(context)
    return [f"{trial}@{level}" for trial in sorted(done) for level in range(done[trial])]


def _levels_done(context: typer.Context) -> dict[str, int]:
    """By trial, the levels in the store that the command names, or in the only one there is."""
    named = context.params.get("store")
    found = [named] if named else [str(folder) for folder in stores_in(RESULTS)]
    if len(found) != 1:
        return {}
    from lip_ray.store import Reader

    try:
        return Reader(found[0]).levels_done()
    except UserError:
        return {}


def _paths(incomplete: str, suffix: str | None = None) -> list[str]:
    """The folders whose paths begin like this, and the files with the suffix."""
    try:
        inside = sorted(Path(incomplete).parent.glob(f"{_plain(Path(incomplete).name)}*"))
        if incomplete.endswith("/"):
            inside = sorted(Path(incomplete).glob("*"))
        seen = [path for path in inside if not path.name.startswith(".")]
        return [
            f"{path}/" if path.is_dir() else str(path)
            for path in seen
            if path.is_dir() or path.suffix == suffix
        ]
    except (OSError, ValueError):
        return []


def _plain(name: str) -> str:
    """A name that stands for itself in a pattern."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _beginning(incomplete: str, names: object) -> list[str]:
    return [str(name) for name in names if str(name).startswith(incomplete)]  # type: ignore[attr-defined]
