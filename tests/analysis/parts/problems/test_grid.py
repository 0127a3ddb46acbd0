"""The grid of restorations: a row per method, a column per density, above them what was given."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from lip_ray.analysis import figure_of, frontier_points
from lip_ray.analysis import print as printing
from lip_ray.analysis.page.section import Figure
from lip_ray.analysis.page.static import section_html
from lip_ray.analysis.parts.problems.grid import (
    CAPTION,
    MOST_DENSITIES,
    MOST_METHODS,
    grid_figure,
    grid_fits,
    grid_pngs,
)
from lip_ray.analysis.print import write_figure
from lip_ray.analysis.rows.points import WHICH

Row = Callable[..., dict[str, Any]]
Cell = tuple[int, int]


@pytest.fixture(scope="module")
def fits(study: Any) -> pd.DataFrame:
    """Those of the study's grid."""
    return grid_fits(frontier_points(study.frame("trials"), study.frame("levels")))


@pytest.fixture(scope="module")
def stored(study: Any) -> pd.DataFrame:
    """Its pictures."""
    return study.frame("reconstructions")


def cell_of(x: float, y: float) -> Cell:
    """Row and column."""
    return round(-y / (1 + CAPTION)), round(x)


def pictures(figure: go.Figure) -> dict[Cell, bytes]:
    """The PNG in each cell."""
    return {
        cell_of(one.x, one.y): base64.b64decode(one.source.split(",")[1])
        for one in figure.layout.images
    }


def words(figure: go.Figure) -> dict[Cell, str]:
    """What is said below the picture of each cell."""
    return {
        cell_of(one.x - 0.48, one.y + 0.97): one.text
        for one in figure.layout.annotations
        if one.textangle is None
    }


def methods(figure: go.Figure) -> list[str]:
    """The names of rows."""
    return [one.text for one in figure.layout.annotations if one.textangle == -90]


@pytest.mark.parametrize("which", WHICH)
def test_each_fit_is_in_its_row_and_column(
    fits: pd.DataFrame, stored: pd.DataFrame, which: str
) -> None:
    figure = grid_figure(fits, grid_pngs(stored), which)
    assert methods(figure) == ["", "magnitude", "random", "snip"]
    pngs, found, said = grid_pngs(stored), pictures(figure), words(figure)
    sparse = fits[fits["kept"] < fits["total"]]
    densities = sorted(set(sparse["density"]), reverse=True)
    assert len(sparse) == 3 * 5
    for fit in sparse.itertuples():
        cell = methods(figure).index(str(fit.method)), densities.index(fit.density)
        assert found[cell] == pngs[fit.trial_id, fit.level, fit.image, which]
        assert said[cell].endswith(f": {getattr(fit, f'psnr_{which}_db'):.2f} dB")
        assert float(said[cell].partition(":")[0]) == pytest.approx(fit.density, rel=1e-3)


def test_above_are_truth_measurement_and_the_dense_fit(
    fits: pd.DataFrame, stored: pd.DataFrame
) -> None:
    figure = grid_figure(fits, grid_pngs(stored))
    said = [words(figure)[0, column] for column in range(3)]
    assert said == ["truth", "measurement, 20.30 dB", "dense: 27.30 dB"]
    roles = stored[stored["trial_id"] == fits["trial_id"].iloc[0]].set_index(["level", "role"])
    for column, role in enumerate(("clean", "measured", "selected")):
        assert pictures(figure)[0, column] == roles.loc[(0, role), "png"]


def test_a_missing_picture_leaves_its_place_empty(fits: pd.DataFrame, stored: pd.DataFrame) -> None:
    lost = (stored["level"] == 2) | (stored["role"] == "clean")
    figure = grid_figure(fits, grid_pngs(stored[~lost]))
    whole = grid_figure(fits, grid_pngs(stored))
    assert pictures(whole).keys() - pictures(figure).keys() == {(0, 2), (1, 1), (2, 1), (3, 1)}
    assert words(figure)[2, 1] == words(whole)[2, 1]
    assert words(figure)[0, 0] == "measurement, 20.30 dB"  # it moves to the truth's place


