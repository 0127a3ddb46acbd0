"""Removal: the trials that were named go, whole, and nothing else; killed, it leaves a store that
the same removal ends with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import synthetic
from lip_ray.records import Standing
from lip_ray.store import Reader, StoreError, Writer, check, compact, removal, remove
from lip_ray.store.files import Folder
from lip_ray.store.upkeep.repair import repair
from tests.store.conftest import make_failure, make_level, make_trial
from tests.store.upkeep.test_merge import KINDS, Kind, contents, rows

ONE, TWO, THREE = "a" * 16, "b" * 16, "c" * 16
TABLES = ("trials", "levels", "curves", "choices", "masks", "reconstructions", "failures")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three trials of two levels; the third takes its tickets from the second."""
    writer = Writer.open(tmp_path / "store")
    for trial in (ONE, TWO, THREE):
        sources = (TWO,) if trial == THREE else ()
        writer.write_trial(make_trial(trial, source_ids=sources))
        for level in (0, 1):
            writer.write_level([make_level(trial, level)])
    writer.write_failure(make_failure(ONE))
    writer.keep_unfinished(ONE, 2, b"state")
    return tmp_path / "store"


def held(store: Path) -> dict[str, set[str]]:
    """By table, the trials with rows."""
    reader = Reader(store)
    return {
        table: set(reader.sql(f"select trial_id from {table}").column(0).to_pylist())
        for table in TABLES
    }


def damaged(store: Path) -> set[str]:
    """What a check finds, but for made-up masks, and that no sweep asked for the trials."""
    found = check(store).problems
    return {one.file for one in found if not one.what.endswith("it says") and one.file != "sweeps"}


@KINDS
class TestHowever:
    """However the rows lie: loose, in parts with the files still there, in parts alone."""

    def test_a_trial_goes_from_all_tables(self, store: Path, kind: Kind) -> None:
        kind(store)
        done = remove(store, [ONE])
        assert done.trials == (ONE,)
        found = held(store)
        assert found.pop("failures") == set()
        assert set(map(frozenset, found.values())) == {frozenset({TWO, THREE})}
        assert not list(store.rglob(f"*{ONE}*"))
        assert Reader(store).levels_done() == {TWO: 2, THREE: 2}

    def test_what_stays_is_as_it_was(self, store: Path, kind: Kind) -> None:
        kind(store)
        before = [row for row in rows(store) if ONE not in row]
        remove(store, [ONE])
        assert rows(store) == before
        assert damaged(store) == set()

    def test_all_trials_may_go_and_come_again(self, store: Path, kind: Kind) -> None:
        kind(store)
        remove(store, [ONE, TWO, THREE])
        assert rows(store) == []
        writer = Writer.open(store)
        writer.write_trial(make_trial(ONE))
        assert writer.write_level([make_level(ONE, 0)])
        compact(store, grace_s=0)
        compact(store, grace_s=0)
        assert Reader(store).levels_done() == {ONE: 1}
        assert repair(store).needed is False

    def test_what_is_removed_can_be_copied_first(
        self, store: Path, kind: Kind, tmp_path: Path
    ) -> None:
        kind(store)
        before = rows(store)
        remove(store, [ONE], to=tmp_path / "aside")
        assert sorted([*rows(store), *rows(tmp_path / "aside")]) == before
        assert held(tmp_path / "aside")["failures"] == {ONE}
        assert damaged(tmp_path / "aside") == set()

    def test_killed_anywhere_the_rest_is_whole_and_the_same_command_ends_it(
        self, store: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kind(store)
        others = [row for row in rows(store) if ONE not in row]
        steps = 0
        while True:
            steps += 1
            with monkeypatch.context() as patch:
                ended = _killed_after(steps, patch, lambda: remove(store, [ONE]))
            assert [row for row in rows(store) if ONE not in row] == others
            if ended:
                break
            assert Reader(store).levels_done().keys() <= {ONE, TWO, THREE}
            assert steps < 100
        assert steps > 1
        assert rows(store) == others
        compact(store, grace_s=0)
        assert rows(store) == others


class KilledError(Exception):
    """In place of a signal."""


def _killed_after(steps: int, patch: pytest.MonkeyPatch, act: Callable[[], object]) -> bool:
    """Whether it came to its end with so many changes of files, of which the next one fails."""
    left = [steps]

    def counted(name: str) -> None:
        own = getattr(Folder, name)

        def acted(*given: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return own(*given)

        patch.setattr(Folder, name, acted)

    for name in ("remove", "publish"):
        counted(name)
    try:
        act()
    except KilledError:
        return False
    return True


class TestRefusals:
    def test_a_source_of_what_stays(self, store: Path) -> None:
        before = contents(store)
        with pytest.raises(StoreError, match=f"trial {TWO} is a source of {THREE}"):
            remove(store, [TWO])
        assert contents(store) == before
        remove(store, [TWO, THREE])
        assert held(store)["trials"] == {ONE}

    def test_a_store_in_use(self, store: Path) -> None:
        Writer.open(store).note_standing(
            Standing(trial_id=TWO, level=1, step=5, steps=20, psnr_db=None)
        )
        with pytest.raises(StoreError, match=f"a run is using it, {TWO} in progress"):
            remove(store, [ONE])
        assert held(store)["trials"] == {ONE, TWO, THREE}

    def test_a_copy_that_would_differ(self, store: Path, tmp_path: Path) -> None:
        other = Writer.open(tmp_path / "aside")
        other.write_trial(make_trial(ONE))
        other.write_level([make_level(ONE, 0, fit_s=99.0)])
        before = contents(store)
        with pytest.raises(StoreError, match="nothing is removed, as it cannot be copied"):
            remove(store, [ONE], to=tmp_path / "aside")
        assert contents(store) == before

    def test_a_damaged_part(self, store: Path) -> None:
        compact(store)
        part = next((store / "compacted").glob("levels-*.parquet"))
        content = bytearray(part.read_bytes())
        content[len(content) // 3] ^= 1
        part.write_bytes(content)
        with pytest.raises(StoreError, match="is damaged"):
            remove(store, [ONE])


def test_a_part_left_by_a_removal_that_was_killed_does_not_come_back(store: Path) -> None:
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    old = {path.name: path.read_bytes() for path in (store / "compacted").glob("*.parquet")}
    remove(store, [ONE])
    for name, content in old.items():
        (store / "compacted" / name).write_bytes(content)
    assert damaged(store) == set()
    repair(store)
    assert ONE not in held(store)["levels"]


def test_a_removal_says_what_it_takes(store: Path) -> None:
    found = removal(store, [ONE])
    assert found.line == "1 trial: 14 files"
    compact(store)
    assert removal(store, [ONE]).line.endswith(" and their rows in 6 parts")


def test_many_trials(tmp_path: Path) -> None:
    synthetic.write(tmp_path / "store", 28, pictures=True)
    reader = Reader(tmp_path / "store")
    trials = sorted(reader.levels_done())
    remove(tmp_path / "store", trials[1:])
    assert Reader(tmp_path / "store").levels_done().keys() == {trials[0]}
