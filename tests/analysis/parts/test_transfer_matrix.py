"""Transfers: who is compared with whom, by numbers worked out by hand, and the matrix of them."""

import json
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import (
    frontier_points,
    frontier_report,
    problem_table,
    transfer_figure,
    transfer_table,
)
from lip_ray.analysis.parts.transfer import EVEN
from lip_ray.analysis.rows.points import distinct_fits
from lip_ray.analysis.statistics.rounding import rounding_db

Row = Callable[..., dict[str, Any]]
T_1 = 12.706204736
"""The 97.5 % point of Student's t with one degree of freedom."""
CAMERA = {"images": [{"kind": "builtin", "name": "camera", "size": [128, 128]}]}
CLEAN = {"target": "clean"}


@pytest.fixture
def found_on(trial_row: Row) -> Callable[..., dict[str, Any]]:
    """Makes a trajectory on camera or astronaut."""

    def make(image: str, seed: int = 0, **changes: Any) -> dict[str, Any]:
        images = CAMERA if image == "camera" else {}
        return trial_row("magnitude", seed, **images, **changes) | {"image": image}

    return make


def frames(*fits: tuple[dict[str, Any], list[float]], level_row: Row) -> list[pd.DataFrame]:
    """Trials and levels from trials with their selected PSNRs, dense first."""
    levels = [
        level_row(trial, level, psnr=psnr)
        for trial, psnrs in fits
        for level, psnr in enumerate(psnrs)
    ]
    return [pd.DataFrame([trial for trial, _ in fits]), pd.DataFrame(levels)]


