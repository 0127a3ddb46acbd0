"""The compiled kernels survive what happens to their cache."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PASS = """
import torch
from lip_ray.fits.sparse.loading import cache_files, loaded

torch.set_num_threads(1)
run = loaded()
assert torch.get_num_threads() == 1, "numba has set PyTorch's threads"
print(*cache_files(run), sep="\\n")
"""


def started(cache: Path) -> "subprocess.Popen[str]":
    environment = {"NUMBA_CACHE_DIR": str(cache), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PASS], stdout=subprocess.PIPE, text=True, env=environment
    )


def files(process: "subprocess.Popen[str]") -> list[Path]:
    output, _ = process.communicate()
    assert process.returncode == 0
    return [Path(line) for line in output.split()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as a process leaves it."""
    cache = tmp_path_factory.mktemp("numba")
    assert len(files(started(cache))) == 2
    return cache


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "length"), [(".nbi", 0), (".nbc", 200)])
def test_a_file_that_ends_early_is_made_anew(
    filled: Path, tmp_path: Path, ending: str, length: int
) -> None:
    cache = tmp_path / "numba"
    shutil.copytree(filled, cache)
    (damaged,) = cache.rglob(f"*{ending}")
    whole = damaged.stat().st_size
    damaged.write_bytes(damaged.read_bytes()[:length])
    assert damaged in files(started(cache))
    assert damaged.stat().st_size == pytest.approx(whole, rel=0.05)


@pytest.mark.slow
def test_workers_killed_while_they_write_leave_the_others_a_cache(tmp_path: Path) -> None:
    workers = [started(tmp_path) for _ in range(4)]
    workers[0].kill()
    for worker in workers[1:]:
        assert len(files(worker)) >= 2
    workers[0].communicate()
    assert files(started(tmp_path))
