"""What a page is made of: sections of typed blocks, which say what there is and not how it looks.

`page.static` shows them as HTML, in a file and on a server. Text is text wherever it comes from:
nothing in a block is markup.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import Choice, pressed
from ..rows.choosing import most_frequent

MOST_ROWS = 40
"""The rows of a table that are shown at once; the others are folded."""

COUNTED = re.compile(r"\b\d+ [a-z]{4,}")
"""A number of something: `2 seeds`, but not `2 min`."""

SILENT = ("", "none", "–", "–, –")
"""Cells in which there is nothing to know, as the PSNR of a photo without a clean image."""

LONGEST_NUMBER = 30
"""The characters of a mean with its interval."""

LONGEST_PHRASE = 60
"""The characters that are read at a glance; a column of longer sentences is given more room."""


class Faint(str):
    """The text of a cell that counts for little, which pages set in grey."""


@dataclass(frozen=True)
class Emphasis:
    """Words that are stressed, or stand out where they are `strong`."""

    text: str
    strong: bool = False


Words: TypeAlias = str | tuple[str | Emphasis, ...]
"""Running text, parts of which may stand out."""


def words_text(words: Words) -> str:
    """Running text without what stands out in it."""
    runs = (words,) if isinstance(words, str) else words
    return "".join(run if isinstance(run, str) else run.text for run in runs)


@dataclass(frozen=True)
class Text:
    """A paragraph of running text."""

    words: Words


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and values, folded away."""

    title: str
    rows: Mapping[str, str]


Rows: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table under a heading of its own, wider than the page where it has to be.

    A row's first cell is its head. Rows beyond `MOST_ROWS` are in a second table, folded away.
    """

    name: str
    """What `lip table` knows it by: that of the figure beside it, where it has its numbers."""
    title: str = "Numbers"
    label: str
    """What it shows, for those who cannot see it."""
    note: Words
    heads: Sequence[str]
    rows: Rows

    @property
    def parts(self) -> Iterator[tuple[str, str, Rows, Sequence[str]]]:
        """Title, label, rows and kinds of columns: what is shown at once, then the rest."""
        more = self.rows[MOST_ROWS:]
        yield self.title, self.label, self.rows[:MOST_ROWS], self._kinds(self.rows[:MOST_ROWS])
        if more:
            ending = ", continued"
            yield f"{self.title}{ending}", f"{self.label}{ending}", more, self._kinds(more)

    def _kinds(self, rows: Rows) -> Sequence[str]:
        return [_kind(column) for column in zip(*rows, strict=True)] or [""] * len(self.heads)


Cells: TypeAlias = Mapping[str, Callable[[Any], object]]
"""By the head of a column what its cell says of whatever a row is made from."""


def table_of(
    entries: Iterable[Any],
    cells: Cells,
    *,
    name: str,
    label: str,
    note: Words,
    title: str = "Numbers",
) -> Table:
    """A table that has a row for each entry, without the columns that say nothing in any row."""
    rows = [[_text(cell(entry)) for cell in cells.values()] for entry in entries]
    heads, told = _telling([*cells], rows)
    return Table(name=name, title=title, label=label, note=note, heads=heads, rows=told)


def _telling(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[Sequence[str], Rows]:
    """The first column, which names the rows, and those with a word or a number in any row."""
    kept = [
        place
        for place in range(len(heads))
        if not (place and rows and all(row[place] in SILENT for row in rows))
    ]
    return [heads[place] for place in kept], [[row[place] for place in kept] for row in rows]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure with the controls that choose what it shows."""

    name: str
    """Its name for `lip figure`; several sections may have figures of one name."""
    place: str
    """Where a page draws it, different from all other places."""
    label: str
    """What it shows, for those who cannot see it."""
    note: Words
    lines: int
    """How many lines its legend has: on a narrow screen it grows by that."""
    figure: go.Figure = field(default_factory=go.Figure, repr=False)
    """What is drawn, unless `draw` draws it."""
    controls: tuple[Choice, ...] = ()
    carded: bool = False
    """Whether the page's own card is shown at a mark, and not what Plotly says."""
    spoken: bool = False
    """Whether a script says above it in words what it shows."""
    draw: Callable[[Mapping[str, Any]], go.Figure] | None = field(default=None, repr=False)
    """What draws it anew for the values of its controls, where no menu of its own does."""
    rows: int = 0
    """How many rows it has one above the other, where its height follows from these."""
    paper: bool = False
    """Whether it is for files alone, since the page shows the same in its own way."""
    source: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
    """What a script of its own draws it from, where the page's script does not draw it."""

    def chosen(self, labels: Sequence[str | None]) -> go.Figure:
        """Without menus, showing these labels of its controls; else what is chosen at first."""
        if self.draw is None:
            return pressed(self.figure, self.controls, labels)
        found = zip_longest(self.controls, labels[: len(self.controls)])
        return self.draw({one.name: [*one.labels][one.place(label)] for one, label in found})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a figure says of one method, in a sentence, and how certain that is."""

    when: Mapping[str, str]
    """By field what is chosen where it is shown; "all" is chosen too."""
    words: Words
    certainty: Words
    colour: str
    """The colour of the method in the figure."""
    fit: object = None
    """The name of the card of a fit that it is about."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a figure is read for, before the figure; a page shows those of what is chosen."""

    title: str
    rows: Sequence[Answer]
    note: Words
    """What the sentences mean by their words."""


