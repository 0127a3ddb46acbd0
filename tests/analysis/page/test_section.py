"""Pieces of a page: nothing of a long table is lost where it is folded."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.analysis.page.section import MOST_ROWS, Faint, Section, Table, table_of
from lip_ray.analysis.page.static import section_html


def number_table(label: str, note: str, heads: list[str], rows: list[list[str]]) -> str:
    """A table as HTML."""
    table = Table(name="numbers", label=label, note=note, heads=heads, rows=rows)
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


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["226", "0"], ""),
        (["none", "27.30 [26.1, 28.4]"], ""),
        ([Faint("−0.02 rounding"), "+0.30"], ""),
        (["", ""], ""),
        (["2 min 3 s"], ""),
        (["magnitude", "random"], "word"),
        (["2 seeds", "4 images"], "word"),
        (["2", "0, 2 unfinished"], "word"),
        (["0 images, 10 below the measurement"], "said"),
        (
            ["undecided", "loses more from 0.5 down, shown; about 12 images would decide 1"],
            "said sentence",
        ),
    ],
)
def test_numbers_are_told_from_words(cells: list[str], kind: str) -> None:
    table = Table(
        name="numbers",
        label="",
        note="",
        heads=["Method", "Own"],
        rows=[["x", cell] for cell in cells],
    )
    [(*_, kinds)] = table.parts
    assert kinds == ["word", kind]


def test_a_long_first_column_takes_several_lines_too() -> None:
    """On one line it would leave the sentences beside it no room."""
    study = "denoising, σ = 25, skip (scales 4, width 32)"
    page = number_table("", "", ["Study", "Method"], [[study, "magnitude"]])
    assert f'<th scope="row" class="said">{study}</th>' in page
    assert '<th scope="row" class="word">short</th>' in number_table("", "", ["a"], [["short"]])


def test_faint_cells_are_marked_and_keep_their_words() -> None:
    cell = Faint("−0.02 <rounding>")
    rows = [["x", cell]]
    assert '<span class="faint">−0.02 &lt;rounding&gt;</span>' in number_table(
        "", "", ["a", "b"], rows
    )


@pytest.mark.parametrize("count", [1, MOST_ROWS])
def test_a_short_table_is_whole(count: int) -> None:
    assert "details" not in number_table("Means", "", ["Method"], [["magnitude"]] * count)


def columns_of(*rows: tuple[str, ...]) -> list[str]:
    """The heads of a table of these rows, whose columns are called 0, 1, …"""
    cells = {str(place): lambda row, place=place: row[place] for place in range(4)}
    table = table_of(rows, cells, name="numbers", label="", note="")
    assert all(len(row) == len(table.heads) for row in table.rows)
    return list(table.heads)


def test_columns_that_say_nothing_in_any_row_are_left_out() -> None:
    assert columns_of(("a", "none", "1", ""), ("b", "none", "none", "")) == ["0", "2"]
    assert columns_of(("none", "none", "–", "none"), ("none", "", "–", "0")) == ["0", "3"]
    assert columns_of() == ["0", "1", "2", "3"], "a table without rows says what there would be"
