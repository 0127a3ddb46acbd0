"""`lip ls`: every store of a folder in one line, in a table that fits."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lip_ray.cli import app, common
from lip_ray.records import Standing
from lip_ray.store import Writer
from tests.store.conftest import make_failure, make_level, make_sweep, make_trial


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete store, and one of two trials of which one is complete."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    for name, trials in {"first": "ab", "second": "a"}.items():
        writer = Writer.open(f"results/{name}")
        writer.write_sweep(make_sweep())
        for trial in trials:
            writer.write_trial(make_trial(trial * 16))
            for level in (0, 1):
                writer.write_level([make_level(trial * 16, level)])
    Path("results/no-store").mkdir()
    return tmp_path / "results"


def ls(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, ["ls", *map(str, arguments)], env=environment)


def rows(*arguments: object) -> dict[str, dict[str, object]]:
    """By name of the store."""
    found = json.loads(ls(*arguments, "--format", "json").stdout)
    return {Path(row["store"]).name: row for row in found}


def test_stores_are_listed_with_what_they_have() -> None:
    shown = rows()
    assert list(shown) == ["first", "second"]
    assert shown["first"]["state"] == "complete"
    second = shown["second"]
    assert (second["sweeps"], second["trials"], second["levels"]) == ("study", "1/2", "2/4")
    assert second["state"] == "incomplete"
    size = sum(p.stat().st_size for p in Path("results/second").rglob("*") if p.is_file())
    assert second["size_mb"] == pytest.approx(size / 1e6)
    assert str(second["last_written"]).startswith("20")


def test_a_run_and_failures_show() -> None:
    writer = Writer.open("results/second")
    writer.write_failure(make_failure("b" * 16))
    assert rows()["second"]["state"] == "1 failed"
    writer.note_standing(Standing(trial_id="b" * 16, level=0, step=1, steps=2))
    assert rows()["second"]["state"] == "running"


def test_one_store_may_be_named() -> None:
    assert list(rows("results/first")) == ["first"]


@pytest.mark.parametrize("columns", [60, 80])
def test_the_table_fits(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "on_a_terminal", lambda: True)
    shown = ls(COLUMNS=str(columns))
    assert shown.exit_code == 0, shown.output
    assert max(map(len, shown.stdout.splitlines())) <= columns
    head, first, _ = shown.stdout.splitlines()
    assert head.split()[:2] == ["store", "state"]
    assert first.split()[1] == "complete"


def test_one_that_cannot_be_read_is_named_and_the_rest_shown() -> None:
    Path("results/second/lip-ray-store.json").write_text('{"schema_version": 999}')
    shown = ls("--format", "json")
    assert shown.exit_code == 1
    assert [row["state"] for row in json.loads(shown.stdout)] == ["complete", "unreadable"]
    assert "schema version 999" in shown.stderr


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "nowhere: there is no such folder"),
        ("results/no-store", "results/no-store: there is no store in it"),
    ],
)
def test_nothing_to_list(folder: str, message: str) -> None:
    refused = ls(folder)
    assert refused.exit_code == 2
    assert message in refused.stderr
