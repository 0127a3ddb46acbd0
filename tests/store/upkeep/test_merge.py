"""Merging: what others have is copied, what differs is named, and sources stay as they are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks import synthetic
from lip_ray.records import FailureRecord, PointRecord, ScoreRecord, SweepRecord
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.store.manifest import COMPACTED
from lip_ray.store.upkeep.check import check
from lip_ray.store.upkeep.compact import compact
from lip_ray.store.upkeep.merge import merge
from tests.store.conftest import make_level, make_trial
from tests.store.upkeep.test_compact import flipped, place_in

Kind = Callable[[Path], Path]


def rows(store: Path) -> list[str]:
    """All rows of all tables, in an order of their own."""
    each = (
        f"select '{name}: ' || cast({name} as varchar) as row from {name}" for name in COMPACTED
    )
    return sorted(Reader(store).sql(" union all ".join(each)).column("row").to_pylist())


def contents(store: Path) -> dict[str, bytes]:
    """Every file of a store."""
    found = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


def loose(store: Path) -> Path:
    """As runs leave it."""
    return store


def covered(store: Path) -> Path:
    """Compacted, with the files still there."""
    compact(store)
    return store


def folded(store: Path) -> Path:
    """Compacted, without them."""
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    return store


KINDS = pytest.mark.parametrize("kind", [loose, covered, folded])


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials of seven levels."""
    path = tmp_path_factory.mktemp("whole") / "store"
    synthetic.write(path, 28, pictures=True)
    return path


def share(whole: Path, store: Path, chosen: slice, levels: int = 7) -> Path:
    """Some of its trials, and of these the first levels with the mask of the next."""
    trials = sorted(path.stem for path in whole.glob("trials/*"))[chosen]
    shutil.copytree(whole, store)
    for path in store.glob("*/*.parquet"):
        trial, _, level = path.stem.partition("-")
        end = levels + (path.parent.name == "masks")
        if path.parent.name != "sweeps" and (trial not in trials or int(level or 0) >= end):
            path.unlink()
    return store


@KINDS
def test_stores_that_share_nothing_become_one(whole: Path, tmp_path: Path, kind: Kind) -> None:
    """Whichever of them are compacted; none of them changes."""
    one = kind(share(whole, tmp_path / "one", slice(0, 2)))
    two = share(whole, tmp_path / "two", slice(2, 4))
    before = contents(one), contents(two)
    merged = merge(tmp_path / "new", one, two)
    assert merged.conflicts == ()
    assert rows(tmp_path / "new") == rows(whole)
    assert check(tmp_path / "new").problems == ()
    assert (contents(one), contents(two)) == before
    assert merge(tmp_path / "new", two, one).copied == 0
    assert rows(tmp_path / "new") == rows(whole)


@KINDS
def test_what_both_have_is_known_and_later_levels_are_added(
    whole: Path, tmp_path: Path, kind: Kind
) -> None:
    """A trial that another machine has taken further."""
    into = kind(share(whole, tmp_path / "into", slice(0, 3), levels=2))
    other = share(whole, tmp_path / "other", slice(1, 4))
    merged = merge(into, other)
    assert merged.conflicts == ()
    assert merged.known == 2 * (1 + 2 * 5 + 1) + 1
    trials = sorted(Reader(whole).levels_done())
    assert Reader(into).levels_done() == {trials[0]: 2} | dict.fromkeys(trials[1:], 7)
    assert check(into).problems == ()


@KINDS
@pytest.mark.parametrize("table", ["masks", "levels"])
def test_a_trial_whose_files_differ_stays_as_it_is_and_they_are_named(
    whole: Path, tmp_path: Path, kind: Kind, table: str
) -> None:
    """Its masks are stored within each other, so no later level of the other's is taken."""
    into = kind(share(whole, tmp_path / "into", slice(0, 2), levels=3))
    other = share(whole, tmp_path / "other", slice(0, 4))
    path = sorted(other.glob(f"{table}/*"))[1]
    changed = pq.read_table(path)
    rows = changed.slice(0, 0) if table == "masks" else _slower(changed)
    pq.write_table(rows.replace_schema_metadata(), path)
    merged = merge(into, other)
    assert merged.conflicts == (f"{table}/{path.name} of {other}: unlike the one that is there",)
    done = list(Reader(into).levels_done().values())
    assert done == [3, 7, 7, 7]
    assert check(into).problems == ()
    assert any(path.name in line for line in merged.lines)


def _slower(levels: Any) -> Any:
    place = levels.column_names.index("fit_s")
    return levels.set_column(place, "fit_s", [[1e6] * len(levels)])


def test_the_first_source_wins(whole: Path, tmp_path: Path) -> None:
    """In the order in which they are named."""
    one = share(whole, tmp_path / "one", slice(0, 1))
    two = share(whole, tmp_path / "two", slice(0, 1))
    path = sorted(two.glob("levels/*"))[0]
    pq.write_table(_slower(pq.read_table(path)).replace_schema_metadata(), path)
    assert len(merge(tmp_path / "new", one, two).conflicts) == 1
    assert rows(tmp_path / "new") == rows(one)
    assert len(merge(tmp_path / "newer", two, one).conflicts) == 1
    assert rows(tmp_path / "newer") == rows(two)


