"""Curves: which are shown, what thinning keeps, and one fit at a time in the figure."""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.analysis import frontier_points
from lip_ray.analysis.parts.traces import (
    MOST_DENSITIES,
    MOST_METHODS,
    MOST_STEPS,
    trace_choices,
    trace_figure,
    trace_table,
    traced_fits,
    traces_of,
)
from lip_ray.analysis.rows.choosing import evenly
from lip_ray.analysis.rows.points import WHICH

STEPS = np.unique([*range(200), *np.linspace(200, 2999, 200).astype(int), 1500, 1800])
RULE = {"steps": 3000, "stopping": {"kind": "wmv", "window": 50}}

Rows = list[dict[str, Any]]


def curve(level: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A row of `curves` that differs from fit to fit, its statistic unknown for 50 steps."""
    rise = level["psnr_peak_db"] - 20 / (1 + STEPS / 100.0)
    statistic = np.where(STEPS < 50, np.nan, 0.01 / (1 + STEPS))
    lists = {"psnr_raw_db": rise - 0.7, "psnr_db": rise, "statistic": statistic, "loss": rise}
    key = {name: level[name] for name in ("trial_id", "level", "image")}
    return key | {"step": STEPS} | lists | changes


@pytest.fixture(scope="module")
def rows(trial_row: Callable[..., Any], level_row: Callable[..., Any]) -> tuple[Rows, Rows]:
    """Two pruners, two seeds, the second with fewer levels; three densities, two for random."""
    trials, levels = [], []
    for seed in (0, 1):
        for pruner, depth in (("magnitude", 4), ("random", 3)):
            trials.append(trial_row(pruner, seed, fit=RULE))
            levels += [
                level_row(trials[-1], level, psnr=25.0 - level - seed)
                for level in range(depth - seed)
            ]
    return trials, levels


@pytest.fixture(scope="module")
def table(rows: tuple[Rows, Rows]) -> pd.DataFrame:
    """The curves of all of them."""
    trials, levels = map(pd.DataFrame, rows)
    return trace_table(pd.DataFrame([curve(level) for level in rows[1]]), levels, trials)


@given(st.lists(st.integers(), max_size=60), st.integers(2, 20))
def test_evenly_keeps_order_and_both_ends(values: list[int], most: int) -> None:
    found = evenly(range(len(values)), most)
    assert len(found) == min(most, len(values))
    assert found == sorted(set(found))
    assert found[:1] + found[-1:] == list(range(len(values)))[:1] + list(range(len(values)))[-1:]
    gaps = np.diff(found)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_each_fit_has_a_row_and_the_dense_fit_of_a_seed_one(table: pd.DataFrame) -> None:
    found = table.groupby(["seed", "method"], observed=True).size().to_dict()
    assert found == {
        (0, "dense"): 1, (0, "magnitude"): 3, (0, "random"): 2,
        (1, "dense"): 1, (1, "magnitude"): 2, (1, "random"): 1,
    }  # fmt: skip
    assert set(table["stopping"]) == {"wmv"}


def test_thinning_keeps_ends_and_marks_and_moves_no_value(table: pd.DataFrame) -> None:
    for row in table.itertuples():
        assert len(row.step) <= MOST_STEPS + 2
        assert {0, 2999, row.selected_step, row.peak_step} <= set(row.step)
        places = np.searchsorted(STEPS, row.step)
        whole = curve(row._asdict())
        for name in ("psnr_raw_db", "psnr_db", "statistic"):
            assert getattr(row, name) == pytest.approx(whole[name][places], rel=6e-3, nan_ok=True)


def test_an_unfinished_fit_is_marked_and_told(rows: tuple[Rows, Rows]) -> None:
    trials, levels = map(pd.DataFrame, rows)
    curves = pd.DataFrame([curve(level) for level in rows[1]])
    for unfinished in (True, False):
        figure = trace_figure(trace_table(curves, levels.assign(unfinished=unfinished), trials))
        symbols = {trace.marker.symbol for trace in figure.data if trace.name == "peak"}
        assert symbols == {"hourglass-open" if unfinished else "star"}
        assert ("budget, unfinished" in figure.layout.xaxis.title.text) is unfinished


def test_a_short_curve_is_whole(rows: tuple[Rows, Rows]) -> None:
    lists = {"step": [0, 1], "psnr_raw_db": [9.0, 10.0], "psnr_db": [9.0, 9.5]}
    short = curve(rows[1][0], statistic=[np.nan, np.nan], **lists)
    trials, levels = map(pd.DataFrame, rows)
    found = trace_table(pd.DataFrame([short]), levels, trials)
    assert found["step"].tolist() == [[0, 1]]
    assert found["psnr_db"].tolist() == [[9.0, 9.5]]


def test_fits_without_a_curve_or_a_psnr_are_left_out(rows: tuple[Rows, Rows]) -> None:
    trials, levels = map(pd.DataFrame, rows)
    blind = [curve(level, psnr_db=np.array([]), psnr_raw_db=np.array([])) for level in rows[1]]
    assert trace_table(pd.DataFrame(), levels, trials).empty
    assert trace_table(pd.DataFrame(blind), levels, trials).empty
    one = trace_table(pd.DataFrame([*blind[1:], curve(rows[1][0])]), levels, trials)
    assert one["method"].tolist() == ["dense"]


def test_the_seed_with_the_most_fits_is_shown(rows: tuple[Rows, Rows]) -> None:
    trials, levels = map(pd.DataFrame, rows)
    found = traced_fits(frontier_points(trials, levels), problems=12)
    assert set(found["seed"]) == {0}
    assert len(found) == 1 + 3 + 2


def test_the_choice_is_bounded_and_takes_the_largest_problems(
    trial_row: Callable[..., Any], level_row: Callable[..., Any]
) -> None:
    trials, levels = [], []
    for sigma in (10.0, 25.0, 50.0):
        for pruner in range(9 if sigma == 50.0 else 2):
            task = {"kind": "denoising", "sigma": sigma}
            trials.append(trial_row(f"pruner{pruner}", 0, task=task))
            kept = [2_208_768 >> level for level in range(17)]
            levels += [level_row(trials[-1], i, kept=count) for i, count in enumerate(kept)]
    points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
    found = traced_fits(points, problems=2)
    assert [name.split(": ")[1] for name in found["problem"].unique()] == [
        "denoising, σ = 10", "denoising, σ = 50",
    ]  # fmt: skip
    sizes = found.groupby(["problem", "method"], observed=True).size()
    assert sizes.drop("dense", level="method").max() == MOST_DENSITIES
    assert sizes.groupby("problem", observed=True).size().max() == MOST_METHODS + 1
    sparse = found[found["kept"] < found["total"]]
    assert sparse["kept"].min() == 2_208_768 >> 16
    assert sparse["kept"].max() == 2_208_768 >> 1


def shown(button: Any, traces: Iterable[Any]) -> list[Any]:
    """The traces that a button makes visible."""
    return [one for one, on in zip(traces, button.args[0]["visible"], strict=True) if on]


class TestFigure:
    @pytest.fixture
    def own(self, table: pd.DataFrame) -> pd.DataFrame:
        """One seed's rows."""
        return table[table["seed"] == 0]

    def test_each_choice_shows_one_fit_with_its_marks(self, own: pd.DataFrame) -> None:
        figure = trace_figure(own)
        methods, densities = (list(one.labels) for one in trace_choices(own))
        assert (methods, densities) == (["magnitude", "random"], ["1", "0.5", "0.25", "0.12"])
        buttons = figure.layout.updatemenus[0].buttons
        assert len(buttons) == len(methods) * len(densities)
        for place, button in enumerate(buttons):
            method, density = methods[place // 4], densities[place % 4]
            traces = shown(button, figure.data)
            names = {trace.name for trace in traces}
            assert {"measurement", "dense, averaged"} <= names
            title = button.args[1]["xaxis.title.text"]
            assert f"{method}, density {density}" in title
            if (method, density) == ("random", "0.12"):
                assert "no such fit" in title
                assert len(traces) == 2
                continue
            name = "dense" if density == "1" else method
            row = own[(own["method"] == name) & (own["density"].round(2) == float(density))]
            marks = {trace.name: (trace.x[0], trace.y[0]) for trace in traces if len(trace.x) == 1}
            steps = {**row.iloc[0][["selected_step", "peak_step"]], "final_step": 2999}
            assert marks == {w: (steps[f"{w}_step"], row.iloc[0][f"psnr_{w}_db"]) for w in WHICH}

    def test_it_begins_with_what_its_menu_says(self, own: pd.DataFrame) -> None:
        figure = trace_figure(own)
        menu = figure.layout.updatemenus[0]
        traces, change = menu.buttons[menu.active].args
        assert [trace.visible for trace in figure.data] == list(traces["visible"])
        assert figure.layout.xaxis.title.text == change["xaxis.title.text"]
        assert list(figure.layout.yaxis.range) == list(change["yaxis.range"])

    def test_marks_are_within_the_axes(self, own: pd.DataFrame) -> None:
        figure = trace_figure(own)
        for button in figure.layout.updatemenus[0].buttons:
            low, high = button.args[1]["yaxis.range"]
            marks = [trace.y[0] for trace in shown(button, figure.data) if len(trace.x) == 1]
            assert all(low < mark < high for mark in marks)

    def test_the_statistic_has_a_panel_of_its_own(self, own: pd.DataFrame) -> None:
        figure = trace_figure(own)
        assert figure.layout.yaxis2.title.text == "ES-WMV"
        assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
        low, high = figure.layout.yaxis2.range
        values = [v for t in figure.data if t.yaxis == "y2" for v in t.y if math.isfinite(v)]
        assert 10.0**low <= min(values) < max(values) <= 10.0**high

    def test_without_a_statistic_there_is_none(self, own: pd.DataFrame) -> None:
        silent = own.assign(statistic=[[float("nan")] * len(steps) for steps in own["step"]])
        figure = trace_figure(silent)
        assert "y2" not in {trace.yaxis for trace in figure.data}
        assert figure.layout.yaxis.domain is None

    def test_it_is_json_without_nan(self, own: pd.DataFrame) -> None:
        json.dumps(json.loads(trace_figure(own).to_json()), allow_nan=False)

    def test_it_shows_one_problem(self, own: pd.DataFrame) -> None:
        other = own.assign(problem="another")
        with pytest.raises(ValueError, match="one problem"):
            trace_figure(pd.concat([own.astype({"problem": str}), other]))
        with pytest.raises(ValueError, match="one problem"):
            trace_figure(own.iloc[:0])


def test_a_store_of_dense_fits_alone(rows: tuple[Rows, Rows]) -> None:
    trials, levels = map(pd.DataFrame, rows)
    points = frontier_points(trials, levels)
    dense = points[(points["kept"] == points["total"]) & (points["seed"] == 0)].iloc[:1]
    table = traces_of(dense, pd.DataFrame([curve(rows[1][0])]))
    assert [list(one.labels) for one in trace_choices(table)] == [["dense"], ["1"]]
    assert len(trace_figure(table).layout.updatemenus[0].buttons) == 1
