"""The page in a real browser, opened from a file: drawn, switched, pointed at, read on a phone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from browsers import DESKTOP, PHONE, TIMEOUT_MS, Windows, needs_chromium

from lip_ray.analysis import (
    frontier_points,
    frontier_report,
    problem_table,
    report_sections,
    sensing_table,
)
from lip_ray.literature import displayed

pytestmark = needs_chromium

Y_OF = "(gd, name) => Array.from(gd._fullData.find((t) => t.name === name).y)"
TWO_FRAMES = """() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
})"""
POSITION_OF = """(gd, [name, index]) => {
  const trace = gd._fullData.find((found) => found.name === name);
  const box = gd.getBoundingClientRect();
  const { xaxis, yaxis } = gd._fullLayout;
  return {
    x: box.left + xaxis._offset + xaxis.d2p(trace.x[index]),
    y: box.top + yaxis._offset + yaxis.d2p(trace.y[index]),
    fit: String(trace.customdata[index]),
  };
}"""


class OpenPage:
    """A page in the browser, what it complained of and what it asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path) -> None:
        """Load the file and wait until a figure is drawn."""
        self.page.goto(path.as_uri())
        self.page.locator(".chart .legend").first.wait_for()

    @property
    def chart(self) -> Any:
        """The figure of all fits."""
        return self.page.locator("#chart")

    @property
    def section(self) -> Any:
        """The part of the page that it is in."""
        return self.page.locator("section:has(#chart)")

    @property
    def panel(self) -> Any:
        """What is told of the fit that is pointed at."""
        return self.page.locator(".inspector")

    @property
    def restorations(self) -> Any:
        """The part of the page with the pictures of the first problem."""
        return self.page.locator("section:has(#problem-0)")

    @property
    def data(self) -> dict[str, Any]:
        """What the page was made with."""
        found: dict[str, Any] = self.page.evaluate(
            "() => JSON.parse(document.getElementById('data').textContent)"
        )
        return found

    def heights(self, name: str) -> list[float]:
        """The drawn y of a trace."""
        found: list[float] = self.chart.evaluate(Y_OF, name)
        return found

    def position(self, name: str, index: int) -> dict[str, Any]:
        """Where in the window a trace's mark is, and which fit that is.

        Waits for the frames in which the page scrolls.
        """
        self.chart.scroll_into_view_if_needed()
        self.page.evaluate(TWO_FRAMES)
        found: dict[str, Any] = self.chart.evaluate(POSITION_OF, [name, index])
        return found


Opener = Callable[..., OpenPage]


