"""What holds of every command: help with an example that parses, one way to name a store, quiet
ends of pipes, lines that fit the terminal."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from lip_ray.analysis import summary_table
from lip_ray.cli import app, common, sweeps
from lip_ray.cli.completion import FIGURES
from lip_ray.store import Reader
from lip_ray.sweep import Sweep
from tests.laws.test_documentation import mistake

FIRST = Path(__file__).parents[1] / "store" / "first_version"
TRIAL = "b6f43e67e912a542"
ROOT = typer.main.get_command(app)


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        inside = getattr(command, "commands", None)
        yield from _commands(command, (*path, name)) if inside else [(*path, name)]


COMMANDS = list(_commands(ROOT))
GROUPS = [("store",), ("tickets",), ("import",)]

READING = {
    ("query",): ["select count(*) as n from levels"],
    ("report",): ["-o", "x.html"],
    ("status",): [],
    ("store", "check"): [],
    ("store", "compact"): [],
    ("store", "export"): ["levels", "-o", "x.csv"],
    ("tickets", "list"): [],
}
"""Commands that read a store, with what else they need."""

every = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
reading = pytest.mark.parametrize("command", READING, ids=" ".join)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy of a store of one trial with three levels."""
    return shutil.copytree(FIRST, tmp_path / "store")


