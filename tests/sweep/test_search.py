"""The `search` section of a sweep: what it means, and what is said of a wrong one."""

import copy
import json
from collections.abc import Callable
from typing import Any, get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from lip_ray.fits import Fit
from lip_ray.pruning import Pruner, Random
from lip_ray.spec import kinds_of
from lip_ray.store.schema import TABLES
from lip_ray.sweep import Sweep, SweepError, json_schema
from lip_ray.sweep.search import (
    Choice,
    Column,
    FloatRange,
    IntRange,
    Last,
    NearDensity,
    Nsga2,
    Numbered,
    Objective,
    RandomPoints,
    StopHopeless,
    Tpe,
    key_of,
    nearest,
    overlap,
)
from lip_ray.trials.rewinding import FineTune, ToInit, ToStep

FIT_FIELDS = ", ".join(Fit.model_fields)
PSNR = {"column": "psnr_selected_db", "direction": "maximize"}
KEPT = {"column": "kept", "direction": "minimize"}
LATE = {"kind": "step", "step": 20}
DOCUMENT: dict[str, Any] = {
    "name": "tiny",
    "trial": {
        "images": {"kind": "builtin", "name": "camera", "size": [32, 32]},
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "scales": 2, "input_channels": 2},
        "schedule": [1, 0.5],
        "fit": {"steps": 100},
    },
    "search": {
        "space": {
            "prior.width": {"kind": "int", "low": 2, "high": 8, "log": True},
            "fit.learning_rate": {"kind": "float", "low": 0.001, "high": 0.1},
            "rewind": ["init", LATE, "finetune"],
        },
        "objectives": [PSNR, KEPT],
        "points": 10,
    },
}
POINT = {"prior.width": 4, "fit.learning_rate": 0.01, "rewind": "init"}
COLUMNS = ", ".join(get_args(Column))
PRUNERS = ", ".join(kinds_of(Pruner))


def document(change: Callable[[dict[str, Any]], object] = lambda _: None) -> dict[str, Any]:
    """The search above, changed."""
    changed = copy.deepcopy(DOCUMENT)
    change(changed)
    return changed


def searching(**fields: Any) -> dict[str, Any]:
    """The search above with other fields."""
    return document(lambda d: d["search"].update(fields))


def in_space(**fields: Any) -> dict[str, Any]:
    """The search above with fields searched beside; `__` stands for a dot."""
    dotted = {name.replace("__", "."): value for name, value in fields.items()}
    return document(lambda d: d["search"]["space"].update(dotted))


def faults(written: dict[str, Any], *overrides: str, quick: bool = False) -> list[str]:
    with pytest.raises(SweepError) as caught:
        Sweep.build(written, overrides=overrides, quick=quick)
    return [str(problem) for problem in caught.value.problems]


