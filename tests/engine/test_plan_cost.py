"""What is left costs what the store's levels took, else what its multiply-adds say, along the
chains of sources."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies
from torch.utils.flop_counter import FlopCounterMode

from lip_ray.engine import cost
from lip_ray.engine.cost import (
    Costs,
    Device,
    Estimate,
    Pace,
    Paces,
    Task,
    critical_path,
    estimate,
    makespan,
)
from lip_ray.engine.plan import PlannedTrial, plan
from lip_ray.records import LevelRecord, Outcome, TrialRecord
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep
from lip_ray.trials import AbstractTrial

NOON = datetime(2026, 1, 2, 12)
KINDS = ("trajectory", "transfer", "reconstruction")
STEPS = 60
TINY_GAN = {
    "kind": "generator",
    "prior": {"kind": "dcgan", "size": 8, "channels": 1, "latent_size": 8, "width": 4},
    "images": "digits",
    "fit": {"steps": 5, "batch": 8},
    "schedule": [1],
}
LASSO = {
    "kind": "reconstruction",
    "source": "dct",
    "images": {"kind": "builtin", "name": "camera", "size": [8, 8]},
    "task": {"kind": "compressed_sensing", "m": 10},
    "solver": "lasso",
}
"""A reconstruction without a generator."""


@dataclass(frozen=True)
class Lot:
    """What a trial is given."""

    device: Device = "cpu"
    cpus: int = 1
    gpus: float = 0.0


@pytest.fixture
def sweep(tiny: Path) -> Sweep:
    """Two pruners by two seeds, four levels of 60 steps each."""
    return Sweep.from_yaml(tiny)


@pytest.fixture
def moved(sweep: Sweep) -> Sweep:
    """Two transfers of one trajectory."""
    source = sweep.trials[0].model_dump(mode="json")
    grid = {"source": [source], "travels": ["mask", "layer_densities"]}
    return Sweep.build({"name": "moved", "trial": {"kind": "transfer"}, "grid": grid})


def varied(trial: AbstractTrial, **changes: object) -> AbstractTrial:
    """The same trial but for some dotted fields."""
    grid = {path.replace("__", "."): [value] for path, value in changes.items()}
    (other,) = Sweep.build({"name": "other", "trial": trial, "grid": grid}).trials
    return other


Timings = dict[AbstractTrial, Sequence[float]]


@pytest.fixture
def timed(tmp_path: Path) -> Callable[..., Costs]:
    """Costs by a store in which each trial has levels of so many seconds a step."""
    writer = Writer.open(tmp_path)

    def store(timings: Timings, *, device: str = "cpu", steps: int = 10) -> Costs:
        for trial, paces in timings.items():
            writer.write_trial(trial_record(trial, device))
            for level, pace in enumerate(paces):
                rows = trial.images_per_level
                row = {"steps": steps, "fit_s": pace * steps / rows, "device": device}
                writer.write_level(
                    [level_record(trial.id, level, f"image {n}", **row) for n in range(rows)]
                )
        return Costs(Reader(tmp_path))

    return store


def trial_record(trial: AbstractTrial, device: str) -> TrialRecord:
    about, size = trial.description, trial.size
    return TrialRecord(
        trial_id=trial.id, kind=trial.kind, pruner=about.pruner, prior=about.prior,
        task=about.task, image=about.image, seed=trial.seed_used, levels=trial.levels,
        source_ids=(), travels=None, parameters=size.parameters,
        macs_per_step=size.macs_per_step, spec=trial.model_dump_json(),
        canonical=trial.canonical_json(), epoch=2, lip_ray_version="0", torch_version="0",
        ray_version="0", python_version="0", host="", device=device, started_at=NOON,
    )  # fmt: skip


def level_record(trial_id: str, level: int, image: str, **columns: Any) -> LevelRecord:
    return LevelRecord(
        trial_id=trial_id, level=level, image=image, kept=1, total=1, kept_all=1, total_all=1,
        effective=1, outcome=Outcome.BUDGET, finished_at=NOON, **columns,
    )  # fmt: skip


def assumed_pace(trial: AbstractTrial) -> float:
    """The seconds per step on one core, where nothing was timed."""
    return 2 * trial.size.macs_per_step / 30e9


def estimated(
    planned: Sequence[PlannedTrial],
    costs: Costs,
    *,
    slots: int = 1,
    lot: Lot = Lot(),
    measure: bool = False,
) -> Estimate:
    kinds = (*KINDS, "generator")
    at_once, lots = dict.fromkeys(kinds, slots), dict.fromkeys(kinds, lot)
    return estimate(planned, costs, at_once, lots, measure=measure)


class TestPaces:
    """Where the seconds of a step come from."""

    def test_the_median_of_all_levels_of_trials_with_the_same_key(
        self, sweep: Sweep, timed: Callable[..., Costs]
    ) -> None:
        """Seeds and pruners differ, not the pace; a level that fitted nothing says nothing."""
        first, second, third, _ = sweep.trials
        costs = timed({second: [0.1, 0.2], third: [0.9]})
        assert costs.pace(first, "cpu") == cost.Pace(seconds_per_step=0.2, basis="alike")

    def test_levels_without_a_step_are_left_out(
        self, sweep: Sweep, tmp_path: Path, timed: Callable[..., Costs]
    ) -> None:
        first = sweep.trials[0]
        timed({first: [0.1]})
        Writer.open(tmp_path).write_level([level_record(first.id, 1, "camera", steps=0)])
        pace = Costs(Reader(tmp_path)).pace(first, "cpu")
        assert pace
        assert pace.seconds_per_step == pytest.approx(0.1)

    def test_the_images_of_a_level_add_up(self, sweep: Sweep, timed: Callable[..., Costs]) -> None:
        images = [
            {"kind": "builtin", "name": name, "size": [32, 32]} for name in ("camera", "moon")
        ]
        both = varied(sweep.trials[0], images=images)
        costs = timed({both: [0.3]})
        pace = costs.pace(both, "cpu")
        assert pace
        assert pace.seconds_per_step == pytest.approx(0.3)
        assert costs.pace(sweep.trials[0], "cpu") is None, "one image is not two"

    def test_a_graphics_card_tells_nothing_of_a_cpu(
        self, sweep: Sweep, timed: Callable[..., Costs]
    ) -> None:
        first = sweep.trials[0]
        costs = timed({first: [0.1]}, device="NVIDIA H100 80GB HBM3")
        assert costs.pace(first, "cpu") is None
        assert costs.pace(first, "cuda") == cost.Pace(seconds_per_step=0.1, basis="alike")

    def test_else_the_same_kind_network_and_size_is_known_roughly(
        self, sweep: Sweep, moved: Sweep, timed: Callable[..., Costs]
    ) -> None:
        first = sweep.trials[0]
        costs = timed({first: [0.1, 0.3]})
        faster = varied(first, fit__learning_rate=0.5)
        assert costs.pace(faster, "cpu") == cost.Pace(seconds_per_step=0.2, basis="akin")
        assert costs.pace(moved.trials[0], "cpu") == cost.Pace(seconds_per_step=0.2, basis="alike")
        otherwise = varied(moved.trials[0], fit__learning_rate=0.5)
        assert costs.pace(otherwise, "cpu") is None, "another kind, another fit"

    @pytest.mark.parametrize(
        "change",
        [
            {"prior__width": 16},
            {"images": {"kind": "builtin", "name": "camera", "size": [64, 64]}},
        ],
    )
    def test_another_network_or_size_tells_nothing(
        self, sweep: Sweep, timed: Callable[..., Costs], change: dict[str, Any]
    ) -> None:
        costs = timed({sweep.trials[0]: [0.1]})
        assert costs.pace(varied(sweep.trials[0], **change), "cpu") is None

    def test_a_spec_that_cannot_be_read_is_known_roughly(
        self, sweep: Sweep, tmp_path: Path
    ) -> None:
        """As of a newer version: its columns still say what it was."""
        first = sweep.trials[0]
        values = vars(trial_record(first, "cpu")) | {"spec": '{"kind": "trajectory", "new": 1}'}
        writer = Writer.open(tmp_path)
        writer.write_trial(TrialRecord(**values))
        row = {"steps": 10, "fit_s": 1.0, "device": "cpu"}
        writer.write_level([level_record(first.id, 0, "camera", **row)])
        pace = Costs(Reader(tmp_path)).pace(first, "cpu")
        assert pace == cost.Pace(seconds_per_step=0.1, basis="akin")

    def test_nothing_left_reads_nothing(self, sweep: Sweep) -> None:
        class Unreadable:
            def sql(self, query: str) -> None:
                raise AssertionError("nothing is left to be timed")

        done = plan(sweep, {trial.id: 4 for trial in sweep.trials})
        nothing = estimated(done, Costs(Unreadable()))  # type: ignore[arg-type]
        assert nothing.lines == ("nothing left",)


class TestEstimate:
    """What is left of a plan."""

    def test_the_levels_left_take_their_steps(
        self, sweep: Sweep, timed: Callable[..., Costs]
    ) -> None:
        costs = timed({sweep.trials[0]: [0.1]})
        planned = plan(sweep, {sweep.trials[0].id: 4, sweep.trials[1].id: 3})
        ladder = 4 * STEPS * 0.1
        found = estimated(planned, costs, slots=2, lot=Lot(cpus=3))
        assert found.levels_left == 9
        assert found.trials_left == 3
        assert found.known_s == pytest.approx(2.25 * ladder)
        assert found.held_s == {"cpu": pytest.approx(3 * 2.25 * ladder)}
        assert found.makespan_s == pytest.approx(1.25 * ladder)
        assert found.critical_path_s == pytest.approx(ladder)
        assert found.line == "9 levels of 3 trials left: about 30 s, 2 min 42 s of core time"
        assert found.lines == (found.line,)

    def test_half_a_card_is_held_for_half_the_time(
        self, sweep: Sweep, timed: Callable[..., Costs]
    ) -> None:
        costs = timed({sweep.trials[0]: [0.1]}, device="NVIDIA H200")
        lot = Lot(device="cuda", cpus=4, gpus=0.5)
        found = estimated(plan(sweep, {}), costs, slots=2, lot=lot)
        assert found.held_s == {"cuda": pytest.approx(found.known_s / 2)}
        assert found.makespan_s == pytest.approx(found.known_s / 2)
        assert "of GPU time" in found.line

    def test_transfers_wait_for_their_source(
        self, moved: Sweep, timed: Callable[..., Costs]
    ) -> None:
        planned = plan(moved, {})
        costs = timed({moved.trials[0]: [0.1]})
        found = estimated(planned, costs, slots=9)
        assert found.makespan_s == found.critical_path_s == pytest.approx(2 * 4 * STEPS * 0.1)
        assert found.critical_path == (planned[0].label, planned[1].label)
        assert found.lines[1] == (f"longest chain: 48 s: {planned[0].label} → {planned[1].label}")
        begun = estimated(plan(moved, {planned[0].id: 4}), costs, slots=9)
        assert begun.makespan_s == pytest.approx(4 * STEPS * 0.1)

    def test_each_basis_is_named(self, sweep: Sweep, timed: Callable[..., Costs]) -> None:
        first = sweep.trials[0]
        grid = {"prior.width": [8, 16], "fit.learning_rate": [0.01, 0.02], "seed": [0, 1]}
        several = Sweep.build({"name": "s", "trial": first, "grid": grid})
        costs = timed({several.trials[0]: [0.1]})
        found = estimated(plan(several, {}), costs)
        narrow, wide = 4 * 4 * STEPS * 0.1, 4 * 4 * STEPS * assumed_pace(several.trials[4])
        assert found.known_s == pytest.approx(narrow + wide)
        assert len(found.rough) == 2
        assert len(found.assumed["cpu"]) == 4
        assert found.unknown == ()
        assert found.lines[1:] == (
            "roughly known, by fits of their size: 2 trials: prior.width=8, fit.learning_rate=0.02",
            "not timed, estimated from multiply-adds at 30 GFLOP/s per core (--measure times a few "
            "steps): 4 trials: "
            "prior.width=16, fit.learning_rate=0.01; prior.width=16, fit.learning_rate=0.02",
        )

    def test_many_labels_are_counted(self) -> None:
        assert cost._named("abcdefg") == "7 trials: a; b; c; d; e and 2 more"


class TestMultiplyAdds:
    """Estimates without a store: two operations per multiply-add at the stated pace."""

    def test_on_cores(self, sweep: Sweep) -> None:
        found = estimated(plan(sweep, {}), Costs(), slots=2, lot=Lot(cpus=3))
        macs = sweep.trials[0].size.macs_per_step
        ladder = 4 * STEPS * 2 * macs / (3 * 30e9)
        assert found.known_s == pytest.approx(4 * ladder)
        assert found.makespan_s == pytest.approx(2 * ladder)
        assert found.held_s == {"cpu": pytest.approx(3 * 4 * ladder)}
        assert found.line.startswith("16 levels of 4 trials left: about ")
        assert found.lines[1:] == (
            "not timed, estimated from multiply-adds at 30 GFLOP/s per core (--measure times a few "
            "steps): all trials",
        )

    @pytest.mark.parametrize(("gpus", "used"), [(0.25, 0.25), (1, 1), (2, 1)])
    def test_on_a_share_of_a_graphics_card(self, sweep: Sweep, gpus: float, used: float) -> None:
        """A fit runs on one card, even where it holds two."""
        lot = Lot(device="cuda", cpus=4, gpus=gpus)
        found = estimated(plan(sweep, {}), Costs(), slots=4, lot=lot)
        macs = sweep.trials[0].size.macs_per_step
        ladder = 4 * STEPS * 2 * macs / (used * 15e12)
        assert found.known_s == pytest.approx(4 * ladder)
        assert found.held_s == {"cuda": pytest.approx(gpus * 4 * ladder)}
        assert "at 15,000 GFLOP/s per GPU " in found.lines[1]

    def test_several_images_cost_the_sum(self, sweep: Sweep) -> None:
        images = [
            {"kind": "builtin", "name": name, "size": [32, 32]} for name in ("camera", "moon")
        ]
        alone, both = (
            Sweep.build({"name": "s", "trial": varied(sweep.trials[0], images=some)})
            for some in (images[:1], images)
        )
        one, two = (estimated(plan(each, {}), Costs()).known_s for each in (alone, both))
        assert one > 0
        assert two == pytest.approx(2 * one)

    def test_a_mask_that_is_learned_costs_its_steps(self, sweep: Sweep) -> None:
        fitted, learned = (
            Sweep.build({"name": "s", "trial": varied(sweep.trials[0], pruner=pruner)})
            for pruner in ("random", {"kind": "oes", "steps": 2 * STEPS})
        )
        less, more = (estimated(plan(each, {}), Costs()).known_s for each in (fitted, learned))
        assert more == pytest.approx(3 * less)

    def test_without_multiply_adds_there_is_no_estimate(self) -> None:
        """The Lasso has no network whose multiply-adds could be counted."""
        lasso = Sweep.build({"name": "s", "trial": LASSO})
        found = estimated(plan(lasso, {}), Costs())
        assert found.known_s == found.makespan_s == 0
        assert found.critical_path == ()
        assert found.lines == (
            "1 level of 1 trial left: no estimate yet, as nothing like them was timed: use "
            "--measure",
        )

    def test_with_some_unknown_it_is_a_least_time(self) -> None:
        dense = {"kind": "erm", "steps": 10, "restarts": 1}
        cases = [{"source": "dct", "solver": "lasso"}, {"source": TINY_GAN, "solver": dense}]
        both = Sweep.build({"name": "s", "trial": {**LASSO, "source": None}, "cases": cases})
        found = estimated(plan(both, {}), Costs())
        assert len(found.unknown) == 1
        assert found.known_s > 0
        assert ": at least " in found.line
        assert found.lines[-1].startswith("not known, as nothing like them was timed: 1 trial: ")


COUNTED = {
    "images": {"kind": "builtin", "name": "camera", "size": [8, 8]},
    "task": {"kind": "denoising", "sigma": 25},
    "prior": {"kind": "skip", "width": 2, "scales": 1, "skip_width": 0, "input_channels": 1},
    "schedule": [1, 0.5, 0.25],
    "fit": {"steps": STEPS, "stopping": {"kind": "wmv", "window": 20, "stride": 5}},
}
"""A ladder of 96, 48 and 24 weights. A forward pass uses 18 + 36 weights at 4×4 pixels and 36 + 4 +
2 at 8×8: 3,552 multiply-adds. The way back takes as many for the weights, and for the inputs as
many but the 288 of the first layer, whose input is the latent."""
COUNTED_STEP = 3 * 3_552 - 288


def counted(**fit: Any) -> Sweep:
    """That ladder, with other settings of its fit."""
    return Sweep.build({"name": "s", "trial": COUNTED | {"fit": COUNTED["fit"] | fit}})


class TestComputed:
    """Dense execution computes all weights whatever the mask, sparse execution the kept ones."""

    def test_masks_save_nothing_in_dense_execution(self) -> None:
        (trial,) = counted().trials
        assert [trial.computed_macs(level) for level in range(3)] == [COUNTED_STEP] * 3
        found = estimated(plan(counted(), {trial.id: 1}), Costs())
        assert found.macs == found.whole_macs == 2 * STEPS * COUNTED_STEP
        assert found.known_s == pytest.approx(2 * found.macs / 30e9)
        assert found.work == (
            "1.24e+06 multiply-adds left to compute, those of pruned weights included"
        )

    def test_sparse_execution_computes_the_schedule_s_share(self) -> None:
        pytest.importorskip("numba")
        sweep = counted(execution="sparse")
        (trial,) = sweep.trials
        shares = [COUNTED_STEP, COUNTED_STEP // 2, COUNTED_STEP // 4]
        assert [trial.computed_macs(level) for level in range(3)] == shares
        found = estimated(plan(sweep, {trial.id: 1}), Costs())
        assert (found.macs, found.whole_macs) == (
            STEPS * sum(shares[1:]),
            2 * STEPS * COUNTED_STEP,
        )
        assert found.known_s == pytest.approx(2 * found.macs / 30e9)
        assert found.work.startswith("4.67e+05 multiply-adds left to compute, 1.24e+06 with all")
        assert "which layers keep their weights is not known yet" in found.work

    def test_a_mask_is_learned_with_all_weights(self) -> None:
        pytest.importorskip("numba")
        pruner = {"kind": "oes", "steps": 2 * STEPS}
        fit = COUNTED["fit"] | {"execution": "sparse"}
        sweep = Sweep.build({"name": "s", "trial": COUNTED | {"fit": fit, "pruner": pruner}})
        (trial,) = sweep.trials
        assert 3 * trial.computed_share(1) == pytest.approx(0.5 + 2)

    def test_a_transfer_computes_the_levels_it_takes(self) -> None:
        pytest.importorskip("numba")
        (source,) = counted(execution="sparse").trials
        take = {"kind": "transfer", "source": source.model_dump(mode="json"), "take": [0, 2]}
        (moved,) = Sweep.build({"name": "s", "trial": take}).trials
        assert [moved.computed_macs(level) for level in (0, 1)] == [COUNTED_STEP, COUNTED_STEP // 4]

    def test_images_of_several_sizes_are_counted_one_by_one(self) -> None:
        sizes = ([8, 8], [16, 8])
        images = [{"kind": "builtin", "name": "camera", "size": size} for size in sizes[:1]]
        images += [{"kind": "builtin", "name": "moon", "size": sizes[1]}]
        (trial,) = Sweep.build({"name": "s", "trial": COUNTED | {"images": images}}).trials
        assert trial.whole_macs == (1 + 2) * COUNTED_STEP

    def test_a_latent_s_fit_has_no_gradients_by_weights(self) -> None:
        solver = {"kind": "erm", "steps": 10, "restarts": 3}
        (trial,) = Sweep.build(
            {"name": "s", "trial": {**LASSO, "source": TINY_GAN, "solver": solver}}
        ).trials
        network = trial.source.prior.network().eval().requires_grad_(False)
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(3, 8, requires_grad=True)).sum().backward()
        assert trial.whole_macs == counter.get_total_flops() // 2


class TestSparsePaces:
    """The steps of a sparse fit take what those of the nearest density took."""

    @pytest.fixture(autouse=True)
    def _with_kernels(self) -> None:
        pytest.importorskip("numba")

    def known(self, paces: dict[float, float]) -> Paces:
        return Paces("alike", list(paces.items()))

    def test_the_nearest_density_by_its_ratio_counts(self) -> None:
        known = self.known({1.0: 0.9, 0.5: 0.5, 0.1: 0.2})
        assert known.at(0.5) == Pace(seconds_per_step=0.5, basis="alike")
        assert known.at(0.12) == Pace(seconds_per_step=0.2, basis="alike")
        assert known.at(0.01) == Pace(seconds_per_step=0.2, basis="akin"), "far from any"

    def test_levels_of_one_density_have_a_median(self) -> None:
        known = Paces("alike", [(0.5, 0.1), (0.50001, 0.3), (0.1, 9.0)])
        assert known.at(0.5).seconds_per_step == pytest.approx(0.2)

    def test_dense_steps_tell_nothing_of_sparse_ones(self, timed: Callable[..., Costs]) -> None:
        (dense,), (sparse,) = counted().trials, counted(execution="sparse").trials
        costs = timed({dense: [0.1]})
        assert costs.pace(dense, "cpu") is not None
        assert costs.pace(sparse, "cpu") is None

    def test_a_plan_adds_up_its_levels(self, timed: Callable[..., Costs]) -> None:
        """Level 0 was timed; the others are taken for as slow, which is roughly known."""
        sweep = counted(execution="sparse")
        (trial,) = sweep.trials
        found = estimated(plan(sweep, {trial.id: 1}), timed({trial: [0.4]}))
        assert found.known_s == pytest.approx(2 * STEPS * 0.4)
        assert len(found.rough) == 1


class TestMeasure:
    """Steps tried here."""

    def test_only_what_is_unknown_is_tried_and_once(
        self, sweep: Sweep, timed: Callable[..., Costs], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probed = []

        def half(trial: AbstractTrial, device: torch.device, threads: int) -> float:
            probed.append((device.type, threads))
            return 0.5

        monkeypatch.setattr(cost, "_seconds_per_step", half)
        grid = {"prior.width": [8, 16], "seed": [0, 1]}
        several = Sweep.build({"name": "s", "trial": sweep.trials[0], "grid": grid})
        costs = timed({sweep.trials[0]: [0.1]})
        found = estimated(plan(several, {}), costs, lot=Lot(cpus=2), measure=True)
        assert probed == [("cpu", 2)]
        assert found.known_s == pytest.approx(2 * 4 * STEPS * (0.1 + 0.5))
        assert found.unknown == found.rough == ()
        assert not found.assumed

    def test_a_device_that_is_not_here_is_not_tried(
        self, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        found = estimated(plan(sweep, {}), Costs(), lot=Lot(device="cuda", gpus=1), measure=True)
        assert len(found.assumed["cuda"]) == 4

    def test_the_pace_is_measured_without_changing_the_thread_count(self, sweep: Sweep) -> None:
        before = torch.get_num_threads()
        assert estimated(plan(sweep, {}), Costs(), measure=True).known_s > 0
        assert torch.get_num_threads() == before


@strategies.composite
def graphs(draw: strategies.DrawFn) -> list[Task]:
    """Up to eight tasks of three kinds, each waiting for some of those before it."""
    count = draw(strategies.integers(1, 8))
    return [
        Task(
            kind=draw(strategies.sampled_from(KINDS)),
            seconds=draw(strategies.integers(0, 9)),
            sources=tuple(sorted(draw(strategies.sets(strategies.integers(0, place - 1)))))
            if place
            else (),
        )
        for place in range(count)
    ]


def chains(tasks: Sequence[Task]) -> list[tuple[int, ...]]:
    """Every order of every choice of tasks in which each waits for the one before."""
    every = range(len(tasks))
    return [
        chain
        for size in range(1, len(tasks) + 1)
        for chain in itertools.combinations(every, size)
        if all(before in tasks[after].sources for before, after in itertools.pairwise(chain))
    ]


def length(tasks: Sequence[Task], chain: Sequence[int]) -> float:
    return sum(tasks[place].seconds for place in chain)


class TestSchedule:
    """The chain, and the simulated run."""

    @given(graphs())
    def test_no_chain_is_longer(self, tasks: list[Task]) -> None:
        found = critical_path(tasks)
        assert not found or found in chains(tasks)
        assert length(tasks, found) == max(length(tasks, chain) for chain in chains(tasks))

    @given(
        graphs(),
        strategies.fixed_dictionaries({kind: strategies.integers(1, 4) for kind in KINDS}),
        strategies.fixed_dictionaries(
            {kind: strategies.sampled_from(["cpu", "cuda"]) for kind in KINDS}
        ),
    )
    def test_a_run_takes_no_less_than_it_must_and_no_more_than_one_by_one(
        self, tasks: list[Task], slots: dict[str, int], devices: dict[str, str]
    ) -> None:
        took = makespan(tasks, slots, devices)
        assert took >= length(tasks, critical_path(tasks))
        for device in set(devices.values()):
            mine = [task for task in tasks if devices[task.kind] == device]
            assert took >= sum(task.seconds / slots[task.kind] for task in mine) - 1e-9
        assert took <= sum(task.seconds for task in tasks)

    @given(graphs())
    def test_one_slot_is_one_by_one_and_many_are_the_chain(self, tasks: list[Task]) -> None:
        cpu = dict.fromkeys(KINDS, "cpu")
        one, many = dict.fromkeys(KINDS, 1), dict.fromkeys(KINDS, 8)
        assert makespan(tasks, one, cpu) == sum(task.seconds for task in tasks)
        assert makespan(tasks, many, cpu) == length(tasks, critical_path(tasks))

    def test_the_order_is_the_plans(self) -> None:
        """Two slots: 3 and 1, then 2 beside the 3; a free slot takes the next that is ready."""
        tasks = [Task(kind="trajectory", seconds=seconds) for seconds in (3, 1, 2, 4)]
        assert makespan(tasks, {"trajectory": 2}, {"trajectory": "cpu"}) == 7

    def test_kinds_on_one_device_share_it_and_on_two_do_not(self) -> None:
        """A whole machine for a reconstruction, a third of one for a trajectory."""
        tasks = [
            *[Task(kind="trajectory", seconds=5)] * 3,
            *[Task(kind="reconstruction", seconds=4)] * 2,
        ]
        slots = {"trajectory": 3, "reconstruction": 1}
        assert makespan(tasks, slots, dict.fromkeys(slots, "cpu")) == 5 + 4 + 4
        assert makespan(tasks, slots, {"trajectory": "cuda", "reconstruction": "cpu"}) == 8

    def test_nothing_takes_no_time(self) -> None:
        assert makespan([], {"trajectory": 1}, {"trajectory": "cpu"}) == 0
        assert critical_path([]) == ()
