"""Files appear whole, once, and never change; what cannot be written is said in one message."""

import errno
import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lip_ray.records import LevelRecord, Outcome, SweepRecord, TrialRecord
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.store.files import Folder
from lip_ray.store.schema import TABLES, VERSION

Make = Callable[..., Any]


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_every_table_comes_back_as_it_was_written(
    tmp_path: Path, level_record: Make, trial_record: Make, sweep_record: Make
) -> None:
    store = Writer.open(tmp_path)
    level: LevelRecord = level_record()
    trial: TrialRecord = trial_record()
    sweep: SweepRecord = sweep_record()
    store.write_sweep(sweep)
    store.write_trial(trial)
    assert store.write_level([level])

    reader = Reader(tmp_path)
    [row] = reader.sql("from levels").to_pylist()
    derived = {"density", "effective_density", "psnr_gap_db", "mse_selected"}
    names = set(row) - {"outcome"} - derived
    assert {name: row[name] for name in names} == {name: getattr(level, name) for name in names}
    assert row["outcome"] == "budget"
    assert row["density"] == level.kept / level.total
    assert row["effective_density"] == level.effective / level.total
    assert row["psnr_gap_db"] == level.psnr_peak_db - level.psnr_selected_db
    assert row["mse_selected"] == pytest.approx(10 ** (-level.psnr_selected_db / 10))
    [began] = reader.sql("from trials").to_pylist()
    assert began["trial_id"] == trial.trial_id
    assert began["started_at"] == trial.started_at
    [curve] = reader.sql("from curves").to_pylist()
    assert curve["step"] == [0, 3]
    assert curve["loss"] == [0.5, 0.25]
    pictures = reader.sql("select role, step, png from reconstructions order by role").to_pylist()
    assert pictures == [
        {"role": "clean", "step": None, "png": b"png-0"},
        {"role": "final", "step": 3, "png": b"png-1"},
    ]
    asked = reader.sql("select position, trial_id, levels from sweeps order by 1").to_pylist()
    assert [(row["position"], row["trial_id"], row["levels"]) for row in asked] == [
        (0, "a" * 16, 2),
        (1, "b" * 16, 2),
    ]
    assert reader.masks(level.trial_id, 0) == level.masks[0]
    assert reader.masks(level.trial_id, 1) == level.masks[1]


def test_files_carry_the_declared_schema_and_version(tmp_path: Path, level_record: Make) -> None:
    Writer.open(tmp_path).write_level([level_record()])
    for table in ("levels", "curves", "choices", "masks", "reconstructions"):
        for path in (tmp_path / table).iterdir():
            assert pq.read_schema(path) == TABLES[table]
            footer = pq.read_metadata(path).metadata
            assert footer[b"lip_ray_schema"] == str(VERSION).encode()


def test_the_first_writer_wins(tmp_path: Path, level_record: Make) -> None:
    store = Writer.open(tmp_path)
    assert store.write_level([level_record()])
    before = contents(tmp_path)
    assert store.write_level([level_record()]), "the same rows again are no conflict"
    assert not store.write_level([level_record(fit_s=9.0)]), "other rows are"
    other_mask = {1: level_record().masks[0]}
    assert not store.write_level([level_record(masks=other_mask)]), "and another mask"
    assert contents(tmp_path) == before


def test_a_level_without_curve_or_mask_leaves_no_file_for_them(
    tmp_path: Path, level_record: Make
) -> None:
    bare = level_record(
        masks={}, curve=None, choices=(), reconstructions=(), outcome=Outcome.FAILED
    )
    assert Writer.open(tmp_path).write_level([bare])
    assert {path.split("/")[0] for path in contents(tmp_path)} == {"levels", "lip-ray-store.json"}


