"""Publishing: small copies that know what they lack, and go on being stores."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import synthetic
from lip_ray.records import StoredTensor
from lip_ray.store import QueryError, Reader, StoreError, Writer, merge, publish, remove
from lip_ray.store import reader as reading
from lip_ray.store.files import Files, files_of
from lip_ray.store.manifest import COMPACTED, held, manifests, newest, parts_of
from lip_ray.store.omissions import BULKY
from lip_ray.store.upkeep import publish as publishing
from lip_ray.store.upkeep.check import check
from lip_ray.store.upkeep.compact import compact
from tests.store.conftest import (
    make_failure,
    make_level,
    make_point,
    make_score,
    make_sweep,
    make_trial,
)
from tests.store.upkeep.test_merge import KINDS, Kind, contents, rows, share

A, B = "a" * 16, "b" * 16
EVERYTHING = dict.fromkeys(BULKY, "true")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials of seven levels."""
    path = tmp_path_factory.mktemp("whole") / "store"
    synthetic.write(path, 28, pictures=True)
    return path


def counts(store: Path) -> dict[str, int]:
    """The number of rows of each table that has any."""
    reader = Reader(store)
    found = {table: reader.sql(f"from {table}").num_rows for table in (*COMPACTED, "weights")}
    return {table: count for table, count in found.items() if count}


def omitted(store: Path) -> dict[str, int]:
    """By table, the number of levels that are noted as left out."""
    asked = "select omitted, count(*) as n from omissions group by all order by all"
    return {row["omitted"]: row["n"] for row in Reader(store).sql(asked).to_pylist()}


@KINDS
def test_all_numbers_are_copied_and_bulky_rows_only_where_asked_for(
    whole: Path, tmp_path: Path, kind: Kind
) -> None:
    """Whether or not the store is compacted, into a few files; the store stays as it is."""
    store = kind(shutil.copytree(whole, tmp_path / "store"))
    before = contents(store)
    first = sorted(Reader(store).levels_done())[0]
    keep = {"masks": f"trial_id = '{first}'", "curves": "true"}
    done = publish(store, tmp_path / "public", keep=keep)
    assert done.merged.conflicts == ()
    assert contents(store) == before
    ours, theirs = counts(tmp_path / "public"), counts(store)
    for table in ("trials", "levels", "choices", "curves"):
        assert ours[table] == theirs[table]
    masks = Reader(tmp_path / "public").sql("from masks order by level, position")
    own = f"from masks where trial_id = '{first}' order by level, position"
    assert masks.equals(Reader(store).sql(own))
    assert "reconstructions" not in ours
    assert omitted(tmp_path / "public") == {"masks": 21, "reconstructions": 28}
    assert len(list((tmp_path / "public").rglob("*.parquet"))) == 7
    assert Reader(tmp_path / "public").levels_done() == Reader(store).levels_done()


def test_with_everything_it_is_the_same_store(whole: Path, tmp_path: Path) -> None:
    """And nothing is noted as left out."""
    done = publish(whole, tmp_path / "public", keep=EVERYTHING)
    assert rows(tmp_path / "public") == rows(whole)
    assert check(tmp_path / "public").left_out == {}
    assert [one.left_out for one in done.tables] == [0] * len(done.tables)
    assert done.total.size == sum(
        path.stat().st_size for path in (tmp_path / "public").rglob("*.parquet")
    )


