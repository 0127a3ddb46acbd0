"""Compaction: a store reads the same before, meanwhile and after, whatever happens to it."""

import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lip_ray.records import LevelRecord, TrialRecord
from lip_ray.store import Reader, StoreError, Writer, seal
from lip_ray.store.files import files_of
from lip_ray.store.manifest import COMPACTED, newest
from lip_ray.store.upkeep.check import check
from lip_ray.store.upkeep.compact import compact
from lip_ray.store.upkeep.merge import merge

Levels = Callable[..., LevelRecord]
Trials = Callable[..., TrialRecord]
NEVER = 1e9
PARTS = len(COMPACTED) - 1  # omissions are noted by publishing alone
"""Of a store whose parts are all small: one per table."""
FILES = 12
"""Loose files of a trial of two levels: its own, three masks, and four of each level."""
FOUR_TRIALS = [letter * 16 for letter in "abcd"]


def rows(store: Path) -> list[str]:
    """All rows of all tables, in an order of their own."""
    each = (
        f"select '{name}: ' || cast({name} as varchar) as row from {name}" for name in COMPACTED
    )
    return sorted(Reader(store).sql(" union all ".join(each)).column("row").to_pylist())


def loose(store: Path) -> list[str]:
    """The files that parts may hold the rows of."""
    return [name for table in COMPACTED for name in files_of(store).names(table)]


def aged(store: Path, by_s: float, pattern: str = "compacted/*") -> None:
    """Make files older."""
    for path in store.glob(pattern):
        then = path.stat().st_mtime - by_s
        os.utime(path, (then, then))


@pytest.fixture
def fill(level_record: Levels, trial_record: Trials) -> Callable[..., Path]:
    """Writes levels of trials into a store."""

    def fill(
        store: Path, trials: list[str] = FOUR_TRIALS, levels: tuple[int, ...] = (0, 1)
    ) -> Path:
        writer = Writer.open(store)
        for trial_id in trials:
            writer.write_trial(trial_record(trial_id))
            for level in levels:
                writer.write_level([level_record(trial_id, level)])
        return store

    return fill


