"""The frontier in a real browser: every control, by mouse and keyboard, draws what Python draws."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count, product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from browsers import DESKTOP, PHONE, TIMEOUT_MS, Windows, needs_chromium

from benchmarks.synthetic import write
from lip_ray.analysis import frontier_report
from lip_ray.analysis.page import report
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.parts import FRONTIER
from lip_ray.analysis.parts.frontier.figures import Shown, frontier_figure
from lip_ray.analysis.parts.frontier.looks import ALL
from lip_ray.analysis.parts.frontier.table import AXES, frontier_fits, scene_table
from lip_ray.analysis.rows.points import WHICH
from lip_ray.store import Reader

LISTS = ("task", "image", "prior", "method", "axis")

pytestmark = needs_chromium

DRAWN = """(gd) => gd.data.map((trace) => ({
  type: trace.type, name: trace.name, mode: trace.mode, x: trace.x, y: trace.y,
  colour: trace.mode === "lines" ? trace.line.color : trace.marker.color,
  dash: trace.line?.dash ?? null, shape: trace.line?.shape ?? null,
  symbol: trace.marker?.symbol ?? null, size: trace.marker?.size ?? null,
  legend: trace.showlegend !== false, group: trace.legendgroup ?? null,
  hover: trace.hovertemplate ?? null, text: trace.text ?? null,
  customdata: trace.customdata ?? null,
}))"""


class OpenFrontier:
    """The frontier of a page in the browser, and what the page complained of or asked for."""

    def __init__(self, page: Any, path: Path, fragment: str = "") -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(path.as_uri() + fragment)
        page.locator("#chart .main-svg").first.wait_for()
        self.section = page.locator("section:has(#chart)")
        self.chart = page.locator("#chart")

    def list_of(self, name: str) -> Any:
        """A list of options."""
        return self.section.locator(f"select[data-choice={name}]")

    def options(self, name: str) -> list[str]:
        """What a list offers."""
        found: list[str] = (
            self.list_of(name)
            .locator("option")
            .evaluate_all("(options) => options.map((option) => option.value)")
        )
        return found

    @property
    def choice(self) -> Shown:
        """What the controls say."""
        said = {name: self.list_of(name).input_value() for name in LISTS}
        return Shown(**said, which=self.section.locator("input:checked").get_attribute("value"))

    @property
    def traces(self) -> list[dict[str, Any]]:
        """What is drawn."""
        found: list[dict[str, Any]] = self.chart.evaluate(DRAWN)
        return found

    @property
    def words(self) -> str:
        """What is said of it."""
        said: str = self.section.locator(".words").text_content()
        return said


class Source:
    """A store's page, and the tables that it was made of."""

    def __init__(self, store: Any, path: Path) -> None:
        self.store = store
        frames = Content(store=store).trials, store.frame("levels")
        self.fits = frontier_fits(*frames)
        self.table = scene_table(self.fits)
        self.path = path
        path.write_text(frontier_report(store), encoding="utf-8")

    def expected(self, choice: Shown) -> list[Any]:
        """The traces of Python's figure."""
        return list(frontier_figure(self.table, choice, fits=self.fits).data)


@pytest.fixture
def opened(windows: Windows) -> Iterator[Any]:
    """Opens a frontier in a window of its own."""
    with ExitStack() as stack:

        def open_page(
            path: Path, fragment: str = "", *, without_webgl: bool = False, **options: Any
        ) -> OpenFrontier:
            script = "HTMLCanvasElement.prototype.getContext = () => null;" * without_webgl
            page = stack.enter_context(windows.open(script=script, **options))
            return OpenFrontier(page, path, fragment)

        yield open_page


