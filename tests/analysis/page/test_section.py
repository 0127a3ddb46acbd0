"""Pieces of a page: nothing of a long table is lost where it is folded."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.analysis.page.section import MOST_ROWS, Section, Table
from lip_ray.analysis.page.static import section_html


def number_table(label: str, note: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table as HTML."""
    table = Table(label=label, note=note, heads=heads, rows=rows)
    return section_html(Section(name="numbers", title="Numbers", blocks=(table,)))


@given(count=st.integers(0, 3 * MOST_ROWS))
def test_rows_that_are_folded_are_all_there(count: int) -> None:
    rows = [[f"method <{place}>", str(place)] for place in range(count)]
    found = number_table("Means", "", ["Method", "Mean"], rows)
    assert re.findall(r"<td>(\d+)</td>", found) == [row[1] for row in rows]
    assert found.count("<table") == found.count("</table>") == 1 + (count > MOST_ROWS)
    before, _, folded = found.partition("<details>")
    assert before.count("<td>") == min(count, MOST_ROWS)
    assert folded.startswith(f"<summary>{count - MOST_ROWS} more rows</summary>") or not folded


@pytest.mark.parametrize("count", [1, MOST_ROWS])
def test_a_short_table_is_whole(count: int) -> None:
    assert "details" not in number_table("Means", "", ["Method"], [["magnitude"]] * count)
