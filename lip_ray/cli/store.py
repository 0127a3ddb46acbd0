"""Commands that look after a store: fold its files together, check, merge, export."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lip_ray.cli import completion
from lip_ray.cli.common import (
    INCOMPLETE,
    StoreArgument,
    StoreOption,
    example,
    number,
    own_up,
    refuse,
    store_or_only,
)

if TYPE_CHECKING:
    from lip_ray.store import Reader

app = typer.Typer(
    no_args_is_help=True, help="Compact, check, merge or export a store, or remove trials from it."
)


@app.command(epilog=example("lip store compact results/noise"))
def compact(
    argument: StoreArgument = None,
    store: StoreOption = None,
    grace_h: Annotated[
        float,
        typer.Option(
            "--grace",
            min=0,
            max=100_000,
            callback=number,
            help="Hours that a folded file stays for who reads now.",
        ),
    ] = 24.0,
) -> None:
    """Fold the rows of many small files into few large ones, beside whoever reads and writes."""
    from lip_ray import store as stores

    done = stores.compact(store_or_only(store, argument), grace_s=grace_h * 3600)
    for line in done.lines:
        typer.echo(line)
    if done.damaged:
        raise typer.Exit(INCOMPLETE)


@app.command(epilog=example("lip store check results/noise"))
def check(
    argument: StoreArgument = None,
    store: StoreOption = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Write a lost manifest of a compacted store anew first."),
    ] = False,
) -> None:
    """Read all of a store: is every file sound, every level complete, every mask what it says?"""
    from lip_ray import store as stores

    where = store_or_only(store, argument)
    repaired = stores.repair(where).lines if repair else ()
    for line in repaired:
        typer.echo(line)
    health = stores.check(where)
    for line in health.lines:
        typer.echo(line)
    if health.problems:
        raise typer.Exit(INCOMPLETE)


@app.command(epilog=example("lip store merge results/all results/noise results/moved"))
def merge(
    named: Annotated[
        list[str],
        typer.Argument(
            metavar="INTO STORE...",
            help="Copied into the first, which is made if it is not there, from the others, which "
            "are left as they are.",
            autocompletion=completion.stores,
        ),
    ],
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="PATH",
            help="Copy into this store, from all that are named beside it.",
            autocompletion=completion.stores,
        ),
    ] = None,
) -> None:
    """Copy into a store what others have and it lacks. Where rows differ, its own stay."""
    into, *sources = named if store is None else [store, *named]
    if not sources:
        refuse(f"no STORE is named to copy into {into}: lip store merge INTO STORE...")
    from lip_ray import store as stores

    merged = stores.merge(into, *sources)
    for line in merged.lines:
        typer.echo(line)
    if merged.conflicts:
        raise typer.Exit(INCOMPLETE)


@app.command(
    epilog=example(
        "lip store publish results/noise published/noise --keep \"masks=pruner = 'magnitude'\""
    )
)
def publish(
    source: Annotated[
        str,
        typer.Argument(metavar="STORE", help="Left as it is.", autocompletion=completion.stores),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="The folder of the published store; made if it is not there, else it gets what "
            "it lacks.",
            autocompletion=completion.stores,
        ),
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="TABLE=SQL",
            help="Of this bulky table the rows of those trials for which the condition on columns "
            "of the table trials holds, or true for all; repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what the published store would have.")
    ] = False,
) -> None:
    """Copy all numbers of a store into a small one for a repository, and of masks, weights,
    networks, curves and pictures only what is asked for."""
    from lip_ray import store as stores

    act = stores.rehearsed if dry_run else stores.publish
    done = act(source, target, keep=_conditions(keep or []))
    typer.echo(stores.for_people(done.table, "table").text, nl=False)
    for line in done.lines:
        typer.echo(line)
    if done.merged.conflicts:
        raise typer.Exit(INCOMPLETE)


@app.command(
    epilog=example("lip store remove --store results/noise --where 'seed = 2' --to results/aside")
)
def remove(
    trials: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TRIAL...",
            help="Ids, or their first digits.",
            autocompletion=completion.trials,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="SQL",
            help="Those trials for which this holds: a condition on columns of the table trials.",
        ),
    ] = None,
    store: StoreOption = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="STORE",
            help="Copy them into this store first, which is made if it is not there.",
            autocompletion=completion.stores,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Remove trials, with all their levels, from a store that no run is using. Trials that others
    take their tickets from stay unless those go too."""
    from lip_ray import store as stores

    place = store_or_only(store)
    chosen = _chosen_trials(stores.Reader(place), trials or [], where)
    if not chosen:
        typer.echo("no trial is chosen, so nothing is removed")
        return
    found = stores.removal(place, chosen)
    for trial in found.trials:
        typer.echo(trial)
    typer.echo(found.line)
    if dry_run:
        return
    aside = f", after copying to {to}" if to else ""
    if not yes:
        _ask(f"remove {len(found.trials):,} from {place}{aside}?")
    removed = stores.remove(place, chosen, to=to)
    typer.echo(f"removed from {place}{aside}: {removed.line}")


@app.command(epilog=example("lip store export frontier results/noise -o frontier.csv"))
def export(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="Or view: lip tables lists all.",
            autocompletion=completion.tables,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .parquet or .csv file.")
    ],
    argument: StoreArgument = None,
    store: StoreOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also in place of one that is there.")
    ] = False,
) -> None:
    """Write all rows of a table or view to one file."""
    from lip_ray import store as stores

    reader = stores.Reader(store_or_only(store, argument))
    rows = stores.export(reader, table, output, overwrite=overwrite)
    typer.echo(f"{output}: {rows:,} rows")
    own_up(reader)


def _conditions(keep: list[str]) -> dict[str, str]:
    """The condition of each bulky table: of several for one, any may hold."""
    found: dict[str, str] = {}
    for given in keep:
        table, equals, condition = given.partition("=")
        if not (equals and condition.strip()):
            refuse(
                f"--keep: expected TABLE=SQL, as in masks=seed = 0 or curves=true, got {given!r}"
            )
        name = table.strip()
        found[name] = f"({found[name]}) or ({condition})" if name in found else condition
    return found


def _chosen_trials(reader: "Reader", named: list[str], where: str | None) -> list[str]:
    """The whole ids of the trials that were named, or for which a condition holds."""
    if bool(named) == (where is not None):
        refuse("name trials by their ids, or give --where SQL: one of the two")
    if where is None:
        from lip_ray.store import trial_named

        return [trial_named(reader, one) for one in named]
    rows = reader.sql(f"select trial_id from trials where (\n{where}\n) order by all").to_pylist()
    own_up(reader)
    return [str(row["trial_id"]) for row in rows]


def _ask(question: str) -> None:
    """Go on only where a person says yes."""
    if not sys.stdin.isatty():
        refuse("nothing is removed: --yes removes without asking")
    if not typer.confirm(question, err=True):
        refuse("nothing is removed")