class TestMeaning:
    def test_what_is_written(self) -> None:
        sweep = Sweep.build(searching(start=[POINT], sampler="random", stop_hopeless={}, at_once=2))
        search = sweep.search
        assert search is not None
        assert search.space == {
            "prior.width": IntRange(low=2, high=8, log=True),
            "fit.learning_rate": FloatRange(low=0.001, high=0.1),
            "rewind": Choice(values=("init", LATE, "finetune")),
        }
        assert search.objectives == (
            Objective(column="psnr_selected_db", direction="maximize", level=Last()),
            Objective(column="kept", direction="minimize", level=Last()),
        )
        assert (search.points, search.start, search.at_once) == (10, (POINT,), 2)
        assert (search.sampler, search.stop_hopeless) == (RandomPoints(), StopHopeless())

    def test_unless_more_is_said(self) -> None:
        search = Sweep.build(DOCUMENT).search
        assert search is not None
        assert (search.sampler, search.at_once, search.start) == (Tpe(), 8, ())
        assert search.stop_hopeless is None

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("last", Last()),
            (1, Numbered(number=1)),
            ({"density": 0.5}, NearDensity(density=0.5)),
            ({"kind": "number", "number": 0}, Numbered(number=0)),
        ],
    )
    def test_levels(self, written: object, meant: object) -> None:
        search = Sweep.build(searching(objectives=[PSNR | {"level": written}])).search
        assert search is not None
        assert search.objectives[0].level == meant

    @pytest.mark.parametrize(
        ("written", "meant"),
        [
            ("nsga2", Nsga2()),
            ({"seed": 3}, Tpe(seed=3)),
            ({"kind": "nsga2", "population": 4}, Nsga2(population=4)),
        ],
    )
    def test_samplers(self, written: object, meant: object) -> None:
        search = Sweep.build(searching(sampler=written)).search
        assert search is not None
        assert search.sampler == meant

    def test_a_sweep_that_is_none_has_none(self) -> None:
        sweep = Sweep.build(document(lambda d: d.pop("search")))
        assert (sweep.search, sweep.search_id, len(sweep.trials)) == (None, "", 1)
        with pytest.raises(ValueError, match="tiny is not a search"):
            sweep.trials_at({})

    def test_the_columns_are_the_numbers_of_a_level(self) -> None:
        numeric = {
            column.name
            for column in TABLES["levels"]
            if pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        }
        assert set(get_args(Column)) == numeric - {"level"}

    def test_it_is_right_by_the_schema(self) -> None:
        whole = searching(
            start=[POINT],
            objectives=[
                PSNR | {"level": "last"},
                KEPT | {"level": 1},
                KEPT | {"level": {"density": 1}},
            ],
            sampler={"kind": "nsga2", "seed": 1},
            stop_hopeless={"after": 3},
        )
        validator = Draft202012Validator(json_schema())
        for written in (whole, searching(sampler="tpe", stop_hopeless=None), DOCUMENT):
            Sweep.build(written)
            validator.validate(written)

    def test_the_schema_describes_it(self) -> None:
        definitions = json_schema()["$defs"]
        assert "counts points in flight" in definitions["Tpe"]["description"]
        for wrong in (searching(points=0), searching(objectives=[]), in_space(seed=3)):
            assert not Draft202012Validator(json_schema()).is_valid(wrong)


class TestTrials:
    def test_there_are_none_before_a_point_is_chosen(self) -> None:
        assert Sweep.build(DOCUMENT).trials == ()

    def test_a_point_sets_its_fields(self) -> None:
        (trial,) = Sweep.build(DOCUMENT).trials_at(POINT | {"rewind": LATE})
        assert (trial.prior.width, trial.fit.learning_rate) == (4, 0.01)
        assert trial.rewind == ToStep(step=20)

    def test_a_point_replaces_what_the_trial_says(self) -> None:
        sweep = Sweep.build(document(lambda d: d["trial"].update(rewind="reinit")))
        assert sweep.trials_at(POINT)[0].rewind == ToInit()

    def test_each_case_meets_each_point_of_the_grid(self) -> None:
        written = document(
            lambda d: d.update(
                cases=[{"task.sigma": 25}, {"task.sigma": 50}], grid={"seed": [0, 1]}
            )
        )
        trials = Sweep.build(written).trials_at(POINT)
        assert [(t.task.sigma, t.seed) for t in trials] == [(25, 0), (25, 1), (50, 0), (50, 1)]
        assert {t.prior.width for t in trials} == {4}

    def test_they_are_those_of_a_sweep_of_that_point_alone(self) -> None:
        trial = copy.deepcopy(DOCUMENT["trial"])
        trial["prior"]["width"], trial["fit"]["learning_rate"] = 4, 0.01
        (alone,) = Sweep.build({"name": "tiny", "trial": trial}).trials
        assert Sweep.build(DOCUMENT).trials_at(POINT) == (alone,)

    def test_typical_ones_are_of_the_first_point_that_can_be(self) -> None:
        written = searching(start=[{"prior.width": 5}])
        (trial,) = Sweep.build(written).typical_trials()
        assert (trial.prior.width, trial.fit.learning_rate, trial.rewind) == (5, 0.001, ToInit())
        late = in_space(
            fit__steps={"kind": "int", "low": 100, "high": 200},
            rewind=[{"kind": "step", "step": 150}, "init"],
        )
        (trial,) = Sweep.build(late).typical_trials()
        assert (trial.fit.steps, trial.rewind) == (200, ToInit()), "the first values do not go"
        plain = Sweep.build(document(lambda d: d.pop("search")))
        assert plain.typical_trials() == plain.trials

    def test_values_that_do_not_go_together(self) -> None:
        sweep = Sweep.build(in_space(fit__steps={"kind": "int", "low": 100, "high": 200}))
        late = POINT | {"fit.steps": 100, "rewind": {"kind": "step", "step": 100}}
        with pytest.raises(SweepError) as caught:
            sweep.trials_at(late)
        (problem,) = caught.value.problems
        assert problem.message.startswith("rewind.step must be less than the fit's steps")
        assert len(sweep.trials_at(late | {"rewind": LATE})) == 1, "and nothing of it stays behind"

    def test_a_point_may_give_what_the_trial_leaves_out(self) -> None:
        written = in_space(task__sigma={"kind": "float", "low": 5, "high": 50})
        del written["trial"]["task"]["sigma"]
        assert Sweep.build(written).trials_at(POINT | {"task.sigma": 7})[0].task.sigma == 7

    def test_from_python_items_may_be_specs(self) -> None:
        sweep = Sweep.build(in_space(pruner=[Random(), "snip"], rewind=[ToInit(), FineTune()]))
        assert sweep.search is not None
        value = sweep.search.space["pruner"].corners()[0][1]
        assert sweep.trials_at(POINT | {"pruner": value})[0].pruner == Random()


