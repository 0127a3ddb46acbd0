"""Searches: their points as the store has them, the front, its figure and its part of the page."""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lip_ray.analysis import front_figure, front_table, frontier_report, search_table
from lip_ray.analysis.charts.style import OKABE_ITO
from lip_ray.analysis.parts.search.figures import FOOTED, UNENDED
from lip_ray.analysis.parts.search.table import (
    BELOW,
    goals_of,
    left_out,
    pair_table,
    value_text,
)
from lip_ray.analysis.rows.points import UNFINISHED
from lip_ray.records import PointRecord, ScoreRecord
from lip_ray.store import Reader, Writer

NOW = datetime(2026, 1, 1)
PSNR = {"column": "psnr_selected_db", "direction": "maximize", "level": {"kind": "last"}}
KEPT = {"column": "kept", "direction": "minimize", "level": {"kind": "last"}}
SECONDS = {"column": "fit_s", "direction": "minimize", "level": {"kind": "number", "number": 2}}
STEP = {"kind": "step", "step": 10}

FOUND: list[tuple[str | None, tuple[float, ...]]] = [
    ("complete", (25.0, 1000.0)),
    ("complete", (27.0, 4000.0)),
    ("complete", (24.0, 2000.0)),  # point 0 is better and smaller
    ("collapsed", (11.0, 10.0)),  # the smallest of all, but no image's worth
    ("complete", (26.0, 2000.0)),
    ("complete", (26.0, 3000.0)),  # as good as the one before, but larger
    ("stopped", ()),
    ("failed", ()),
    (None, ()),
]
"""States and values by number; None is in flight."""


def write_search(
    store: Path,
    found: Sequence[tuple[str | None, tuple[float, ...]]],
    objectives: Sequence[dict[str, Any]],
    *,
    search: str = "narrow",
    trials: int = 2,
) -> Reader:
    """A store with these points, each of as many trials; a failed one has a problem instead."""
    writer = Writer.open(store)
    for number, (state, values) in enumerate(found):
        ids = tuple(f"{search[:4]}{number:06x}{trial:06x}" for trial in range(trials))
        params = {"prior.width": 8 + number, "fit.learning_rate": 0.01, "rewind": STEP}
        writer.write_point(
            PointRecord(
                search=search,
                search_id="0123456789abcdef",
                number=number,
                params=json.dumps(params),
                objectives=json.dumps(list(objectives)),
                trial_ids=() if state == "failed" else ids,
                kinds=() if state == "failed" else ("trajectory",) * trials,
                specs=() if state == "failed" else ("{}",) * trials,
                levels=() if state == "failed" else (3,) * trials,
                problem="prior.width does not go with scales" if state == "failed" else "",
                lip_ray_version="1",
                asked_at=NOW,
            )
        )
        if state:
            told: Any = {"state": state, "values": values}
            reason = "1.2 dB behind" if state == "stopped" else ""
            writer.write_score(
                ScoreRecord(
                    search=search,
                    search_id="0123456789abcdef",
                    number=number,
                    **told,
                    reason=reason,
                    told_at=NOW,
                )
            )
    return Reader(store)


@pytest.fixture
def points(tmp_path: Path) -> pd.DataFrame:
    """The view of a search with every state."""
    return write_search(tmp_path / "store", FOUND, (PSNR, KEPT)).frame("points")


