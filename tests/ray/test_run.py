"""`lip run` as a user has it: on a real Ray, disturbed in every way a terminal can disturb it.

Every test ends with the store that a run left alone has made, bit for bit.
"""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep

Start = Callable[..., Any]
Same = Callable[[Path, Path], None]


SEED = ("--set", "grid.seed=[0]")
ONE_SEED = ("run", *SEED)
"""Two trials of four levels, side by side."""

LOOPBACK = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}
"""127.0.0.1, the same inside IPv6, and ::1, as the kernel writes them."""


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a run that was left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    program = str(Path(sys.executable).with_name("lip"))
    command = [program, *ONE_SEED, str(tiny), "--store", "store"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(" density ") == 9, "one line a level, and the table's head"
    assert "8/8 levels of 2/2 trials; results in store" in ended.stdout
    assert ended.stderr == ""
    return folder / "store"


def test_every_trial_is_complete_and_the_sweep_is_noted(undisturbed: Path) -> None:
    reader = Reader(undisturbed)
    trials = reader.frame("trials")
    assert sorted(trials["pruner"]) == ["magnitude", "random"]
    assert set(trials["outcome"]) == {"budget"}
    assert set(trials["levels_done"]) == {4}
    assert set(reader.frame("sweeps")["trial_id"]) == set(trials["trial_id"])
    assert set(reader.frame("levels")["threads"]) == {1}


def test_the_same_command_again_runs_nothing(undisturbed: Path, tiny: Path, lip: Start) -> None:
    before = _files(undisturbed)
    again = lip(*ONE_SEED, tiny, "--store", undisturbed)
    code, output = again.finish()
    assert code == 0, output
    assert "at once" not in output, "no trial was started"
    assert "8/8 levels of 2/2 trials" in output
    assert _files(undisturbed) == before


def test_after_kill_9_the_same_command_goes_on(
    undisturbed: Path,
    tiny: Path,
    lip: Start,
    tmp_path: Path,
    home: Path,
    held: Path,
    assert_same_store: Same,
) -> None:
    held.write_text("levels/*-003.parquet")
    first = lip(*ONE_SEED, tiny, "--store", "store")
    first.wait_for_levels(3)
    os.kill(first.process.pid, signal.SIGKILL)
    assert first.finish()[0] == -signal.SIGKILL
    held.unlink()
    done = sum(Reader(tmp_path / "store").levels_done().values())
    assert 3 <= done < 8

    second = lip(*ONE_SEED, tiny, "--store", "store")
    code, output = second.finish()
    assert code == 0, output
    assert output.count("  level ") <= 8 - done, "levels that were done ran again"
    assert not list((home / "tmp").glob("lip-*")), "the killed run's files were left behind"
    assert_same_store(tmp_path / "store", undisturbed)


@pytest.mark.slow
def test_ctrl_c_ends_it_tidily_and_the_same_command_goes_on(
    undisturbed: Path,
    tiny: Path,
    lip: Start,
    tmp_path: Path,
    home: Path,
    held: Path,
    assert_same_store: Same,
) -> None:
    held.write_text("levels/*-001.parquet")
    first = lip(*ONE_SEED, tiny, "--store", "store")
    first.wait_for_levels(2)
    os.killpg(first.process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    first.wait_for("levels in flight are finished first; Ctrl-C again to stop at once")
    held.unlink()
    code, output = first.finish()
    assert code == 130, output
    assert "the same command goes on from here" in output
    assert "Traceback" not in output
    assert sum(Reader(tmp_path / "store").levels_done().values()) == 4, "those in flight"
    assert first.commands() == [], "processes were left behind"
    assert not list((home / "tmp").glob("lip-*")), "files were left behind"

    code, output = lip(*ONE_SEED, tiny, "--store", "store").finish()
    assert code == 0, output
    assert_same_store(tmp_path / "store", undisturbed)


@pytest.mark.slow
def test_ctrl_c_twice_does_not_wait_for_levels(tiny: Path, lip: Start, tmp_path: Path) -> None:
    running = lip(*ONE_SEED, tiny, "--store", "store", "--set", "fit.steps=10000000")
    while not list((tmp_path / "store" / "running").glob("[!.]*")):
        time.sleep(0.1)
    started = time.monotonic()
    for _ in range(2):
        os.killpg(running.process.pid, signal.SIGINT)
        time.sleep(1)
    code, output = running.finish()
    assert code == 130, output
    assert time.monotonic() - started < 600, "a level would have taken hours"
    assert "0/8 levels of 0/2 trials" in output
    assert running.commands() == [], "processes were left behind"


@pytest.mark.slow
def test_a_killed_worker_is_replaced(
    undisturbed: Path,
    tiny: Path,
    lip: Start,
    tmp_path: Path,
    held: Path,
    assert_same_store: Same,
) -> None:
    held.write_text("levels/*-001.parquet")
    running = lip(*ONE_SEED, tiny, "--store", "store")
    running.wait_for_levels(1)
    workers = running.workers()
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    held.unlink()
    code, output = running.finish()
    assert code == 0, output
    assert "failed, going on once more" in output
    assert_same_store(tmp_path / "store", undisturbed)


def test_a_trial_that_keeps_failing_is_given_up_and_the_rest_goes_on(
    tiny: Path, run_there: Start, tmp_path: Path
) -> None:
    """A level of the first trial cannot be stored: something else lies in its place."""
    first = Sweep.from_yaml(tiny, overrides=["grid.seed=[0]"]).trials[0]
    Writer.open(tmp_path / "store")
    (tmp_path / "store" / "levels" / f"{first.id}-001.parquet").mkdir(parents=True)
    code, output = run_there(*SEED, tiny, "--store", "store", "--set", "run.retries=1").finish()
    assert code == 1, output
    assert output.count("magnitude seed 0: failed, going on once more") == 1
    assert "failed: magnitude seed 0: " in output
    assert output.count("Traceback (most recent call last)") <= 2, "once, with its cause"
    assert "not complete: the same command goes on from here" in output
    done = Reader(tmp_path / "store").levels_done()
    assert sorted(done.values()) == [1, 4]


SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "WANDB_API_KEY", "DATABASE_PASSWORD")


@pytest.mark.slow
def test_nothing_listens_beyond_loopback_and_nothing_is_readable_by_others(
    tiny: Path, lip: Start, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a secret of the environment get into the store, what is printed, or Ray's files."""
    for name in SECRETS:
        monkeypatch.setenv(name, f"planted-{name}")
    running = lip(*ONE_SEED, tiny, "--store", "store")
    running.wait_for_levels(1)
    inodes = {inode for pid in running.processes() for inode in _sockets(pid)}
    listening = [address for address, inode in _listeners() if inode in inodes]
    assert listening, "the check found no socket of Ray's at all"
    assert set(listening) <= LOOPBACK, "a port is open to the network"
    assert not (home / ".ray").exists(), "a token lies in the home folder"
    private = list((home / "tmp").glob("lip-*"))
    assert private
    for folder in private:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert any(folder.rglob("*.log")), "the check found none of Ray's logs"
    written = [*(home / "tmp").rglob("*"), *(tmp_path / "store").rglob("*")]
    assert [path for path in written if path.is_file() and b"planted-" in path.read_bytes()] == []
    os.kill(running.process.pid, signal.SIGTERM)  # as a scheduler ends it
    code, output = running.finish()
    assert code == 130, output
    assert "planted-" not in output
    assert not list((home / "tmp").glob("lip-*"))


def _files(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}


def _sockets(pid: int) -> set[str]:
    found = set()
    for handle in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = handle.readlink().name
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def _listeners() -> list[tuple[str, str]]:
    """Address in hexadecimal and inode of every listening TCP socket of this machine."""
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [(row[1].split(":")[0], row[9]) for row in rows if row[3] == "0A"]