@dataclass(frozen=True, kw_only=True)
class Inspector:
    """Room beside a figure for the fit that is pointed at; only a page has it."""

    title: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A picture with its caption."""

    picture: int
    """Its place among the page's pictures, -1 where the page has none."""
    alt: str
    head: str
    line: str
    fit: object = None
    """The name of the card of its fit: the picture and the line are those of what is chosen."""


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Tiles in a row that wraps."""

    title: str
    tiles: Sequence[Tile]
    sheets: bool = False
    """Whether each picture is a sheet of many small ones."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Tiles in rows and columns, wider than the page where it has to be."""

    label: str
    rows: Sequence[Sequence[Tile]]

    @property
    def columns(self) -> int:
        """The length of the longest row."""
        return max(map(len, self.rows))


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Blocks that are folded away under a title."""

    title: str
    blocks: Sequence["Block"]
    unfolded: bool = False

    @property
    def pictured(self) -> bool:
        """Whether it holds pictures."""
        return any(
            block.pictured if isinstance(block, Fold) else isinstance(block, Strip | Grid)
            for block in self.blocks
        )


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures under a heading; only a page as a file shows them."""

    title: str
    of: str = ""
    """What is chosen of a fit, "step" or "result": the heading then says which."""
    blocks: Sequence["Strip | Grid | Fold"]


Block: TypeAlias = (
    Answers
    | Choice
    | Facts
    | Figure
    | Fold
    | Gallery
    | Grid
    | Heading
    | Inspector
    | Strip
    | Table
    | Text
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of a page under its own heading."""

    name: str
    """Its fragment in links."""
    title: str
    blocks: tuple[Block, ...]
    cards: Callable[[], Mapping[str, Any]] = dict
    """What the page shows of each fit at its marks and in its tiles, by the name of the fit."""
    neighbours: Callable[[], Mapping[str, Any]] = dict
    """What the page shows beside a fit's card, by the same names: see `Album.neighbours`."""
    sweeps: Callable[[], Mapping[str, str]] = dict
    """By trial the sweep file that runs it alone, of the cards that have one."""

    @property
    def figure(self) -> Figure | None:
        """The figure, where there is one."""
        return next((block for block in self.blocks if isinstance(block, Figure)), None)


def one_per(
    table: pd.DataFrame,
    column: str,
    name: str,
    blocks: Callable[[pd.DataFrame, str], Iterable[Block]],
    *,
    title: str = "{}",
) -> Iterator[Section]:
    """A section for each value of a column, of blocks made from its rows and its place."""
    for number, (value, rows) in enumerate(table.groupby(column, observed=True)):
        place = f"{name}-{number}"
        shown = tuple(blocks(rows, place))
        yield Section(name=f"of-{place}", title=title.format(value), blocks=shown)


def most_per(
    table: pd.DataFrame,
    column: str,
    name: str,
    blocks: Callable[[pd.DataFrame, int], Iterable[Block]],
    *,
    most: int,
    title: str,
    more: str,
) -> Iterator[Section]:
    """A section for each of the most frequent values of a column, at most so many; the first says
    how many `more` there are."""
    shown = most_frequent(table[column], most)
    left = table[column].nunique() - len(shown)
    table = table[table[column].isin(shown)]
    for number, (value, rows) in enumerate(table.groupby(column, observed=True)):
        said = [Text(more.format(left))] if left and not number else []
        yield Section(
            name=f"{name}-{number}",
            title=title.format(value),
            blocks=(*said, *blocks(rows, number)),
        )


def _is_said(text: str) -> bool:
    counted = COUNTED.search(text) is not None and not isinstance(text, Faint)
    return counted or (text[:1].isalpha() and text != "none")


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _kind(column: Sequence[str]) -> str:
    """Numbers are aligned to the right, on one line; words to the left, and long ones take several.
    Sentences take fewer lines than other long words, since their column is wider.

    `none` stands for a number, `2 seeds` for words.
    """
    words = [text for text in column if _is_said(text)]
    if not words:
        return ""
    longest = max(map(len, words))
    if longest <= LONGEST_NUMBER:
        return "word"
    return "said" if longest <= LONGEST_PHRASE else "said sentence"