class TestTables:
    """What the store's view becomes."""

    def test_a_row_a_point_with_values_state_and_fields(self, points: pd.DataFrame) -> None:
        table = search_table(points)
        assert list(table.columns) == [
            "number", "state", "unfit", "pareto", "psnr_selected_db", "kept",
            "prior.width", "fit.learning_rate", "rewind", "trials", "reason",
        ]  # fmt: skip
        assert table["number"].tolist() == list(range(9))
        assert table["state"].tolist() == [state or "in flight" for state, _ in FOUND]
        assert table["prior.width"].tolist() == list(range(8, 17))
        assert set(table["rewind"]) == {"step (step 10)"}
        assert table["trials"].tolist() == [2] * 7 + [0, 2]
        assert table["kept"].tolist()[:6] == [values[1] for _, values in FOUND[:6]]
        assert table.loc[6:, ["kept", "psnr_selected_db"]].isna().all(axis=None)

    def test_reasons_say_what_went_wrong(self, points: pd.DataFrame) -> None:
        reasons = search_table(points)["reason"]
        assert reasons[6] == "1.2 dB behind"
        assert reasons[7] == "prior.width does not go with scales"
        assert reasons[0] == reasons[8] == ""

    def test_the_front_is_in_order(self, points: pd.DataFrame) -> None:
        front = front_table(points)
        assert front["number"].tolist() == [1, 4, 0]
        assert front["psnr_selected_db"].tolist() == [27.0, 26.0, 25.0]
        assert front["kept"].tolist() == [4000.0, 2000.0, 1000.0]

    @settings(max_examples=12)
    @given(
        values=st.lists(
            st.tuples(st.integers(0, 4).map(float), st.integers(1, 4).map(float)),
            min_size=1,
            max_size=8,
        )
    )
    def test_the_front_is_what_nothing_is_better_than(
        self, values: list[tuple[float, float]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        store = tmp_path_factory.mktemp("any")
        points = write_search(store, [("complete", v) for v in values], (PSNR, KEPT), trials=1)
        front = front_table(points.frame("points"))
        expected = {
            number
            for number, (db, kept) in enumerate(values)
            if not any((a >= db and b <= kept) and (a, b) != (db, kept) for a, b in values)
        }
        assert set(front["number"]) == expected
        assert front["psnr_selected_db"].is_monotonic_decreasing
        assert front["kept"].is_monotonic_decreasing

    def test_levels_tell_objectives_of_one_column_apart(self, tmp_path: Path) -> None:
        near = {**PSNR, "level": {"kind": "density", "density": 0.1}}
        reader = write_search(tmp_path, [("complete", (25.0, 26.0, 3.0))], (PSNR, near, SECONDS))
        goals = goals_of(reader.frame("points"))
        assert [goal.name for goal in goals] == [
            "psnr_selected_db", "psnr_selected_db@0.1", "fit_s@2",
        ]  # fmt: skip
        assert [goal.title for goal in goals] == [
            "PSNR of the selected step (dB), sparsest level",
            "PSNR of the selected step (dB), density 0.1",
            "Seconds of fitting (s), level 2",
        ]

    def test_pairs_leave_out_what_no_front_may_have(self, points: pd.DataFrame) -> None:
        [row] = pair_table(points).to_dict("records")
        assert row["points"] == 3
        [row] = pair_table(points.assign(unfit=UNFINISHED)).to_dict("records")
        assert row["points"] == 0

    def test_pairs_of_three_objectives(self, tmp_path: Path) -> None:
        found = [
            ("complete", (27.0, 4000.0, 1.0)),
            ("complete", (26.0, 1000.0, 9.0)),
            ("complete", (25.0, 2000.0, 2.0)),
        ]
        points = write_search(tmp_path, found, (PSNR, KEPT, SECONDS)).frame("points")
        assert set(front_table(points)["number"]) == {0, 1, 2}
        pairs = pair_table(points).set_index(["first", "second"])["points"]
        assert pairs["psnr_selected_db", "kept"] == 2
        assert pairs["psnr_selected_db", "fit_s@2"] == 1
        assert pairs["kept", "fit_s@2"] == 3

    def test_two_searches_are_refused(self, tmp_path: Path) -> None:
        for search in ("narrow", "wide"):
            reader = write_search(tmp_path, FOUND, (PSNR, KEPT), search=search)
        for made in (search_table, front_table, front_figure):
            with pytest.raises(ValueError, match="one search"):
                made(reader.frame("points"))

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (0.0123456, "0.01235"),
            (8, "8"),
            (True, "true"),
            (None, "null"),
            ("init", "init"),
            ([1, 0.5], "1, 0.5"),
            ({"kind": "init"}, "init"),
            ({"kind": "step", "step": 10}, "step (step 10)"),
            ({"sigma": 25}, "(sigma 25)"),
        ],
    )
    def test_values_in_few_characters(self, value: object, said: str) -> None:
        assert value_text(value) == said


