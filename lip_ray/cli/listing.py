"""`lip ls`: which stores there are, and how far they are."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import (
    INCOMPLETE,
    TEXTS,
    TextOption,
    example,
    print_in,
    refuse,
    require_one_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from lip_ray.store import Reader

app = typer.Typer()

COLUMNS = ("store", "state", "trials", "levels", "size_mb", "last_written", "sweeps")


@app.command("ls", epilog=example("lip ls results"))
def list_stores(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="The folder that the stores lie in.",
            autocompletion=completion.stores,
        ),
    ] = completion.RESULTS,
    form: TextOption = "table",
) -> None:
    """List the stores in a folder: their sweeps, trials and levels done and in all, size on disk in
    10⁶ bytes, time of the last change (UTC), and whether they are complete."""
    require_one_of(TEXTS, form)
    if not folder.is_dir():
        refuse(f"{folder}: there is no such folder; stores lie in results/ unless a sweep says so")
    found = [folder] if _is_store(folder) else list(completion.stores_in(folder))
    if not found:
        refuse(f"{folder}: there is no store in it: run a sweep first, or name another folder")
    import pandas as pd

    rows = [_row(store) for store in found]
    print_in(form, pd.DataFrame(rows, columns=list(COLUMNS)))
    if any(row["state"] in ("unreadable", "damaged") for row in rows):
        raise typer.Exit(INCOMPLETE)


def _is_store(folder: Path) -> bool:
    from lip_ray.store import Reader, StoreError

    try:
        return Reader.exists(folder)
    except StoreError:
        return False


def _row(store: Path) -> dict[str, Any]:
    """The row of a store; of one that cannot be read, with the reason on stderr."""
    from lip_ray.store import Reader, StoreError

    size, written = _on_disk(store)
    row: dict[str, Any] = {"store": str(store), "size_mb": size / 1e6, "last_written": written}
    try:
        return row | _progress(Reader(store))
    except StoreError as error:
        typer.echo(str(error), err=True)
        return row | {"state": "unreadable"}


def _progress(reader: "Reader") -> dict[str, Any]:
    """The sweeps of a store, how far they are, and its state."""
    from lip_ray.status import kinds_table, status_table

    sweeps, points = reader.frame("sweeps"), reader.frame("points")
    frames = (sweeps, points, reader.frame("levels"), reader.frame("failures"))
    running = reader.standings()
    counts = kinds_table(*frames, running).sum(numeric_only=True)
    names = dict.fromkeys(status_table(*frames, running)["sweep"])
    return {
        "sweeps": ", ".join(names),
        "trials": f"{counts['done']:,}/{counts['trials']:,}",
        "levels": f"{counts['levels_done']:,}/{counts['levels']:,}",
        "state": "damaged" if reader.damaged else _state(counts),
    }


def _state(counts: "pd.Series[int]") -> str:
    if counts["running"]:
        return "running"
    if counts["given_up"]:
        return f"{counts['given_up']:,} failed"
    return "complete" if counts["done"] == counts["trials"] else "incomplete"


def _on_disk(store: Path) -> tuple[int, str | None]:
    """The bytes of all files of a store, and when the last of them was written."""
    size, last = 0, 0.0
    for folder, _, names in os.walk(store):
        for name in names:
            try:
                found = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 (thousands)
            except OSError:  # it was a file of a run that goes on
                continue
            size, last = size + found.st_size, max(last, found.st_mtime)
    return size, f"{datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M}" if last else None
