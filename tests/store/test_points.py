"""Points of a search and their scores come back as they were written; the front is exact."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lip_ray.records import PointRecord, ScoreRecord
from lip_ray.store import Reader, StoreError, Writer

Make = Callable[..., Any]

SEARCH = ("widths", "e" * 16)


def test_points_and_scores_come_back_as_they_were_written(
    tmp_path: Path, point_record: Make, score_record: Make
) -> None:
    store, reader = Writer.open(tmp_path), Reader(tmp_path)
    assert reader.points(*SEARCH) == []
    assert reader.scores(*SEARCH) == {}
    points: list[PointRecord] = [
        point_record(0),
        point_record(
            1, trial_ids=(), kinds=(), specs=(), levels=(), problem="scales: 9 is too many"
        ),
        point_record(12, params='{"prior.width": 64}'),
        point_record(100_000),
    ]
    scores: list[ScoreRecord] = [
        score_record(0),
        score_record(1, state="failed", values=(), reason="no trials"),
        score_record(12, state="collapsed", values=(11.5, 3.0)),
    ]
    for point in reversed(points):
        assert store.write_point(point)
    for score in scores:
        assert store.write_score(score)
    assert reader.points(*SEARCH) == points, "in order of number, however long"
    assert reader.scores(*SEARCH) == {0: scores[0], 1: scores[1], 12: scores[2]}


def test_searches_are_told_apart(tmp_path: Path, point_record: Make) -> None:
    store, reader = Writer.open(tmp_path), Reader(tmp_path)
    others = [("widths", "d" * 16), ("widths-" + "e" * 16, "e" * 16), ("width", "e" * 16)]
    for search, search_id in others:
        store.write_point(point_record(search=search, search_id=search_id))
        store.write_point(point_record(1, search=search, search_id=search_id))
    store.write_point(point_record())
    assert reader.points(*SEARCH) == [point_record()]
    assert [len(reader.points(*other)) for other in others] == [2, 2, 2]


def test_of_two_different_points_or_scores_the_first_stays(
    tmp_path: Path, point_record: Make, score_record: Make
) -> None:
    store, reader = Writer.open(tmp_path), Reader(tmp_path)
    for write, record, other in (
        (store.write_point, point_record(), point_record(params="{}")),
        (store.write_score, score_record(), score_record(values=(1.0, 2.0))),
    ):
        assert write(record)
        assert write(record), "the same again is no conflict"
        assert not write(other)
    assert reader.points(*SEARCH) == [point_record()]
    assert reader.scores(*SEARCH) == {0: score_record()}


def _ask(root: Path, points: Sequence[PointRecord], begin: Any, won: Any) -> None:
    store = Writer.open(root)
    begin.wait()
    wins = sum(store.write_point(point) for point in points)
    with won.get_lock():
        won.value += wins


def test_of_two_drivers_one_has_each_point(tmp_path: Path, point_record: Make) -> None:
    context = multiprocessing.get_context("fork")
    begin, won = context.Barrier(2), context.Value("i", 0)
    processes = [
        context.Process(
            target=_ask,
            args=(tmp_path, [point_record(n, params=f"[{p}]") for n in range(20)], begin, won),
        )
        for p in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert won.value == 20
    assert [point.number for point in Reader(tmp_path).points(*SEARCH)] == list(range(20))


def test_a_damaged_point_is_named(tmp_path: Path, point_record: Make) -> None:
    Writer.open(tmp_path).write_point(point_record())
    [path] = (tmp_path / "points").iterdir()
    path.write_bytes(b"PAR1")
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        Reader(tmp_path).points(*SEARCH)


def test_queries_see_a_row_for_each_trial_with_the_points_score(
    tmp_path: Path, point_record: Make, score_record: Make
) -> None:
    store = Writer.open(tmp_path)
    store.write_point(point_record(0))
    store.write_score(score_record(0))
    store.write_point(
        point_record(1, trial_ids=(), kinds=(), specs=(), levels=(), problem="does not go")
    )
    store.write_score(score_record(1, state="failed", values=(), reason="does not go"))
    store.write_point(point_record(2))
    rows = (
        Reader(tmp_path)
        .sql(
            "select number, position, trial_id, levels, problem, state, values, losses, pareto "
            "from points order by number, position"
        )
        .to_pylist()
    )
    same = {"state": "complete", "values": [27.25, 100.0], "losses": [-27.25, 100.0]}
    same |= {"number": 0, "problem": "", "pareto": True}
    open_ = {"state": None, "values": None, "losses": None, "pareto": False, "problem": ""}
    assert rows == [
        same | {"position": 0, "trial_id": "a" * 16, "levels": 2},
        same | {"position": 1, "trial_id": "b" * 16, "levels": 3},
        {
            "number": 1,
            "position": 0,
            "trial_id": None,
            "levels": None,
            "problem": "does not go",
            "state": "failed",
            "values": [],
            "losses": [],
            "pareto": False,
        },
        open_ | {"number": 2, "position": 0, "trial_id": "a" * 16, "levels": 2},
        open_ | {"number": 2, "position": 1, "trial_id": "b" * 16, "levels": 3},
    ]


Told = tuple[str, tuple[float, ...], str]
"""A search's id, the values of a point and its state."""

