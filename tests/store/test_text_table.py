"""Tables for people: whatever is in a cell, a row is a line, and it fits."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.store import Reader, as_table, for_people, rendered
from lip_ray.store.text_table import interval
from lip_ray.store_names import Format

FIRST = Path(__file__).parent / "first_version"

CELLS = {
    "interval 3 month": "3 months",
    "interval '-14 months 3 days -1.5 seconds'": "-1 year -2 months 3 days -00:00:01.5",
    "interval 0 day": "00:00:00",
    "[interval 1 day]": "[1 day]",
    "{'a': interval 90061 second}": "{a: 25:01:01}",
    "map {interval 1 day: 2}": "{1 day: 2}",
    "0.8 ** 10": "0.107374",
    "1e20::double": "1e+20",
    "'nan'::double": "nan",
    "null": "",
    "[1, null]": "[1, null]",
    "{'density': 0.8 ** 10}": "{density: 0.107}",
    r"'\x00\xff'::blob": "x'00ff'",
    "repeat('x', 500)::blob": "x'787878787878787878787878...' (500 bytes)",
    r"e'a\nb\tc\x1b[31m'": r"a\nb\tc\x1b[31m",
    "repeat('long ', 100)": "long " * 11 + "lo...",
    "99999999999999999999999999999999999999::hugeint": "9" * 38,
    "uhugeint '340282366920938463463374607431768211455'": "340282366920938463463374607431768211455",
    "'101'::bit": "101",
    "timetz '10:00:00+02'": "10:00:00+02",
    "union_value(k := 1)": "1",
    "'a'::enum('a', 'b')": "a",
    "time '10:00:00'": "10:00:00",
    "true": "True",
}


@pytest.mark.parametrize(("expression", "shown"), CELLS.items(), ids=CELLS)
def test_a_value_is_shown(expression: str, shown: str) -> None:
    result = Reader(FIRST).sql(f"select {expression} as v")
    head, line = rendered(result, "table").decode().splitlines()
    assert (head.strip(), line.strip()) == ("v", shown)


@pytest.mark.parametrize("expression", [*CELLS, "timestamp 'infinity'", "date '99999-01-01'"])
@pytest.mark.parametrize("form", ["table", "lines", "csv", "json", "parquet"])
def test_every_value_has_every_format(expression: str, form: Format) -> None:
    assert rendered(Reader(FIRST).sql(f"select {expression} as v"), form)


def test_densities_are_short_for_people_and_whole_for_programs() -> None:
    result = Reader(FIRST).sql("select 0.8 ** 10 as density, 0.8 ** 10 as effective_density")
    assert rendered(result, "table").split()[2:] == [b"0.107", b"0.107"]
    [row] = json.loads(rendered(result, "json"))
    assert set(row.values()) == {0.8**10} or all(abs(v - 0.8**10) < 1e-16 for v in row.values())
    assert b"0.1073741824000000" in rendered(result, "csv")


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    result = Reader(FIRST).sql("select 1 as n, 2 as n, 3 as n_1, 4 as n")
    assert rendered(result, "table").split()[4:] == [b"1", b"2", b"3", b"4"]
    assert json.loads(rendered(result, "json")) == [{"n": 1, "n_2": 2, "n_1": 3, "n_3": 4}]
    assert rendered(result, "csv").splitlines() == [b'"n","n_2","n_1","n_3"', b"1,2,3,4"]
    (tmp_path / "x.parquet").write_bytes(rendered(result, "parquet"))
    assert pq.read_table(tmp_path / "x.parquet").column_names == ["n", "n_2", "n_1", "n_3"]


def test_a_wide_table_fits_and_says_what_it_leaves_out() -> None:
    result = Reader(FIRST).sql("from trials")
    text, [note] = for_people(result, "table", width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert note.startswith("8 of ")
    assert "not shown: source_ids, travels" in note
    assert "--format lines" in note
    whole = for_people(result, "lines").text.splitlines()
    assert [line.split()[0] for line in whole[1:]] == result.column_names


def test_texts_give_way_before_columns_do() -> None:
    columns = [("name", ["x" * 60]), ("other", ["y" * 60]), ("n", [123456789])]
    text, notes = as_table(columns, width=60)
    assert not notes
    assert text.splitlines()[1] == f"{'x' * 20}...  {'y' * 20}...  123456789"


def test_the_first_of_many_rows() -> None:
    result = Reader(FIRST).sql("from range(1000)")
    text, [note] = for_people(result, "table", most_rows=3)
    assert text.split() == ["range", "0", "1", "2"]
    assert note == "the first 3 of 1,000 rows are shown: --rows 0 shows all"


HIDDEN = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of others, and ends of lines."""

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
NESTED = st.recursive(VALUES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.lists(st.tuples(st.text(), NESTED, NESTED), min_size=1), st.integers(1, 120))
def test_a_row_is_a_line_of_printable_characters(
    columns: list[tuple[str, Any, Any]], width: int
) -> None:
    given = [(name, [first, second]) for name, first, second in columns]
    text, _ = as_table(given, width=width)
    lines = text.split("\n")
    assert (len(lines), lines[-1]) == (4, "")
    assert not {unicodedata.category(one) for one in text.replace("\n", "")} & HIDDEN
    text.encode()


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-(2**62), 2**62))
def test_intervals_are_those_of_duckdb(months: int, days: int, nanoseconds: int) -> None:
    import duckdb

    micros = nanoseconds // 1000
    [(shown,)] = duckdb.execute(
        "select (to_months(?) + to_days(?) + to_microseconds(?))::varchar", [months, days, micros]
    ).fetchall()
    assert interval(months, days, micros * 1000) == shown
