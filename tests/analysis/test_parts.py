"""Every part of the page, wherever it is shown; a new part is here by itself."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape
from itertools import chain
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest

from lip_ray.analysis import (
    figure_names,
    figure_of,
    first_figures,
    frontier_report,
    named,
)
from lip_ray.analysis.page import report
from lip_ray.analysis.page.content import Content, Part
from lip_ray.analysis.page.section import Figure, Section, Table
from lip_ray.analysis.page.static import section_html
from lip_ray.analysis.parts import PARTS, layers, traces

Row = dict[str, Any]
STORES = ("study", "travelled", "classifiers", "sensing", "every_kind_store")


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> Any:
    """One store after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def parts(store: Any) -> list[list[Section]]:
    """All that the page shows of it, by part."""
    return list(report.report_parts(store))


@pytest.fixture(scope="module")
def sections(parts: list[list[Section]]) -> list[Section]:
    """The same in one row."""
    return list(chain.from_iterable(parts))


def test_a_part_that_does_not_name_a_figure_is_found_out(study: Any, monkeypatch: Any) -> None:
    """That is looked at whenever a test makes parts: see `conftest.py`."""
    parts = [replace(part, names=part.names - {"cost"}) for part in PARTS]
    monkeypatch.setattr(report, "PARTS", parts)
    with pytest.raises(AssertionError, match="cost"):
        report.report_sections(study)


def test_no_other_part_is_made_than_those_of_a_name(study: Any, monkeypatch: Any) -> None:
    def never(shown: Content) -> Iterator[Section]:
        raise AssertionError("made")

    others = Part(label="Others", names={"others"}, sections=never)
    monkeypatch.setattr(report, "PARTS", (others, *report.PARTS))
    assert figure_of(study, "frontier").data
    assert named.table_of_page(study, "cost").rows
    with pytest.raises(AssertionError, match="made"):
        figure_of(study, "fronteir")


def test_every_figure_is_drawn_for_a_page_and_as_a_file(
    store: Any, sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [one.figure for one in sections if one.figure]
    assert set(figure_names(store)) == {figure.name for figure in figures}
    assert len({figure.place for figure in figures}) == len(figures)
    for figure in figures:
        for place in range(max(map(len, (one.labels for one in figure.controls)), default=1)):
            offered = [list(one.labels.values()) for one in figure.controls]
            labels = [own[min(place, len(own) - 1)] for own in offered]
            assert not figure.chosen(labels).layout.updatemenus
    monkeypatch.setattr("lip_ray.analysis.named.report_parts", lambda *_: [sections])
    assert first_figures(store) == {name: figure_of(store, name) for name in figure_names(store)}
    for name, titles in figure_names(store).items():
        assert isinstance(figure_of(store, name, part=len(titles) - 1), go.Figure)


def test_controls_of_a_figure_have_names_of_their_own(sections: list[Section]) -> None:
    for figure in (one.figure for one in sections if one.figure):
        names = [control.name for control in figure.controls]
        assert len(set(names)) == len(names)


def test_every_section_has_all_of_its_tables_and_figures(sections: list[Section]) -> None:
    for section in sections:
        page = section_html(section)
        tables = [block for block in section.blocks if isinstance(block, Table)]
        assert page.count("<thead>") >= len(tables)
        for table in tables:
            assert f"<h3>{escape(table.title)}</h3>" in page
        figures = [block for block in section.blocks if isinstance(block, Figure)]
        drawn = [f'id="{figure.place}"' in page for figure in figures]
        assert drawn == [not figure.paper for figure in figures]


@pytest.mark.parametrize("part", [traces, layers])
def test_names_with_commas_are_no_obstacle(
    part: Any,
    trial_row: Callable[..., Row],
    transfer_row: Callable[..., Row],
    level_row: Callable[..., Row],
) -> None:
    """A transfer by mask or by layer densities is a method whose name has commas."""
    elsewhere = trial_row(images=[{"kind": "builtin", "name": "chelsea", "size": [128, 128]}])
    moved = transfer_row(elsewhere, "astronaut", travels="layer_densities")
    trials = [moved, trial_row("random", 0)]
    levels = [level_row(trial, level) for trial in trials for level in range(3)]
    [section] = [one for one in part.sections(Content(store=Stored(trials, levels))) if one.figure]
    figure = section.figure
    method = next(one for one in figure.controls if one.legend == "Method")
    assert any(", " in label for label in method.labels.values())
    for label in method.labels.values():
        drawn = figure.chosen([label if one is method else None for one in figure.controls])
        assert label in drawn.layout.xaxis.title.text


class Stored:
    """A store with curves and masks."""

    def __init__(self, trials: list[Row], levels: list[Row]) -> None:
        self.frames = {"trials": pd.DataFrame(trials), "levels": pd.DataFrame(levels)}

    def frame(self, table: str, **_: Any) -> pd.DataFrame:
        """Its rows, made up."""
        levels = self.frames["levels"]
        if table == "masks":
            keys = levels[["trial_id", "level"]]
            rows = [{"position": 0, "layer": "w", "shape": (4, 4), "kept": 4, "total": 16}]
            return keys.merge(pd.DataFrame(rows), how="cross")
        if table == "curves":
            values = [1.0, 2.0, 3.0]
            lists = dict.fromkeys(("psnr_db", "psnr_raw_db", "statistic"), values)
            one = pd.DataFrame([{"step": [1, 2, 3], **lists}])
            return levels[["trial_id", "level", "image"]].merge(one, how="cross")
        return self.frames.get(table, pd.DataFrame())

    def masks(self, trial_id: str, level: int) -> None:
        """None is stored."""


def test_a_new_part_is_everywhere(study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def sections(shown: Content) -> Iterator[Section]:
        figure = Figure(
            name="seeds",
            place="seeds-0",
            label="Seeds",
            note="One bar per seed.",
            lines=1,
            figure=go.Figure(go.Bar(y=shown.trials["seed"])),
        )
        yield Section(name="of-seeds", title="Seeds of trials", blocks=(figure,))

    monkeypatch.setattr(
        report, "PARTS", (*PARTS, Part(label="Seeds", names={"seeds"}, sections=sections))
    )
    assert figure_names(study)["seeds"] == ["Seeds of trials"]
    assert 'id="seeds-0"' in frontier_report(study)
    assert figure_of(study, "seeds").data[0].type == "bar"
