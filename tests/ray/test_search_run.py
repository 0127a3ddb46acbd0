"""A search on a real Ray: killed and repeated, it asks for as many points as one left alone."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader
from lip_ray.sweep import Sweep

# Noise this strong is fitted within the steps: points of unfinished fits are on no front.
SEARCH = """
name: searched
trial:
  images: {kind: builtin, name: camera, size: [32, 32]}
  task: {kind: denoising, sigma: 100}
  prior: {kind: skip, scales: 2, input_channels: 4}
  schedule: {kind: rate, steps: 2}
  fit: {steps: 60, learning_rate: 0.05, average: 0, stopping: {kind: wmv, window: 20, stride: 5}}
search:
  space:
    prior.width: {kind: int, low: 2, high: 12, log: true}
    schedule.rate: {kind: float, low: 0.2, high: 0.6}
  objectives:
    - {column: psnr_selected_db, direction: maximize}
    - {column: kept, direction: minimize}
  points: 8
  at_once: 2
  start:
    - {prior.width: 8, schedule.rate: 0.2}
    - {prior.width: 8, schedule.rate: 0.5}
    - {prior.width: 12, schedule.rate: 0.3}
run: {retries: 0}
"""


@pytest.mark.slow
def test_a_killed_search_goes_on_and_its_start_dominates_nothing(
    lip: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "searched.yaml").write_text(SEARCH)
    first = lip("run", "searched.yaml", "--store", "store")
    while len(list((tmp_path / "store" / "scores").glob("[!.]*"))) < 1:
        assert first.process.poll() is None
        time.sleep(0.2)
    os.kill(first.process.pid, signal.SIGKILL)
    first.finish()
    asked = {path.name for path in (tmp_path / "store" / "points").glob("[!.]*")}
    assert 1 <= len(asked) < 8

    sweep = Sweep.from_yaml(tmp_path / "searched.yaml")
    [last] = sweep.trials_at({"prior.width": 12, "schedule.rate": 0.3})
    in_the_way = tmp_path / "store" / "levels" / f"{last.id}-001.parquet"
    in_the_way.mkdir()  # a level that cannot be stored
    code, output = lip("run", "searched.yaml", "--store", "store").finish()
    assert code == 1, output
    assert "failed: point 2 seed 0: " in output
    assert "7/8 points; results in store" in output
    in_the_way.rmdir()

    code, output = lip("run", "searched.yaml", "--store", "store").finish()
    assert code == 0, output
    assert "8/8 points; results in store" in output
    reader = Reader(tmp_path / "store")
    points = reader.frame("points").drop_duplicates("number").sort_values("number")
    assert points["number"].tolist() == list(range(8))
    assert asked <= {path.name for path in (tmp_path / "store" / "points").iterdir()}
    assert points["params"].nunique() == 8
    assert [json.loads(p) for p in points["params"][:2]] == [
        {"prior.width": 8, "schedule.rate": 0.2},
        {"prior.width": 8, "schedule.rate": 0.5},
    ]
    assert len(reader.frame("trials")) == 8, "no trial that no point asked for"
    front = [tuple(losses) for losses in reader.frame("pareto")["losses"]]
    fixed = [tuple(losses) for losses in points["losses"][:2] if losses is not None]
    assert front
    for start in fixed:
        assert not any(
            all(a <= b for a, b in zip(start, best, strict=True)) and start != best
            for best in front
        )

    code, output = lip("run", "searched.yaml", "--store", "store").finish()
    assert code == 0, output
    assert "at once" not in output, "nothing was left to run"
    code, output = lip("status", "--store", "store").finish()
    assert "searched" in output
