"""Stopping rules: their gaps by hand, their names, and stores that have nothing to show."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from lip_ray.analysis import report_sections, stopping_table
from lip_ray.analysis.page.content import Content
from lip_ray.analysis.page.section import Figure, Table
from lip_ray.analysis.parts import stopping
from lip_ray.analysis.parts.problems.section import sections
from lip_ray.analysis.parts.stopping import MOST_MARKS, gap_table, gaps_of, stopping_figure
from lip_ray.analysis.rows.points import described_points
from lip_ray.fits.stopping import WATCHING, HeldOut, WindowedVariance
from lip_ray.store import Reader

Rows = list[dict[str, Any]]
HELD_OUT = HeldOut().scaled(3000)
PUBLISHED = WATCHING[0]


def choice(level: dict[str, Any], rule: Any, gap: float | None, **changes: Any) -> dict[str, Any]:
    """A row of `choices` for a level."""
    key = {name: level[name] for name in ("trial_id", "level", "image")}
    settings = rule.model_dump(mode="json")
    psnr = None if gap is None else level["psnr_peak_db"] - gap
    row = {"rule": settings["kind"], "signal": settings["signal"], "in_force": False, "step": 9}
    row |= {"settings": json.dumps(settings), "psnr_db": psnr, "statistic": 0.1, "fired": True}
    return key | row | changes


@pytest.fixture
def fits(trial_row: Callable[..., Any], level_row: Callable[..., Any]) -> tuple[Rows, Rows]:
    """Two pruners by two seeds, with two levels each: three different fits a seed."""
    trials = [trial_row(pruner, seed) for pruner in ("magnitude", "random") for seed in (0, 1)]
    return trials, [level_row(trial, level) for trial in trials for level in (0, 1)]


@pytest.fixture
def choices(fits: tuple[Rows, Rows]) -> Rows:
    """Of each fit what two rules chose: one loses nothing to 5 dB, the other always 1 dB."""
    rows = []
    for place, level in enumerate(fits[1]):
        gap = float(level["level"] * (place % 6))
        rows.append(choice(level, HELD_OUT, gap, in_force=True, fired=place % 2 == 0))
        rows.append(choice(level, PUBLISHED, 1.0))
    return rows


def table_of(fits: tuple[Rows, Rows], choices: Rows) -> pd.DataFrame:
    """The table of these rows."""
    return stopping_table(pd.DataFrame(choices), pd.DataFrame(fits[1]), pd.DataFrame(fits[0]))


def test_gaps_are_counted_once_for_each_fit(fits: tuple[Rows, Rows], choices: Rows) -> None:
    published, held_out = table_of(fits, choices).to_dict("records")
    assert (published["name"], held_out["name"]) == (
        "ES-WMV as published",
        "held-out values, averaged output",
    )
    # the dense fits of two seeds lose nothing, the four tickets 1, 3, 5 and 7 % 6 = 1 dB
    assert (held_out["fits"], held_out["images"], held_out["in_force"]) == (6, 1, 6)
    assert held_out["mean_db"] == pytest.approx(10 / 6)
    assert (held_out["worst_db"], held_out["median_db"]) == (5.0, 1.0)
    assert held_out["q90_db"] == pytest.approx(4.0)
    assert held_out["fired"] == pytest.approx(2 / 6)
    assert (published["mean_db"], published["in_force"]) == (pytest.approx(1.0), 0)


def test_namesakes_are_told_apart_by_their_settings(fits: tuple[Rows, Rows]) -> None:
    rules = [WindowedVariance(window=window).scaled(3000) for window in (20, 50)]
    rows = [choice(level, rule, 0.5) for level in fits[1] for rule in rules]
    assert set(table_of(fits, rows)["name"]) == {
        "ES-WMV, averaged output (stride 2, window 20)",
        "ES-WMV, averaged output (stride 5, window 50)",
    }


def test_a_rule_that_nobody_knows_has_its_own_name() -> None:
    assert stopping.rule_text({"kind": "oracle", "signal": "output"}) == "oracle, each output"


def test_the_figure_has_a_box_and_strokes_a_rule(fits: tuple[Rows, Rows], choices: Rows) -> None:
    points = described_points(pd.DataFrame(fits[0]), pd.DataFrame(fits[1]))
    gaps = gaps_of(points, pd.DataFrame(choices))
    table = gap_table(gaps)
    strokes, box = stopping_figure(gaps, table).data
    assert list(box.median) == table["median_db"].tolist()
    assert sorted(strokes.x) == sorted(gaps["gap_db"].round(3))
    assert len(set(box.y)) == len(table) == 2
    many = pd.concat([gaps] * MOST_MARKS, ignore_index=True)
    drawn = stopping_figure(many, gap_table(many)).data[0]
    assert len(drawn.x) == 2 * MOST_MARKS
    assert max(drawn.x) == 5.0


def test_no_rule_is_no_figure() -> None:
    gaps = gaps_of(pd.DataFrame(), pd.DataFrame())
    with pytest.raises(ValueError, match="no choice of a stopping rule has a PSNR"):
        stopping_figure(gaps, gap_table(gaps))


class TestSection:
    """What the page has."""

    @staticmethod
    def shown(store: Any) -> list[Any]:
        """The sections of this part."""
        content = Content(store=store, parts=[stopping.PART])
        return [one for _, own in content.outline() for one in own]

    def test_a_figure_and_its_numbers(
        self, fits: tuple[Rows, Rows], choices: Rows, store_of: Callable[..., Any]
    ) -> None:
        store = store_of(*fits)
        store.frames["choices"] = pd.DataFrame(choices)
        [section] = self.shown(store)
        assert isinstance(section.blocks[0], Figure)
        table = section.blocks[1]
        assert isinstance(table, Table)
        assert table.rows[0] == [
            "ES-WMV as published", "6", "1", "1.00", "1.00", "1.00", "100 %", "0",
        ]  # fmt: skip

    def test_older_stores_have_none(
        self, fits: tuple[Rows, Rows], store_of: Callable[..., Any]
    ) -> None:
        assert self.shown(store_of(*fits)) == []

    def test_fits_without_a_clean_image_have_none(
        self, fits: tuple[Rows, Rows], store_of: Callable[..., Any]
    ) -> None:
        store = store_of(*fits)
        rows = [choice(level, HELD_OUT, None) for level in fits[1]]
        store.frames["choices"] = pd.DataFrame(rows)
        assert self.shown(store) == []

    def test_every_kind_of_trial_is_shown(self, every_kind_store: Reader) -> None:
        [section] = self.shown(every_kind_store)
        names = {row[0] for row in section.blocks[1].rows}
        assert {"ES-WMV as published", "discrepancy principle, averaged output"} <= names
        assert "held-out values, averaged output" in names


def test_a_problem_says_what_the_rule_in_force_lost(study: Any) -> None:
    [section] = sections(Content(store=study))
    [table] = [block for block in section.blocks if isinstance(block, Table)]
    assert "chose steps 0.36 dB below the peak in the mean of these 32 fits, 0.50 at worst" in str(
        table.note
    )
    assert "stopping" not in {one.name for one in report_sections(study)}
