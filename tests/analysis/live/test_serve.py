"""The live page: computed once for all, as of now, never writing, and the same in a browser."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from browsers import needs_chromium

pytest.importorskip("dash", reason="dash is not installed")

from lip_ray.analysis.live import state as live_module
from lip_ray.analysis.live.blocks import components
from lip_ray.analysis.live.page import SLOTS
from lip_ray.analysis.live.serve import ServeError, app, serve
from lip_ray.analysis.live.state import Live
from lip_ray.analysis.page.report import report_sections
from lip_ray.analysis.page.section import Figure
from lip_ray.analysis.page.static import section_html
from lip_ray.records import LevelRecord, Outcome, Standing, TrialRecord
from lip_ray.store import StoreError, Writer

Row = Callable[..., dict[str, Any]]
Fill = Callable[..., None]

HOSTILE = "</script><img src=x onerror=alert(1)>"
KEPT = ("children", "style")
TIMEOUT_MS = 120_000
NOON = datetime(2026, 1, 1, 12)
TOTAL = 1000


def trial_record(row: dict[str, Any], trial_id: str) -> TrialRecord:
    """A record of a hand-made row of `trials`."""
    names = ("kind", "pruner", "prior", "task", "image", "seed", "spec", "canonical")
    versions = dict.fromkeys(("lip_ray", "torch", "ray", "python"), "1")
    return TrialRecord(
        **{name: row[name] for name in names},
        **{f"{name}_version": version for name, version in versions.items()},
        trial_id=trial_id,
        levels=3,
        source_ids=(),
        travels=None,
        parameters=TOTAL,
        epoch=2,
        macs_per_step=1_000_000,
        host="host",
        device="cpu",
        started_at=NOON,
    )


def level_record(trial_id: str, level: int, image: str, psnr_db: float) -> LevelRecord:
    """A good fit."""
    kept = TOTAL >> level
    return LevelRecord(
        trial_id=trial_id,
        level=level,
        image=image,
        kept=kept,
        total=TOTAL,
        kept_all=kept,
        total_all=TOTAL,
        effective=kept,
        psnr_measured_db=20.0,
        psnr_peak_db=psnr_db + 0.5,
        psnr_selected_db=psnr_db,
        psnr_final_db=psnr_db - 1.5,
        steps=100,
        outcome=Outcome.BUDGET,
        fit_s=1.0,
        finished_at=NOON,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where one is, empty."""
    Writer.open(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def fill(store: Path, trial_row: Row) -> Fill:
    """Adds levels of one trial: by pruner, seed and what else there is of an image."""

    def add(pruner: str = "magnitude", *levels: int, seed: int = 0, image: str = "camera") -> None:
        images = [{"kind": "builtin", "name": image, "size": [128, 128]}]
        row = trial_row(pruner, seed, images=images) | {"image": image}
        trial_id = f"{zlib.crc32(repr((pruner, seed, image)).encode()):016x}"
        writer = Writer.open(store)
        writer.write_trial(trial_record(row, trial_id))
        for level in levels:
            assert writer.write_level([level_record(trial_id, level, image, 27.0 - level)])

    return add


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sections there were each time that a page was computed."""
    counts: list[int] = []

    def counted(store: Any) -> list[Any]:
        sections = report_sections(store)
        counts.append(len(sections))
        return sections

    monkeypatch.setattr(live_module, "report_sections", counted)
    return counts


class TestLooking:
    def test_nothing_new_is_computed_once(
        self, store: Path, fill: Fill, computed: list[int]
    ) -> None:
        fill("magnitude", 0, 1)
        live = Live(store=store)
        first = live.look()
        assert live.look().shown is first.shown
        fill("magnitude", 2)
        assert live.look().shown.version != first.shown.version
        assert len(computed) == 2

    def test_only_what_changed_has_another_digest(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        fill("magnitude", 0, 1, image="coffee")
        live = Live(store=store)
        before = {part.section.title: part.digest for part in live.look().shown.parts}
        fill("magnitude", 2, image="coffee")
        after = {part.section.title: part.digest for part in live.look().shown.parts}
        changed = {title for title in after if after[title] != before.get(title)}
        assert any("coffee" in title for title in changed)
        assert not any(title.startswith("camera") for title in changed)

    def test_who_comes_meanwhile_gets_the_page_before(
        self, store: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill("magnitude", 0)
        live = Live(store=store)
        before = live.look()
        begun, go_on = threading.Event(), threading.Event()

        def slow(store: Any) -> list[Any]:
            begun.set()
            assert go_on.wait(60)
            return report_sections(store)

        monkeypatch.setattr(live_module, "report_sections", slow)
        fill("magnitude", 1)
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(live.look()))
        thread.start()
        assert begun.wait(60)
        assert live.look() is before
        go_on.set()
        thread.join(60)
        assert found[0].shown.version != before.shown.version
        assert live.look().shown is found[0].shown

    def test_a_store_that_is_away_is_told_and_comes_back(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0)
        live = Live(store=store)
        before = live.look()
        away = store.rename(store.with_name("unmounted"))
        gone = live.look()
        assert gone.trouble.startswith("The store is away; this is as of ")
        assert gone.shown is before.shown
        away.rename(store)
        assert live.look().trouble == ""

    def test_a_store_without_levels_is_told(self, store: Path, fill: Fill) -> None:
        live = Live(store=store)
        assert live.look().trouble == "No finished level yet: figures come with the first."
        fill("magnitude", 0)
        glance = live.look()
        assert (glance.trouble, len(glance.shown.parts) > 0) == ("", True)

    def test_trials_in_flight_are_told(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0)
        writer = Writer.open(store)
        for number in range(10):
            note = Standing(trial_id=f"{number:016x}", level=1, step=1200, steps=3000, psnr_db=26.5)
            writer.note_standing(note)
        first, second, *_, last = Live(store=store).look().status
        assert first.startswith("1 levels of 1 trials are done, 10 trials are running. As of ")
        assert second.startswith(f"{0:016x}: level 1, step 1,200 of 3,000, 26.50 dB (")
        assert last == "and 2 more"

    def test_there_has_to_be_a_store(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no store"):
            Live(store=tmp_path)


class Client:
    """Asks an app what its page in a browser would."""

    def __init__(self, store: Path) -> None:
        self.http = app(store).server.test_client()

    def call(
        self,
        outputs: list[Any],
        inputs: list[Any],
        state: list[Any],
        changed: str,
        name: str | None = None,
    ) -> Any:
        """The answer of one callback; None where nothing is new."""
        if name is None:
            names = [f"{name_of(one['id'])}.{one['property']}" for one in outputs]
            name = f"..{'...'.join(names)}.."
        body = {"output": name, "outputs": outputs, "inputs": inputs, "state": state}
        body["changedPropIds"] = [changed]
        answer = self.http.post("/_dash-update-component", json=body)
        assert answer.status_code in (200, 204), answer.text
        if answer.status_code == 204:
            return None
        found = answer.json["response"]
        return {json.loads(one)["is"] if '"is"' in one else one: found[one] for one in found}

    def look(self, outline: list[Any] | None = None) -> Any:
        """What a tick changes."""
        slots = [{"slot": slot} for slot in range(SLOTS)]
        outputs: list[Any] = [{"id": one, "property": "children"} for one in ("status", "trouble")]
        outputs += [[{"id": slot, "property": what} for slot in slots] for what in KEPT]
        outputs += [{"id": one, "property": "data"} for one in ("outline", "version")]
        names = ["status.children", "trouble.children", *(f'{{"slot":["ALL"]}}.{w}' for w in KEPT)]
        return self.call(
            outputs,
            [{"id": "tick", "property": "n_intervals", "value": 1}],
            [
                {"id": "outline", "property": "data", "value": outline or []},
                {"id": "version", "property": "data", "value": ""},
            ],
            "tick.n_intervals",
            name=f"..{'...'.join([*names, 'outline.data', 'version.data'])}..",
        )

    def laid_out(self, outline: list[Any] | None = None) -> dict[str, Any]:
        """The sections that a tick lays out, by their slots."""
        found = self.look(outline)
        return {name: one["children"] for name, one in found.items() if "children" in one
                and "slot" in name and one["children"]}  # fmt: skip

    def tell(self, title: str, told: str = "", controls: int = 0) -> Any:
        """The words of a section that has so many controls."""
        ids = {what: {"of": title, "is": what} for what in ("lead", "rest", "told")}
        control = {"is": "control", "of": title}
        options = [{"id": control | {"place": n}, "property": "options"} for n in range(controls)]
        names = [f"{name_of(ids[what])}.children" for what in ("lead", "rest")]
        names.append(f"{name_of(control | {'place': ['ALL']})}.options")
        return self.call(
            [
                {"id": ids["lead"], "property": "children"},
                {"id": ids["rest"], "property": "children"},
                options,
                {"id": ids["told"], "property": "data"},
            ],
            [{"id": "version", "property": "data", "value": "1"}],
            [
                {"id": ids["told"], "property": "data", "value": told},
                {"id": ids["told"], "property": "id", "value": ids["told"]},
            ],
            "version.data",
            name=f"..{'...'.join([*names, name_of(ids['told'])])}.data..",
        )

    def draw(self, title: str, *values: str, drawn: str = "", changed: str = "version.data") -> Any:
        """The figure of a section with these choices."""
        ids = {what: {"of": title, "is": what} for what in ("figure", "sent", "drawn")}
        control = {"of": title, "is": "control"}
        chosen = [
            {"id": control | {"place": place}, "property": "value", "value": value}
            for place, value in enumerate(values)
        ]
        return self.call(
            [
                {"id": ids["sent"], "property": "data"},
                {"id": ids["figure"], "property": "style"},
                {"id": ids["drawn"], "property": "data"},
            ],
            [{"id": "version", "property": "data", "value": "1"}, chosen],
            [
                {"id": ids["drawn"], "property": "data", "value": drawn},
                {"id": ids["drawn"], "property": "id", "value": ids["drawn"]},
            ],
            changed,
        )


def name_of(name: Any) -> str:
    """An id as Dash writes it; a callback goes by those that it is for any section."""
    if isinstance(name, str):
        return name
    return json.dumps(name | {"of": ["MATCH"]}, sort_keys=True, separators=(",", ":"))


class TestAnswers:
    def test_the_page_asks_nobody_else(self, store: Path) -> None:
        answer = Client(store).http.get("/")
        assert re.findall(r"(?:src|href)=\"(https?:)?//", answer.text) == []
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert not re.search(r"https?:", policy)

    def test_sections_are_laid_out_once(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        client = Client(store)
        outline = client.look()["outline"]["data"]
        titles = [held[0] for held in outline if held]
        assert "Verdicts" in titles
        assert len(client.laid_out()) == len(titles)
        assert client.laid_out(outline) == {}
        fill("magnitude", 0, 1, image="astronaut")
        added = client.laid_out(outline)
        assert not {f'{{"slot":{slot}}}' for slot in range(len(titles))} & set(added)
        assert "astronaut: denoising" in json.dumps(added)
        order = client.look(outline)
        places = [order[f'{{"slot":{slot}}}']["style"]["order"] for slot in range(len(titles))]
        assert places == sorted(places)
        assert max(places) >= len(titles)

    def test_a_choice_changes_the_figure(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        client = Client(store)
        client.look()
        title = next(one.section.title for one in Live(store=store).look().shown.parts
                     if one.section.figure and one.section.figure.place == "chart-0")  # fmt: skip
        selected, peak = (client.draw(title, which) for which in ("Selected", "Peak (oracle)"))
        said = [one["sent"]["data"]["layout"]["yaxis"]["title"] for one in (selected, peak)]
        assert [one["text"][:8] for one in said] == ["PSNR of ", "Peak PSN"]
        digest = selected["drawn"]["data"]
        assert client.draw(title, "Selected", drawn=digest) is None
        control = json.dumps({"is": "control", "of": title, "place": 0}, separators=(",", ":"))
        assert client.draw(title, "Selected", drawn=digest, changed=f"{control}.value") is not None
        assert client.draw(title, "no such button")["sent"] == selected["sent"]
        assert selected["sent"]["data"]["layout"]["uirevision"]

    def test_the_explorer_has_all_its_choices(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        fill("random", 0, 1, image="coffee")
        client = Client(store)
        client.look()
        chosen = ["denoising, σ = 25", "coffee", "all", "random", "Kept weights", "Peak (oracle)"]
        layout = client.draw("Explorer", *chosen)["sent"]["data"]["layout"]
        assert layout["xaxis"]["title"]["text"] == "Kept prunable weights"
        assert "Peak" in layout["yaxis"]["title"]["text"]
        gone = client.draw("Explorer", "no task", "no image", "all", "all", "Density", "Final")
        assert "PSNR of the last step" in gone["sent"]["data"]["layout"]["yaxis"]["title"]["text"]

    def test_names_are_text_whatever_they_are(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1, image=HOSTILE)
        client = Client(store)
        laid_out = client.laid_out()
        titles = [part.section.title for part in Live(store=store).look().shown.parts]
        words = [client.tell(title) for title in titles]
        assert HOSTILE in json.dumps(words)
        components = list(components_of([list(laid_out.values()), words]))
        assert {one["namespace"] for one in components} == {
            "dash_html_components",
            "dash_core_components",
        }
        assert not {"Script", "Iframe", "Img", "Markdown"} & {one["type"] for one in components}
        properties = {name for one in components for name in one["props"]}
        assert not {name for name in properties if name.startswith(("on", "dangerously"))}

    def test_the_words_are_those_of_the_page(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        client = Client(store)
        client.look()
        words = client.tell("Verdicts")
        assert "one run: no verdict" in json.dumps(words)
        assert client.tell("Verdicts", told=words["told"]["data"]) is None
        assert client.tell("Nothing of that name") is None

    def test_the_whole_page_is_there_as_a_file(self, store: Path, fill: Fill) -> None:
        client = Client(store)
        assert client.http.get("/report.html").status_code == 503
        fill("magnitude", 0)
        page = client.http.get("/report.html")
        assert (page.status_code, page.mimetype) == (200, "text/html")
        assert "camera" in page.text

    def test_nothing_is_written(self, store: Path, fill: Fill) -> None:
        fill("magnitude", 0, 1)
        note = Standing(trial_id="a" * 16, level=1, step=1, steps=3)
        Writer.open(store).note_standing(note)
        before = state_of(store)
        client = Client(store)
        client.look()
        client.tell("Verdicts")
        client.http.get("/report.html")
        client.look()
        assert state_of(store) == before


def components_of(answer: Any) -> Iterator[dict[str, Any]]:
    """Every component in an answer."""
    if isinstance(answer, dict):
        if "namespace" in answer:
            yield answer
        for inner in answer.values():
            yield from components_of(inner)
    elif isinstance(answer, list):
        for inner in answer:
            yield from components_of(inner)


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and when it changed."""
    paths = [folder, *folder.rglob("*")]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


class TestBodies:
    def test_controls_are_those_of_the_figure(self, travelled: Any) -> None:
        figure = figure_at(travelled, "transfer-0")
        menus = figure.figure.layout.updatemenus
        for control in figure.controls:
            labels = [button.label for button in menus[control.menu].buttons]
            assert list(control.labels.values()) == labels
            assert control.chosen == menus[control.menu].active

    def test_controls_of_one_menu_are_its_digits(self, sensing: Any) -> None:
        figures = [one.figure for one in report_sections(sensing) if one.figure]
        for figure in (one for one in figures if one.place.startswith("measurements")):
            count = 1
            for control in figure.controls:
                count *= len(control.labels)
            assert count == len(figure.figure.layout.updatemenus[0].buttons)

    def test_galleries_are_left_to_the_page(self, study: Any) -> None:
        section = next(
            one for one in report_sections(study) if one.figure and one.figure.place == "chart-0"
        )
        place = section.blocks.index(section.figure)
        assert "Reconstructions" in section_html(section)
        lead, rest = components(section.blocks[:place]), components(section.blocks[place + 1 :])
        assert [one._type for one in lead] == ["P", "Details"]
        assert [one.children for one in rest if one._type.startswith("H")] == ["Numbers"]


def figure_at(store: Any, place: str) -> Figure:
    """The figure that the page draws there."""
    figures = (one.figure for one in report_sections(store))
    return next(one for one in figures if one and one.place == place)


class TestMistakes:
    @pytest.mark.parametrize("refresh_s", [0.0, -1.0, float("nan"), float("inf")])
    def test_how_often(self, store: Path, refresh_s: float) -> None:
        with pytest.raises(ServeError, match="refresh_s must be positive"):
            app(store, refresh_s=refresh_s)

    def test_a_port_that_is_taken(self, store: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ServeError, match=rf"port {port}: Address already in use.*--port"):
                serve(store, port=port)

    @pytest.mark.parametrize("port", [-1, 65_536])
    def test_a_port_that_is_none(self, store: Path, port: int) -> None:
        with pytest.raises(ServeError, match="port must be from 0 to 65535"):
            serve(store, port=port)

    def test_no_dash(self, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "lip_ray.analysis.live.page", raising=False)
        monkeypatch.setitem(sys.modules, "dash", None)
        with pytest.raises(ServeError, match=r"pip install 'lip-ray\[serve\]'"):
            app(store)


@pytest.fixture
def served(store: Path, fill: Fill) -> Iterator[str]:
    """The address of a page that a process of its own serves."""
    fill("magnitude", 0)
    call = "import signal, sys; from lip_ray.analysis.live.serve import serve; "
    call += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # it may be ignored here
    call += "serve(sys.argv[1], port=0, refresh_s=1)"
    with subprocess.Popen(
        [sys.executable, "-c", call, str(store)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield line.split(" at ")[1].split()[0]
            process.send_signal(signal.SIGINT)
            process.wait(60)
        finally:
            process.kill()


class TestServed:
    def test_other_names_for_this_machine_are_refused(self, served: str) -> None:
        with urllib.request.urlopen(served, timeout=60) as answer:
            assert answer.status == 200
        foreign = urllib.request.Request(served, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(foreign, timeout=60)

    @needs_chromium
    def test_a_browser_sees_it_change_and_keeps_its_choice(
        self, served: str, fill: Fill, browser: Any
    ) -> None:
        with browser.new_context() as context:
            page = context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            complaints: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(served)
            heading = page.get_by_role("heading", name="camera: denoising, σ = 25", exact=True)
            section = page.locator("section").filter(has=heading)
            chart = section.locator(".js-plotly-plot")
            chart.wait_for(state="attached")
            section.get_by_label("Peak (oracle)").check()
            section.locator(".ytitle", has_text="Peak PSNR over the fit").wait_for()
            height = "(gd) => gd._fullLayout.yaxis.range"
            whole = chart.evaluate(height)
            button = section.locator('.modebar-btn[data-attr="zoom"][data-val="in"]')
            button.dispatch_event("click")
            zoomed = chart.evaluate(height)
            assert zoomed != whole
            fill("random", 0, 1)
            section.locator(".legendtext", has_text="random").wait_for()
            assert section.get_by_label("Peak (oracle)").is_checked()
            section.locator(".ytitle", has_text="Peak PSNR over the fit").wait_for()
            assert chart.evaluate(height) == zoomed
            assert complaints == []
            assert {url for url in asked if not url.startswith((served, "data:", "blob:"))} == set()
