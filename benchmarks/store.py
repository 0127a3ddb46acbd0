"""What a large store costs: questions to it, compaction, its check and its page.

    python benchmarks/store.py queries 10000 --loose   # a file a table and level, as by runs
    python benchmarks/store.py queries 1000000         # compacted
    python benchmarks/store.py views 1000000           # those that average over a whole store
    python benchmarks/store.py compaction 10000
    python benchmarks/store.py page 100000
    python benchmarks/store.py checksums 1000000       # what verifying costs; --loose; writing too

Stores are synthetic. The same SQL over one Parquet file a table, by DuckDB and nothing else, is
timed in the same run.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch
from uuid import uuid4

import duckdb
import pyarrow as pa
import typer
from synthetic import write

from lip_ray.store import Reader, decoded, writer
from lip_ray.store import queries as queries_module
from lip_ray.store.files import Files, files_of
from lip_ray.store.schema import TABLES
from lip_ray.store.seal import Seal
from lip_ray.store.upkeep.check import check
from lip_ray.store.upkeep.compact import compact
from lip_ray.store.upkeep.export import export
from lip_ray.store.writer import lean

COUNT = "select count(*) from levels"
JOIN = """
select pruner, level, avg(psnr_selected_db), stddev(psnr_selected_db)
from levels join trials using (trial_id) group by all
"""
ONE_TRIAL = "from levels where trial_id = '{trial}' order by level"
FRONTIER = "from frontier"
CURVES = "select avg(len(loss)), avg(list_max(psnr_db)) from curves"
VIEWS = ("frontier", "matching", "transfer")

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def queries(
    levels: int,
    loose: Annotated[bool, typer.Option(help="A file a table and level.")] = False,
    rounds: int = 5,
) -> None:
    """Print what each query costs in a store just opened, and again with the same reader."""
    with beside() as folder:
        made_s = seconds_of(lambda: write(folder / "store", levels, compacted=not loose))
        print(f"{levels:,} levels, {'loose' if loose else 'compacted'}, made in {made_s:.1f} s")
        reader = Reader(folder / "store")
        trial = reader.sql("select min(trial_id) as id from trials").column("id")[0].as_py()
        plain = plainly(folder, folder / "store")
        one = ONE_TRIAL.format(trial=trial)
        for name, sql in {"count": COUNT, "join and group": JOIN, "one trial": one}.items():
            base = timed(partial(fetched, plain, sql), rounds)
            report(name, folder / "store", partial(Reader.sql, query=sql), rounds, base)
        report("view frontier", folder / "store", partial(Reader.sql, query=FRONTIER), rounds)
        for table in ("levels", "curves", "masks"):
            ask = partial(Reader.frame, table=table, trials=[trial])
            report(f"frame of one trial's {table}", folder / "store", ask, rounds)


@app.command()
def views(
    levels: int,
    rounds: int = 7,
    store: Annotated[
        Path | None, typer.Option(help="Where the store is, or is made and stays.")
    ] = None,
) -> None:
    """Views over a whole compacted store, each asked of a reader just opened.

    Rounds are interleaved with the same join by DuckDB alone, whose time tells how busy the machine
    was. CPU seconds are those of all threads.
    """
    with beside() as folder:
        path = store or folder / "store"
        if not path.exists():
            write(path, levels, compacted=True)
        plain = plainly(folder, path)
        asked: dict[str, Callable[[], Any]] = {"plain join": partial(fetched, plain, JOIN)}
        for view in VIEWS:
            asked[view] = partial(ask_anew, path, f"from {view}")
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
        for number in range(rounds + 1):
            for name, ask in asked.items():
                started, cpu = time.perf_counter(), time.process_time()
                ask()
                spent = time.perf_counter() - started, time.process_time() - cpu
                taken[name] += [spent] if number else []
    base = statistics.median(wall for wall, _ in taken["plain join"])
    for name, rounds_taken in taken.items():
        wall, cpu_s = ([one[place] for one in rounds_taken] for place in (0, 1))
        ratio = statistics.median(wall) / base
        print(f"  {name:<12} {spread_ms(wall)}; CPU {spread_ms(cpu_s)}; ÷ plain {ratio:.1f}")


def ask_anew(store: Path, sql: str) -> pa.Table:
    """The answer of a reader that knows nothing of the store yet."""
    return Reader(store).sql(sql)


@app.command()
def compaction(levels: int) -> None:
    """Time the first compaction of a store, a second one after its files are deleted, and a
    check."""
    with beside() as folder:
        store = folder / "store"
        write(store, levels)
        files, size = len(list(store.rglob("*.parquet"))), bytes_of(store)
        print(f"{levels:,} levels in {files:,} files of {size / 1e6:,.0f} MB")
        print(f"  check {seconds_of(lambda: check(store)):.1f} s")
        for _ in range(3):
            started = time.perf_counter()
            done = compact(store, grace_s=0)
            print(f"  compact {time.perf_counter() - started:.1f} s: {'; '.join(done.lines)}")
        print(f"  check {seconds_of(lambda: check(store)):.1f} s, {bytes_of(store) / 1e6:,.0f} MB")


@app.command()
def checksums(
    levels: int,
    loose: Annotated[bool, typer.Option(help="A file a table and level.")] = False,
    rounds: int = 7,
    store: Annotated[
        Path | None, typer.Option(help="Where the store is, or is made and stays.")
    ] = None,
) -> None:
    """What reading and writing cost with checksums, divided by what they cost without.

    Each round asks both, one after the other, each of a reader just opened. CPU seconds are those
    of all threads.
    """
    with beside() as folder:
        path = store or folder / "store"
        if not path.exists():
            write(path, levels, compacted=not loose)
        trial = Reader(path).sql("select min(trial_id) as id from trials")["id"][0].as_py()
        acts: dict[str, Callable[[], object]] = {
            "count": partial(ask_anew, path, COUNT),
            "join and group": partial(ask_anew, path, JOIN),
            "view frontier": partial(ask_anew, path, FRONTIER),
            "all curves": partial(ask_anew, path, CURVES),
            "curves of one trial": lambda: Reader(path).frame("curves", trials=[trial]),
            "masks of one trial": lambda: Reader(path).frame("masks", trials=[trial]),
        }
        if loose:
            rows = Reader(path).sql("from levels limit 1").select(TABLES["levels"].names)
            rows = rows.cast(TABLES["levels"])
            acts["writing 200 files"] = partial(written, folder, rows)
        for name, act in acts.items():
            print(f"  {name:<20} {on_by_off(act, path, rounds)}")


def on_by_off(act: Callable[[], object], store: Path, rounds: int) -> str:
    """The ratios, in wall and CPU seconds, of an act with checksums to the same without."""
    taken: dict[str, list[tuple[float, float]]] = {"on": [], "off": []}
    for number in range(rounds + 1):
        for name, found in taken.items():
            with without_checksums(store) if name == "off" else nullcontext():
                started, cpu = time.perf_counter(), time.process_time()
                act()
                spent = time.perf_counter() - started, time.process_time() - cpu
            found += [spent] if number else []
    pairs = list(zip(taken["on"], taken["off"], strict=True))
    wall, cpu_s = ([on[place] / off[place] for on, off in pairs] for place in (0, 1))
    return (
        f"{spread_ms([one for one, _ in taken['off']])} without; on / off: "
        f"{spread(wall)}; in CPU seconds {spread(cpu_s)}"
    )


@contextmanager
def without_checksums(store: Path) -> Iterator[None]:
    """Nothing is verified: DuckDB opens parts by itself, and new files get no checksum."""

    def path(part: str) -> str:
        return f"'{store / part}'"

    def natively(_queries: object, _connection: object, parts: Sequence[str]) -> str:
        return f"read_parquet([{', '.join(map(path, parts))}], union_by_name = true)"

    with ExitStack() as patches:
        patches.enter_context(patch.object(queries_module, "_path", path))
        patches.enter_context(patch.object(queries_module.Queries, "_read_by_duckdb", natively))
        patches.enter_context(patch.object(Files, "broken", lambda *_: []))
        patches.enter_context(patch.object(decoded, "seal_of", lambda _: Seal.WHOLE))
        patches.enter_context(patch.object(writer, "sealed", lambda content: content))
        yield


def written(folder: Path, rows: pa.Table) -> None:
    """Publish 200 files of one row, each safe on disk."""
    files = files_of(folder / f"written-{uuid4().hex}")
    files.publish("marker", b"")
    for number in range(200):
        files.publish(f"levels/{number}", lean("levels", rows))


@app.command()
def page(levels: int) -> None:
    """Print what writing the page of a compacted store costs."""
    from lip_ray.analysis import frontier_report

    with beside() as folder:
        write(folder / "store", levels, compacted=True)
        started = time.perf_counter()
        html = frontier_report(Reader(folder / "store"))
        made_s = time.perf_counter() - started
    print(f"{levels:,} levels: {made_s:.1f} s, {len(html.encode()) / 1e6:.1f} MB")


def report(
    name: str,
    store: Path,
    ask: Callable[[Reader], Any],
    rounds: int,
    plain: Sequence[float] = (),
) -> None:
    """Print the costs of queries in a store just opened, and in one that was queried before."""
    opened = timed(lambda: ask(Reader(store)), rounds)
    reader = Reader(store)
    again = timed(lambda: ask(reader), rounds)
    print(f"  {name:<28} {spread_ms(opened)}; again {spread_ms(again)}", end="")
    print(f"; plain {spread_ms(plain)}" if plain else "")


def fetched(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The answer to a query as Arrow, as the reader gives it."""
    return connection.sql(sql).to_arrow_table()


def plainly(folder: Path, store: Path) -> duckdb.DuckDBPyConnection:
    """The store's levels and trials as one Parquet file each, for DuckDB alone."""
    connection = duckdb.connect()
    for table in ("levels", "trials"):
        path = folder / f"{table}.parquet"
        export(store, table, path)
        connection.sql(f"create view {table} as from read_parquet('{path}')")
    return connection


def timed(action: Callable[[], Any], rounds: int) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    action()
    return [seconds_of(action) for _ in range(rounds)]


def seconds_of(action: Callable[[], Any]) -> float:
    """The seconds that one call takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def spread_ms(seconds: Sequence[float]) -> str:
    """The median, the lowest and the highest, in milliseconds."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{1000 * middle:.4g} ms [{1000 * low:.3g}, {1000 * high:.3g}]"


def spread(numbers: Sequence[float]) -> str:
    """The median, the lowest and the highest."""
    return f"{statistics.median(numbers):.2f} [{min(numbers):.2f}, {max(numbers):.2f}]"


def bytes_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def beside() -> Iterator[Path]:
    """A folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


if __name__ == "__main__":
    app()
