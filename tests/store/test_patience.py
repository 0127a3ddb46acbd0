"""A store that is away for a while is waited for; nothing is lost, doubled or half-written."""

import errno
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader, StoreError, StoreUnavailable, Writer
from lip_ray.store.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S

Make = Callable[..., Any]

PATIENCE_S = 600.0


@dataclass
class Clock:
    """Time passes only in sleep; `wake` is called after each."""

    now_s: float = 1e6
    pauses_s: list[float] = field(default_factory=list)
    wake: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.now_s += seconds
        self.wake()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def patient(root: Path, clock: Clock, *, patience_s: float = PATIENCE_S) -> Writer:
    return Writer.open(root, patience_s=patience_s, sleep=clock.sleep, clock=clock)


@dataclass
class Disk:
    """Raises the error at every `every`-th call of a system call, while it is broken."""

    call: Callable[..., Any]
    error: OSError
    every: int = 1
    broken: bool = True
    calls: int = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.broken and self.calls % self.every == 0:
            raise self.error
        return self.call(*args, **kwargs)


def files_of(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def undisturbed(tmp_path_factory: pytest.TempPathFactory, level_record: Make) -> dict[str, bytes]:
    """The files that one level leaves on a sound disk."""
    root = tmp_path_factory.mktemp("sound")
    Writer.open(root).write_level([level_record()])
    return files_of(root)


@pytest.mark.parametrize("call", ["link", "fsync"])
@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT],
    ids=errno.errorcode.get,
)
def test_a_level_waits_until_the_disk_has_room_again(
    tmp_path: Path,
    level_record: Make,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    undisturbed: dict[str, bytes],
    call: str,
    number: int,
) -> None:
    store = patient(tmp_path, clock)
    disk = Disk(getattr(os, call), OSError(number, os.strerror(number)))
    monkeypatch.setattr(os, call, disk)

    def mend_after_a_minute() -> None:
        assert not list(tmp_path.rglob("*.parquet"))
        assert not list(tmp_path.rglob("*.tmp")), "a draft takes room that is lacking"
        disk.broken = clock.now_s < 1e6 + 60

    clock.wake = mend_after_a_minute
    assert store.write_level([level_record()])
    assert files_of(tmp_path) == undisturbed
    assert 60 <= sum(clock.pauses_s) <= 60 + LONGEST_PAUSE_S


def test_every_file_may_have_to_be_written_twice(
    tmp_path: Path,
    level_record: Make,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    undisturbed: dict[str, bytes],
) -> None:
    store = patient(tmp_path, clock)
    monkeypatch.setattr(os, "link", Disk(os.link, OSError(errno.EIO, "I/O error"), every=2))
    assert store.write_level([level_record()])
    assert files_of(tmp_path) == undisturbed
    assert clock.pauses_s == [FIRST_PAUSE_S] * 5, "each file begins to wait anew"


