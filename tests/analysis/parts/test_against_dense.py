"""Mean differences from dense: what is averaged, what is left out, and what is drawn."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from lip_ray.analysis import dense_differences, difference_figure, difference_table
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.parts import against_dense

Frames = tuple[pd.DataFrame, pd.DataFrame]

LADDERS = {
    ("magnitude", "camera", 0): [30.0, 30.5, 29.0],
    ("magnitude", "camera", 1): [31.0, 30.7, 30.5],
    ("magnitude", "coffee", 0): [24.0, 24.1, 23.8],
    ("random", "camera", 0): [30.0, 29.0, 12.0],
    ("random", "coffee", 0): [24.0, 23.5, 11.0],
}


@pytest.fixture
def frames(rows_of: Callable[..., Frames]) -> Frames:
    return rows_of(LADDERS)


def test_means_are_over_images_whose_seeds_are_averaged_first(frames: Frames) -> None:
    """Found again by pandas and SciPy, from the differences of single fits."""
    table = difference_table(*frames)
    single = dense_differences(*frames)
    of_images = single.groupby(["method", "density", "image"])["difference_db"].mean()
    for (method, density), images in of_images.groupby(level=[0, 1]):
        here = (table["method"] == method) & (table["density"] == density)
        [row] = table[here & (table["which"] == "selected")].to_dict("records")
        low, high = stats.t.interval(0.95, len(images) - 1, images.mean(), stats.sem(images))
        assert (row["unit"], row["n"]) == ("image", 2)
        assert [row[f"{name}_db"] for name in ("mean", "low", "high")] == pytest.approx(
            [images.mean(), low, high]
        )
    assert len(table) == 3 * len(of_images.groupby(level=[0, 1]))


def test_a_single_image_has_the_mean_of_its_seeds(frames: Frames) -> None:
    trials, levels = frames
    own = trials[trials["image"] == "camera"]
    table = difference_table(own, levels[levels["trial_id"].isin(own["trial_id"])])
    own = table[(table["method"] == "magnitude") & (table["which"] == "selected")]
    assert own[["unit", "n"]].drop_duplicates().to_numpy().tolist() == [["seed", 2]]
    assert own["mean_db"].tolist() == pytest.approx([0.1, -0.75])


@pytest.mark.parametrize("flaw", ["unfinished", "below_measured"])
def test_flawed_pairs_are_left_out(frames: Frames, flaw: str) -> None:
    trials, levels = frames
    coffee = trials.loc[trials["image"] == "coffee", "trial_id"]
    dense = levels["trial_id"].isin(coffee) & (levels["level"] == 0)
    if flaw == "unfinished":
        levels = levels.assign(unfinished=dense)
    else:
        levels = levels.assign(psnr_measured_db=levels["psnr_measured_db"].mask(dense, 99.0))
    table = difference_table(trials, levels)
    assert set(table["n"]) == {1, 2}
    assert set(table["unit"]) == {"seed"}


def test_the_figure_has_the_tables_numbers_by_what_is_chosen(frames: Frames) -> None:
    table = difference_table(*frames)
    figure = difference_figure(table)
    drawn = {trace.name: trace for trace in figure.data}
    own = table[table["method"] == "magnitude"]
    assert [*drawn] == ["magnitude", "random"]
    assert list(drawn["magnitude"].y) == own.loc[own["which"] == "selected", "mean_db"].tolist()
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["Selected", "Peak (oracle)", "Final"]
    peak = buttons[1].args[0]["y"]
    assert list(peak[0]) == own.loc[own["which"] == "peak", "mean_db"].tolist()


def test_what_collapsed_leaves_the_axis_and_what_is_near_stays(frames: Frames) -> None:
    figure = difference_figure(difference_table(*frames))
    low, high = figure.layout.yaxis.range
    assert low == against_dense.DEEPEST_DB
    assert 0 < high < 4


def test_methods_are_drawn_beside_each_other(frames: Frames) -> None:
    magnitude, random = difference_figure(difference_table(*frames)).data
    for one, other in zip(magnitude.x, random.x, strict=True):
        assert one / other == pytest.approx(against_dense.DODGE)


def test_many_methods_stay_at_their_density_and_on_the_axis(frames: Frames) -> None:
    table = difference_table(*frames)
    one = table[table["method"] == "magnitude"]
    copies = [one.assign(method=f"method {number:02}") for number in range(20)]
    many = pd.concat(copies).astype({"method": "category"})
    densities = sorted(set(one["density"]), reverse=True)
    figure = difference_figure(many)
    most, least = (10**end for end in figure.layout.xaxis.range)
    for trace in figure.data:
        assert all(least < x < most for x in trace.x)
        away = [x / density for x, density in zip(trace.x, densities, strict=True)]
        assert all(0.8**0.5 < ratio < 1.25**0.5 for ratio in away)


def test_tickets_of_other_images_are_not_among_them(travelled: Any) -> None:
    trials, levels = travelled.frame("trials"), travelled.frame("levels")
    every = set(dense_differences(trials, levels)["method"])
    assert any(" from " in method for method in every)
    assert not any(" from " in method for method in difference_table(trials, levels)["method"])


def test_two_studies_are_refused(frames: Frames) -> None:
    table = difference_table(*frames)
    with pytest.raises(ValueError, match="one study"):
        difference_figure(pd.concat([table, table.assign(study="another")]))


def test_a_single_pair_has_no_section(
    rows_of: Callable[..., Frames], store_of: Callable[..., Any]
) -> None:
    def titles(ladders: dict[tuple[str, str, int], list[float]]) -> list[str]:
        trials, levels = rows_of(ladders)
        store = store_of(trials.to_dict("records"), levels.to_dict("records"))
        return [one.title for one in against_dense.sections(Content(store=store))]

    assert titles({("magnitude", "camera", 0): [30.0, 29.0]}) == []
    [title] = titles({("magnitude", "camera", seed): [30.0, 29.0] for seed in (0, 1)})
    assert title.startswith("Against the dense network, denoising")
