"""The scripts of a page: the smaller of Plotly's where it draws all, and each of one version."""

import base64
import gzip
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from plotly.offline import get_plotlyjs

from lip_ray.analysis import frontier_report
from lip_ray.analysis.page import static
from lip_ray.analysis.page.report import write_report
from lip_ray.analysis.page.static import (
    LIBRARIES,
    LIVE_SCRIPTS,
    SCRIPTS,
    STYLES,
    library_for,
    library_text,
)

CARTESIAN, FULL = LIBRARIES
VERSION = re.compile(r"plotly\.js(?: \([a-z]+(?: - minified)?\))? v([\d.]+)")
MOST_BYTES = 1.5e6


def version_of(script: str) -> str:
    """The version in the head of one of Plotly's scripts."""
    found = VERSION.search(script[:500])
    assert found, script[:200]
    return found.group(1)


def packed_in(page: str) -> str:
    """Plotly's script as a page unpacks it."""
    [text] = re.findall(r'<script type="text/plain" id="library">([^<]*)</script>', page)
    return gzip.decompress(base64.b64decode(text)).decode()


def test_the_smaller_script_is_of_the_version_that_is_installed() -> None:
    assert version_of(library_text(CARTESIAN)) == version_of(get_plotlyjs())


def test_it_is_the_one_of_cartesian_figures_whole_and_smaller() -> None:
    script = library_text(CARTESIAN)
    assert "(cartesian - minified)" in script[:200]
    assert "Licensed under the MIT license" in script[:300]
    assert len(script) < 0.4 * len(library_text(FULL))
    known = LIBRARIES[CARTESIAN]
    assert known is not None
    for kind in known:
        assert f'name:"{kind}"' in script


@pytest.mark.parametrize(
    ("kinds", "name"),
    [
        (set(), CARTESIAN),
        ({"scatter"}, CARTESIAN),
        ({"bar", "box", "contour", "heatmap", "histogram", "scatter"}, CARTESIAN),
        ({"scatter", "scattergl"}, FULL),
        ({"scatter3d"}, FULL),
        ({"a kind of the future"}, FULL),
    ],
)
def test_a_page_has_the_smallest_that_draws_its_figures(kinds: set[str], name: str) -> None:
    assert library_for(kinds) == name


def test_the_figures_of_every_part_need_no_more(
    study: Any, travelled: Any, sizes: Any, classifiers: Any, sensing: Any
) -> None:
    for store in (study, travelled, sizes, classifiers, sensing):
        assert packed_in(frontier_report(store)) == library_text(CARTESIAN)


def test_many_fits_in_one_scene_need_webgl(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lip_ray.analysis.parts.frontier.traces.MANY", 3)
    page = frontier_report(study)
    assert packed_in(page) == library_text(FULL)
    assert "'unsafe-eval'" in page.replace("&#39;", "'").partition("<style>")[0]


def test_a_folder_has_the_script_that_its_page_asks_for(study: Any, tmp_path: Path) -> None:
    index = write_report(study, tmp_path / "page")
    assert sorted(path.name for path in index.parent.iterdir()) == ["index.html", CARTESIAN]
    assert (index.parent / CARTESIAN).read_text(encoding="utf-8") == library_text(CARTESIAN)
    assert f'<script src="{CARTESIAN}"></script>' in index.read_text(encoding="utf-8")


def test_the_page_of_a_small_study_can_be_mailed(study: Any) -> None:
    assert len(frontier_report(study).encode()) < MOST_BYTES


def test_every_asset_is_used() -> None:
    named = {*STYLES, *SCRIPTS, *LIVE_SCRIPTS, "unpack.js", f"{CARTESIAN}.gz"}
    folder = files(static.__package__) / "assets"
    assert {path.name for path in folder.iterdir()} == named
