"""What commands share: options, one message for a mistake, and printed answers."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer

from lip_ray.errors import UserError
from lip_ray.store import Format, Reader, rendered

if TYPE_CHECKING:
    import pandas as pd

BAD_INPUT = 2
INCOMPLETE = 1
INTERRUPTED = 130

TEXTS = ("table", "csv", "json")
"""Output formats of everything but answers to queries."""

StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH", help="Folder of the results.", envvar="LIP_RAY_STORE"),
]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(get_args(Format))}.")
]
TextOption = Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(TEXTS)}.")]


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


@contextmanager
def mistakes_in_one_message(*more: type[ValueError] | type[OSError]) -> Iterator[None]:
    """Turn errors that a user can mend into one message and exit code 2."""
    try:
        yield
    except (UserError, *more) as error:
        refuse(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def refuse(message: str) -> NoReturn:
    """Print one message on stderr and exit with code 2."""
    typer.echo(message, err=True)
    raise typer.Exit(BAD_INPUT)


def store_or_only(given: str | None) -> str:
    """The store that was named, or the only one there is."""
    if given is not None:
        return given
    found = [str(folder) for folder in sorted(Path("results").glob("*")) if Reader.exists(folder)]
    if len(found) != 1:
        which = f"one of {', '.join(found)}" if found else "there is none under results/"
        refuse(f"--store PATH is needed: {which}")
    return found[0]


def print_answer(sql: str, store: str | None, form: str) -> None:
    """Print rows of a store on stdout in the given format."""
    formats: tuple[Format, ...] = get_args(Format)
    require_one_of(formats, form)
    if form == "parquet" and sys.stdout.isatty():
        refuse("--format: parquet is binary, so send it to a file: lip query ... > result.parquet")
    with mistakes_in_one_message():
        reader = Reader(store_or_only(store))
        result = reader.sql(sql)
    sys.stdout.buffer.write(rendered(result, cast(Format, form)))
    sys.stdout.buffer.flush()
    own_up(reader)


def own_up(reader: Reader) -> None:
    """Name the files that could not be read, and so are missing from an answer, and exit with code
    1. Does nothing where all were read."""
    if reader.damaged:
        for name in reader.damaged:
            typer.echo(f"damaged: {name}", err=True)
        count = len(reader.damaged)
        files = "1 damaged file was" if count == 1 else f"{count:,} damaged files were"
        typer.echo(f"{files} left out: lip store check says more", err=True)
        raise typer.Exit(INCOMPLETE)


def print_frame(frame: "pd.DataFrame") -> None:
    """Print aligned columns on stdout; nothing for an empty table."""
    typer.echo(frame.to_string(index=False, na_rep="", float_format="{:.4g}".format))
