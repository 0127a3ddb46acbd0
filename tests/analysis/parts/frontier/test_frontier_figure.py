"""The frontier's figure: it has the table's numbers and adds none, and every mark can be told."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lip_ray.analysis import frontier_figure, frontier_fits, frontier_table
from lip_ray.analysis.charts.style import AXIS_TITLES, FLAW_SYMBOLS, TICK_GAP
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.parts.frontier.figures import Shown, cost_ticks, psnr_range
from lip_ray.analysis.parts.frontier.section import sections
from lip_ray.analysis.parts.frontier.table import AXES, SPREADS, scene_table
from lip_ray.analysis.rows.points import WHICH

Row = Callable[..., dict[str, Any]]
Draw = Callable[..., go.Figure]

TASK = "denoising, σ = 25"
NO_PSNR = dict.fromkeys(f"psnr_{name}_db" for name in ("measured", "peak", "selected", "final"))


def traces(figure: go.Figure) -> dict[str, Any]:
    """The traces by name."""
    return {trace.name: trace for trace in figure.data}


def drawn_of(trials: list[dict[str, Any]], levels: list[dict[str, Any]], **choice: str) -> Any:
    """The figure of these rows for a choice, with their fits."""
    fits = frontier_fits(pd.DataFrame(trials), pd.DataFrame(levels))
    shown = Shown(task=TASK, image="astronaut", **choice)
    return frontier_figure(scene_table(fits), shown, fits=fits)


@pytest.fixture
def ladder(trial_row: Row, level_row: Row) -> Draw:
    """Draws one pruner's PSNRs by seed, dense first, with changes of single levels."""

    def draw(
        psnrs: dict[int, list[float | None]],
        changes: dict[tuple[int, int], dict[str, Any]] | None = None,
        *,
        pruner: str = "magnitude",
        **choice: str,
    ) -> go.Figure:
        trials = [trial_row(pruner, seed) for seed in psnrs]
        levels = [
            level_row(trial, level, outcome="failed", effective=None, **NO_PSNR)
            if psnr is None
            else level_row(trial, level, psnr=psnr)
            | {"macs": 10**9 >> level, "fit_s": 20.0 + 7 * level % 10}
            | (changes or {}).get((trial["seed"], level), {})
            for trial in trials
            for level, psnr in enumerate(psnrs[trial["seed"]])
        ]
        return drawn_of(trials, levels, **choice)

    return draw


@pytest.fixture(scope="module")
def table(study: Any) -> pd.DataFrame:
    """Means of the small study."""
    return frontier_table(study.frame("trials"), study.frame("levels"))


@pytest.fixture(scope="module")
def figure(study: Any, table: pd.DataFrame) -> go.Figure:
    """Its figure, with single fits."""
    fits = frontier_fits(study.frame("trials"), study.frame("levels"))
    return frontier_figure(table, fits=fits)


def rows_of(table: pd.DataFrame, method: str, which: str = "selected") -> pd.DataFrame:
    """A method's rows for one of the PSNRs, dense first."""
    return table[(table["method"] == method) & (table["which"] == which)]


