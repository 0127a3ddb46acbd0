"""Cost and failures: every fit counted once, every reason with its number."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis.parts.cost import (
    cost_figure,
    cost_table,
    failure_reason_table,
    macs_text,
    time_text,
)

Row = dict[str, Any]
CPU = {"device": "cpu", "threads": 2, "fit_s": 10.0, "memory_mb": 500.0}
GPU = {"device": "NVIDIA H100", "threads": 8, "fit_s": 1.5, "memory_mb": 900.0}


@pytest.fixture
def frames(
    trial_row: Callable[..., Row], level_row: Callable[..., Row]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two trials on a CPU, of which one has two images, and a deep decoder on a GPU."""
    first, second = trial_row("magnitude", 0), trial_row("magnitude", 1)
    decoder = trial_row("random", 0) | {"prior": "deep_decoder"}
    levels = [
        level_row(first, 0, **CPU),
        level_row(first, 1, **CPU | {"memory_mb": 700.0}),
        level_row(second, 0, **CPU),
        level_row(second, 0, **CPU, image="camera"),
        level_row(decoder, 0, **GPU),
    ]
    return pd.DataFrame([first, second, decoder]), pd.DataFrame(levels)


def failure(trial_id: str, reason: str, **changes: Any) -> Row:
    """A row of `failures`."""
    return {"trial_id": trial_id, "cause": "lost", "reason": reason, "open": True} | changes


def test_fits_are_counted_once_and_seconds_added(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    table = cost_table(*frames)
    assert table["prior"].tolist() == ["skip", "deep_decoder"]
    skip, decoder = table.to_dict("records")
    assert (skip["trials"], skip["fits"], skip["fit_s"]) == (2, 3, 40.0)
    assert (skip["core_s"], skip["memory_mb"]) == (80.0, 700.0)
    assert (decoder["trials"], decoder["fits"], decoder["fit_s"]) == (1, 1, 1.5)
    assert pd.isna(decoder["core_s"])
    assert table["fit_s"].sum() == frames[1]["fit_s"].sum()


def test_a_fit_that_nobody_timed_is_there(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    trials, levels = frames
    unknown = levels.assign(device=None)
    table = cost_table(trials, unknown)
    assert table["fits"].sum() == 4
    assert len(cost_figure(table).data) == 1


class TestMultiplyAdds:
    """Dense execution computes all weights at any density, sparse execution the kept ones."""

    NETWORK = {"parameters": 110, "macs_per_step": 3_000}  # noqa: RUF012

    def rows(
        self,
        trial_row: Callable[..., Row],
        level_row: Callable[..., Row],
        executions: tuple[str | None, ...] = ("dense", "dense"),
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """A ladder of two fits of ten steps: 1,000 multiply-adds a pass with all 100 weights, and
        100 with the 20 that are kept, since these are used half as often as the mean."""
        trial = trial_row("magnitude", 0) | self.NETWORK
        levels = [
            level_row(trial, level, **CPU, steps=10, kept=kept, macs=macs)
            | {"total": 100, "density": kept / 100, "execution": executions[level]}
            for level, (kept, macs) in enumerate([(100, 1_000), (20, 100)])
        ]
        return pd.DataFrame([trial]), pd.DataFrame(levels)

    def test_masks_save_nothing_in_dense_execution(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        frames = self.rows(trial_row, level_row, ("dense", None))  # as in rows of older versions
        (row,) = cost_table(*frames).to_dict("records")
        assert row["execution"] == "dense"
        assert row["macs"] == 10 * (3_000 + 3_000)
        assert row["kept_macs"] == 10 * (3_000 + 300)

    def test_sparse_execution_computes_the_kept_weights(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        frames = self.rows(trial_row, level_row, ("sparse", "sparse"))
        (row,) = cost_table(*frames).to_dict("records")
        assert row["execution"] == "sparse"
        assert row["macs"] == row["kept_macs"] == 10 * (3_000 + 300)

    def test_levels_of_one_trial_may_have_both(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        """In sparse execution, levels that keep most weights are dense."""
        frames = self.rows(trial_row, level_row, ("dense", "sparse"))
        found = cost_table(*frames).set_index("execution")["macs"].to_dict()
        assert found == {"dense": 10 * 3_000, "sparse": 10 * 300}

    def test_without_a_dense_pass_the_density_counts(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        """As of a transfer that takes sparse levels only, or rows of older versions."""
        trials, levels = self.rows(trial_row, level_row)
        (row,) = cost_table(trials, levels.iloc[1:]).to_dict("records")
        assert row["kept_macs"] == pytest.approx(10 * 3_000 * 0.2)
        (row,) = cost_table(trials, levels.assign(macs=pd.NA).astype({"macs": "Int64"})).to_dict(
            "records"
        )
        assert row["kept_macs"] == pytest.approx(10 * 3_000 * (1 + 0.2))

    def test_what_is_not_counted_is_unknown(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        trials, levels = self.rows(trial_row, level_row)
        trials = trials.assign(macs_per_step=pd.NA).astype({"macs_per_step": "Int64"})
        (row,) = cost_table(trials, levels).to_dict("records")
        assert pd.isna(row["macs"])
        assert macs_text(row["macs"]) == "unknown"

    @pytest.mark.parametrize(
        ("macs", "said"), [(0.0, "0"), (999.0, "999"), (1.5e9, "1.5 G"), (2.31e17, "231.0 P")]
    )
    def test_the_unit_suits(self, macs: float, said: str) -> None:
        assert macs_text(macs) == said


def test_reasons_are_counted_most_frequent_first(
    frames: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    levels = frames[1].copy()
    levels.loc[[0, 1], ["outcome", "reason"]] = ["collapsed", "no path"]
    levels.loc[[2], ["outcome", "reason"]] = ["diverged", ""]
    first = levels["trial_id"][0]
    given_up = [
        failure("gone", "out of memory"),
        failure("gone", "out of memory"),
        failure(first, "out of memory", open=False),
    ]
    table = failure_reason_table(levels, pd.DataFrame(given_up))
    assert table.to_dict("records") == [
        {"outcome": "given up", "reason": "out of memory", "count": 3, "trials": 2, "open": 1},
        {"outcome": "collapsed", "reason": "no path", "count": 2, "trials": 1, "open": 0},
        {"outcome": "diverged", "reason": "no reason given", "count": 1, "trials": 1, "open": 0},
    ]


def test_nothing_went_wrong(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert failure_reason_table(frames[1], pd.DataFrame()).empty


def test_a_bar_a_kind_and_a_colour_a_device(frames: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    figure = cost_figure(cost_table(*frames))
    bars = {trace.name: trace for trace in figure.data}
    assert set(bars) == {"cpu", "NVIDIA H100"}
    assert list(bars["cpu"].y) == ["trajectory, skip"]
    assert bars["cpu"].x[0] == pytest.approx(40 / 3600)
    assert bars["cpu"].text[0] == "40.0 s"
    assert bars["cpu"].marker.color != bars["NVIDIA H100"].marker.color
    assert list(figure.layout.yaxis.categoryarray) == [
        "trajectory, skip",
        "trajectory, deep_decoder",
    ]
    with pytest.raises(ValueError, match="no fit"):
        cost_figure(cost_table(*frames).iloc[:0])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0.0 s"), (59.9, "59.9 s"), (60, "1.0 min"), (3600, "1.0 h"), (4e6, "1,111.1 h")],
)
def test_times_have_the_unit_that_suits(seconds: float, said: str) -> None:
    assert time_text(seconds) == said
