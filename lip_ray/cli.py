"""The command line: thin, because every command is a function elsewhere.

Torch, Ray and Plotly take seconds to import, so each command imports what it needs when it runs.
Exit codes: 0 done, 1 incomplete or unwell, 2 wrong input, 130 interrupted.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, cast, get_args

import typer
from rich.console import Console

from lip_ray import __version__
from lip_ray.errors import UserError
from lip_ray.store import Format, Reader, rendered

if TYPE_CHECKING:
    import pandas as pd

    from lip_ray.engine.launch import Summary
    from lip_ray.sweep import Sweep
    from lip_ray.trials.ticketfile import Ticket

BAD_INPUT = 2
INCOMPLETE = 1
INTERRUPTED = 130

TEXTS = ("table", "csv", "json")
"""Formats of what is not the answer to a query."""
NETWORKS = ("avgG", "netG")
"""The generators in a checkpoint of the GAN zoo."""

app = typer.Typer(
    help="Sweeps that map the accuracy-sparsity frontier of image priors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

tickets = typer.Typer(no_args_is_help=True, help="Take tickets out of a store, compare, list them.")
app.add_typer(tickets, name="tickets")

imports = typer.Typer(no_args_is_help=True, help="Take over published masks, weights, generators.")
app.add_typer(imports, name="import")

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A YAML file, or the name of a shipped sweep.")
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH", help="Folder of the results.", envvar="LIP_RAY_STORE"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a dotted.path of the file; repeatable."
    ),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Apply the sweep's quick block: seconds, not hours.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Of a Ray cluster: auto on one of its machines, HOST:PORT, or ray://HOST:10001 from "
        "outside; without it, a Ray of this machine alone.",
    ),
]
TicketArgument = Annotated[
    str, typer.Argument(metavar="TICKET", help="TRIAL_ID@LEVEL, or a .safetensors file.")
]
TicketOption = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="The .safetensors file to write."),
]
FormatOption = Annotated[
    str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(get_args(Format))}.")
]
TextOption = Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(TEXTS)}.")]


def main() -> None:
    """Run the command line; a user's mistake is one message on stderr and exit code 2."""
    app()


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


@app.command()
def run(
    sweep: SweepArgument,
    store: StoreOption = None,
    overrides: SetOption = None,
    quick: QuickOption = False,
    address: AddressOption = None,
) -> None:
    """Run what the store lacks of a sweep. Ctrl-C lets the levels in flight end, a second one
    stops at once; the same command again goes on from there."""
    with _mistakes_in_one_message():
        chosen = _sweep(sweep, overrides, quick)
        place = store or chosen.store
        summary = _launched(chosen, place, address)
    for traceback in dict.fromkeys(failure.traceback for failure in summary.failures):
        if traceback:
            typer.echo(traceback, err=True)
    for failure in summary.failures:
        typer.echo(f"given up: {failure.trial}: {failure.reason}", err=True)
    if summary.problem:
        typer.echo(f"stopped: {summary.problem}", err=True)
    if summary.unnoted:
        typer.echo(f"failures are not noted: {summary.unnoted}", err=True)
    if Reader.exists(place):  # a cluster's may be out of sight from here
        with _mistakes_in_one_message():
            _print_summary(place, chosen)
    typer.echo(f"{summary.line}; results in {place}")
    if not summary.complete:
        typer.echo("not complete: the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED if summary.interrupted else INCOMPLETE)


@app.command()
def plan(
    sweep: SweepArgument,
    store: StoreOption = None,
    overrides: SetOption = None,
    quick: QuickOption = False,
    address: AddressOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Try a few steps here of what was never timed.")
    ] = False,
) -> None:
    """Show what a sweep would run, what is done, what waits for what, and what the rest would
    take, by the times that the store has."""
    with _mistakes_in_one_message():
        chosen = _sweep(sweep, overrides, quick)
        from lip_ray.engine.outlook import look_ahead

        outlook = look_ahead(chosen, store or chosen.store, address=address, measure=measure)
    _print_frame(outlook.trials)
    typer.echo()
    _print_frame(outlook.graph)
    for line in outlook.lines:
        typer.echo(line)