class TestFigure:
    """What is drawn are the table's numbers."""

    def test_all_points_by_what_became_of_them(self, points: pd.DataFrame) -> None:
        drawn = {trace.name: trace for trace in front_figure(points).data}
        shown = {name: list(zip(t.x, t.y, strict=True)) for name, t in drawn.items()}
        assert shown == {
            "front: within reach": [(4000.0, 27.0), (2000.0, 26.0), (1000.0, 25.0)],
            "other points": [(2000.0, 24.0), (3000.0, 26.0)],
            FOOTED: [(10.0, 0.0)],
            "best": [(1000.0, 25.0), (4000.0, 27.0), (2000.0, 26.0)],
        }

    def test_the_staircase_claims_only_what_a_point_reaches(self, points: pd.DataFrame) -> None:
        line = front_figure(points).data[0]
        assert line.line.shape == "vh"  # down to the next PSNR first, and then along it
        assert line.line.color == OKABE_ITO[0]

    def test_axes_have_words_units_and_the_level(self, points: pd.DataFrame) -> None:
        shown = front_figure(points).layout
        assert shown.yaxis.title.text == "PSNR of the selected step (dB), sparsest level"
        assert shown.xaxis.title.text == "Prunable weights kept, sparsest level"
        assert shown.xaxis.type == "log"
        assert shown.xaxis.range[0] > shown.xaxis.range[1]  # dense on the left, as elsewhere

    def test_a_size_of_zero_is_no_log_axis(self, tmp_path: Path) -> None:
        found = [("complete", (25.0, 1000.0)), ("collapsed", (11.0, 0.0))]
        points = write_search(tmp_path, found, (PSNR, KEPT)).frame("points")
        assert front_figure(points).layout.xaxis.type is None

    def test_unfit_points_are_marked_and_within_no_reach(self, points: pd.DataFrame) -> None:
        unfit = points["number"].map({1: UNFINISHED, 4: BELOW}).fillna("")
        drawn = {
            trace.name: list(zip(trace.x, trace.y, strict=True))
            for trace in front_figure(points.assign(unfit=unfit, pareto=unfit == "")).data
        }
        assert drawn[UNENDED] == [(4000.0, 27.0)]
        assert drawn[FOOTED] == [(10.0, 0), (2000.0, 0)]
        best = front_figure(points.assign(unfit=unfit)[points["number"] < 2]).layout.yaxis.range
        assert best[1] > 27

    def test_the_best_so_far_is_of_points_that_say_something(self, tmp_path: Path) -> None:
        found = [("complete", (v,)) for v in (25.0, 24.0, 27.0)]
        points = write_search(tmp_path, found, (PSNR,)).frame("points")
        unfit = points["number"].map({2: UNFINISHED}).fillna("")
        assert list(front_figure(points.assign(unfit=unfit)).data[0].y) == [25.0, 25.0]

    def test_a_point_says_its_settings(self, points: pd.DataFrame) -> None:
        best = next(trace for trace in front_figure(points).data if trace.name == "best")
        assert best.text[0] == (
            "point 0<br>psnr_selected_db 25.00<br>kept 1,000<br>prior.width 8"
            "<br>fit.learning_rate 0.01<br>rewind step (step 10)"
        )
        assert best.customdata is None  # which the page would take for a fit of its own

    def test_one_objective_is_drawn_in_the_order_of_asking(self, tmp_path: Path) -> None:
        found = [("complete", (v,)) for v in (25.0, 24.0, 27.0)] + [("collapsed", (30.0,))]
        points = write_search(tmp_path, found, (PSNR,)).frame("points")
        line, *marks = front_figure(points).data
        assert (list(line.x), list(line.y)) == ([0, 1, 2], [25.0, 25.0, 27.0])
        assert {m.name: list(m.y) for m in marks} == {
            "other points": [25.0, 24.0], FOOTED: [0], "best": [27.0],
        }  # fmt: skip

    def test_one_objective_that_is_to_fall(self, tmp_path: Path) -> None:
        found = [("complete", (v,)) for v in (3.0, 5.0, 2.0)]
        points = write_search(tmp_path, found, (SECONDS,)).frame("points")
        assert list(front_figure(points).data[0].y) == [3.0, 3.0, 2.0]

    def test_three_objectives_are_refused(self, tmp_path: Path) -> None:
        found = [("complete", (25.0, 1000.0, 3.0))]
        points = write_search(tmp_path, found, (PSNR, KEPT, SECONDS)).frame("points")
        with pytest.raises(ValueError, match="this search has 3"):
            front_figure(points)

    def test_nothing_to_draw_is_refused(self, tmp_path: Path) -> None:
        points = write_search(tmp_path, [(None, ())], (PSNR, KEPT)).frame("points")
        with pytest.raises(ValueError, match="no point of the search has values yet"):
            front_figure(points)


