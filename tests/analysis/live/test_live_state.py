"""What a served page knows of its store: computed once for all, in a thread, and as of now."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lip_ray.analysis.live import state as live_module
from lip_ray.analysis.live.state import WAITING, Live
from lip_ray.errors import UserError
from lip_ray.records import Standing
from lip_ray.store import StoreError, Writer

Fill = Callable[..., None]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions of all pages that are computed; each page is its number."""
    versions: list[str] = []

    def report(_: Any, *, version: str, refresh_s: float) -> str:
        versions.append(version)
        return f"page {len(versions)}, asked every {refresh_s:g} s"

    monkeypatch.setattr(live_module, "live_report", report)
    return versions


def settled(live: Live) -> Live:
    """After a look, and what that has computed."""
    live.look()
    live.wait()
    return live


def test_nothing_new_is_computed_once(store: Path, fill: Fill, made: list[str]) -> None:
    fill("magnitude", 0, 1)
    live = Live(store=store, refresh_s=3)
    for _ in range(3):
        assert settled(live).page == "page 1, asked every 3 s"
    assert live.look().version == made[0]
    fill("magnitude", 2)
    assert settled(live).page.startswith("page 2")
    assert live.look().version == made[1] != made[0]


def test_other_trials_in_flight_are_new(store: Path, fill: Fill, made: list[str]) -> None:
    fill("magnitude", 0)
    live = settled(Live(store=store))
    note = Standing(trial_id="a" * 16, level=1, step=1, steps=3)
    Writer.open(store).note_standing(note)
    assert settled(live).page.startswith("page 2")
    Writer.open(store).note_standing(Standing(trial_id="a" * 16, level=1, step=2, steps=3))
    assert settled(live).page.startswith("page 2")  # the same trial, a step further


def test_who_looks_meanwhile_gets_the_page_before_and_what_came_meanwhile_is_computed_next(
    store: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, pages = threading.Event(), threading.Event(), iter(("first", "second", "third"))

    def slow(*_: Any, **__: Any) -> str:
        begun.set()
        assert go_on.wait(60)
        return next(pages)

    monkeypatch.setattr(live_module, "live_report", slow)
    go_on.set()
    fill("magnitude", 0)
    live = settled(Live(store=store))
    first = live.look().version
    begun.clear()
    go_on.clear()
    fill("magnitude", 1)
    live.look()
    assert begun.wait(60)
    fill("magnitude", 2)
    glance = live.look()
    assert (live.page, glance.version) == ("first", first)
    assert glance.status[0].startswith("3 levels of 1 trials are done")
    go_on.set()
    live.wait()
    assert (live.page, live.look().version != first) == ("second", True)
    live.wait()
    assert live.page == "third"


def test_who_looks_while_another_does_gets_what_that_one_saw_before(
    store: Path, fill: Fill, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("magnitude", 0)
    live = settled(Live(store=store))
    before = live.look()
    begun, go_on = threading.Event(), threading.Event()
    levels_done = live._reader.levels_done

    def slow() -> Any:
        begun.set()
        assert go_on.wait(60)
        return levels_done()

    monkeypatch.setattr(live._reader, "levels_done", slow)
    thread = threading.Thread(target=live.look)
    thread.start()
    assert begun.wait(60)
    fill("magnitude", 1)
    assert live.look() == before
    go_on.set()
    thread.join(60)
    assert live.look().status[0].startswith("2 levels")


def test_a_store_that_is_away_is_told_and_comes_back(
    store: Path, fill: Fill, made: list[str]
) -> None:
    fill("magnitude", 0)
    live = settled(Live(store=store))
    away = store.rename(store.with_name("unmounted"))
    gone = live.look()
    assert gone.trouble.startswith("The store cannot be read. This page shows it at ")
    assert gone.status == ()
    assert (live.page[:6], gone.version) == ("page 1", made[0])
    away.rename(store)
    assert settled(live).look().trouble == ""
    assert len(made) == 1


def test_a_store_that_is_away_while_its_page_is_computed_is_tried_again(
    store: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> str:
        raise UserError("the disk is gone")

    monkeypatch.setattr(live_module, "live_report", broken)
    fill("magnitude", 0)
    live = settled(Live(store=store))
    assert live.look().trouble.endswith("the disk is gone")
    live.wait()
    assert live.page == ""
    monkeypatch.setattr(live_module, "live_report", lambda *_, **__: "a page")
    settled(live)
    assert (live.page, live.look().trouble) == ("a page", "")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_ours_is_told(store: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> str:
        return str(1 // 0)

    monkeypatch.setattr(live_module, "live_report", broken)
    fill("magnitude", 0)
    live = settled(Live(store=store))
    assert "a fault of lip-ray: ZeroDivisionError" in live.look().trouble


def test_its_end_waits_for_the_page_that_is_computed(
    store: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Any, *, version: str, refresh_s: float) -> str:
        begun.set()
        assert go_on.wait(60)
        return "page"

    monkeypatch.setattr(live_module, "live_report", slow)
    fill("magnitude", 0)
    for within_s, ended in ((0.0, False), (60.0, True)):
        live = Live(store=store)
        live.look()
        assert begun.wait(60)
        if ended:
            threading.Timer(0.05, go_on.set).start()
        assert live.end(within_s) is ended
    go_on.set()


def test_a_store_without_levels_is_told(store: Path, fill: Fill, made: list[str]) -> None:
    live = settled(Live(store=store))
    assert (live.look().trouble, live.look().version, live.page) == (WAITING, "", "")
    fill("magnitude")
    assert settled(live).look().trouble == WAITING  # a trial has begun
    assert made == []
    fill("magnitude", 0)
    assert settled(live).look().trouble == ""
    assert live.page.startswith("page 1")


def test_trials_in_flight_are_told(store: Path, fill: Fill, made: list[str]) -> None:
    fill("magnitude", 0)
    writer = Writer.open(store)
    for number in range(10):
        note = Standing(trial_id=f"{number:016x}", level=1, step=1200, steps=3000, psnr_db=26.5)
        writer.note_standing(note)
    first, second, *_, last = settled(Live(store=store)).look().status
    assert first.startswith("1 levels of 1 trials are done, 10 trials are running. As of ")
    assert second.startswith(f"{0:016x}: level 1, step 1,200 of 3,000, 26.50 dB (")
    assert last == "and 2 more"


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        Live(store=tmp_path)
