"""Commands about results and their store: what they print, refuse, and exit with."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from lip_ray.cli import app
from lip_ray.store import Reader

FIRST = Path(__file__).parents[1] / "store" / "first_version"
TRIAL = "b6f43e67e912a542"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a store of one trial with three levels; the folder around it is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    return shutil.copytree(FIRST, tmp_path / "store")


def lip(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


class TestQuery:
    def test_views_answer(self, store: Path) -> None:
        asked = "select level, n from frontier order by level"
        shown = lip("query", asked, "--store", store, "--format", "csv")
        assert shown.stdout.split() == ['"level","n"', "0,1", "1,1", "2,1"]

    def test_sql_comes_through_a_pipe(self, store: Path) -> None:
        shown = lip("query", "-", "--store", store, stdin="select count(*) as n\nfrom levels\n")
        assert shown.stdout.split() == ["n", "3"]

    def test_a_mistake_is_shown_where_it_is(self, store: Path) -> None:
        shown = lip("query", "select level\nfrom levels\nwere level = 1", "--store", store)
        assert shown.exit_code == 2
        assert shown.stdout == ""
        said = shown.stderr.splitlines()
        [at] = [place for place, line in enumerate(said) if "were level = 1" in line]
        assert said[at].startswith("LINE 3:")
        assert set(said[at + 1].strip()) == {"^"}

    def test_a_wrong_column_gets_the_nearest(self, store: Path) -> None:
        shown = lip("query", "select psnr_selcted_db from levels", "--store", store)
        assert shown.exit_code == 2
        assert "psnr_selected_db" in shown.stderr

    @pytest.mark.parametrize(
        "statement",
        ["delete from levels", "copy levels to 'x.csv'", "create table x as from levels"],
    )
    def test_nothing_is_written(self, store: Path, statement: str) -> None:
        shown = lip("query", statement, "--store", store)
        assert shown.exit_code == 2
        assert "the store is read only: select is allowed" in shown.stderr
        assert [path.name for path in Path().iterdir()] == ["store"]

    def test_damaged_files_are_named_counted_and_in_the_exit_code(self, store: Path) -> None:
        for level in (1, 2):
            (store / "levels" / f"{TRIAL}-00{level}.parquet").write_bytes(b"PAR1")
        shown = lip("query", "select count(*) as n from levels", "--store", store)
        assert shown.exit_code == 1
        assert shown.stdout.split() == ["n", "1"]
        assert shown.stderr.splitlines() == [
            f"damaged: levels/{TRIAL}-001.parquet",
            f"damaged: levels/{TRIAL}-002.parquet",
            "2 damaged files were left out: lip store check says more",
        ]


class TestTables:
    def test_all_are_listed(self) -> None:
        page = Path(__file__).parents[2] / "docs" / "tables.md"
        assert lip("tables").stdout == page.read_text(encoding="utf-8")

    def test_a_wrong_name_gets_the_nearest(self) -> None:
        shown = lip("tables", "levls")
        assert shown.exit_code == 2
        assert "did you mean 'levels'" in shown.stderr


class TestStore:
    def test_compaction_changes_no_answer(self, store: Path) -> None:
        before = Reader(store).sql("from levels order by level")
        shown = lip("store", "compact", "--grace", 0, "--store", store)
        assert shown.exit_code == 0, shown.output
        assert Reader(store).sql("from levels order by level") == before
        assert lip("store", "check", "--store", store).exit_code == 0

    def test_check_finds_what_is_damaged(self, store: Path) -> None:
        assert lip("store", "check", "--store", store).exit_code == 0
        (store / "masks" / f"{TRIAL}-001.parquet").write_bytes(b"PAR1")
        shown = lip("store", "check", "--store", store)
        assert shown.exit_code == 1
        assert f"masks/{TRIAL}-001.parquet" in shown.stdout

    def test_merging(self, store: Path) -> None:
        shown = lip("store", "merge", "both", store)
        assert shown.exit_code == 0, shown.output
        assert Reader("both").levels_done() == {TRIAL: 3}
        assert lip("store", "merge", "both", store).exit_code == 0
        refused = lip("store", "merge", store, store)
        assert refused.exit_code == 2
        assert refused.stderr.count("\n") == 1

    def test_exporting(self, store: Path) -> None:
        shown = lip("store", "export", "levels", "-o", "levels.parquet", "--store", store)
        assert shown.stdout == "levels.parquet: 3 rows\n"
        assert pq.read_table("levels.parquet").num_rows == 3
        again = lip("store", "export", "levels", "-o", "levels.parquet", "--store", store)
        assert again.exit_code == 2
        assert "--overwrite" in again.stderr or "is there already" in again.stderr
        over = lip(
            *("store", "export", "frontier", "-o", "levels.parquet", "--overwrite"),
            *("--store", store),
        )
        assert over.exit_code == 0

    @pytest.mark.parametrize("chosen", [[TRIAL[:4]], ["--where", "pruner = 'magnitude'"]])
    def test_removing(self, store: Path, chosen: list[str]) -> None:
        listed = lip("store", "remove", "--store", store, "--dry-run", *chosen)
        assert listed.exit_code == 0, listed.output
        assert listed.stdout.splitlines()[0] == TRIAL
        assert listed.stdout.splitlines()[1].startswith("1 trial: ")
        refused = lip("store", "remove", "--store", store, *chosen)
        assert refused.exit_code == 2
        assert "nothing is removed: --yes removes without asking" in refused.stderr
        assert Reader(store).levels_done() == {TRIAL: 3}
        done = lip("store", "remove", "--store", store, "--yes", "--to", "aside", *chosen)
        assert done.exit_code == 0, done.output
        assert f"removed from {store}, after copying to aside: 1 trial: " in done.stdout
        assert Reader(store).levels_done() == {}
        assert Reader("aside").levels_done() == {TRIAL: 3}

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ([], "name trials by their ids, or give --where SQL: one of the two"),
            ([TRIAL, "--where", "true"], "name trials by their ids, or give --where SQL"),
            (["0000"], f"no trial 0000; trials there are: {TRIAL}"),
            (["--where", "prunr = 'snip'"], "prunr"),
            (["--where", "true); delete from trials; select (1"], "one SQL statement is expected"),
        ],
    )
    def test_a_wrong_choice_removes_nothing(
        self, store: Path, chosen: list[str], message: str
    ) -> None:
        refused = lip("store", "remove", "--store", store, "--yes", *chosen)
        assert refused.exit_code == 2, refused.output
        assert message in refused.stderr
        assert Reader(store).levels_done() == {TRIAL: 3}

    def test_no_trial_is_no_mistake(self, store: Path) -> None:
        shown = lip("store", "remove", "--store", store, "--where", "seed = 99")
        assert shown.exit_code == 0
        assert shown.stdout == "no trial is chosen, so nothing is removed\n"

    @pytest.mark.parametrize("command", ["compact", "check"])
    def test_a_store_must_be_there(self, store: Path, command: str) -> None:
        shown = lip("store", command, "--store", "nowhere")
        assert shown.exit_code == 2
        assert "there is no store in" in shown.stderr


class TestPages:
    def test_a_page_in_a_file(self, store: Path) -> None:
        shown = lip("report", store, "-o", "page.html")
        assert shown.exit_code == 0, shown.output
        assert shown.stdout == "page.html\n"

    def test_a_page_in_a_folder_shares_plotly(self, store: Path) -> None:
        shown = lip("report", store, "-o", "pages/first")
        assert shown.exit_code == 0, shown.output
        page = Path("pages/first/index.html")
        assert shown.stdout == f"{page}\n"
        script = page.parent / "plotly-cartesian.min.js"
        assert {*page.parent.iterdir()} == {page, script}
        assert page.stat().st_size < script.stat().st_size

    def test_a_damaged_picture_is_left_out_and_said(self, store: Path) -> None:
        (store / "reconstructions" / f"{TRIAL}-000.parquet").write_bytes(b"PAR1")
        shown = lip("report", store, "-o", "page.html")
        assert shown.exit_code == 1
        assert Path("page.html").is_file()
        assert "1 damaged file was left out" in shown.stderr

    def test_a_wrong_figure_lists_all(self, store: Path) -> None:
        shown = lip("figure", "frontir", store, "-o", "x.svg")
        assert shown.exit_code == 2
        assert "frontier" in shown.stderr
        refused = lip("figure", "frontier", store, "-o", "x.svg", "--psnr", "best")
        assert "allowed: selected, peak, final" in refused.stderr

    def test_a_port_that_is_none_is_refused(self, store: Path) -> None:
        shown = lip("serve", store, "--port", 70_000)
        assert shown.exit_code == 2
        assert "70000" in shown.stderr


def test_answers_are_json_for_programs(store: Path) -> None:
    sparsest = "from frontier order by level desc limit 1"
    shown = lip("query", sparsest, "--store", store, "--format", "json")
    [row] = json.loads(shown.stdout)
    assert (row["level"], row["density"]) == (2, 0.25)
    unearned = lip("query", "from matching", "--store", store, "--format", "json")
    assert json.loads(unearned.stdout) == [], "its dense fit ends below the measurement"


def test_tickets_of_the_first_defaults_are_refused_by_name(store: Path) -> None:
    """Their specs mean other fits today, so nothing is exported under a wrong id."""
    found = lip("query", "select trial_id from trials", "--store", store, "--format", "json")
    [row] = json.loads(found.stdout)
    ticket = f"{row['trial_id']}@1"
    refused = lip("tickets", "export", ticket, "-o", "x.safetensors", "--store", store)
    assert refused.exit_code == 2
    assert "is of epoch 1 of the defaults" in " ".join(refused.stderr.split())
    assert not Path("x.safetensors").exists()