@app.command()
def status(
    store: StoreOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Only what was given up, and why.")
    ] = False,
) -> None:
    """Show how far the sweeps of a store have come, what runs now, and what was given up."""
    from lip_ray import analysis

    with _mistakes_in_one_message():
        reader = Reader(_store(store))
        given_up = reader.frame("failures")
        if not failures:
            asked = [reader.frame(table) for table in ("sweeps", "points", "levels")]
            running = reader.standings()
    if failures:
        table = analysis.failures_table(given_up)
        if table.empty:
            typer.echo("nothing is given up")
        else:
            _print_frame(table)
        return
    _print_frame(analysis.status_table(*asked, given_up, running))
    typer.echo()
    _print_frame(analysis.kinds_table(*asked, given_up, running))
    if running:
        typer.echo()
        _print_frame(analysis.running_table(running))


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
    _print_answer(sql, store, form)


@app.command()
def report(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Folder of the results.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PAGE", help="The HTML file to write.")
    ],
) -> None:
    """Write the frontier page of a store: one HTML file that needs no network."""
    from lip_ray.analysis import frontier_report

    with _mistakes_in_one_message(ValueError, OSError):
        page = frontier_report(Reader(store))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    typer.echo(output)


@tickets.command("list")
def list_tickets(store: StoreOption = None, form: FormatOption = "table") -> None:
    """List the tickets of a store, with their densities and PSNR."""
    from lip_ray.tickets import LISTING

    _print_answer(LISTING, store, form)


@tickets.command()
def export(ticket: TicketArgument, output: TicketOption, store: StoreOption = None) -> None:
    """Write a ticket of a store, mask and weights, into a file for PyTorch or a sweep."""
    from lip_ray.tickets import write

    with _mistakes_in_one_message(OSError):
        chosen = _ticket(ticket, store)
        write(chosen, output)
    _print_ticket(chosen, output)


@tickets.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="TRIAL_ID@LEVEL or a file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="TRIAL_ID@LEVEL or a file.")],
    store: StoreOption = None,
    form: TextOption = "table",
) -> None:
    """Compare two masks layer by layer: densities, and their overlap against chance."""
    _allowed(form, TEXTS)
    with _mistakes_in_one_message():
        from lip_ray.tickets import compare

        frame = compare(_ticket(first, store), _ticket(second, store))
    if form == "table":
        _print_frame(frame)
    elif form == "csv":
        typer.echo(frame.to_csv(index=False), nl=False)
    else:
        typer.echo(frame.to_json(orient="records", force_ascii=False, double_precision=15))


@imports.command("ticket")
def import_ticket(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Published masks or weights.")],
    prior: Annotated[
        str, typer.Option(metavar="PRIOR", help="Of the network, in YAML: {kind: skip, width: 8}.")
    ],
    output: TicketOption,
    channels: Annotated[int, typer.Option(min=1, help="Of the network's images.")] = 3,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rewind to this state dict.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="Rewind to initial weights of this seed."),
    ] = None,
) -> None:
    """Make a ticket of a published file: mask files of lottery-image-prior, flat masks of Optimal
    Eye Surgeon, state dicts of Deep Image Prior. Which of them it is shows in the file."""
    with _mistakes_in_one_message(OSError):
        from lip_ray.tickets import imported, prior_named, write

        ticket = imported(
            file, prior_named(prior), image_channels=channels, weights=weights, seed=seed
        )
        write(ticket, output)
    _print_ticket(ticket, output)


@imports.command("generator")
def import_generator(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Published weights.")],
    card: Annotated[
        Path | None, typer.Option(metavar="CARD.json", help="What the layers of FILE are.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(metavar="NETWORK", help=f"{' or '.join(NETWORKS)}, by default the first."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the file is written.")
    ] = Path("generators"),
) -> None:
    """Make a file that trials take of a published generator: a checkpoint of the GAN zoo's
    progressive GAN, or a state dict with a card of its layers."""
    if network is not None:
        _allowed(network, NETWORKS, "--network", "network")
    with _mistakes_in_one_message(OSError):
        from lip_ray.generators import imported

        found = imported(file, card=card, network=network, folder=output)
    for line in found.lines:
        typer.echo(line)


@app.command()
def doctor(store: StoreOption = None) -> None:
    """Check that this machine can run a sweep: versions, devices, the store, Ray."""
    from lip_ray.engine.doctor import checks

    unwell = False
    for check in checks(store or "results"):
        unwell |= not check.passed
        typer.echo(f"{'ok  ' if check.passed else 'FAIL'}  {check.name:<9} {check.detail}")
    if unwell:
        raise typer.Exit(INCOMPLETE)


