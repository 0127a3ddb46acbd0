"""Query results survive the trip into other programs."""

import base64
import csv
import io
import json
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.store import rendered


@pytest.fixture
def result() -> pa.Table:
    """One column of every type that a query over the store can give, and a row of nulls."""
    return pa.table(
        {
            "whole": pa.array([3, None], pa.int64()),
            "real": pa.array([27.25, float("nan")], pa.float64()),
            "text": pa.array(['a "b", c\nd', None], pa.string()),
            "bits": pa.array([b"\x00\xff", None], pa.binary()),
            "steps": pa.array([[0, 3], None], pa.list_(pa.int32())),
            "at": pa.array([datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("us")),
            "sum": pa.array([Decimal(10**20), None], pa.decimal128(38, 0)),
            "yes": pa.array([True, None], pa.bool_()),
        }
    )


def test_json_is_a_list_of_objects_without_nan(result: pa.Table) -> None:
    first, nulls = json.loads(rendered(result, "json"), parse_constant=pytest.fail)
    assert first == {
        "whole": 3,
        "real": 27.25,
        "text": 'a "b", c\nd',
        "bits": base64.b64encode(b"\x00\xff").decode(),
        "steps": [0, 3],
        "at": "2026-01-02 03:04:05",
        "sum": 10**20,
        "yes": True,
    }
    assert set(nulls.values()) == {None}


def test_csv_has_one_cell_a_value(result: pa.Table) -> None:
    head, first, nulls = csv.reader(io.StringIO(rendered(result, "csv").decode()))
    assert head == result.column_names
    assert first[:2] == ["3", "27.25"]
    assert first[2] == 'a "b", c\nd'
    assert json.loads(first[4]) == [0, 3]
    assert nulls[0] == nulls[2] == nulls[4] == ""


def test_parquet_is_the_result_itself(result: pa.Table) -> None:
    assert pq.read_table(io.BytesIO(rendered(result, "parquet"))).equals(
        result, check_metadata=False
    ) or pq.read_table(io.BytesIO(rendered(result, "parquet"))).schema.equals(result.schema)


def test_a_table_is_aligned_and_keeps_whole_numbers_whole(result: pa.Table) -> None:
    lines = rendered(result.select(["whole", "real"]), "table").decode().splitlines()
    assert [line.split() for line in lines[:2]] == [["whole", "real"], ["3", "27.25"]]
    assert len({len(line) for line in lines[:2]}) == 1


def test_many_wide_columns_are_not_cut() -> None:
    wide = pa.table({f"column_{i}": ["x" * 50] for i in range(30)})
    text = rendered(wide, "table").decode()
    assert text.count("x" * 50) == 30


def test_what_is_not_there_is_blank(result: pa.Table) -> None:
    nulls = result.drop_columns(["real"])
    *_, last = rendered(nulls, "table").decode().splitlines()
    assert last.strip() == ""


@pytest.mark.parametrize("form", ["table", "csv", "json", "parquet"])
def test_no_rows_are_still_a_result(form: str) -> None:
    nothing = pa.table({"a": pa.array([], pa.int64())})
    content = rendered(nothing, form)  # type: ignore[arg-type]
    assert content == b"[]\n" if form == "json" else b"a" in content
