"""Reconstructions with a generator as prior: means, intervals, floors, and what is kept apart."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.analysis import (
    frontier_report,
    measurements_figure,
    outliers_figure,
    sensing_figure,
    sensing_points,
    sensing_table,
    summary_table,
)
from lip_ray.analysis.named import table_of_page
from lip_ray.analysis.parts.sensing.table import sensing_sample
from lip_ray.store.schema import TABLES

FACES = {"kind": "npz", "path": "/faces.npz", "array": "faces", "name": "faces"}
FACES |= {"sha256": "0f" * 32}

Row = Callable[..., dict[str, Any]]
T_1 = 12.706204736
"""The 97.5 % point of Student's t with one degree of freedom."""
CLEAN = "digit-3 + digit-7: compressed sensing, in range; dcgan of digits"
CORRUPTED = "digit-3 + digit-7: compressed sensing, 2 % outliers, in range; dcgan of digits"


def tabled(store: Any) -> pd.DataFrame:
    """The table of a store."""
    return sensing_table(store.frame("trials"), store.frame("levels"))


@pytest.fixture(scope="module")
def table(sensing: Any) -> pd.DataFrame:
    """Two solvers, two pruners, two m, clean and corrupted, floor and lasso."""
    return tabled(sensing)


def row_of(table: pd.DataFrame, score: str = "psnr", which: str = "selected", **at: Any) -> Any:
    """The only row with these values."""
    rows = table[(table["score"] == score) & (table["which"] == which)]
    for name, value in at.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


