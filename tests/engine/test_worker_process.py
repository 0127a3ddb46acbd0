"""What a worker's process is given before its first trial."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studies import config

from lip_ray.engine import worker_process
from lip_ray.engine.worker_process import COMPILE_CACHE, SCRATCH, TRITON_CACHE, set_up
from lip_ray.trials import Trajectory

POLICY_AT_TORCH = """
import os, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"), flush=True)
            os._exit(0)  # what comes later is too late for OpenMP, and takes seconds to import

sys.meta_path.insert(0, Watch())
import lip_ray.engine.trainable
"""

SPEC: dict[str, Any] = {
    "images": {"kind": "builtin", "name": "astronaut", "size": [12, 12]},
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 4, "scales": 1, "input_channels": 2},
    "schedule": [1],
}


def trial(*, compiled: bool) -> Trajectory:
    return Trajectory.model_validate(SPEC | {"fit": {"steps": 2, "compiled": compiled}})


@pytest.mark.parametrize(
    ("chosen", "count"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_that_wait_give_up_their_core_unless_the_user_wants_otherwise(
    chosen: dict[str, str], count: str
) -> None:
    """OpenMP reads the variables when torch is imported, and the count overrides the policy."""
    names = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    environment = {name: value for name, value in os.environ.items() if name not in names} | chosen
    found = subprocess.run(
        [sys.executable, "-c", POLICY_AT_TORCH],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == [count]


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[Any]]:
    """A process without compile caches, whose ends are put off and run last."""
    ends: list[Any] = []
    for name in (COMPILE_CACHE, TRITON_CACHE):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv(SCRATCH, str(tmp_path))
    monkeypatch.setattr(worker_process.atexit, "register", ends.append)
    monkeypatch.setattr(worker_process, "keep_freed_memory", lambda: True)
    worker_process._own_compile_cache.cache_clear()
    yield ends
    for end in ends:
        end()
    worker_process._own_compile_cache.cache_clear()


def test_the_allocator_keeps_memory_in_every_worker(
    caches: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr(worker_process, "keep_freed_memory", lambda: kept.append(True))
    set_up(trial(compiled=False))
    assert kept == [True]


def test_a_process_compiles_into_a_folder_of_its_own_that_goes_with_it(
    caches: list[Any], tmp_path: Path
) -> None:
    for _ in range(2):
        set_up(trial(compiled=True))
    [folder] = tmp_path.iterdir()
    assert os.environ[COMPILE_CACHE] == str(folder)
    assert os.environ[TRITON_CACHE] == str(folder / "triton")
    [end] = caches
    end()
    assert not folder.exists()


def test_a_process_that_compiles_nothing_makes_no_folder(caches: list[Any], tmp_path: Path) -> None:
    set_up(trial(compiled=False))
    assert list(tmp_path.iterdir()) == []
    assert COMPILE_CACHE not in os.environ


def test_a_cache_of_the_user_s_stays(
    caches: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(COMPILE_CACHE, "/caches/mine")
    set_up(trial(compiled=True))
    assert os.environ[COMPILE_CACHE] == "/caches/mine"
    assert list(tmp_path.iterdir()) == []


COMPILER = """#!/bin/sh
# Compiles, but while `dying` is there it stops at a kernel with an empty library, to be killed.
if [ -e "{folder}/dying" ] && grep -qs -e " kernel(" -- "$@"; then
    for argument; do
        case "$before $argument" in "-o "*.so)
            : > "$argument"
            echo "$argument" > "{folder}/library.new"
            mv "{folder}/library.new" "{folder}/library"
            exec sleep 1000 ;;
        esac
        before="$argument"
    done
fi
exec g++ "$@"
"""

WORKER = """
import json, sys
from lip_ray.engine import trainable
trainable.tune.report = lambda report: print(json.dumps(report))
trainable.run_trial(json.loads(sys.argv[1]))
"""


class Workers:
    """Processes that run one compiled trial, one after another, with a compiler that may die."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._dying, self._library = folder / "dying", folder / "library"
        self._store = folder / "store"
        compiler = folder / "compiler"
        compiler.write_text(COMPILER.format(folder=folder))
        compiler.chmod(0o755)
        self.environment = os.environ | {"CXX": str(compiler), SCRATCH: str(self.scratch)}

    def killed(self) -> Path:
        """The library that a worker leaves behind that is killed with its compiler."""
        self._dying.touch()
        worker = self._started()
        while not self._library.exists():
            assert worker.poll() is None, worker.communicate()
            time.sleep(0.1)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate()
        self._dying.unlink()
        return Path(self._library.read_text().strip())

    def finished(self) -> tuple[int, str]:
        """The exit status of a worker that is left alone, and all that it said."""
        worker = self._started()
        output, _ = worker.communicate()
        return worker.returncode, output

    def _started(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(config(trial(compiled=True), self._store))],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    for name in (COMPILE_CACHE, TRITON_CACHE):
        monkeypatch.delenv(name, raising=False)
    return Workers(tmp_path)


@pytest.mark.slow
def test_a_killed_compiler_leaves_nothing_to_the_next_worker(workers: Workers) -> None:
    library = workers.killed()
    assert library.is_relative_to(workers.scratch)
    assert library.stat().st_size == 0
    code, said = workers.finished()
    assert code == 0, said
    assert '"level": 0, "density": 1.0' in said
    assert list(workers.scratch.iterdir()) == []


@pytest.mark.slow
def test_in_one_folder_for_all_the_next_worker_would_fail(workers: Workers) -> None:
    """So it is where a user has chosen the folder, and the test above can fail."""
    workers.environment[COMPILE_CACHE] = str(workers.scratch)
    assert workers.killed().stat().st_size == 0
    code, said = workers.finished()
    assert code != 0
    assert "file too short" in said
