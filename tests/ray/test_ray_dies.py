"""Ray's own processes are killed under a run: it ends by itself, and the same command resumes."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faulty import FaultyCluster

from lip_ray.store import Reader

Start = Callable[..., Any]

MOST_S = 60.0
"""From the death to the end of the run."""

RESUMES = "Levels that are stored stay: the same command resumes."


def processes(name: str, mark: str) -> list[int]:
    """The processes of that name that a test has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark.encode() in (folder / "environ").read_bytes()
            if ours and (folder / "comm").read_text().strip() == name:
                found.append(int(folder.name))
        except OSError:  # gone meanwhile
            continue
    return found


def killed(name: str, mark: str) -> float:
    """Kill the process, and say when."""
    (process,) = processes(name, mark)
    os.kill(process, signal.SIGKILL)
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "said"),
    [("raylet", "the raylet of this machine has died"), ("gcs_server", "its GCS at 127.0.0.1:")],
)
def test_the_run_ends_with_what_happened(
    process: str, said: str, tiny: Path, lip: Start, home: Path, held: Path, tmp_path: Path
) -> None:
    held.write_text("levels/*-003.parquet")
    command = ("run", "--set", "grid.seed=[0]", tiny, "--store", "store")
    running = lip(*command)
    running.wait_for_levels(1)
    since = killed(process, running.mark)
    code, output = running.finish()
    took = time.monotonic() - since
    print(f"{process}: {took:.1f} s")
    assert took < MOST_S
    assert code == 1, output
    assert output.count("Ray cannot go on: ") == 1
    assert said in output
    assert RESUMES in output
    assert "Traceback" not in output
    assert "terminated" not in output, "Ray's own messages are printed too"
    assert not list((home / "tmp").glob("lip-*")), "files were left behind"
    assert running.commands() == [], "processes were left behind"
    done = sum(Reader(tmp_path / "store").levels_done().values())
    assert 1 <= done < 8

    held.unlink()
    code, output = lip(*command).finish()
    assert code == 0, output
    assert output.count("  level ") <= 8 - done, "levels that were done ran again"


@pytest.mark.slow
@pytest.mark.parametrize("process", ["raylet", "gcs_server"])
def test_the_head_of_a_cluster_dies(
    process: str, tiny: Path, lip: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = FaultyCluster("cluster whose head dies", cores=1)
    try:
        monkeypatch.setenv("RAY_AUTH_MODE", cluster.environment["RAY_AUTH_MODE"])
        cluster.fault("held", "levels/*-003.parquet")
        command = ("run", "--set", "grid.seed=[0]", tiny, "--store", "store")
        running = lip(*command, "--address", cluster.address)
        running.wait_for_levels(1)
        since = killed(process, "cluster whose head dies")
        code, output = running.finish()
        took = time.monotonic() - since
        print(f"{process} of a cluster's head: {took:.1f} s")
        assert took < MOST_S
        assert code == 1, output
        assert output.count("Ray cannot go on: ") == 1
        assert RESUMES in output
        assert "Traceback" not in output
    finally:
        cluster.shutdown()
