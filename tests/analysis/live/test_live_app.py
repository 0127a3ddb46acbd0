"""The app that serves a page: what it answers, and that it writes nothing and asks nobody."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flask", reason="flask is not installed")

from lip_ray.analysis.live.app import make_app
from lip_ray.analysis.live.serve import LOCAL_NAMES
from lip_ray.analysis.live.state import Live
from lip_ray.analysis.page.static import LIBRARIES, library_text, waiting_html
from lip_ray.records import Standing
from lip_ray.store import Writer

Fill = Callable[..., None]
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


class Client:
    """Asks an app what a browser would, and waits for pages that are computed."""

    def __init__(self, store: Path, **options: Any) -> None:
        self.live = Live(store=store)
        self.http = make_app(self.live, **options).test_client()

    def page(self) -> str:
        """The page as it stands, once that is computed."""
        self.http.get("/")
        self.live.wait()
        answer = self.http.get("/")
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        return str(answer.text)


def data_of(page: str) -> Any:
    """What its scripts are given."""
    [text] = DATA.findall(page)
    return json.loads(text)


def test_before_the_first_level_it_waits(store: Path) -> None:
    client = Client(store)
    page = client.page()
    assert data_of(page)["live"]["version"] == ""
    assert 0 < data_of(page)["live"]["refresh_s"] <= 1
    assert "status.json" in page
    assert "Plotly" not in page.replace("Plotly.relayout", "")
    told = client.http.get("/status.json").json
    assert told["version"] == ""
    assert told["trouble"].startswith("No finished level yet")
    assert told["status"][0].startswith("0 levels of 0 trials are done")


def test_then_it_is_the_page_and_says_which(store: Path, fill: Fill) -> None:
    fill("magnitude", 0, 1)
    client = Client(store)
    page = client.page()
    told = client.http.get("/status.json").json
    assert data_of(page)["live"] == {"version": told["version"], "refresh_s": 10.0}
    assert "camera: denoising, σ = 25" in page
    assert 'id="live"' in page
    assert told["trouble"] == ""
    fill("magnitude", 2)
    client.page()
    assert client.http.get("/status.json").json["version"] != told["version"]


def test_the_page_asks_its_own_server_and_nobody_else(store: Path, fill: Fill) -> None:
    fill("magnitude", 0)
    client = Client(store)
    for page in (client.page(), waiting_html(refresh_s=10)):
        assert re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page) == []
        [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy.startswith("default-src ")
        assert "connect-src &#39;self&#39;" in policy
        assert not re.search(r"https?:", policy)
    sources = re.findall(r'<script src="([^"]*)"', client.page())
    assert len(sources) == 1
    assert sources[0] in LIBRARIES


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_is_sent_once(store: Path, name: str) -> None:
    http = Client(store).http
    answer = http.get(f"/{name}")
    assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
    assert answer.text == library_text(name)
    again = http.get(f"/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/report.js", "/page.html", "/../pyproject.toml", "/assets/page.js", "/status", "/x/y"]
)
def test_there_is_nothing_else(store: Path, path: str) -> None:
    assert Client(store).http.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/status.json", "/plotly.min.js"])
def test_no_page_may_frame_it_or_guess_what_it_is(store: Path, path: str) -> None:
    heads = Client(store).http.get(path).headers
    assert heads["X-Content-Type-Options"] == "nosniff"
    assert heads["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert heads["Cache-Control"] == "no-cache"
    assert heads["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8050", 200),
        ("127.0.0.1", 200),
        ("[::1]:8050", 200),
        ("evil.example", 400),
        ("localhost.evil.example", 400),
        ("evil.example:8050", 400),
        ("[", 400),
    ],
)
def test_other_names_for_this_machine_are_refused(store: Path, host: str, status: int) -> None:
    http = Client(store, names=LOCAL_NAMES).http
    for path in ("/", "/status.json"):
        assert http.get(path, headers={"Host": host}).status_code == status


def test_without_names_every_name_is_served(store: Path) -> None:
    assert Client(store).http.get("/", headers={"Host": "lab.example"}).status_code == 200


def test_nothing_is_written(store: Path, fill: Fill) -> None:
    fill("magnitude", 0, 1)
    note = Standing(trial_id="a" * 16, level=1, step=1, steps=3)
    Writer.open(store).note_standing(note)
    before = state_of(store)
    client = Client(store)
    client.page()
    client.http.get("/status.json")
    for method in ("post", "put", "delete", "patch"):
        assert getattr(client.http, method)("/", data=b"x").status_code == 405
    assert state_of(store) == before


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and when it changed."""
    paths = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}
