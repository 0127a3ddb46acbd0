"""The dialog of a fit in a real browser: its pictures, its error map, its way by the keyboard."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import PHONE, TIMEOUT_MS, Windows, needs_chromium
from PIL import Image

from lip_ray.analysis import frontier_report

DARKEST, LIGHTEST = [0, 0, 4], [252, 255, 164]
WORST = 64

pytestmark = needs_chromium

PIXELS = """(canvas) => [canvas.width, canvas.height, ...canvas.getContext("2d")
  .getImageData(0, 0, canvas.width, canvas.height).data]"""
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
DATA = "() => JSON.parse(document.getElementById('data').textContent)"
SETTLED = """() => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(() => done(true)));
})"""


class Shown:
    """A page and its dialog."""

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

    def tile(self, fit: str) -> Any:
        """The button of a fit's picture."""
        return self.page.locator(f'[data-fit="{fit}"] button')

    def open(self, fit: str) -> None:
        """Go to the tile of a fit and press Enter."""
        self.tile(fit).scroll_into_view_if_needed()
        self.tile(fit).focus()
        self.page.keyboard.press("Enter")
        self.dialog.locator("canvas").wait_for()

    def fact(self, name: str) -> str:
        """What the dialog's list says under that name."""
        said: str = self.dialog.locator(f'dt:text-is("{name}") + dd').inner_text()
        return said

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
def report(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's page as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(frontier_report(study), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def desktop(windows: Windows, report: Path) -> Iterator[Shown]:
    """The page at 1280 pixels, shared: tests close the dialog."""
    with windows.open() as window:
        yield Shown(window, report)


@pytest.fixture
def shown(desktop: Shown) -> Iterator[Shown]:
    """The shared page, its dialog closed afterwards."""
    yield desktop
    desktop.page.keyboard.press("Escape")
    desktop.dialog.wait_for(state="hidden")
    assert desktop.complaints == []


def test_enter_on_a_picture_shows_truth_measurement_and_reconstruction(shown: Shown) -> None:
    fit = shown.ladder()[1]
    shown.open(fit)
    pictures, near = shown.data["pictures"], shown.data["gallery"][fit]
    view = shown.data["fits"][fit]["views"][0]
    sources = shown.dialog.locator("img").evaluate_all("(all) => all.map((one) => one.src)")
    assert sources == [
        pictures[near["clean"]], pictures[near["measured"]], pictures[view["picture"]],
    ]  # fmt: skip
    assert len(set(sources)) == 3
    assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][fit]["title"]
    assert shown.fact("PSNR").endswith(" dB")
    assert float(shown.fact("SSIM")) == pytest.approx(0.8)


def test_the_error_map_is_the_mean_difference_in_grey_levels(shown: Shown) -> None:
    fit = shown.ladder()[1]
    shown.open(fit)
    pictures, near = shown.data["pictures"], shown.data["gallery"][fit]
    found = colour(pictures[shown.data["fits"][fit]["views"][0]["picture"]])
    error = np.abs(found - colour(pictures[near["clean"]])).mean()
    assert error > 1
    scale = shown.dialog.locator(".scale").inner_text()
    assert f"mean {error:.1f}, largest {error:.0f}." in scale
    assert f"{WORST} or more" in scale
    width, height, *data = shown.dialog.locator("canvas").evaluate(PIXELS)
    assert (width, height) == (32, 32)
    drawn = np.array(data).reshape(-1, 4)
    assert (drawn == drawn[0]).all()
    assert drawn[0, 3] == 255
    if error >= WORST:
        assert drawn[0, :3].tolist() == LIGHTEST
    else:
        assert DARKEST < drawn[0, :3].tolist() < LIGHTEST


def test_arrows_go_to_the_next_density_and_stop_at_the_ends(shown: Shown) -> None:
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


