"""Pieces of a page: sections, charts, controls, tables. All text is escaped here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd
import plotly.graph_objects as go

LONGEST_NUMBER = 30
"""In characters: a mean with its interval."""

MOST_ROWS = 40
"""Of a table that are shown at once; the others are folded."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a page under its own heading."""

    name: str
    """For links to it."""
    title: str
    body: str
    """HTML."""
    chart: str
    """The id of the element that the figure is drawn in."""
    figure: go.Figure | None

    @property
    def html(self) -> str:
        """All of it."""
        return (
            f'<section aria-labelledby="{self.name}"><h2 id="{self.name}">{escape(self.title)}</h2>'
            f"{self.body}</section>"
        )


def chart(name: str, label: str, note: str, *, rows: int, carded: bool = False) -> str:
    """Where the script draws; on a phone it grows by a line for each of `rows`.

    A carded one shows the page's own card at a mark, others what Plotly says.
    """
    kind = "chart carded" if carded else "chart"
    return (
        f'<figure><div class="{kind}" id="{name}" style="--methods: {rows}" role="img" '
        f'aria-label="{escape(label)}"></div><figcaption>{note}</figcaption></figure>'
    )


def controls(name: str, legend: str, choices: Mapping[str, str], *, menu: int = 0) -> str:
    """Radio buttons for a figure's menu: they work with a keyboard, a finger and a mouse."""
    buttons = "".join(
        f'<label><input type="radio" name="{name}" value="{value}" autocomplete="off"'
        f"{'' if place else ' checked'}><span>{escape(label)}</span></label>"
        for place, (value, label) in enumerate(choices.items())
    )
    return (
        f'<fieldset class="switch" data-menu="{menu}"><legend>{escape(legend)}</legend>'
        f"{buttons}</fieldset>"
    )


def dropdown(legend: str, choices: Sequence[str], *, chosen: int, menu: int) -> str:
    """A list to choose one from, for a figure's menu."""
    options = "".join(
        f"<option{' selected' if place == chosen else ''}>{escape(choice)}</option>"
        for place, choice in enumerate(choices)
    )
    return (
        f'<label class="choice">{escape(legend)}'
        f'<select data-menu="{menu}" autocomplete="off">{options}</select></label>'
    )


def number_table(
    label: str,
    note: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "Numbers",
) -> str:
    """A table that scrolls sideways where it is too wide; a row's first cell is its head.

    Rows beyond `MOST_ROWS` are in a second one, folded away.
    """
    all_rows = list(rows)
    found = f"<h3>{title}</h3><p>{note}</p>" + _wide(label, title, heads, all_rows[:MOST_ROWS])
    more = all_rows[MOST_ROWS:]
    if not more:
        return found
    folded = _wide(f"{label}, continued", f"{title}, continued", heads, more)
    return f"{found}<details><summary>{len(more):,} more rows</summary>{folded}</details>"


def mean_text(mean: float, low: float, high: float, form: str = ".2f") -> str:
    """A mean and its interval, as far as there are."""
    if pd.isna(mean):
        return "none"
    said = f"{mean:{form}}"
    said = said if pd.isna(low) else f"{said} [{low:{form}}, {high:{form}}]"
    return said.replace("-", "−")


def _wide(label: str, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    kinds = [_kind(cells) for cells in zip(*rows, strict=True)] or [""] * len(heads)
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>'
        for kind, name in zip(kinds, heads, strict=True)
    )
    body = "".join(_row(cells, kinds) for cells in rows)
    return (
        f'<div class="wide" role="region" aria-label="{title}" tabindex="0">'
        f'<table aria-label="{escape(label)}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(column: Sequence[str]) -> str:
    """Numbers are aligned to the right, on one line; words to the left, and long ones take several.

    `none` stands for a number.
    """
    words = [text for text in column if text[:1].isalpha() and text != "none"]
    if not words:
        return ""
    return ' class="said"' if max(map(len, words)) > LONGEST_NUMBER else ' class="word"'


def _row(cells: Sequence[str], kinds: Sequence[str]) -> str:
    head, *rest = cells
    columns = "".join(
        f"<td{kind}>{escape(text)}</td>" for text, kind in zip(rest, kinds[1:], strict=True)
    )
    return f'<tr><th scope="row">{escape(head)}</th>{columns}</tr>'
