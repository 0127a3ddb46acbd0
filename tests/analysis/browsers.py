"""The browser in which tests open pages; without one they skip, saying why."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)
TIMEOUT_MS = 60_000
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of one's own, which is ended afterwards."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=TIMEOUT_MS
        )
        yield browser
        browser.close()


class Windows:
    """Windows of a browser that tests use one after the other.

    What a window has compiled, most of all Plotly's script, it does not compile again.
    """

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._free: list[Any] = []

    @contextmanager
    def open(
        self, *, viewport: Any = DESKTOP, color_scheme: str = "light", script: str = "", **own: Any
    ) -> Iterator[Any]:
        """An empty page that nobody else uses meanwhile.

        A script that runs before those of a page, and other options of a browser's context, have a
        window for this once.
        """
        if script or own:
            with self._browser.new_context(
                viewport=viewport, color_scheme=color_scheme, **own
            ) as context:
                context.add_init_script(script)
                yield context.new_page()
            return
        page = self._free.pop() if self._free else self._browser.new_context().new_page()
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        yield page
        page.mouse.move(0, 0)
        page.goto("about:blank")
        self._free.append(page)
