"""The simulation behind the documented coverage finds what theory says."""

import pytest

from benchmarks.interval_coverage import IMAGES, INTERVALS, coverage_figure, coverage_table


def test_only_the_interval_over_images_holds_the_truth_as_often_as_it_says() -> None:
    table = coverage_table(1_000)
    found = table.pivot(index="interval", columns="images", values="coverage")
    assert found.loc["t over means of images"].tolist() == pytest.approx([0.95] * 3, abs=0.025)
    assert found.loc["t over all fits"].max() < 0.91
    assert found.loc["bootstrap of images", IMAGES[0]] < 0.8
    assert {trace.name for trace in coverage_figure(table).data} == set(INTERVALS)
