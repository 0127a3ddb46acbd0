"""The page as text: what it says, what it embeds, and that nothing in it can break out."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from lip_ray.analysis import frontier_report
from lip_ray.analysis.page.report import report_sections
from lip_ray.records import LevelRecord, Outcome, Reconstruction, TrialRecord
from lip_ray.store import Reader, Writer

Row = Callable[..., dict[str, Any]]
HOSTILE = "</script><img src=x onerror=alert(1)>"
PACKED = base64.b64encode(
    files("lip_ray.analysis.page").joinpath("assets/plotly-cartesian.min.js.gz").read_bytes()
).decode()
NO_PSNR = {
    "psnr_measured_db": None,
    "psnr_peak_db": None,
    "psnr_selected_db": None,
    "psnr_final_db": None,
}
GREY_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, the text outside scripts, the data."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = "data" if ("id", "data") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "data":
            self.data = json.loads(data)
        elif self._open not in ("script", "style"):
            self.text += data

    def attributes(self, tag: str, name: str) -> list[str | None]:
        """An attribute of all elements of a kind that have it."""
        return [found[name] for kind, found in self.elements if kind == tag and name in found]


@pytest.fixture(scope="module")
def page(study: Any) -> str:
    """The page of the whole study."""
    return frontier_report(study)


class TestOffline:
    """One file, no network, a size one can mail."""

    def test_nothing_is_loaded_from_anywhere(self, page: str) -> None:
        assert PACKED in page
        own = page.replace(PACKED, "")
        assert "http:" not in own
        assert "https:" not in own
        assert "//" not in "".join(Page(own).attributes("img", "src"))
        assert not Page(own).attributes("link", "href")
        assert not Page(own).attributes("script", "src")

    def test_the_browser_is_told_to_refuse_requests(self, page: str) -> None:
        policy = next(p for p in Page(page).attributes("meta", "content") if "default-src" in p)
        assert policy.startswith("default-src 'none'")
        assert "eval" not in policy  # only where so many fits are in one scene that WebGL is needed

    def test_nothing_offers_an_upload(self, page: str) -> None:
        data = Page(page).data
        assert data["config"]["showSendToCloud"] is False
        assert data["config"]["plotlyServerURL"] == ""
        for figure in data["figures"].values():
            assert "sendChartToCloud" in figure["layout"]["modebar"]["remove"]
        assert "sendChartToCloud" in data["frontier"]["layout"]["modebar"]["remove"]

    def test_the_page_is_hardly_larger_than_plotly(self, page: str) -> None:
        assert len(page) - len(PACKED) < 200_000

    def test_equal_pictures_are_embedded_once(self, page: str, study: Any) -> None:
        uris = Page(page).data["pictures"]
        assert len(uris) == len(set(uris))
        assert len(uris) < len(study.frame("reconstructions"))

    def test_pictures_beyond_the_budget_stay_out_and_that_is_said(self, study: Any) -> None:
        pictures = study.frame("reconstructions")["png"]
        room = int(pictures.str.len().iloc[:3].sum())
        page = Page(frontier_report(study, pictures_mb=room / 1e6))
        assert 0 < len(page.data["pictures"]) <= 3
        assert "Pictures left out to keep the page small: " in page.text
        none = Page(frontier_report(study, pictures_mb=0))
        assert none.data["pictures"] == []
        assert all(
            view["picture"] == -1 for fit in none.data["fits"].values() for view in fit["views"]
        )


class TestContent:
    """What the page says."""

    def test_every_fit_has_a_card_with_its_own_picture(self, page: str, study: Any) -> None:
        data = Page(page).data
        levels, pictures = study.frame("levels"), study.frame("reconstructions")
        assert len(data["fits"]) == 36 - 4  # the dense fit of each seed is stored thrice
        stored = pictures.set_index(["trial_id", "level", "role"])["png"]
        for label, fit in data["fits"].items():
            level = levels.loc[int(label)]
            for which, view in zip(data["which"], fit["views"], strict=True):
                png = stored[level["trial_id"], level["level"], which]
                uri = data["pictures"][view["picture"]]
                assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == png

    def test_numbers_and_intervals_are_in_the_table(self, page: str) -> None:
        text = Page(page).text
        assert "27.40 [26.76, 28.04]" in text  # 27.35 and 27.45: half-width 12.706 × 0.05
        assert "2 collapsed" in text
        assert "n = 2 seeds, 95 % intervals" in text

    def test_one_seed_says_that_there_is_no_interval(
        self, store_of: Any, trial_row: Row, level_row: Row
    ) -> None:
        trial = trial_row()
        text = Page(
            frontier_report(store_of([trial], [level_row(trial), level_row(trial, 1)]))
        ).text
        assert "n = 1 seed, so no intervals" in text
        assert "27.00 [" not in text

    def test_a_running_sweep_says_what_is_missing(
        self, store_of: Any, trial_row: Row, level_row: Row
    ) -> None:
        running = trial_row("snip", 3) | {"levels_done": 1, "outcome": "incomplete"}
        waiting = trial_row("random", 4) | {"levels_done": 0, "outcome": "incomplete"}
        text = Page(frontier_report(store_of([running, waiting], [level_row(running)]))).text
        assert "Incomplete trials, shown as far as they got: 2" in text
        assert "(SNIP, astronaut, seed 3): 1 of 6 levels" in text
        assert "(random, astronaut, seed 4): 0 of 6 levels" in text

    @pytest.mark.parametrize("order", [1, -1])
    def test_incomplete_trials_are_listed_by_their_ids(
        self, store_of: Any, trial_row: Row, level_row: Row, order: int
    ) -> None:
        undone = {"levels_done": 1, "outcome": "incomplete"}
        trials = [trial_row("snip", seed) | undone for seed in range(5)]
        levels = [level_row(trial) for trial in trials]
        text = Page(frontier_report(store_of(trials[::order], levels))).text
        listed = re.findall(r"(snip-[\w-]+) \(SNIP, astronaut, seed \d\)", text)
        assert listed == sorted(trial["trial_id"] for trial in trials)

    def test_without_a_clean_image_there_are_pictures_but_no_figure(
        self, store_of: Any, trial_row: Row, level_row: Row
    ) -> None:
        trial = trial_row()
        fits = [level_row(trial, level, peak_step=None, **NO_PSNR) for level in (0, 1)]
        store = store_of([trial], fits)
        pictures = store.frames["reconstructions"]
        store.frames["reconstructions"] = pictures[~pictures["role"].isin(["clean", "peak"])]
        page = Page(frontier_report(store))
        assert list(page.data["figures"]) == ["chart-cost"]
        assert "no PSNR to plot" in page.text
        assert [view["picture"] >= 0 for view in page.data["fits"]["1"]["views"]] == [
            True, False, True,
        ]  # fmt: skip

    def test_every_problem_has_a_section_and_all_share_a_figure(
        self, store_of: Any, trial_row: Row, level_row: Row
    ) -> None:
        other = {"kind": "inpainting", "masked": 0.5}
        trials = [trial_row(), trial_row("magnitude", task=other)]
        levels = [level_row(trial, level) for trial in trials for level in (0, 1)]
        page = Page(frontier_report(store_of(trials, levels)))
        assert list(page.data["figures"]) == ["chart-cost"]
        assert page.attributes("div", "id") == ["chart", "chart-cost"]
        own = [name for name in page.attributes("h2", "id") if str(name).startswith("problem-")]
        assert own == ["problem-0", "problem-1"]
        assert "astronaut: inpainting" in page.text

    def test_the_switch_is_three_radio_buttons(self, page: str) -> None:
        inputs = [found for tag, found in Page(page).elements if found.get("name") == "which-chart"]
        assert [found["value"] for found in inputs] == ["selected", "peak", "final"]
        assert [found["type"] for found in inputs] == ["radio"] * 3
        assert ["checked" in found for found in inputs] == [True, False, False]

    def test_an_empty_store_is_refused(self, store_of: Any, trial_row: Row, level_row: Row) -> None:
        store = store_of([trial_row()], [level_row(trial_row())])
        store.frames["levels"] = store.frames["levels"].iloc[:0]
        with pytest.raises(ValueError, match="no finished level in the store"):
            frontier_report(store)


class TestHostileNames:
    """Names come from files and stores of others: they are text and nothing else."""

    @pytest.fixture
    def hostile(self, store_of: Any, trial_row: Row, level_row: Row) -> Page:
        """A page on which every name is an attempt to break out."""
        task = {"kind": HOSTILE, "sigma": 25.0, HOSTILE: HOSTILE}
        trial = trial_row(HOSTILE, 0, task=task)
        trial |= {"image": HOSTILE, "task": HOSTILE, "prior": HOSTILE, "levels_done": 2}
        good = level_row(trial)
        bad = level_row(trial, 1, outcome="failed", reason=HOSTILE, **NO_PSNR)
        return Page(frontier_report(store_of([trial], [good, bad])))

    def test_no_element_comes_from_a_name(self, hostile: Page) -> None:
        assert hostile.attributes("img", "onerror") == []
        assert [tag for tag, _ in hostile.elements].count("script") == 4
        assert hostile.attributes("img", "src") == []

    def test_the_names_are_still_readable(self, hostile: Page) -> None:
        assert HOSTILE in hostile.text
        assert hostile.data["fits"]["1"]["title"] == f"{HOSTILE} at 0.5, seed 0"
        assert ["Outcome", f"failed: {HOSTILE}"] in hostile.data["fits"]["1"]["rows"]

    def test_plotly_gets_no_markup(self, hostile: Page) -> None:
        names = [template["name"] for template in hostile.data["frontier"]["templates"]]
        assert names
        assert not any("<" in name for name in names)


class TestStoredFrames:
    """A store on disk gives NaN for integers that are null; the page says none for both."""

    @pytest.fixture
    def stored(self, tmp_path: Path, trial_row: Row) -> Reader:
        """A grey image: one trial with a failed level, one that has just begun."""
        writer = Writer.open(tmp_path / "store")
        for seed in (0, 1):
            row = trial_row("magnitude", seed)
            trial = trial_record(row)
            writer.write_trial(trial)
            if seed == 0:
                good = level_record(trial.trial_id)
                assert writer.write_level([good])
                assert writer.write_level([failed_after(good)])
        return Reader(tmp_path / "store")

    def test_failed_levels_are_shown_as_none(self, stored: Reader) -> None:
        page = Page(frontier_report(stored))
        failed = page.data["fits"]["1"]
        rows = dict(failed["rows"])
        assert rows["Effective"] == "none"
        assert rows["Outcome"] == "failed: a level above diverged"
        assert failed["views"][0]["rows"] == [
            ["Step", "selected, none"], ["PSNR", "none"], ["SSIM", "none"],
        ]  # fmt: skip
        assert failed["views"][0]["line"] == "failed"

    def test_whole_numbers_stay_whole(self, stored: Reader) -> None:
        good = Page(frontier_report(stored)).data["fits"]["0"]
        rows = dict(good["rows"])
        assert rows["Weights"] == "100,000 of 100,000"
        assert rows["Effective"] == "99,000"
        assert good["views"][0]["rows"][0] == ["Step", "selected, 1,800"]

    def test_nothing_is_called_nan(self, stored: Reader) -> None:
        page = Page(frontier_report(stored))
        assert "nan" not in page.text.lower()
        assert "nan" not in json.dumps(page.data["fits"]).lower()

    def test_a_trial_that_has_begun_is_mentioned(self, stored: Reader) -> None:
        assert (
            "Incomplete trials, shown as far as they got: 2" in Page(frontier_report(stored)).text
        )

    def test_a_grey_picture_is_embedded(self, stored: Reader) -> None:
        uris = Page(frontier_report(stored)).data["pictures"]
        assert uris == [f"data:image/png;base64,{base64.b64encode(GREY_PNG).decode()}"]

    def test_a_store_without_levels_is_refused(self, tmp_path: Path, trial_row: Row) -> None:
        Writer.open(tmp_path / "store").write_trial(trial_record(trial_row()))
        with pytest.raises(ValueError, match="no finished level in the store"):
            frontier_report(Reader(tmp_path / "store"))


def trial_record(row: dict[str, Any]) -> TrialRecord:
    """A record of a hand-made row of `trials`."""
    fields = {name: row[name] for name in ("kind", "pruner", "prior", "task", "image", "seed")}
    versions = dict.fromkeys(("lip_ray", "torch", "ray", "python"), "1")
    return TrialRecord(
        **fields,
        **{f"{name}_version": version for name, version in versions.items()},
        trial_id=f"{row['seed']:016x}",
        levels=3,
        source_ids=(),
        travels=None,
        parameters=101_000,
        macs_per_step=1_000_000,
        spec=row["spec"],
        canonical=row["canonical"],
        epoch=2,
        host="host",
        device="cpu",
        started_at=datetime(2026, 1, 1),
    )


def level_record(trial_id: str) -> LevelRecord:
    """A dense level that went well."""
    picture = Reconstruction(role="selected", step=1800, height=64, width=64, png=GREY_PNG)
    return LevelRecord(
        trial_id=trial_id,
        level=0,
        image="camera",
        kept=100_000,
        total=100_000,
        kept_all=101_000,
        total_all=101_000,
        effective=99_000,
        psnr_measured_db=20.0,
        psnr_peak_db=28.0,
        psnr_selected_db=27.0,
        psnr_final_db=26.0,
        ssim_selected=0.8,
        peak_step=1500,
        selected_step=1800,
        steps=3000,
        outcome=Outcome.BUDGET,
        reconstructions=(picture,),
    )


def failed_after(good: LevelRecord) -> LevelRecord:
    """The level below it, for which there was no ticket."""
    empty = dict.fromkeys(
        ("effective", "psnr_measured_db", "psnr_peak_db", "psnr_selected_db", "psnr_final_db",
         "ssim_selected", "peak_step", "selected_step")
    )  # fmt: skip
    return replace(
        good,
        **empty,
        level=1,
        kept=50_000,
        steps=0,
        outcome=Outcome.FAILED,
        reason="a level above diverged",
        reconstructions=(),
    )


def test_verdicts_come_next_and_say_what_their_sample_is(study: Any) -> None:
    page = frontier_report(study)
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert titles[:2] == ["Frontier", "Verdicts"]
    study = r'<tr><th scope="row" class="word">denoising, σ = 25, skip</th>'
    row_of = study + r'<td class="{}">IMP \(magnitude\)</td>.*?</tr>'
    [row] = re.findall(row_of.format("word"), page)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
    assert cells[3:] == ["2 seeds", "0.0469, 0.0469", "0.03"], "nothing is said of differences"
    assert (
        cells[1]
        == cells[2]
        == (
            "on this image alone: within 0.1 dB of dense down to 0.05, shown; "
            "loses more from 0.03 down, shown"
        )
    )


def test_a_store_of_dense_fits_has_no_verdicts(
    trial_row: Row, level_row: Row, store_of: Callable[..., Any]
) -> None:
    trial = trial_row("magnitude", 0)
    page = frontier_report(store_of([trial], [level_row(trial)]))
    assert "Verdicts" not in page


def test_the_parts_are_those_of_the_page_and_need_no_picture(study: Any) -> None:
    page = frontier_report(study)
    reads: list[str] = []

    class Watched:
        def frame(self, table: str, **chosen: Any) -> Any:
            reads.append(table)
            return study.frame(table, **chosen)

        def masks(self, trial_id: str, level: int) -> Any:
            return study.masks(trial_id, level)

    parts = report_sections(Watched())
    assert [part.title for part in parts] == re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    shown = (part.figure for part in parts if part.figure is not None)
    figures = {figure.place for figure in shown if not figure.paper}
    assert figures == {"chart", *Page(page).data["figures"]}
    assert "reconstructions" not in reads