class TestMarks:
    """Means, single fits, and flaws."""

    def test_lines_are_the_means(self, table: pd.DataFrame, figure: go.Figure) -> None:
        drawn, dense = traces(figure), rows_of(table, "dense")
        for method in ("magnitude", "random", "snip"):
            rows = pd.concat([dense, rows_of(table, method)])
            assert list(drawn[method].x) == rows["density"].tolist()
            assert list(drawn[method].y) == rows["mean_db"].tolist()
        assert list(drawn["dense"].y) == dense["mean_db"].tolist()
        assert list(drawn["dense, level"].y) == dense["mean_db"].tolist() * 2

    @pytest.mark.parametrize("which", WHICH)
    def test_each_psnr_is_drawn_where_it_is_chosen(self, table: pd.DataFrame, which: str) -> None:
        figure = frontier_figure(table, Shown(task=TASK, image="astronaut", which=which))
        own = rows_of(table, "magnitude", which)["mean_db"].tolist()
        assert list(traces(figure)["magnitude"].y)[1:] == own
        assert figure.layout.yaxis.title.text == AXIS_TITLES[which]

    def test_marks_are_the_sound_fits(self, study: Any, figure: go.Figure) -> None:
        fits = frontier_fits(study.frame("trials"), study.frame("levels"))
        found = traces(figure)["random, fits"]
        own = fits.loc[list(found.customdata)]
        assert set(own["method"]) == {"random"}
        assert len(own) == 10 - 3
        assert list(found.y) == own["psnr_selected_db"].tolist()
        assert list(found.x) == own["density"].tolist()

    def test_the_mark_of_a_mean_leads_to_the_fit_that_is_nearest_to_it(self, ladder: Draw) -> None:
        drawn = traces(ladder({0: [27.0, 20.0], 1: [27.0, 24.5], 2: [27.0, 26.0]}))
        means, fits = drawn["magnitude"], drawn["magnitude, fits"]
        assert list(means.y) == [27.0, 23.5]
        led_to = dict(zip(map(str, fits.customdata), fits.y, strict=True))
        assert led_to[means.ids[1]] == 24.5

    def test_the_measurement_is_a_level_line(self, figure: go.Figure) -> None:
        line = traces(figure)["measurement"]
        assert list(line.y) == pytest.approx([20.3, 20.3])
        assert line.x[0] == 1
        assert line.x[1] == pytest.approx(0.03, abs=1e-6)
        assert (line.line.dash, line.showlegend) == ("dot", True)

    def test_without_a_measurement_there_is_no_line(self, ladder: Draw) -> None:
        changes = {(0, level): {"psnr_measured_db": None} for level in (0, 1)}
        assert "measurement" not in traces(ladder({0: [30, 27]}, changes))

    @pytest.mark.parametrize(
        ("changes", "flaw"),
        [
            ({"outcome": "collapsed"}, "collapsed"),
            ({"outcome": "diverged"}, "diverged"),
            ({"unfinished": True}, "unfinished"),
            ({"psnr_peak_db": 20.2}, "below the measurement"),
            ({"outcome": "collapsed", "unfinished": True}, "collapsed"),
        ],
    )
    def test_a_flawed_fit_has_the_symbol_of_its_flaw_and_the_colour_of_its_method(
        self, ladder: Draw, changes: dict[str, Any], flaw: str
    ) -> None:
        drawn = traces(ladder({0: [30, 27, 26]}, {(0, 1): changes}))
        mark = drawn[f"magnitude, {flaw} fits"]
        assert mark.marker.symbol == FLAW_SYMBOLS[flaw]
        assert mark.marker.color == drawn["magnitude"].line.color
        assert mark.marker.line.color == drawn["magnitude"].line.color
        assert list(mark.y) == [27]
        assert list(drawn["magnitude, fits"].y) == [26]
        [entry] = [name for name in drawn if name.endswith(("fit", "fit below the measurement"))]
        assert flaw in entry

    def test_flawed_fits_of_several_methods_have_one_entry_in_the_legend(
        self, figure: go.Figure
    ) -> None:
        drawn = traces(figure)
        own = [drawn[f"{method}, collapsed fits"] for method in ("random", "snip")]
        assert len({trace.marker.color for trace in own}) == 2
        assert all(trace.showlegend is False for trace in own)
        entries = [trace for trace in figure.data if trace.name == "collapsed fit"]
        assert [trace.showlegend is not False for trace in entries] == [True]
        assert list(entries[0].y) == [None]
        names = [trace.name for trace in figure.data if trace.showlegend is not False]
        assert len(set(names)) == len(names)
        assert "unfinished fit" not in names

    def test_a_method_that_is_not_shown_has_no_flaw_in_the_legend(
        self, trial_row: Row, level_row: Row
    ) -> None:
        trials = [trial_row("magnitude"), trial_row("random")]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        levels[-1] |= {"outcome": "collapsed"}
        assert "collapsed fit" in traces(drawn_of(trials, levels, method="random"))
        assert "collapsed fit" not in traces(drawn_of(trials, levels, method="magnitude"))

    def test_a_fit_without_psnr_leaves_a_gap(self, ladder: Draw) -> None:
        assert list(traces(ladder({0: [30, 27, None]}))["magnitude"].y) == [30, 27, None]

    def test_an_infinite_psnr_leaves_a_gap_not_a_broken_axis(self, ladder: Draw) -> None:
        figure = ladder({0: [30, math.inf, 27]})
        assert list(traces(figure)["magnitude"].y) == [30, None, 27]
        assert all(math.isfinite(end) for end in figure.layout.yaxis.range)

    def test_only_dense_levels_so_far(self, ladder: Draw) -> None:
        drawn = traces(ladder({0: [30], 1: [31]}))
        assert list(drawn["dense"].y) == [30.5]
        assert "magnitude" not in drawn

    def test_a_store_without_any_psnr_has_no_frontier(
        self, trial_row: Row, level_row: Row, store_of: Any
    ) -> None:
        trial = trial_row()
        levels = [level_row(trial, level, **NO_PSNR) for level in (0, 1)]
        assert list(sections(Content(store=store_of([trial], levels)))) == []