@pytest.fixture(scope="module")
def scenes(
    trial_row: Any, level_row: Any, store_of: Any, tmp_path_factory: pytest.TempPathFactory
) -> Source:
    """Two tasks, two images, two networks and a deep decoder; one fit collapsed, one unknown."""
    trials, levels = [], []
    mask = {"kind": "random", "kept": 0.5}
    tasks = ({"kind": "denoising", "sigma": 30.0}, {"kind": "inpainting", "mask": mask})
    hostile = dict.fromkeys(("pruner", "method_name", "finder_name"), "random<br>")
    priors = (
        {"kind": "skip", "width": 128},
        {"kind": "skip", "width": 32},
        {"kind": "deep_decoder"},
    )
    for task, image, prior, seed in product(tasks, ("astronaut", "camera"), priors, (0, 1)):
        images = [{"kind": "builtin", "name": image}]
        pruners = ("magnitude", "random") if prior["kind"] == "skip" else ("magnitude",)
        for loss, pruner in enumerate(pruners):
            trial = trial_row(pruner, seed, task=task, images=images, prior=prior)
            trials.append(trial | (hostile if pruner == "random" else {}))
            for level in range(3 if prior["kind"] == "skip" else 1):
                psnr = 25.0 + seed - level * (loss + 1) + (image == "camera")
                costs = {"macs": 10**9 >> level, "fit_s": 30.0 + level}
                levels.append(level_row(trials[-1], level, psnr=psnr, **costs))
    levels[2] |= {"outcome": "collapsed", "reason": "no path"}
    levels[5] |= dict.fromkeys((f"psnr_{which}_db" for which in WHICH), None)
    levels[7] |= {"macs": None}
    return Source(store_of(trials, levels), tmp_path_factory.mktemp("page") / "scenes.html")


@pytest.fixture(scope="module")
def page(windows: Windows, scenes: Source) -> Iterator[OpenFrontier]:
    """The page of scenes, shared by tests that choose all that they rely on."""
    with windows.open() as window:
        yield OpenFrontier(window, scenes.path)


@pytest.fixture(scope="module")
def alone(scenes: Source, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The frontier of the same scenes on a page without other parts, which opens sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "PARTS", (replace(FRONTIER, kinds=frozenset({"trajectory"})),))
        return Source(scenes.store, tmp_path_factory.mktemp("page") / "alone.html")


def assert_drawn(frontier: OpenFrontier, source: Source) -> None:
    """Browser and Python draw the same of what is chosen."""
    drawn, expected = frontier.traces, source.expected(frontier.choice)
    assert [trace["name"] for trace in drawn] == [trace.name for trace in expected]
    for own, trace in zip(drawn, expected, strict=True):
        assert (own["type"], own["mode"]) == (trace.type, trace.mode)
        for axis in "xy":
            there = numbers(getattr(trace, axis))
            assert numbers(own[axis]) == pytest.approx(there, rel=1e-3, nan_ok=True)
        assert own["legend"] == (trace.showlegend is not False)
        assert own["group"] == trace.legendgroup
        assert (own["dash"], own["shape"]) == (trace.line.dash, trace.line.shape)
        assert (own["symbol"], own["size"]) == (trace.marker.symbol, trace.marker.size)
        assert own["hover"] == listed(trace.hovertemplate)
        assert own["text"] == listed(trace.text)
        there = flat(trace.customdata)
        assert flat(own["customdata"]) == pytest.approx(there, abs=1e-3, nan_ok=True)


def listed(value: Any) -> Any:
    """A tuple as a list."""
    return value if value is None or isinstance(value, str) else list(value)


def flat(values: Any) -> list[float]:
    """Bounds and counts of means, or the names of fits."""
    parts = [one if isinstance(one, list | tuple) else [one] for one in values or ()]
    return numbers(part for parts_of_one in parts for part in parts_of_one)


def numbers(values: Any) -> list[float]:
    """NaN for gaps."""
    return [np.nan if value is None else float(value) for value in values]


def choose(frontier: OpenFrontier, **choice: str) -> None:
    """By mouse."""
    for name, value in choice.items():
        if name == "which":
            frontier.section.locator(f"input[value={value}]").check()
        else:
            frontier.list_of(name).select_option(value=value)


def test_the_first_scene_is_drawn_without_complaint_or_request(
    page: OpenFrontier, scenes: Source
) -> None:
    assert page.complaints == []
    assert len([url for url in page.requests if not url.startswith("data:")]) == 1
    assert_drawn(page, scenes)


