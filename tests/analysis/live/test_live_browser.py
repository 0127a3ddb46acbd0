"""A served page in a browser: it shows what is new, and keeps what was chosen."""

from collections.abc import Callable
from typing import Any

import pytest
from browsers import needs_chromium
from servers import Server

pytest.importorskip("flask", reason="flask is not installed")

TIMEOUT_MS = 120_000
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a49444154789c63686000000082008177cd72b60000000049454e44ae426082"
)

pytestmark = needs_chromium

RANGES = "(gd) => [gd._fullLayout.xaxis.range, gd._fullLayout.yaxis.range].map((r) => [...r])"
DRAWN = "(gd) => gd._fullData.map((trace) => trace.name)"


def test_what_is_chosen_zoomed_unfolded_and_held_outlives_new_levels(
    served: Server, fill: Callable[..., None], browser: Any
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        complaints: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(served.url)
        section = page.locator("section:has(#chart)")
        chart = section.locator("#chart")
        chart.locator(".main-svg").first.wait_for()
        page.locator("#live p", has_text="1 levels of 1 trials are done").wait_for()

        section.get_by_label("Peak (oracle)").check()
        section.locator("select[data-choice=axis]").select_option(value="kept")
        whole = chart.evaluate(RANGES)
        chart.locator('.modebar-btn[data-attr="zoom"][data-val="in"]').dispatch_event("click")
        page.wait_for_function(
            "(whole) => JSON.stringify([...document.querySelector('#chart')._fullLayout"
            ".yaxis.range]) !== JSON.stringify(whole)",
            arg=whole[1],
        )
        zoomed = chart.evaluate(RANGES)
        fold = page.locator("main section details").first
        fold.locator("summary").click()
        section.locator(".inspector").get_by_role("button", name="Pin", exact=True).click()
        held = section.locator(".held b")
        name = held.text_content()

        fill("random", 0, 1)
        section.locator(".answers li", has_text="random").wait_for()
        chart.locator(".main-svg").first.wait_for()
        assert any("random" in name for name in chart.evaluate(DRAWN))
        assert section.get_by_label("Peak (oracle)").is_checked()
        assert section.locator("select[data-choice=axis]").input_value() == "kept"
        assert "Peak PSNR" in chart.locator(".ytitle").text_content()
        assert chart.evaluate(RANGES) == [pytest.approx(one) for one in zoomed]
        assert page.locator("main section details").first.get_attribute("open") is not None
        assert held.all_text_contents() == [name]

        section.locator(".inspector").get_by_role("button", name="Compare").click()
        page.locator("dialog[open]").wait_for()
        fill("random", 2)
        page.locator("#live p", has_text="4 levels of 2 trials are done").wait_for()
        assert page.locator("dialog[open]").count() == 1  # whoever compares is not disturbed
        with page.expect_navigation():
            page.keyboard.press("Escape")
        chart.locator(".main-svg").first.wait_for()
        assert held.all_text_contents() == [name]
        assert complaints == []
        own = (served.url, "data:", "blob:")
        assert {url for url in asked if not url.startswith(own)} == set()

        served.stop()
        page.locator("#live [role=alert]", has_text="The server does not answer").wait_for()
        assert held.all_text_contents() == [name]
    assert served.complaints.read_text() == ""


def test_a_store_without_levels_waits_for_the_first(
    served_empty: Server, fill: Callable[..., None], browser: Any
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(served_empty.url)
        page.locator("#live [role=alert]", has_text="No finished level yet").wait_for()
        fill("magnitude", 0, 1, png=PNG)
        page.locator("#chart .main-svg").first.wait_for()
        assert page.locator("h1").text_content() == "Accuracy against density"
