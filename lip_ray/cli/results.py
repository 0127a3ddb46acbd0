"""Commands about results: ask, chart."""

from pathlib import Path
from typing import Annotated

import typer

from lip_ray.cli.common import FormatOption, StoreOption, mistakes_in_one_message, print_answer
from lip_ray.store import Reader, described

app = typer.Typer()


@app.command()
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL",
            help="One select over trials, levels, curves, masks, reconstructions, sweeps, "
            "failures, points, pareto, timings, sensing, and others that the README lists.",
        ),
    ],
    store: StoreOption = None,
    form: FormatOption = "table",
) -> None:
    """Ask a store in SQL (DuckDB's), reading only."""
    print_answer(sql, store, form)


@app.command()
def tables(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="Only this table or view.")
    ] = None,
) -> None:
    """List the tables and views of a store, their columns, types and units, as Markdown."""
    with mistakes_in_one_message():
        typer.echo(described(table), nl=False)


@app.command()
def report(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Folder of the results.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PAGE", help="The HTML file to write.")
    ],
) -> None:
    """Write the frontier page of a store: one HTML file that needs no network."""
    from lip_ray.analysis import frontier_report

    with mistakes_in_one_message(ValueError, OSError):
        page = frontier_report(Reader(store))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    typer.echo(output)