class TestIntervals:
    """Of three samples and more: bars side by side, bands along ladders, or none."""

    @pytest.fixture
    def rows(self, trial_row: Row, level_row: Row) -> tuple[Any, Any]:
        """Two methods of three seeds that differ by level."""
        trials = [trial_row(one, seed) for one in ("magnitude", "random") for seed in range(3)]
        levels = [
            level_row(trial, level, psnr=30.0 - level + 0.3 * trial["seed"] * (level + 1))
            for trial in trials
            for level in range(3)
        ]
        return trials, levels

    @staticmethod
    def spans(figure: go.Figure, name: str = "magnitude") -> list[Any]:
        """The traces of a method's intervals."""
        return [trace for trace in figure.data if trace.name == f"{name}, interval"]

    @pytest.mark.parametrize("spread", SPREADS)
    def test_two_samples_have_none(self, ladder: Draw, spread: str) -> None:
        figure = ladder({seed: [30 + seed, 27 + seed] for seed in range(2)}, spread=spread)
        assert not [trace.name for trace in figure.data if "interval" in trace.name]

    def test_three_samples_have_a_bar_at_each_mean(self, rows: tuple[Any, Any]) -> None:
        table = frontier_table(*map(pd.DataFrame, rows))
        figure = drawn_of(*rows)
        [bars], own = self.spans(figure), rows_of(table, "magnitude")
        assert list(bars.y[0::3]) == own["low_db"].tolist()
        assert list(bars.y[1::3]) == own["high_db"].tolist()
        assert set(bars.y[2::3]) == set(bars.x[2::3]) == {None}
        assert list(bars.x[0::3]) == list(bars.x[1::3])
        assert list(bars.x[0::3]) == pytest.approx(own["density"].tolist(), rel=0.1)
        assert bars.line.color == traces(figure)["magnitude"].line.color
        assert bars.showlegend is False

    @pytest.mark.parametrize("axis", ["density", "kept"])
    def test_bars_of_methods_stand_side_by_side(self, rows: tuple[Any, Any], axis: str) -> None:
        figure = drawn_of(*rows, axis=axis)
        [one], [other] = self.spans(figure), self.spans(figure, "random")
        for left, right, mean in zip(
            one.x[0::3], other.x[0::3], traces(figure)["magnitude"].x[1:], strict=True
        ):
            assert left != right
            assert left * right == pytest.approx(mean**2, rel=0.05)  # on either side of the mean

    def test_bands_go_along_the_ladder(self, rows: tuple[Any, Any]) -> None:
        table = frontier_table(*map(pd.DataFrame, rows))
        figure = drawn_of(*rows, spread="bands")
        [band], own = self.spans(figure), rows_of(table, "magnitude")[::-1]
        assert list(band.x) == [*own["density"], *own["density"][::-1]]
        assert list(band.y) == [*own["low_db"], *own["high_db"][::-1]]
        assert (band.fill, band.line.width) == ("toself", 0)
        assert band.fillcolor == traces(figure)["magnitude"].line.color
        assert band.showlegend is False

    def test_they_can_be_left_away(self, rows: tuple[Any, Any]) -> None:
        figure = drawn_of(*rows, spread="none")
        assert not [trace.name for trace in figure.data if "interval" in trace.name]

    @pytest.mark.parametrize("spread", ["bars", "bands"])
    def test_a_dense_network_has_a_bar(self, rows: tuple[Any, Any], spread: str) -> None:
        [bar] = self.spans(drawn_of(*rows, spread=spread), "dense")
        assert list(bar.x) == [1, 1, None]
        low, high, gap = bar.y
        assert low < 30.3 < high
        assert (gap, bar.fill) == (None, None)

    @pytest.mark.parametrize("spread", ["bars", "bands"])
    def test_a_mean_that_alone_has_enough_samples_has_a_bar(
        self, ladder: Draw, spread: str
    ) -> None:
        psnrs = {0: [30, 27, 26], 1: [30, 28], 2: [30, 29, 25]}
        [bar] = self.spans(ladder(psnrs, spread=spread))
        assert len(bar.x) == 3
        assert bar.x[0] == pytest.approx(0.5, rel=0.1)
        assert bar.fill is None

    @pytest.mark.parametrize("axis", AXES)
    def test_along_every_axis_a_band_goes_from_the_cheapest_on(
        self, ladder: Draw, axis: str
    ) -> None:
        psnrs = {seed: [30 + seed, 29.5 + 2 * seed, 29, 28 + seed] for seed in range(3)}
        [band] = self.spans(ladder(psnrs, axis=axis, spread="bands"))
        there, back = np.split(np.array(band.x, float), 2)
        assert list(there) == sorted(there)
        assert list(back) == list(there[::-1])
        lows, highs = np.split(np.array(band.y, float), 2)
        assert (lows <= highs[::-1]).all()


