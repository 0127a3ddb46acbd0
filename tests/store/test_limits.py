"""Queries keep within their limits, and end when somebody wants them to."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lip_ray.store import Limits, QueryError, Reader, limits
from lip_ray.store.limits import database

FIRST = Path(__file__).parent / "first_version"
ENDLESS = {
    "a join": "select count(*) from range(2000000) a, range(2000000) b where a.range * b.range = 7",
    "a recursion": "with recursive t(n) as (select 1 union all select n + 1 from t) from t limit 1"
    " offset 1000000000000",
    "many rows": "select range from range(1000000000000) where range % 999999999 = 7",
}
SOON_S = 5.0
"""A query that is interrupted ends in far less, on a machine that has nothing else to do."""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; the current one is another."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.fixture
def in_half_a_second() -> Iterator[Callable[[], None]]:
    """Sends a Ctrl-C half a second after it is called."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    yield timer.start
    timer.join()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("query", ENDLESS.values(), ids=ENDLESS)
def test_an_interruption_ends_a_query(
    query: str, temporary: Path, in_half_a_second: Callable[[], None]
) -> None:
    reader = Reader(FIRST)
    reader.sql("from levels")
    begun = time.monotonic()
    in_half_a_second()
    with pytest.raises(KeyboardInterrupt):
        reader.sql(query)
    assert time.monotonic() - begun < SOON_S
    assert list(temporary.iterdir()) == []


def test_an_interruption_that_duckdb_sees_first_is_one(temporary: Path) -> None:
    with pytest.raises(KeyboardInterrupt), database(Limits()):
        raise RuntimeError("Query interrupted")
    with pytest.raises(RuntimeError, match="else"), database(Limits()):
        raise RuntimeError("something else")
    assert list(temporary.iterdir()) == []


def test_a_thread_may_ask(temporary: Path) -> None:
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(Reader(FIRST).sql("from levels").num_rows)
    )
    thread.start()
    thread.join()
    assert found == [3]


@pytest.mark.parametrize(
    "query",
    [
        "from range(1000000000000)",
        "select repeat('x', 10000) from range(1000000)",
        "select list(range) from range(20000000)",
        "select count(*) from (select distinct range::varchar from range(20000000))",
    ],
)
def test_memory_is_bounded(query: str, temporary: Path) -> None:
    reader = Reader(FIRST, limits=Limits(memory="60MB", threads=1, spill="1MB"))
    with pytest.raises(QueryError, match="LIP_RAY_MEMORY") as refused:
        reader.sql(query)
    assert "\n" not in str(refused.value)
    assert reader.sql("from levels").num_rows == 3
    assert list(temporary.iterdir()) == list(Path().iterdir()) == []


def test_what_does_not_fit_into_memory_is_in_a_folder_of_its_own(temporary: Path) -> None:
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            seen.update(path.name for path in temporary.iterdir())

    watcher = threading.Thread(target=watch)
    watcher.start()
    query = "select count(*) from (select range from range(5000000) order by hash(range))"
    found = Reader(FIRST, limits=Limits(memory="30MB", threads=1)).sql(query)
    ended.set()
    watcher.join()
    assert found[0].to_pylist() == [5_000_000]
    assert {name.startswith("lip-ray-query-") for name in seen} == {True}
    assert list(temporary.iterdir()) == list(Path().iterdir()) == []


def test_a_query_needs_no_temporary_folder(temporary: Path) -> None:
    temporary.rmdir()
    assert Reader(FIRST).sql("from levels").num_rows == 3


def test_the_environment_sets_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = "select current_setting('threads') as n, current_setting('memory_limit') as memory"
    monkeypatch.setenv("LIP_RAY_THREADS", "1")
    monkeypatch.setenv("LIP_RAY_MEMORY", "64MiB")
    assert Reader(FIRST).sql(asked).to_pylist() == [{"n": 1, "memory": "64.0 MiB"}]
    assert Reader(FIRST, limits=Limits(threads=3)).sql(asked)[0].to_pylist() == [3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIP_RAY_MEMORY", "much"),
        ("LIP_RAY_MEMORY", "0%"),
        ("LIP_RAY_MEMORY", "101%"),
        ("LIP_RAY_MEMORY", "1MB"),
        ("LIP_RAY_MEMORY", "4GB'; select 1"),
        ("LIP_RAY_THREADS", "0"),
        ("LIP_RAY_THREADS", "-1"),
        ("LIP_RAY_THREADS", "two"),
        ("LIP_RAY_SPILL", "50%"),
        ("LIP_RAY_SPILL", "-1GB"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(QueryError, match=name):
        Reader(FIRST).sql("select 1")


def test_what_a_killed_query_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """And nothing else, not even where its name is alike."""
    code = (
        "import os, signal\n"
        "from lip_ray.store.limits import Limits, database\n"
        "with database(Limits()):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    there = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=there, check=False)
    [left] = tmp_path.iterdir()
    assert left.name.startswith(limits.PREFIX)
    mine = tmp_path / f"{limits.PREFIX}notes"
    mine.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        with database(Limits()) as first, database(Limits()) as second:
            assert not left.exists()
            assert len(list(tmp_path.iterdir())) == 3, "two are in use"
            assert [one.answer("select 1").num_rows for one in (first, second)] == [1, 1]
    assert list(tmp_path.iterdir()) == [mine]


def test_no_thread_of_a_query_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that Python's end meets in DuckDB aborts the process, whatever was answered."""
    settle = limits._settle

    def slowly(*arguments: object) -> None:
        settle(*arguments)  # type: ignore[arg-type]
        time.sleep(0.2)

    monkeypatch.setattr(limits, "_settle", slowly)
    before = threading.active_count()
    with database(Limits()) as found:
        assert found.answer("select 42 as answer").to_pylist() == [{"answer": 42}]
        assert threading.active_count() == before
