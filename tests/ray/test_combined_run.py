"""A trial of every prior through `lip run`; all combinations run without Ray, in tests/laws."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.store import Reader

SWEEP = Path(__file__).parents[2] / "sweeps" / "small" / "combinations.yaml"


@pytest.mark.slow
def test_every_prior_is_run(run_there: Callable[..., Any], tmp_path: Path) -> None:
    one_pruner = ("--set", "grid.pruner=[{kind: oes, steps: 5}]")
    code, output = run_there(SWEEP, "--quick", *one_pruner, "--store", "store").finish()
    assert code == 0, output
    trials = Reader(tmp_path / "store").frame("trials")
    assert sorted(trials["prior"]) == ["deep_decoder", "oes_unet", "skip"]
    assert set(trials["outcome"]) == {"budget"}
