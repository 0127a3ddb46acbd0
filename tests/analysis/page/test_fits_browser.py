"""The fit that is pointed at, and the dialog that compares its pictures, in a real browser."""

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browsers import PHONE, TIMEOUT_MS, Windows, needs_chromium
from PIL import Image

from lip_ray.analysis import frontier_report
from lip_ray.analysis.page import report as reporting
from lip_ray.analysis.parts import FRONTIER, PROBLEMS

DARKEST, LIGHTEST = [0, 0, 4], [252, 255, 164]
WORST = 64

pytestmark = needs_chromium

CLICK_A_MEAN = """(gd, name) => {
  const trace = gd.data.find((one) => one.name === name && one.ids);
  const [id, customdata] = [trace.ids[2], trace.customdata[2]];
  gd.dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  gd.emit("plotly_click", { points: [{ id, customdata }] });
  return id;
}"""
"""Clicks the third mean of a trace, and tells the fit that it leads to."""

MARK = """(gd, name) => {
  const trace = gd._fullData.find((found) => found.name === name);
  const box = gd.getBoundingClientRect();
  const { xaxis, yaxis } = gd._fullLayout;
  return {
    x: box.left + xaxis._offset + xaxis.d2p(trace.x[3]),
    y: box.top + yaxis._offset + yaxis.d2p(trace.y[3]),
    fit: String(trace.customdata[3]),
  };
}"""
HOVERED = "(gd) => Boolean(gd._hoverdata?.length)"
"""Whether Plotly has seen the mouse on a mark: it ignores clicks before that, and the panel may
have shown the same fit already."""

DATA = "() => JSON.parse(document.getElementById('data').textContent)"
SETTLED = """() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
})"""
WIDER = "(one) => one.scrollWidth > one.clientWidth"


class Shown:
    """A page, its panel and its dialog."""

    def __init__(self, page: Any, path: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri())
        page.locator(".chart .main-svg").first.wait_for()
        self.data = page.evaluate(DATA)
        self.dialog = page.locator("#fit")
        self.panel = page.locator(".inspector")
        self.held = page.locator(".held .kept")

    def tile(self, fit: str) -> Any:
        """The button of a fit's picture."""
        return self.page.locator(f'.tile[data-fit="{fit}"] button')

    def open(self, fit: str) -> None:
        """Go to the tile of a fit and press Enter."""
        self.tile(fit).scroll_into_view_if_needed()
        self.tile(fit).focus()
        self.page.keyboard.press("Enter")
        self.thumb("Error").wait_for()

    def thumb(self, name: str) -> Any:
        """The button of one of the pictures that can be compared."""
        return self.dialog.locator(".thumbs button").filter(has_text=name)

    @property
    def sides(self) -> list[str]:
        """The sources of what is compared, left and right."""
        own = self.dialog.locator(".stage")
        return [own.locator(f"img{at}").get_attribute("src") for at in (".left", ":not(.left)")]

    def hold(self, fit: str) -> None:
        """Keep a fit, from its dialog."""
        self.open(fit)
        self.dialog.get_by_role("button", name="Pin beside others").click()
        self.page.keyboard.press("Escape")

    def release(self) -> None:
        """Hold nothing any more."""
        while self.held.count():
            self.held.first.locator(".drop").click()

    def point_at(self, name: str) -> str:
        """Move the mouse to the fourth mark of a trace, and tell which fit that is."""
        chart = self.page.locator(".chart.carded").first
        chart.scroll_into_view_if_needed()
        self.page.evaluate(SETTLED)
        mark = chart.evaluate(MARK, name)
        self.page.mouse.move(mark["x"] - 3, mark["y"] - 3)
        self.page.mouse.move(mark["x"], mark["y"])
        self.page.wait_for_function(HOVERED, arg=chart.element_handle())
        self.panel.locator("h3", has_text=self.data["fits"][mark["fit"]]["title"]).wait_for()
        return str(mark["fit"])

    def click_at(self, name: str) -> str:
        """Click on the fourth mark of a trace, and tell which fit that is; once more where the page
        has moved below the mouse meanwhile, as it may while it is drawn."""
        for _ in range(20):
            fit = self.point_at(name)
            self.page.mouse.down()
            self.page.mouse.up()
            self.page.evaluate(SETTLED)
            if self.dialog.is_visible():
                return fit
        raise AssertionError("no click opened it")

    def fact(self, name: str, within: Any = None) -> str:
        """What the list of the dialog, or of the panel, says under that name."""
        own = (within or self.dialog).locator(f'dt:text-is("{name}") + dd')
        said: str = own.inner_text()
        return said

    def source(self, fit: str, step: int = 0) -> str:
        """The picture of a fit."""
        found: str = self.data["pictures"][self.data["fits"][fit]["views"][step]["picture"]]
        return found

    def ladder(self) -> list[str]:
        """Fits of one method, the densest first, of which there are at least three."""
        near = self.data["gallery"]
        for fit, own in near.items():
            found = [fit]
            while own["denser"] is None and (after := near[found[-1]]["sparser"]):
                found.append(after)
            if len(found) >= 3:
                return found
        raise AssertionError("no method with three densities")


