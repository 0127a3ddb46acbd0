"""The compiled kernels survive what happens to their cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = """
import sys
import torch
from lip_ray.fits.sparse.loading import cache_files

class Stopping:
    # Stops at the first file of the cache with this ending, when its bytes are written beside it.
    def __init__(self, ending):
        self.ending = ending

    def __call__(self, source, target):
        if str(target).endswith(self.ending):
            print("writing", flush=True)
            sys.stdin.read()
        replace(source, target)

if len(sys.argv) > 1:
    import os
    replace, os.replace = os.replace, Stopping(sys.argv[1])

torch.set_num_threads(1)
begun = []
from lip_ray.fits.sparse.ahead import compile_ahead
compile_ahead(lambda: begun.append("compiled"))
from lip_ray.fits.sparse.kernels import run
assert torch.get_num_threads() == 1, "numba has set PyTorch's threads"
print(*begun or ["loaded"])
print(*cache_files(run), sep="\\n")
"""


def started(cache: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = {"NUMBA_CACHE_DIR": str(cache), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
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
    dying = started(tmp_path, ending)
    assert dying.stdout
    assert dying.stdout.readline() == "writing\n"
    waiting = [started(tmp_path) for _ in range(3)]
    dying.kill()
    dying.communicate()
    assert sorted(result(process)[0] for process in waiting) == ["compiled", "loaded", "loaded"]
    assert result(started(tmp_path))[0] == "loaded"
