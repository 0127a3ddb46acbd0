"""The command line: thin, because every command is a function elsewhere.

Torch, Ray and Plotly take seconds to import, so each command imports what it needs when it runs.
Exit codes: 0 done, 1 incomplete or unwell, 2 wrong input, or a file, disk or library that fails, 70
a fault of lip-ray itself, 130 interrupted. `faults` says which is which.
"""

import inspect
import re
import sys
import traceback
from typing import Annotated

import typer

from lip_ray import __version__
from lip_ray.cli import (
    authoring,
    listing,
    papers,
    pictures,
    results,
    store,
    sweeps,
    tickets,
)
from lip_ray.cli.common import FAULT, example
from lip_ray.cli.faults import Commands

app = typer.Typer(
    cls=Commands,
    help="Sweeps that map the accuracy-sparsity frontier of image priors.",
    epilog=example("lip run quickstart --quick"),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command line; a user's mistake is one message on stderr and exit code 2."""
    try:
        app()
    except Exception:
        traceback.print_exc()
        sys.exit(FAULT)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lip-ray {__version__}")
        raise typer.Exit


@app.callback()
def _lip(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sweeps that map the accuracy-sparsity frontier of image priors."""


def _worded(part: typer.Typer) -> typer.Typer:
    """Give each command its docstring as help, in lines as wide as the terminal; lists of commands
    have the first sentence of it."""
    for command in part.registered_commands:
        text = inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(one.split()) for one in text.split("\n\n"))
        command.short_help = re.split(r"(?<=[.?])\s", command.help)[0]
    return part


app.add_typer(_worded(authoring.app))
app.add_typer(_worded(sweeps.app))
app.add_typer(_worded(listing.app))
app.add_typer(_worded(results.app))
app.add_typer(_worded(papers.app))
app.add_typer(_worded(pictures.app))
app.add_typer(_worded(store.app), name="store")
app.add_typer(_worded(tickets.tickets), name="tickets")
app.add_typer(_worded(tickets.imports), name="import")
