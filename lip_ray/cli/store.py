"""Commands that look after a store: fold its files together, check, merge, export."""

from pathlib import Path
from typing import Annotated

import typer

from lip_ray import store as stores
from lip_ray.cli.common import INCOMPLETE, StoreOption, number, own_up, store_or_only

app = typer.Typer(no_args_is_help=True, help="Compact, check, merge or export a store.")


@app.command()
def compact(
    store: StoreOption = None,
    grace_h: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            max=100_000,
            callback=number,
            help="Hours that a folded file stays for who reads now.",
        ),
    ] = 24.0,
) -> None:
    """Fold the rows of many small files into few large ones, beside whoever reads and writes."""
    done = stores.compact(store_or_only(store), grace_s=grace_h * 3600)
    for line in done.lines:
        typer.echo(line)
    if done.damaged:
        raise typer.Exit(INCOMPLETE)


@app.command()
def check(
    store: StoreOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Write a lost manifest of a compacted store anew first."),
    ] = False,
) -> None:
    """Read all of a store: is every file sound, every level complete, every mask what it says?"""
    where = store_or_only(store)
    repaired = stores.repair(where).lines if repair else ()
    for line in repaired:
        typer.echo(line)
    health = stores.check(where)
    for line in health.lines:
        typer.echo(line)
    if health.problems:
        raise typer.Exit(INCOMPLETE)


@app.command()
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="Made if it is not there.")],
    sources: Annotated[list[str], typer.Argument(metavar="STORE...", help="Left as they are.")],
) -> None:
    """Copy into a store what others have and it lacks. Where rows differ, its own stay."""
    merged = stores.merge(into, *sources)
    for line in merged.lines:
        typer.echo(line)
    if merged.conflicts:
        raise typer.Exit(INCOMPLETE)


@app.command()
def export(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Or view: lip tables lists all.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .parquet or .csv file.")
    ],
    store: StoreOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also in place of one that is there.")
    ] = False,
) -> None:
    """Write all rows of a table or view to one file."""
    reader = stores.Reader(store_or_only(store))
    rows = stores.export(reader, table, output, overwrite=overwrite)
    typer.echo(f"{output}: {rows:,} rows")
    own_up(reader)