def test_a_check_forgives_what_was_left_out_and_nothing_else(whole: Path, tmp_path: Path) -> None:
    """Of a trial whose masks are there, a missing one is damage; so is one that was lost before,
    and a missing choice."""
    store = share(whole, tmp_path / "store", slice(0, 2))
    first, second = sorted(Reader(store).levels_done())
    publish(store, tmp_path / "public", keep={"masks": f"trial_id = '{first}'"})
    health = check(tmp_path / "public")
    assert health.problems == ()
    assert health.left_out["masks"] == (7, 1)
    assert any(line.startswith("left out when the store was published: ") for line in health.lines)
    for table in ("masks", "choices"):
        torn = share(whole, tmp_path / f"torn-{table}", slice(0, 2))
        (torn / table / f"{first}-003.parquet").unlink()
        (torn / "masks" / f"{second}-005.parquet").unlink()
        publish(torn, tmp_path / f"public-{table}", keep={"masks": f"trial_id = '{first}'"})
        found = {problem.file for problem in check(tmp_path / f"public-{table}").problems}
        assert f"{table}/{first}-003.parquet" in found
        assert {name for name in found if second in name} == {f"masks/{second}-005.parquet"}


def test_growing_adds_parts_and_keeps_the_bytes_of_those_there(whole: Path, tmp_path: Path) -> None:
    """Also where a trial has grown, and with a condition that no longer holds of it."""
    first = sorted(Reader(whole).levels_done())[0]
    store, public = share(whole, tmp_path / "store", slice(0, 2), levels=3), tmp_path / "public"
    publish(store, public, keep={"masks": f"trial_id = '{first}'"})
    before = contents(public)
    merge(store, whole)
    publish(store, public)
    after = contents(public)
    parts = {name for name in before if name.endswith(".parquet")}
    assert {name: after[name] for name in parts} == {name: before[name] for name in parts}
    assert list(Reader(public).levels_done().values()) == [7] * 4
    assert Reader(public).sql("select distinct trial_id from masks").to_pylist() == [
        {"trial_id": first}
    ]
    assert check(public).problems == ()
    assert check(public).left_out["masks"] == (21, 3)
    again = contents(public)
    assert publish(store, public).merged.copied == 0
    assert contents(public) == again


def test_what_is_asked_for_later_is_added_and_counts_from_then_on(
    whole: Path, tmp_path: Path
) -> None:
    """The note that it was left out is gone, so that its loss would be damage."""
    store, public = share(whole, tmp_path / "store", slice(0, 2)), tmp_path / "public"
    publish(store, public)
    publish(store, public, keep={"masks": "true"})
    assert omitted(public) == {"curves": 14, "reconstructions": 14}
    assert counts(public)["masks"] == counts(store)["masks"]
    assert check(public).problems == ()
    assert len(manifests(files_of(public))) == 1
    named = {name for parts in newest(files_of(public)).parts.values() for name in parts}
    assert set(parts_of(files_of(public))) == named