@pytest.fixture(scope="module")
def report(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's page as a file."""
    path = tmp_path_factory.mktemp("page") / "frontier.html"
    path.write_text(frontier_report(study), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(windows: Windows, report: Path) -> Iterator[OpenPage]:
    """The study's page at 1280 pixels, shared: tests leave it as they find it."""
    with windows.open() as window:
        opened = OpenPage(window)
        opened.open(report)
        yield opened


@pytest.fixture
def opener(windows: Windows, report: Path) -> Iterator[Opener]:
    """Opens a page of its own for a test, the study's unless another is given."""
    with ExitStack() as stack:

        def open_page(path: Path = report, **options: Any) -> OpenPage:
            opened = OpenPage(stack.enter_context(windows.open(**options)))
            opened.open(path)
            return opened

        yield open_page


@pytest.fixture(scope="module")
def table(study: Any) -> pd.DataFrame:
    """The numbers that the page must show."""
    return problem_table(frontier_points(study.frame("trials"), study.frame("levels")))


def means(table: pd.DataFrame, method: str, which: str) -> list[float]:
    """A method's means below dense."""
    rows = table[(table["method"] == method) & (table["which"] == which)]
    found: list[float] = rows["mean_db"].tolist()
    return found


def inside(box: dict[str, float], viewport: dict[str, int]) -> bool:
    """Whether a box lies within the window."""
    right, bottom = box["x"] + box["width"], box["y"] + box["height"]
    return box["x"] >= 0 and box["y"] >= 0 and right <= viewport["width"] and (
        bottom <= viewport["height"]
    )  # fmt: skip


def test_it_opens_from_a_file_and_asks_for_nothing_else(desktop: OpenPage) -> None:
    assert desktop.complaints == []
    assert [url for url in desktop.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in desktop.requests if url.startswith("file:")]) == 1


def test_it_draws_a_curve_a_pruner_and_the_dense_line(
    desktop: OpenPage, table: pd.DataFrame
) -> None:
    for method in ("magnitude", "random", "snip"):
        own = means(table, method, "selected")
        assert desktop.heights(displayed(method))[1:] == pytest.approx(own, abs=1e-4)
    dense = pytest.approx(means(table, "dense", "selected"), abs=1e-4)
    assert desktop.heights("dense") == dense
    assert [[height] for height in desktop.heights("dense, level")] == [dense, dense]
    legend = desktop.chart.locator(".legendtext").all_text_contents()
    assert sorted(legend) == sorted(
        [
            "measurement",
            "IMP (magnitude)",
            "random",
            "SNIP",
            "dense",
            "collapsed fit",
            "Pareto front",
        ]
    )


def test_no_picture_is_missing(desktop: OpenPage) -> None:
    widths = desktop.page.locator(".tile img").evaluate_all(
        "async (images) => { await Promise.all(images.map((i) => i.decode()));"
        " return images.map((i) => i.naturalWidth); }"
    )
    assert len(widths) == 2 + 1 + 3 * 5
    assert set(widths) == {32}


@pytest.mark.parametrize(
    ("label", "which", "axis"),
    [
        ("Peak (oracle)", "peak", "Peak PSNR over the fit, an oracle (dB)"),
        ("Final", "final", "PSNR of the last step (dB)"),
    ],
)
def test_the_switch_changes_the_figure(
    desktop: OpenPage, table: pd.DataFrame, label: str, which: str, axis: str
) -> None:
    desktop.section.get_by_role("radio", name=label).check()
    desktop.chart.locator(".ytitle", has_text=axis).wait_for()
    for method in ("magnitude", "random", "snip"):
        assert desktop.heights(displayed(method))[1:] == pytest.approx(
            means(table, method, which), abs=1e-4
        )
    desktop.section.get_by_role("radio", name="Selected").check()
    desktop.chart.locator(".ytitle", has_text="selected").wait_for()
    assert desktop.heights("SNIP")[1:] == pytest.approx(means(table, "snip", "selected"), abs=1e-4)


@pytest.mark.parametrize(("label", "which"), [("Peak (oracle)", "peak"), ("Final", "final")])
def test_pictures_have_a_switch_of_their_own(desktop: OpenPage, label: str, which: str) -> None:
    own = desktop.restorations
    own.get_by_role("radio", name=label).check()
    assert own.locator("h3 .which").text_content() == which
    place = desktop.data["which"].index(which)
    tile = own.locator(".tile[data-fit]").last
    view = desktop.data["fits"][tile.get_attribute("data-fit")]["views"][place]
    assert tile.locator("img").get_attribute("src") == desktop.data["pictures"][view["picture"]]
    assert tile.locator("span").text_content() == view["line"]
    assert desktop.section.get_by_role("radio", name="Selected").is_checked()
    own.get_by_role("radio", name="Selected").check()


def test_problems_have_switches_of_their_own(
    opener: Opener, tmp_path: Path, store_of: Any, trial_row: Any, level_row: Any
) -> None:
    trials = [trial_row(task={"kind": "denoising", "sigma": sigma}) for sigma in (25.0, 50.0)]
    levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
    path = tmp_path / "two.html"
    path.write_text(frontier_report(store_of(trials, levels)), encoding="utf-8")
    opened = opener(path)
    first, second = (opened.page.locator(f"section:has(#problem-{one})") for one in (0, 1))
    second.get_by_role("radio", name="Peak").check()
    assert first.get_by_role("radio", name="Selected").is_checked()
    said = [one.locator("h3 .which").text_content() for one in (first, second)]
    assert said == ["selected", "peak"]


def test_the_keyboard_works_the_switch(opener: Opener, table: pd.DataFrame) -> None:
    opened = opener()
    focus = opened.section.locator("input:focus")
    for _ in range(40):
        opened.page.keyboard.press("Tab")
        if focus.count():
            break
    assert focus.get_attribute("value") == "selected"
    opened.page.keyboard.press("ArrowRight")
    opened.chart.locator(".ytitle", has_text="Peak").wait_for()
    assert opened.heights("SNIP")[1:] == pytest.approx(means(table, "snip", "peak"), abs=1e-4)


def test_pointing_at_a_fit_shows_its_facts(desktop: OpenPage) -> None:
    spot = desktop.position("random, fits", 3)
    desktop.page.mouse.move(spot["x"], spot["y"])
    desktop.panel.locator("h3", has_text=desktop.data["fits"][spot["fit"]]["title"]).wait_for()
    facts = desktop.panel.locator("dd").all_text_contents()
    assert "23.70 dB" in facts
    assert "110,438 of 2,208,768" in facts


def test_a_collapsed_fit_says_so(desktop: OpenPage) -> None:
    spot = desktop.position("SNIP, collapsed fits", 2)
    desktop.page.mouse.move(spot["x"], spot["y"])
    desktop.panel.locator("dd", has_text="collapsed: no path from input to output").wait_for()
    assert desktop.panel.locator("h3").text_content().startswith("SNIP at ")
    desktop.page.mouse.move(5, 5)


def test_nothing_in_the_figures_menu_uploads(desktop: OpenPage) -> None:
    titles = desktop.chart.locator(".modebar-btn").evaluate_all(
        "(buttons) => buttons.map((b) => b.getAttribute('data-title') || '')"
    )
    assert any("png" in title.lower() for title in titles)
    assert not any(word in title.lower() for title in titles for word in ("share", "cloud", "edit"))


def test_a_click_on_the_legend_hides_a_pruner_through_the_switch(opener: Opener) -> None:
    opened = opener()
    visible = "(gd) => gd._fullData.filter((t) => t.visible === true).map((t) => t.name)"
    opened.chart.locator(".legend .traces", has_text="SNIP").locator(".legendtoggle").click()
    opened.chart.locator(".legend .traces[style*='opacity: 0.5']", has_text="SNIP").wait_for()
    assert not [name for name in opened.chart.evaluate(visible) if name.startswith("SNIP")]
    assert "random" in opened.chart.evaluate(visible)
    opened.section.get_by_role("radio", name="Final").check()
    opened.chart.locator(".ytitle", has_text="last step").wait_for()
    assert not [name for name in opened.chart.evaluate(visible) if name.startswith("SNIP")]


def test_a_phone_scrolls_down_only_and_a_tap_opens_the_fit(opener: Opener) -> None:
    opened = opener(viewport=PHONE, has_touch=True, is_mobile=True)
    width = opened.page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert width == [390, 390]
    spot = opened.position("random, fits", 3)
    opened.page.touchscreen.tap(spot["x"], spot["y"])
    dialog = opened.page.locator("#fit")
    dialog.wait_for()
    title = opened.data["fits"][spot["fit"]]["title"]
    assert dialog.locator("h2").inner_text() == title
    dialog.get_by_role("button", name="Close").click()
    assert opened.panel.locator("h3").text_content() == title
    assert opened.position("random, fits", 3) == spot  # no axis has moved
    axis = opened.chart.locator(".xtick text").evaluate_all(
        "(ticks) => ticks.map((t) => t.getBoundingClientRect()).map((b) => [b.left, b.right])"
    )
    assert len(axis) > 2
    assert all(left[1] <= right[0] for left, right in pairwise(sorted(axis)))


def test_the_page_follows_a_dark_system(opener: Opener) -> None:
    opened = opener(color_scheme="dark")
    colours = """(gd) => [
      gd._fullLayout.paper_bgcolor, gd._fullData.find((t) => t.name === "dense").line.color,
    ]"""
    assert opened.chart.evaluate(colours) == ["#17191c", "#e8e8e8"]
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_function(
        "() => document.querySelector('#chart')._fullLayout.paper_bgcolor === '#ffffff'"
    )
    assert opened.chart.evaluate(colours) == ["#ffffff", "#222222"]


def test_hostile_names_are_shown_and_do_nothing(
    opener: Opener, tmp_path: Path, store_of: Any, trial_row: Any, level_row: Any
) -> None:
    hostile = "</script><img src=x onerror=document.title='broken'>"
    trial = trial_row(hostile) | {"image": hostile}
    levels = [level_row(trial, level, reason=hostile) for level in (0, 1)]
    path = tmp_path / "hostile.html"
    path.write_text(frontier_report(store_of([trial], levels)), encoding="utf-8")
    opened = opener(path)
    assert hostile in opened.chart.locator(".legendtext").all_text_contents()
    assert hostile in opened.panel.locator("h3").text_content()
    assert hostile in opened.page.locator(".answers").text_content()
    opened.panel.get_by_role("button", name="Compare").click()
    assert hostile in opened.page.locator("#fit h2").text_content()
    assert opened.page.title() == "Accuracy against density"
    assert opened.page.locator("img[onerror]").count() == 0
    assert opened.complaints == []


def test_a_figure_alone_has_a_switch_and_no_upload(
    windows: Windows, sizes: Any, tmp_path: Path
) -> None:
    figures = (section.figure for section in report_sections(sizes))
    figure = next(one.figure for one in figures if one and one.name == "size")
    path = tmp_path / "figure.html"
    figure.write_html(path)
    values = "(gd) => JSON.stringify(gd._fullData.map(({ y }) => y))"
    with windows.open() as page:
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(path.as_uri())
        chart = page.locator(".js-plotly-plot")
        before = chart.evaluate(values)
        chart.locator(".updatemenu-button", has_text="Final").click()
        page.wait_for_function(
            f"(before) => ({values})(document.querySelector('.js-plotly-plot')) !== before",
            arg=before,
        )
        titles = chart.locator(".modebar-btn").evaluate_all(
            "(buttons) => buttons.map((b) => b.getAttribute('data-title') || '')"
        )
        assert not any("share" in title.lower() for title in titles)


@pytest.fixture(scope="module")
def other_pages(
    travelled: Any, sizes: Any, classifiers: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Pages of the other sections."""
    folder = tmp_path_factory.mktemp("pages")
    stores = {"transfer-0": travelled, "size-0": sizes, "accuracy-0": classifiers}
    for name, store in stores.items():
        (folder / f"{name}.html").write_text(frontier_report(store), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in stores}


@pytest.mark.parametrize("name", ["transfer-0", "size-0", "accuracy-0"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_other_sections_are_drawn_without_complaint_or_request(
    windows: Windows, other_pages: dict[str, Path], name: str, viewport: dict[str, int]
) -> None:
    with windows.open(viewport=viewport) as window:
        opened = OpenPage(window)
        opened.page.goto(other_pages[name].as_uri())
        section = opened.page.locator(f"section:has(#{name})")
        section.locator(".chart .main-svg").first.wait_for()
        section.get_by_role("radio", name="Final").check()
        width = opened.page.evaluate("() => document.documentElement.scrollWidth")
        assert width == viewport["width"]
        assert opened.complaints == []
        assert len([url for url in opened.requests if not url.startswith("data:")]) == 1


def test_matrix_shows_the_density_and_the_psnr_that_are_chosen(
    opener: Opener, other_pages: dict[str, Path]
) -> None:
    opened = opener(other_pages["transfer-0"])
    section = opened.page.locator("section:has(#transfer-0)")
    chart = section.locator(".chart")
    shown = "(gd) => gd._fullData.filter((t) => t.visible === true).map((t) => t.text[0][1])"
    assert chart.evaluate(shown) == ["−1.00"]
    section.get_by_role("combobox").select_option(label="0.12 (88 % removed)")
    assert chart.evaluate(shown) == ["−1.50"]
    section.get_by_role("radio", name="Peak").check()
    assert chart.evaluate(shown) == ["−1.50"]
    assert chart.evaluate("(gd) => gd._fullData.map((t) => t.visible)") == [False, False, True]


def test_contents_lead_to_the_sections(opener: Opener, other_pages: dict[str, Path]) -> None:
    opened = opener(other_pages["size-0"])
    opened.page.locator("nav a", has_text="Size").click()
    assert inside(opened.page.locator("#by-size-0").bounding_box(), DESKTOP)


@pytest.fixture(scope="module")
def sensing_page(sensing: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generators and reconstructions as a file."""
    path = tmp_path_factory.mktemp("page") / "sensing.html"
    path.write_text(frontier_report(sensing), encoding="utf-8")
    return path


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_reconstructions_are_drawn_without_complaint_or_request(
    opener: Opener, sensing_page: Path, viewport: dict[str, int]
) -> None:
    opened = opener(sensing_page, viewport=viewport)
    for chart in opened.page.locator(".chart").all():
        chart.locator(".legend").wait_for()
    for control in opened.page.locator("fieldset").all():
        control.get_by_role("radio").last.check()
    for control in opened.page.get_by_role("combobox").all():
        control.select_option(index=1)
    width = opened.page.evaluate("() => document.documentElement.scrollWidth")
    assert width == viewport["width"]
    assert opened.complaints == []
    assert len([url for url in opened.requests if not url.startswith("data:")]) == 1


def test_step_measure_and_measurements_are_switched_together(
    opener: Opener, sensing_page: Path, sensing: Any
) -> None:
    opened = opener(sensing_page)
    section = opened.page.locator("section:has(#sensing-1)")
    chart = section.locator(".chart")
    table = sensing_table(sensing.frame("trials"), sensing.frame("levels"))
    titles = set(table["problem"])
    title = section.locator("h2").text_content()
    assert title in titles

    def expected(which: str, score: str, m: int) -> Any:
        rows = table[(table["problem"] == title) & (table["method"] == "erm, random")]
        rows = rows[(rows["which"] == which) & (rows["score"] == score) & (rows["m"] == m)]
        return pytest.approx(rows["mean"].tolist(), rel=1e-5)

    assert chart.evaluate(Y_OF, "erm, random") == expected("selected", "psnr", 250)
    section.get_by_role("radio", name="MSE").check()
    assert chart.evaluate(Y_OF, "erm, random") == expected("selected", "mse", 250)
    assert chart.evaluate("(gd) => gd._fullLayout.yaxis.type") == "log"
    section.get_by_role("combobox").select_option(label="100")
    assert chart.evaluate(Y_OF, "erm, random") == expected("selected", "mse", 100)
    section.get_by_role("radio", name="Peak").check()
    assert chart.evaluate(Y_OF, "erm, random") == expected("peak", "mse", 100)
    section.get_by_role("radio", name="PSNR").check()
    assert chart.evaluate(Y_OF, "erm, random") == expected("peak", "psnr", 100)
    assert chart.evaluate("(gd) => gd._fullLayout.yaxis.type") == "linear"


def test_reconstructions_follow_the_step_and_unfold(opener: Opener, sensing_page: Path) -> None:
    opened = opener(sensing_page)
    section = opened.page.locator("section:has(#sensing-1)")
    tile = section.locator(".grid [data-fit]").last
    assert not tile.is_visible()
    section.locator("details.fold").evaluate_all("(all) => all.forEach((one) => (one.open = true))")
    assert tile.is_visible()
    section.get_by_role("radio", name="First restart").check()
    assert section.locator("h3 .which").text_content() == "final"
    view = opened.data["fits"][tile.get_attribute("data-fit")]["views"][2]
    assert tile.locator("img").get_attribute("src") == opened.data["pictures"][view["picture"]]
    assert tile.locator("span").text_content() == view["line"]
    shown = opened.page.locator(".tile img:not([hidden])")
    assert shown.count() == opened.page.locator(".tile img").count()
