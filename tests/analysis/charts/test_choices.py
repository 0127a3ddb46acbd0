"""Descriptions of figures that follow a choice, resolved."""

import math

import numpy as np
import pytest

from lip_ray.analysis.charts.choices import (
    Column,
    Drawing,
    Packing,
    Piece,
    Trace,
    chosen,
    column,
    crowded,
    packed_columns,
    resolved,
)

COLUMNS = {
    "cost": {
        "size": Column(values=np.array([3.0, 2.0, math.nan]), decimals=0),
        "time": Column(values=np.array([0.125, 0.25, 0.5]), decimals=2),
    },
    "name": Column(values=np.array(["a", "b", "a"], object)),
    "kind": Column(values=np.array([0, 1, 0])),
}


def test_references_pick_the_chosen_column_at_the_places() -> None:
    node = {"x": column("cost", by="axis"), "text": column("name"), "mode": "markers"}
    found = resolved(node, {"axis": "size"}, COLUMNS, [2, 0])
    assert found == {"x": [None, 3.0], "text": ["a", "a"], "mode": "markers"}


def test_values_number_the_entries_of_a_list() -> None:
    labels = chosen("axis", {"size": ["few", "many"], "time": ["short", "long"]})
    found = resolved(column("kind", of=labels), {"axis": "time"}, COLUMNS, [0, 1, 2])
    assert found == ["short", "long", "short"]


def test_rows_and_gaps_join_columns() -> None:
    parts = [column("name"), column("kind")]
    assert resolved({"rows": parts}, {}, COLUMNS, [1, 2]) == [["b", 1], ["a", 0]]
    assert resolved({"gapped": parts}, {}, COLUMNS, [1, 2]) == ["b", 1, None, "a", 0, None]


def drawing(most: int) -> Drawing:
    """Marks of two pieces, and a line that one method alone has."""
    marks = {"type": crowded(few="scatter", many="scattergl"), "text": column("name")}
    pieces = [
        Piece(when={"method": ["all", "a"]}, places=[0, 2]),
        Piece(when={"method": ["all", "b"]}, places=[1]),
    ]
    line = Trace(template={"type": "scatter"}, pieces=[Piece(when={"method": ["b"]}, places=[])])
    return Drawing(traces=[Trace(template=marks, pieces=pieces), line], columns=COLUMNS, most=most)


@pytest.mark.parametrize(
    ("method", "texts"), [("all", [["a", "a", "b"]]), ("a", [["a", "a"]]), ("b", [["b"], None])]
)
def test_a_trace_is_drawn_of_the_pieces_that_are_shown(
    method: str, texts: list[list[str] | None]
) -> None:
    drawn = list(drawing(most=9).drawn({"method": method}))
    assert [trace.get("text") for trace in drawn] == texts


@pytest.mark.parametrize(("method", "kind"), [("all", "scattergl"), ("a", "scatter")])
def test_many_marks_in_view_are_drawn_otherwise(method: str, kind: str) -> None:
    first, *_ = drawing(most=2).drawn({"method": method})
    assert first["type"] == kind
    assert drawing(most=2).crowd == 3


def test_a_page_has_rounded_columns_and_codes_where_few_values_differ() -> None:
    found = packed_columns(COLUMNS)
    assert found["cost"] == {"size": [3, 2, None], "time": [0.12, 0.25, 0.5]}
    values = Column(values=np.array(["x", "y", "x", "x"], object)).packed()
    assert values == {"codes": [0, 1, 0, 0], "values": ["x", "y"]}


def test_a_page_has_each_template_once_and_places_as_runs() -> None:
    template, when = {"type": "scatter"}, {"method": ["a"]}
    packing = Packing()
    traces = [
        Trace(template=template, pieces=[Piece(when=when, places=places)])
        for places in ([4, 5, 6, 2], [], [1])
    ]
    assert packing.traces(traces) == [[0, [0, 4, 3, 2, 1]], [0, [0]], [0, [0, 1, 1]]]
    assert (packing.templates, packing.conditions) == ([template], [when])
