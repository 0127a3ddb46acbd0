"""Commands about sweeps: plan one, run it, see how far it has come."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import (
    INCOMPLETE,
    INTERRUPTED,
    StoreArgument,
    StoreOption,
    example,
    name_damaged,
    named_store,
    own_up,
    print_frame,
    print_text,
    refuse,
    store_or_only,
)
from lip_ray.names import hint
from lip_ray.records import FAILURES
from lip_ray.sweeps import SCHEMA

if TYPE_CHECKING:
    import pandas as pd

    from lip_ray.engine.launch import Summary
    from lip_ray.sweep import Sweep

MOST_SENTENCES = 8
"""The sentences that `lip run` ends with; the page has all."""

app = typer.Typer()

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
"""Units of time in seconds, the largest first."""

SweepArgument = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="A YAML file, or the name of a shipped sweep.",
        autocompletion=completion.sweeps,
    ),
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
SourcesOption = Annotated[
    str | None,
    typer.Option(
        "--sources",
        metavar="STORE",
        help="Copy finished sources from this store, not from that of the sweep they come from.",
        autocompletion=completion.stores,
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


@app.command(epilog=example("lip run noise.yaml --set fit.steps=1000"))
def run(
    sweep: SweepArgument,
    store: StoreOption = None,
    overrides: SetOption = None,
    quick: QuickOption = False,
    sources: SourcesOption = None,
    address: AddressOption = None,
) -> None:
    """Run what the store lacks of a sweep. Ctrl-C lets the levels in flight end, and a second one
    stops at once. The same command goes on from there. With --set run.gpus=auto, small trials share
    a GPU."""
    chosen = _sweep(sweep, overrides, quick, sources)
    place = store or chosen.store
    summary = _launched(chosen, place, address)
    from lip_ray.store import Reader

    for traceback in dict.fromkeys(failure.traceback for failure in summary.failures):
        if traceback:
            typer.echo(traceback, err=True)
    for failure in summary.failures:
        typer.echo(f"failed: {failure.trial}: {failure.reason}", err=True)
    if summary.problem:
        typer.echo(f"stopped: {summary.problem}", err=True)
    if summary.unnoted:
        typer.echo(f"failures are not noted: {summary.unnoted}", err=True)
    if Reader.exists(place):  # a cluster's may be out of sight from here
        _print_summary(place, chosen)
    print_text(f"{summary.line}; results in {place}")
    if summary.complete:
        typer.echo(f"lip report {place} makes a page of them")
    else:
        typer.echo("not complete: the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED if summary.interrupted else INCOMPLETE)


@app.command(epilog=example("lip plan quickstart --quick"))
def plan(
    sweep: SweepArgument,
    store: StoreOption = None,
    overrides: SetOption = None,
    quick: QuickOption = False,
    sources: SourcesOption = None,
    address: AddressOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Try a few steps here of what was never timed.")
    ] = False,
) -> None:
    """Show what a sweep would run, what is done, what waits for what, and what the rest would
    take, by the times that the store has, or else by the multiply-adds that its steps compute."""
    chosen = _sweep(sweep, overrides, quick, sources)
    from lip_ray.engine.outlook import look_ahead

    outlook = look_ahead(chosen, store or chosen.store, address=address, measure=measure)
    print_frame(outlook.trials)
    typer.echo()
    print_frame(outlook.graph)
    for line in outlook.lines:
        print_text(line)


@app.command(epilog=example("lip status results/noise"))
def status(
    argument: StoreArgument = None,
    store: StoreOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Only the trials that failed, and why.")
    ] = False,
) -> None:
    """Show how far the sweeps of a store have come, what runs now, and what failed."""
    from lip_ray import status as tables
    from lip_ray.store import Reader

    reader = Reader(store_or_only(store, argument))
    failed = reader.frame("failures")
    if failures:
        table = tables.failures_table(failed)
        if table.empty:
            typer.echo("nothing has failed")
        else:
            print_frame(table)
        own_up(reader)
        return
    frames = (reader.frame("sweeps"), reader.frame("points"), reader.frame("levels"), failed)
    running = reader.standings()
    print_frame(_for_reading(tables.status_table(*frames, running), "sweep"))
    typer.echo()
    print_frame(_for_reading(tables.kinds_table(*frames, running), "kind"))
    if running:
        typer.echo()
        print_frame(tables.running_table(running))
    own_up(reader)


@app.command(epilog=example("lip doctor results/noise"))
def doctor(argument: StoreArgument = None, store: StoreOption = None) -> None:
    """Check that this machine can run a sweep: versions, devices, the store, Ray."""
    from lip_ray.engine.doctor import checks

    unwell = False
    for check in checks(named_store(store, argument) or "results"):
        unwell |= not check.passed
        typer.echo(f"{'ok  ' if check.passed else 'FAIL'}  {check.name:<9} {check.detail}")
    if unwell:
        raise typer.Exit(INCOMPLETE)


@app.command(epilog=example("lip schema > schema.json"))
def schema() -> None:
    """Print the JSON schema of sweep files, for editors."""
    typer.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)


def _for_reading(table: "pd.DataFrame", key: str) -> "pd.DataFrame":
    """A table of what is done, running, waiting and failed, narrow enough for a terminal."""
    narrow: dict[str, Any] = {
        key: table[key],
        "trials": _share(table["done"], table["trials"]),
        "levels": _share(table["levels_done"], table["levels"]),
        "running": table["running"],
        "waiting": table["waiting"],
        "failed": table["given_up"],
    }
    if "last_fit" in table:
        narrow["bad_fits"] = table[FAILURES].sum(axis=1)
        narrow["last_fit"] = table["last_fit"].map(_ago)
        if table["sweep"].duplicated().any():
            narrow["sweep_id"] = table["sweep_id"]
    return table.assign(**narrow)[list(narrow)]


def _share(done: "pd.Series[int]", of: "pd.Series[int]") -> list[str]:
    return [f"{one:,}/{other:,}" for one, other in zip(done, of, strict=True)]


def _ago(moment: "pd.Timestamp") -> str | None:
    """How long ago a time in UTC was, in its largest unit; None where there is none."""
    if moment != moment:  # NaT
        return None
    passed_s = max(0.0, (datetime.now(UTC).replace(tzinfo=None) - moment).total_seconds())
    unit_s, unit = next((size, name) for size, name in UNITS if passed_s >= size or size == 1)
    return f"{passed_s // unit_s:.0f} {unit} ago"


def _launched(sweep: "Sweep", store: str, address: str | None) -> "Summary":
    from rich.console import Console

    if address and address.startswith("ray://"):
        from lip_ray.engine.remote_driver import launch_from_outside

        return launch_from_outside(sweep, store, Console(), address)
    from lip_ray.engine.launch import launch

    return launch(sweep, store, Console(), address=address)


def _sweep(
    name: str, overrides: list[str] | None, quick: bool, sources: str | None = None
) -> "Sweep":
    from lip_ray.sweep import Sweep

    given = [*(overrides or ()), *([f"run.sources={json.dumps(sources)}"] if sources else [])]
    sweep = Sweep.from_yaml(_sweep_file(name), overrides=given, quick=quick)
    for remark in dict.fromkeys(said for trial in sweep.trials for said in trial.remarks()):
        typer.echo(f"note: {remark}", err=True)
    return sweep


def _sweep_file(name: str) -> Path:
    """The named file or, where there is none, the shipped sweep of that name."""
    path = Path(name)
    if path.exists() or path.suffix:
        return path
    shipped = completion.shipped_sweeps()
    if name not in shipped:
        known = ", ".join(sorted(shipped))
        refuse(f"no file {name!r}, and no shipped sweep; {hint(name, shipped)}there are: {known}")
    return shipped[name]


def _without_zeros(table: "pd.DataFrame") -> "pd.DataFrame":
    """A table without the counts of fits that went wrong in ways that none did."""
    return table.drop(columns=[name for name in FAILURES if not table[name].any()])


def _print_summary(store: str, sweep: "Sweep") -> None:
    """Print the front of a search; for any other sweep, means by problem and method."""
    from lip_ray.analysis import front_table, summary_table
    from lip_ray.analysis.parts.search.table import left_out, search_table
    from lip_ray.analysis.terminal import said
    from lip_ray.store import Reader

    reader = Reader(store)
    if sweep.search:
        points = reader.frame("points")
        mine = points[(points["search"] == sweep.name) & (points["search_id"] == sweep.search_id)]
        if not mine.empty:
            print_frame(front_table(mine).drop(columns=["state", "unfit", "pareto", "reason"]))
            for line in left_out(search_table(mine)):
                print_text(line)
    else:
        levels = reader.frame("levels")
        if not levels.empty:
            trials = reader.frame("trials")
            print_frame(_without_zeros(summary_table(trials, levels)))
            for sentence in said(trials, levels)[:MOST_SENTENCES]:
                print_text(sentence)
    name_damaged(reader)
