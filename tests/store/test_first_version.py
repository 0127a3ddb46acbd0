"""Stores of old stay readable: one that the first version of the layout wrote."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lip_ray.analysis import frontier_report
from lip_ray.columns import REGISTRY
from lip_ray.records import LevelRecord
from lip_ray.store import Reader, Writer, check, compact
from lip_ray.store.schema import VERSION

FIRST = Path(__file__).parent / "first_version"
TRIAL = "b6f43e67e912a542"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A copy to write to."""
    return shutil.copytree(FIRST, tmp_path / "first")


def test_it_is_of_the_first_version() -> None:
    assert json.loads((FIRST / "lip-ray-store.json").read_text()) == {"schema_version": 1}


@pytest.mark.parametrize("table", REGISTRY)
def test_every_table_and_view_is_there(table: str) -> None:
    Reader(FIRST).sql(f"from {table}")


def test_its_rows_are_what_they_were() -> None:
    asked = "select level, kept, total, round(psnr_selected_db, 3) as db, macs from levels"
    rows = Reader(FIRST).sql(f"{asked} order by level").to_pylist()
    assert rows == [
        {"level": 0, "kept": 828, "total": 828, "db": 11.164, "macs": None},
        {"level": 1, "kept": 414, "total": 828, "db": 13.287, "macs": None},
        {"level": 2, "kept": 207, "total": 828, "db": 9.423, "macs": None},
    ]
    assert Reader(FIRST).levels_done() == {TRIAL: 3}


def test_its_masks_decode_to_their_counts() -> None:
    reader = Reader(FIRST)
    kept = [sum(layer.kept for layer in reader.masks(TRIAL, level) or ()) for level in range(3)]
    assert kept == [828, 414, 207]


def test_its_page_can_be_made() -> None:
    assert "magnitude" in frontier_report(Reader(FIRST))


def test_it_can_be_written_on(first: Path, level_record: Callable[..., LevelRecord]) -> None:
    assert Writer.open(first).write_level([level_record(TRIAL, 3, masks={})])
    assert Reader(first).levels_done() == {TRIAL: 4}
    assert Reader(first).sql("select count(*) as n from levels").to_pylist() == [{"n": 4}]


def test_compacted_it_is_of_todays_version(first: Path) -> None:
    """A lip-ray that knows no parts would find it empty."""
    before = Reader(first).sql("from levels order by level")
    compact(first, grace_s=0)
    said = json.loads((first / "lip-ray-store.json").read_text())
    assert said == {"schema_version": VERSION}
    assert Reader(first).sql("from levels order by level") == before
    assert check(first).problems == ()
