"""Notes of trials in flight: replaced, dated by the store's clock, and never in a trial's way."""

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from lip_ray.records import Standing
from lip_ray.store import Reader, Writer

HALFWAY = Standing(trial_id="a" * 16, level=2, step=50, steps=100, psnr_db=25.25)
BEGUN = Standing(trial_id="b" * 16, level=0, step=1, steps=9)


def test_a_note_is_replaced_and_removed(tmp_path: Path) -> None:
    store, reader = Writer.open(tmp_path), Reader(tmp_path)
    assert reader.standings() == []
    store.note_standing(Standing(trial_id="a" * 16, level=2, step=1, steps=100))
    store.note_standing(HALFWAY)
    store.note_standing(BEGUN)
    assert [standing for standing, _, _ in reader.standings()] == [HALFWAY, BEGUN]
    assert {host for _, _, host in reader.standings()} == {os.uname().nodename}
    store.end_standing(HALFWAY.trial_id)
    store.end_standing(HALFWAY.trial_id)
    assert [standing for standing, _, _ in reader.standings()] == [BEGUN]
    assert [path.name for path in (tmp_path / "running").iterdir()] == [BEGUN.trial_id]


def test_its_age_is_by_the_stores_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Writer.open(tmp_path)
    store.note_standing(HALFWAY)
    note = tmp_path / "running" / HALFWAY.trial_id
    noted = note.stat().st_mtime
    os.utime(note, (noted, noted - 90))
    monkeypatch.setattr(time, "time", lambda: 0.0)  # this host's clock was set to 1970
    [(_, age_s, _)] = Reader(tmp_path).standings()
    assert 90 <= age_s < 150
    os.utime(note, (noted, noted + 3600))
    [(_, age_s, _)] = Reader(tmp_path).standings()
    assert age_s == 0, "a note from the future is a new one"


def test_where_nothing_can_be_written_this_hosts_clock_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    Writer.open(tmp_path).note_standing(HALFWAY)
    noted = (tmp_path / "running" / HALFWAY.trial_id).stat().st_mtime
    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    monkeypatch.setattr(time, "time", lambda: noted + 30)
    [(_, age_s, _)] = Reader(tmp_path).standings()
    assert age_s == pytest.approx(30)


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    Writer.open(tmp_path).note_standing(HALFWAY)
    before = sorted(tmp_path.rglob("*"))
    Reader(tmp_path).standings()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ENAMETOOLONG])
def test_a_note_that_cannot_be_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = Writer.open(tmp_path, patience_s=600, sleep=_never)
    store.note_standing(HALFWAY)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", full)
    store.note_standing(Standing(trial_id=HALFWAY.trial_id, level=3, step=1, steps=100))
    store.note_standing(BEGUN)
    assert [standing for standing, _, _ in Reader(tmp_path).standings()] == [HALFWAY]
    assert [path.name for path in (tmp_path / "running").iterdir()] == [HALFWAY.trial_id]
    monkeypatch.setattr(Path, "unlink", full)
    store.end_standing(HALFWAY.trial_id)


def _never(_: float) -> None:
    raise AssertionError("a note is not worth waiting for")


def test_without_a_store_no_note_is_made(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    store = Writer.open(root)
    root.rename(tmp_path / "away")
    root.mkdir()
    store.note_standing(HALFWAY)
    assert not list(root.iterdir())


@pytest.mark.parametrize(
    "note",
    [b"", b"{", b"[]", b"3", b"{}", json.dumps({"host": "h", "level": 1, "tempo": 2}).encode()],
)
def test_a_note_that_is_not_understood_is_left_out(tmp_path: Path, note: bytes) -> None:
    Writer.open(tmp_path).note_standing(HALFWAY)
    (tmp_path / "running" / ("c" * 16)).write_bytes(note)
    (tmp_path / "running" / ".d.host.1.ab.tmp").write_bytes(b"a draft")
    assert [standing for standing, _, _ in Reader(tmp_path).standings()] == [HALFWAY]