def test_without_any_picture_there_are_words(fits: pd.DataFrame) -> None:
    figure = grid_figure(fits, {})
    assert figure.layout.images == ()
    assert words(figure)[1, 0] == "0.5: 27.35 dB"


def test_a_density_that_a_method_lacks_is_an_empty_column(
    fits: pd.DataFrame, stored: pd.DataFrame
) -> None:
    own = fits[~((fits["method"] == "random") & (fits["level"] == 2))]
    figure = grid_figure(own, grid_pngs(stored))
    assert (2, 1) not in pictures(figure)
    assert (2, 1) not in words(figure)
    assert words(figure)[2, 2].startswith("0.12: ")


def test_a_fit_without_psnr_has_its_density_alone(fits: pd.DataFrame, stored: pd.DataFrame) -> None:
    own = fits.assign(psnr_peak_db=fits["psnr_peak_db"].where(fits["level"] != 1))
    assert words(grid_figure(own, grid_pngs(stored), "peak"))[1, 0] == "0.5"


def test_it_has_one_seed_and_no_more_than_a_paper_has_room_for(
    trial_row: Row, level_row: Row
) -> None:
    names = [f"method {place}" for place in range(MOST_METHODS + 2)]
    trials = [trial_row(name, seed) for seed in (0, 1) for name in names[: 3 if seed else None]]
    levels = [
        level_row(trial, level, kept=round(2_208_768 * 0.8**level))
        for trial in trials
        for level in range(MOST_DENSITIES + 5)
    ]
    found = grid_fits(frontier_points(pd.DataFrame(trials), pd.DataFrame(levels)))
    assert set(found["seed"]) == {0}
    sparse = found[found["kept"] < found["total"]]
    assert sparse["method"].nunique() == MOST_METHODS
    assert found["kept"].nunique() == MOST_DENSITIES
    assert {found["kept"].max(), found["kept"].min()} == {2_208_768, levels[-1]["kept"]}


def test_names_are_not_markup(trial_row: Row, level_row: Row, stored: pd.DataFrame) -> None:
    trial = trial_row("<b>x</b>")
    levels = [level_row(trial, level) for level in (0, 1)]
    fits = grid_fits(frontier_points(pd.DataFrame([trial]), pd.DataFrame(levels)))
    assert methods(grid_figure(fits, {})) == ["", "&lt;b&gt;x&lt;/b&gt;"]


def test_it_is_found_by_name_and_its_buttons_choose_the_step(study: Any) -> None:
    peak = figure_of(study, "grid", which="peak")
    assert "dense: 27.80 dB" in words(peak).values()
    assert "dense: 27.30 dB" in words(figure_of(study, "grid")).values()


def test_pages_leave_it_to_files(study: Any) -> None:
    from lip_ray.analysis import report_sections

    [section] = [one for one in report_sections(study) if one.name.startswith("problem-")]
    [figure] = [block for block in section.blocks if isinstance(block, Figure)]
    assert figure.paper
    assert figure.place not in section_html(section)


@pytest.mark.parametrize("width_mm", [80.0, 170.0])
def test_as_a_file_its_pictures_are_square(
    fits: pd.DataFrame,
    stored: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    width_mm: float,
) -> None:
    asked: dict[str, Any] = {}

    def rendered(figure: go.Figure, options: dict[str, Any], _: float) -> bytes:
        asked.update(options, margin=figure.layout.margin)
        return b"drawn"

    monkeypatch.setattr(printing, "_rendered", rendered)
    figure = grid_figure(fits, grid_pngs(stored))
    write_figure(figure, tmp_path / "grid.pdf", width_mm=width_mm)
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    margin = asked["margin"]
    across = (asked["width"] - margin.l - margin.r) / (right - left)
    down = (asked["height"] - margin.t - margin.b) / (high - low)
    assert across == pytest.approx(down, rel=0.02)


def test_its_pictures_are_png(fits: pd.DataFrame, stored: pd.DataFrame) -> None:
    for png in pictures(grid_figure(fits, grid_pngs(stored))).values():
        assert Image.open(io.BytesIO(png)).format == "PNG"