class TestId:
    def test_it_is_the_sweep_s(self) -> None:
        sweep = Sweep.build(DOCUMENT)
        assert sweep.id == sweep.search_id
        assert len(sweep.id) == 16

    @pytest.mark.parametrize(
        "fields",
        [
            {"points": 99},
            {"at_once": 1},
            {"sampler": {"seed": 7}},
            {"start": [POINT]},
            {"stop_hopeless": {}},
            {"objectives": [PSNR | {"level": "last"}, KEPT]},
        ],
    )
    def test_what_leaves_it_as_it_is(self, fields: dict[str, Any]) -> None:
        assert Sweep.build(searching(**fields)).id == Sweep.build(DOCUMENT).id

    @pytest.mark.parametrize(
        "changed",
        [
            document(lambda d: d["trial"].update(seed=1)),
            document(lambda d: d.update(grid={"seed": [0]})),
            document(lambda d: d.update(grid={"seed": [0, 1]})),
            document(lambda d: d.update(cases=[{"seed": 0}])),
            in_space(**{"prior__width": {"kind": "int", "low": 2, "high": 9, "log": True}}),
            in_space(seed=[0, 1]),
            searching(objectives=[KEPT, PSNR]),
            searching(objectives=[PSNR, KEPT | {"level": 0}]),
            searching(objectives=[PSNR, KEPT | {"direction": "maximize"}]),
        ],
    )
    def test_what_makes_another(self, changed: dict[str, Any]) -> None:
        assert Sweep.build(changed).id != Sweep.build(DOCUMENT).id

    def test_searches_of_different_trials_are_not_equal(self) -> None:
        other = document(lambda d: d["trial"].update(seed=1))
        assert Sweep.build(other) != Sweep.build(DOCUMENT)
        assert Sweep.build(DOCUMENT) == Sweep.build(DOCUMENT)


