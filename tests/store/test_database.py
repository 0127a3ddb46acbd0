"""Queries keep within their limits, and end when somebody wants them to."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lip_ray.store import Limits, QueryError, Reader, StoreError
from lip_ray.store import database as databases
from lip_ray.store.database import MOST_USES, close_idle, database
from lip_ray.store.files import Folder
from lip_ray.store.manifest import FOLDER, Manifest, part_schema, publish
from lip_ray.store.upkeep.compact import part
from lip_ray.store.writer import Writer

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
        "from lip_ray.store import Limits\n"
        "from lip_ray.store.database import database\n"
        "with database(Limits()):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    there = os.environ | {"TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=there, check=False)
    [left] = tmp_path.iterdir()
    assert left.name.startswith(databases.PREFIX)
    mine = tmp_path / f"{databases.PREFIX}notes"
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
    settle = databases._settle

    def slowly(*arguments: object) -> None:
        settle(*arguments)  # type: ignore[arg-type]
        time.sleep(0.2)

    monkeypatch.setattr(databases, "_settle", slowly)
    before = threading.active_count()
    with database(Limits()) as found:
        assert found.answer("select 42 as answer").to_pylist() == [{"answer": 42}]
        assert threading.active_count() == before


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[databases._Engine]]:
    """Each DuckDB that is set up from now on."""
    close_idle()
    made: list[databases._Engine] = []
    begun = databases._Engine.begun

    def noted(setting: databases._Setting) -> databases._Engine:
        made.append(begun(setting))
        return made[-1]

    monkeypatch.setattr(databases._Engine, "begun", noted)
    yield made
    close_idle()


class TestOneForManyQueries:
    """A DuckDB is set up once for many queries, and nobody can tell but by the time."""

    def test_readers_of_a_process_share_one(self, set_up: list[object]) -> None:
        for _ in range(5):
            assert Reader(FIRST).sql("from levels").num_rows == 3
        assert len(set_up) == 1

    def test_nothing_of_a_query_is_left_for_the_next(self) -> None:
        asked = (
            "select count(*) as n from (from duckdb_tables() union all by name from duckdb_views())"
        )
        with database(Limits()) as first:
            [there] = first.answer(f"{asked} where not internal")["n"].to_pylist()
            first.connection.execute("create schema files; create table files.levels as select 1")
            first.connection.execute("create temp view mine as from files.levels")
            first.connection.execute("set variable mine = 1")
        with database(Limits()) as second:
            assert second.answer(f"{asked} where not internal")["n"].to_pylist() == [there]
            assert second.answer("select getvariable('mine') as it")["it"].to_pylist() == [None]
            second.connection.execute("create schema files")

    def test_no_more_queries_than_it_may_answer(self, set_up: list[object]) -> None:
        for _ in range(MOST_USES + 1):
            with database(Limits()):
                pass
        assert len(set_up) == 2

    @pytest.mark.parametrize("change", ["limits", "folder", "cores"])
    def test_another_setting_has_its_own(
        self,
        change: str,
        set_up: list[object],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with database(Limits()):
            pass
        if change == "folder":
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        if change == "cores":
            monkeypatch.setattr(databases, "available_cpus", lambda: 7)
        with database(Limits(threads=3) if change == "limits" else Limits()) as second:
            [threads] = second.answer("select current_setting('threads') as n")["n"].to_pylist()
        assert len(set_up) == 2
        assert {"limits": 3, "cores": 7}.get(change, threads) == threads

    @pytest.mark.parametrize(
        "query",
        [
            "select spec::int from trials",
            "select repeat('x', 1000) from range(100000)",
            "delete from levels",
        ],
    )
    def test_a_query_that_fails_takes_it_along(
        self, query: str, set_up: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LIP_RAY_MEMORY", "30MB")
        reader = Reader(FIRST)
        with pytest.raises(QueryError):
            reader.sql(query)
        assert reader.sql("from levels").num_rows == 3
        assert len(set_up) == 2

    @pytest.mark.parametrize("query", ["selct 1", "from nowhere", "select nothing from levels"])
    def test_one_that_is_wrong_does_not(self, query: str, set_up: list[object]) -> None:
        reader = Reader(FIRST)
        for _ in range(3):
            with pytest.raises(QueryError):
                reader.sql(query)
            assert reader.sql("from levels").num_rows == 3
        assert len(set_up) == 1

    def test_nor_does_a_store_that_cannot_be_read(
        self, set_up: list[object], tmp_path: Path
    ) -> None:
        store = Path(shutil.copytree(FIRST, tmp_path / "store"))
        (store / FOLDER).mkdir(exist_ok=True)
        manifest = store / FOLDER / "manifest-999999.json"
        for _ in range(3):
            manifest.write_text("{}")
            with pytest.raises(StoreError, match="manifest-999999"):
                Reader(store).sql("from levels")
            manifest.unlink()
            assert Reader(store).sql("from levels").num_rows == 3
        assert len(set_up) == 1

    def test_each_has_a_temporary_folder_while_it_runs(
        self, set_up: list[object], temporary: Path
    ) -> None:
        query = "select count(*) as n from (from range(5000000) order by hash(range))"
        for _ in range(2):
            with database(Limits(memory="30MB", threads=1)) as found:
                [own] = temporary.iterdir()
                assert own.stat().st_mode & 0o777 == 0o700
                assert found.answer(query)["n"].to_pylist() == [5_000_000]
            assert list(temporary.iterdir()) == []
        assert len(set_up) == 1

    @pytest.mark.parametrize("trouble", ["somebody has its name", "there is no folder for it"])
    def test_one_whose_folder_cannot_be_made_is_used_no_more(
        self, trouble: str, set_up: list[databases._Engine], temporary: Path
    ) -> None:
        with database(Limits()):
            [own] = temporary.iterdir()
        if trouble == "somebody has its name":
            own.symlink_to(Path().resolve())
        else:
            temporary.rmdir()
        with database(Limits()) as found:
            assert found.answer("select 1").num_rows == 1
        assert len(set_up) == 2
        assert list(Path().iterdir()) == []
        temporary.mkdir(exist_ok=True)
        with database(Limits()):
            assert [path for path in temporary.iterdir() if not path.is_symlink()]

    def test_queries_at_the_same_time_have_one_each(self, set_up: list[object]) -> None:
        with database(Limits()) as first, database(Limits()) as second:
            first.connection.execute("create table mine as select 1 as a")
            with pytest.raises(duckdb.CatalogException):
                second.connection.sql("from mine")
        assert len(set_up) == 2

    def test_threads_that_ask_at_once_are_all_answered(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(Reader(FIRST).sql, "from levels") for _ in range(40)]
        assert {one.result().num_rows for one in asked} == {3}

    def test_a_fork_asks_anew_and_ends(self, set_up: list[object]) -> None:
        """Threads of the parent are not in it: whatever waits for them waits for ever."""
        assert Reader(FIRST).sql("from levels").num_rows == 3
        child = get_context("fork").Process(target=Reader(FIRST).sql, args=("from levels",))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert Reader(FIRST).sql("from levels").num_rows == 3
        assert len(set_up) == 2

    def test_the_folder_is_gone_when_the_process_has_ended(self, tmp_path: Path) -> None:
        code = f"from lip_ray.store import Reader; Reader({str(FIRST)!r}).sql('from levels')"
        there = os.environ | {"TMPDIR": str(tmp_path)}
        subprocess.run([sys.executable, "-c", code], env=there, check=True)
        assert list(tmp_path.iterdir()) == []

    def test_parts_of_one_name_in_two_stores_are_not_mixed_up(self, tmp_path: Path) -> None:
        """DuckDB remembers footers by the name of a file."""
        name = f"{FOLDER}/levels-00000000.parquet"
        for count in (3, 5, 4):
            store = tmp_path / str(count)
            Writer.open(store)
            trials = [f"{i:016x}" for i in range(count)]
            rows = [{"trial_id": one, "level": 0, "file": f"{one}-000"} for one in trials]
            (store / FOLDER).mkdir()
            found = pa.Table.from_pylist(rows, part_schema("levels"))
            (store / name).write_bytes(part(found))
            publish(Folder(store), Manifest(version=1, parts={"levels": (name,)}))
            assert sorted(Reader(store).levels_done()) == trials
            assert Reader(store).frame("levels")["trial_id"].sort_values().to_list() == trials