def test_levels_are_committed_last(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[str] = []
    publish = Folder.publish

    def noted(folder: Folder, name: str, content: bytes) -> bool:
        published.append(name.partition("/")[0])
        return publish(folder, name, content)

    store = Writer.open(tmp_path)
    monkeypatch.setattr(Folder, "publish", noted)
    store.write_level([level_record()])
    assert published == ["masks", "masks", "curves", "choices", "reconstructions", "levels"]


@pytest.mark.parametrize("fails_at", range(5))
def test_a_crash_at_any_file_leaves_no_level_and_loses_none(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    store = Writer.open(tmp_path)
    store.write_level([level_record(level=0)])
    committed = contents(tmp_path)
    left = iter(range(5))
    link = os.link

    def crash(*args: Any, **kwargs: Any) -> None:
        if next(left) == fails_at:
            raise KeyboardInterrupt
        link(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", crash)
        with pytest.raises(KeyboardInterrupt):
            store.write_level([level_record(level=1)])
    reader = Reader(tmp_path)
    assert reader.levels_done() == {"a" * 16: 1}
    for table in ("levels", "curves", "choices", "masks", "reconstructions"):
        assert set(reader.frame(table)["level"]) == {0}
    assert committed.items() <= contents(tmp_path).items()
    assert not list(tmp_path.rglob("*.tmp")), "a draft was left behind"
    assert store.write_level([level_record(level=1)])
    assert reader.levels_done() == {"a" * 16: 2}


def _race(root: Path, records: list[LevelRecord], won: Any) -> None:
    store = Writer.open(root)
    with won.get_lock():
        pass  # all begin together
    wins = sum(store.write_level([record]) for record in records)
    with won.get_lock():
        won.value += wins


def test_of_many_writers_of_one_level_exactly_one_wins(tmp_path: Path, level_record: Make) -> None:
    context = multiprocessing.get_context("fork")
    won = context.Value("i", 0)
    with won.get_lock():
        processes = [
            context.Process(
                target=_race,
                args=(
                    tmp_path,
                    [level_record(level=n, masks={}, fit_s=float(p)) for n in range(20)],
                    won,
                ),
            )
            for p in range(4)
        ]
        for process in processes:
            process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert won.value == 20
    assert len(Reader(tmp_path).frame("levels")) == 20


def test_without_hard_links_files_are_renamed(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    store = Writer.open(tmp_path)
    assert store.write_level([level_record()])
    assert store.write_level([level_record()])
    assert not store.write_level([level_record(fit_s=9.0)])
    assert Reader(tmp_path).frame("levels")["fit_s"].tolist() == [1.5]


def test_a_link_whose_answer_was_lost_counts(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def answer_lost(*args: Any, **kwargs: Any) -> None:
        link(*args, **kwargs)
        raise FileExistsError(errno.EEXIST, "File exists")

    store = Writer.open(tmp_path)
    monkeypatch.setattr(os, "link", answer_lost)
    assert store.write_level([level_record()])


def test_a_full_disk_is_one_message_and_leaves_nothing_half_written(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Writer.open(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written to: .*: No space left on device"):
        store.write_level([level_record()])
    assert list(contents(tmp_path)) == ["lip-ray-store.json"]


def test_a_store_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for refused in (Writer.open, Writer.probe):
        with pytest.raises(StoreError, match=r"cannot be written to: .*: Not a directory"):
            refused(tmp_path / "file" / "store")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gopher://bucket/store", "gopher://bucket/store: Unrecognized filesystem type"),
        ("s3://bucket/store?zone=3", "Unexpected query parameter in S3 URI: 'zone'"),
        ("s3://me:secret@bucket/store", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(address: str, said: str) -> None:
    for refused in (Writer.open, Writer.probe, Reader):
        with pytest.raises(StoreError, match=said) as raised:
            refused(address)
        assert "secret" not in str(raised.value)


def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path) -> None:
    Writer.open(tmp_path)
    marker = tmp_path / "lip-ray-store.json"
    marker.write_text(json.dumps({"schema_version": VERSION + 1}))
    before = contents(tmp_path)
    for refused in (Writer.open, Writer.probe, Reader):
        with pytest.raises(StoreError, match=f"schema version {VERSION + 1}, this lip-ray knows"):
            refused(tmp_path)
    assert contents(tmp_path) == before


def test_a_damaged_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / "lip-ray-store.json").write_text("{")
    with pytest.raises(StoreError, match=r"lip-ray-store\.json cannot be read"):
        Writer.open(tmp_path)


def test_probing_leaves_nothing_behind(tmp_path: Path) -> None:
    Writer.probe(tmp_path / "not" / "yet")
    assert not list(tmp_path.iterdir())


def test_the_root_is_where_everyone_finds_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    opened = Writer.open("~/store")
    assert opened.where == str(tmp_path / "store")
    assert opened.folder == tmp_path / "store"
    assert Writer.open(opened.where).where == opened.where