def test_pauses_double_up_to_the_longest_and_the_last_try_is_at_the_limit(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    store = patient(tmp_path, clock, patience_s=100.0)
    monkeypatch.setattr(os, "fsync", Disk(os.fsync, OSError(errno.ENOSPC, "No space left")))
    before = files_of(tmp_path)
    with pytest.raises(
        StoreUnavailable, match=r"cannot be written to: .*masks.*: No space left, for 100 s now"
    ):
        store.write_level([level_record()])
    assert clock.pauses_s == [0.5, 1, 2, 4, 8, 16, 30, 30, 8.5]
    assert files_of(tmp_path) == before, "nothing half-written"
    assert Reader(tmp_path).levels_done() == {}


def test_without_patience_the_first_failure_is_the_last(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    store = patient(tmp_path, clock, patience_s=0.0)
    monkeypatch.setattr(os, "fsync", Disk(os.fsync, OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(StoreUnavailable, match=r"No space left$"):
        store.write_level([level_record()])
    assert clock.pauses_s == []


def test_what_waiting_does_not_mend_is_said_at_once(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    store = patient(tmp_path, clock)
    monkeypatch.setattr(os, "link", Disk(os.link, OSError(errno.ENAMETOOLONG, "File name long")))
    with pytest.raises(StoreError, match="File name long") as raised:
        store.write_level([level_record()])
    assert not isinstance(raised.value, StoreUnavailable)
    assert clock.pauses_s == []


def test_a_disk_that_fills_up_in_the_middle_of_a_level_leaves_it_uncommitted(
    tmp_path: Path,
    level_record: Make,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    undisturbed: dict[str, bytes],
) -> None:
    store = patient(tmp_path, clock)
    disk = Disk(os.link, OSError(errno.ENOSPC, "No space left"), every=4)
    monkeypatch.setattr(os, "link", disk)
    clock.wake = lambda: setattr(disk, "every", 1)
    with pytest.raises(StoreUnavailable):
        store.write_level([level_record()])
    assert Reader(tmp_path).levels_done() == {}
    assert Reader(tmp_path).frame("curves").empty
    assert files_of(tmp_path).items() < undisturbed.items()
    disk.broken = False
    assert store.write_level([level_record()]), "what was written is no conflict"
    assert files_of(tmp_path) == undisturbed


def test_a_mount_that_is_gone_is_waited_for_and_its_mount_point_left_alone(
    tmp_path: Path, level_record: Make, clock: Clock, undisturbed: dict[str, bytes]
) -> None:
    root, elsewhere = tmp_path / "mounted", tmp_path / "away"
    store = patient(root, clock)
    root.rename(elsewhere)
    root.mkdir()

    def mount() -> None:
        assert not list(root.iterdir()), "a row was written below the mount"
        if len(clock.pauses_s) == 3:
            root.rmdir()
            elsewhere.rename(root)

    clock.wake = mount
    assert store.write_level([level_record()])
    assert files_of(root) == undisturbed


def test_a_mask_of_a_mount_that_is_gone_is_waited_for_too(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    from lip_ray.store import files

    store = patient(tmp_path, clock)
    store.write_level([level_record()])
    stale = Disk(files.pq.read_table, OSError(errno.ESTALE, "Stale file handle"))
    monkeypatch.setattr(files.pq, "read_table", stale)
    clock.wake = lambda: setattr(stale, "broken", False)
    assert store.write_level([level_record(level=1)])
    assert len(clock.pauses_s) == 1
    assert Reader(tmp_path).masks("a" * 16, 2) == level_record(level=1).masks[2]


def test_a_damaged_mask_is_not_waited_for(tmp_path: Path, level_record: Make, clock: Clock) -> None:
    store = patient(tmp_path, clock)
    store.write_level([level_record()])
    (tmp_path / "masks" / f"{'a' * 16}-001.parquet").write_bytes(b"PAR1")
    with pytest.raises(StoreError, match="is damaged"):
        store.write_level([level_record(level=1)])
    assert clock.pauses_s == []


def test_a_state_and_a_committed_level_take_the_same_faults(
    tmp_path: Path, level_record: Make, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    store = patient(tmp_path, clock)
    disk = Disk(os.fsync, OSError(errno.ENOSPC, "No space left"))
    clock.wake = lambda: setattr(disk, "broken", False)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", disk)
        store.keep_unfinished("a" * 16, 0, b"half")
    assert len(clock.pauses_s) == 1
    assert Reader(tmp_path).unfinished("a" * 16, 0) == b"half"
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", Disk(Path.unlink, OSError(errno.EIO, "I/O error")))
        assert store.write_level([level_record()]), "it is committed, whatever stays behind"
    assert Reader(tmp_path).levels_done() == {"a" * 16: 1}


def test_writers_wait_by_a_clock_that_nobody_sets() -> None:
    assert signature(Writer.open).parameters["clock"].default is time.monotonic


@pytest.fixture
def worker(tmp_path: Path) -> tuple[Path, Clock]:
    """A store that a worker is told of, which is not there yet, and the worker's clock."""
    return tmp_path / "store", Clock()


def test_a_worker_makes_no_store_of_its_own(worker: tuple[Path, Clock]) -> None:
    root, clock = worker
    with pytest.raises(StoreUnavailable, match=r"there is no store there \(no lip-ray-store.json"):
        Writer.open(root, must_exist=True)
    root.mkdir()
    with pytest.raises(StoreUnavailable, match="there is no store there"):
        Writer.open(root, must_exist=True, patience_s=60, sleep=clock.sleep, clock=clock)
    assert not list(root.iterdir())
    assert sum(clock.pauses_s) == 60


def test_a_worker_waits_for_a_store_that_comes_back(worker: tuple[Path, Clock]) -> None:
    root, clock = worker

    def mount() -> None:
        if len(clock.pauses_s) == 4:
            Writer.open(root)

    clock.wake = mount
    opened = Writer.open(
        root, must_exist=True, patience_s=PATIENCE_S, sleep=clock.sleep, clock=clock
    )
    assert opened.folder == root
    assert len(clock.pauses_s) == 4


def test_a_wrong_path_is_said_at_once_whatever_the_patience(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "lip-ray-store.json").mkdir()
    with pytest.raises(StoreError, match=r"lip-ray-store\.json cannot be read"):
        patient(tmp_path, clock)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="Not a directory"):
        patient(tmp_path / "file" / "store", clock)
    assert clock.pauses_s == []


def test_it_comes_whole_out_of_a_worker(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        Writer.open(tmp_path, must_exist=True)
    again = pickle.loads(pickle.dumps(raised.value))
    assert type(again) is StoreUnavailable
    assert str(again) == str(raised.value)
