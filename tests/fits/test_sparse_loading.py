"""The compiled kernels survive what happens to their cache."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = """
import sys
import torch
from lip_ray.fits.sparse import loading

torch.set_num_threads(1)
begun = []
loading.load(lambda: begun.append("compiled"))
from lip_ray.fits.sparse.kernels import run
assert torch.get_num_threads() == 1, "numba has set PyTorch's threads"
print(*begun or ["loaded"])
print(*loading.cache_files(run), sep="\\n")
"""

SMALL = f"""
import sys
from lip_ray.fits.sparse import loading
sys.path.append({str(Path(__file__).parent)!r})
import small.kernels
sys.modules["lip_ray.fits.sparse.kernels"] = small.kernels
loading.COMPILE = loading.COMPILE.replace("lip_ray.fits.sparse", "small")
"""
"""What has other kernels compiled, which takes a moment, and not half a minute."""

STOPPING = """
loading.COMPILE = '''
import os, sys

def stopping(source, target, replace=os.replace, ending={ending!r}):
    # Stops at the first file of the cache with this ending, when its bytes are written beside it.
    if str(target).endswith(ending):
        print("writing", flush=True)
        sys.stdin.read()
    replace(source, target)

os.replace = stopping
''' + loading.COMPILE
"""

FIT = """
import hashlib
from lip_ray.trials import Context, Trajectory
from lip_ray.trials import run as fitted
trial = Trajectory.model_validate({
    "images": {"kind": "builtin", "name": "astronaut", "size": [32, 32]},
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 8, "scales": 2, "input_channels": 4},
    "schedule": [1, 0.3],
    "fit": {"steps": 10, "execution": "sparse"},
})
losses = [record.curve.loss for record in fitted(trial, Context(device=torch.device("cpu")))]
print(hashlib.sha256(repr(losses).encode()).hexdigest())
"""


def started(cache: Path, program: str = SMALL + LOAD) -> "subprocess.Popen[str]":
    environment = {"NUMBA_CACHE_DIR": str(cache), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def result(process: "subprocess.Popen[str]") -> tuple[str, list[Path]]:
    """Whether a process has loaded or compiled the kernels, and the files in its cache."""
    output, _ = process.communicate()
    assert process.returncode == 0
    how, *files = output.split()
    return how, [Path(file) for file in files]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as a process leaves it."""
    cache = tmp_path_factory.mktemp("numba")
    how, files = result(started(cache))
    assert how == "compiled"
    assert len(files) == 2
    return cache


@pytest.mark.slow
def test_the_process_that_compiles_computes_the_bits_of_those_that_load(tmp_path: Path) -> None:
    """The kernels themselves, in a fit."""
    first, second = (result(started(tmp_path, LOAD + FIT)) for _ in range(2))
    assert (first[0], second[0]) == ("compiled", "loaded")
    assert len(first[1]) == 3, "two files, and a line of bits"
    assert first[1] == second[1]


@pytest.mark.slow
def test_the_next_process_compiles_nothing(filled: Path) -> None:
    how, files = result(started(filled))
    assert how == "loaded"
    assert len(files) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "share"), [(".nbi", 0.0), (".nbi", 0.9), (".nbc", 0.0), (".nbc", 1.0)]
)
def test_a_file_that_ends_early_is_made_anew(
    filled: Path, tmp_path: Path, ending: str, share: float
) -> None:
    cache = tmp_path / "numba"
    shutil.copytree(filled, cache)
    (damaged,) = cache.rglob(f"*{ending}")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: int(share * (len(whole) - 1))])
    how, files = result(started(cache))
    assert how == "compiled"
    assert damaged in files
    assert damaged.stat().st_size == pytest.approx(len(whole), rel=0.05)


@pytest.mark.slow
def test_of_four_processes_with_an_empty_cache_one_compiles(tmp_path: Path) -> None:
    processes = [started(tmp_path) for _ in range(4)]
    found = [result(process) for process in processes]
    assert sorted(how for how, _ in found) == ["compiled", "loaded", "loaded", "loaded"]
    assert {len(files) for _, files in found} == {2}


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
def test_a_process_that_is_killed_while_it_writes_leaves_the_others_a_cache(
    tmp_path: Path, ending: str
) -> None:
    """Killed before the index is there, or with an index that names a file that is not."""
    dying = started(tmp_path, SMALL + STOPPING.format(ending=ending) + LOAD)
    assert dying.stdout
    assert dying.stdout.readline() == "writing\n"
    waiting = [started(tmp_path) for _ in range(3)]
    os.killpg(dying.pid, signal.SIGKILL)
    dying.communicate()
    assert sorted(result(process)[0] for process in waiting) == ["compiled", "loaded", "loaded"]
    assert result(started(tmp_path))[0] == "loaded"


@pytest.mark.slow
def test_what_keeps_it_from_compiling_is_said(tmp_path: Path) -> None:
    refused = """loading.COMPILE = "raise OSError(28, 'the disk is full')"\n"""
    found = subprocess.run(
        [sys.executable, "-c", SMALL + refused + LOAD],
        env={"NUMBA_CACHE_DIR": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    *_, last = found.stderr.strip().splitlines()
    assert last == (
        "RuntimeError: the kernels of sparse execution cannot be compiled, exit status 1: "
        "OSError: [Errno 28] the disk is full"
    )
