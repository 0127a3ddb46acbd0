"""Networks by size: what is compared, and what one line joins."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import size_figure, size_table
from lip_ray.analysis.rows.texts import count_text

Row = Callable[..., dict[str, Any]]


@pytest.fixture
def table(sizes: Any) -> pd.DataFrame:
    """A skip network with tickets, and dense deep decoders of two sizes."""
    return size_table(sizes.frame("trials"), sizes.frame("levels"))


def test_a_line_joins_tickets_with_their_dense_network_and_dense_ones_of_a_kind(
    table: pd.DataFrame,
) -> None:
    rows = table[table["which"] == "selected"]
    lines = rows.groupby("series", observed=True)[["kept_all", "mean_db"]].agg(list)
    assert lines.loc["deep_decoder: dense", "kept_all"] == [100_224, 25_000]
    assert lines.loc["skip: magnitude", "kept_all"] == [2_212_768, 1_108_384]
    assert lines.loc["skip: magnitude", "mean_db"] == [27.5, 26.5]
    assert lines.loc["skip: random", "mean_db"] == [27.5, 25.5]
    assert set(rows["n"]) == {2}


def test_a_line_goes_along_one_setting(trial_row: Row, level_row: Row) -> None:
    """Networks of one size that differ in depth are on lines of their own, and on no zigzag."""
    trials, levels = [], []
    for layers, width, weights in (
        (1, 60, 7_600),
        (2, 49, 7_610),
        (2, 90, 25_000),
        (2, 139, 59_000),
    ):
        prior = {"kind": "deep_decoder", "layers": layers, "width": width}
        trials.append(trial_row("magnitude", 0, prior=prior) | {"prior": "deep_decoder"})
        size = {"kept": weights, "total": weights, "density": 1.0}
        levels.append(level_row(trials[-1], **size, kept_all=weights, total_all=weights))
    table = size_table(pd.DataFrame(trials), pd.DataFrame(levels))
    own = table[table["which"] == "peak"]
    lines = own.groupby("series", observed=True)["kept_all"].agg(list)
    assert lines.to_dict() == {
        "deep_decoder (layers 1): dense": [7_600],
        "deep_decoder (layers 2): dense": [59_000, 25_000, 7_610],
    }


def test_one_prior_is_no_comparison(study: Any) -> None:
    assert size_table(study.frame("trials"), study.frame("levels")).empty


def test_the_figure_has_the_tables_numbers(table: pd.DataFrame) -> None:
    figure = size_figure(table)
    drawn = {trace.name: trace for trace in figure.data}
    assert list(drawn["skip: random"].x) == [2_212_768, 1_108_384]
    assert list(drawn["skip: random"].y) == [27.5, 25.5]
    final = figure.layout.updatemenus[0].buttons[2].args[0]["y"]
    assert list(final[list(drawn).index("skip: random")]) == [26.0, 24.0]
    assert figure.layout.xaxis.type == "log"


def test_two_comparisons_are_refused(table: pd.DataFrame) -> None:
    other = table.assign(comparison="another")
    with pytest.raises(ValueError, match="one comparison"):
        size_figure(pd.concat([table.astype({"comparison": str}), other]))


@pytest.mark.parametrize(
    ("count", "said"), [(2_217_831, "2.22 M"), (83_200, "83.2 k"), (999_900, "1 M"), (912, "912")]
)
def test_counts_in_three_digits(count: int, said: str) -> None:
    assert count_text(count) == said
