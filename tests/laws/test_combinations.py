"""Every task with every prior and every criterion, as a worker runs them."""

import json
from pathlib import Path

import pytest
from studies import run_all

from lip_ray.priors import Prior
from lip_ray.pruning import Pruner
from lip_ray.spec import kinds_of
from lip_ray.store import Reader
from lip_ray.sweep import Sweep
from lip_ray.tasks import Task

SWEEP = Path(__file__).parents[2] / "sweeps" / "small" / "combinations.yaml"

WITHOUT_A_PACKAGE = {"deepinv"}
"""Tasks that need an optional package."""


def test_the_sweep_leaves_no_kind_out() -> None:
    trials = Sweep.from_yaml(SWEEP).trials
    for name, family in (("task", Task), ("prior", Prior), ("pruner", Pruner)):
        found = {getattr(trial, name).kind for trial in trials}
        assert found == set(kinds_of(family)) - WITHOUT_A_PACKAGE, name


@pytest.mark.slow
def test_all_of_them_run(tmp_path: Path) -> None:
    run_all(SWEEP, tmp_path / "all")
    reader = Reader(tmp_path / "all")
    trials = Sweep.from_yaml(SWEEP).trials
    assert reader.levels_done() == {trial.id: trial.levels for trial in trials}
    levels = reader.frame("levels").set_index(["trial_id", "level"])
    assert set(levels["outcome"]) == {"budget"}
    assert levels["psnr_selected_db"].notna().all()
    assert set(reader.frame("trials")["task"]) == {
        json.loads(trial.task.model_dump_json())["kind"] for trial in trials
    }