@app.command()
def schema() -> None:
    """Print the JSON schema of sweep files, for editors."""
    from lip_ray.sweep import json_schema_text

    typer.echo(json_schema_text(), nl=False)


def _launched(sweep: "Sweep", store: str, address: str | None) -> "Summary":
    if address and address.startswith("ray://"):
        from lip_ray.engine.client import launch_from_outside

        return launch_from_outside(sweep, store, Console(), address)
    from lip_ray.engine.launch import launch

    return launch(sweep, store, Console(), address=address)


def _sweep(name: str, overrides: list[str] | None, quick: bool) -> "Sweep":
    from lip_ray.sweep import Sweep

    sweep = Sweep.from_yaml(_sweep_file(name), overrides=overrides or (), quick=quick)
    for remark in dict.fromkeys(said for trial in sweep.trials for said in trial.remarks()):
        typer.echo(f"note: {remark}", err=True)
    return sweep


def _sweep_file(name: str) -> Path:
    """The file itself, or the shipped one of that name."""
    import lip_ray.sweeps

    path = Path(name)
    if path.exists() or path.suffix:
        return path
    shipped = {file.stem: file for file in Path(lip_ray.sweeps.__path__[0]).rglob("*.yaml")}
    if name not in shipped:
        _refuse(f"no file {name!r}, and no shipped sweep: {', '.join(sorted(shipped))}")
    return shipped[name]


def _store(given: str | None) -> str:
    """The store asked for, or the only one there is."""
    if given is not None:
        return given
    found = [str(folder) for folder in sorted(Path("results").glob("*")) if Reader.exists(folder)]
    if len(found) != 1:
        which = f"one of {', '.join(found)}" if found else "there is none under results/"
        _refuse(f"--store PATH is needed: {which}")
    return found[0]


def _ticket(reference: str, store: str | None) -> "Ticket":
    """The ticket in a file, or of a level in the store."""
    from lip_ray.tickets import export, is_file, read

    if is_file(reference):
        return read(Path(reference))
    return export(Reader(_store(store)), reference)


def _allowed(
    given: str, allowed: Sequence[str], option: str = "--format", what: str = "format"
) -> None:
    if given not in allowed:
        _refuse(f"{option}: unknown {what} {given!r}; allowed: {', '.join(allowed)}")


@contextmanager
def _mistakes_in_one_message(*more: type[ValueError] | type[OSError]) -> Iterator[None]:
    """Turn what a user can have got wrong into one message and exit code 2."""
    try:
        yield
    except (UserError, *more) as error:
        _refuse(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _refuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(BAD_INPUT)


def _print_answer(sql: str, store: str | None, form: str) -> None:
    formats: tuple[Format, ...] = get_args(Format)
    _allowed(form, formats)
    if form == "parquet" and sys.stdout.isatty():
        _refuse("--format: parquet is binary, so send it to a file: lip query ... > result.parquet")
    with _mistakes_in_one_message():
        result = Reader(_store(store)).sql(sql)
    sys.stdout.buffer.write(rendered(result, cast(Format, form)))


def _print_ticket(ticket: "Ticket", path: Path) -> None:
    about = ticket.about
    typer.echo(
        f"{path}: keeps {about['kept']:,} of {about['total']:,} weights (density "
        f"{about['density']:.4g}); weights: {about['weights']}"
    )
    for note in about.get("notes", ()):
        typer.echo(f"note: {note}")


def _print_summary(store: str, sweep: "Sweep") -> None:
    """The front of a search; of any other sweep, means by problem and method."""
    from lip_ray.analysis import front_table, summary_table

    reader = Reader(store)
    if sweep.search:
        points = reader.frame("points")
        mine = points[(points["search"] == sweep.name) & (points["search_id"] == sweep.search_id)]
        if not mine.empty:
            _print_frame(front_table(mine).drop(columns=["state", "pareto", "reason"]))
        return
    levels = reader.frame("levels")
    if not levels.empty:
        _print_frame(summary_table(reader.frame("trials"), levels))


def _print_frame(frame: "pd.DataFrame") -> None:
    typer.echo(frame.to_string(index=False, na_rep="", float_format="{:.4g}".format))
