"""What matters in a search, what was tried and how it went."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from lip_ray.analysis import (
    front_table,
    frontier_report,
    history_figure,
    importance_figure,
    importances_of,
    parallel_figure,
    report_sections,
    slice_figure,
)
from lip_ray.analysis.page.section import Figure, Gallery, Strip, Text
from lip_ray.analysis.parts.search.details import varied_fields
from lip_ray.analysis.parts.search.table import Goal, goals_of
from lip_ray.analysis.statistics.importance import (
    EVALUATORS,
    LEAST_POINTS,
    importance_table,
    looks_log,
)

PSNR = {"column": "psnr_selected_db", "direction": "maximize", "level": {"kind": "last"}}
KEPT = {"column": "kept", "direction": "minimize", "level": {"kind": "number", "number": 1}}

Make = Callable[..., pd.DataFrame]


def point(number: int, params: dict[str, Any], values: Sequence[float], **more: Any) -> Any:
    """A row of the view `points`."""
    return {
        "search": "narrow",
        "search_id": "0123456789abcdef",
        "number": number,
        "params": json.dumps(params),
        "objectives": json.dumps([PSNR, KEPT][: len(values)]),
        "trial_id": f"t{number}",
        "state": "complete",
        "values": list(values),
        "unfit": "",
        "pareto": False,
        "reason": "",
        "problem": "",
        "asked_at": datetime(2026, 1, 1),
        **more,
    }


def points_of(count: int, *, objectives: int = 2) -> pd.DataFrame:
    """A search in which the width alone decides the PSNR, and the rate alone the weights."""
    rows = []
    for number in range(count):
        width, rate = 2 ** (number % 5), number * 7 % 11 / 11
        params = {
            "prior.width": width,
            "schedule.rate": rate,
            "rewind": {"kind": "init"} if number % 2 else {"kind": "step", "step": 5},
            "fit.average": 0.9,
        }
        values = (20.0 + width, 1000.0 * (1 + rate))[:objectives]
        rows.append(point(number, params, values, pareto=number == 4))
    return pd.DataFrame(rows)


class TestImportances:
    @pytest.mark.parametrize("evaluator", EVALUATORS)
    def test_what_decides_an_objective_matters_most(self, evaluator: str) -> None:
        table = importances_of(points_of(40))
        found = table[table["evaluator"] == evaluator]
        for objective, field in {
            "psnr_selected_db": "prior.width",
            "kept@1": "schedule.rate",
        }.items():
            shares = found[found["objective"] == objective].set_index("field")["importance"]
            assert shares.idxmax() == field
            assert shares.sum() == pytest.approx(1)
            assert "fit.average" not in shares, "it never changed"

    def test_they_are_the_same_again(self) -> None:
        pd.testing.assert_frame_equal(importances_of(points_of(20)), importances_of(points_of(20)))

    def test_few_points_have_none(self) -> None:
        assert importances_of(points_of(LEAST_POINTS - 1)).empty
        assert len(importances_of(points_of(LEAST_POINTS)))

    def test_points_that_did_not_complete_do_not_count(self) -> None:
        points = points_of(LEAST_POINTS)
        points.loc[0, "state"] = "collapsed"
        assert importances_of(points).empty

    def test_nothing_that_differs_has_none(self) -> None:
        params = pd.DataFrame({"width": range(20)})
        same = importance_table(params, pd.Series([1.0] * 20), grows=True)
        assert same.empty
        alike = importance_table(params * 0, pd.Series(range(20), dtype=float), grows=True)
        assert alike.empty
        with pytest.raises(ValueError, match="no importances"):
            importance_figure(same, (Goal.of(PSNR),))

    @pytest.mark.parametrize(
        ("values", "log"),
        [([1, 8], True), ([1, 7], False), ([0.0, 9.0], False), (["a", "b"], False), ([], False)],
    )
    def test_wide_ranges_are_taken_by_their_logs(self, values: list[Any], log: bool) -> None:
        assert looks_log(pd.Series(values)) == log

    def test_the_page_needs_no_torch_for_them(self) -> None:
        script = (
            "import sys, pandas as pd\n"
            "from lip_ray.analysis.statistics.importance import importance_table\n"
            "frame = pd.DataFrame({'a': range(20), 'b': [0, 1] * 10})\n"
            "importance_table(frame, frame['a'] * 1.0, grows=True)\n"
            "print([name for name in ('torch', 'ray') if name in sys.modules])"
        )
        shown = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert shown.stdout == "[]\n"


def shown_traces(figure: go.Figure) -> list[Any]:
    """The traces that are drawn at first."""
    return [trace for trace in figure.data if trace.visible is not False]


class TestFigures:
    def test_bars_have_the_most_important_at_the_top(self) -> None:
        points = points_of(40, objectives=1)
        figure = importance_figure(importances_of(points), goals_of(points))
        [bar] = shown_traces(figure)
        assert bar.y[-1] == "width"
        assert bar.x[-1] == max(bar.x)
        assert len(figure.data) == len(EVALUATORS)

    def test_slices_show_one_field_and_objective(self) -> None:
        figure = slice_figure(points_of(12))
        assert varied_fields(points_of(12)) == ["prior.width", "schedule.rate", "rewind"]
        [marks] = shown_traces(figure)
        assert list(marks.x[:3]) == [1, 2, 4]
        assert list(marks.marker.color) == list(range(12))
        assert figure.layout.xaxis.type == "log"
        assert len(figure.data) == 3 * 2
        [menu] = figure.layout.updatemenus
        last = figure.to_dict()["layout"]["updatemenus"][0]["buttons"][-1]["args"]
        assert last[0]["visible"] == [False] * 5 + [True]
        assert last[1]["xaxis.type"] == "category"
        assert len(menu.buttons) == 6

    def test_history_has_the_best_so_far(self) -> None:
        marks, best = shown_traces(history_figure(points_of(6, objectives=1)))
        assert list(marks.y) == [21, 22, 24, 28, 36, 21]
        assert list(best.y) == [21, 22, 24, 28, 36, 36]
        *_, least = history_figure(points_of(6)).data
        assert list(least.y) == [1000.0] * 6, "fewer weights are better"

    def test_parallel_lines_go_from_least_to_largest(self) -> None:
        others, best = parallel_figure(points_of(5)).data
        assert (others.name, best.name) == ("other points", "best")
        assert list(best.x[:4]) == pytest.approx([1.0, 0.6, 1.0, 0.6])
        assert best.x[-1] is None
        assert best.y[0].startswith("psnr_selected_db<br><sub>21 to 36</sub>")
        assert others.x.count(None) == 4

    def test_left_out_points_are_in_no_figure(self) -> None:
        points = points_of(6)
        points.loc[0, "unfit"] = "unfinished"
        assert 0 not in slice_figure(points).data[0].marker.color
        with pytest.raises(ValueError, match="no complete point"):
            parallel_figure(points.assign(state="failed"))

    def test_names_are_text(self) -> None:
        hostile = "<img src=x>"
        rows = [point(n, {hostile: hostile + str(n), "a.b": n}, (float(n),)) for n in range(3)]
        for make in (slice_figure, parallel_figure, history_figure):
            figure = make(pd.DataFrame(rows))
            figure.layout.updatemenus = ()  # pages have controls of their own
            assert "<img" not in json.dumps(figure.to_dict(), default=str)


class TestPage:
    @pytest.fixture
    def store(self, store_of: Any, trial_row: Any, level_row: Any) -> Any:
        """A search of twelve points, each of a trial of its own."""
        trials = [trial_row("magnitude", n, prior={"kind": "skip", "width": 8}) for n in range(12)]
        rows = [level_row(trial, level) for trial in trials for level in (0, 1, 2)]
        store = store_of(trials, rows)
        points = points_of(12).assign(trial_id=[trial["trial_id"] for trial in trials])
        sweeps = pd.DataFrame({"trial_id": []})
        return type(store)(store.frames | {"points": points, "sweeps": sweeps})

    def test_each_figure_is_in_a_section(self, store: Any) -> None:
        names = [one.figure.name for one in report_sections(store) if one.figure is not None]
        assert names[:5] == ["search", "importance", "slices", "parallel", "history"]
        frontier_report(store)

    def test_a_search_of_one_objective_has_no_history_twice(self, store: Any) -> None:
        points = points_of(12, objectives=1).assign(trial_id=store.frames["points"]["trial_id"])
        alone = type(store)(store.frames | {"points": points})
        names = [one.figure.name for one in report_sections(alone) if one.figure is not None]
        assert "history" not in names

    def test_too_few_points_are_said(self, store: Any) -> None:
        few = type(store)(store.frames | {"points": store.frames["points"].head(4)})
        sections = {one.name: one for one in report_sections(few)}
        [block] = sections["importance-of-search-0"].blocks
        assert isinstance(block, Text)
        assert "at least 10 complete points" in block.words
        assert "there are 4 complete points" in block.words

    def test_the_best_are_shown_as_they_restored(self, store: Any) -> None:
        [section] = [one for one in report_sections(store) if one.name == "of-search-0"]
        [gallery] = [block for block in section.blocks if isinstance(block, Gallery)]
        [strip] = gallery.blocks
        assert isinstance(strip, Strip)
        assert [tile.head for tile in strip.tiles] == ["Clean", "Measured", "Point 4"]
        assert strip.tiles[-1].line.startswith("psnr_selected_db 36.00, kept@1 ")
        assert "width 16" in strip.tiles[-1].line
        assert front_table(store.frames["points"])["number"].tolist() == [4]

    def test_every_choice_can_be_drawn(self, store: Any) -> None:
        for section in report_sections(store):
            figure = section.figure
            if isinstance(figure, Figure) and figure.controls:
                for control in figure.controls:
                    for label in control.labels.values():
                        labels = [label if one is control else None for one in figure.controls]
                        assert figure.chosen(labels).data


def test_a_level_of_an_objective_is_found() -> None:
    levels = pd.DataFrame({"level": [0, 1, 2], "density": [1.0, 0.5, 0.1]})
    assert Goal.of(PSNR).level_of(levels) == 2
    assert Goal.of(KEPT).level_of(levels) == 1
    half = {**PSNR, "level": {"kind": "density", "density": 0.45}}
    assert Goal.of(half).level_of(levels) == 1
