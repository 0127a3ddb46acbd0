"""A generator's level takes hours: killed inside one, it goes on from where it was kept last."""

import io
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from studies import run_all

from lip_ray.fits.checkpoint import DIGEST_BYTES, HEADER
from lip_ray.store import Reader

Start = Callable[..., Any]
Same = Callable[[Path, Path], None]

SWEEP = """
name: learning
trial:
  kind: generator
  prior: {kind: dcgan, size: 8, channels: 1, width: 4, latent_size: 8}
  images: digits
  schedule: [1, 0.5]
  fit: {steps: 400, batch: 16}
run: {concurrent: 1, checkpoint_s: 0.1}
"""

PATIENCE_S = 300


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep file."""
    path = tmp_path_factory.mktemp("learning") / "learning.yaml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def undisturbed(sweep: Path) -> Path:
    """The store of a run that was left alone, without Ray."""
    run_all(sweep, sweep.with_name("undisturbed"))
    return sweep.with_name("undisturbed")


def steps_kept(store: Path, level: int) -> Iterator[int]:
    """The steps at which the state of a level was kept, as they appear; ends with the level."""
    last, until = None, time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        for path in (store / "unfinished").glob(f"[!.]*-{level:03d}"):
            try:
                data = path.read_bytes()[len(HEADER) + DIGEST_BYTES :]
            except FileNotFoundError:  # the level was committed just now
                continue
            step = len(torch.load(io.BytesIO(data), weights_only=True)["state"]["rows"])
            if step != last:
                last = step
                yield step
        if any((store / "levels").glob(f"*-{level:03d}.parquet")):
            return
        time.sleep(0.01)
    raise AssertionError(f"level {level} was not finished in {PATIENCE_S} s")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "driver"])
def test_killed_inside_a_level_it_goes_on_from_the_last_state(
    victim: str,
    sweep: Path,
    lip: Start,
    tmp_path: Path,
    undisturbed: Path,
    assert_same_store: Same,
) -> None:
    store = tmp_path / "store"
    running = lip("run", sweep, "--store", store)
    reached = next(step for step in steps_kept(store, 1) if step >= 100)
    assert Reader(store).levels_done() == {next(iter(Reader(store).levels_done())): 1}
    [worker] = running.workers()
    os.kill(worker if victim == "worker" else running.process.pid, signal.SIGKILL)
    if victim == "driver":
        running.finish()
        running = lip("run", sweep, "--store", store)
    later = list(steps_kept(store, 1))
    code, output = running.finish()
    assert code == 0, output
    assert later, "it ended before a state was seen"
    assert min(later) >= reached, "steps that were kept were taken again"
    assert not list((store / "unfinished").iterdir())
    assert_same_store(store, undisturbed)
