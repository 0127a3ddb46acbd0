"""The registry of columns: what queries see, what is said of it, and what derives from it."""

import re
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lip_ray.analysis.charts.style import AXIS_TITLES
from lip_ray.analysis.parts.search.table import WORDS
from lip_ray.columns import (
    LEVELS,
    MEBIBYTE,
    OBJECTIVES,
    REGISTRY,
    UNITS,
    VERSION,
    Table,
)
from lip_ray.store import QueryError, described, schema
from lip_ray.store.schema import TABLES
from lip_ray.store.views import schemas
from lip_ray.sweep.search import Column as Searchable

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tables.md"
FIRST = Path(__file__).parent / "first_version"
SUFFIXES = {"_db": "dB", "_s": "s", "_mb": "MiB"}
"""Units in names."""

COLUMNS = [(table, column) for table in REGISTRY.values() for column in table.columns]


@pytest.fixture(scope="module")
def seen() -> dict[str, pa.Schema]:
    """What queries see, by table or view."""
    return schemas()


def type_name(kind: pa.DataType) -> str:
    """As the registry writes it."""
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


class TestTheRegistry:
    def test_its_tables_are_those_that_queries_see(self, seen: dict[str, pa.Schema]) -> None:
        assert set(REGISTRY) == set(seen)

    @pytest.mark.parametrize("table", REGISTRY.values(), ids=list(REGISTRY))
    def test_its_columns_are_those_that_queries_see(
        self, table: Table, seen: dict[str, pa.Schema]
    ) -> None:
        registered = [(column.name, column.type) for column in table.columns]
        actual = [(field.name, type_name(field.type)) for field in seen[table.name]]
        assert actual == registered, f"lip_ray/columns.py and the view {table.name} disagree"

    def test_a_name_is_there_once_and_is_found(self) -> None:
        for table, column in COLUMNS:
            assert table[column.name] is column
            assert [other.name for other in table.columns].count(column.name) == 1

    def test_a_name_that_is_not_there(self) -> None:
        with pytest.raises(KeyError, match="levls"):
            LEVELS["levls"]

    def test_names_and_meanings_say_the_unit(self) -> None:
        for table, column in COLUMNS:
            suffix = re.search("(_db|_s|_mb)$", column.name)
            unit = SUFFIXES[suffix[0]] if suffix else ""
            assert column.unit == unit, (table.name, column.name)
            assert column.meaning
            assert UNITS.get(column.unit, "") in column.meaning, (table.name, column.name)

    def test_one_name_has_one_unit_and_type_and_title(self) -> None:
        """Lists apart, a table's column may mean something else than its namesake, not look so."""
        own = [c for t in REGISTRY.values() for c in t.columns if not c.type.startswith("list")]
        by_name = sorted(own, key=lambda column: column.name)
        assert [
            (one.name, one.type, other.type)
            for one, other in pairwise(by_name)
            if one.name == other.name
            and one.name != "values"
            and (one.type, one.unit, one.title) != (other.type, other.unit, other.title)
        ] == []


class TestVersions:
    def test_the_store_is_of_the_latest(self) -> None:
        assert schema.VERSION == VERSION == 10

    def test_a_store_of_the_first_has_the_columns_that_are_as_old(self) -> None:
        for path in FIRST.glob("*/*.parquet"):
            table = REGISTRY[path.parent.name]
            assert table.since == 1
            oldest = [column.name for column in table.stored if column.since == 1]
            assert pq.read_schema(path).names == oldest, path.name


class TestWhatDerives:
    def test_schemas_of_files(self) -> None:
        assert list(TABLES) == [name for name, table in REGISTRY.items() if table.stored]
        for name, stored in TABLES.items():
            found = [(field.name, type_name(field.type)) for field in stored]
            assert found == [(column.name, column.type) for column in REGISTRY[name].stored]

    def test_the_page_is_todays(self) -> None:
        assert PAGE.read_text(encoding="utf-8") == described()

    def test_one_table_alone(self) -> None:
        assert described("matching").count("\n## ") == 1

    def test_a_wrong_name_gets_the_nearest(self) -> None:
        with pytest.raises(QueryError, match="no table 'levls'; did you mean 'levels'"):
            described("levls")

    def test_objectives_of_searches_have_words_for_an_axis(self) -> None:
        assert get_args(Searchable) == OBJECTIVES == tuple(WORDS)
        for name, words in WORDS.items():
            assert words == LEVELS[name].axis_title
            assert LEVELS[name].title, f"lip_ray/columns.py has no title for {name}"

    def test_titles_of_psnr_axes(self) -> None:
        assert AXIS_TITLES["peak"] == "Peak PSNR over the fit, an oracle (dB)"


class TestMemory:
    """It is in 2²⁰ bytes, and everything that shows it says so."""

    @pytest.mark.parametrize("table", ["levels", "timings"])
    def test_in_tables(self, table: str) -> None:
        column = REGISTRY[table]["memory_mb"]
        assert column.unit == "MiB"
        assert "2²⁰ bytes" in column.meaning
        assert MEBIBYTE == 2**20

    def test_on_an_axis(self) -> None:
        assert WORDS["memory_mb"] == "peak memory (MiB)"
