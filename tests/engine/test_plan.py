"""A sweep less what the store holds."""

import time
from pathlib import Path

import pytest

from lip_ray.engine.plan import graph_table, plan, plan_table
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
    assert [p.source_ids for p in planned[:3]] == [(), (first.id,), (first.id,)]


def test_the_graph_is_counted_by_kind(sweep: Sweep) -> None:
    """A consensus waits for both of its trajectories; one of them is done."""
    first, third, second, _ = sweep.trials
    both, one = (
        [trial.model_dump(mode="json") for trial in trials]
        for trials in ((first, second), (third,))
    )
    alike = {name: both[0][name] for name in ("images", "task", "fit")}
    text = {
        "name": "moved",
        "trial": {"kind": "transfer"} | alike,
        "grid": {"source": [{"kind": "consensus", "trajectories": both}, *one]},
    }
    agreed = Sweep.build(text)
    done = {first.id: 4, second.id: 1, third.id: 4, agreed.trials[1].id: 2}
    assert graph_table(plan(agreed, done)).to_dict("records") == [
        {
            "kind": "trajectory", "trials": 3, "done": 2, "waiting": 0, "levels": 12,
            "left": 3, "sources": 0, "chain": 1,
        },
        {
            "kind": "transfer", "trials": 2, "done": 0, "waiting": 1, "levels": 8,
            "left": 6, "sources": 3, "chain": 2,
        },
    ]  # fmt: skip


def test_an_empty_plan_has_an_empty_graph() -> None:
    assert graph_table(()).empty


def test_thousands_of_trials_are_planned_at_once(sweep: Sweep) -> None:
    """2,000 that are done already: about 1 s of one core, labels included."""
    text = {
        "name": "many",
        "trial": sweep.trials[0],
        "grid": {"pruner": ["magnitude", "random"], "seed": list(range(1000))},
    }
    many = Sweep.build(text)
    done = {trial.id: trial.levels for trial in many.trials}
    before = time.process_time()
    planned = plan(many, done)
    assert graph_table(planned).loc[0, "done"] == 2000
    assert time.process_time() - before < 5
