"""A sweep less what the store holds."""

from pathlib import Path

import pytest

from lip_ray.engine.plan import PlannedTrial, estimated_s, plan, plan_table
from lip_ray.engine.room import Room
from lip_ray.sweep import Sweep


@pytest.fixture
def sweep(tiny: Path) -> Sweep:
    """Two pruners by two seeds, four levels each."""
    return Sweep.from_yaml(tiny)


def test_what_the_store_holds_is_not_left(sweep: Sweep) -> None:
    first, second, *_ = sweep.trials
    planned = plan(sweep, {first.id: 4, second.id: 1, "another": 9})
    assert [p.levels_left for p in planned] == [0, 3, 4, 4]
    assert [p.trial.id for p in planned] == [trial.id for trial in sweep.trials]


def test_the_table_has_a_row_a_label_and_sums_over_seeds(sweep: Sweep) -> None:
    table = plan_table(plan(sweep, {sweep.trials[0].id: 4}))
    assert table.to_dict("records") == [
        {"trial": "magnitude", "seeds": 2, "levels": 8, "done": 4, "left": 4},
        {"trial": "random", "seeds": 2, "levels": 8, "done": 0, "left": 8},
    ]


def test_labels_say_what_differs_and_nothing_else(sweep: Sweep) -> None:
    text = {"name": "s", "trial": sweep.trials[0], "grid": {"fit.steps": [60, 80]}}
    labels = [p.label for p in plan(Sweep.build(text), {})]
    assert labels == ["fit.steps=60", "fit.steps=80"]
    alone = [p.label for p in plan(Sweep.build({"name": "s", "trial": sweep.trials[0]}), {})]
    assert alone == ["magnitude"]


def test_the_estimate_grows_with_what_is_left_and_shrinks_with_room(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lip_ray.engine import plan as planning

    probed = []

    def a_tenth(trial: object, *_: object) -> float:
        probed.append(trial)
        return 0.1

    monkeypatch.setattr(planning, "_seconds_per_step", a_tenth)
    everything = plan(sweep, {})

    def seconds(planned: tuple[PlannedTrial, ...], at_once: int) -> float:
        room = Room(device="cpu", trials_at_once=at_once)
        return estimated_s(planned, room, threads=1)

    assert seconds(everything, 1) == pytest.approx(16 * 60 * 0.1)
    assert len(probed) == 1, "trials that differ in seed and pruner only cost the same"
    assert seconds(everything, 2) == pytest.approx(8 * 60 * 0.1)
    assert seconds(everything, 99) == pytest.approx(4 * 60 * 0.1), "a ladder is not split"
    done = plan(sweep, {trial.id: 4 for trial in sweep.trials})
    assert seconds(done, 2) == 0


def test_the_pace_is_measured_without_changing_the_thread_count(sweep: Sweep) -> None:
    import torch

    before = torch.get_num_threads()
    seconds = estimated_s(plan(sweep, {}), Room(device="cpu", trials_at_once=1), threads=1)
    assert seconds > 0
    assert torch.get_num_threads() == before


def test_labels_compare_only_what_is_of_the_same_kind_and_name(sweep: Sweep) -> None:
    """A field that one criterion has and another lacks, or another photo's crop, says nothing."""
    trial = sweep.trials[0].model_dump(mode="json")
    images = [
        {"kind": "builtin", "name": "moon", "rows": [0, 32], "columns": [0, 32]},
        {"kind": "builtin", "name": "camera", "size": [32, 32]},
    ]
    pruners = ["magnitude", {"kind": "snip", "rounds": 2}, {"kind": "snip", "rounds": 3}]
    text = {"name": "s", "trial": trial, "grid": {"images": images, "pruner": pruners}}
    labels = [p.label for p in plan(Sweep.build(text), {})]
    assert labels[:3] == [
        "moon, magnitude",
        "moon, snip, pruner.rounds=2",
        "moon, snip, pruner.rounds=3",
    ]
    assert labels[3] == "camera, magnitude"


def test_sources_come_first_and_once(sweep: Sweep) -> None:
    """A sweep of transfers brings the trajectories that it needs; what is stored is not left."""
    sources = [trial.model_dump(mode="json") for trial in sweep.trials[:2]]
    text = {
        "name": "moved",
        "trial": {"kind": "transfer"},
        "grid": {"source": sources, "travels": ["mask", "layer_densities"]},
    }
    moved = Sweep.build(text)
    planned = plan(moved, {})
    first, second, *_ = sweep.trials
    assert [p.trial.id for p in planned] == [
        first.id, moved.trials[0].id, moved.trials[1].id,
        second.id, moved.trials[2].id, moved.trials[3].id,
    ]  # fmt: skip
    assert [p.levels_left for p in plan(moved, {first.id: 4})] == [0, 4, 4, 4, 4, 4]