def test_what_parts_hold_is_read_once_for_all_levels_that_lack_rows(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(whole, tmp_path / "public")
    asked: list[str] = []

    def noted(files: Files, table: str) -> frozenset[str]:
        asked.append(table)
        return held(files, table)

    monkeypatch.setattr(reading, "held", noted)
    left_out = Reader(tmp_path / "public").left_out()
    levels = {table for own in left_out.values() for table in own}
    assert len(left_out) == 4
    assert sorted(asked) == sorted(levels) == ["curves", "masks", "reconstructions"]


@KINDS
def test_a_full_store_that_takes_a_published_one_loses_nothing(
    whole: Path, tmp_path: Path, kind: Kind
) -> None:
    """What is there counts, in whatever order stores are merged."""
    publish(whole, tmp_path / "public")
    full = kind(share(whole, tmp_path / "full", slice(0, 4)))
    before = rows(full)
    assert merge(full, tmp_path / "public").conflicts == ()
    assert rows(full) == before
    assert omitted(full) == {}
    assert merge(tmp_path / "public", full).conflicts == ()
    assert rows(tmp_path / "public") == before
    assert omitted(tmp_path / "public") == {}
    assert check(tmp_path / "public").problems == ()


def test_a_store_that_takes_later_levels_of_a_published_one_knows_what_they_lack(
    whole: Path, tmp_path: Path
) -> None:
    """Levels of one trial, with their masks and without."""
    publish(whole, tmp_path / "public")
    store = share(whole, tmp_path / "store", slice(0, 1), levels=3)
    merge(store, tmp_path / "public")
    assert check(store).problems == ()
    assert check(store).left_out["masks"] == (3 + 21, 4)


def test_trials_are_removed_with_what_is_noted_of_them(whole: Path, tmp_path: Path) -> None:
    """And copied aside with it."""
    public = tmp_path / "public"
    publish(whole, public)
    first = sorted(Reader(public).levels_done())[0]
    remove(public, [first], to=tmp_path / "aside")
    assert omitted(public) == {"curves": 21, "masks": 21, "reconstructions": 21}
    assert omitted(tmp_path / "aside") == {"curves": 7, "masks": 7, "reconstructions": 7}
    assert check(tmp_path / "aside").left_out["masks"] == (7, 1)


def filled(store: Path) -> Path:
    """Rows in tables that are never compacted."""
    writer = Writer.open(store)
    weights = (StoredTensor(name="a", shape=(1,), dtype="<f4", values=b"1234"),)
    for trial_id in (A, B):
        writer.write_trial(make_trial(trial_id))
        writer.write_level([make_level(trial_id, weights={1: weights})])
    writer.write_sweep(make_sweep())
    writer.write_failure(make_failure(B))
    writer.write_point(make_point())
    writer.write_score(make_score())
    return store


def test_tables_that_are_never_compacted_are_copied_as_they_are(tmp_path: Path) -> None:
    """Sweeps, failures and searches whole, weights where they are asked for."""
    store, public = filled(tmp_path / "store"), tmp_path / "public"
    publish(store, public, keep={"weights": f"trial_id = '{B}'"})
    before = contents(store)
    for table in ("sweeps", "failures", "points", "scores"):
        own = {name: held for name, held in before.items() if name.startswith(table)}
        assert own == {n: held for n, held in contents(public).items() if n.startswith(table)}
    assert [path.name for path in (public / "weights").iterdir()] == [f"{B}-001.parquet"]
    assert Reader(public).left_out([A, B], ["weights"]) == {A: {"weights": frozenset({1})}}


def test_rows_that_are_there_are_not_left_out(tmp_path: Path) -> None:
    """Whatever is noted."""
    public = tmp_path / "public"
    publish(filled(tmp_path / "store"), public)
    assert Reader(public).left_out([A], ["masks"]) == {A: {"masks": frozenset({0, 1})}}
    shutil.copytree(tmp_path / "store" / "masks", public / "masks")
    assert Reader(public).left_out([A], ["masks"]) == {}
    assert "masks" not in check(public).left_out


def test_a_published_store_that_a_run_wrote_into_is_compacted(whole: Path, tmp_path: Path) -> None:
    """So that it is a few files again."""
    store, public = share(whole, tmp_path / "store", slice(0, 1)), tmp_path / "public"
    publish(store, public)
    writer = Writer.open(public)
    writer.write_trial(make_trial(A))
    writer.write_level([make_level(A)])
    publish(store, public)
    assert [name for table in COMPACTED for name in files_of(public).names(table)] == []
    assert Reader(public).levels_done()[A] == 1


@pytest.mark.parametrize("place", ["store", "store/inside", ".", "other", "file"])
def test_a_place_that_would_be_in_the_way_is_refused(
    whole: Path, tmp_path: Path, place: str
) -> None:
    """Before anything is written there."""
    store = share(whole, tmp_path / "store", slice(0, 1))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(StoreError, match=r"itself|inside of|is no store|is a file"):
        publish(store, tmp_path / place)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ({"mask": "true"}, "did you mean 'masks'"),
        ({"levels": "true"}, "always published whole"),
        ({"masks": "sed = 1"}, "--keep masks: "),
        ({"curves": "seed ="}, "--keep curves: "),
    ],
)
def test_a_wrong_wish_is_refused_with_its_table(
    whole: Path, tmp_path: Path, keep: dict[str, str], said: str
) -> None:
    """Before anything is written."""
    with pytest.raises(QueryError, match=said):
        publish(whole, tmp_path / "public", keep=keep)
    assert not (tmp_path / "public").exists()


