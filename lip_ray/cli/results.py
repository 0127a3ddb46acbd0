"""Commands about results: query them, draw them, serve them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import (
    ROWS_ON_A_TERMINAL,
    FormatOption,
    StoreArgument,
    StoreOption,
    example,
    named_store,
    number,
    own_up,
    print_answer,
    require_one_of,
    store_or_only,
)
from lip_ray.store_names import MEMORY, MOST_MEMORY, MOST_SPILL, SPILL, THREADS

if TYPE_CHECKING:
    from lip_ray.analysis.page.content import Frames
    from lip_ray.claims import Claims
    from lip_ray.store import Reader

PSNRS = ("selected", "peak", "final")

MemoryOption = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        envvar=MEMORY,
        help="Memory that the query may use, and its answer once more: 4GB, or a share of what "
        "this process may have.",
    ),
]

ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10_000,
        metavar="N",
        envvar=THREADS,
        help="Threads of the query; by default one per core that this process may use.",
    ),
]

SpillOption = Annotated[
    str,
    typer.Option(
        metavar="SIZE",
        envvar=SPILL,
        help="Room on disk for what does not fit into memory.",
    ),
]

SweepOption = Annotated[
    str | None,
    typer.Option(
        "--sweep",
        metavar="NAME",
        help="Only the trials that this sweep asked for, by its name or its id in the table "
        "sweeps; a wrong one lists all.",
    ),
]

ClaimsOption = Annotated[
    Path | None,
    typer.Option(
        "--claims",
        metavar="FILE",
        help="A YAML file of claims, which are put to the test too (docs/claims.md).",
    ),
]

FigureArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="frontier, transfer, …; a wrong one lists all.",
        autocompletion=completion.words(*completion.FIGURES),
    ),
]

PsnrOption = Annotated[
    str,
    typer.Option(
        "--psnr",
        metavar="PSNR",
        help=f"{', '.join(PSNRS)}.",
        autocompletion=completion.words(*PSNRS),
    ),
]

app = typer.Typer()


@app.command(epilog=example("lip query 'select pruner, level, n from frontier'"))
def query(
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL",
            help="One select over trials, levels, frontier, matching, transfer, timings, … (lip "
            "tables lists all); - reads it from the standard input.",
        ),
    ],
    argument: StoreArgument = None,
    store: StoreOption = None,
    sweep: SweepOption = None,
    form: FormatOption = "table",
    width: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100_000,
            help="Width of a table in characters; by default the terminal's. 0: any.",
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10**9,
            help=f"Rows that a table shows at most; by default {ROWS_ON_A_TERMINAL} on a terminal, "
            "else all. 0: all.",
        ),
    ] = None,
    memory: MemoryOption = MOST_MEMORY,
    threads: ThreadsOption = None,
    spill: SpillOption = MOST_SPILL,
) -> None:
    """Ask a store in SQL (DuckDB's), reading only. Ctrl-C ends a query.

    The environment's LIP_RAY_MEMORY, LIP_RAY_THREADS and LIP_RAY_SPILL hold for all commands."""
    from lip_ray.store import Limits

    print_answer(
        sys.stdin.read() if sql == "-" else sql,
        named_store(store, argument),
        form,
        sweep=sweep,
        limits=Limits(memory=memory, threads=threads, spill=spill),
        width=width,
        most_rows=rows,
    )


@app.command(epilog=example("lip tables levels"))
def tables(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="TABLE",
            help="Only this table or view.",
            autocompletion=completion.tables,
        ),
    ] = None,
) -> None:
    """List the tables and views of a store, their columns, types and units, as Markdown."""
    from lip_ray.store import described

    typer.echo(described(table), nl=False)


