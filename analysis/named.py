"""Figures and tables of a page by their names, figures with their buttons pressed."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from typing import TypeVar

import plotly.graph_objects as go

from lip_ray.errors import UserError

from .charts.controls import Choice
from .charts.style import BUTTONS
from .page.content import Content, Frames
from .page.report import report_parts
from .page.section import Block, Figure, Fold, Section, Table
from .parts.sensing.figures import STEP_BUTTONS
from .print import FigureError

T = TypeVar("T")

Parts = Sequence[tuple[str, T]]
"""Figures, or tables, of one name, with the titles of their sections."""


class TableError(UserError):
    """A table cannot be found; the message says which there are."""


def figure_names(store: Frames) -> dict[str, list[str]]:
    """The titles of each figure's parts by its name, in the order of the page."""
    return {name: [title for title, _ in parts] for name, parts in _figures(store).items()}


def figure_of(
    store: Frames,
    name: str,
    *,
    which: str = "selected",
    choose: Sequence[str] = (),
    part: int | str = 0,
) -> go.Figure:
    """A figure of the store's page, with its buttons pressed and taken off.

    `part` is one of those that `figure_names` lists, by its place or title. `which` of the PSNRs is
    shown; `choose` are words on other buttons, such as "0.05", "MSE" or "measurements 250".

    Raises FigureError for what the page does not have, naming what it has.
    """
    figures = _figures(store, name)
    if name not in figures:
        raise FigureError(_unknown("figure", name, figures) + _left_out(store, name))
    return _chosen(_part(figures[name], part), which, choose)


def first_figures(store: Frames) -> dict[str, go.Figure]:
    """By name what `figure_of` gives of it without more words; the page is made once for all."""
    return {name: _chosen(_part(parts, 0), "selected") for name, parts in _figures(store).items()}


def table_of_page(
    store: Frames, name: str, *, choose: Sequence[str] = (), part: int | str = 0
) -> Table:
    """A table of the store's page as its readers see it: texts with heads.

    `part` is one of the parts that have such a table, by its place or title. Only rows are kept
    that have a cell with each of the words `choose`.

    Raises TableError for what the page does not have, naming what it has.
    """
    tables = _named(store, _tables_of, name)
    if name not in tables:
        raise TableError(_unknown("table", name, tables))
    found = _part(tables[name], part, "table")
    rows = [row for row in found.rows if all(_place(word, row) is not None for word in choose)]
    if choose and not rows:
        raise TableError(f"no row of table {name!r} has {', '.join(choose)}")
    return replace(found, rows=rows)


def _tables_of(section: Section) -> Iterator[tuple[str, str, Table]]:
    for title, table in _inside(section.blocks, section.title):
        yield table.name, title, table


def _inside(blocks: Iterable[Block], title: str) -> Iterator[tuple[str, Table]]:
    """All tables among these blocks, those that are folded away with the title of their fold."""
    for block in blocks:
        if isinstance(block, Table):
            yield title, block
        if isinstance(block, Fold):
            yield from _inside(block.blocks, f"{title}: {block.title}")


def _chosen(found: Figure, which: str, choose: Sequence[str] = ()) -> go.Figure:
    if which not in BUTTONS:
        raise FigureError(_unknown("PSNR", which, BUTTONS))
    words = (BUTTONS[which], STEP_BUTTONS[which], *choose)
    return found.chosen(_labels(found.controls, words, choose))


def _figures(store: Frames, name: str = "") -> Mapping[str, Parts[Figure]]:
    """The figures of the page; with a name only those beside the figure of that name."""
    return _named(store, _figures_of, name)


def _figures_of(section: Section) -> Iterator[tuple[str, str, Figure]]:
    if section.figure is not None:
        yield section.figure.name, section.title, section.figure


def _named(
    store: Frames, inside: Callable[[Section], Iterable[tuple[str, str, T]]], wanted: str
) -> Mapping[str, Parts[T]]:
    """By name what is inside the sections of the page, with titles.

    No more parts are made than it takes to find the wanted name, but all where there is none.
    """
    found: dict[str, list[tuple[str, T]]] = {}
    for sections in report_parts(store, wanted):
        for name, title, one in chain.from_iterable(map(inside, sections)):
            found.setdefault(name, []).append((title, one))
    return found if not wanted or wanted in found else _named(store, inside, "")


def _part(parts: Parts[T], part: int | str, kind: str = "figure") -> T:
    """The one at the place, or the only one whose section's title has the words."""
    if isinstance(part, int):
        found = parts[part : part + 1] if part >= 0 else []
    else:
        exact = [one for one in parts if one[0] == part]
        found = exact or [one for one in parts if part.casefold() in one[0].casefold()]
    if len(found) != 1:
        listed = "; ".join(f"{place}: {title}" for place, (title, _) in enumerate(parts))
        why = "fits several parts" if len(found) > 1 else "is no part"
        raise FigureError(f"{part!r} {why} of this {kind}, which has {listed}")
    return found[0][1]


def _labels(choices: Sequence[Choice], words: Sequence[str], required: Sequence[str]) -> list[str]:
    """By choice the last label that one of the words is on, else the first choice.

    Raises FigureError for a required word that is on none.
    """
    labels, used = [], set[str]()
    for choice in choices:
        hits = {word: place for word in words if (place := _place(word, choice.words)) is not None}
        used |= hits.keys()
        labels.append([*choice.labels.values()][[choice.chosen, *hits.values()][-1]])
    lost = [word for word in required if word not in used]
    if lost:
        offered = ", ".join(word for choice in choices for word in choice.words)
        raise FigureError(f"no button here has {', '.join(lost)}; there are: {offered or 'none'}")
    return labels


def _place(word: str, options: Sequence[str]) -> int | None:
    """The place of the option that is the word, begins with it, or has it as one of its words."""
    plain, known = word.casefold(), [option.casefold() for option in options]
    fitting = (
        [option == plain for option in known],
        [option.startswith(plain) for option in known],
        [plain in re.findall(r"[^\s(),]+", option) for option in known],
    )
    return next((own.index(True) for own in fitting if True in own), None)


DRAWN_FROM = {
    "layers": "masks",
    "overlap": "masks",
    "curves": "curves",
    "grid": "reconstructions",
}
"""The bulky table that a figure shows the rows of."""


def _left_out(store: Frames, name: str) -> str:
    """What to say of a figure whose rows a published store was made without; empty where it has
    them."""
    table = DRAWN_FROM.get(name, "")
    if not table or table not in Content(store=store).left_out:
        return ""
    return f": the {table} that it shows were left out when the store was published"


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]!r}?" if near else ""
    return f"no {kind} {name!r} here{hint} (there are: {', '.join(known) or 'none'})"
