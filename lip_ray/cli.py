"""The command line: thin, because every command is a function elsewhere."""

from typing import Annotated

import typer

BAD_INPUT = 2
INCOMPLETE = 1
INTERRUPTED = 130

app = typer.Typer(
    help="Sweeps that map the accuracy-sparsity frontier of image priors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A YAML file, or the name of a shipped sweep.")
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Folder of the results.", envvar="LIP_RAY_STORE"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="dotted.path=value: overrides the file; may be repeated."),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Apply the sweep's quick block: seconds, not hours.")
]


def main() -> None:
    """Run the command line; a user's mistake is one message on stderr and exit code 2."""
    app()
