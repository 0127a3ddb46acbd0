"""A store that loses files says so, hides and deletes no rows; a lost manifest is made anew."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from lip_ray.cli.store import app
from lip_ray.records import LevelRecord, SweepRecord, TrialRecord
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.store.files import files_of
from lip_ray.store.manifest import COMPACTED, newest, part_schema, parts_of
from lip_ray.store.upkeep.check import check
from lip_ray.store.upkeep.compact import compact
from lip_ray.store.upkeep.merge import merge
from lip_ray.store.upkeep.repair import repair

Levels = Callable[..., LevelRecord]
Trials = Callable[..., TrialRecord]
A, B, C = (letter * 16 for letter in "abc")
PARTS = len(COMPACTED) - 1
"""Tables with rows in a compacted store: only a published one has omissions."""
LOST = "has no manifest, and .* nowhere else: lip store check --repair"


def rows(store: Path) -> list[str]:
    """All rows of the tables that are compacted, in an order of their own."""
    each = (f"select '{t}: ' || cast({t} as varchar) as row from {t}" for t in COMPACTED)
    return sorted(Reader(store).sql(" union all ".join(each)).column("row").to_pylist())


def aged(store: Path) -> None:
    """Make all that compaction wrote two days older."""
    for path in store.glob("compacted/*"):
        then = path.stat().st_mtime - 2 * 86400
        os.utime(path, (then, then))


def folded(store: Path) -> Path:
    """Compact a store until no loose file is left."""
    for _ in range(2):
        compact(store, grace_s=0)
    return store


def without_manifest(store: Path) -> Path:
    """Lose it, long after it was written."""
    for path in store.glob("compacted/manifest-*"):
        path.unlink()
    aged(store)
    return store


def without_origin(store: Path) -> None:
    """Write all parts as versions did that say nothing of where a part comes from."""
    for path in store.glob("compacted/*.parquet"):
        found = pq.read_table(path, schema=part_schema(path.name.rpartition("-")[0]))
        pq.write_table(found.replace_schema_metadata({}), path, store_schema=False)


@pytest.fixture
def fill(
    level_record: Levels, trial_record: Trials, sweep_record: Callable[[], SweepRecord]
) -> Callable[..., Path]:
    """Writes levels of trials into a store."""

    def fill(store: Path, *trials: str) -> Path:
        writer = Writer.open(store)
        asked = trials or (A, B)
        writer.write_sweep(
            replace(
                sweep_record(),
                sweep="".join(trial_id[0] for trial_id in asked),
                trial_ids=asked,
                kinds=("trajectory",) * len(asked),
                specs=("{}",) * len(asked),
                levels=(2,) * len(asked),
            )
        )
        for trial_id in asked:
            writer.write_trial(trial_record(trial_id))
            for level in (0, 1):
                record = level_record(trial_id, level)
                own = {0: (replace(record.masks[0][0], kept=8),)} if level == 0 else {}
                writer.write_level([replace(record, masks={**record.masks, **own})])
        return store

    return fill


@pytest.mark.parametrize("said", [True, False], ids=["origin", "no-origin"])
def test_a_lost_manifest_is_told_and_costs_no_row(
    tmp_path: Path, fill: Callable[..., Path], level_record: Levels, *, said: bool
) -> None:
    """By whoever reads, writes, compacts, merges or checks; then it is made anew."""
    store = folded(fill(tmp_path / "store"))
    before = rows(store)
    if not said:
        without_origin(store)
    without_manifest(store)
    held = parts_of(files_of(store))
    for told in (
        lambda: Reader(store).sql("select count(*) from levels"),
        lambda: Reader(store).frame("trials"),
        lambda: Reader(store).levels_done(),
        lambda: Reader(store).levels_done_of(A),
        lambda: Reader(store).masks(A, 1),
        lambda: Writer.open(store).write_level([level_record(A, 0)]),
        lambda: compact(store, grace_s=0),
        lambda: merge(tmp_path / "other", store),
        lambda: merge(store, fill(tmp_path / "third", C)),
    ):
        with pytest.raises(StoreError, match=LOST) as error:
            told()
        assert "\n" not in str(error.value)
    assert parts_of(files_of(store)) == held
    [problem] = check(store).problems
    assert (problem.file, problem.mended) == ("compacted", False)
    assert "--repair" in problem.what
    assert repair(store).undecided == ()
    assert rows(store) == before
    assert check(store).problems == ()
    compact(store, grace_s=0)
    assert rows(store) == before


def test_the_command_repairs(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """It tells without the option, and with it mends and checks."""
    store = without_manifest(folded(fill(tmp_path / "store")))
    told = CliRunner().invoke(app, ["check", "--store", str(store)])
    assert told.exit_code == 1
    assert "--repair" in told.output
    mended = CliRunner().invoke(app, ["check", "--repair", "--store", str(store)])
    assert mended.exit_code == 0
    assert "the manifest was written anew: the store has 6 parts" in mended.output
    again = CliRunner().invoke(app, ["check", "--repair", "--store", str(store)])
    assert "the manifest needs no repair" in again.output


@pytest.mark.parametrize("content", [b"", b"{", b'{"parts": 3}'])
def test_a_manifest_that_cannot_be_read_is_made_anew(
    tmp_path: Path, fill: Callable[..., Path], content: bytes
) -> None:
    """And the store is compacted as before."""
    store = folded(fill(tmp_path / "store"))
    before = rows(store)
    [manifest] = store.glob("compacted/manifest-*")
    manifest.write_bytes(content)
    repair(store)
    assert rows(store) == before
    folded(fill(store, C))
    assert check(store).problems == ()


@pytest.mark.parametrize("said", [True, False], ids=["origin", "no-origin"])
def test_superseded_parts_are_left_out(
    tmp_path: Path, fill: Callable[..., Path], *, said: bool
) -> None:
    """Compaction has merged them into others and not yet deleted them."""
    store = folded(fill(tmp_path / "store", A))
    folded(fill(store, B))
    folded(fill(store, C))
    before = rows(store)
    assert len(parts_of(files_of(store))) == 3 * PARTS
    if not said:
        without_origin(store)
    repair(without_manifest(store))
    assert rows(store) == before
    named = newest(files_of(store)).parts
    assert all(len(named[table]) == 1 for table in COMPACTED if table != "omissions")


def test_parts_that_contradict_each_other_are_all_kept(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """The same file with two contents, and nothing says which is right."""
    store = folded(fill(tmp_path / "store"))
    [part] = store.glob("compacted/levels-*")
    found = pq.read_table(part, schema=part_schema("levels"))
    changed = found.set_column(
        found.column_names.index("fit_s"), "fit_s", pa.array([9.0] * len(found))
    )
    pq.write_table(changed.replace_schema_metadata(), part.with_name("levels-00000000.parquet"))
    before = sorted(without_manifest(store).rglob("*"))
    recovery = repair(store)
    assert set(recovery.undecided) == {
        f"compacted/{name}" for name in (part.name, "levels-00000000.parquet")
    }
    assert next(recovery.lines).startswith("nothing was changed")
    assert sorted(store.rglob("*")) == before
    with pytest.raises(StoreError, match=LOST):
        Reader(store).levels_done()


def test_a_damaged_part_is_still_named(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """As it may have rows that are nowhere else."""
    store = folded(fill(tmp_path / "store"))
    [part] = store.glob("compacted/curves-*")
    part.write_bytes(part.read_bytes()[:-20])
    assert repair(without_manifest(store)).damaged == (f"compacted/{part.name}",)
    reader = Reader(store)
    assert len(reader.frame("levels")) == 4
    reader.frame("curves")
    assert reader.damaged == (f"compacted/{part.name}",)


def test_a_first_compaction_that_was_killed_hides_nothing(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """Its parts hold what loose files hold too: the store reads as it did, and is compacted."""
    store = fill(tmp_path / "store")
    before = rows(store)
    compact(store)
    without_manifest(store)
    assert rows(store) == before
    assert check(store).problems == ()
    assert repair(store).needed is False
    folded(store)
    assert rows(store) == before
    assert len(parts_of(files_of(store))) == PARTS


def test_merged_parts_outlive_the_manifest_that_names_them(
    tmp_path: Path, fill: Callable[..., Path]
) -> None:
    """They never were loose files of this store: check tells, and compaction keeps them."""
    store = folded(fill(tmp_path / "store", A))
    merge(store, folded(fill(tmp_path / "other", B)))
    before = rows(store)
    sorted(store.glob("compacted/manifest-*"))[-1].unlink()
    aged(store)
    compact(store, grace_s=0)
    problems = check(store).problems
    assert len(problems) == PARTS
    assert all("no manifest names it" in problem.what for problem in problems)
    repair(store)
    assert rows(store) == before


def test_files_of_others_are_never_deleted(tmp_path: Path, fill: Callable[..., Path]) -> None:
    """Whatever lies beside the parts, however old it is."""
    store = fill(tmp_path / "store")
    (store / "compacted").mkdir()
    names = ("old.parquet", "levels-0.parquet", "manifest-1.json", "manifest-000001 copy.json")
    for name in (*names, "levels-00000000.parquet"):
        (store / "compacted" / name).write_bytes(b"mine")
    compact(fill(tmp_path / "other"))
    (store / "compacted/levels-00000000.parquet").unlink()
    for _ in range(2):
        compact(store, grace_s=0)
        (store / "compacted/levels-00000000.parquet").write_bytes(b"mine")
        aged(store)
    compact(store, grace_s=0)
    assert {path.name for path in store.glob("compacted/*")} >= {*names, "levels-00000000.parquet"}


NOTHING_IMPLIED = {
    "loose": {f"levels/{A}-001.parquet", f"masks/{A}-002.parquet"},
    "half": {"compacted/manifest-000001.json"},
    "folded": set[str](),
}
"""Without the last of its levels a trial is incomplete; no level has the last mask; the rows of a
manifest's parts may all be in loose files."""