@pytest.mark.parametrize("axis", list(AXES))
def test_every_pair_of_choices_is_drawn_as_in_python(
    page: OpenFrontier, scenes: Source, axis: str
) -> None:
    """Each axis with each task and image; over all axes, these with each PSNR."""
    choose(page, axis=axis)
    seen = set()
    turns = count(list(AXES).index(axis))
    for task in page.options("task"):
        choose(page, task=task)
        for image in page.options("image"):
            chosen = WHICH[next(turns) % len(WHICH)]
            choose(page, image=image, prior=ALL, method=ALL, which=chosen)
            assert_drawn(page, scenes)
            seen.add((task, image, chosen))
    for name in ("prior", "method"):
        for option in page.options(name)[1:]:
            choose(page, **{name: option})
            assert_drawn(page, scenes)
    assert len(seen) == 2 * 3
    assert {chosen for *_, chosen in seen} == set(WHICH)
    assert page.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("axis", list(AXES))
def test_every_choice_is_drawn_as_in_python(page: OpenFrontier, scenes: Source, axis: str) -> None:
    choose(page, axis=axis, prior=ALL, method=ALL)
    seen = set()
    for task in page.options("task"):
        choose(page, task=task)
        for image in page.options("image"):
            choose(page, image=image)
            for which in WHICH:
                choose(page, which=which)
                assert_drawn(page, scenes)
                seen.add((task, image, which))
    assert len(seen) == 2 * 3 * 3
    assert page.complaints == []


def test_the_words_follow_the_choice(page: OpenFrontier) -> None:
    choose(page, axis="density", image="astronaut", which="selected")
    first = page.words
    assert "Hypervolume" in first
    choose(page, axis="kept")
    assert "weights and 20.30 dB, the measurement" in page.words
    assert page.words != first


@pytest.mark.parametrize("name", [*LISTS, "which"])
def test_every_control_works_by_keyboard_alone(opened: Any, alone: Source, name: str) -> None:
    frontier = opened(alone.path)
    control = "input" if name == "which" else f"select[data-choice={name}]"
    focused = frontier.section.locator(f"{control}:focus")
    for _ in range(40):
        frontier.page.keyboard.press("Tab")
        if focused.count():
            break
    before = frontier.choice
    frontier.page.keyboard.press("ArrowDown")
    frontier.page.wait_for_function("() => location.hash.includes('?')")
    after = frontier.choice
    assert getattr(after, name) != getattr(before, name)
    assert_drawn(frontier, alone)


def test_a_link_reopens_the_choice(opened: Any, scenes: Source) -> None:
    first = opened(scenes.path)
    choose(first, task="inpainting", image="camera", axis="kept", which="peak")
    choose(first, prior=first.options("prior")[2], method="random<br>")
    fragment = first.page.evaluate("() => location.hash")
    assert parse_qs(fragment.partition("?")[2])["method"] == ["random<br>"]
    again = opened(scenes.path, fragment)
    assert again.choice == first.choice
    assert again.traces == first.traces
    box = again.section.locator("h2").bounding_box()
    assert 0 <= box["y"] < DESKTOP["height"] / 2


def test_a_link_to_what_is_gone_shows_what_there_is(opened: Any, alone: Source) -> None:
    frontier = opened(alone.path, "#frontier?task=gone&image=nowhere&which=worst&axis=<b>&x=1")
    assert frontier.choice == Shown(
        task="denoising, σ = 30", image="mean over images", which="selected", axis="density"
    )
    assert frontier.complaints == []
    assert_drawn(frontier, alone)


def test_a_mark_of_a_fit_is_shown_beside_and_others_have_a_label(
    opened: Any, scenes: Source
) -> None:
    frontier = opened(scenes.path)
    choose(frontier, image="camera", prior=frontier.options("prior")[2], method="IMP (magnitude)")
    position = """(gd, [name, at]) => {
      const trace = gd._fullData.find((one) => one.name.endsWith(name));
      const box = gd.getBoundingClientRect();
      const { xaxis, yaxis } = gd._fullLayout;
      return [box.left + xaxis._offset + xaxis.d2p(trace.x[at]),
              box.top + yaxis._offset + yaxis.d2p(trace.y[at])];
    }"""
    frontier.chart.scroll_into_view_if_needed()
    frontier.page.wait_for_timeout(100)
    label = frontier.chart.locator(".hoverlayer .hovertext")
    frontier.page.mouse.move(*frontier.chart.evaluate(position, ["IMP (magnitude), fits", 0]))
    panel = frontier.section.locator(".inspector")
    panel.locator("h3", has_text="IMP (magnitude) at ").wait_for()
    assert not label.first.is_visible()
    before = panel.inner_text()
    frontier.page.mouse.move(5, 5)
    frontier.page.mouse.move(*frontier.chart.evaluate(position, [": IMP (magnitude)", 1]))
    label.filter(has_text="n = 2 seeds").wait_for()
    assert label.first.is_visible()
    assert panel.inner_text() == before


