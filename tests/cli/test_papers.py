"""Commands for papers: tables of the page, what to cite, and one sweep of a store."""

import csv
import io
import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lip_ray.cli import app
from lip_ray.records import SweepRecord
from lip_ray.store import Writer

FIRST = Path(__file__).parents[1] / "store" / "first_version"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a store of one trial with three levels, that a second sweep did not ask for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    found = shutil.copytree(FIRST, tmp_path / "store")
    Writer.open(found).write_sweep(
        SweepRecord(
            sweep="other",
            sweep_id="2" * 16,
            trial_ids=("0" * 16,),
            kinds=("trajectory",),
            specs=("{}",),
            levels=(1,),
            lip_ray_version="1",
            requested_at=datetime(2026, 1, 1),
        )
    )
    return found


def lip(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


class TestTable:
    def test_each_format(self, store: Path) -> None:
        shown = {
            form: lip("table", "frontier", store, "--format", form).stdout
            for form in ("table", "csv", "json", "latex", "markdown")
        }
        assert r"\begin{tabular}{lr" in shown["latex"]
        assert "IMP (magnitude) & 0.5 & " in shown["latex"]
        assert shown["markdown"].startswith("| Method | Density | ")
        rows = list(csv.DictReader(io.StringIO(shown["csv"])))
        assert rows == json.loads(shown["json"])
        assert [row["Density"] for row in rows] == ["1", "0.5", "0.25"]
        assert "IMP (magnitude)" in shown["table"]

    def test_a_file_and_only_some_rows(self, store: Path) -> None:
        shown = lip(
            "table", "frontier", store, "--format", "csv", "-o", "rows.csv",
            "--choose", "magnitude", "--choose", "0.25",
        )  # fmt: skip
        assert shown.stdout == "rows.csv\n"
        rows = list(csv.DictReader(io.StringIO(Path("rows.csv").read_text(encoding="utf-8"))))
        assert [row["Density"] for row in rows] == ["0.25"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("frontire",), "no table 'frontire' here, did you mean 'frontier'? (there are: "),
            (("frontier", "--choose", "xx"), "no row of table 'frontier' has xx"),
            (("frontier", "--part", "9"), "9 is no part of this table, which has 0: "),
            (("frontier", "--format", "docx"), "--format: unknown format 'docx'"),
            (("frontier", "--sweep", "x"), "no sweep 'x' in "),
            (("frontier", "--sweep", "other"), "no finished level in the store"),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, store: Path, arguments: tuple[str, ...], said: str
    ) -> None:
        name, *options = arguments
        shown = lip("table", name, store, *options)
        assert shown.exit_code == 2
        assert said in shown.stderr
        assert shown.stderr.count("\n") == 1
        assert shown.stdout == ""


class TestCite:
    def test_bibtex_of_what_is_in_the_store(self, store: Path) -> None:
        shown = lip("cite", store)
        assert shown.exit_code == 0
        assert "@inproceedings{ulyanov2018deep," in shown.stdout
        assert "han2015learning" in shown.stdout
        assert "lee2019snip" not in shown.stdout
        assert lip("cite", store, "--sweep", "other").stdout == ""


class TestSweep:
    def test_queries_are_one_sweeps(self, store: Path) -> None:
        count = "select count(*) as n from levels"
        shown = {
            name: lip("query", count, "--store", store, "--sweep", name, "--format", "csv").stdout
            for name in ("first", "other")
        }
        assert shown == {"first": '"n"\n3\n', "other": '"n"\n0\n'}

    def test_pages_and_figures_are_one_sweeps(self, store: Path) -> None:
        page = lip("report", store, "--sweep", "first", "-o", "page.html")
        assert page.exit_code == 0
        assert "Only the trials that sweep first asked for." in Path("page.html").read_text("utf-8")
        for arguments in (("report", store), ("figure", "frontier", store)):
            refused = lip(*arguments, "--sweep", "other")
            assert refused.exit_code == 2
            assert "no finished level in the store" in refused.stderr
        assert lip("report", store, "-o", "whole.html").exit_code == 0
        assert "Only the trials that sweep" not in Path("whole.html").read_text("utf-8")

    def test_answers_are_set_for_papers(self, store: Path) -> None:
        query = "select pruner, round(density, 2) as density from frontier order by density"
        shown = lip("query", query, "--store", store, "--format", "latex").stdout
        assert r"\begin{tabular}{lr}" in shown
        assert r"magnitude & 0.250 \\" in shown