@pytest.mark.parametrize("state", NOTHING_IMPLIED)
def test_of_every_file_check_tells_that_it_is_gone(
    tmp_path: Path, fill: Callable[..., Path], state: str
) -> None:
    """Or nothing is lost with it; and no command deletes or hides what else there is.

    The other trial has the same files: what holds for those of one holds for those of both.
    """
    whole = fill(tmp_path / "whole")
    for _ in range(["loose", "half", "folded"].index(state)):
        compact(whole, grace_s=0)
    before = set(rows(whole))
    files = (path for path in whole.rglob("*.*") if path.is_file() and B not in path.name)
    names = [str(path.relative_to(whole)) for path in files]
    silent: set[str] = set()
    for number, name in enumerate(names):
        store = tmp_path / str(number)
        shutil.copytree(whole, store)
        aged(store)
        (store / name).unlink()
        if name == "lip-ray-store.json":
            with pytest.raises(StoreError, match="there is no store"):
                Reader(store)
            continue
        if not check(store).problems:
            silent.add(name)
        left = sorted(store.glob("compacted/*.parquet"))
        try:
            seen = set(rows(store))
        except StoreError:
            repair(store)
            seen = set(rows(store))
        hidden = {row for row in before - seen if name.partition("/")[0] not in ("compacted",)}
        assert all(A in row or B in row for row in hidden)
        if state == "folded" and "manifest" in name:
            assert seen == before
        try:
            compact(store, grace_s=0)
        except StoreError:  # a part is gone
            assert sorted(store.glob("compacted/*.parquet")) == left
        else:
            assert set(rows(store)) == seen
    covered = {n for n in names if state == "half" and n.partition("/")[0] in COMPACTED}
    assert silent - covered == NOTHING_IMPLIED[state]
