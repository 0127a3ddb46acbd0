"""A search over a store: what is asked for and told, and that nothing is lost or doubled."""

import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from lip_ray.engine.study import Point, Study
from lip_ray.records import LevelRecord, Outcome
from lip_ray.store import Reader, StoreError, Writer
from lip_ray.sweep import Sweep
from lip_ray.sweep.search import key_of

PSNR = {"column": "psnr_selected_db", "direction": "maximize"}
KEPT = {"column": "kept", "direction": "minimize"}
TINY: dict[str, Any] = {
    "name": "tiny",
    "trial": {
        "images": {"kind": "builtin", "name": "camera", "size": [32, 32]},
        "task": {"kind": "denoising", "sigma": 25},
        "prior": {"kind": "skip", "scales": 2, "input_channels": 2},
        "schedule": [1, 0.5, 0.25],
        "fit": {"steps": 100},
    },
}
SPACE: dict[str, Any] = {
    "prior.width": {"kind": "int", "low": 2, "high": 32, "log": True},
    "fit.learning_rate": {"kind": "float", "low": 0.001, "high": 0.1, "log": True},
    "rewind": ["init", "finetune", {"kind": "step", "step": 20}],
}
USUAL = {"prior.width": 8, "fit.learning_rate": 0.01, "rewind": "init"}
ONE_LEVEL = {"trial": TINY["trial"] | {"schedule": [1]}}
SAMPLERS = [{"kind": "tpe", "startup": 3}, {"kind": "nsga2", "population": 3}, "random"]


def search_of(sections: dict[str, Any] | None = None, **fields: Any) -> Sweep:
    """A search of the tiny trial."""
    search = {"space": SPACE, "objectives": [PSNR, KEPT], "points": 8} | fields
    return Sweep.build({**TINY, "search": search, **(sections or {})})


def study_of(store: Path, sweep: Sweep) -> Study:
    """As a process that begins makes it."""
    writer = Writer.open(store)
    return Study(sweep, Reader(store), writer)


class Direct(Reader):
    """Opens the files of the trials that are asked for alone: many points are told in a second."""

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self._root = store

    def sql(self, query: str) -> pa.Table:
        ids = re.findall(r"'(\w+)'", query)
        return pa.concat_tables(
            pq.read_table(path) for i in ids for path in self._root.glob(f"levels/{i}-*.parquet")
        )


def direct_study_of(store: Path, sweep: Sweep) -> Study:
    """The same over a reader that is quick."""
    writer = Writer.open(store)
    return Study(sweep, Direct(store), writer)


def quality(point: Point) -> float:
    """A PSNR that is the better the wider the network, and best at a learning rate of 0.01."""
    rate = point.params["fit.learning_rate"]
    return 20 + math.log2(point.params["prior.width"]) - math.log10(rate / 0.01) ** 2


def run(store: Path, point: Point, psnr: float, **changes: Any) -> None:
    """All levels of a point's trials, as if they had been fitted: a dB is lost at each."""
    for trial in point.trials:
        for level in range(trial.levels):
            record = row(trial.id, level, psnr_selected_db=psnr - level)
            commit(store, replace(record, **(changes if level == trial.levels - 1 else {})))


def row(trial_id: str, level: int, **changes: Any) -> LevelRecord:
    values: dict[str, Any] = {
        "trial_id": trial_id,
        "level": level,
        "image": "camera",
        "kept": 800 >> level,
        "total": 800,
        "kept_all": 10,
        "total_all": 10,
        "effective": 8,
        "outcome": Outcome.BUDGET,
        "fit_s": 1.5,
    }
    return LevelRecord(**values | changes)


def commit(store: Path, *records: LevelRecord) -> None:
    Writer.open(store).write_level(records)


def drive(store: Path, study: Study, points: int) -> list[Point]:
    """Ask, run and tell so many points, one after another."""
    asked = []
    for _ in range(points):
        point = study.ask()
        assert point is not None
        run(store, point, quality(point))
        study.tell(point.number)
        asked.append(point)
    return asked


def keys(points: Iterable[Point]) -> list[str]:
    return [key_of(point.params) for point in points]


