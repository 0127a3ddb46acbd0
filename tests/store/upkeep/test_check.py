"""Check: every kind of damage is found and named, with whether running again mends it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import synthetic
from lip_ray.store import StoreError
from lip_ray.store.schema import TABLES
from lip_ray.store.upkeep.check import Health, check
from lip_ray.store.upkeep.compact import compact

LEVELS = 21


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials of seven levels, all complete."""
    path = tmp_path_factory.mktemp("sound") / "store"
    synthetic.write(path, LEVELS, pictures=True)
    return path


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    """One to be damaged."""
    shutil.copytree(sound, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(scope="session")
def trial_id(sound: Path) -> str:
    """One of its trials."""
    return sorted(sound.glob("trials/*"))[0].stem


def only(health: Health) -> tuple[str, str, bool]:
    """The one problem there is."""
    [problem] = health.problems
    return problem


def changed(path: Path, column: str, change: Callable[[list[object]], None]) -> None:
    """Write a file anew with other values in one column."""
    rows = pq.read_table(path, schema=TABLES[path.parent.name])
    values = rows.column(column).to_pylist()
    change(values)
    place = rows.column_names.index(column)
    field = rows.schema.field(column)
    pq.write_table(rows.set_column(place, field, pa.array(values, field.type)), path)


def test_a_sound_store_is_well_loose_compacted_and_in_between(store: Path) -> None:
    """And all of it was read."""
    first = check(store)
    assert first.problems == ()
    assert first.files == len([path for path in store.rglob("*") if path.suffix == ".parquet"])
    assert (first.counts["levels"], first.counts["masks"]) == (LEVELS, 3 * LEVELS)
    for _ in range(2):
        compact(store, grace_s=0)
        found = check(store)
        assert (found.problems, found.counts) == ((), first.counts)
        assert list(found.lines)[-1] == "all is well"


@pytest.mark.parametrize(
    "table", ["levels", "curves", "choices", "masks", "reconstructions", "trials"]
)
@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_a_bad_file_of_a_trial_is_named_and_mended_by_running_again(
    store: Path, sound: Path, trial_id: str, table: str, damage: str
) -> None:
    """Once it and the levels files of its trial are deleted: the trial is then run again."""
    stem = trial_id if table == "trials" else f"{trial_id}-003"
    path = store / table / f"{stem}.parquet"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut short":
        path.write_bytes(content[:-9])
    (name, what, mended), *others = check(store).problems
    assert (name, mended) == (f"{table}/{stem}.parquet", True)
    assert what.startswith("damaged" if damage == "cut short" else "missing")
    within = [(f"masks/{trial_id}-004.parquet", True)] if table == "masks" else []
    assert [(problem.file, problem.mended) for problem in others] == within
    path.unlink(missing_ok=True)
    for level in store.glob(f"levels/{trial_id}-*"):
        level.unlink()
    shutil.copytree(sound, store, dirs_exist_ok=True)  # as the run would: all files are the same
    assert check(store).problems == ()


@pytest.mark.parametrize("compacted", [False, True])
def test_the_mask_of_the_next_level_is_stored_before_it_is_fitted(
    store: Path, trial_id: str, compacted: bool
) -> None:
    """Without it a run that resumes would record all levels below as failed."""
    for path in store.glob(f"*/{trial_id}-*.parquet"):
        level = int(path.stem.rpartition("-")[2])
        if level > 3 or (level == 3 and path.parent.name != "masks"):
            path.unlink()
    if compacted:
        compact(store, grace_s=0)
    assert check(store).problems == ()
    mask = store / "masks" / f"{trial_id}-003.parquet"
    if not compacted:
        mask.unlink()
        name, what, mended = only(check(store))
        assert (name, mended) == (f"masks/{mask.name}", True)
        assert what.startswith("missing: it was found with the level above")


def test_what_is_in_a_part_no_run_mends(store: Path, trial_id: str) -> None:
    """Since the part says that the trial is done."""
    path = store / "curves" / f"{trial_id}-003.parquet"
    path.write_bytes(b"")
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    assert only(check(store)) == (f"curves/{path.name}", "damaged", False)


def test_bits_that_do_not_add_up_are_named_with_their_layer(store: Path, trial_id: str) -> None:
    """One flipped bit."""
    path = store / "masks" / f"{trial_id}-002.parquet"

    def flip(values: list[object]) -> None:
        bits = np.frombuffer(values[1], np.uint8).copy()
        bits[0] ^= 16
        values[1] = bits.tobytes()

    changed(path, "bits", flip)
    name, what, mended = only(check(store))
    assert (name, mended) == (f"masks/{path.name}", True)
    assert "1.1.4.1.weight" in what
    assert "143 weights kept, not the 144" in what or "145 weights kept, not the 144" in what


def test_bits_of_another_length_are_named(store: Path, trial_id: str) -> None:
    """A byte is missing at the end, where no weight is kept."""
    path = store / "masks" / f"{trial_id}-000.parquet"
    changed(path, "bits", lambda values: values.__setitem__(0, bytes(values[0]) + b"\0"))
    _, what, _ = only(check(store))
    assert "37 bytes for 288 weights" in what


def test_a_mask_within_one_that_is_not_there_is_named(store: Path, trial_id: str) -> None:
    """It cannot be read either."""
    changed(
        store / "masks" / f"{trial_id}-002.parquet",
        "within",
        lambda values: values.__setitem__(0, 9),
    )
    _, what, mended = only(check(store))
    assert "nested in level 9, which is missing" in what
    assert mended


@pytest.mark.parametrize("folded", [False, True])
def test_a_copy_under_another_name_is_named(store: Path, trial_id: str, folded: bool) -> None:
    """Beside the original, or beside a part that has its rows."""
    content = (store / "levels" / f"{trial_id}-000.parquet").read_bytes()
    for _ in range(2 * folded):
        compact(store, grace_s=0)
    (store / "levels").mkdir(exist_ok=True)
    (store / "levels" / f"{'f' * 16}-000.parquet").write_bytes(content)
    name, what, mended = only(check(store))
    assert (name, mended) == (f"levels/{'f' * 16}-000.parquet", False)
    assert what == f"renamed or copied: it has the rows of {trial_id}-000"


def test_rows_that_two_parts_have_are_named(store: Path) -> None:
    """A part under two names."""
    compact(store, grace_s=0)
    compact(store, grace_s=0)
    [part] = store.glob("compacted/levels-*")
    shutil.copy(part, store / "compacted/levels-00000000.parquet")
    manifest = store / "compacted/manifest-000001.json"
    parts = json.loads(manifest.read_text())["parts"]
    parts["levels"].append("compacted/levels-00000000.parquet")
    manifest.write_text(json.dumps({"parts": parts}))
    name, what, mended = only(check(store))
    assert {name, what.split()[3]} == {
        f"compacted/{part.name}",
        "compacted/levels-00000000.parquet",
    }
    assert not mended


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_part_that_cannot_be_read_is_named(store: Path, damage: str) -> None:
    """While the files it was made of are there, nothing else is wrong; then much is."""
    compact(store, grace_s=0)
    [part] = store.glob("compacted/curves-*")
    content = part.read_bytes()
    part.unlink()
    if damage == "damaged":
        part.write_bytes(content[: len(content) // 2])
    name, what, mended = only(check(store))
    assert (name, mended) == (f"compacted/{part.name}", False)
    assert what.startswith(damage)
    for path in store.glob("curves/*"):
        path.unlink()
    assert check(store).counts["curves"] == 0


def test_a_file_unlike_what_a_part_has_of_it_is_named(store: Path, trial_id: str) -> None:
    """The part counts, and the file will be deleted."""
    compact(store, grace_s=0)
    path = store / "curves" / f"{trial_id}-003.parquet"
    changed(path, "loss", lambda values: values.__setitem__(0, [1.0]))
    name, what, mended = only(check(store))
    assert (name, mended) == (f"curves/{path.name}", False)
    assert "unlike its rows in a part" in what


def test_strangers_are_named(store: Path) -> None:
    """In the store's own folders; beside them may lie what people put there."""
    (store / "report.html").write_text("mine")
    (store / "levels/notes.txt").write_text("mine")
    (store / "compacted").mkdir()
    (store / "compacted/old.parquet").write_text("mine")
    (store / "levels/.draft.tmp").write_text("a writer's")
    found = check(store).problems
    assert [problem.file for problem in found] == ["compacted/old.parquet", "levels/notes.txt"]
    assert all("no file of a store" in problem.what for problem in found)


def test_a_broken_manifest_is_named(store: Path) -> None:
    """And the files are looked at as if there were none."""
    (store / "compacted").mkdir()
    (store / "compacted/manifest-000001.json").write_text("{")
    name, what, mended = only(check(store))
    assert (name, mended) == ("compacted", False)
    assert "cannot be read" in what


def test_fits_without_an_end_need_no_curve(store: Path, trial_id: str) -> None:
    """A fit that failed has nothing to show."""
    changed(
        store / "levels" / f"{trial_id}-003.parquet",
        "outcome",
        lambda values: values.__setitem__(0, "failed"),
    )
    for table in ("curves", "choices", "masks", "reconstructions"):
        (store / table / f"{trial_id}-003.parquet").unlink()
    problems = check(store).problems
    assert [problem.file for problem in problems] == [f"masks/{trial_id}-004.parquet"]
    assert "nested in level 3, which is missing" in problems[0].what


def test_sentences_say_what_to_do(store: Path, trial_id: str) -> None:
    """Those that a run mends apart from those that it does not."""
    os.truncate(store / "curves" / f"{trial_id}-003.parquet", 30)
    (store / "levels/notes.txt").write_text("mine")
    lines = list(check(store).lines)
    assert lines[1].startswith("1 problem: delete them and the levels files of their trials")
    assert lines[2] == f"  curves/{trial_id}-003.parquet: damaged"
    assert lines[3].startswith("1 problem: no sweep")
    assert lines[4].startswith("  levels/notes.txt: no file of a store")


def test_there_must_be_a_store(tmp_path: Path) -> None:
    """A mistyped path is said."""
    with pytest.raises(StoreError, match="there is no store"):
        check(tmp_path)
