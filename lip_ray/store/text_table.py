"""Rows as a table that people read: short numbers, one line per row, as wide as their terminal."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pyarrow as pa

from lip_ray.errors import one_line

CELL = 60
"""The widest cell, in characters: longer ones are cut short."""

NARROWEST = 12
"""The width that a terminal can take a cell of text down to; others are never cut."""

GAP = "  "
CUT = "..."

DIGITS, DENSITY_DIGITS = 6, 3
"""As people write numbers; programs get all digits."""

MOST_BYTES = 12
"""The bytes of a blob that are shown."""

MOST_NAMED = 8
"""The names of left-out columns that a note lists."""

ADVICE = "select them, or use --format lines, or --width 0"

Columns = Sequence[tuple[str, Sequence[Any]]]
"""Names, which need not differ, with Python's values."""


class TextTable(NamedTuple):
    """A table in characters, and what it does not show."""

    text: str
    notes: tuple[str, ...]


class _Column(NamedTuple):
    name: str
    cells: Sequence[str]
    textual: bool
    """Whether the cells may be cut."""
    width: int


def as_table(
    columns: Columns, *, width: int | None = None, digits: int = DIGITS, advice: str = ADVICE
) -> TextTable:
    """Aligned columns; with a width, texts are cut and last columns left out where need be.

    Numbers are never cut. `advice` says how to see the columns that are left out.
    """
    made = [_column(name, values, digits) for name, values in columns]
    fitting = made if width is None else _fitted(made, width)
    lines = zip(*map(_aligned, fitting), strict=True)
    notes = []
    if len(fitting) < len(made):
        left_out = [column.name for column in made[len(fitting) :]]
        more = len(left_out) - MOST_NAMED
        named = ", ".join(left_out[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        notes.append(
            f"{len(fitting)} of {len(made)} columns fit into {width} characters; not shown: "
            f"{named}: {advice}"
        )
    return TextTable("".join(f"{GAP.join(line)}\n" for line in lines), tuple(notes))


def as_lines(columns: Columns) -> TextTable:
    """Every value on a line of its own beside the name of its column, none cut."""
    rows = len(columns[0][1]) if columns else 0
    longest = max((_width(one_line(name)) for name, _ in columns), default=0)
    lines = []
    for row in range(rows):
        lines += [f"-- row {row + 1:,} --"]
        for name, values in columns:
            head = _padded(one_line(name), longest, left=True)
            lines.append(f"{head}{GAP}{text_of(values[row], name)}".rstrip())
    return TextTable("".join(f"{line}\n" for line in lines), ())


def text_of(value: Any, name: str = "", digits: int = DIGITS) -> str:
    """A value in one line: densities to three digits, other numbers to six, nothing for null."""
    match value:
        case None:
            return ""
        case str():
            return one_line(value)
        case float():
            return f"{value:.{DENSITY_DIGITS if 'density' in name else digits}g}"
        case bool() | int():
            return str(value)
        case Decimal():
            return f"{value:f}"
        case bytes():
            return _blob(value)
        case timedelta():
            return interval(0, 0, round(value / timedelta(microseconds=1)) * 1000)
        case pa.MonthDayNano():
            return interval(*value)
        case Mapping():
            inside = (f"{text_of(k)}: {_nested(v, str(k), digits)}" for k, v in value.items())
            return f"{{{', '.join(inside)}}}"
        case list() | tuple():
            return f"[{', '.join(_nested(item, name, digits) for item in value)}]"
    return one_line(str(value))


def interval(months: int, days: int, nanoseconds: int) -> str:
    """As DuckDB writes one: 1 year 2 months 3 days 04:05:06.5."""
    years, months = int(months / 12), months - 12 * int(months / 12)
    counts = (years, "year"), (months, "month"), (days, "day")
    words = [f"{count} {unit}{'s' * (abs(count) != 1)}" for count, unit in counts if count]
    if nanoseconds or not words:
        seconds, fraction = divmod(abs(nanoseconds), 10**9)
        minutes, seconds = divmod(seconds, 60)
        clock = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
        parts = f".{fraction:09}".rstrip("0") if fraction else ""
        words.append(f"{'-' if nanoseconds < 0 else ''}{clock}{parts}")
    return " ".join(words)


def _nested(value: Any, name: str, digits: int) -> str:
    return "null" if value is None else text_of(value, name, digits)


def _blob(value: bytes) -> str:
    if len(value) <= MOST_BYTES:
        return f"x'{value.hex()}'"
    return f"x'{value[:MOST_BYTES].hex()}{CUT}' ({len(value):,} bytes)"


def _column(name: str, values: Sequence[Any], digits: int) -> _Column:
    textual = any(isinstance(value, str | bytes | list | tuple | Mapping) for value in values)
    cells = [_cut(text_of(value, name, digits), CELL) for value in values]
    return _made(one_line(name), cells, textual=textual)


def _made(name: str, cells: Sequence[str], *, textual: bool) -> _Column:
    return _Column(name, cells, textual, max(_width(name), max(map(_width, cells), default=0)))


def _fitted(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The columns with texts cut as needed, and without the last ones where that is too little."""
    kept = list(columns)
    while len(kept) > 1 and _total([_least(column) for column in kept]) > width:
        kept.pop()
    for most in range(CELL, NARROWEST - 1, -1):
        widths = [min(column.width, max(most, _least(column))) for column in kept]
        if _total(widths) <= width:
            break
    return [_narrowed(column, most) for column, most in zip(kept, widths, strict=True)]


def _narrowed(column: _Column, width: int) -> _Column:
    if column.width <= width:
        return column
    cells = [_cut(cell, width) for cell in column.cells]
    return _made(_cut(column.name, width), cells, textual=True)


def _least(column: _Column) -> int:
    return min(column.width, NARROWEST) if column.textual else column.width


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _aligned(column: _Column) -> list[str]:
    return [_padded(cell, column.width) for cell in (column.name, *column.cells)]


def _padded(text: str, width: int, *, left: bool = False) -> str:
    blank = " " * (width - _width(text))
    return f"{text}{blank}" if left else f"{blank}{text}"


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    kept = text[: width - len(CUT)]
    while _width(kept) > width - len(CUT):
        kept = kept[:-1]
    return f"{kept}{CUT}"


def _width(text: str) -> int:
    """The places that a terminal gives a text."""
    if text.isascii():
        return len(text)
    return sum(map(_places, text))


def _places(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
