"""Commands about sweeps: plan one, run it, see how far it has come."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lip_ray.cli.common import (
    INCOMPLETE,
    INTERRUPTED,
    StoreOption,
    name_damaged,
    own_up,
    print_frame,
    refuse,
    store_or_only,
)
from lip_ray.store import Reader

if TYPE_CHECKING:
    from lip_ray.engine.launch import Summary
    from lip_ray.sweep import Sweep

MOST_SENTENCES = 8
"""The sentences that `lip run` ends with; the page has all."""

app = typer.Typer()

SweepArgument = Annotated[
    str, typer.Argument(metavar="SWEEP", help="A YAML file, or the name of a shipped sweep.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Override a dotted.path of the file; repeatable."
    ),
]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="Apply the sweep's quick block: seconds, not hours, in a store of its own."
    ),
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


@app.command()
def run(
    sweep: SweepArgument,
    store: StoreOption = None,
    overrides: SetOption = None,
    quick: QuickOption = False,
    address: AddressOption = None,
) -> None:
    """Run what the store lacks of a sweep. Ctrl-C lets the levels in flight end, and a second one
    stops at once. The same command goes on from there. With --set run.gpus=auto, small trials share
    a GPU."""
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
        _print_summary(place, chosen)
    typer.echo(f"{summary.line}; results in {place}")
    if summary.complete:
        typer.echo(f"lip report {place} makes a page of them")
    else:
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
    take, by the times that the store has, or else by the multiply-adds that its steps compute."""
    chosen = _sweep(sweep, overrides, quick)
    from lip_ray.engine.outlook import look_ahead

    outlook = look_ahead(chosen, store or chosen.store, address=address, measure=measure)
    print_frame(outlook.trials)
    typer.echo()
    print_frame(outlook.graph)
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

    reader = Reader(store_or_only(store))
    given_up = reader.frame("failures")
    if not failures:
        asked = [reader.frame(table) for table in ("sweeps", "points", "levels")]
        running = reader.standings()
    if failures:
        table = analysis.failures_table(given_up)
        if table.empty:
            typer.echo("nothing is given up")
        else:
            print_frame(table)
        own_up(reader)
        return
    print_frame(analysis.status_table(*asked, given_up, running))
    typer.echo()
    print_frame(analysis.kinds_table(*asked, given_up, running))
    if running:
        typer.echo()
        print_frame(analysis.running_table(running))
    own_up(reader)


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
        from lip_ray.engine.remote_driver import launch_from_outside

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
    """The named file or, where there is none, the shipped sweep of that name."""
    import lip_ray.sweeps

    path = Path(name)
    if path.exists() or path.suffix:
        return path
    shipped = {file.stem: file for file in Path(lip_ray.sweeps.__path__[0]).rglob("*.yaml")}
    if name not in shipped:
        refuse(f"no file {name!r}, and no shipped sweep: {', '.join(sorted(shipped))}")
    return shipped[name]


def _print_summary(store: str, sweep: "Sweep") -> None:
    """Print the front of a search; for any other sweep, means by problem and method."""
    from lip_ray.analysis import front_table, summary_table
    from lip_ray.analysis.parts.search.table import left_out, search_table
    from lip_ray.analysis.terminal import said

    reader = Reader(store)
    if sweep.search:
        points = reader.frame("points")
        mine = points[(points["search"] == sweep.name) & (points["search_id"] == sweep.search_id)]
        if not mine.empty:
            print_frame(front_table(mine).drop(columns=["state", "unfit", "pareto", "reason"]))
            for line in left_out(search_table(mine)):
                typer.echo(line)
    else:
        levels = reader.frame("levels")
        if not levels.empty:
            trials = reader.frame("trials")
            print_frame(summary_table(trials, levels))
            for sentence in said(trials, levels)[:MOST_SENTENCES]:
                typer.echo(sentence)
    name_damaged(reader)