@app.command(epilog=example("lip report results/noise -o noise.html"))
def report(
    argument: StoreArgument = None,
    store: StoreOption = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PAGE",
            help="An .html file; or a folder, where pages share plotly.js.",
        ),
    ] = Path("report.html"),
    sweep: SweepOption = None,
    claims: ClaimsOption = None,
    pictures_mb: Annotated[
        float,
        typer.Option(
            "--pictures-mb",
            min=0,
            max=10_000,
            callback=number,
            help="Room for pictures in the page, in 10⁶ B.",
        ),
    ] = 40.0,
) -> None:
    """Write the page of a store: verdicts, frontiers, galleries, costs. It needs no network."""
    from lip_ray.analysis.page.report import write_report
    from lip_ray.store import Reader

    reader = Reader(store_or_only(store, argument), sweep=sweep)
    page = write_report(stated(reader, claims), output, pictures_mb=pictures_mb)
    typer.echo(page)
    own_up(reader)


@app.command(epilog=example("lip figure frontier results/noise -o fig2.pdf --width 85"))
def figure(
    name: FigureArgument,
    argument: StoreArgument = None,
    store: StoreOption = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .pdf, .svg or .png file.")
    ] = Path("figure.pdf"),
    sweep: SweepOption = None,
    claims: ClaimsOption = None,
    which: PsnrOption = "selected",
    part: Annotated[
        str, typer.Option("--part", help="Of several of that name: its title, or its place.")
    ] = "0",
    choose: Annotated[
        list[str] | None,
        typer.Option("--choose", metavar="WORDS", help="On the figure's buttons; repeatable."),
    ] = None,
    width_mm: Annotated[
        float, typer.Option("--width", min=1, max=2000, callback=number, help="In millimetres.")
    ] = 180.0,
    height_mm: Annotated[
        float | None,
        typer.Option(
            "--height",
            min=1,
            max=2000,
            callback=number,
            help="In millimetres, as needed by default.",
        ),
    ] = None,
    font: Annotated[str | None, typer.Option("--font", help="A family of fonts.")] = None,
    font_size_pt: Annotated[
        float, typer.Option("--font-size", min=1, max=100, callback=number, help="In points.")
    ] = 8.0,
) -> None:
    """Write a figure of the page for a paper."""
    require_one_of(PSNRS, which, "--psnr", "PSNR")
    from lip_ray.analysis.named import figure_of
    from lip_ray.analysis.print import FONT, write_figure
    from lip_ray.store import Reader

    reader = Reader(store_or_only(store, argument), sweep=sweep)
    chosen = int(part) if part.isdecimal() else part
    drawn = figure_of(stated(reader, claims), name, which=which, choose=choose or (), part=chosen)
    write_figure(
        drawn,
        output,
        width_mm=width_mm,
        height_mm=height_mm,
        font=font or FONT,
        font_size_pt=font_size_pt,
    )
    typer.echo(output)
    own_up(reader)


@app.command(epilog=example("lip serve results/noise"))
def serve(
    argument: StoreArgument = None,
    store: StoreOption = None,
    sweep: SweepOption = None,
    claims: ClaimsOption = None,
    host: Annotated[
        str, typer.Option("--host", help="Whom to answer: by default this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8050,
    refresh_s: Annotated[
        float,
        typer.Option(
            "--refresh",
            min=0.1,
            max=86_400,
            callback=number,
            help="Seconds between looks at the store.",
        ),
    ] = 10.0,
) -> None:
    """Show the page of a store live, in a browser, while a sweep runs; nothing is written."""
    from lip_ray.analysis.live.serve import serve as serve_page

    place = store_or_only(store, argument)
    found = loaded(claims)
    serve_page(place, sweep=sweep, claims=found, host=host, port=port, refresh_s=refresh_s)


def stated(reader: "Reader", claims: Path | None) -> "Frames":
    """The store, with the claims of a file where one is named."""
    found = loaded(claims)
    if found is None:
        return reader
    from lip_ray.analysis.parts.claims.stated import StatedStore

    return StatedStore(reader=reader, claims=found)


def loaded(claims: Path | None) -> "Claims | None":
    """The claims of a file, where one is named."""
    if claims is None:
        return None
    from lip_ray.claims import Claims

    return Claims.load(claims)