KILLED = """
import os, signal, sys
from lip_ray.store import publish
from lip_ray.store.files import Folder

left = int(sys.argv[3])

def counted(act):
    def counting(self, *arguments, **options):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return act(self, *arguments, **options)
    return counting

Folder.publish, Folder.remove = counted(Folder.publish), counted(Folder.remove)
publish(sys.argv[1], sys.argv[2], keep={"curves": "true"})
"""


@pytest.mark.parametrize("files", [0, 2, 4, 6, 8])
def test_the_same_command_ends_what_was_killed(tmp_path: Path, files: int) -> None:
    """Between any two files; nothing is left behind, and nothing is there twice."""
    store, public = filled(tmp_path / "store"), tmp_path / "public"
    code = [sys.executable, "-c", KILLED, str(store), str(public), str(files)]
    ended = subprocess.run(code, env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    if (public / "lip-ray-store.json").exists():
        assert Reader(public).levels_done() in ({}, {A: 1, B: 1})
    publish(store, public, keep={"curves": "true"})
    publish(store, tmp_path / "at-once", keep={"curves": "true"})
    assert rows(public) == rows(tmp_path / "at-once")
    assert counts(public) == counts(tmp_path / "at-once")
    names = [name.rpartition("-")[0] for name in contents(public)]
    assert sorted(names) == sorted(n.rpartition("-")[0] for n in contents(tmp_path / "at-once"))
    hidden = [path for path in public.rglob(".*") if path.is_file()]
    assert hidden == []


def test_of_two_at_once_the_later_begins_again(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is there twice, whoever comes first."""
    public = tmp_path / "public"
    act = publishing.copied
    first: list[Any] = []

    def late(*arguments: Any, **options: Any) -> Any:
        from lip_ray.store.upkeep import merge as merging

        put = merging.publish

        def overtaken(*given: Any) -> bool:
            if not first:
                first.append(True)
                monkeypatch.setattr(publishing, "copied", act)
                publish(whole, public, keep={"curves": "true"})
            return put(*given)

        monkeypatch.setattr(merging, "publish", overtaken)
        return act(*arguments, **options)

    monkeypatch.setattr(publishing, "copied", late)
    publish(whole, public, keep={"masks": "true"})
    assert first
    ours, theirs = counts(public), counts(whole)
    assert (ours["levels"], ours["curves"]) == (theirs["levels"], theirs["curves"])
    assert ours["masks"] == theirs["masks"]
    assert omitted(public) == {"reconstructions": 28}
    assert check(public).problems == ()


def test_compacting_a_published_store_changes_no_answer(whole: Path, tmp_path: Path) -> None:
    """Parts of several publications become one each."""
    store, public = share(whole, tmp_path / "store", slice(0, 2)), tmp_path / "public"
    publish(store, public)
    merge(store, whole)
    publish(store, public)
    before, left_out = rows(public), check(public).left_out
    compact(public, grace_s=0)
    assert rows(public) == before
    assert all(len(parts) <= 1 for parts in newest(files_of(public)).parts.values())
    assert check(public).left_out == left_out
    assert check(public).problems == ()


def test_a_rehearsal_says_what_would_be_there_and_writes_nothing(
    whole: Path, tmp_path: Path
) -> None:
    """Also beside what is published already."""
    store, public = share(whole, tmp_path / "store", slice(0, 2)), tmp_path / "public"
    publish(store, public)
    merge(store, whole)
    before = contents(public)
    told = publishing.rehearsed(store, public, keep={"curves": "true"})
    assert contents(public) == before
    done = publish(store, public, keep={"curves": "true"})
    assert [(one.table, one.files, one.rows) for one in told.tables] == [
        (one.table, one.files, one.rows) for one in done.tables
    ]
