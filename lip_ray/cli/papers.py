"""Commands for papers: tables as text of other programs, and what to cite."""

import json
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from lip_ray.cli.common import (
    StoreArgument,
    StoreOption,
    example,
    own_up,
    print_frame,
    refuse,
    require_one_of,
    store_or_only,
)
from lip_ray.cli.results import ClaimsOption, SweepOption, stated
from lip_ray.outputs import write_whole
from lip_ray.store_names import Format

PAPER_FORMATS = ("table", "csv", "json", "latex", "markdown")

app = typer.Typer()


@app.command(epilog=example("lip table verdicts results/noise --format latex -o verdicts.tex"))
def table(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="verdicts, frontier, cost, …; a wrong one lists all."),
    ],
    argument: StoreArgument = None,
    store: StoreOption = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(PAPER_FORMATS)}.")
    ] = "table",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A file, and not the terminal."),
    ] = None,
    sweep: SweepOption = None,
    claims: ClaimsOption = None,
    part: Annotated[
        str, typer.Option("--part", help="Of several of that name: its title, or its place.")
    ] = "0",
    choose: Annotated[
        list[str] | None,
        typer.Option(
            "--choose", metavar="WORDS", help="Only rows with these words in a cell; repeatable."
        ),
    ] = None,
) -> None:
    """Write a table of the page for a paper. Its first lines name the packages that LaTeX needs."""
    require_one_of(PAPER_FORMATS, form)
    from lip_ray.analysis.named import table_of_page
    from lip_ray.store import Reader, rendered_texts

    reader = Reader(store_or_only(store, argument), sweep=sweep)
    chosen = int(part) if part.isdecimal() else part
    found = table_of_page(stated(reader, claims), name, choose=choose or (), part=chosen)
    if form == "table" and output is None:
        import pandas as pd

        print_frame(pd.DataFrame(found.rows, columns=list(found.heads)))
    else:
        _put(rendered_texts(found.heads, found.rows, cast(Format, form)), output)
    own_up(reader)


@app.command(epilog=example("lip cite results/noise > methods.bib"))
def cite(
    argument: StoreArgument = None, store: StoreOption = None, sweep: SweepOption = None
) -> None:
    """Print BibTeX of the papers that the methods of a store's trials are from."""
    from lip_ray.literature import bibtex_of
    from lip_ray.store import Reader

    reader = Reader(store_or_only(store, argument), sweep=sweep)
    specs = reader.frame("trials")["spec"]
    try:
        found = bibtex_of(specs)
    except json.JSONDecodeError as error:
        refuse(f"a spec in the table trials is no JSON: {error}")
    typer.echo(found, nl=False)
    own_up(reader)


def _put(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    write_whole(output, content)
    typer.echo(output)