def test_no_level_of_a_trial_with_a_damaged_file_is_taken(whole: Path, tmp_path: Path) -> None:
    """So that running its sweep there makes it whole."""
    other = share(whole, tmp_path / "other", slice(0, 2))
    path = sorted(other.glob("curves/*"))[3]
    path.write_bytes(path.read_bytes()[:-9])
    merged = merge(tmp_path / "new", other)
    assert merged.conflicts == (f"curves/{path.name} of {other}: damaged",)
    assert list(Reader(tmp_path / "new").levels_done().values()) == [7]
    assert all(problem.mended for problem in check(tmp_path / "new").problems)


@pytest.mark.parametrize("broken", ["source", "target"])
def test_trials_with_rows_in_a_damaged_part_are_not_taken(tmp_path: Path, broken: str) -> None:
    """All others are, and a part that is restored has its rows again, once."""
    source, target = tmp_path / "source", tmp_path / "target"
    damaged = source if broken == "source" else target
    synthetic.write(damaged, 700, compacted=True)
    writer = Writer.open(source)
    writer.write_trial(make_trial("c" * 16))
    writer.write_level([make_level("c" * 16)])
    [path] = (damaged / "compacted").glob("curves-*")
    content = path.read_bytes()
    path.write_bytes(flipped(content, place_in("loss.list.element", path)))
    merged = merge(target, source)
    assert merged.conflicts == (f"compacted/{path.name} of {damaged}: damaged",)
    assert Reader(target).levels_done()["c" * 16] == 1
    path.write_bytes(content)
    assert merge(target, source).conflicts == ()
    curves = Reader(target).frame("curves")
    assert len(curves) == len(curves.drop_duplicates(["trial_id", "level"])) == 701


def test_a_part_that_does_not_tell_whose_rows_it_has_is_not_merged(tmp_path: Path) -> None:
    """Nothing is copied, as any trial may be torn."""
    synthetic.write(tmp_path / "source", 70, compacted=True)
    [path] = (tmp_path / "source" / "compacted").glob("masks-*")
    path.write_bytes(flipped(path.read_bytes(), place_in("file", path)))
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        merge(tmp_path / "target", tmp_path / "source")
    assert Reader(tmp_path / "target").sql("from trials").num_rows == 0


def test_an_older_version_is_read_as_it_is(whole: Path, tmp_path: Path) -> None:
    """Its rows are the same as those that have a column more, without a value."""
    into = share(whole, tmp_path / "into", slice(0, 1))
    other = share(whole, tmp_path / "other", slice(0, 2))
    (other / "lip-ray-store.json").write_text('{"schema_version": 1}')
    for path in other.glob("levels/*"):
        older = pq.read_table(path).drop_columns(["split", "frechet"])
        pq.write_table(older.replace_schema_metadata(), path)
    assert merge(into, other).conflicts == ()
    assert list(Reader(into).levels_done().values()) == [7, 7]


def test_all_that_is_not_of_trials_is_copied_too(
    tmp_path: Path,
    sweep_record: Callable[..., SweepRecord],
    failure_record: Callable[..., FailureRecord],
    point_record: Callable[..., PointRecord],
    score_record: Callable[..., ScoreRecord],
) -> None:
    """Sweeps, failures, points of searches and their scores; states of unfinished levels not."""
    writer = Writer.open(tmp_path / "one")
    writer.write_sweep(sweep_record())
    writer.write_failure(failure_record())
    writer.write_point(point_record())
    writer.write_score(score_record())
    writer.keep_unfinished("a" * 16, 0, b"state")
    assert merge(tmp_path / "new", tmp_path / "one").copied == 4
    copied = contents(tmp_path / "one")
    del copied[f"unfinished/{'a' * 16}-000"]
    assert contents(tmp_path / "new") == copied


def test_itself_is_refused_under_any_name(whole: Path, tmp_path: Path) -> None:
    """Before anything is copied."""
    store = share(whole, tmp_path / "store", slice(0, 1))
    other = share(whole, tmp_path / "other", slice(1, 2))
    (tmp_path / "link").symlink_to(store)
    for name in (store, tmp_path / "link", tmp_path / "other/../store"):
        with pytest.raises(StoreError, match="into itself"):
            merge(store, other, name)
    assert list(Reader(store).levels_done().values()) == [7]


def test_no_store_and_a_newer_one_are_refused_before_anything_is_copied(
    whole: Path, tmp_path: Path
) -> None:
    """Also when the other sources are sound."""
    other = share(whole, tmp_path / "other", slice(0, 1))
    newer = share(whole, tmp_path / "newer", slice(1, 2))
    (newer / "lip-ray-store.json").write_text(json.dumps({"schema_version": 99}))
    with pytest.raises(StoreError, match="schema version 99"):
        merge(tmp_path / "new", other, newer)
    with pytest.raises(StoreError, match="there is no store"):
        merge(tmp_path / "new", other, tmp_path / "none")
    assert not (tmp_path / "new").exists()