def test_a_store_reads_the_same_and_has_a_file_a_table(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """Once the files whose rows are in parts are gone."""
    store = fill(tmp_path / "store")
    before, files = rows(store), len(loose(store))
    first = compact(store, grace_s=0)
    assert (first.folded, first.parts, first.removed) == (files, PARTS, 0)
    assert rows(store) == before
    second = compact(store, grace_s=0)
    assert (second.folded, second.parts, second.removed) == (0, PARTS, files)
    assert rows(store) == before
    assert loose(store) == []
    assert Reader(store).levels_done() == dict.fromkeys(FOUR_TRIALS, 2)


def test_files_stay_for_the_grace_period_from_when_a_manifest_covers_them(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """However old they are: somebody may have listed them just before."""
    store = fill(tmp_path / "store")
    aged(store, 7200, "*/*")
    assert compact(store, grace_s=3600).removed == 0
    assert compact(store, grace_s=3600).removed == 0
    aged(store, 7200)
    fill(store, ["e" * 16])
    assert compact(store, grace_s=3600).removed == 4 * FILES
    assert all("e" * 16 in name for name in loose(store))


def test_what_is_new_is_added_and_small_parts_are_merged(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """So there are never many, and old files go with the manifests that named them."""
    store = tmp_path / "store"
    for letter in "abcde":
        fill(store, [letter * 16])
        done = compact(store, grace_s=0)
        assert (done.folded, done.parts) == (FILES, PARTS)
        aged(store, 2 * 86400, "compacted/*.parquet")
    compact(store, grace_s=0)
    assert len(list((store / "compacted").iterdir())) == PARTS + 1
    assert Reader(store).levels_done() == dict.fromkeys((letter * 16 for letter in "abcde"), 2)


def test_a_part_that_is_not_small_is_left_alone(
    tmp_path: Path, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are never read again to be written."""
    monkeypatch.setattr(sys.modules[compact.__module__], "SMALL_BYTES", 0)
    store = tmp_path / "store"
    for number, letter in enumerate("abc", start=1):
        fill(store, [letter * 16])
        assert compact(store).parts == PARTS * number
    assert Reader(store).levels_done() == dict.fromkeys((letter * 16 for letter in "abc"), 2)


def test_parts_hold_so_much_and_trials_lie_together(
    tmp_path: Path, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorted, so that few of them are quick to find."""
    monkeypatch.setattr(sys.modules[compact.__module__], "PART_BYTES", 500)
    monkeypatch.setattr(sys.modules[compact.__module__], "GROUP_BYTES", 200)
    store = fill(tmp_path / "store")
    before = rows(store)
    compact(store)
    parts = newest(files_of(store)).parts["levels"]
    assert len(parts) > 1
    for name in parts:
        file = pq.ParquetFile(store / name)
        stems = file.read(["file"]).column("file").to_pylist()
        assert stems == sorted(stems)
        assert file.metadata.row_group(0).column(0).is_stats_set
        assert file.metadata.num_row_groups > 1 or len(stems) == 1
    assert rows(store) == before


def test_rows_of_an_older_version_gain_empty_columns(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """As they do where they are read."""
    store = fill(tmp_path / "store", ["a" * 16])
    path = store / "levels" / f"{'a' * 16}-000.parquet"
    older = pq.read_table(path).drop_columns(["macs", "split"])
    pq.write_table(older.replace_schema_metadata(), path)
    before = rows(store)
    compact(store)
    assert rows(store) == before


@pytest.mark.parametrize("act", ["publish", "remove"])
def test_killed_before_any_step_it_reads_the_same_and_the_next_one_goes_on(
    tmp_path: Path, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """At every part, at the manifest, at every file that is deleted."""
    whole = fill(tmp_path / "whole", ["a" * 16], (0,))
    compact(whole, grace_s=0)
    fill(whole, ["c" * 16], (0,))
    aged(whole, 2 * 86400, "compacted/*.parquet")
    before = rows(whole)
    killed = 0
    for step in count():
        store = tmp_path / f"store-{step}"
        shutil.copytree(whole, store)
        with monkeypatch.context() as patch:
            patch.setattr(type(files_of(store)), act, dying_at(step, files_of(store), act))
            try:
                compact(store, grace_s=0)
            except Killed:
                killed += 1
            else:
                break
        assert rows(store) == before
        compact(store, grace_s=0)
        compact(store, grace_s=0)
        assert rows(store) == before
        assert loose(store) == []
    assert killed >= {"publish": 6, "remove": 6}[act]


class Killed(BaseException):
    """What no handler in the way takes for an error."""


def dying_at(step: int, files: Any, act: str) -> Callable[..., Any]:
    """The method as it is, but for the call of that number."""
    calls, real = count(), getattr(type(files), act)

    def call(*args: Any, **named: Any) -> Any:
        if next(calls) == step:
            raise Killed
        return real(*args, **named)

    return call


def test_beside_writers_readers_and_other_compactions_nothing_is_lost_or_doubled(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """Threads that write, compact and look, and a process that compacts too."""
    store = fill(tmp_path / "store", ["0" * 16])
    writing = threading.Event()

    def write(letter: str) -> None:
        for number in range(15):
            fill(store, [f"{letter}{number:015d}"])

    def fold() -> int:
        rounds = 0
        while not writing.is_set():
            compact(store, grace_s=0)
            rounds += 1
        return rounds

    def look() -> int:
        seen, looks = 0, 0
        while not writing.is_set():
            found = (
                Reader(store)
                .sql(
                    "select count(*) as n, count(distinct (trial_id, level)) as unlike, "
                    "sum(level + 1) as expected, (select count(*) from masks) as masks from levels"
                )
                .to_pylist()[0]
            )
            assert found["n"] == found["unlike"] >= seen
            assert found["masks"] == found["expected"]
            seen, looks = found["n"], looks + 1
        return looks

    with ThreadPoolExecutor() as pool:
        helpers = [pool.submit(act) for act in (fold, fold, look)]
        other = get_context("spawn").Process(target=compact, args=(store,), kwargs={"grace_s": 0})
        other.start()
        try:
            for writer in [pool.submit(write, letter) for letter in "ab"]:
                writer.result()
            other.join()
        finally:
            writing.set()
        assert all(helper.result() > 0 for helper in helpers)
    assert other.exitcode == 0
    for _ in range(2):
        compact(store, grace_s=0)
    assert loose(store) == []
    trials = ["0" * 16, *(f"{letter}{number:015d}" for letter in "ab" for number in range(15))]
    assert Reader(store).levels_done() == dict.fromkeys(trials, 2)
    plain = fill(tmp_path / "plain", trials)
    assert rows(store) == rows(plain)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(FOUR_TRIALS), st.integers(0, 2)),
        st.tuples(st.just("compact"), st.sampled_from([0.0, NEVER])),
    ),
    max_size=10,
)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_any_sequence_reads_as_the_store_that_was_never_compacted(
    level_record: Levels, steps: list[tuple[Any, ...]]
) -> None:
    """Writing, compacting, deleting what is covered; writing again what is there already."""
    with TemporaryDirectory() as folder:
        plain, store = Path(folder) / "plain", Path(folder) / "store"
        writers = [Writer.open(path) for path in (plain, store)]
        for act, *arguments in steps:
            if act == "compact":
                compact(store, grace_s=arguments[0])
            else:
                ours = [writer.write_level([level_record(*arguments)]) for writer in writers]
                assert ours[0] == ours[1]
        assert rows(store) == rows(plain)
        assert Reader(store).levels_done() == Reader(plain).levels_done()


def test_damaged_files_stay_where_they_are_and_are_named(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """All others are folded in, now and later."""
    store = fill(tmp_path / "store")
    path = store / "curves" / f"{'b' * 16}-001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    for folded in (4 * FILES - 1, 0):
        done = compact(store, grace_s=0)
        assert (done.folded, done.damaged) == (folded, (f"curves/{path.name}",))
    assert path.is_file()
    assert any(path.name in line for line in done.lines)


def test_without_a_part_nothing_is_changed(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """Its rows may be nowhere else."""
    store = fill(tmp_path / "store", ["a" * 16])
    compact(store, grace_s=0)
    fill(store)
    [name] = newest(files_of(store)).parts["masks"]
    (store / name).unlink()
    before = loose(store)
    with pytest.raises(StoreError, match="check"):
        compact(store, grace_s=0)
    assert loose(store) == before


def flipped(content: bytes, place: int) -> bytes:
    """With one bit that is another."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def place_in(column: str, path: Path) -> int:
    """A place in the middle of a column."""
    group = pq.read_metadata(path).row_group(0)
    chunks = (group.column(i) for i in range(group.num_columns))
    [chunk] = [one for one in chunks if one.path_in_schema == column]
    return int(chunk.data_page_offset + chunk.total_compressed_size - 2)


@pytest.mark.parametrize("table", ["levels", "masks", "trials"])
@pytest.mark.parametrize("column", ["file", "trial_id"])
def test_a_damaged_part_stays_as_it_is_until_it_is_restored(
    tmp_path: Path,
    fill: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    column: str,
) -> None:
    """Whether or not it still tells whose rows it has. Nothing is lost, and nothing twice."""
    monkeypatch.setattr(seal, "BLOCK_BYTES", 64)
    plain = fill(tmp_path / "plain")
    store = fill(tmp_path / "store", ["a" * 16])
    for _ in range(2):
        compact(store, grace_s=0)
    fill(store)
    [name] = newest(files_of(store)).parts[table]
    content = (store / name).read_bytes()
    (store / name).write_bytes(flipped(content, place_in(column, store / name)))
    for _ in range(3):
        done = compact(store, grace_s=0)
        assert done.damaged == (name,)
    assert any(name in line for line in done.lines)
    (store / name).write_bytes(content)
    assert rows(store) == rows(plain)
    for _ in range(2):
        assert compact(store, grace_s=0).damaged == ()
    assert rows(store) == rows(plain)


@pytest.mark.parametrize("column", ["file", "psnr_final_db"])
def test_no_loose_file_is_deleted_for_a_damaged_part(
    tmp_path: Path, fill: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    """It may be the only copy of its rows."""
    monkeypatch.setattr(seal, "BLOCK_BYTES", 64)
    store = fill(tmp_path / "store")
    before = rows(store)
    compact(store)
    [name] = newest(files_of(store)).parts["levels"]
    content = (store / name).read_bytes()
    (store / name).write_bytes(flipped(content, place_in(column, store / name)))
    kept = files_of(store).names("levels")
    compact(store, grace_s=0)
    assert files_of(store).names("levels") == kept
    assert rows(store) == before


def test_parts_of_nobody_are_deleted_once_no_compaction_can_be_at_work_on_them(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """A day later, whatever the grace period is."""
    store = fill(tmp_path / "store")
    compact(store)
    part = store / "compacted/levels-00000000.parquet"
    [counting] = newest(files_of(store)).parts["levels"]
    shutil.copy(store / counting, part)  # a killed compaction's
    compact(store, grace_s=0)
    assert part.exists()
    aged(store, 2 * 86400, "compacted/*")
    compact(store, grace_s=0)
    assert not part.exists()
    assert len(list((store / "compacted").iterdir())) == PARTS + 1


def test_an_empty_store_has_nothing_to_fold(tmp_path: Path) -> None:
    """And stays as it is."""
    Writer.open(tmp_path / "store")
    done = compact(tmp_path / "store")
    assert (done.folded, done.parts, done.removed) == (0, 0, 0)
    assert not (tmp_path / "store/compacted").exists()


def test_there_must_be_a_store(tmp_path: Path) -> None:
    """A mistyped path is said."""
    with pytest.raises(StoreError, match="there is no store"):
        compact(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_bucket_is_compacted_like_a_folder(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """By its address, through the file system of a bucket."""
    store = fill(tmp_path / "store")
    before = rows(store)
    address = f"file://{store}"
    assert compact(address, grace_s=0).parts == PARTS
    assert compact(address, grace_s=0).removed == 4 * FILES
    assert rows(store) == before
    assert check(address).problems == check(store).problems
    assert merge(f"file://{tmp_path}/new", address).conflicts == ()
    assert rows(tmp_path / "new") == before
