"""Every column is described: those of all tables and views, and no others."""

from pathlib import Path

import pytest

from lip_ray.store import QueryError, described
from lip_ray.store.columns import ABOUT, OWN, SHARED, meaning
from lip_ray.store.views import schemas

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tables.md"


@pytest.fixture(scope="module")
def columns() -> dict[str, list[str]]:
    """By table or view."""
    return {table: schema.names for table, schema in schemas().items()}


def test_every_table_and_view_is_described(columns: dict[str, list[str]]) -> None:
    assert set(ABOUT) == set(OWN) == set(columns)


@pytest.mark.parametrize("table", ABOUT)
def test_every_column_has_a_meaning(table: str, columns: dict[str, list[str]]) -> None:
    assert all(meaning(table, column) for column in columns[table])


@pytest.mark.parametrize("table", ABOUT)
def test_nothing_is_described_that_is_not_there(table: str, columns: dict[str, list[str]]) -> None:
    assert set(OWN[table]) <= set(columns[table])


def test_what_is_shared_is_used(columns: dict[str, list[str]]) -> None:
    used = {n for table, names in columns.items() for n in names if n not in OWN[table]}
    assert set(SHARED) == used


def test_decibels_and_seconds_say_so(columns: dict[str, list[str]]) -> None:
    for table, names in columns.items():
        for name in names:
            assert not name.endswith("_db") or "dB" in meaning(table, name), name
            assert not name.endswith("_s") or "seconds" in meaning(table, name), name


def test_the_page_is_todays() -> None:
    assert PAGE.read_text(encoding="utf-8") == described()


def test_one_table_alone() -> None:
    assert described("matching").count("\n## ") == 1


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(QueryError, match="no table 'levls'; did you mean 'levels'"):
        described("levls")