def colour(uri: str) -> np.ndarray[Any, Any]:
    """Of a flat picture."""
    png = io.BytesIO(base64.b64decode(uri.split(",")[1]))
    return np.asarray(Image.open(png).convert("RGB"), dtype=float)[0, 0]


@pytest.fixture(scope="module")
def detailed(study: Any) -> Any:
    """The study with curves and masks."""
    keys = study.frame("levels")[["trial_id", "level", "image"]]
    step = [0, 1000, 1500, 1800, 3000]
    rising = {"psnr_db": [5.0, 20.0, 27.5, 27.0, 26.0]}
    lists = rising | {"psnr_raw_db": rising["psnr_db"], "statistic": [0.1] * 5}
    curves = keys.merge(pd.DataFrame([{"step": step, **lists}]), how="cross")
    layers = [
        {"position": place, "layer": f"{place}.weight", "shape": (4, 4), "kept": kept, "total": 16}
        for place, kept in enumerate((16, 4, 1))
    ]
    masks = keys[["trial_id", "level"]].merge(pd.DataFrame(layers), how="cross")
    return type(study)({**study.frames, "curves": curves, "masks": masks})


@pytest.fixture(scope="module")
def report(detailed: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the study's frontier and pictures as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "PARTS", (FRONTIER, PROBLEMS))
        path.write_text(frontier_report(detailed), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(windows: Windows, report: Path) -> Iterator[Shown]:
    """The page at 1280 pixels, shared: tests close the dialog."""
    with windows.open() as window:
        yield Shown(window, report)


@pytest.fixture
def shown(desktop: Shown) -> Iterator[Shown]:
    """The shared page, its dialog closed afterwards and nothing held."""
    yield desktop
    desktop.page.keyboard.press("Escape")
    desktop.dialog.wait_for(state="hidden")
    desktop.release()
    assert desktop.complaints == []


class TestPanel:
    """The fit that is pointed at, beside the figure."""

    def test_it_shows_what_is_pointed_at(self, shown: Shown) -> None:
        fit = shown.point_at("random, fits")
        view, rows = shown.data["fits"][fit]["views"][0], shown.data["fits"][fit]["rows"]
        facts = shown.panel.locator("dd").all_text_contents()
        assert facts == [value for _, value in view["rows"] + rows]
        near, pictures = shown.data["gallery"][fit], shown.data["pictures"]
        images = shown.panel.locator("img").evaluate_all("(all) => all.map((one) => one.src)")
        assert images == [
            shown.source(fit), pictures[near["clean"]], pictures[near["measured"]],
        ]  # fmt: skip
        assert shown.panel.locator("img").evaluate_all(
            "(all) => Promise.all(all.map((one) => one.decode().then(() => one.naturalWidth)))"
        ) == [32, 32, 32]

    def test_it_goes_down_the_ladder_and_back(self, shown: Shown) -> None:
        fit = shown.point_at("random, fits")
        for button, near in (("Sparser", "sparser"), ("Denser", "denser")):
            while following := shown.data["gallery"][fit][near]:
                shown.panel.get_by_role("button", name=button).click()
                fit = following
                title = shown.data["fits"][fit]["title"]
                assert shown.panel.locator("h3").text_content() == title
            assert shown.panel.get_by_role("button", name=button).is_disabled()

    def test_compare_opens_its_dialog(self, shown: Shown) -> None:
        fit = shown.point_at("random, fits")
        shown.panel.get_by_role("button", name="Compare").click()
        shown.dialog.wait_for()
        assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][fit]["title"]

    def test_it_follows_the_step_that_is_chosen(self, shown: Shown) -> None:
        fit = shown.point_at("random, fits")
        section = shown.page.locator("section:has(.inspector)")
        section.get_by_label("Final").check()
        assert shown.fact("Step", shown.panel).startswith("final")
        assert shown.panel.locator("img").first.get_attribute("src") == shown.source(fit, 2)
        section.get_by_label("Selected").check()
        assert shown.fact("Step", shown.panel).startswith("selected")

    def test_a_sentence_shows_the_fit_that_it_is_about(self, shown: Shown) -> None:
        for one in shown.page.locator(".answers button").all():
            one.click()
            title = shown.data["fits"][one.get_attribute("data-fit")]["title"]
            assert shown.panel.locator("h3").text_content() == title
            method = one.locator("b").first.text_content()
            assert title.startswith(method)


class TestDialog:
    """What it tells of a fit."""

    def test_enter_on_a_picture_shows_all_that_there_are(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        near, pictures = shown.data["gallery"][fit], shown.data["pictures"]
        names = shown.dialog.locator(".thumbs span").all_text_contents()
        assert [name.partition(" (")[0] for name in names] == [
            "Truth", "Measurement", "Reconstruction", "Dense", "Error",
        ]  # fmt: skip
        sources = shown.dialog.locator(".thumbs img").evaluate_all("(all) => all.map((i) => i.src)")
        assert sources[:4] == [
            pictures[near["clean"]],
            pictures[near["measured"]],
            shown.source(fit),
            shown.source(near["dense"]),
        ]
        assert len(set(sources)) == 5
        assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][fit]["title"]
        assert shown.fact("PSNR").endswith(" dB")
        assert float(shown.fact("SSIM")) == pytest.approx(0.8)

    def test_the_error_map_is_the_mean_difference_in_grey_levels(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        truth = shown.data["pictures"][shown.data["gallery"][fit]["clean"]]
        error = np.abs(colour(shown.source(fit)) - colour(truth)).mean()
        assert error > 1
        scale = shown.dialog.locator(".scale").inner_text()
        assert f"mean {error:.1f}, largest {error:.0f}." in scale
        assert f"{WORST} or more" in scale
        uri = shown.thumb("Error").locator("img").get_attribute("src")
        with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as drawn:
            assert drawn.size == (32, 32)
            pixels = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
        assert (pixels == pixels[0]).all()
        if error >= WORST:
            assert pixels[0].tolist() == LIGHTEST
        else:
            assert DARKEST < pixels[0].tolist() < LIGHTEST

    def test_what_is_clicked_comes_to_the_right_and_the_other_to_the_left(
        self, shown: Shown
    ) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        near, pictures = shown.data["gallery"][fit], shown.data["pictures"]
        shown.thumb("Truth").click()
        shown.thumb("Dense").click()
        assert shown.sides == [pictures[near["clean"]], shown.source(near["dense"])]
        marked = shown.dialog.locator(".thumbs .on").all_text_contents()
        assert marked == ["Truth (left)", "Dense (right)"]
        shown.thumb("Dense").click()  # a second click changes nothing
        assert shown.sides[1] == shown.source(near["dense"])
        shown.thumb("Truth").click()
        assert shown.sides == [shown.source(near["dense"]), pictures[near["clean"]]]
        shown.page.keyboard.press("Escape")
        shown.open(shown.ladder()[2])  # what is compared stays for the next fit
        assert shown.dialog.locator(".thumbs .on").all_text_contents() == [
            "Truth (right)", "Dense (left)",
        ]  # fmt: skip
        shown.thumb("Measurement").click()
        shown.thumb("Reconstruction").click()

    def test_the_keyboard_moves_the_slider_and_zooms(self, shown: Shown) -> None:
        shown.open(shown.ladder()[1])
        slider, stage = shown.dialog.get_by_role("slider"), shown.dialog.locator(".stage")
        cut = "(one) => getComputedStyle(one.querySelector('.left')).clipPath"
        before, height = stage.evaluate(cut), stage.bounding_box()["height"]
        slider.focus()
        for _ in range(5):
            shown.page.keyboard.press("ArrowRight")
        assert slider.input_value() == "55"
        assert stage.evaluate(cut) != before
        assert shown.fact("Density")  # the fit is still the same
        assert (
            shown.dialog.locator("h2").inner_text()
            == (shown.data["fits"][shown.ladder()[1]]["title"])
        )
        shown.dialog.get_by_label("Zoom").select_option(label="× 4")
        assert stage.bounding_box()["height"] == pytest.approx(4 * height, rel=0.02)
        assert not shown.dialog.evaluate(WIDER)
        shown.dialog.get_by_label("Zoom").select_option(label="fit")

    def test_the_mouse_moves_the_slider(self, shown: Shown) -> None:
        shown.open(shown.ladder()[1])
        box = shown.dialog.locator(".stage").bounding_box()
        shown.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        shown.page.mouse.down()
        shown.page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
        shown.page.mouse.up()
        shown.page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
        assert float(shown.dialog.get_by_role("slider").input_value()) == pytest.approx(25, abs=2)

    def test_arrows_go_to_the_next_density_and_stop_at_the_ends(self, shown: Shown) -> None:
        ladder = shown.ladder()
        densities = [shown.data["fits"][fit]["rows"][0][1] for fit in ladder]
        assert len(set(densities)) == len(ladder)
        shown.open(ladder[0])
        seen = [shown.fact("Density")]
        for _ in ladder:
            shown.page.keyboard.press("ArrowRight")
            seen.append(shown.fact("Density"))
        assert seen == [*densities, densities[-1]]
        assert shown.dialog.get_by_role("button", name="Sparser").is_disabled()
        shown.page.keyboard.press("ArrowLeft")
        assert shown.fact("Density") == densities[-2]
        shown.dialog.get_by_role("button", name="Denser").click()
        assert shown.fact("Density") == densities[-3]

    def test_whoever_goes_on_before_pictures_are_decoded_hears_no_complaint(
        self, shown: Shown
    ) -> None:
        """Their decoding then ends with an error that is none; the last fit's map is drawn."""
        shown.open(shown.ladder()[0])
        shown.page.evaluate(
            """(rounds) => {
              const press = (key) => document.activeElement.dispatchEvent(
                new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
              for (let i = 0; i < rounds; i += 1) press(i % 2 ? "ArrowLeft" : "ArrowRight");
            }""",
            51,
        )
        shown.thumb("Error").wait_for()
        assert shown.fact("Density") == shown.data["fits"][shown.ladder()[1]]["rows"][0][1]

    def test_escape_closes_and_focus_returns(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        shown.page.keyboard.press("ArrowRight")
        shown.page.keyboard.press("Escape")
        shown.dialog.wait_for(state="hidden")
        focused = "() => document.activeElement.closest('.tile[data-fit]')?.dataset.fit"
        assert shown.page.evaluate(focused) == fit

    def test_a_click_beside_it_closes_it_and_one_on_it_does_not(self, shown: Shown) -> None:
        shown.open(shown.ladder()[1])
        shown.dialog.locator("h2").click()
        assert shown.dialog.is_visible()
        shown.page.mouse.click(4, 450)
        shown.dialog.wait_for(state="hidden")

    def test_a_click_on_a_mark_opens_its_fit(self, shown: Shown) -> None:
        fit = shown.click_at("random, fits")
        assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][fit]["title"]

    def test_a_click_on_a_mean_opens_the_fit_that_is_nearest_to_it(self, shown: Shown) -> None:
        fit = shown.page.locator("#chart").evaluate(CLICK_A_MEAN, "random")
        shown.dialog.wait_for()
        assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][fit]["title"]

    def test_it_shows_the_psnr_that_its_section_does(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        section = shown.page.locator(f'section:has(.tile[data-fit="{fit}"])')
        for place, which in enumerate(shown.data["which"]):
            section.locator(f'input[value="{which}"]').check()
            shown.open(fit)
            assert shown.fact("Step").startswith(which)
            source = shown.thumb("Reconstruction").locator("img").get_attribute("src")
            assert source == shown.source(fit, place)
            shown.page.keyboard.press("Escape")
        section.locator(f'input[value="{shown.data["which"][0]}"]').check()

    def test_the_curve_has_the_dense_fit_beside_it_and_the_marked_steps(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        curves = shown.dialog.locator(".curve")
        drawn = curves.evaluate("(gd) => gd.data.map(({ name, x, y, text }) => [name, x, y, text])")
        titles = [
            shown.data["fits"][one]["title"] for one in (fit, shown.data["gallery"][fit]["dense"])
        ]
        assert [name for name, *_ in drawn[:2]] == titles
        assert drawn[0][1:3] == [[0, 1000, 1500, 1800, 3000], [5, 20, 27.5, 27, 26]]
        assert drawn[2][1:] == [[1800, 1500, 3000], [27, 27.5, 26], ["selected", "peak", "final"]]

    def test_layers_are_bars_with_their_densities(self, shown: Shown) -> None:
        shown.open(shown.ladder()[1])
        layers = shown.dialog.locator(".layers")
        assert "from 0.0625 to 1" in layers.locator("h3").inner_text()
        heights = layers.locator("span").evaluate_all(
            "(all) => all.map((one) => one.getBoundingClientRect().height)"
        )
        assert [one / heights[0] for one in heights] == pytest.approx([1, 0.25, 0.0625], abs=0.03)

    def test_how_to_run_it_again_can_be_copied(self, shown: Shown) -> None:
        fit = shown.ladder()[1]
        shown.open(fit)
        card = shown.data["fits"][fit]
        texts = [
            f"lip picture {card['place']} --image 'astronaut' --which selected -o restored.png",
            shown.data["sweeps"][card["sweep"]],
        ]
        for fold, text in zip(shown.dialog.locator(".again details").all(), texts, strict=True):
            fold.locator("summary").click()
            fold.get_by_role("button", name="Copy").click()
            fold.get_by_role("button", name="Copied").wait_for()
            assert fold.locator("pre").text_content() == text
            assert shown.page.evaluate("() => getSelection().toString().trim()") == text.strip()


class TestHeld:
    """Fits that are kept beside others."""

    def test_two_fits_are_compared_with_each_other_and_by_their_curves(self, shown: Shown) -> None:
        one, other = shown.ladder()[1:3]
        titles = {fit: shown.data["fits"][fit]["title"] for fit in (one, other)}
        shown.hold(one)
        shown.hold(other)
        assert shown.held.locator("b").all_text_contents() == [titles[one], titles[other]]
        shown.held.nth(1).locator("button").first.click()
        shown.dialog.wait_for()
        assert shown.dialog.locator("h2").inner_text() == titles[other]
        shown.thumb(shown.data["fits"][one]["views"][0]["alt"]).click()
        assert shown.sides[1] == shown.source(one)
        names = shown.dialog.locator(".curve").evaluate("(gd) => gd.data.map(({ name }) => name)")
        assert {titles[one], titles[other]} <= set(names)
        assert shown.dialog.get_by_role("button", name="Pinned").is_disabled()
        shown.page.keyboard.press("Escape")
        shown.held.first.locator(".drop").click()
        assert shown.held.locator("b").all_text_contents() == [titles[other]]
        shown.open(other)
        shown.thumb("Measurement").click()
        shown.thumb("Reconstruction").click()

    def test_the_panel_holds_too_and_no_more_than_four(self, shown: Shown) -> None:
        shown.point_at("random, fits")
        hold = shown.panel.get_by_role("button", name=re.compile("^Pin(ned)?$"))
        while shown.panel.get_by_role("button", name="Denser").is_enabled():
            shown.panel.get_by_role("button", name="Denser").click()
        for count in range(1, 5):
            hold.click()
            assert shown.held.count() == count
            assert hold.is_disabled()
            shown.panel.get_by_role("button", name="Sparser").click()
        assert hold.is_disabled()
        assert shown.held.locator("img:not([hidden])").count() == 4


def test_without_pictures_there_are_numbers(windows: Windows, study: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.html"
    path.write_text(frontier_report(study, pictures_mb=0), encoding="utf-8")
    with windows.open() as window:
        bare = Shown(window, path)
        fit = bare.ladder()[1]
        bare.tile(fit).focus()
        bare.page.keyboard.press("Enter")
        bare.dialog.wait_for()
        assert bare.dialog.locator(".thumbs button").count() == 0
        for part in (".stage", ".scale", ".curve", ".layers"):
            assert bare.dialog.locator(part).is_hidden()
        assert bare.fact("PSNR").endswith(" dB")
        assert bare.complaints == []


def test_reconstructions_have_it_too(windows: Windows, sensing: Any, tmp_path: Path) -> None:
    path = tmp_path / "sensing.html"
    path.write_text(frontier_report(sensing), encoding="utf-8")
    with windows.open() as window:
        page = Shown(window, path)
        tile = page.page.locator(".fold[open] .tile[data-fit] button:visible").first
        tile.scroll_into_view_if_needed()
        tile.click()
        page.thumb("Error").wait_for()
        before = page.dialog.locator("h2").inner_text()
        page.page.keyboard.press("ArrowRight")
        assert page.dialog.locator("h2").inner_text() != before
        assert page.fact("PSNR").endswith(" dB")
        assert page.dialog.locator(".again details").count() == 0
        assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_it_fits_the_window(windows: Windows, report: Path, scheme: str) -> None:
    with windows.open(viewport=PHONE, color_scheme=scheme) as window:
        page = Shown(window, report)
        page.open(page.ladder()[1])
        box = page.dialog.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        assert box["y"] + box["height"] <= PHONE["height"]
        assert not page.dialog.evaluate(WIDER)
        page.dialog.get_by_role("button", name="Close").click()
        page.dialog.wait_for(state="hidden")
        width = page.page.evaluate("() => document.documentElement.scrollWidth")
        assert width == PHONE["width"]