class TestAsking:
    def test_a_point_is_stored_before_it_is_handed_out(self, tmp_path: Path) -> None:
        sweep = search_of({"grid": {"seed": [0, 1]}})
        point = study_of(tmp_path, sweep).ask()
        assert point is not None
        assert point.trials == sweep.trials_at(point.params)
        (stored,) = Reader(tmp_path).points("tiny", sweep.search_id)
        assert (stored.number, json.loads(stored.params)) == (0, point.params)
        assert stored.trial_ids == tuple(trial.id for trial in point.trials)
        assert stored.specs == tuple(trial.model_dump_json() for trial in point.trials)
        assert (stored.levels, stored.problem) == ((3, 3), "")
        assert json.loads(stored.objectives)[1] == KEPT | {"level": {"kind": "last"}}

    @pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
    def test_as_many_as_are_wanted_all_different_and_in_the_space(
        self, tmp_path: Path, sampler: Any
    ) -> None:
        sweep = search_of(sampler=sampler)
        study = study_of(tmp_path, sweep)
        points = drive(tmp_path, study, 8)
        assert study.ask() is None
        assert (study.asked, study.told, study.total) == (8, 8, 8)
        assert [point.number for point in points] == list(range(8))
        assert len(set(keys(points))) == 8
        assert sweep.search is not None
        for point in points:
            assert all(sweep.search.space[path].holds(v) for path, v in point.params.items())

    def test_points_to_start_from_come_first(self, tmp_path: Path) -> None:
        start = [USUAL, USUAL | {"prior.width": 4}]
        study = study_of(tmp_path, search_of(start=start))
        points = [study.ask() for _ in range(3)]
        assert [p.params for p in points[:2] if p] == start

    def test_what_a_start_leaves_out_is_chosen(self, tmp_path: Path) -> None:
        point = study_of(tmp_path, search_of(start=[{"rewind": SPACE["rewind"][2]}])).ask()
        assert point is not None
        assert point.params["rewind"] == SPACE["rewind"][2]
        assert 2 <= point.params["prior.width"] <= 32

    def test_fewer_points_than_there_are_to_start_from(self, tmp_path: Path) -> None:
        start = [USUAL | {"prior.width": width} for width in (2, 3, 4)]
        study = study_of(tmp_path, search_of(start=start, points=2))
        assert keys(drive(tmp_path, study, 2)) == [key_of(point) for point in start[:2]]
        assert study.ask() is None

    @pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
    def test_a_small_space_is_tried_whole_and_once(self, tmp_path: Path, sampler: Any) -> None:
        space = {
            "rewind": ["init", "finetune"],
            "prior.width": {"kind": "int", "low": 2, "high": 5},
        }
        study = study_of(tmp_path, search_of(space=space, points=50, sampler=sampler))
        assert study.total == 8
        found = []
        while point := study.ask():
            run(tmp_path, point, 20.0)
            study.tell(point.number)
            found.append(point)
        assert len(set(keys(found))) == len(found) == 8

    def test_values_that_do_not_go_together_are_recorded_and_passed_over(
        self, tmp_path: Path
    ) -> None:
        late = {"kind": "step", "step": 150}
        space = {"rewind": [late, "init"], "fit.steps": [200, 100]}
        sweep = search_of(space=space, points=9)
        study = study_of(tmp_path, sweep)
        found = []
        while point := study.ask():
            found.append(point)
        wrong = {"rewind": late, "fit.steps": 100}
        assert len(found) == 3
        assert key_of(wrong) not in keys(found)
        (stored,) = [p for p in Reader(tmp_path).points("tiny", sweep.search_id) if p.problem]
        assert (json.loads(stored.params), stored.trial_ids) == (wrong, ())
        score = Reader(tmp_path).scores("tiny", sweep.search_id)[stored.number]
        assert (score.state, score.values) == ("failed", ())
        assert "rewind.step must be less than the fit's steps" in score.reason
        assert (study.asked, study.told) == (4, 1)

    def test_it_must_be_a_search(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="tiny is not a search"):
            study_of(tmp_path, Sweep.build(TINY))