class TestOverrides:
    @pytest.mark.parametrize(
        ("override", "of", "value"),
        [
            ("search.points=6", lambda s: s.points, 6),
            ("search.space.prior.width.high=5", lambda s: s.space["prior.width"].high, 5),
            ("search.space.prior.width=[3, 4]", lambda s: s.space["prior.width"].values, (3, 4)),
            ("search.space.rewind.1=reinit", lambda s: s.space["rewind"].values[1], "reinit"),
            ("search.space.seed=[0, 1]", lambda s: list(s.space)[-1], "seed"),
            ("search.objectives.0.level=0", lambda s: s.objectives[0].level, Numbered(number=0)),
            ("search.sampler.seed=4", lambda s: s.sampler, Tpe(seed=4)),
            ("search.sampler=nsga2", lambda s: s.sampler, Nsga2()),
            ("search.start=[{prior.width: 3}]", lambda s: s.start, ({"prior.width": 3},)),
            ("search.stop_hopeless.after=2", lambda s: s.stop_hopeless, StopHopeless(after=2)),
        ],
    )
    def test_fields(self, override: str, of: Callable[[Any], object], value: object) -> None:
        assert of(Sweep.build(DOCUMENT, overrides=[override]).search) == value

    def test_quick(self) -> None:
        quick = {"search.points": 2, "search.space.prior.width": [2, 3], "fit.steps": 100}
        written = document(lambda d: d.update(quick=quick))
        search = Sweep.build(written, quick=True).search
        assert search is not None
        assert search.points == 2
        assert search.space["prior.width"] == Choice(values=(2, 3))
        assert Sweep.build(written).search == Sweep.build(DOCUMENT).search

    @pytest.mark.parametrize(
        ("override", "line"),
        [
            (
                "search.pionts=3",
                "search.pionts: unknown key 'pionts'; did you mean 'points'? allowed: space, "
                "objectives, points, start, sampler, at_once, stop_hopeless",
            ),
            (
                "prior.width=3",
                "trial.prior.width: the search tries prior.width: "
                "set search.space.prior.width instead",
            ),
            (
                "prior={kind: skip}",
                "trial.prior: the search tries prior.width: set search.space.prior.width instead",
            ),
            (
                "search={}",
                "search: what can be set is [trial.]<field>, grid.<field>, search.<field>, "
                "run.<field>, cases and sources.<field>",
            ),
            (
                "search.space.rewind.9=init",
                "search.space.rewind.9: '9' is no item of the list there: it has 3, counted from 0",
            ),
        ],
    )
    def test_wrong_ones(self, override: str, line: str) -> None:
        assert faults(DOCUMENT, override) == [line]

    def test_a_sweep_without_a_search(self) -> None:
        written = document(lambda d: d.pop("search"))
        assert faults(written, "search.points=3") == ["search.points: this sweep has no search"]