def lip(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def words(text: str) -> str:
    """Text in one line, without the frames around it."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


class TestHelp:
    @every
    def test_its_example_is_a_right_call_of_it(self, command: tuple[str, ...]) -> None:
        [said] = re.findall(r"Example: (lip .*)$", words(lip(*command, "--help").output))
        name, *arguments = shlex.split(said.partition(" > ")[0])
        assert name == "lip"
        assert tuple(arguments[: len(command)]) == command
        assert mistake(arguments) == ""

    @pytest.mark.parametrize("command", [(), *GROUPS, *COMMANDS], ids=" ".join)
    def test_h_is_help(self, command: tuple[str, ...]) -> None:
        short, long = lip(*command, "-h"), lip(*command, "--help")
        assert short.exit_code == long.exit_code == 0
        assert short.output == long.output
        assert "Usage: " in short.output

    @pytest.mark.parametrize("columns", [60, 80])
    @pytest.mark.parametrize("command", [(), *GROUPS, *COMMANDS], ids=" ".join)
    def test_it_fits_the_terminal(self, command: tuple[str, ...], columns: int) -> None:
        shown = lip(*command, "--help", COLUMNS=str(columns), TERMINAL_WIDTH=str(columns))
        assert max(map(len, shown.output.splitlines())) <= columns

    @every
    def test_an_unknown_option_is_wrong_input(self, command: tuple[str, ...]) -> None:
        refused = lip(*command, "--no-such-option")
        assert refused.exit_code == 2
        assert "--no-such-option" in refused.output
        assert "Traceback" not in refused.output


def by_place(command: tuple[str, ...], store: object) -> list[object]:
    """A call that names the store by its place, behind what the command needs."""
    needed = READING[command]
    first = [one for one in needed[:1] if not one.startswith("-")]
    return [*command, *first, store, *needed[len(first) :]]


class TestStores:
    @reading
    def test_a_store_has_one_name(self, command: tuple[str, ...], store: Path) -> None:
        ended = []
        for given, environment in (
            (by_place(command, store), {}),
            ([*command, *READING[command], "--store", store], {}),
            ([*command, *READING[command]], {"LIP_RAY_STORE": str(store)}),
        ):
            ended.append(lip(*given, **environment))
            Path("x.csv").unlink(missing_ok=True)
        assert {one.exit_code for one in ended} == {0}, ended[0].output
        if command != ("store", "compact"):  # which leaves nothing to do for the next
            assert len({one.stdout for one in ended}) == 1

    @reading
    def test_two_names_are_refused(self, command: tuple[str, ...], store: Path) -> None:
        refused = lip(*by_place(command, store), "--store", "elsewhere")
        assert refused.exit_code == 2
        assert "two stores are named, " in refused.stderr

    @reading
    def test_a_name_comes_before_the_environment(
        self, command: tuple[str, ...], store: Path
    ) -> None:
        assert lip(*by_place(command, store), LIP_RAY_STORE="elsewhere").exit_code == 0

    @reading
    def test_one_that_is_not_there_is_one_line(self, command: tuple[str, ...]) -> None:
        refused = lip(*by_place(command, "nowhere"))
        assert refused.exit_code == 2
        [line] = refused.stderr.splitlines()
        assert "there is no store in" in line
        assert "nowhere" in line

    @reading
    def test_without_one_those_that_there_are_are_named(
        self, command: tuple[str, ...], store: Path
    ) -> None:
        Path("results").mkdir()
        for name in ("one", "two"):
            shutil.copytree(store, Path("results") / name)
        refused = lip(*command, *READING[command])
        assert refused.exit_code == 2
        assert "--store PATH is needed: one of results/one, results/two" in refused.stderr

    def test_what_is_published_is_a_store(self, store: Path) -> None:
        shown = lip("store", "publish", store, "public", "--keep", "curves=true")
        assert shown.exit_code == 0, shown.output
        assert "levels_left_out" in shown.stdout
        for command in READING:
            Path("x.csv").unlink(missing_ok=True)
            ended = lip(*by_place(command, "public"))
            assert ended.exit_code == 0, (command, ended.output)
        assert "left out when the store was published: masks of 3 levels of 1 trial" in (
            lip("store", "check", "public").stdout
        )
        for name, table in (("layers", "masks"), ("grid", "reconstructions")):
            refused = lip("figure", name, "-o", "x.svg", "--store", "public")
            assert refused.exit_code == 2
            assert f"the {table} that it shows were left out" in refused.stderr

    def test_wishes_that_cannot_be_are_refused(self, store: Path) -> None:
        for keep, said in (
            ("mask=true", "did you mean 'masks'"),
            ("masks", "expected TABLE=SQL"),
            ("masks=sed = 1", "--keep masks: "),
        ):
            refused = lip("store", "publish", store, "public", "--keep", keep)
            assert refused.exit_code == 2
            assert said in refused.stderr
            assert not Path("public").exists()

    def test_a_merge_goes_into_what_is_named(self, store: Path) -> None:
        shown = lip("store", "merge", "--store", "both", store)
        assert shown.exit_code == 0, shown.output
        assert lip("query", "select count(*) as n from levels", "both").stdout.split()[1] == "3"
        refused = lip("store", "merge", store)
        assert refused.exit_code == 2
        assert "no STORE is named to copy into" in refused.stderr


def completed(line: str) -> list[str]:
    """What bash is offered behind a line, by way of the variables that its script sets."""
    words = shlex.split(line) + [""] * line.endswith(" ")
    shown = CliRunner().invoke(
        app,
        prog_name="lip",
        env={
            "_LIP_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    assert shown.exit_code == 0, shown.output
    return shown.output.split()


class TestCompletion:
    def test_commands(self) -> None:
        assert completed("lip st") == ["status", "store"]
        assert set(completed("lip tickets ")) == {"list", "export", "compare"}

    def test_shipped_sweeps_and_files(self) -> None:
        Path("mine.yaml").touch()
        Path("mine.png").touch()
        assert completed("lip run quick") == ["quickstart", "quickstart_sensing"]
        assert completed("lip plan mi") == ["mine.yaml"]

    def test_tables_formats_figures_and_wishes(self) -> None:
        assert completed("lip tables lev") == ["levels"]
        assert completed("lip query x --format p") == ["parquet"]
        assert completed("lip figure fr") == ["frontier"]
        assert completed("lip init d") == ["denoise"]

    def test_stores(self, store: Path) -> None:
        Path("results/empty").mkdir(parents=True)
        store.rename("results/first")
        assert completed("lip status results/f")[0] == "results/first"
        assert "results/first" in completed("lip query x --store ")

    def test_trials_and_tickets_of_a_store(self, store: Path) -> None:
        offered = completed("lip tickets export --store store b6")
        assert offered == [f"{TRIAL}@{level}" for level in range(3)]
        assert completed("lip store remove --store store ") == [TRIAL]
        assert completed("lip store remove --store nowhere b") == []

    def test_figures_are_those_of_pages(self) -> None:
        parts = Path(__file__).parents[2] / "analysis" / "parts"
        text = "\n".join(path.read_text(encoding="utf-8") for path in parts.rglob("*.py"))
        for name in FIGURES:
            assert f'"{name}"' in text, name

    def test_a_script_can_be_shown(self) -> None:
        shown = lip("--help").output
        assert "--install-completion" in shown
        assert "--show-completion" in shown


PRINTING = {
    "status": ["status", "store"],
    "failures": ["status", "--failures", "store"],
    "plan": ["plan", "quickstart", "--quick", "--store", "store"],
    "query": ["query", "from levels", "store"],
    "tickets": ["tickets", "list", "store"],
    "stores": ["ls", "."],
    "explain": ["explain", "fit"],
}
"""Calls that print what people read."""


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("call", PRINTING.values(), ids=PRINTING)
def test_results_fit_the_terminal(
    call: list[str], columns: int, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "on_a_terminal", lambda: True)
    shown = lip(*call, COLUMNS=str(columns))
    assert shown.exit_code == 0, shown.output
    assert shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= columns


def test_what_a_run_ends_with_fits_the_terminal(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column of each way to go wrong is shown only where a fit did."""
    monkeypatch.setattr(common, "on_a_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    sweep = Sweep.build({"name": "x", "trial": {"images": "camera", "task": "projection"}})
    sweeps._print_summary("store", sweep)
    shown = capsys.readouterr()
    assert max(map(len, shown.out.splitlines())) <= 80
    assert shown.out.split()[:3] == ["problem", "method", "density"]
    assert shown.out.splitlines()[0].split()[-1] == "seeds"
    assert shown.err == ""
    levels = Reader("store").frame("levels").assign(outcome="collapsed")
    table = summary_table(Reader("store").frame("trials"), levels)
    assert sweeps._without_zeros(table).columns[-1] == "collapsed"


def test_what_does_not_fit_is_named_with_what_helps(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "on_a_terminal", lambda: True)
    narrow = lip("status", "store", COLUMNS="60").stderr
    assert max(map(len, narrow.splitlines())) <= 60
    assert words(narrow).endswith(
        "not shown: last_fit: widen the terminal, or send the output to a file"
    )


UNREAD = {
    "query": ["query", "select range as n from range(200000)", "--format", "csv", "store"],
    "explain": ["explain"],
    "status": ["status", "store"],
    "help": ["run", "--help"],
}
"""Calls whose output nobody reads to its end: more than a pipe takes, and less."""


@pytest.mark.parametrize("call", UNREAD.values(), ids=UNREAD)
def test_a_pipe_that_nobody_reads_ends_quietly(call: list[str], store: Path) -> None:
    code = "from lip_ray.cli import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *call],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    assert running.stdout
    assert running.stderr
    running.stdout.close()
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() in (0, 1)