def test_sentences_are_those_of_what_is_chosen(page: OpenFrontier) -> None:
    rows = page.section.locator(".answers li")
    read = """(all) => all.map((row) =>
      ({ ...JSON.parse(row.dataset.when), shown: row.checkVisibility() }))"""
    choose(page, prior=ALL, method=ALL)
    every = rows.evaluate_all(read)
    assert {row["task"] for row in every} == set(page.options("task"))
    seen = 0
    for task in page.options("task"):
        choose(page, task=task, prior=ALL, method=ALL)
        for field in ("prior", "method"):
            for value in page.options(field):
                choose(page, prior=ALL, method=ALL)
                choose(page, **{field: value})
                chosen = {"task": task, field: value}
                for row in rows.evaluate_all(read):
                    own = all(value in (ALL, row[name]) for name, value in chosen.items())
                    assert row["shown"] == own
                    seen += own
    assert seen > len(every)
    assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_and_a_dark_system(opened: Any, alone: Source, scheme: str) -> None:
    frontier = opened(alone.path, viewport=PHONE, color_scheme=scheme)
    width = frontier.page.evaluate("() => document.documentElement.scrollWidth")
    assert width == PHONE["width"]
    for control in frontier.section.locator("select:visible, fieldset:visible").all():
        box = control.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
    ink = {"light": "#222222", "dark": "#e8e8e8"}[scheme]
    front = next(trace for trace in frontier.traces if trace["name"] == "Pareto front")
    assert front["colour"] == ink
    frontier.page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    frontier.page.wait_for_function(
        "(ink) => document.querySelector('#chart').data.at(-1).line.color !== ink", arg=ink
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A synthetic store of 10,000 levels: a task has more fits than are drawn by SVG."""
    folder = tmp_path_factory.mktemp("large")
    write(folder / "store", 10_000, compacted=True)
    return Source(Reader(folder / "store"), folder / "large.html")


@pytest.mark.slow
def test_every_control_redraws_thousands_of_fits(opened: Any, large: Source) -> None:
    frontier = opened(large.path)
    assert frontier.choice.image == "mean over images"
    shown = [trace for trace in frontier.traces if trace["type"] == "scattergl"]
    own = large.fits[large.fits["task"] == frontier.choice.task]
    assert sum(len(trace["x"]) for trace in shown) == len(own) > 2_000
    assert "not supported" not in frontier.chart.text_content()
    for name in reversed(LISTS):
        before = json.dumps(frontier.traces)
        choose(frontier, **{name: frontier.options(name)[-1]})
        assert json.dumps(frontier.traces) != before
        assert_drawn(frontier, large)
    choose(frontier, which="peak")
    assert_drawn(frontier, large)
    assert [line for line in frontier.complaints if "GPU stall" not in line] == []
    assert len([url for url in frontier.requests if not url.startswith(("data:", "blob:"))]) == 1


@pytest.mark.parametrize("without_webgl", [False, True])
def test_many_fits_are_drawn_by_webgl_where_there_is_any(
    opened: Any,
    scenes: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    without_webgl: bool,
) -> None:
    monkeypatch.setattr("lip_ray.analysis.parts.frontier.traces.MANY", 20)
    many = Source(scenes.store, tmp_path / "many.html")
    frontier = opened(many.path, without_webgl=without_webgl)
    fits = {trace["type"] for trace in frontier.traces if "fits" in trace["name"]}
    assert fits == ({"scatter"} if without_webgl else {"scattergl"})
    assert "not supported" not in frontier.chart.text_content()
    if not without_webgl:
        assert_drawn(frontier, many)
