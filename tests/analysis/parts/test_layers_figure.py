"""Layers and masks: densities as counted, overlaps as the package's own reference counts them."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lip_ray.analysis.parts.layers import (
    MOST_METHODS,
    MOST_SCENES,
    layer_choices,
    layer_figure,
    layer_table,
    layered_tickets,
)
from lip_ray.analysis.parts.overlap import (
    MEASURES,
    MOST_DENSITIES,
    MOST_TICKETS,
    overlap_choices,
    overlap_figure,
    overlap_table,
    overlap_tickets,
)
from lip_ray.analysis.parts.tickets import pruned_points
from lip_ray.pruning import Mask, overlap
from lip_ray.records import LayerMask

SHAPES = {"first.weight": (3, 5), "second.weight": (4, 3, 3), "last.weight": (2, 4)}
TOTAL = 59

Row = dict[str, Any]
Keeps = dict[str, np.ndarray[Any, Any]]


def keeps(seed: int, kept: int) -> Keeps:
    """So many of the 59 weights, drawn."""
    flat = np.zeros(TOTAL, bool)
    flat[np.random.default_rng(seed).permutation(TOTAL)[:kept]] = True
    ends = np.cumsum([np.prod(shape) for shape in SHAPES.values()])[:-1]
    parts = np.split(flat, ends)
    return {n: part.reshape(SHAPES[n]) for n, part in zip(SHAPES, parts, strict=True)}


def stored(layers: Keeps) -> tuple[LayerMask, ...]:
    """As the reader gives them."""
    return tuple(
        LayerMask(
            layer=name,
            shape=keep.shape,
            kept=int(keep.sum()),
            total=keep.size,
            bits=np.packbits(keep.ravel()).tobytes(),
        )
        for name, keep in layers.items()
    )


def mask_rows(level: Row, layers: Sequence[LayerMask]) -> list[Row]:
    """Rows of `masks`, out of order."""
    key = {name: level[name] for name in ("trial_id", "level")}
    rows = [
        key | {"position": place, "layer": one.layer, "shape": np.array(one.shape)}
        | {"kept": one.kept, "total": one.total, "bits": one.bits}
        for place, one in enumerate(layers)
    ]  # fmt: skip
    return rows[::-1]


class Study:
    """Trials and levels with a mask each."""

    def __init__(self) -> None:
        self.trials: list[Row] = []
        self.levels: list[Row] = []
        self.masks: dict[tuple[str, int], tuple[LayerMask, ...]] = {}
        self.rows: list[Row] = []

    def add(self, trial: Row, make_level: Callable[..., Row], *, kept: Sequence[int]) -> None:
        """A trial with these counts, dense first."""
        self.trials.append(trial)
        for level, count in enumerate(kept):
            size = {"kept": count, "total": TOTAL, "density": count / TOTAL}
            self.levels.append(make_level(trial, level, **size))
            layers = stored(keeps(len(self.levels), count))
            self.masks[trial["trial_id"], level] = layers
            self.rows += mask_rows(self.levels[-1], layers)

    @property
    def points(self) -> pd.DataFrame:
        """The tickets that have masks."""
        return pruned_points(pd.DataFrame(self.trials), pd.DataFrame(self.levels))


@pytest.fixture
def study(trial_row: Callable[..., Row], level_row: Callable[..., Row]) -> Study:
    """Two pruners, two seeds; the second pruner stops earlier."""
    made = Study()
    for seed in (0, 1):
        made.add(trial_row("magnitude", seed), level_row, kept=(TOTAL, 30, 10))
        made.add(trial_row("random", seed), level_row, kept=(TOTAL, 30))
    return made


def test_a_layers_density_is_what_it_keeps(study: Study) -> None:
    tickets = layered_tickets(study.points)
    table = layer_table(pd.DataFrame(study.rows), tickets)
    assert set(table["seed"]) == {0}
    assert len(table) == 3 * len(SHAPES)
    for (method, density), own in table.groupby(["method", "density"], observed=True):
        trial = next(t for t in study.trials if t["pruner"] == method)
        level = {30: 1, 10: 2}[round(density * TOTAL)]
        layers = study.masks[trial["trial_id"], level]
        assert own["layer"].tolist() == list(SHAPES)
        assert own["shape"].tolist() == ["3×5", "4×3×3", "2×4"]
        assert own["layer_density"].tolist() == [one.kept / one.total for one in layers]
    assert layer_table(pd.DataFrame(), tickets).empty


def test_a_map_has_layers_down_and_densities_across(study: Study) -> None:
    rows = pd.DataFrame(study.rows)
    rows.loc[(rows["layer"] == "last.weight") & (rows["level"] == 2), "kept"] = 0
    table = layer_table(rows, layered_tickets(study.points))
    figure = layer_figure(table)
    scenes, methods = (list(one.labels) for one in layer_choices(table))
    assert (scenes, methods) == (["astronaut: denoising, σ = 25"], ["magnitude", "random"])
    first, second = figure.data
    assert (first.visible, second.visible) == (True, False)
    assert list(first.x) == ["0.508", "0.169"]
    assert list(second.x) == ["0.508"]
    assert list(first.y) == ["1: 3×5", "2: 4×3×3", "3: 2×4"]
    assert first.text[2][1] == "0"
    assert first.z[2][1] == 0.0
    assert all(0 < z <= 1 for z in (*first.z[0], *first.z[1]))
    order = np.argsort([row[0] for row in first.z])
    assert order.tolist() == np.argsort([float(row[0]) for row in first.text]).tolist()


def test_a_map_that_is_not_there_says_so(
    study: Study, trial_row: Callable[..., Row], level_row: Callable[..., Row]
) -> None:
    camera = [{"kind": "builtin", "name": "camera", "size": [128, 128]}]
    study.add(trial_row("random", images=camera) | {"image": "camera"}, level_row, kept=(TOTAL, 9))
    figure = layer_figure(layer_table(pd.DataFrame(study.rows), layered_tickets(study.points)))
    titles = [one.args[1]["xaxis.title.text"] for one in figure.layout.updatemenus[0].buttons]
    assert ["no such ticket" in title for title in titles] == [False, False, True, False]
    assert [len(trace.z) for trace in figure.data] == [3, 3, 0, 3]
    with pytest.raises(ValueError, match="one network"):
        layer_figure(layer_table(pd.DataFrame(), study.points))


def test_who_has_masks_of_its_own(
    study: Study, transfer_row: Callable[..., Row], level_row: Callable[..., Row]
) -> None:
    own = study.trials[0]
    moved = transfer_row(own, "camera")
    by_layer = transfer_row(own, "camera", travels="layer_densities")
    camera = {"kind": "builtin", "name": "camera"}
    other = json.loads(own["spec"]) | {"images": [camera]}
    agreed = {"kind": "consensus", "trajectories": [json.loads(own["spec"]), other]}
    consensus = transfer_row(own, "camera", source=agreed)
    for trial in (moved, by_layer, consensus):
        study.add(trial, level_row, kept=(TOTAL, 30))
    found = set(study.points["trial_id"])
    assert found == {t["trial_id"] for t in study.trials} - {moved["trial_id"]}
    assert (study.points["kept"] < TOTAL).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, TOTAL))
def test_overlaps_are_those_of_the_packages_own_count(one: int, other: int, kept: int) -> None:
    layers = keeps(one, kept), keeps(other, kept)
    tickets = pd.DataFrame(
        {
            "network": "skip", "kept": kept, "total": TOTAL, "density": kept / TOTAL,
            "trial_id": ["x", "y"], "level": 1, "ticket": ["a", "b"],
        }
    )  # fmt: skip
    table = overlap_table(tickets, {("x", 1): stored(layers[0]), ("y", 1): stored(layers[1])})
    first, second = (
        Mask({n: torch.from_numpy(keep) for n, keep in found.items()}) for found in layers
    )
    found = overlap(first, second).total_by_layer
    row = table[(table["a"] == "a") & (table["b"] == "b")].iloc[0]
    assert row["both"] == found.both
    assert row["iou"] == pytest.approx(found.iou)
    assert row["chance"] == pytest.approx(found.chance)
    assert (np.isnan(row["lift"]) and found.lift is None) or row["lift"] == pytest.approx(
        found.lift
    )
    assert row["share"] == pytest.approx(found.both / kept)
    alone = table[table["a"] == table["b"]]
    assert alone["iou"].tolist() == [1.0, 1.0]


def test_only_tickets_of_equal_counts_meet(study: Study) -> None:
    tickets = overlap_tickets(study.points)
    assert tickets.groupby("kept").size().to_dict() == {10: 2, 30: 4}
    names = tickets.loc[tickets["kept"] == 30, "ticket"].tolist()
    assert names == ["magnitude, seed 0", "magnitude, seed 1", "random, seed 0", "random, seed 1"]
    assert tickets.loc[tickets["kept"] == 10, "ticket"].tolist() == ["seed 0", "seed 1"]
    table = overlap_table(tickets, study.masks)
    assert table.groupby("kept").size().to_dict() == {10: 3, 30: 10}


def test_a_ticket_without_a_mask_or_of_other_layers_is_left_out(study: Study) -> None:
    tickets = overlap_tickets(study.points)
    gone, other = list(
        tickets[tickets["kept"] == 30][["trial_id", "level"]].itertuples(index=False)
    )[:2]
    masks = study.masks | {tuple(other): study.masks[tuple(other)][:-1]}
    del masks[tuple(gone)]
    table = overlap_table(tickets, masks)
    own = table[(table["kept"] == 30) & (table["a"] != table["b"])]
    assert list(zip(own["a"], own["b"], strict=True)) == [("random, seed 0", "random, seed 1")]
    assert overlap_table(tickets, {}).empty


def test_choices_are_bounded_and_take_first_seeds_first(
    trial_row: Callable[..., Row], level_row: Callable[..., Row]
) -> None:
    study = Study()
    for seed in range(5):
        for place in range(8):
            kept = (TOTAL, 50, 40, 30, 20, 10, 5)
            study.add(trial_row(f"pruner{place}", seed), level_row, kept=kept)
    tickets = overlap_tickets(study.points)
    sizes = tickets.groupby("kept").size()
    assert len(sizes) == MOST_DENSITIES
    assert {50, 5} <= set(sizes.index)
    assert set(sizes) == {MOST_TICKETS}
    assert set(tickets["seed"]) == {0, 1, 2}
    assert layered_tickets(study.points)["method"].nunique() == MOST_METHODS
    assert len(layered_tickets(study.points)) == MOST_METHODS * 6 <= MOST_METHODS * MOST_SCENES


def test_the_matrix_is_symmetric_and_shows_one_density(study: Study) -> None:
    table = overlap_table(overlap_tickets(study.points), study.masks)
    figure = overlap_figure(table)
    densities, _ = overlap_choices(table)
    assert list(densities.labels.values()) == ["0.508", "0.169"]
    buttons = figure.layout.updatemenus[0].buttons
    assert len(figure.data) == len(buttons) == 2 * len(MEASURES)
    for place, (button, trace) in enumerate(zip(buttons, figure.data, strict=True)):
        assert list(button.args[0]["visible"]) == [i == place for i in range(len(buttons))]
        assert trace.visible is (place == len(MEASURES)), "the sparsest is shown first"
        assert np.array_equal(trace.z, np.transpose(trace.z))
        assert len(trace.x) == len(trace.y) == (4 if place < 2 else 2)
    iou = figure.data[0]
    assert [row[i] for i, row in enumerate(iou.z)] == [1.0] * 4
    pair = table[(table["kept"] == 30) & (table["a"] == "magnitude, seed 0")].iloc[2]
    assert iou.z[0][2] == pytest.approx(pair["iou"])
    assert list(iou.customdata[0][2])[:2] == pytest.approx([pair["iou"], pair["chance"]], rel=5e-3)
    with pytest.raises(ValueError, match="one network"):
        overlap_figure(table.iloc[:0])