def selected(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the selected PSNR."""
    return table[table["which"] == "selected"].reset_index(drop=True)


class TestFrontier:
    """Transfers stand beside the trajectories of the problem that they are fitted to."""

    def test_methods_say_where_tickets_come_from(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        astronaut, camera = found_on("astronaut"), found_on("camera")
        fits = [
            (astronaut, [27, 26]),
            (camera, [29, 28]),
            (transfer_row(camera, "astronaut"), [27, 25]),
            (transfer_row(astronaut, "astronaut", travels="layer_densities"), [27, 24]),
            (transfer_row(astronaut, "astronaut", travels="mask"), [26, 23]),
        ]
        points = frontier_points(*frames(*fits, level_row=level_row))
        table = selected(problem_table(points))
        own = table[table["problem"] == "astronaut: denoising, σ = 25"]
        means = {(str(r["method"]), r["density"]): r["mean_db"] for _, r in own.iterrows()}
        assert means == {
            ("dense", 1.0): 27,
            ("dense, fresh weights", 1.0): 26,
            ("magnitude", 0.5): 26,
            ("magnitude from camera", 0.5): 25,
            ("magnitude, layer densities", 0.5): 24,
            ("magnitude, mask only", 0.5): 23,
        }
        assert (table[table["method"] == "dense"]["seeds"] == 1).all()
        assert len(distinct_fits(points)) == 6 + 2

    def test_a_default_network_left_out_is_the_one_named(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        astronaut, moved = found_on("astronaut"), transfer_row(found_on("camera"), "astronaut")
        assert not {"prior", "pruner"} & json.loads(astronaut["canonical"]).keys()
        assert "prior" not in json.loads(moved["canonical"])["source"]
        points = frontier_points(*frames((astronaut, [27]), (moved, [27]), level_row=level_row))
        assert points["problem"].nunique() == 1
        assert len(distinct_fits(points)) == 1

    def test_clean_targets_and_shared_weights_are_named_and_have_their_own_dense_fit(
        self, trial_row: Row, found_on: Row, level_row: Row
    ) -> None:
        both = trial_row("magnitude")
        images = json.loads(both["spec"])["images"] + CAMERA["images"]
        both = trial_row("magnitude", images=images)
        trials = [found_on("astronaut"), found_on("astronaut", **CLEAN), both]
        levels = [
            level_row(trial, level, image="astronaut") for trial in trials for level in (0, 1)
        ]
        levels += [level_row(both, level, image="camera") for level in (0, 1)]
        points = frontier_points(pd.DataFrame(trials), pd.DataFrame(levels))
        methods = points.groupby("problem", observed=True)["method"].agg(lambda m: set(map(str, m)))
        names = "astronaut + camera"
        shared = {f"dense, on {names} at once", f"magnitude found on {names}"}
        clean = {"dense, clean target", "magnitude, clean target"}
        measured = "(held out 0.03, stopping held_out)"
        oracle = "(held out 0, stopping wmv)"
        astronaut = "astronaut: denoising, σ = 25"
        assert methods[f"{astronaut} {measured}"] == {"dense", "magnitude"} | shared
        assert methods[f"{astronaut} {oracle}"] == clean, "no noise is in what they are fitted to"
        assert methods["camera: denoising, σ = 25"] == shared

    def test_another_seed_of_the_source_is_said(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        moved = transfer_row(found_on("camera"), "astronaut", seed=7)
        points = frontier_points(*frames((moved, [27, 26]), level_row=level_row))
        assert list(points["method"]) == [
            "dense, weights of seed 0",
            "magnitude from camera, seed 0",
        ]

    def test_a_consensus_and_a_file_are_named(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        specs = [json.loads(found_on(image)["spec"]) for image in ("astronaut", "camera")]
        agreed = {"kind": "consensus", "trajectories": specs, "rule": "vote"}
        file = {"kind": "file", "name": "chelsea", "sha256": "0f" * 32, "prior": specs[0]["prior"]}
        camera = found_on("camera")
        trials = [
            transfer_row(camera, "astronaut", source=agreed),
            transfer_row(camera, "astronaut", source=file, seed=3) | {"pruner": "chelsea"},
        ]
        points = frontier_points(*frames(*((t, [27, 26]) for t in trials), level_row=level_row))
        assert list(points["method"]) == [
            "dense", "magnitude, consensus of astronaut + camera",
            "dense, weights of chelsea", "chelsea from a file",
        ]  # fmt: skip


class TestTable:
    """Differences are paired by seed."""

    @pytest.fixture
    def table(self, found_on: Row, transfer_row: Row, level_row: Row) -> pd.DataFrame:
        """Two seeds from camera to astronaut; a third has no native ticket."""
        fits = []
        for seed, native, moved in ((0, 26.0, 25.0), (1, 27.0, 26.8)):
            fits.append((found_on("astronaut", seed), [28.0, native]))
            fits.append((transfer_row(found_on("camera", seed), "astronaut"), [28.0, moved]))
        fits.append((transfer_row(found_on("camera", 2), "astronaut"), [20.0, 22.0]))
        return transfer_table(*frames(*fits, level_row=level_row))

    def test_the_native_ticket_of_the_same_seed_is_subtracted(self, table: pd.DataFrame) -> None:
        (row,) = selected(table).to_dict("records")
        assert (row["source"], row["target"], row["own"]) == ("camera", "astronaut", False)
        assert (row["seeds"], row["n"], row["n_native"], row["n_dense"]) == (3, 3, 2, 3)
        assert row["mean_db"] == pytest.approx((25 + 26.8 + 22) / 3)
        assert row["to_native_db"] == pytest.approx((-1 - 0.2) / 2)
        half = T_1 * abs(-1 + 0.2) / math.sqrt(2) / math.sqrt(2)
        assert row["to_native_high_db"] == pytest.approx(-0.6 + half)
        assert row["native_db"] == pytest.approx(26.5)

    def test_the_dense_fit_of_the_trial_itself_is_subtracted(self, table: pd.DataFrame) -> None:
        (row,) = selected(table).to_dict("records")
        differences = pd.Series([-3, -1.2, 2])
        assert row["to_dense_db"] == pytest.approx(differences.mean())
        assert row["to_dense_deviation_db"] == pytest.approx(differences.std())

    def test_one_seed_has_no_interval(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        fits = [
            (found_on("astronaut"), [28, 27]),
            (transfer_row(found_on("camera"), "astronaut"), [28, 26]),
        ]
        (row,) = selected(transfer_table(*frames(*fits, level_row=level_row))).to_dict("records")
        assert row["to_native_db"] == -1
        assert math.isnan(row["to_native_low_db"])

    def test_a_ticket_of_the_clean_image_is_compared_with_one_fitted_to_a_measurement(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        here, there = found_on("astronaut", **CLEAN), found_on("camera", **CLEAN)
        fits = [
            (here, [40, 39]),
            (transfer_row(here, "astronaut"), [28, 27]),
            (transfer_row(there, "astronaut"), [28, 26]),
        ]
        table = selected(transfer_table(*frames(*fits, level_row=level_row)))
        found = table.set_index("source")["to_native_db"]
        assert found.to_dict() == {"astronaut": 0, "camera": -1}

    def test_tasks_are_named_where_they_vary(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        inpainting = {"kind": "inpainting", "mask": {"kind": "random", "kept": 0.5}}
        moved = transfer_row(found_on("astronaut"), "astronaut", task=inpainting)
        table = transfer_table(*frames((moved, [28, 27]), level_row=level_row))
        assert table["source"].astype(str).unique() == ["denoising, σ = 25"]
        assert table["target"].astype(str).unique() == ["inpainting"]
        points = frontier_points(*frames((moved, [28, 27]), level_row=level_row))
        assert points["method"].iloc[1] == "magnitude from denoising, σ = 25"

    def test_without_a_clean_image_rows_stay(
        self, found_on: Row, transfer_row: Row, level_row: Row
    ) -> None:
        trial = transfer_row(found_on("camera"), "astronaut")
        none = dict.fromkeys(f"psnr_{n}_db" for n in ("measured", "selected", "peak", "final"))
        levels = pd.DataFrame([level_row(trial, level, **none) for level in (0, 1)])
        table = selected(transfer_table(pd.DataFrame([trial]), levels))
        assert (table["seeds"].tolist(), table["n"].tolist()) == ([1], [0])

    def test_no_transfers_no_rows(self, study: Any) -> None:
        assert transfer_table(study.frame("trials"), study.frame("levels")).empty

    def test_what_rounding_could_make_falls_with_seeds(self, table: pd.DataFrame) -> None:
        assert set(table["to_native_rounding_db"]) == set(rounding_db(table["n_native"]))


class TestFigure:
    """The matrix has the table's numbers."""

    @pytest.fixture
    def table(self, travelled: Any) -> pd.DataFrame:
        """Two images, there and back, two seeds."""
        table = transfer_table(travelled.frame("trials"), travelled.frame("levels"))
        return table[table["travels"] == "mask_and_weights"]

    def test_cells_are_differences_and_the_diagonal_is_native(self, table: pd.DataFrame) -> None:
        figure = transfer_figure(table)
        heatmap = figure.data[0]
        rows = selected(table)
        there = rows[(rows["source"] == "astronaut") & (rows["density"] == 0.5)].iloc[0]
        assert list(heatmap.x) == list(heatmap.y) == ["astronaut", "camera"]
        assert heatmap.z[0][1] == pytest.approx(there["to_native_db"])
        assert heatmap.text[0][1] == "−0.50"
        assert heatmap.text[1][1] == f"{there['native_db']:.1f}"
        assert heatmap.z[1][1] == 0
        assert heatmap.zmin == -heatmap.zmax
        assert len(figure.layout.shapes) == 2

    def test_what_rounding_could_make_is_grey_and_in_brackets(self, table: pd.DataFrame) -> None:
        small = table.assign(to_native_rounding_db=0.5)
        heatmap = transfer_figure(small).data[0]
        assert heatmap.z[0][1] == 0
        assert heatmap.text[0][1] == "(−0.50)"
        assert heatmap.colorscale[1] == (0.5, EVEN)
        assert "dB [−0.50, −0.50] rounding" in heatmap.customdata[0][1]

    def test_the_dropdown_has_every_density_and_shows_one(self, table: pd.DataFrame) -> None:
        figure = transfer_figure(table)
        choice = figure.layout.updatemenus[1]
        assert [button.label for button in choice.buttons] == [
            "0.5 (50 % removed)", "0.25 (75 % removed)", "0.12 (88 % removed)",
        ]  # fmt: skip
        for place, button in enumerate(choice.buttons):
            assert button.args[0]["visible"] == [other == place for other in range(3)]
        assert [trace.visible for trace in figure.data] == choice.buttons[choice.active].args[0][
            "visible"
        ]

    def test_more_than_one_matrix_is_refused(self, travelled: Any) -> None:
        table = transfer_table(travelled.frame("trials"), travelled.frame("levels"))
        with pytest.raises(ValueError, match="one network, method and travels"):
            transfer_figure(table)

    def test_nothing_native_is_refused(self, table: pd.DataFrame) -> None:
        with pytest.raises(ValueError, match="no transfer has a native ticket"):
            transfer_figure(table.assign(n_native=0))


def test_a_store_of_transfers_alone_has_a_page(
    found_on: Row, transfer_row: Row, level_row: Row, store_of: Any
) -> None:
    trial = transfer_row(found_on("camera"), "astronaut")
    page = frontier_report(store_of([trial], [level_row(trial, level) for level in (0, 1)]))
    assert "The targets have no tickets of their own to compare with" in page
    assert "IMP (magnitude) from camera" in page
