"""What commands share: options, refusals, and printed answers."""

import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

from lip_ray.cli import completion
from lip_ray.store_names import FOR_PEOPLE, Format

if TYPE_CHECKING:
    import pandas as pd

    from lip_ray.store import Limits, Reader, TextTable

BAD_INPUT = 2
INCOMPLETE = 1
FAULT = 70
INTERRUPTED = 130

ROWS_ON_A_TERMINAL = 200

NARROWEST = 40
"""The least width in characters that text is broken into lines for."""

WIDER = "widen the terminal, or send the output to a file"

TEXTS = ("table", "csv", "json")
"""Output formats of everything but answers to queries."""

STORE_VARIABLE = "LIP_RAY_STORE"
"""The environment variable that names the store where a command does not."""

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PATH",
        help="Folder of the results; where there is only one under results/, that one.",
        envvar=STORE_VARIABLE,
        autocompletion=completion.stores,
    ),
]
StoreArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="STORE", help="The same as --store PATH.", autocompletion=completion.stores
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"{', '.join(get_args(Format))}.",
        autocompletion=completion.words(*get_args(Format)),
    ),
]
TextOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help=f"{', '.join(TEXTS)}.",
        autocompletion=completion.words(*TEXTS),
    ),
]


def example(command: str) -> str:
    """The last line of a command's help: a call of it that could be given as it is."""
    return f"Example: {command}"


def require_one_of(
    allowed: Sequence[str], given: str, option: str = "--format", what: str = "format"
) -> None:
    """Refuse an option's value that is not one of those allowed."""
    if given not in allowed:
        refuse(f"{option}: unknown {what} {given!r}; allowed: {', '.join(allowed)}")


def number(value: float | None) -> float | None:
    """An option's value. Raises BadParameter where it is no number, which no bound excludes."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


def refuse(message: str) -> NoReturn:
    """Print one message on stderr and exit with code 2."""
    typer.echo(message, err=True)
    raise typer.Exit(BAD_INPUT)


def store_or_only(option: str | None, argument: str | None = None) -> str:
    """The store that was named, or the only one there is."""
    given = named_store(option, argument)
    if given is not None:
        return given
    from lip_ray.store import Reader

    found = [str(folder) for folder in sorted(Path("results").glob("*")) if Reader.exists(folder)]
    if len(found) != 1:
        which = f"one of {', '.join(found)}" if found else "no store was found under results/"
        refuse(f"--store PATH is needed: {which}")
    return found[0]


def named_store(option: str | None, argument: str | None) -> str | None:
    """The store that was named by its place or by `--store`; None where neither names one.

    The environment stands behind both. Two different names are refused.
    """
    if argument is None:
        return option
    if option not in (None, argument, os.environ.get(STORE_VARIABLE)):
        refuse(f"two stores are named, {argument} and --store {option}: name one")
    return argument


def print_answer(
    sql: str,
    store: str | None,
    form: str,
    *,
    sweep: str | None = None,
    limits: "Limits | None" = None,
    width: int | None = None,
    most_rows: int | None = None,
) -> None:
    """Print rows of a store on stdout in the given format.

    With a `sweep`, only rows of the trials that it asked for are there. What people read fits their
    terminal, unless a width and a number of rows are given, of which 0 is without a limit; what is
    not shown is named on stderr.
    """
    formats: tuple[Format, ...] = get_args(Format)
    require_one_of(formats, form)
    if form == "parquet" and sys.stdout.isatty():
        refuse("--format: parquet is binary, so send it to a file: lip query ... > result.parquet")
    from lip_ray.store import Reader, for_people, rendered

    reader = Reader(store_or_only(store), limits=limits, sweep=sweep)
    result = reader.sql(sql)
    if form in FOR_PEOPLE:
        _print_table(for_people(result, form, **_bounds(width, most_rows)))
    else:
        sys.stdout.buffer.write(rendered(result, cast(Format, form)))
        sys.stdout.buffer.flush()
    own_up(reader)


def _print_table(table: "TextTable") -> None:
    typer.echo(table.text, nl=False)
    for note in table.notes:
        print_text(note, err=True)


def _bounds(width: int | None, most_rows: int | None) -> dict[str, int | None]:
    """What a table may take of a terminal; all it wants elsewhere."""
    if width is None and on_a_terminal():
        width = shutil.get_terminal_size().columns
    if most_rows is None and on_a_terminal():
        most_rows = ROWS_ON_A_TERMINAL
    return {"width": width or None, "most_rows": most_rows or None}


def on_a_terminal() -> bool:
    """Whether a person sees the answer at once."""
    return sys.stdout.isatty()


def own_up(reader: "Reader") -> None:
    """Name the files that could not be read, and so are missing from an answer, and exit with code
    1. Does nothing where all were read."""
    name_damaged(reader)
    if reader.damaged:
        raise typer.Exit(INCOMPLETE)


def name_damaged(reader: "Reader") -> None:
    """Name on stderr the files whose rows an answer lacks, and count them."""
    for name in reader.damaged:
        typer.echo(f"damaged: {name}", err=True)
    if reader.damaged:
        count = len(reader.damaged)
        files = "1 damaged file was" if count == 1 else f"{count:,} damaged files were"
        typer.echo(f"{files} left out: lip store check says more", err=True)


def print_in(form: str, frame: "pd.DataFrame") -> None:
    """Print a table in one of the formats of `TEXTS`."""
    require_one_of(TEXTS, form)
    if form == "table":
        print_frame(frame)
    elif form == "csv":
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        said = frame.to_json(
            orient="records", force_ascii=False, double_precision=15, date_format="iso"
        )
        typer.echo(said)


def print_frame(frame: "pd.DataFrame") -> None:
    """Print aligned columns on stdout, as wide as the terminal; nulls are blank."""
    from lip_ray.store import as_table

    known = frame.astype(object).where(frame.notna(), None)
    columns = [(str(name), known.iloc[:, place].tolist()) for place, name in enumerate(known)]
    width = _bounds(None, 0)["width"]
    _print_table(as_table(columns, width=width, digits=4, advice=WIDER))


def print_text(text: str, *, err: bool = False) -> None:
    """Print a sentence, on a terminal in lines that fit it."""
    if not on_a_terminal():
        typer.echo(text, err=err)
        return
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    for line in textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ):
        typer.echo(line, err=err)
