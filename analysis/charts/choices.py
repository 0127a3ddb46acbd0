"""Figures that follow a choice: traces that refer to columns, for files and for a page's script.

A figure is described once, as Plotly's own dictionaries in which some values are references:

    {"column": name}                    the values of a column at the places that are drawn
    {"column": name, "by": field}       those of the column that the choice picks from several
    {"column": ..., "of": [...]}        the entries of a list that these values number
    {"rows": [reference, ...]}          one list of values per place
    {"gapped": [reference, ...]}        the values place after place, with a gap after each
    {"around": [reference, reference]}  those of the first, then those of the second backwards
    {"by": field, "of": {value: ...}}   what the choice picks

`Drawing.traces` and `resolved` follow them here, `choices.js` does on a page.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .style import numbers

Chosen = Mapping[str, str]
"""What is chosen, by the field that it is of."""

Values = np.ndarray[Any, np.dtype[Any]]
Places = Sequence[int] | Values

CROWD = "crowd"
"""The field that says whether the marks in view are `FEW` or `MANY`."""

FEW, MANY = "few", "many"


@dataclass(frozen=True, kw_only=True)
class Column:
    """Values that traces refer to by place."""

    values: Values
    decimals: int | None = None
    """The decimals that a page needs, for floats."""

    def at(self, places: Places) -> list[Any]:
        """The values at these places as JSON has them, None for a float that is not finite."""
        found = self.values[np.asarray(places, np.intp)]
        return numbers(found) if found.dtype.kind == "f" else found.tolist()

    def packed(self) -> Any:
        """All values for a page: as a list or, where few differ, as codes."""
        values = self._rounded() if self.values.dtype.kind == "f" else self.values.tolist()
        codes = {value: code for code, value in enumerate(dict.fromkeys(values))}
        if 2 * len(codes) > len(values):
            return values
        return {"codes": [codes[value] for value in values], "values": list(codes)}

    def _rounded(self) -> list[float | None]:
        """Whole numbers are without a point where there are no decimals."""
        found = numbers(np.round(self.values, self.decimals or 0))
        if self.decimals == 0:
            return [None if value is None else int(value) for value in found]
        return found


Columns = Mapping[str, Column | Mapping[str, Column]]
"""A column by name, or several by the value of a choice's field."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Places of a trace's columns, and the choices for which they are drawn."""

    when: Mapping[str, Sequence[str]]
    """By field the values for which they are drawn; a field that is missing here may have any."""
    places: Places

    def shown(self, choice: Chosen) -> bool:
        """Whether this piece is drawn for a choice."""
        return all(choice[field] in values for field, values in self.when.items())


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A trace of Plotly with references, drawn where any of its pieces is."""

    template: Mapping[str, Any]
    pieces: Sequence[Piece]

    @property
    def crowding(self) -> bool:
        """Whether it is of the marks that are drawn otherwise where there are many."""
        kind = self.template["type"]
        return isinstance(kind, Mapping) and kind["by"] == CROWD

    def places(self, choice: Chosen) -> Values | None:
        """All that are drawn for a choice, of all pieces; None where no piece is."""
        shown = [np.asarray(piece.places, np.intp) for piece in self.pieces if piece.shown(choice)]
        return np.concatenate(shown) if shown else None


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """All traces that there could be, in the order in which they are drawn."""

    traces: Sequence[Trace]
    columns: Columns
    most: int
    """Marks in view beyond which they are many."""

    @property
    def crowd(self) -> int:
        """Marks in view where all are."""
        own = (trace for trace in self.traces if trace.crowding)
        return sum(len(piece.places) for trace in own for piece in trace.pieces)

    def drawn(self, choice: Chosen) -> Iterator[dict[str, Any]]:
        """Plotly's traces for a choice."""
        found = ((trace, trace.places(choice)) for trace in self.traces)
        shown = [(trace, own) for trace, own in found if own is not None]
        marks = sum(len(own) for trace, own in shown if trace.crowding)
        choice = {**choice, CROWD: MANY if marks > self.most else FEW}
        for trace, own in shown:
            yield resolved(trace.template, choice, self.columns, own)


def resolved(node: Any, choice: Chosen, columns: Columns, places: Places = ()) -> Any:
    """A description as Plotly takes it: all references followed."""

    def inner(part: Any) -> Any:
        return resolved(part, choice, columns, places)

    match node:
        case {"column": name, **more}:
            column = columns[name]
            own = column if isinstance(column, Column) else column[choice[str(more["by"])]]
            found = own.at(places)
            return [inner(more["of"])[value] for value in found] if "of" in more else found
        case {"rows": parts}:
            return [list(row) for row in zip(*map(inner, parts), strict=True)]
        case {"gapped": parts}:
            rows = zip(*map(inner, parts), strict=True)
            return [value for row in rows for value in (*row, None)]
        case {"around": [there, back]}:
            return [*inner(there), *reversed(inner(back))]
        case {"by": field, "of": options}:
            return inner(options[choice[field]])
        case dict():
            return {name: inner(part) for name, part in node.items()}
        case _:
            return node


def column(name: str, by: str | None = None, of: Any = None) -> dict[str, Any]:
    """A reference to a column, or to the entries of a list that its values number."""
    found = {"column": name, "by": by, "of": of}
    return {key: value for key, value in found.items() if value is not None}


def chosen(by: str, of: Mapping[str, Any]) -> dict[str, Any]:
    """A reference to what a choice picks."""
    return {"by": by, "of": dict(of)}


def crowded(few: Any, many: Any) -> dict[str, Any]:
    """A reference to the first unless there are many marks in view."""
    return chosen(CROWD, {FEW: few, MANY: many})


def packed_columns(columns: Columns) -> dict[str, Any]:
    """The columns for a page."""
    return {
        name: own.packed()
        if isinstance(own, Column)
        else {value: one.packed() for value, one in own.items()}
        for name, own in columns.items()
    }


class Packing:
    """Traces of many drawings for a page, which has each template and each condition once."""

    def __init__(self) -> None:
        self.templates: list[Any] = []
        self.conditions: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def traces(self, traces: Iterable[Trace]) -> list[list[Any]]:
        """A list per trace: the place of its template, then a list per piece.

        That has the place of its condition, then for each run of places its first and its length.
        """
        return [
            [
                self._place(id(trace.template), trace.template, self.templates),
                *([self._condition(one.when), *_runs(one.places)] for one in trace.pieces),
            ]
            for trace in traces
        ]  # fmt: skip

    def _condition(self, when: Mapping[str, Sequence[str]]) -> int:
        key = tuple((field, *values) for field, values in when.items())
        return self._place(key, when, self.conditions)

    def _place(self, key: Hashable, part: Any, parts: list[Any]) -> int:
        if key not in self._places:
            self._places[key] = len(parts)
            parts.append(part)
        return self._places[key]


def _runs(places: Places) -> list[int]:
    """Ends and lengths of the runs in which each place is one more than that before it."""
    own = np.asarray(places, np.intp)
    if not len(own):
        return []
    starts = np.flatnonzero(np.diff(own, prepend=own[0] - 2) != 1)
    lengths = np.diff(starts, append=len(own))
    return np.column_stack([own[starts], lengths]).ravel().tolist()