class TestGoingOn:
    @pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
    def test_a_new_process_asks_for_what_the_old_one_would_have(
        self, tmp_path: Path, sampler: Any
    ) -> None:
        sweep = search_of(sampler=sampler, start=[USUAL])
        undisturbed = keys(drive(tmp_path / "a", study_of(tmp_path / "a", sweep), 8))
        found = []
        for _ in range(4):  # each of which is killed after two points
            found += keys(drive(tmp_path / "b", study_of(tmp_path / "b", sweep), 2))
        assert found == undisturbed

    def test_what_was_not_told_comes_first(self, tmp_path: Path) -> None:
        sweep = search_of()
        before = study_of(tmp_path, sweep)
        points = [before.ask() for _ in range(4)]
        assert points[1] is not None
        run(tmp_path, points[1], 20.0)
        before.tell(1)
        after = study_of(tmp_path, sweep)
        assert (after.asked, after.told) == (4, 1)
        assert [after.ask() for _ in range(3)] == [points[0], points[2], points[3]]
        following = after.ask()
        assert following is not None
        assert following.number == 4

    def test_more_points_go_on_with_the_same_search(self, tmp_path: Path) -> None:
        drive(tmp_path, study_of(tmp_path, search_of(points=3)), 3)
        study = study_of(tmp_path, search_of(points=5))
        assert [point.number for point in drive(tmp_path, study, 2)] == [3, 4]
        assert study.ask() is None

    def test_fewer_points_leave_what_there_is(self, tmp_path: Path) -> None:
        before = study_of(tmp_path, search_of(points=4))
        for _ in range(4):
            before.ask()
        after = study_of(tmp_path, search_of(points=2))
        assert [point.number for point in (after.ask(), after.ask()) if point] == [0, 1]
        assert after.ask() is None
        assert (after.asked, after.total) == (2, 2)

    def test_a_start_that_is_added_later_is_tried_next(self, tmp_path: Path) -> None:
        drive(tmp_path, study_of(tmp_path, search_of(start=[USUAL])), 2)
        added = USUAL | {"prior.width": 3}
        study = study_of(tmp_path, search_of(start=[USUAL, added]))
        (point,) = drive(tmp_path, study, 1)
        assert point.params == added

    def test_another_search_in_the_same_store_is_another(self, tmp_path: Path) -> None:
        drive(tmp_path, study_of(tmp_path, search_of()), 2)
        other = study_of(tmp_path, search_of(objectives=[KEPT]))
        assert (other.asked, other.told) == (0, 0)

    def test_one_that_died_before_it_said_that_values_do_not_go_together(
        self, tmp_path: Path
    ) -> None:
        sweep = search_of(points=1)
        study = study_of(tmp_path, sweep)
        study.ask()
        (stored,) = Reader(tmp_path).points("tiny", sweep.search_id)
        lost = replace(stored, trial_ids=(), kinds=(), specs=(), levels=(), problem="no")
        shutil.rmtree(tmp_path / "points")
        Writer.open(tmp_path).write_point(lost)
        after = study_of(tmp_path, sweep)
        assert after.ask() is None
        assert Reader(tmp_path).scores("tiny", sweep.search_id)[0].reason == "no"


class TestTwoProcesses:
    def test_they_share_the_points(self, tmp_path: Path) -> None:
        sweep = search_of(points=6, sampler="random")
        ours, theirs = study_of(tmp_path, sweep), study_of(tmp_path, sweep)
        found = [study.ask() for _ in range(3) for study in (ours, theirs)]
        numbers = [point.number for point in found if point]
        assert sorted(numbers) == list(range(6))
        assert len(set(keys(point for point in found if point))) == 6

    def test_what_the_other_left_is_taken_up_at_the_end(self, tmp_path: Path) -> None:
        sweep = search_of(points=4)
        ours, theirs = study_of(tmp_path, sweep), study_of(tmp_path, sweep)
        left, finished = theirs.ask(), theirs.ask()
        assert left is not None
        assert finished is not None
        mine = [ours.ask(), ours.ask()]
        assert [point.number for point in mine if point] == [2, 3]
        run(tmp_path, finished, 20.0)
        theirs.tell(finished.number)
        assert ours.ask() == left
        assert ours.ask() is None

    def test_the_first_score_stands(self, tmp_path: Path) -> None:
        sweep = search_of()
        ours = study_of(tmp_path, sweep)
        point = ours.ask()
        assert point is not None
        theirs = study_of(tmp_path, sweep)
        run(tmp_path, point, 20.0)
        first = theirs.tell(point.number)
        assert ours.tell(point.number, problem="too late") == first
        assert Reader(tmp_path).scores("tiny", sweep.search_id)[point.number] == first


