"""Pages by the rules of axe-core (WCAG and good practice), in light and dark, the dialog open."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsers import DESKTOP, PHONE, TIMEOUT_MS, Windows, needs_chromium

from lip_ray.analysis import frontier_report
from lip_ray.analysis.page.static import waiting_html

axe = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")

pytestmark = needs_chromium

RUN = """() => axe.run({ exclude: [[".chart"], [".curve"]] }, { resultTypes: ["violations"] })
  .then(({ violations }) => violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target}: ${failureSummary}`)))"""
"""What is wrong, but for what is within Plotly's own figures: these have a role and a name."""


@pytest.fixture(scope="module")
def report(study: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's page as a file."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(frontier_report(study), encoding="utf-8")
    return path


@pytest.fixture
def opened(windows: Windows, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page in a window of a size and a scheme, with the rules at hand."""
    viewport, scheme = request.param
    with windows.open(viewport=viewport, color_scheme=scheme) as page:
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(report.as_uri())
        page.locator("#chart .main-svg").first.wait_for()
        page.evaluate(axe.AXE_SCRIPT)
        yield page


SCHEMES = pytest.mark.parametrize(
    "opened",
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light")],
    indirect=True,
    ids=["light", "dark", "phone"],
)


@SCHEMES
def test_the_page_and_its_dialog_keep_the_rules(opened: Any) -> None:
    opened.locator(".inspector").get_by_role("button", name="Pin", exact=True).click()
    for fold in opened.locator("main details").all():
        fold.evaluate("(one) => (one.open = true)")
    assert opened.evaluate(RUN) == []
    opened.locator(".inspector").get_by_role("button", name="Compare").click()
    opened.locator("#fit .thumbs button", has_text="Error").wait_for()
    for fold in opened.locator("#fit details").all():
        fold.evaluate("(one) => (one.open = true)")
    assert opened.evaluate(RUN) == []


def test_what_breaks_a_rule_is_found(windows: Windows, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text('<html lang="en"><title>x</title><main><h1>x</h1><img src=""></main>')
    with windows.open() as page:
        page.goto(path.as_uri())
        page.evaluate(axe.AXE_SCRIPT)
        assert [line.partition(":")[0] for line in page.evaluate(RUN)] == ["image-alt"]


def test_a_page_that_waits_keeps_them_too(windows: Windows, tmp_path: Path) -> None:
    path = tmp_path / "waiting.html"
    path.write_text(waiting_html(refresh_s=60), encoding="utf-8")
    with windows.open() as page:
        page.goto(path.as_uri())
        page.locator("#live p").first.wait_for()
        page.evaluate(axe.AXE_SCRIPT)
        assert page.evaluate(RUN) == []