DIRECTIONS = ("maximize", "minimize", "maximize")
OBJECTIVES = "[" + ", ".join(f'{{"direction": "{direction}"}}' for direction in DIRECTIONS) + "]"

FEW = st.sampled_from([-1.0, 0.0, -0.0, 0.5, 1.0, float("inf")])
"""So that ties and duplicates abound."""


def front(told: Sequence[Told]) -> list[bool]:
    """Whether each point is complete and none of its search dominates it, by the definition."""

    def losses(values: tuple[float, ...]) -> list[float]:
        return [-v if d == "maximize" else v for v, d in zip(values, DIRECTIONS, strict=True)]

    def dominates(one: Told, other: Told) -> bool:
        if one[0] != other[0] or one[2] != "complete":
            return False
        pairs = list(zip(losses(one[1]), losses(other[1]), strict=True))
        return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)

    return [
        point[2] == "complete" and not any(dominates(other, point) for other in told)
        for point in told
    ]


@settings(max_examples=10, deadline=None)
@given(
    told=st.lists(
        st.tuples(
            st.sampled_from(["c" * 16, "d" * 16, "e" * 16]),
            st.tuples(FEW, FEW, FEW),
            st.sampled_from(["complete", "complete", "complete", "collapsed"]),
        ),
        max_size=20,
    )
)
def test_the_front_is_what_no_other_complete_point_of_the_search_dominates(
    told: list[Told],
    tmp_path_factory: pytest.TempPathFactory,
    point_record: Make,
    score_record: Make,
) -> None:
    root = tmp_path_factory.mktemp("front")
    store = Writer.open(root)
    for number, (search_id, values, state) in enumerate(told):
        key = {"search_id": search_id}
        store.write_point(point_record(number, objectives=OBJECTIVES, **key))
        store.write_score(score_record(number, state=state, values=values, **key))
    rows = Reader(root).sql("select distinct number, pareto from points order by number")
    assert [row["pareto"] for row in rows.to_pylist()] == front(told)
    view = Reader(root).sql("select number from pareto").to_pylist()
    best = [number for number, on_it in enumerate(front(told)) if on_it]
    assert sorted(row["number"] for row in view) == best


def test_no_front_has_a_point_whose_value_rests_on_a_fit_that_says_nothing(
    tmp_path: Path, point_record: Make, score_record: Make, level_record: Make
) -> None:
    """Each point would dominate the next; what counts is the level of an objective."""
    sound, unended, bad = {}, {"unfinished": True}, {"psnr_peak_db": 19.0}
    levels = (
        {"kind": "last"},
        {"kind": "number", "number": 1},
        {"kind": "density", "density": 0.5},
    )
    ladders = [(sound, sound, unended), (sound, bad, sound), (unended, sound, sound)]
    store = Writer.open(tmp_path)
    for place, level in enumerate(levels):
        objective = {"column": "psnr_selected_db", "direction": "maximize", "level": level}
        for number, ladder in enumerate(ladders):
            key = {"search": f"by {level['kind']}", "search_id": "e" * 16}
            trial = f"{place}{number}".ljust(16, "a")
            aims = json.dumps([objective])
            rows = {"trial_ids": (trial,), "kinds": ("trajectory",), "specs": ("{}",)}
            store.write_point(point_record(number, objectives=aims, levels=(3,), **rows, **key))
            store.write_score(score_record(number, values=(30.0 - number,), **key))
            for at, changes in enumerate(ladder):
                counts = {"kept": 8 >> at, "effective": 8 >> at}
                store.write_level([level_record(trial, at, **counts, **changes)])
    rows = Reader(tmp_path).sql("select search, unfit, pareto from points order by all")
    found = {
        search: [(row["unfit"], row["pareto"]) for row in own]
        for search, own in groupby(rows.to_pylist(), key=itemgetter("search"))
    }
    assert found == {
        "by last": [("", False), ("", True), ("unfinished", False)],
        "by number": [("", False), ("", True), ("below the measurement", False)],
        "by density": [("", False), ("", True), ("below the measurement", False)],
    }


def test_the_oracle_knows_a_front_by_hand() -> None:
    told = [
        ("e", (2.0, 1.0, 0.0), "complete"),
        ("e", (1.0, 1.0, 0.0), "complete"),  # worse in the first
        ("e", (1.0, 0.5, 0.0), "complete"),
        ("e", (2.0, 1.0, 0.0), "complete"),  # the first again
        ("e", (9.0, 0.0, 9.0), "collapsed"),
        ("d", (0.0, 9.0, 0.0), "complete"),  # of another search
    ]
    assert front(told) == [True, False, True, True, False, True]
