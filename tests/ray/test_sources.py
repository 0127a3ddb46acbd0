"""Sweeps that share trajectories, end to end on a real Ray: what the store has runs once."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader

FINDING = """
name: finding
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 2, input_channels: 2}
  schedule: [1, 0.5, 0.2]
  fit: {steps: 20, stopping: {kind: wmv, window: 10, stride: 5}}
run: {concurrent: 1}
"""

MOVING = """
name: moving
sources: finding.yaml
trial: {kind: transfer}
cases:
  - {travels: layer_densities}
  - {images: {kind: builtin, name: moon, size: [16, 16]}, travels: mask}
run: {concurrent: 1}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `lip` runs, with both sweeps."""
    (tmp_path / "finding.yaml").write_text(FINDING)
    (tmp_path / "moving.yaml").write_text(MOVING)
    return tmp_path


def files_of(store: Path) -> dict[str, int]:
    """Every file of a store and when it was written, in nanoseconds."""
    return {
        str(path.relative_to(store)): path.stat().st_mtime_ns for path in store.rglob("*.parquet")
    }


def test_nothing_that_is_stored_runs_again(run_there: Callable[..., Any], folder: Path) -> None:
    code, output = run_there("finding.yaml", "--store", "shared").finish()
    assert code == 0, output
    before = files_of(folder / "shared")

    code, output = run_there("moving.yaml", "--store", "shared").finish()
    assert code == 0, output
    after = files_of(folder / "shared")
    assert {name: after[name] for name in before} == before
    done = Reader(folder / "shared").sql(
        "select kind, count(*) as trials, sum(levels_done)::integer as levels, "
        "max(outcome) as worst from trials group by all order by kind"
    )
    assert done.to_pylist() == [
        {"kind": "trajectory", "trials": 1, "levels": 3, "worst": "budget"},
        {"kind": "transfer", "trials": 2, "levels": 6, "worst": "budget"},
    ]
    reported = re.findall(r"level \d+  density", output)
    assert len(reported) == 6, "of trials that were there no level is reported"

    code, output = run_there("moving.yaml", "--store", "shared").finish()
    assert code == 0, output
    assert files_of(folder / "shared") == after

    code, output = run_there("moving.yaml", "--store", "alone").finish()
    assert code == 0, output
    ours, alone = (Reader(folder / name) for name in ("shared", "alone"))
    query = "select * exclude (fit_s, memory_mb, host, finished_at) from levels order by all"
    assert ours.sql(query) == alone.sql(query), "sources that the sweep does not name run first"