class TestPage:
    """A search's part of the report."""

    @pytest.fixture
    def page_of(self, study: Any, tmp_path: Path) -> Any:
        """Makes the page of a store with the study's trials, as a sweep's, and this search."""

        def make(found: Any, objectives: Any, **settings: Any) -> str:
            reader = write_search(tmp_path / "store", found, objectives, **settings)
            frames = {name: reader.frame(name) for name in ("points", "sweeps")}
            return frontier_report(type(study)(study.frames | frames))

        return make

    def test_it_says_what_was_sought_and_found(self, page_of: Any) -> None:
        page = page_of(FOUND, (PSNR, KEPT))
        assert 'id="of-search-0">Search narrow</h2>' in page
        assert (
            "Aim: maximize PSNR of the selected step (dB), sparsest level; minimize prunable "
            "weights kept, sparsest level. Searched: prior.width, fit.learning_rate, rewind. "
            "Points: 9, of which 5 complete, 1 stopped, 1 collapsed, 1 failed, 1 in flight; "
            "3 on the front; 1 left out of the front: 1 collapsed."
        ) in page
        assert 'id="search-0"' in page

    def test_the_front_is_a_table_with_its_settings(self, page_of: Any) -> None:
        page = page_of(FOUND, (PSNR, KEPT))
        table = page[page.index('aria-label="Points on the front"') :]
        rows = re.findall(r"<tr>(.*?)</tr>", table[: table.index("</table>")])
        cells = [re.findall(r">([^<>]+)</t[hd]>", row) for row in rows]
        assert cells[0][:4] == ["Point", "psnr_selected_db", "kept", "prior.width"]
        assert cells[1] == ["1", "27.00", "4,000", "9", "0.01", "step (step 10)"]
        assert [row[0] for row in cells[1:]] == ["1", "4", "0"]

    def test_it_says_what_was_left_out(self, points: pd.DataFrame) -> None:
        unfit = points["number"].map({1: UNFINISHED, 4: BELOW, 5: BELOW}).fillna("")
        assert list(left_out(search_table(points.assign(unfit=unfit)))) == [
            "4 left out of the front: 2 below the measurement, 1 collapsed, 1 unfinished"
        ]

    def test_three_objectives_are_said_in_words(self, page_of: Any) -> None:
        page = page_of([("complete", (25.0, 1000.0, 3.0))], (PSNR, KEPT, SECONDS))
        assert 'id="search-0"' not in page
        assert "1 by psnr_selected_db and kept; 1 by psnr_selected_db and fit_s@2" in page

    def test_a_search_that_has_just_begun(self, page_of: Any) -> None:
        page = page_of([(None, ())], (PSNR, KEPT))
        assert "No point has values yet." in page

    def test_names_are_no_markup(self, page_of: Any) -> None:
        hostile = {**PSNR, "column": "</script><img src=x>"}
        page = page_of([("complete", (1.0, 2.0))], (hostile, KEPT))
        assert "<img src=x>" not in page

    def test_trials_of_a_search_alone_are_compared_nowhere_else(
        self, store_of: Any, trial_row: Any, level_row: Any, tmp_path: Path
    ) -> None:
        searched = trial_row("magnitude", 0, prior={"kind": "skip", "width": 8})
        swept = trial_row("magnitude", 0)
        reader = write_search(tmp_path, [("complete", (25.0, 1000.0))], (PSNR, KEPT), trials=1)
        points = reader.frame("points").assign(trial_id=searched["trial_id"])
        sweeps = pd.DataFrame({"sweep": ["noise"], "trial_id": [swept["trial_id"]]})
        rows = [level_row(trial, level) for trial in (searched, swept) for level in (0, 1)]
        store = store_of([searched, swept], rows)
        both = frontier_report(type(store)(store.frames | {"points": points, "sweeps": sweeps}))
        assert both.count('id="problem-') == 1
        assert 'id="of-search-0"' in both
        only = store_of([searched], rows[:2])
        alone = frontier_report(
            type(only)(only.frames | {"points": points, "sweeps": sweeps.iloc[:0]})
        )
        assert 'id="problem-' not in alone
        assert 'id="of-search-0"' in alone
