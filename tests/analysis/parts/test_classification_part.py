"""Classifiers: accuracies by density and method, and stores that have nothing else."""

import math
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import (
    classification_figure,
    classification_table,
    frontier_report,
    summary_table,
)

T_1 = 12.706204736
"""The 97.5 % point of Student's t with one degree of freedom."""


@pytest.fixture
def table(classifiers: Any) -> pd.DataFrame:
    """Two pruners by two seeds."""
    return classification_table(classifiers.frame("trials"), classifiers.frame("levels"))


def test_means_and_intervals_over_seeds(table: pd.DataFrame) -> None:
    rows = table[table["which"] == "selected"].set_index(["method", "density"])
    row = rows.loc[("random", 0.5)]
    assert row["mean"] == pytest.approx(0.85)
    assert row["high"] - row["mean"] == pytest.approx(T_1 * 0.1 / math.sqrt(2) / math.sqrt(2))
    assert (row["seeds"], row["n"], row["missing"]) == (2, 2, 0)
    assert rows.loc[("dense", 1.0)]["seeds"] == 2


def test_lines_begin_at_the_dense_network(table: pd.DataFrame) -> None:
    figure = classification_figure(table)
    drawn = {trace.name: trace for trace in figure.data}
    assert set(drawn) == {"magnitude", "random"}
    assert list(drawn["random"].x) == [1.0, 0.5]
    assert list(drawn["random"].y) == pytest.approx([0.95, 0.85])


def test_a_store_of_classifiers_has_a_page_and_a_summary(classifiers: Any) -> None:
    page = frontier_report(classifiers)
    assert "digits: classification" in page
    assert "0.8500 [" in page
    summary = summary_table(classifiers.frame("trials"), classifiers.frame("levels"))
    assert summary.columns.tolist() == [
        "problem", "method", "density", "accuracy", "accuracy_final", "seeds",
        "collapsed", "diverged", "failed",
    ]  # fmt: skip
    assert summary["accuracy"].tolist() == pytest.approx([0.95, 0.9, 0.85])


def test_a_failed_classifier_is_a_row(classifiers: Any) -> None:
    levels = classifiers.frame("levels").assign(
        accuracy=None, accuracy_final=None, outcome="diverged"
    )
    table = classification_table(classifiers.frame("trials"), levels)
    assert (table["missing"] == table["seeds"]).all()
    with pytest.raises(ValueError, match="no classifier has an accuracy"):
        classification_figure(table)


def test_no_classifiers_are_refused(study: Any) -> None:
    with pytest.raises(ValueError, match="no finished level of a classifier"):
        classification_table(study.frame("trials"), study.frame("levels"))
