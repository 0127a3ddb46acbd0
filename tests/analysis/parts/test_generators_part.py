"""Generators: what their tickets draw, by density and pruner."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import frontier_report, generator_figure, generator_table

FACES = {"kind": "npz", "path": "/faces.npz", "array": "faces", "name": "faces"}
FACES |= {"sha256": "0f" * 32}

Row = Callable[..., dict[str, Any]]
T_1 = 12.706204736


def tabled(store: Any) -> pd.DataFrame:
    """The table of a store."""
    return generator_table(store.frame("trials"), store.frame("levels"))


def test_means_and_intervals_over_seeds(sensing: Any) -> None:
    table = tabled(sensing)
    rows = table[table["which"] == "frechet"].set_index(["method", "density"])
    row = rows.loc[("random", 0.25)]
    assert (row["mean"], row["seeds"], row["n"]) == (5.5, 2, 2)
    assert row["high"] - row["mean"] == pytest.approx(T_1 * 0.5)
    assert rows.loc[("dense", 1.0)]["seeds"] == 2  # both pruners begin with the same generator


def test_lines_begin_at_the_dense_generator(sensing: Any) -> None:
    drawn = {trace.name: trace for trace in generator_figure(tabled(sensing)).data}
    assert list(drawn["magnitude"].x) == [1.0, 0.5, 0.25]
    assert list(drawn["magnitude"].y) == pytest.approx([2.5, 3.5, 4.5])


def test_other_architectures_and_training_sets_are_other_problems(
    store_of: Any, generator_row: Row, drawn_row: Row
) -> None:
    changes = ({}, {"images": FACES}, {"prior": {"kind": "pgan"}})
    trials = [generator_row("magnitude", 0, **change) for change in changes]
    table = tabled(store_of(trials, [drawn_row(trial) for trial in trials]))
    assert set(table["problem"]) == {"dcgan of digits", "dcgan of faces", "pgan of digits"}


def test_a_checkpoint_without_images_has_sheets_but_no_figure(
    store_of: Any, generator_row: Row, drawn_row: Row
) -> None:
    trial = generator_row("magnitude", 0, images=None, fit=None) | {"image": ""}
    levels = [drawn_row(trial, level, frechet=float("nan"), critic_gap=None) for level in (0, 1)]
    store = store_of([trial], levels)
    with pytest.raises(ValueError, match="no generator has a score"):
        generator_figure(tabled(store))
    page = frontier_report(store)
    assert "Generators: dcgan" in page
    assert "No generator has a score." in page
    assert page.count("Images drawn by") == 2
    assert "2 without score" not in page
    assert "1 without score" in page


def test_diverged_generators_are_rows(store_of: Any, generator_row: Row, drawn_row: Row) -> None:
    trial = generator_row()
    levels = [drawn_row(trial), drawn_row(trial, 1, outcome="diverged", frechet=float("nan"))]
    store = store_of([trial], levels)
    row = tabled(store).set_index(["which", "density"]).loc[("frechet", 0.5)]
    assert (row["diverged"], row["missing"]) == (1, 1)
    assert "no Fréchet distance, diverged" in frontier_report(store)


def test_one_seed_says_that_there_is_no_interval(
    store_of: Any, generator_row: Row, drawn_row: Row
) -> None:
    trial = generator_row()
    assert "n = 1 seed, so no intervals" in frontier_report(store_of([trial], [drawn_row(trial)]))


def test_no_generators_are_refused(study: Any) -> None:
    with pytest.raises(ValueError, match="no finished level of a generator"):
        tabled(study)
