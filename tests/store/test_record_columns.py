"""Records mirror the tables that they are written to: fields and types, one by one."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from lip_ray.columns import (
    CHOICES,
    CURVES,
    FAILURES,
    LEVEL_KEY,
    LEVELS,
    MASKS,
    NETWORKS,
    PICTURES,
    RECONSTRUCTIONS,
    SCORES,
    TRIALS,
    WEIGHTS,
    Table,
)
from lip_ray.records import (
    ENDS,
    PARTS,
    Curve,
    FailureRecord,
    FullPicture,
    LayerMask,
    LevelRecord,
    Reconstruction,
    ScoreRecord,
    StepChoice,
    StoredTensor,
    TrialRecord,
)

KEY = {column.name for column in LEVEL_KEY}
PLACE = {"trial_id", "level", "position"}
ELSEWHERE = {"masks", "weights", "network", "curve", "choices", "reconstructions", "pictures"}
"""What a level's record has for other tables."""

MIRRORS: list[tuple[type, Table, set[str]]] = [
    (TrialRecord, TRIALS, set()),
    (LevelRecord, LEVELS, set()),
    (FailureRecord, FAILURES, set()),
    (ScoreRecord, SCORES, set()),
    (Curve, CURVES, KEY),
    (StepChoice, CHOICES, KEY),
    (Reconstruction, RECONSTRUCTIONS, KEY),
    (FullPicture, PICTURES, KEY),
    (LayerMask, MASKS, PLACE | {"within"}),
    (StoredTensor, WEIGHTS, PLACE),
    (StoredTensor, NETWORKS, PLACE),
]
"""A record, its table, and the columns that the writer adds."""

ARROW: Mapping[Any, set[str]] = {
    int: {"int32", "int64"},
    float: {"double", "float"},
    str: {"string"},
    bool: {"bool"},
    bytes: {"binary"},
    datetime: {"timestamp[us]"},
}


def arrow_types(hint: Any) -> set[str]:
    """The types of a column that values of a Python type fit into."""
    if get_origin(hint) in (Union, types.UnionType):
        return set().union(*(arrow_types(one) for one in get_args(hint) if one is not type(None)))
    if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return {"string"}
    if get_origin(hint) is tuple:
        return {f"list of {one}" for one in arrow_types(get_args(hint)[0])}
    return ARROW[hint]


def values_of(record: type) -> dict[str, Any]:
    """The Python types of a record's fields and properties, by name."""
    hints = get_type_hints(record)
    found = {field.name: hints[field.name] for field in fields(record)}
    for name, member in vars(record).items():
        if isinstance(member, property):
            found[name] = get_type_hints(member.fget)["return"]
    if record is TrialRecord:
        found |= facets_of(found.pop("facets"))
    return {name: hint for name, hint in found.items() if name not in ELSEWHERE}


def facets_of(hint: Any) -> dict[str, Any]:
    """The Python types of the columns that facets are stored in: three for a part."""
    [facets] = (one for one in get_args(hint) if one is not type(None))
    hints = get_type_hints(facets)
    parts = {f"{part}_{end}": str for part in PARTS for end in ENDS}
    return {name: hint for name, hint in hints.items() if name not in PARTS} | parts


def missing_edits(record: type, table: Table, added: set[str]) -> Iterator[str]:
    """What is to be done for a record and its table to agree."""
    has = values_of(record)
    columns = {column.name: column for column in table.stored if column.name not in added}
    for name in columns.keys() - has.keys():
        yield f"lip_ray/records.py: {record.__name__} lacks {name}, a column of {table.name}"
    for name in has.keys() - columns.keys():
        yield f"lip_ray/columns.py: {table.name} lacks {name}, which {record.__name__} has"
    for name in has.keys() & columns.keys():
        if columns[name].type not in arrow_types(has[name]):
            yield f"{record.__name__}.{name} does not fit into {columns[name].type}"


@pytest.mark.parametrize(
    ("record", "table", "added"), MIRRORS, ids=[table.name for _, table, _ in MIRRORS]
)
def test_a_record_has_the_columns_of_its_table(record: type, table: Table, added: set[str]) -> None:
    assert list(missing_edits(record, table, added)) == []


def test_the_missing_edit_is_named() -> None:
    assert list(missing_edits(LevelRecord, LEVELS, {"macs"})) == [
        "lip_ray/columns.py: levels lacks macs, which LevelRecord has"
    ]
    [missing] = missing_edits(StoredTensor, WEIGHTS, PLACE - {"position"})
    assert missing == "lip_ray/records.py: StoredTensor lacks position, a column of weights"
    [wrong] = missing_edits(ScoreRecord, POINTS_LIKE, set())
    assert wrong == "ScoreRecord.number does not fit into string"


POINTS_LIKE = Table(
    "scores",
    "",
    stored=tuple(
        column if column.name != "number" else type(column)("number", "string", "")
        for column in SCORES.stored
    ),
)
"""The table of scores with a column of another type."""
