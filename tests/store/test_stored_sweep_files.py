"""A stored trial as a sweep file: whoever runs it has the same trial, with the same id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import every_kind
import pandas as pd
import pytest

from lip_ray.store import Reader, sweep_files
from lip_ray.strict_yaml import parse
from lip_ray.sweep import Sweep, SweepError

FIRST = Path(__file__).parent / "first_version"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """A file for each kind of trial."""
    rows = [
        {"trial_id": trial.id, "spec": trial.model_dump_json()}
        for trial in every_kind.TRIALS.values()
    ]
    return sweep_files(pd.DataFrame(rows))


def outcome(read: Callable[[], Sweep]) -> Any:
    """The trials of a sweep or, of trials that this machine cannot run, all that is wrong."""
    try:
        return read().trials
    except SweepError as error:
        return str(error).split("\n")[1:]


@pytest.mark.parametrize("name", every_kind.TRIALS)
def test_it_is_the_same_trial(files: dict[str, str], name: str, tmp_path: Path) -> None:
    trial = every_kind.TRIALS[name]
    spec = parse(files[trial.id])["trial"]
    again = type(trial).model_validate_json(json.dumps(spec))
    assert (again, again.id) == (trial, trial.id)
    path = tmp_path / "again.yaml"
    path.write_text(files[trial.id], encoding="utf-8")
    found = outcome(lambda: Sweep.from_yaml(path))
    assert found == outcome(lambda: Sweep.build({"name": "it", "trial": trial}))


@pytest.mark.parametrize("name", ["own", "moved", "consensus", "classified", "generator", "sensed"])
def test_a_sweep_reads_it(name: str) -> None:
    text = every_kind.TRIALS[name].model_dump_json()
    large = text.replace("[32,32]", "[64,64]").replace("[0,32]", "[0,64]")  # none is too small
    trial = type(every_kind.TRIALS[name]).model_validate_json(large)
    [file] = sweep_files(pd.DataFrame([{"trial_id": trial.id, "spec": large}])).values()
    [found] = Sweep.build(parse(file)).trials
    assert (found, found.id) == (trial, trial.id)


def test_a_store_of_the_first_version_has_them_too() -> None:
    trials = Reader(FIRST).frame("trials")
    for trial_id, text in sweep_files(trials).items():
        [spec] = trials.loc[trials["trial_id"] == trial_id, "spec"]
        assert text.startswith(
            f"name: again-{trial_id}\ntrial:\n  kind: {json.loads(spec)['kind']}"
        )


def test_no_trial_has_no_file() -> None:
    nothing: dict[str, Any] = {"trial_id": [], "spec": []}
    assert sweep_files(pd.DataFrame(nothing)) == {}