class TestLooks:
    """Axes, colours and text."""

    def test_methods_differ_in_colour_dash_and_symbol(self, figure: go.Figure) -> None:
        drawn = traces(figure)
        lines = [drawn[name] for name in ("magnitude", "random", "snip", "dense")]
        assert len({line.line.color for line in lines}) == 4
        assert len({line.line.dash for line in lines}) == 4
        assert len({line.marker.symbol for line in lines[:3]}) == 3

    def test_a_method_looks_the_same_in_every_scene(self, trial_row: Row, level_row: Row) -> None:
        camera = [{"kind": "builtin", "name": "camera", "size": [128, 128]}]
        trials = [trial_row("magnitude"), trial_row("snip")]
        trials.append(trial_row("snip", images=camera) | {"image": "camera"})
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        table = frontier_table(pd.DataFrame(trials), pd.DataFrame(levels))
        colours = {
            traces(frontier_figure(table, Shown(task=TASK, image=image)))["snip"].line.color
            for image in ("astronaut", "camera")
        }
        assert len(colours) == 1

    def test_the_axis_is_logarithmic_and_shows_sparsity(self, figure: go.Figure) -> None:
        axis = figure.layout.xaxis
        assert (axis.type, axis.autorange) == ("log", "reversed")
        assert axis.ticktext == (
            "1<br>0 %", "0.5<br>50 %", "0.25<br>75 %", "0.12<br>88 %", "0.05<br>95 %",
            "0.03<br>97 %",
        )  # fmt: skip

    def test_names_are_not_markup(self, ladder: Draw) -> None:
        figure = ladder({0: [30, 27]}, pruner="<a href='//x'>a</a>&amp;")
        names = [trace.name for trace in figure.data]
        assert "&lt;a href='//x'&gt;a&lt;/a&gt;&amp;amp;" in names
        assert not any("<" in name for name in names)

    def test_it_offers_no_upload(self, figure: go.Figure) -> None:
        layout = json.loads(figure.to_json())["layout"]
        assert "sendChartToCloud" in layout["modebar"]["remove"]