@given(st.lists(st.sampled_from(["ask", "tell", "tell last", "kill"]), max_size=25))
@settings(max_examples=25)
def test_whatever_happens_every_point_is_asked_for_once_and_told(events: list[str]) -> None:
    folder = Path(tempfile.mkdtemp())
    sweep = search_of(points=5, sampler={"kind": "tpe", "startup": 2})
    study, flying = study_of(folder, sweep), dict[int, str]()
    for event in [*events, *["kill", *["ask"] * 6, *["tell"] * 5]]:
        if event == "kill":
            study, flying = study_of(folder, sweep), {}
        elif event == "ask" and (point := study.ask()):
            assert point.number not in flying
            flying[point.number] = key_of(point.params)
        elif event.startswith("tell") and flying:
            number = list(flying)[-1 if "last" in event else 0]
            study.tell(number, problem="it was lost")
            del flying[number]
    stored = Reader(folder).points("tiny", sweep.search_id)
    assert [point.number for point in stored] == list(range(5))
    assert len({point.params for point in stored}) == 5
    assert sorted(Reader(folder).scores("tiny", sweep.search_id)) == list(range(5))
    assert (study.ask(), study.asked, study.told) == (None, 5, 5)
    shutil.rmtree(folder)


class TestTelling:
    @staticmethod
    def told(
        store: Path, sweep: Sweep, *levels: Callable[[str], LevelRecord], **reasons: str
    ) -> Any:
        """The score of a point whose every trial left the same levels."""
        study = study_of(store, sweep)
        point = study.ask()
        assert point is not None
        for trial in point.trials:
            for level in levels:
                commit(store, level(trial.id))
        return study.tell(point.number, **reasons)

    def test_the_last_level_unless_said_otherwise(self, tmp_path: Path) -> None:
        levels = [lambda i, n=n: row(i, n, psnr_selected_db=25.0 - n) for n in range(3)]
        score = self.told(tmp_path, search_of(), *levels)
        assert (score.state, score.values, score.reason) == ("complete", (23.0, 200.0), "")

    @pytest.mark.parametrize(
        ("level", "kept"),
        [
            (0, 800),
            (1, 400),
            ("last", 200),
            ({"density": 1}, 800),
            ({"density": 0.46}, 400),
            ({"density": 0.25}, 200),
        ],
    )
    def test_another_level(self, tmp_path: Path, level: object, kept: int) -> None:
        levels = [lambda i, n=n: row(i, n) for n in range(3)]
        sweep = search_of(objectives=[KEPT | {"level": level}])
        assert self.told(tmp_path, sweep, *levels).values == (kept,)

    def test_seconds_are_added_up(self, tmp_path: Path) -> None:
        levels = [lambda i, n=n: row(i, n, fit_s=1.0 + n) for n in range(3)]
        seconds = {"column": "fit_s", "direction": "minimize"}
        objectives = [seconds, seconds | {"level": 1}, seconds | {"level": 0}]
        score = self.told(tmp_path, search_of(objectives=objectives), *levels)
        assert score.values == (6.0, 3.0, 1.0)

    def test_the_mean_over_trials_and_their_images(self, tmp_path: Path) -> None:
        photo = TINY["trial"]["images"]
        trial = TINY["trial"] | {"images": [photo, photo | {"name": "moon"}]}
        seconds = {"column": "fit_s", "direction": "minimize"}
        sweep = search_of(
            {"trial": trial, "grid": {"seed": [0, 1]}}, objectives=[PSNR | {"level": 0}, seconds]
        )
        study = study_of(tmp_path, sweep)
        point = study.ask()
        assert point is not None
        for seed, trial in enumerate(point.trials):
            for level in range(3):
                images = [
                    row(trial.id, level, image=name, psnr_selected_db=20.0 + 10 * seed + i, fit_s=2)
                    for i, name in enumerate(("camera", "moon"))
                ]
                commit(tmp_path, *images)
        assert study.tell(point.number).values == (25.5, 12.0)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"outcome": Outcome.DIVERGED, "reason": "loss"}, "level 2 of {} diverged: loss"),
            ({"outcome": Outcome.FAILED, "reason": "none"}, "level 2 of {} failed: none"),
            ({"psnr_selected_db": None}, "level 2 of {} has no psnr_selected_db"),
            ({"psnr_selected_db": math.nan}, "level 2 of {} has no psnr_selected_db"),
            ({"psnr_selected_db": math.inf}, "level 2 of {} has no psnr_selected_db"),
        ],
    )
    def test_without_a_number_it_failed(
        self, tmp_path: Path, changes: dict[str, Any], reason: str
    ) -> None:
        study = study_of(tmp_path, search_of())
        point = study.ask()
        assert point is not None
        run(tmp_path, point, 20.0, **changes)
        score = study.tell(point.number)
        assert (score.state, score.values) == ("failed", ())
        assert score.reason == reason.format(point.trials[0].id)

    def test_a_level_that_no_objective_is_about_may_diverge(self, tmp_path: Path) -> None:
        study = study_of(tmp_path, search_of(objectives=[PSNR | {"level": 1}]))
        point = study.ask()
        assert point is not None
        run(tmp_path, point, 20.0, outcome=Outcome.DIVERGED)
        assert study.tell(point.number).state == "complete"

    def test_a_collapsed_one_keeps_its_values(self, tmp_path: Path) -> None:
        study = study_of(tmp_path, search_of())
        point = study.ask()
        assert point is not None
        run(tmp_path, point, 20.0, outcome=Outcome.COLLAPSED)
        score = study.tell(point.number)
        assert (score.state, score.values) == ("collapsed", (18.0, 200.0))
        assert score.reason == f"level 2 of {point.trials[0].id} collapsed"

    def test_the_density_is_not_there_after_all(self, tmp_path: Path) -> None:
        """Transfers take their ladder from elsewhere: only their rows tell what it has."""
        sweep = search_of(objectives=[KEPT | {"level": {"density": 0.25}}])
        levels = [lambda i, n=n: row(i, n, kept=800 - n) for n in range(3)]
        score = self.told(tmp_path, sweep, *levels)
        assert score.state == "failed"
        assert score.reason.endswith("has a density within 10 % of 0.25")

    def test_reasons_of_others(self, tmp_path: Path) -> None:
        study = study_of(tmp_path, search_of())
        for number, (given_reason, state) in enumerate(
            [({"problem": "it raised"}, "failed"), ({"stopped": "it was behind"}, "stopped")]
        ):
            study.ask()
            score = study.tell(number, **given_reason)
            assert (score.state, score.values) == (state, ())
            assert score.reason in given_reason.values()

    def test_an_incomplete_trial_is_not_told(self, tmp_path: Path) -> None:
        sweep = search_of()
        study = study_of(tmp_path, sweep)
        point = study.ask()
        assert point is not None
        (trial,) = point.trials
        commit(tmp_path, row(trial.id, 0))
        with pytest.raises(StoreError, match=f"the store lacks level 1 of trial {trial.id}"):
            study.tell(point.number)
        assert study.told == 0
        assert Reader(tmp_path).scores("tiny", sweep.search_id) == {}


