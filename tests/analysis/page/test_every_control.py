"""Every control of a page, whatever is on it: each choice is drawn, and none is without effect."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from browsers import Windows, needs_chromium
from studies import run_all

from benchmarks.synthetic import write
from lip_ray.analysis.page.report import write_report
from lip_ray.store import Reader

TIMEOUT_MS = 120_000
SWEEPS = Path(str(files("lip_ray.sweeps")))

pytestmark = needs_chromium

CONTROLS = """() => [...document.querySelectorAll("section")].flatMap((section, at) =>
  [...section.querySelectorAll("select, fieldset")].map((control, place) => ({
    at, place, name: `${section.querySelector("h2").id}: ${control.textContent.trim()}`,
    words: [...control.querySelectorAll("option, input")].map((one) => one.value),
  })))"""

CHOOSE = """([at, place, choice]) => {
  const section = document.querySelectorAll("section")[at];
  const control = section.querySelectorAll("select, fieldset")[place];
  if (control.tagName === "SELECT") {
    control.selectedIndex = choice;
    control.dispatchEvent(new Event("change", { bubbles: true }));
  } else control.querySelectorAll("input")[choice].click();
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
    const gd = section.querySelector(".js-plotly-plot");
    const drawn = JSON.stringify([
      gd?.data, gd?.layout.xaxis, gd?.layout.yaxis, section.innerText,
      [...section.querySelectorAll("img")].map(({ src }) => src.length),
    ]);
    let hash = 0;
    for (let i = 0; i < drawn.length; i++) hash = (hash * 31 + drawn.charCodeAt(i)) | 0;
    done(hash);
  })));
}"""
"""Makes a choice, and tells what is drawn then in a number."""


def without_effect(windows: Windows, page: Path) -> list[str]:
    """The controls of a page that change nothing; asserts that it complains and asks of nothing."""
    with windows.open() as opened:
        opened.set_default_timeout(TIMEOUT_MS)
        complaints: list[str] = []
        requests: list[str] = []
        opened.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: requests.append(request.url))
        opened.goto(page.as_uri())
        opened.locator(".chart .main-svg").first.wait_for()
        idle, controls = [], opened.evaluate(CONTROLS)
        assert controls
        for control in controls:
            at, place, words = control["at"], control["place"], control["words"]
            seen = {opened.evaluate(CHOOSE, [at, place, choice]) for choice in range(len(words))}
            opened.evaluate(CHOOSE, [at, place, 0])
            all_of_one = len(words) == 2 and words[0] == "all"
            if len(words) > 1 and len(seen) == 1 and not all_of_one:
                idle.append(control["name"])
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    return idle


@pytest.mark.parametrize("levels", [70, pytest.param(200, marks=pytest.mark.slow)])
def test_the_page_of_many_trajectories(windows: Windows, tmp_path: Path, levels: int) -> None:
    write(tmp_path / "store", levels, compacted=True, pictures=True)
    page = write_report(Reader(tmp_path / "store"), tmp_path / "page")
    assert without_effect(windows, page) == []


def test_the_page_of_generators_and_what_they_restore(
    windows: Windows, sensing: Any, tmp_path: Path
) -> None:
    assert without_effect(windows, write_report(sensing, tmp_path / "page")) == []


@pytest.mark.slow
@pytest.mark.parametrize("sweep", ["quickstart", "quickstart_sensing"])
def test_pages_of_the_quickstarts(windows: Windows, tmp_path: Path, sweep: str) -> None:
    run_all(SWEEPS / f"{sweep}.yaml", tmp_path / "store", quick=True)
    page = write_report(Reader(tmp_path / "store"), tmp_path / "page.html")
    assert without_effect(windows, page) == []


@pytest.mark.slow
def test_the_page_of_a_hundred_thousand_levels(windows: Windows, tmp_path: Path) -> None:
    write(tmp_path / "store", 100_000, compacted=True)
    page = write_report(Reader(tmp_path / "store"), tmp_path / "page.html")
    assert without_effect(windows, page) == []