class TestMeans:
    """Over images, each averaged over seeds first."""

    def test_seeds_are_averaged_within_images_before_images(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trials = [reconstruction_row(generator_row("magnitude", seed)) for seed in (0, 1)]
        levels = [
            sensed_row(trials[0], image="digit-3", psnr=10.0),
            sensed_row(trials[1], image="digit-3", psnr=20.0),
            sensed_row(trials[0], image="digit-7", psnr=30.0),
        ]
        table = tabled(store_of(trials, levels))
        row = row_of(table)
        assert row["mean"] == pytest.approx((15.0 + 30.0) / 2)  # and not 20, that of all fits
        half = T_1 * (15.0 / math.sqrt(2)) / math.sqrt(2)
        assert (row["high"] - row["mean"], row["mean"] - row["low"]) == pytest.approx((half, half))
        assert (row["n"], row["over"], row["images"], row["seeds"]) == (2, "images", 2, 2)

    def test_errors_are_means_of_errors_not_of_decibels(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial = reconstruction_row(generator_row())
        levels = [
            sensed_row(trial, image=image, psnr=psnr, l2_per_pixel=error)
            for image, psnr, error in (("digit-3", 10.0, 0.4), ("digit-7", 30.0, 0.1))
        ]
        table = tabled(store_of([trial], levels))
        assert row_of(table, "mse")["mean"] == pytest.approx((0.1 + 0.001) / 2)
        assert row_of(table, "mse", "peak")["mean"] == pytest.approx((10**-1.05 + 10**-3.05) / 2)
        assert row_of(table, "l2")["mean"] == pytest.approx(0.25)
        assert table.loc[table["score"] == "l2", "which"].tolist() == ["selected"]

    def test_a_single_image_has_intervals_over_seeds(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trials = [reconstruction_row(generator_row("magnitude", seed)) for seed in (0, 1)]
        levels = [sensed_row(trial, psnr=20.0 + trial["seed"]) for trial in trials]
        table = tabled(store_of(trials, levels))
        row = row_of(table)
        assert (row["mean"], row["n"], row["over"]) == (20.5, 2, "seeds")
        assert row["high"] - row["mean"] == pytest.approx(T_1 * 0.5)
        assert sensing_sample(table) == "n = 2 seeds, 95 % intervals"

    def test_one_seed_of_one_image_has_no_interval(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial = reconstruction_row(generator_row())
        store = store_of([trial], [sensed_row(trial)])
        assert pd.isna(row_of(tabled(store))["low"])
        assert sensing_sample(tabled(store)) == "n = 1 seed, so no intervals"
        assert "n = 1 seed, so no intervals" in frontier_report(store)

    def test_seeds_of_the_generator_count_where_all_reconstructions_share_one(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        generators = [generator_row("magnitude", seed) for seed in (0, 1)]
        trials = [reconstruction_row(generator, seed=7) for generator in generators]
        row = row_of(tabled(store_of(trials, [sensed_row(trial) for trial in trials])))
        assert (row["seeds"], row["n"]) == (2, 2)

    def test_confidence_is_within_0_and_1(self, sensing: Any) -> None:
        with pytest.raises(ValueError, match="confidence must be within 0 and 1, got 95"):
            sensing_table(sensing.frame("trials"), sensing.frame("levels"), confidence=95)

    def test_no_reconstructions_are_refused(self, study: Any) -> None:
        with pytest.raises(ValueError, match="no finished level of a reconstruction"):
            tabled(study)


class TestFloor:
    """The same generator's best fit to the image itself."""

    def test_it_is_of_the_same_generator_density_and_step(self, table: pd.DataFrame) -> None:
        at = {"problem": CLEAN, "method": "erm, random", "m": 100.0, "density": 0.25}
        assert row_of(table, **at)["floor"] == pytest.approx(29.0 - 2 + 0.5 + 1.0)
        assert row_of(table, which="peak", **at)["floor"] == pytest.approx(28.5 + 0.5)
        squared = [10 ** -((29.0 - 2 + seed + by) / 10) for seed in (0, 1) for by in (0.0, 2.0)]
        assert row_of(table, "mse", **at)["floor"] == pytest.approx(sum(squared) / 4)

    def test_a_trial_without_a_finished_floor_has_none(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        generator = generator_row()
        floor = reconstruction_row(generator, task={"kind": "projection"})
        trial = reconstruction_row(generator, floor=floor)
        row = row_of(tabled(store_of([generator, floor, trial], [sensed_row(trial)])))
        assert pd.isna(row["floor"])

    def test_floors_are_no_problem_of_their_own_but_projections_are(
        self, table: pd.DataFrame, store_of: Any, generator_row: Row, reconstruction_row: Row,
        sensed_row: Row,
    ) -> None:  # fmt: skip
        assert set(table["problem"]) == {CLEAN, CORRUPTED}
        alone = reconstruction_row(generator_row(), task={"kind": "projection"})
        own = tabled(store_of([alone], [sensed_row(alone)]))
        assert set(own["problem"]) == {"digit-3: projection, in range; dcgan of digits"}


class TestKeptApart:
    """Problems and methods that are not one."""

    def test_splits_are_never_averaged_together(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial = reconstruction_row(generator_row())
        levels = [
            sensed_row(trial, image="digit-3", psnr=30.0, split="training"),
            sensed_row(trial, image="digit-7", psnr=20.0, split="held_out"),
        ]
        table = tabled(store_of([trial], levels))
        means = table[(table["score"] == "psnr") & (table["which"] == "selected")]
        assert dict(zip(means["problem"].astype(str), means["mean"], strict=True)) == {
            "digit-3: compressed sensing, training images; dcgan of digits": 30.0,
            "digit-7: compressed sensing, held out; dcgan of digits": 20.0,
        }

    @pytest.mark.parametrize(
        ("field", "values", "column"),
        [
            ("solver", ({"kind": "erm", "restarts": 2}, {"kind": "erm", "restarts": 9}), "method"),
            ("images", ([{"kind": "digit", "index": 1}],
                        [{"kind": "digit", "index": 2}]), "problem"),
            ("task", ({"kind": "compressed_sensing", "m": 9, "sigma": 0.0},
                      {"kind": "compressed_sensing", "m": 9, "sigma": 5.0}), "problem"),
            ("unheard_of", (1, 2), "method"),
        ],
    )  # fmt: skip
    def test_other_settings_are_other_lines(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row,
        field: str, values: tuple[Any, Any], column: str,
    ) -> None:  # fmt: skip
        trials = [reconstruction_row(generator_row(), **{field: value}) for value in values]
        table = tabled(store_of(trials, [sensed_row(trial) for trial in trials]))
        assert table[column].nunique() == 2
        assert (table["fits"] == 1).all()

    @pytest.mark.parametrize(
        ("change", "column"),
        [
            ({"prior": {"kind": "dcgan", "size": 16}}, "problem"),
            ({"images": FACES}, "problem"),
            ({"pruner": {"kind": "magnitude", "raw": True}}, "method"),
            ({"critic_pruned": True}, "method"),
            ({"schedule": {"kind": "densities", "densities": [1.0]}}, "method"),
        ],
    )
    def test_other_generators_are_other_lines(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row,
        change: dict[str, Any], column: str,
    ) -> None:  # fmt: skip
        generators = [generator_row(), generator_row("magnitude", 0, **change)]
        trials = [reconstruction_row(generator) for generator in generators]
        table = tabled(store_of(trials, [sensed_row(trial) for trial in trials]))
        assert table[column].nunique() == 2
        assert (table["fits"] == 1).all()

    def test_defaults_that_a_canonical_spec_leaves_out_are_told_from_others(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        default = reconstruction_row(generator_row())
        assert "solver" not in json.loads(default["canonical"])
        assert "pruner" not in json.loads(default["canonical"])["source"]
        other = reconstruction_row(generator_row(), solver={"kind": "erm", "restarts": 2})
        points = [sensed_row(default), sensed_row(other)]
        found = sensing_points(*(pd.DataFrame(rows) for rows in ([default, other], points)))
        assert set(found["method"]) == {
            "erm (10 restarts), magnitude", "erm (2 restarts), magnitude",
        }  # fmt: skip


class TestWithoutGenerator:
    """The lasso has no density, and stands in every problem with its images and task."""

    def test_it_is_in_each_problem(self, table: pd.DataFrame) -> None:
        lasso = table[table["method"] == "lasso"]
        assert set(lasso["problem"]) == {CLEAN, CORRUPTED}
        assert lasso["reference"].all()
        assert lasso[["kept", "density"]].isna().all(axis=None)

    def test_only_the_images_of_the_split_count(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial, lasso = reconstruction_row(generator_row()), reconstruction_row(None, "lasso")
        splits = {"digit-3": "training", "digit-7": "held_out"}
        levels = [sensed_row(trial, image=image, split=split) for image, split in splits.items()]
        levels += [
            sensed_row(lasso, image=image, psnr=psnr, split=None)
            for image, psnr in (("digit-3", 10.0), ("digit-7", 14.0))
        ]
        table = tabled(store_of([trial, lasso], levels))
        means = table[table["reference"] & (table["score"] == "psnr") & (table["which"] == "final")]
        assert {title.split(":")[0] for title in means["problem"]} == {"digit-3", "digit-7"}
        assert means["mean"].tolist() == [8.5, 12.5]

    def test_alone_it_has_a_page(
        self, store_of: Any, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        lasso = reconstruction_row(None, "lasso")
        store = store_of([lasso], [sensed_row(lasso, split=None)])
        assert set(tabled(store)["problem"]) == {"digit-3: compressed sensing, split unknown; dct"}
        assert "split unknown" in frontier_report(store)


class TestWhatWentWrong:
    """Fits that collapse, diverge or fail are counted and shown."""

    def test_collapsed_fits_count_in_the_mean(self, table: pd.DataFrame) -> None:
        at = {"problem": CLEAN, "method": "median of means, random", "m": 100.0}
        row = row_of(table, density=0.25, **at)
        assert (row["collapsed"], row["fits"], row["missing"]) == (2, 4, 0)
        assert row["mean"] == pytest.approx(19.5)

    def test_failed_fits_are_missing(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial = reconstruction_row(generator_row())
        bad = sensed_row(trial, 1, psnr=None, outcome="failed", reason="no weights")
        store = store_of([trial], [sensed_row(trial), bad])
        row = row_of(tabled(store), density=0.5)
        assert (row["failed"], row["missing"], row["n"]) == (1, 1, 0)
        figure = sensing_figure(tabled(store))
        lost = next(trace for trace in figure.data if trace.name == "no result")
        assert (list(lost.x), list(lost.y), lost.showlegend) == ([0.5], [0], True)
        assert "1 failed, 1 without PSNR" in frontier_report(store)


class TestFigures:
    """They draw the table's numbers."""

    @pytest.fixture
    def clean(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of the problem without outliers."""
        return table[table["problem"] == CLEAN]

    def test_lines_are_means_floors_and_references(self, clean: pd.DataFrame) -> None:
        figure = sensing_figure(clean)
        drawn = {trace.name: trace for trace in figure.data}
        assert set(drawn) == {
            "floor, magnitude", "floor, random", "lasso", "erm, magnitude", "erm, random",
            "median of means, magnitude", "median of means, random", "some collapsed",
            "some diverged", "no result",
        }  # fmt: skip
        assert list(drawn["erm, random"].x) == [1.0, 0.5, 0.25]
        assert list(drawn["erm, random"].y) == pytest.approx([23.0, 22.0, 21.0])
        assert list(drawn["floor, random"].y) == pytest.approx([30.5, 29.5, 28.5])
        assert list(drawn["lasso"].y) == [15.0, 15.0]
        assert drawn["erm, random"].line.color == drawn["erm, magnitude"].line.color
        assert drawn["erm, random"].line.dash != drawn["erm, magnitude"].line.dash

    def test_every_entry_of_the_menu_is_of_the_table(self, clean: pd.DataFrame) -> None:
        figure = sensing_figure(clean)
        names = [trace.name for trace in figure.data]
        place = names.index("median of means, random")
        menu = figure.layout.updatemenus[0]
        labels = [button.label for button in menu.buttons]
        assert len(labels) == 3 * 3 * 2
        assert labels[menu.active] == "Selected, PSNR, measurements 250"
        traces, axis = menu.buttons[labels.index("Peak (oracle), MSE, measurements 100")].args
        rows = clean[(clean["score"] == "mse") & (clean["which"] == "peak")]
        rows = rows[(rows["m"] == 100) & (rows["method"] == "median of means, random")]
        assert traces["y"][place] == pytest.approx(rows["mean"].tolist(), rel=1e-5)
        crosses = names.index("some collapsed")
        assert traces["x"][crosses] == [0.25]
        assert traces["y"][crosses] == traces["y"][place][-1:]
        assert traces["showlegend"][crosses]
        assert not traces["showlegend"][names.index("some diverged")]
        assert axis["yaxis.type"] == "log"
        traces, axis = menu.buttons[
            labels.index("Peak (oracle), L2 per pixel, measurements 100")
        ].args
        assert axis["yaxis.title.text"].endswith(", selected")  # there is no other

    def test_every_value_is_within_the_axis(self, clean: pd.DataFrame) -> None:
        for button in sensing_figure(clean).layout.updatemenus[0].buttons:
            traces, axis = button.args
            low, high = axis["yaxis.range"]
            for y in traces["y"][:-1]:
                values = [value for value in y if value is not None]
                if axis["yaxis.type"] == "log":
                    values = [math.log10(value) for value in values]
                assert all(low <= value <= high for value in values)

    def test_measurements_are_compared_at_a_density(self, clean: pd.DataFrame) -> None:
        figure = measurements_figure(clean)
        drawn = {trace.name: trace for trace in figure.data}
        assert list(drawn["erm, magnitude"].x) == [100.0, 250.0]
        assert list(drawn["erm, magnitude"].y) == pytest.approx([22.5, 24.0])
        assert list(drawn["lasso"].y) == [15.0, 15.0]
        labels = [button.label for button in figure.layout.updatemenus[0].buttons]
        assert labels[0] == "Selected, PSNR, density 1 (0 % removed)"
        low, high = figure.layout.xaxis.range
        assert low < 2 < math.log10(250) < high

    def test_at_most_four_densities_are_to_choose_from(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trials = [reconstruction_row(generator_row(), m=m) for m in (10, 20)]
        levels = [
            sensed_row(trial, kept=kept, density=kept / 1000) | {"level": level}
            for trial in trials
            for level, kept in enumerate((1000, 800, 640, 512, 410, 328, 262))
        ]
        figure = measurements_figure(tabled(store_of(trials, levels)))
        labels = [button.label.split(", ")[2] for button in figure.layout.updatemenus[0].buttons]
        assert [label.split()[1] for label in labels[:4]] == ["1", "0.64", "0.41", "0.262"]

    def test_outliers_are_compared_with_none(self, table: pd.DataFrame) -> None:
        figure = outliers_figure(table)
        drawn = {trace.name: trace for trace in figure.data}
        assert list(drawn["erm, magnitude"].x) == [0.0, 0.02]
        assert list(drawn["erm, magnitude"].y) == pytest.approx([24.0, 18.0])
        assert list(drawn["median of means, magnitude"].y) == pytest.approx([24.0, 24.0])
        assert list(figure.layout.xaxis.ticktext) == ["0 %", "2 %"]

    def test_a_figure_is_of_one_problem(self, table: pd.DataFrame) -> None:
        for figure in (sensing_figure, measurements_figure):
            with pytest.raises(ValueError, match="shows one problem"):
                figure(table)
        with pytest.raises(ValueError, match="no reconstruction has a result"):
            sensing_figure(table[table["problem"] == CLEAN].assign(n=0))


class TestPage:
    def test_it_calls_pruners_as_all_parts_of_a_page_do(self, sensing: Any) -> None:
        """A table of rows has the kinds of specs, to be selected by."""
        shown = {row[0] for row in table_of_page(sensing, "sensing").rows}
        assert shown >= {"erm, IMP (magnitude)", "erm, random", "lasso"}
        assert table_of_page(sensing, "generators").rows[1][0] == "IMP (magnitude)"

    """Sections, numbers and the terminal's summary."""

    def test_each_problem_has_its_sections(self, sensing: Any) -> None:
        page = frontier_report(sensing)
        for said in (
            "Generators: dcgan of digits", CLEAN, CORRUPTED, f"Error against measurements: {CLEAN}",
            "Error against outliers: digit-3 + digit-7: compressed sensing, in range",
            "24.00 [11.29, 36.71]", "n = 2 images (2 seeds each), 95 % intervals", "2 collapsed",
        ):  # fmt: skip
            assert said in page

    def test_the_summary_tells_psnr_by_method_density_and_measurements(self, sensing: Any) -> None:
        summary = summary_table(sensing.frame("trials"), sensing.frame("levels"))
        rows = summary[(summary["problem"] == CLEAN) & (summary["method"] == "erm, magnitude")]
        assert rows[["m", "density", "selected_db", "floor_db"]].to_numpy().tolist() == [
            [100, 1.0, 22.5, 31.5], [100, 0.5, 21.5, 30.5], [100, 0.25, 20.5, 29.5],
            [250, 1.0, 24.0, 31.5], [250, 0.5, 23.0, 30.5], [250, 0.25, 22.0, 29.5],
        ]  # fmt: skip
        drawn = summary[summary["problem"] == "dcgan of digits"]
        assert drawn["frechet"].tolist() == pytest.approx([2.5, 3.5, 4.5, 4.5, 5.5])

    def test_a_gallery_has_the_first_images_only_and_says_so(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row
    ) -> None:
        trial = reconstruction_row(generator_row())
        levels = [sensed_row(trial, image=f"digit-{index}") for index in range(11)]
        page = frontier_report(store_of([trial], levels))
        assert "Reconstructions of seed 0, 8 of 11 images" in page
        assert page.count('alt="digit-7, true"') == 1
        assert 'alt="digit-8, true"' not in page
        pictures, _ = json.JSONDecoder().raw_decode(page.split('"pictures": ')[1])
        assert len(pictures) == 8 * 5

    def test_names_are_text_and_nothing_else(
        self, store_of: Any, generator_row: Row, reconstruction_row: Row, sensed_row: Row,
        drawn_row: Row,
    ) -> None:  # fmt: skip
        hostile = "</script><img src=x onerror=alert(1)>"
        generator = generator_row(hostile, 0, prior={"kind": hostile}, images={"kind": hostile})
        trial = reconstruction_row(generator, hostile) | {"image": hostile}
        levels = [drawn_row(generator), sensed_row(trial, image=hostile, reason=hostile)]
        page = frontier_report(store_of([generator, trial], levels))
        assert hostile not in page
        assert "&lt;/script&gt;&lt;img src=x" in page

    def test_pictures_beyond_the_budget_stay_out_and_that_is_said(self, sensing: Any) -> None:
        page = frontier_report(sensing, pictures_mb=0)
        assert "Pictures left out to keep the page small: " in page
        assert '"pictures": []' in page

    def test_a_store_on_disk_has_the_same_page(self, sensing: Any, tmp_path: Path) -> None:
        frames = {name: sensing.frame(name) for name in ("trials", "levels", "reconstructions")}
        for name, frame in frames.items():
            known = [field for field in TABLES[name] if field.name in frame]
            schema = pa.schema(known)
            written = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
            pq.write_table(written, tmp_path / f"{name}.parquet")
        read = {name: pq.read_table(tmp_path / f"{name}.parquet").to_pandas() for name in frames}
        read["trials"] = read["trials"].assign(levels_done=frames["trials"]["levels_done"])
        stored = type(sensing)(read)
        pd.testing.assert_frame_equal(tabled(stored), tabled(sensing), check_dtype=False)
        assert frontier_report(stored) == frontier_report(sensing)
