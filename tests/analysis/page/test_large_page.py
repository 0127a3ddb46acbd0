"""The page of a store with much in it: a dozen of everything, all of it in the frontier."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.synthetic import write
from lip_ray.analysis import frontier_report
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.static import section_html
from lip_ray.analysis.parts.problems.section import MOST_PROBLEMS
from lip_ray.analysis.parts.size import MOST_COMPARISONS, sections
from lip_ray.analysis.rows.points import described_points
from lip_ray.store import Reader

LEVELS = 1_000
LARGE_MB = 60.0


class Watched(Reader):
    """A reader that remembers of which trials it was asked for rows."""

    def __init__(self, store: Path) -> None:
        super().__init__(store)
        self.asked: dict[str, Collection[str] | None] = {}

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table, or its rows of these trials."""
        self.asked[table] = trials
        return super().frame(table, trials=trials)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """More problems than a page has parts for."""
    path = tmp_path_factory.mktemp("synthetic") / "store"
    write(path, LEVELS, compacted=True, pictures=True)
    return Watched(path)


@pytest.fixture(scope="module")
def points(store: Watched) -> pd.DataFrame:
    """All fits."""
    return described_points(store.frame("trials"), store.frame("levels"))


@pytest.fixture(scope="module")
def page(store: Watched) -> str:
    """Written once."""
    return frontier_report(store)


def test_a_dozen_problems_have_parts_and_the_page_says_how_many_have_none(
    page: str, points: pd.DataFrame
) -> None:
    assert len(re.findall('<h2 id="problem-', page)) == MOST_PROBLEMS
    left = points["problem"].nunique() - MOST_PROBLEMS
    assert left > 0
    assert page.count(f"{left:,} more are in the frontier alone.") == 1


def test_the_pictures_of_these_alone_are_read(store: Watched, page: str) -> None:
    asked = store.asked["reconstructions"]
    assert page
    assert asked is not None
    assert 0 < len(asked) < len(store.frame("trials"))


def test_a_dozen_images_and_tasks_are_compared_by_size(
    store: Watched, points: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = points["scene_key"].nunique()
    titles = [section.title for section in sections(Content(store=store))]
    assert len(titles) == min(scenes, MOST_COMPARISONS)
    monkeypatch.setattr("lip_ray.analysis.parts.size.MOST_COMPARISONS", 2)
    few: list[Any] = list(sections(Content(store=store)))
    assert {section.title for section in few} < set(titles)
    said = f"{scenes - 2} more such comparisons are in the frontier alone."
    assert [said in section_html(section) for section in few] == [True, False]


@pytest.mark.slow
def test_a_hundred_thousand_levels_make_a_page_that_opens(tmp_path: Path) -> None:
    write(tmp_path / "store", 100_000, compacted=True)
    page = frontier_report(Reader(tmp_path / "store"))
    assert len(page.encode()) < LARGE_MB * 1e6
    assert len(re.findall('<h2 id="problem-', page)) == MOST_PROBLEMS