class TestWhatOptunaKnows:
    @pytest.fixture
    def study(self, tmp_path: Path) -> Study:
        """Points that ended in every way, and one in flight."""
        study = study_of(tmp_path, search_of(points=9, sampler={"kind": "tpe", "startup": 2}))
        for ending in ("complete", "collapsed", "failed", "stopped", "in flight"):
            point = study.ask()
            assert point is not None
            if ending in ("complete", "collapsed"):
                lost = {"outcome": Outcome.COLLAPSED} if ending == "collapsed" else {}
                run(tmp_path, point, 30.0 if lost else 20.0, kept=1 if lost else 2, **lost)
                study.tell(point.number)
            elif ending == "failed":
                study.tell(point.number, problem="it raised")
            elif ending == "stopped":
                study.tell(point.number, stopped="it was behind")
        return study

    def test_states_and_values(self, study: Study) -> None:
        known = study.before(5).trials
        assert [trial.state for trial in known] == [
            TrialState.COMPLETE,
            TrialState.COMPLETE,
            TrialState.FAIL,
            TrialState.PRUNED,
            TrialState.RUNNING,
        ]
        assert [trial.values for trial in known] == [[18.0, 2.0], [28.0, 1.0], None, None, None]

    def test_what_collapsed_is_on_no_front(self, study: Study) -> None:
        """Its values beat all others."""
        known = study.before(5)
        assert [trial.constraints for trial in known.trials[:2]] == [
            {"collapsed": 0.0},
            {"collapsed": 1.0},
        ]
        assert [trial.number for trial in known.best_trials] == [0]

    def test_what_is_chosen_from_a_list_is_its_place(self, study: Study) -> None:
        assert all(trial.params["rewind"] in (0, 1, 2) for trial in study.before(5).trials)

    def test_it_goes_on(self, study: Study) -> None:
        assert study.ask() is not None

    def test_the_sampler_keeps_away_from_what_collapses(self, tmp_path: Path) -> None:
        """Although its values are the best of all."""
        space = {"fit.average": {"kind": "float", "low": 0.0, "high": 0.9}}
        sampler = {"kind": "tpe", "startup": 8}
        sweep = search_of(ONE_LEVEL, space=space, objectives=[PSNR], points=24, sampler=sampler)
        study, lost = direct_study_of(tmp_path, sweep), []
        while point := study.ask():
            average = point.params["fit.average"]
            collapsed = average > 0.4
            outcome = Outcome.COLLAPSED if collapsed else Outcome.BUDGET
            psnr = 30.0 if collapsed else 20 - abs(average - 0.2)
            commit(tmp_path, row(point.trials[0].id, 0, psnr_selected_db=psnr, outcome=outcome))
            study.tell(point.number)
            lost.append(collapsed)
        assert sum(lost[:8]) >= 3
        assert sum(lost[8:]) <= 5, "they are no more than chance wants to see"

    def test_it_is_silent(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        drive(tmp_path, study_of(tmp_path, search_of(sampler="nsga2")), 3)
        assert capfd.readouterr() == ("", "")


class TestSamplers:
    @pytest.mark.parametrize(
        "sampler", [{"startup": 6}, {"kind": "nsga2", "population": 6}], ids=str
    )
    def test_they_find_better_points_than_chance(self, tmp_path: Path, sampler: Any) -> None:
        def mean_of_the_second_half(sampler: Any, store: Path) -> float:
            sweep = search_of(ONE_LEVEL, objectives=[PSNR], points=20, sampler=sampler)
            points = drive(store, direct_study_of(store, sweep), 20)
            return sum(map(quality, points[10:])) / 10

        by_chance = mean_of_the_second_half("random", tmp_path / "random")
        assert mean_of_the_second_half(sampler, tmp_path / "guided") > by_chance + 0.5

    def test_a_seed_is_another_search_of_the_same_id(self, tmp_path: Path) -> None:
        first, other = (search_of(sampler={"seed": seed}) for seed in (0, 1))
        assert first.search_id == other.search_id
        ours = study_of(tmp_path / "a", first).ask()
        theirs = study_of(tmp_path / "b", other).ask()
        assert ours is not None
        assert theirs is not None
        assert ours.params != theirs.params

    def test_points_in_flight_count_as_bad_ones(self, tmp_path: Path) -> None:
        """So that eight at once are not eight times the same."""
        study = study_of(tmp_path, search_of(points=14, sampler={"startup": 4}))
        drive(tmp_path, study, 6)
        rates = [p.params["fit.learning_rate"] for _ in range(8) if (p := study.ask())]
        assert len({round(rate, 6) for rate in rates}) == 8


class TestHopeless:
    RULE = {"margin_db": 1.0, "after": 2, "from_level": 1}  # noqa: RUF012

    def told(self, store: Path, *psnrs: float, **fields: Any) -> tuple[Study, Point]:
        """A search whose first points had these PSNRs at level 0, and the point in flight."""
        study = study_of(store, search_of(points=20, **({"stop_hopeless": self.RULE} | fields)))
        for psnr in psnrs:
            point = study.ask()
            assert point is not None
            run(store, point, psnr)
            study.tell(point.number)
        point = study.ask()
        assert point is not None
        return study, point

    def test_far_behind_the_median_of_the_same_level(self, tmp_path: Path) -> None:
        study, point = self.told(tmp_path, 20.0, 22.0, 30.0)
        trial = point.trials[0].id
        assert study.hopeless(trial, 1, 20.0) is None, "the margin is allowed"
        assert study.hopeless(trial, 1, 19.9) == (
            "19.90 dB at level 1 is more than 1 dB below 21.00 dB, the median of 3 points there"
        )

    @pytest.mark.parametrize(
        ("level", "psnr"), [(0, 5.0), (2, 5.0), (1, None)], ids=["early", "last", "unknown"]
    )
    def test_where_there_is_nothing_to_compare_or_to_save(
        self, tmp_path: Path, level: int, psnr: float | None
    ) -> None:
        study, point = self.told(tmp_path, 20.0, 22.0)
        assert study.hopeless(point.trials[0].id, 1, 5.0) is not None
        assert study.hopeless(point.trials[0].id, level, psnr) is None

    def test_not_before_enough_points_are_complete(self, tmp_path: Path) -> None:
        study, point = self.told(tmp_path, 20.0)
        assert study.hopeless(point.trials[0].id, 1, 5.0) is None

    def test_points_without_a_score_do_not_count(self, tmp_path: Path) -> None:
        study, point = self.told(tmp_path, 20.0)
        run(tmp_path, point, 20.0, outcome=Outcome.COLLAPSED)
        assert study.tell(point.number).state == "collapsed"
        following = study.ask()
        assert following is not None
        assert study.hopeless(following.trials[0].id, 1, 5.0) is None

    def test_never_unless_asked_for(self, tmp_path: Path) -> None:
        study, point = self.told(tmp_path, 20.0, 20.0, stop_hopeless=None)
        assert study.hopeless(point.trials[0].id, 1, 5.0) is None

    def test_points_to_start_from_go_on(self, tmp_path: Path) -> None:
        start = [USUAL | {"prior.width": width} for width in (2, 3, 4)]
        study, point = self.told(tmp_path, 20.0, 20.0, start=start)
        assert point.params == start[2]
        assert study.hopeless(point.trials[0].id, 1, 5.0) is None

    def test_a_trial_of_no_point_goes_on(self, tmp_path: Path) -> None:
        study, _ = self.told(tmp_path, 20.0, 20.0)
        assert study.hopeless("a" * 16, 1, 5.0) is None

    def test_each_trial_of_a_point_is_compared_with_its_like(self, tmp_path: Path) -> None:
        """Another photo has another PSNR."""
        photos = [TINY["trial"]["images"] | {"name": name} for name in ("camera", "moon")]
        sweep = search_of({"grid": {"images": photos}}, points=20, stop_hopeless=self.RULE)
        study = study_of(tmp_path, sweep)
        for _ in range(2):
            point = study.ask()
            assert point is not None
            for trial, psnr in zip(point.trials, (20.0, 40.0), strict=True):
                for level in range(3):
                    commit(tmp_path, row(trial.id, level, psnr_selected_db=psnr))
            study.tell(point.number)
        point = study.ask()
        assert point is not None
        camera, moon = point.trials
        assert study.hopeless(camera.id, 1, 20.0) is None
        assert study.hopeless(moon.id, 1, 20.0) is not None

    def test_a_new_process_knows_what_was_reached(self, tmp_path: Path) -> None:
        before, point = self.told(tmp_path, 20.0, 22.0)
        after = study_of(tmp_path, search_of(points=20, stop_hopeless=self.RULE))
        assert after.ask() == point
        trial = point.trials[0].id
        assert after.hopeless(trial, 1, 5.0) == before.hopeless(trial, 1, 5.0) is not None
