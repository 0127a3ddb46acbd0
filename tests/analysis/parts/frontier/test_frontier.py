"""The frontier's tables against numbers by hand and the front's definition, and its figure."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lip_ray.analysis.parts.frontier.figures import Shown, first_choice, frontier_figure
from lip_ray.analysis.parts.frontier.looks import ALL
from lip_ray.analysis.parts.frontier.section import frontier_data
from lip_ray.analysis.parts.frontier.table import (
    AXES,
    MEAN_IMAGE,
    frontier_fits,
    frontier_table,
    hypervolume_table,
    scene_table,
)
from lip_ray.analysis.parts.frontier.words import scene_words
from lip_ray.analysis.rows.points import WHICH
from lip_ray.analysis.statistics.intervals import hypervolume, pareto_front

Row = dict[str, Any]
Frames = tuple[pd.DataFrame, pd.DataFrame]

DECODER = {"kind": "deep_decoder", "width": 64}


def on(image: str, trial_row: Callable[..., Row], pruner: str, seed: int, **changes: Any) -> Row:
    """A trial on an image of that name."""
    images = [{"kind": "builtin", "name": image, "size": [128, 128]}]
    return trial_row(pruner, seed, images=images, **changes) | {"image": image}


@pytest.fixture
def two_images(trial_row: Callable[..., Row], level_row: Callable[..., Row]) -> Frames:
    """Two images: magnitude on both at two seeds, random on the first only; a deep decoder."""
    trials, levels = [], []
    for image, best in (("astronaut", 27.0), ("camera", 31.0)):
        for seed in (0, 1):
            trials.append(on(image, trial_row, "magnitude", seed))
            levels.append(level_row(trials[-1], psnr=best + seed, macs=1000, fit_s=10.0))
            half = {"macs": 600, "fit_s": 12.0 + seed}
            levels.append(level_row(trials[-1], 1, psnr=best - 1 + seed, **half))
    trials.append(on("astronaut", trial_row, "random", 0))
    levels.append(level_row(trials[-1], psnr=27.0, macs=1000, fit_s=10.0))
    levels.append(level_row(trials[-1], 1, psnr=26.9, macs=500, fit_s=9.0))
    trials.append(on("astronaut", trial_row, "magnitude", 0, prior=DECODER))
    size = {"kept": 25_000, "total": 25_000, "density": 1.0}
    levels.append(level_row(trials[-1], psnr=24.0, macs=90, fit_s=3.0, **size))
    return pd.DataFrame(trials), pd.DataFrame(levels)


def only(table: pd.DataFrame, **equal: Any) -> Any:
    """The one row with these values."""
    for name, value in equal.items():
        table = table[table[name] == value]
    (row,) = table.itertuples()
    return row


class TestTable:
    """Means, intervals, costs."""

    def test_over_images_the_seeds_of_each_are_averaged_first(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        row = only(table, image=MEAN_IMAGE, method="magnitude", which="selected", total=2_208_768)
        assert row.mean_db == pytest.approx((26.5 + 30.5) / 2)
        assert (row.n, row.unit) == (2, "image")
        half = stats.t.ppf(0.975, 1) * np.std([26.5, 30.5], ddof=1) / math.sqrt(2)
        assert row.low_db == pytest.approx(28.5 - half)
        assert row.high_db == pytest.approx(28.5 + half)

    def test_of_one_image_the_seeds_are_the_sample(self, two_images: Frames) -> None:
        row = only(
            frontier_table(*two_images), image="camera", method="magnitude", which="selected"
        )
        assert (row.mean_db, row.n, row.unit) == (pytest.approx(30.5), 2, "seed")
        assert row.seconds == pytest.approx(12.5)
        assert row.macs == 600

    def test_one_run_has_no_interval(self, two_images: Frames) -> None:
        row = only(frontier_table(*two_images), image="astronaut", method="random", which="peak")
        assert row.n == 1
        assert math.isnan(row.low_db)
        assert math.isnan(row.high_db)

    def test_the_dense_fit_of_a_seed_counts_once(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        row = only(table, image="astronaut", method="dense", which="selected", total=2_208_768)
        assert row.n == 2

    def test_a_task_with_one_image_has_no_mean(self, study: Any) -> None:
        table = frontier_table(study.frame("trials"), study.frame("levels"))
        assert set(table["image"]) == {"astronaut"}

    def test_a_mean_over_fewer_images_is_not_on_the_front(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        means = table[(table["image"] == MEAN_IMAGE) & (table["which"] == "selected")]
        partial = means[~means["whole"]]
        assert set(zip(partial["prior"], partial["method"], strict=True)) == {
            ("skip", "random"), ("deep_decoder", "dense"),
        }  # fmt: skip
        assert not partial[[f"front_{axis}" for axis in AXES]].to_numpy().any()

    def test_fits_without_a_psnr_are_counted(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        trials = [trial_row("magnitude", seed) for seed in (0, 1)]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        levels[-1] |= dict.fromkeys((f"psnr_{which}_db" for which in WHICH), None)
        table = frontier_table(pd.DataFrame(trials), pd.DataFrame(levels))
        row = only(table, method="magnitude", which="final")
        assert (row.n, row.missing) == (1, 1)

    def test_what_a_store_did_not_count_is_missing(self, study: Any) -> None:
        table = frontier_table(study.frame("trials"), study.frame("levels"))
        assert table["macs"].isna().all()
        assert not table["front_macs"].any()
        assert table["front_density"].any()


COSTS = st.sampled_from([0.05, 0.1, 0.25, 0.5])
SCORES = st.one_of(st.just(math.nan), st.sampled_from([20.0, 21.5, 22.0, 25.0]))


FITS = st.tuples(st.sampled_from(["a", "b"]), COSTS, SCORES, st.booleans())


@given(st.lists(FITS, min_size=1, max_size=24))
@settings(deadline=None, max_examples=30)
def test_flags_are_the_front_of_each_scene(rows: list[tuple[str, float, float, bool]]) -> None:
    fits = made(rows)
    table = scene_table(fits)
    for _, scene in table.groupby(["task", "image", "which"], observed=True):
        for axis in AXES:
            able = scene["mean_db"].notna() & scene[axis].notna() & scene["whole"]
            able &= (scene["unfit"] == 0) & (scene["mean_db"] >= scene["measured_db"])
            own = scene[able]
            assert own[f"front_{axis}"].tolist() == pareto_front(
                own[axis].tolist(), own["mean_db"].tolist()
            )
            assert not scene.loc[~able, f"front_{axis}"].any()


class TestUnfitForAFront:
    """The cheapest and best point of a scene, with each flaw that keeps it off the front."""

    @pytest.fixture
    def scene(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> Callable[..., pd.DataFrame]:
        """Makes a table of a ladder whose last ticket, of two seeds, is changed in one of them."""

        def make(**changes: Any) -> pd.DataFrame:
            trials, levels = [], []
            for seed in (0, 1):
                trials.append(trial_row("magnitude", seed))
                levels += [level_row(trials[-1], level, psnr=27.0) for level in (0, 1, 2)]
            levels[-1] |= changes
            return frontier_table(pd.DataFrame(trials), pd.DataFrame(levels))

        return make

    @staticmethod
    def front(table: pd.DataFrame) -> list[float]:
        """Rounded densities on the front of the selected PSNR."""
        rows = table[(table["which"] == "selected") & table["front_density"]]
        return rows["density"].round(2).tolist()

    def test_a_sound_one_is_on_it(self, scene: Callable[..., pd.DataFrame]) -> None:
        assert self.front(scene()) == self.front(scene(unfinished=False)) == [0.25]

    @pytest.mark.parametrize(
        "changes",
        [
            {"unfinished": True},
            {"outcome": "collapsed"},
            {"outcome": "diverged"},
            {"psnr_peak_db": 20.2},
            {"psnr_selected_db": 13.5},
        ],
    )
    def test_a_flawed_one_is_not(
        self, scene: Callable[..., pd.DataFrame], changes: dict[str, Any]
    ) -> None:
        table = scene(**changes)
        assert self.front(table) == [0.5]
        volume = only(hypervolume_table(table), which="selected", axis="density")
        assert (volume.front, volume.points) == (1, 2)

    def test_what_is_left_out_is_counted_in_words(self, scene: Callable[..., pd.DataFrame]) -> None:
        [words] = scene_words(scene(unfinished=True)).values()
        assert "1 fit unfinished, gone wrong or worse than" in words["selected"]["density"]
        [words] = scene_words(scene()).values()
        assert "unfinished" not in words["selected"]["density"]


def made(rows: list[tuple[str, float, float, bool]]) -> pd.DataFrame:
    """Fits of two images as of `frontier_fits`: image, density, PSNR, and whether it is unfit."""
    frame = pd.DataFrame(rows, columns=["image", "density", "psnr", "unfit"])
    frame["method"] = [f"method {place % 3}" for place in range(len(frame))]
    names = {"task": "denoising", "network": "skip", "reference": "dense"}
    for name, value in names.items():
        frame[name] = pd.Categorical([value] * len(frame))
    for name in ("image", "method"):
        frame[name] = frame[name].astype("category")
    psnrs = {f"psnr_{which}_db": frame["psnr"] for which in WHICH}
    same = {"prior": "skip", "scene": "{}", "measured_db": 21.0, "macs": math.nan, "total": 1000}
    kept = (frame["density"] * 1000).astype(int)
    return frame.assign(
        **psnrs, **same, kept=kept, seconds=1 / frame["density"], seed=range(len(frame))
    )


class TestHypervolume:
    """What a front dominates."""

    def test_it_is_that_of_the_points_within_the_reference(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        row = only(hypervolume_table(table), image="astronaut", which="selected", axis="kept")
        scene = table[(table["image"] == "astronaut") & (table["which"] == "selected")]
        assert row.worst_cost == pytest.approx(2_208_768 * 10**0.1)
        assert row.worst_db == pytest.approx(20.3)
        assert row.hypervolume == pytest.approx(
            hypervolume(
                np.log10(scene["kept"]).tolist(),
                scene["mean_db"].tolist(),
                worst_cost=math.log10(2_208_768) + 0.1,
                worst_psnr_db=20.3,
            )
        )
        assert row.front == scene["front_kept"].sum()

    def test_without_a_cost_there_is_none(self, study: Any) -> None:
        table = frontier_table(study.frame("trials"), study.frame("levels"))
        row = only(hypervolume_table(table), which="selected", axis="macs")
        assert math.isnan(row.hypervolume)
        assert (row.front, row.points, row.without) == (0, 0, 16)


class TestFigure:
    """Rows become traces."""

    def test_the_front_is_a_step_line_with_rings(self, two_images: Frames) -> None:
        fits = frontier_fits(*two_images)
        table = scene_table(fits)
        choice = Shown(task="denoising, σ = 25", image="astronaut", axis="kept")
        figure = frontier_figure(table, choice, fits=fits)
        front = next(trace for trace in figure.data if trace.name == "Pareto front")
        assert list(front.x) == sorted(front.x)
        assert list(front.y) == sorted(front.y)
        assert front.line.shape == "hv"
        assert front.marker.symbol == "circle-open"

    def test_the_deep_decoder_stays_whatever_prior_is_chosen(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        choice = Shown(task="denoising, σ = 25", image="astronaut", prior="skip")
        assert "skip" in set(table["network"])
        names = {trace.name for trace in frontier_figure(table, choice).data}
        assert "deep_decoder: dense" in names
        assert "skip: magnitude" in names

    def test_several_deep_decoders_are_priors_like_others(
        self, two_images: Frames, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        trials, levels = two_images
        wider = on("astronaut", trial_row, "magnitude", 0, prior=DECODER | {"width": 128})
        own = level_row(wider, psnr=25.0, kept=100_000, total=100_000, density=1.0)
        frames = (
            pd.concat([trials, pd.DataFrame([wider])]),
            pd.concat([levels, pd.DataFrame([own])]),
        )
        table = frontier_table(*frames)
        choice = Shown(task="denoising, σ = 25", image="astronaut", prior="skip")
        names = {trace.name for trace in frontier_figure(table, choice).data}
        assert not any("deep_decoder" in name for name in names)
        names = {trace.name for trace in frontier_figure(table, replace(choice, prior=ALL)).data}
        assert sum(": dense" in name and "deep_decoder" in name for name in names) == 4

    def test_a_method_alone_keeps_the_dense_networks(self, two_images: Frames) -> None:
        choice = Shown(task="denoising, σ = 25", image="astronaut", method="random")
        figure = frontier_figure(frontier_table(*two_images), choice)
        shown = {trace.name for trace in figure.data if trace.showlegend is not False}
        assert shown == {
            "measurement", "skip: random", "skip: dense", "deep_decoder: dense", "Pareto front",
        }  # fmt: skip

    def test_many_fits_are_drawn_by_webgl(
        self, two_images: Frames, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fits = frontier_fits(*two_images)
        table = scene_table(fits)
        kinds = {trace.type for trace in frontier_figure(table, fits=fits).data}
        assert kinds == {"scatter"}
        monkeypatch.setattr("lip_ray.analysis.parts.frontier.traces.MANY", 3)
        kinds = {trace.type for trace in frontier_figure(table, fits=fits).data}
        assert kinds == {"scatter", "scattergl"}

    def test_an_unknown_scene_is_refused_with_those_there_are(self, two_images: Frames) -> None:
        table = frontier_table(*two_images)
        with pytest.raises(ValueError, match=r"no scene moving, astronaut.*there are: .*camera"):
            frontier_figure(table, Shown(task="moving", image="astronaut"))

    def test_published_numbers_are_beside_the_same_image_and_task(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        images = [{"kind": "builtin", "name": "astronaut"}]
        task = {"kind": "denoising", "sigma": 30.0}
        trial = trial_row("magnitude", images=images, task=task)
        frames = pd.DataFrame([trial]), pd.DataFrame([level_row(trial)])
        fits = frontier_fits(*frames)
        table = scene_table(fits)
        figure = frontier_figure(table, first_choice(table), fits=fits)
        (marks,) = [trace for trace in figure.data if trace.name == "published"]
        assert len(marks.x) > 0
        assert all("arXiv" in text or "20" in text for text in marks.text)
        peak = frontier_figure(
            table, Shown(task="denoising, σ = 30", image="astronaut", which="peak")
        )
        assert "published" not in {trace.name for trace in peak.data}


class TestPage:
    """Words and columns."""

    def test_words_say_the_reference_point_and_what_is_missing(self, two_images: Frames) -> None:
        fits = frontier_fits(*two_images)
        table = scene_table(fits)
        data = frontier_data(table, fits)
        scene = next(one for one in data["scenes"] if one["image"] == MEAN_IMAGE)
        said = scene["words"]["selected"]["density"]
        assert "reference point density 1.26 and 20.30 dB, the measurement" in said
        assert "Means are over 1 to 2 images." in said
        assert "2 of them, over fewer images than the others, are not on the front." in said

    @pytest.mark.parametrize("seeds", [2, 3])
    def test_intervals_are_a_choice_where_there_are_any(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row], seeds: int
    ) -> None:
        trials = [trial_row("magnitude", seed) for seed in range(seeds)]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        fits = frontier_fits(pd.DataFrame(trials), pd.DataFrame(levels))
        [scene] = frontier_data(scene_table(fits), fits)["scenes"]
        assert scene["intervals"] is (seeds > 2)

    def test_one_run_is_called_one(
        self, trial_row: Callable[..., Row], level_row: Callable[..., Row]
    ) -> None:
        trial = trial_row()
        levels = [level_row(trial, level, fit_s=None) for level in (0, 1)]
        fits = frontier_fits(pd.DataFrame([trial]), pd.DataFrame(levels))
        table = scene_table(fits)
        data = frontier_data(table, fits)
        said = data["scenes"][0]["words"]["selected"]
        assert "Every point is one run: there are no intervals." in said["density"]
        assert "2 of 2 points are not shown: they lack multiply-adds" in said["macs"]
        assert "2 of 2 points are not shown: they lack seconds of fitting" in said["seconds"]

    def test_every_fit_belongs_to_its_row_and_scene(self, two_images: Frames) -> None:
        fits = frontier_fits(*two_images)
        table = scene_table(fits)
        data = frontier_data(table, fits)
        columns = {name: unpacked(column) for name, column in data["columns"].items()}
        assert sorted(columns["fit"]) == sorted(fits.index)
        for scene in data["scenes"]:
            own = fit_places(data, scene)
            there = fits.loc[[columns["fit"][place] for place in own]]
            assert set(there["task"]) == {scene["task"]}
            images = set(there["image"])
            assert images == {scene["image"]} or scene["image"] == MEAN_IMAGE
            every = fits["task"] == scene["task"]
            if scene["image"] != MEAN_IMAGE:
                every &= fits["image"] == scene["image"]
            assert sorted(there.index) == sorted(fits.index[every])
            for place, (name, fit) in zip(own, there.iterrows(), strict=True):
                assert columns["fit"][place] == name
                assert columns["fit cost"]["kept"][place] == fit["kept"]
                assert columns["fit text"][place] == f"{fit['image']}, seed {fit['seed']}"


def unpacked(column: Any) -> Any:
    """A column of a page, or those by choice, as lists."""
    if isinstance(column, list):
        return column
    if "codes" in column:
        return [column["values"][code] for code in column["codes"]]
    return {value: unpacked(own) for value, own in column.items()}


def fit_places(data: Any, scene: Any) -> list[int]:
    """The places of all fits that a scene of a page draws."""
    return [
        place
        for template, *pieces in scene["traces"]
        if data["templates"][template]["x"].get("column") == "fit cost"
        for _, *runs in pieces
        for first, length in zip(runs[::2], runs[1::2], strict=True)
        for place in range(first, first + length)
    ]
