"""What a notebook gets of a store."""

import re
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lip_ray import open_store
from lip_ray.analysis.tabled import TABLES
from lip_ray.errors import UserError
from lip_ray.records import PointRecord, SweepRecord
from lip_ray.results import Results
from lip_ray.store import QueryError, StoreError, Writer

FIRST = Path(__file__).parent / "store" / "first_version"
TRIAL = "b6f43e67e912a542"


@pytest.fixture(scope="module")
def results() -> Results:
    """One trajectory of three levels."""
    return open_store(FIRST)


def test_tables_are_frames(results: Results) -> None:
    assert results.trials()["trial_id"].tolist() == [TRIAL]
    assert sorted(results.levels()["level"]) == [0, 1, 2]
    assert len(results.table("frontier")) == 3


def test_sql_answers_in_pandas_or_arrow(results: Results) -> None:
    query = "select level, kept from levels order by level"
    frame, rows = results.sql(query), results.arrow(query)
    assert rows.to_pandas().equals(frame)
    assert rows["kept"].to_pylist() == [828, 414, 207]


@pytest.mark.parametrize("level", [0, 1, 2])
def test_masks_are_arrays_in_the_layers_shapes(results: Results, level: int) -> None:
    masks = results.masks(TRIAL, level)
    rows = results.sql(f"from masks where level = {level} order by position")
    assert list(masks) == rows["layer"].tolist()
    for mask, shape, kept in zip(masks.values(), rows["shape"], rows["kept"], strict=True):
        assert mask.dtype == np.bool_
        assert mask.shape == tuple(shape)
        assert mask.sum() == kept


def test_pictures_are_arrays(results: Results) -> None:
    clean = results.picture(TRIAL, 0, "camera", "clean")
    restored = results.picture(TRIAL, 2, "camera")
    assert clean.shape[:2] == restored.shape[:2] == (16, 16)
    assert clean.dtype == np.uint8


def test_what_is_not_there_is_said(results: Results, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no mask of level 9 of trial 'b6f43e67e912a542'"):
        results.masks(TRIAL, 9)
    with pytest.raises(StoreError, match="no picture 'clean' of 'camera' at level 2"):
        results.picture(TRIAL, 2, "camera", "clean")
    with pytest.raises(QueryError, match="levels"):
        results.table("level")
    with pytest.raises(QueryError, match="read only"):
        results.sql("delete from levels")
    with pytest.raises(StoreError, match="there is no store in"):
        open_store(tmp_path)


class TestAnalysis:
    def test_a_figure_in_three_lines(self, results: Results) -> None:
        figure = results.figure("frontier", which="peak")
        assert "peak" in figure.layout.yaxis.title.text.lower()
        assert figure != results.figure("frontier", which="final")

    def test_rows_have_kinds_where_figures_have_names_for_people(self, results: Results) -> None:
        figure = results.figure("frontier")
        assert any("IMP (magnitude)" in (trace.name or "") for trace in figure.data)
        for name in ("frontier_table", "matching_table", "frontier_points", "summary_table"):
            assert set(results.table(name)["method"]) <= {"dense", "magnitude"}, name
        assert set(results.table("trials")["pruner"]) == {"magnitude"}

    def test_what_the_page_does_not_have_is_one_line(self, results: Results) -> None:
        for wrong in ({"name": "frontire"}, {"which": "best"}, {"part": 9}, {"choose": ["x"]}):
            with pytest.raises(UserError) as raised:
                results.figure(**{"name": "frontier", **wrong})
            assert str(raised.value).count("\n") == 0

    def test_tables_of_analysis_take_their_settings(self, results: Results) -> None:
        assert set(results.table("frontier_table")["which"]) == {"selected", "peak", "final"}
        dense = results.table("matching_table", margin_db=0.5)
        assert len(dense) == 1
        with pytest.raises(QueryError, match="takes no settings"):
            results.table("levels", margin_db=0.5)
        with pytest.raises(QueryError, match="did you mean 'matching_table'"):
            results.table("maching_table")
        with pytest.raises(UserError, match="no search has drawn a point"):
            results.table("front_table")

    @pytest.mark.parametrize("name", TABLES)
    def test_each_table_is_made_or_says_what_is_missing(self, results: Results, name: str) -> None:
        settings = {"first": "magnitude", "second": "random"} if name == "comparison_table" else {}
        with suppress(ValueError):
            assert isinstance(results.table(name, **settings), pd.DataFrame)

    def test_a_page(self, results: Results, tmp_path: Path) -> None:
        assert results.report(tmp_path / "page.html") == tmp_path / "page.html"
        assert 'id="data"' in (tmp_path / "page.html").read_text(encoding="utf-8")


class TestRepr:
    def test_it_says_what_there_is(self, results: Results) -> None:
        lines = repr(results).splitlines()
        assert lines[0] == f"{FIRST}: 1 trial, 3 fits"
        said = dict(line.split(maxsplit=1) for line in lines[1:])
        assert said["sweeps"].endswith("(1 of 2 trials done)")
        assert said["images"] == "camera"
        assert said["methods"] == "magnitude"
        for word in ("camera", "magnitude", "1 of 2 trials done"):
            assert word in results._repr_html_()

    def test_names_are_text(self, tmp_path: Path) -> None:
        hostile = "<img src=x onerror=alert(1)>\x1b[2J\n"
        store = Writer.open(tmp_path)
        for number in range(12):
            record = PointRecord(
                search="s", search_id="i", number=number, params="{}", objectives="[]",
                trial_ids=("t",), kinds=("trajectory",), specs=("{}",), levels=(1,),
                lip_ray_version="0", asked_at=datetime(2026, 1, 1),
            )  # fmt: skip
            store.write_point(record)
        store.write_sweep(
            SweepRecord(
                sweep=hostile,
                sweep_id="i",
                trial_ids=("t",),
                kinds=("trajectory",),
                specs=("{}",),
                levels=(1,),
                lip_ray_version="0",
                requested_at=datetime(2026, 1, 1),
            )
        )
        shown = open_store(tmp_path)
        assert "<img" not in shown._repr_html_()
        assert "&lt;img" in shown._repr_html_()
        assert "\x1b" not in repr(shown)
        assert len(repr(shown).splitlines()) == 6

    def test_a_store_that_is_away_says_so(self, tmp_path: Path) -> None:
        store = shutil.copytree(FIRST, tmp_path / "store")
        shown = open_store(store)
        shutil.rmtree(store)
        assert "store" in repr(shown)
        assert shown._repr_html_()


def test_the_notebook_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "analysis.md").read_text(encoding="utf-8")
    [notebook] = re.findall(r"```python\n(import lip_ray\n.*?)```", page, re.DOTALL)
    shutil.copytree(FIRST, tmp_path / "results" / "quickstart")
    monkeypatch.chdir(tmp_path)
    exec(compile(notebook, "docs/analysis.md", "exec"), {})
    assert (tmp_path / "page.html").exists()


def test_a_sound_store_has_no_damaged_files(results: Results) -> None:
    results.levels()
    assert results.damaged == ()


def test_the_package_itself_stays_light() -> None:
    found = "[m for m in ('pandas', 'duckdb', 'plotly', 'torch', 'ray') if m in sys.modules]"
    heavy = f"import lip_ray, sys; print({found})"
    shown = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"