def test_whoever_goes_on_before_pictures_are_decoded_hears_no_complaint(shown: Shown) -> None:
    """Their decoding then ends with an error that is none; the last fit's error map is drawn."""
    shown.open(shown.ladder()[0])
    shown.page.evaluate(
        """(rounds) => {
          const press = (key) => document.activeElement.dispatchEvent(
            new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
          for (let i = 0; i < rounds; i += 1) press(i % 2 ? "ArrowLeft" : "ArrowRight");
        }""",
        51,
    )
    shown.dialog.locator("canvas").wait_for(state="visible")
    assert shown.fact("Density") == shown.data["fits"][shown.ladder()[1]]["rows"][0][1]


def test_escape_closes_and_focus_returns(shown: Shown) -> None:
    fit = shown.ladder()[1]
    shown.open(fit)
    shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("Escape")
    shown.dialog.wait_for(state="hidden")
    focused = "() => document.activeElement.closest('[data-fit]')?.dataset.fit"
    assert shown.page.evaluate(focused) == fit


def test_a_click_on_a_mark_opens_its_fit(shown: Shown) -> None:
    chart = shown.page.locator(".chart.carded").first
    chart.scroll_into_view_if_needed()
    shown.page.evaluate(SETTLED)
    mark = chart.evaluate(MARK, "random, fits")
    shown.page.mouse.move(mark["x"] - 3, mark["y"] - 3)
    shown.page.mouse.move(mark["x"], mark["y"])
    shown.page.mouse.click(mark["x"], mark["y"])
    shown.dialog.wait_for()
    assert shown.dialog.locator("h2").inner_text() == shown.data["fits"][mark["fit"]]["title"]


def test_it_shows_the_psnr_that_its_section_does(shown: Shown) -> None:
    fit = shown.ladder()[1]
    section = shown.page.locator(f'section:has([data-fit="{fit}"])')
    for place, which in enumerate(shown.data["which"]):
        section.locator(f'input[value="{which}"]').check(force=True)
        shown.open(fit)
        assert shown.fact("Step").startswith(which)
        picture = shown.data["fits"][fit]["views"][place]["picture"]
        source = shown.dialog.locator("img").nth(2).get_attribute("src")
        assert source == shown.data["pictures"][picture]
        shown.page.keyboard.press("Escape")
    section.locator(f'input[value="{shown.data["which"][0]}"]').check(force=True)


def test_without_pictures_there_are_numbers(windows: Windows, study: Any, tmp_path: Path) -> None:
    path = tmp_path / "bare.html"
    path.write_text(frontier_report(study, pictures_mb=0), encoding="utf-8")
    with windows.open() as window:
        bare = Shown(window, path)
        fit = bare.ladder()[1]
        bare.tile(fit).focus()
        bare.page.keyboard.press("Enter")
        bare.dialog.wait_for()
        assert bare.dialog.locator("canvas").is_hidden()
        assert bare.dialog.locator(".scale").is_hidden()
        assert bare.dialog.locator(".blank").evaluate_all(
            "(all) => all.every((one) => one.checkVisibility())"
        )
        assert bare.fact("PSNR").endswith(" dB")
        assert bare.complaints == []


def test_reconstructions_have_it_too(windows: Windows, sensing: Any, tmp_path: Path) -> None:
    path = tmp_path / "sensing.html"
    path.write_text(frontier_report(sensing), encoding="utf-8")
    with windows.open() as window:
        page = Shown(window, path)
        tile = page.page.locator(".fold[open] [data-fit] button:visible").first
        tile.scroll_into_view_if_needed()
        tile.click()
        page.dialog.locator("canvas").wait_for()
        before = page.dialog.locator("h2").inner_text()
        page.page.keyboard.press("ArrowRight")
        assert page.dialog.locator("h2").inner_text() != before
        assert page.fact("PSNR").endswith(" dB")
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
        wider = "(one) => one.scrollWidth > one.clientWidth"
        assert not page.dialog.evaluate(wider)
        page.dialog.get_by_role("button", name="Close").click()
        page.dialog.wait_for(state="hidden")