COSTS = {
    "density": st.floats(1e-4, 1.0),
    "kept": st.integers(1, 10**9).map(float),
    "macs": st.one_of(st.just(math.nan), st.floats(1e3, 1e15)),
    "seconds": st.one_of(st.just(math.nan), st.just(0.0), st.floats(0.002, 1e6)),
}


@pytest.mark.parametrize("axis", AXES)
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_labels_of_an_axis_have_room_and_lie_where_costs_do(axis: str, data: Any) -> None:
    costs = data.draw(st.lists(COSTS[axis], min_size=1, max_size=20))
    known = sorted({cost for cost in costs if cost > 0})
    found = cost_ticks(pd.Series(costs), axis)
    ticks = found["tickvals"]
    assert len(found["ticktext"]) == len(ticks) >= 1
    assert all(one > other > 0 for one, other in pairwise(ticks))
    if not known:
        assert ticks == [1.0]
        return
    assert known[0] <= ticks[-1] <= ticks[0] <= known[-1]
    if axis == "density":
        assert {ticks[0], ticks[-1]} == {known[-1], known[0]}
        assert set(ticks) <= set(known)
    whole = math.log(ticks[0] / ticks[-1])
    gaps = [math.log(one / other) for one, other in pairwise(ticks)]
    assert all(gap >= whole * TICK_GAP * (1 - 1e-9) for gap in gaps)
    assert len(ticks) <= 1 + 1 / TICK_GAP
    assert len(set(found["ticktext"])) == len(ticks) or axis == "density"


def test_round_numbers_label_what_is_no_density() -> None:
    costs = pd.Series([66_263, 2_208_768, 110_438])
    assert cost_ticks(costs, "kept")["ticktext"] == ["2 M", "1 M", "500 k", "200 k", "100 k"]
    assert cost_ticks(pd.Series([31.0, 43.0]), "seconds")["ticktext"] == ["43", "31"]


class TestRange:
    """Of the vertical axis: the same for all three PSNRs, whatever is chosen."""

    SCENE = pd.DataFrame({"mean_db": [27.0, 25.0, math.nan], "measured_db": [20.0] * 3})

    @staticmethod
    def fits(*psnrs: float) -> pd.DataFrame:
        """Fits with these PSNRs, the peak a dB above and the last half a dB below."""
        selected = pd.Series(psnrs)
        return pd.DataFrame(
            {
                "psnr_selected_db": selected,
                "psnr_peak_db": selected + 1,
                "psnr_final_db": selected - 0.5,
            }
        )

    def test_it_has_room_for_all_three_and_for_means(self) -> None:
        low, high = psnr_range(self.SCENE, self.fits(24.0, 28.0))
        assert low == pytest.approx(23.5 - 0.06 * 5.5)
        assert high == pytest.approx(29.0 + 0.06 * 5.5)

    def test_the_measurement_has_room_only_where_something_is_as_bad(self) -> None:
        assert psnr_range(self.SCENE, self.fits(24.0))[0] > 20
        assert psnr_range(self.SCENE, self.fits(19.0))[0] < 18.5
        near = self.SCENE.assign(measured_db=24.0)
        assert psnr_range(near, self.fits(19.0, 30.0))[1] > 31

    def test_without_any_number_it_is_still_a_range(self) -> None:
        nothing = pd.DataFrame({"mean_db": [math.nan], "measured_db": [math.nan]})
        assert psnr_range(nothing, self.fits(math.nan, math.inf)) == [-1, 1]