class TestFaults:
    @pytest.mark.parametrize(
        ("written", "lines"),
        [
            (
                in_space(fit__setps=[1, 2]),
                [
                    "search.space.fit.setps: unknown key 'setps'; did you mean 'steps'? "
                    f"allowed: {FIT_FIELDS}"
                ],
            ),
            (
                in_space(fitt__steps={"kind": "int", "low": 1, "high": 9}),
                [
                    "search.space.fitt.steps: unknown key 'fitt'; did you mean 'fit'? allowed: "
                    "kind, images, task, prior, pruner, schedule, rewind, target, latents, fit, "
                    "seed"
                ],
            ),
            (
                in_space(pruner={"kind": "int", "low": 1, "high": 9}),
                [f"search.space.pruner.low: must be a mapping with a kind ({PRUNERS}), got 1"],
            ),
            (
                in_space(prior__scales={"kind": "float", "low": 1, "high": 3}),
                ["search.space.prior.scales.low: must be a whole number, got 1.0"],
            ),
            (
                in_space(fit__stopping__ends_fit={"kind": "int", "low": 0, "high": 1}),
                ["search.space.fit.stopping.ends_fit.low: must be true or false, got 0"],
            ),
            (
                in_space(prior__scales={"kind": "int", "low": 0, "high": 3}),
                ["search.space.prior.scales.low: must be at least 1, got 0"],
            ),
            (
                in_space(schedule=[[1, 0.5], [0.5]]),
                ["search.space.schedule[1]: level 0 is dense: densities begin with 1, got 0.5"],
            ),
            (
                in_space(pruner=["magnitud", {"kind": "snip", "scop": 1}]),
                [
                    "search.space.pruner[0]: unknown kind 'magnitud'; did you mean 'magnitude'? "
                    f"allowed: {PRUNERS}",
                    "search.space.pruner[1].scop: unknown key 'scop'; did you mean 'scope'? "
                    "allowed: kind, scope, rounds",
                ],
            ),
            (
                in_space(prior__scales={"kind": "int", "low": 2, "high": 9}),
                [
                    "search.space.prior.scales.high: trial.images: camera is 32×32, "
                    "but this prior needs at least 513×513"
                ],
            ),
            (
                in_space(seed={"kind": "int", "low": 9, "high": 9}),
                ["search.space.seed: low must be less than high, got 9 and 9"],
            ),
            (
                in_space(seed={"kind": "int", "low": 0, "high": 9, "log": True}),
                ["search.space.seed: with log, low must be greater than 0, got 0"],
            ),
            (
                in_space(seed={"kind": "int", "low": 1, "high": 9, "log": True, "step": 2}),
                ["search.space.seed: log has no steps: leave step out, got 2"],
            ),
            (
                in_space(fit__average={"kind": "float", "low": 0, "high": 0.9, "step": 0.2}),
                [
                    "search.space.fit.average: high must be low and a whole number of steps: "
                    "got 0 to 0.9 in steps of 0.2"
                ],
            ),
            (
                in_space(seed={"kind": "itn", "low": 0, "high": 9}),
                [
                    "search.space.seed.kind: unknown kind 'itn'; did you mean 'int'? "
                    "allowed: float, int, choice"
                ],
            ),
            (in_space(seed=[]), ["search.space.seed: must be a list of at least 1, got []"]),
            (
                in_space(seed=3),
                ["search.space.seed: must be a mapping with a kind (float, int, choice), got 3"],
            ),
            (
                in_space(prior=["skip"]),
                ["search.space: prior.width and prior set the same field"],
            ),
            (
                in_space(rewind=["init", "finetune", "init"]),
                ["search.space.rewind[2]: is there twice: 'init'"],
            ),
            (
                in_space(a__=[1]),
                ["search.space.a.: a dotted path has no empty parts"],
            ),
            (
                searching(space={}),
                ["search.space: must have at least one field"],
            ),
        ],
    )
    def test_of_the_space(self, written: dict[str, Any], lines: list[str]) -> None:
        assert faults(written) == lines

    @pytest.mark.parametrize(
        ("objective", "line"),
        [
            (
                {"column": "kept"},
                "search.objectives.0: the objective 'kept' has no direction: maximize or minimize",
            ),
            (
                KEPT | {"direction": "minimise"},
                "search.objectives.0.direction: unknown value 'minimise'; did you mean "
                "'minimize'? allowed: maximize, minimize",
            ),
            (
                PSNR | {"column": "psnr_selected"},
                "search.objectives.0.column: unknown value 'psnr_selected'; did you mean "
                f"'psnr_selected_db'? allowed: {COLUMNS}",
            ),
            (
                PSNR | {"column": "outcome"},
                f"search.objectives.0.column: unknown value 'outcome'; allowed: {COLUMNS}",
            ),
            (
                KEPT | {"level": "lst"},
                "search.objectives.0.level: unknown kind 'lst'; did you mean 'last'? "
                "allowed: last, number, density",
            ),
            (KEPT | {"level": -1}, "search.objectives.0.level.number: must be at least 0, got -1"),
            (
                KEPT | {"level": 2},
                "search.objectives[0].level: must be at most 1, the last level, got 2",
            ),
            (
                KEPT | {"level": {"density": 0.44}},
                "search.objectives[0].level: no level has a density within 10 % of 0.44: "
                "the ladder has 1, 0.5",
            ),
        ],
    )
    def test_of_an_objective(self, objective: dict[str, Any], line: str) -> None:
        assert faults(searching(objectives=[objective])) == [line]

    def test_there_must_be_one(self) -> None:
        assert faults(searching(objectives=[])) == [
            "search.objectives: must be a list of at least 1, got []"
        ]

    @pytest.mark.parametrize(
        ("start", "lines"),
        [
            (
                [POINT | {"prior.widht": 3}],
                [
                    "search.start[0].prior.widht: is not searched; did you mean 'prior.width'? "
                    "allowed: prior.width, fit.learning_rate, rewind"
                ],
            ),
            (
                [POINT, {"prior.width": 9}, {"rewind": "reinit"}, {"prior.width": 3.0}],
                [
                    "search.start[1].prior.width: must be in search.space.prior.width, got 9",
                    "search.start[2].rewind: must be in search.space.rewind, got 'reinit'",
                    "search.start[3].prior.width: must be in search.space.prior.width, got 3.0",
                ],
            ),
            (
                [{"rewind": LATE}, {"rewind": dict(reversed(LATE.items()))}],
                [f"search.start[1]: is there twice: {{'rewind': {dict(reversed(LATE.items()))}}}"],
            ),
        ],
    )
    def test_of_a_start(self, start: list[Any], lines: list[str]) -> None:
        assert faults(searching(start=start)) == lines

    @pytest.mark.parametrize(
        ("sections", "line"),
        [
            (
                {"grid": {"prior.width": [2, 3]}},
                "search.space.prior.width: grid.prior.width sets it too: "
                "a field is set in one place",
            ),
            (
                {"grid": {"rewind.kind": ["init"]}},
                "search.space.rewind: grid.rewind.kind sets it too: a field is set in one place",
            ),
            (
                {"cases": [{"prior": "skip"}]},
                "search.space.prior.width: cases[0].prior sets it too: a field is set in one place",
            ),
        ],
    )
    def test_a_field_is_set_in_one_place(self, sections: dict[str, Any], line: str) -> None:
        assert faults(document(lambda d: d.update(sections))) == [line]

    def test_of_the_trial_once_and_not_by_the_point(self) -> None:
        written = document(lambda d: d["trial"].update(seed=-1, fit={"steps": "x"}))
        assert faults(written) == [
            "trial.fit.steps: must be a whole number, got 'x'",
            "trial.seed: must be at least 0, got -1",
        ]

    def test_all_at_once(self) -> None:
        written = searching(points=0, sampler="tep", objectives=[{"column": "kept"}])
        assert [line.partition(": ")[0] for line in faults(written, "run.cpus=0", "name=x")] == [
            "name",
            "search.objectives.0",
            "search.points",
            "search.sampler",
            "run.cpus",
        ]

    def test_stopping_compares_levels_of_one_density(self) -> None:
        written = in_space(schedule=[[1, 0.5], [1, 0.4]])
        written["search"]["stop_hopeless"] = {}
        assert faults(written) == [
            "search.stop_hopeless: compares levels of one number, which must have one density: "
            "leave it out where schedule is searched"
        ]

    def test_a_value_that_goes_with_some_others_is_right(self) -> None:
        """The late step goes with many steps only, which are the last end of their range."""
        late = {"kind": "step", "step": 150}
        steps = {"kind": "int", "low": 100, "high": 200}
        Sweep.build(in_space(fit__steps=steps, rewind=["init", late]))
        assert faults(in_space(fit__steps=steps | {"high": 150}, rewind=["init", late])) == [
            "search.space.rewind[1]: trial: rewind.step must be less than the fit's steps: "
            "got step 150 and steps 100"
        ]

    def test_a_point_to_start_from_shows_that_a_value_is_right(self) -> None:
        """Neither the first nor the last items go with the others, but the start does."""
        written = in_space(schedule=[[1, 0.5], [1, 0.5, 0.25], [1, 0.4]])
        written["search"]["objectives"] = [PSNR | {"level": 2}]
        assert faults(written)
        written["search"]["start"] = [{"schedule": [1, 0.5, 0.25]}]
        lines = faults(written)
        assert [line.partition(": ")[0] for line in lines] == [
            "search.space.schedule[0]",
            "search.space.schedule[2]",
        ], "the other two have no third level in any company"


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 9)
    | st.sampled_from([0.5, float("nan"), float("inf"), "", "x", "last", "int", "kept", "tpe"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["kind", "low", "high", "column", "direction", "", "seed", 3]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=4,
)


@given(
    st.sampled_from(
        [
            ("space",),
            ("space", "prior.width"),
            ("space", "prior.width", "low"),
            ("space", "rewind"),
            ("space", "new"),
            ("objectives",),
            ("objectives", 0),
            ("objectives", 0, "level"),
            ("start",),
            ("points",),
            ("sampler",),
            ("stop_hopeless",),
        ]
    ),
    JUNK,
)
def test_whatever_is_written_it_is_a_search_or_refused(path: tuple[Any, ...], junk: object) -> None:
    written = copy.deepcopy(DOCUMENT)
    *parents, last = path
    place: Any = written["search"]
    for key in parents:
        place = place[key]
    place[last] = junk
    try:
        sweep = Sweep.build(written)
    except SweepError as error:
        for problem in error.problems:
            assert len(str(problem)) > 10
            assert "[type=" not in str(problem)
    else:
        assert sweep.search is not None
        assert len(sweep.search_id) == 16


class TestDomains:
    @given(st.floats(-5, 5), st.integers(1, 20), st.sampled_from([0.1, 0.25, 0.3]), st.data())
    def test_numbers_on_steps(
        self, low: float, steps: int, step: float, data: st.DataObject
    ) -> None:
        domain = FloatRange(low=low, high=low + steps * step, step=step)
        assert domain.size == steps + 1
        drawn = low + data.draw(st.integers(0, steps)) * step
        rounded = domain.rounded(drawn)
        assert rounded == pytest.approx(drawn)
        assert domain.holds(min(max(rounded, low), domain.high))
        assert not domain.holds(drawn + step / 2)

    def test_steps_leave_no_last_digits(self) -> None:
        domain = FloatRange(low=0.1, high=0.9, step=0.2)
        assert [domain.rounded(0.1 + 0.2 * k) for k in range(5)] == [0.1, 0.3, 0.5, 0.7, 0.9]

    @pytest.mark.parametrize(
        ("value", "held"), [(2, True), (8, True), (5, True), (1, False), (9, False), (4.0, False)]
    )
    def test_whole_numbers(self, value: object, held: bool) -> None:
        assert IntRange(low=2, high=8).holds(value) is held

    def test_truth_is_no_number(self) -> None:
        assert not IntRange(low=0, high=8).holds(True)
        assert not FloatRange(low=0, high=8).holds(True)

    @pytest.mark.parametrize(
        ("space", "points", "total"),
        [
            ({"seed": [0, 1], "prior.width": {"kind": "int", "low": 2, "high": 4}}, 10, 6),
            ({"seed": [0, 1], "prior.width": {"kind": "int", "low": 2, "high": 4}}, 5, 5),
            ({"prior.width": {"kind": "int", "low": 2, "high": 8, "step": 3}}, 10, 3),
            ({"seed": [0], "fit.average": {"kind": "float", "low": 0, "high": 0.9}}, 10, 10),
        ],
    )
    def test_no_more_points_than_there_are(
        self, space: dict[str, Any], points: int, total: int
    ) -> None:
        search = Sweep.build(searching(space=space, points=points)).search
        assert search is not None
        assert search.total == total


class TestNearest:
    @pytest.mark.parametrize(
        ("wanted", "place"), [(1.0, 0), (0.5, 1), (0.53, 1), (0.45, None), (0.11, 3), (0.09, None)]
    )
    def test_within_a_tenth(self, wanted: float, place: int | None) -> None:
        assert nearest([1.0, 0.5, 0.25, 0.1], wanted) == place


def test_a_key_is_the_same_in_whatever_order() -> None:
    assert key_of({"b": {"y": 1, "x": 2}, "a": 0.5}) == '{"a":0.5,"b":{"x":2,"y":1}}'
    assert json.loads(key_of(POINT)) == POINT


def test_paths_overlap_as_fields_do() -> None:
    assert overlap("prior", "prior.width")
    assert overlap("prior.width", "prior.width")
    assert not overlap("prior.width", "prior.width_x")
