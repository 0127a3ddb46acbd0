"""Sources that another store has complete are copied; whatever else is run."""

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from lip_ray.cli import app
from lip_ray.engine.launch import sweep_record, take_sources
from lip_ray.engine.outlook import look_ahead
from lip_ray.engine.plan import plan, typical_plan
from lip_ray.engine.sources import Elsewhere, elsewhere
from lip_ray.engine.trainable import trial_record
from lip_ray.errors import UserError
from lip_ray.store import Reader, Writer, compact, publish
from lip_ray.sweep import Sweep
from lip_ray.trials import Context, run
from tests.store.upkeep.test_merge import contents

FOUND = """
name: found
trial:
  images: {kind: builtin, name: camera, size: [16, 16]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 1, input_channels: 2}
  schedule: [1, 0.5]
  fit: {steps: 10, stopping: {kind: wmv, window: 5, stride: 5}}
grid:
  pruner: [magnitude, random]
"""
MOVED = """
name: moved
sources: {sweep: found.yaml, where: {pruner.kind: magnitude}}
trial: {kind: transfer, travels: mask}
grid:
  images: [{kind: builtin, name: coffee, size: [16, 16], channels: 1}]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the sweep that sources come from, complete."""
    folder = tmp_path_factory.mktemp("found")
    (folder / "found.yaml").write_text(FOUND)
    sweep = Sweep.from_yaml(folder / "found.yaml")
    writer = Writer.open(folder / "store")
    writer.write_sweep(sweep_record(sweep))
    for trial in sweep.trials:
        writer.write_trial(trial_record(trial, device="cpu"))
        for record in run(trial, Context(device=torch.device("cpu"))):
            writer.write_level([record])
    return folder / "store"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("found.yaml").write_text(FOUND)
    Path("moved.yaml").write_text(MOVED)


def moved(*overrides: str) -> Sweep:
    return Sweep.from_yaml(Path("moved.yaml"), overrides=overrides)


def taken(sweep: Sweep, store: str = "results/moved") -> str:
    """What is said when the sources are copied into the store."""
    Writer.open(store)
    said = io.StringIO()
    take_sources(sweep, typical_plan(sweep), store, Console(file=said, width=200))
    return said.getvalue()


def found_elsewhere(
    sweep: Sweep, store: str, levels_done: Mapping[str, int] = MappingProxyType({})
) -> Elsewhere | None:
    return elsewhere(sweep, store, plan(sweep, levels_done))


def test_the_store_of_their_sweep_is_known() -> None:
    assert moved().sources_store == "results/found"
    assert Sweep.from_yaml(Path("found.yaml")).sources_store is None
    Path("found.yaml").write_text(f"{FOUND}run: {{store: over/there}}\n")
    assert moved().sources_store == "over/there"


def test_they_are_copied_from_the_store_of_their_sweep(found: Path) -> None:
    shutil.copytree(found, "results/found")
    before = contents(Path("results/found"))
    [source] = {source.id for trial in moved().trials for source in trial.sources}
    outlook = look_ahead(moved(), "results/moved")
    assert "sources: 1 trial to copy from results/found" in outlook.lines
    assert outlook.graph.set_index("kind")["left"].to_dict() == {"trajectory": 0, "transfer": 2}
    assert not Path("results/moved").exists(), "a plan writes nothing"
    assert taken(moved()) == "sources: 1 trial copied from results/found\n"
    assert Reader("results/moved").levels_done() == {source: 2}, "and not the other one"
    assert contents(Path("results/found")) == before
    assert found_elsewhere(moved(), "results/moved", Reader("results/moved").levels_done()) is None
    assert taken(moved()) == ""


def test_compacted_ones_too(found: Path) -> None:
    shutil.copytree(found, "results/found")
    compact("results/found", grace_s=0)
    compact("results/found", grace_s=0)
    taken(moved())
    [done] = Reader("results/moved").levels_done().values()
    assert done == 2
    assert Reader("results/moved").frame("masks")["trial_id"].nunique() == 1


def test_another_store_can_be_named(found: Path) -> None:
    shutil.copytree(found, "elsewhere")
    said = taken(moved("run.sources=elsewhere"))
    assert said == "sources: 1 trial copied from elsewhere\n"
    with pytest.raises(UserError, match=r"run\.sources: there is no store in nowhere"):
        taken(moved("run.sources=nowhere"))


@pytest.mark.parametrize("place", ["elsewhere", "else where: {1}"])
def test_the_command_line_names_another_store(found: Path, place: str) -> None:
    shutil.copytree(found, place)
    shown = CliRunner().invoke(app, ["plan", "moved.yaml", "--sources", place])
    assert shown.exit_code == 0, shown.output
    assert f"sources: 1 trial to copy from {place}" in shown.output
    refused = CliRunner().invoke(app, ["plan", "moved.yaml", "--sources", "nowhere"])
    assert refused.exit_code == 2
    assert "run.sources: there is no store in nowhere" in refused.stderr


def test_without_them_the_message_says_how_to_name_a_place() -> None:
    [line] = [line for line in look_ahead(moved(), "results/moved").lines if "sources" in line]
    assert line == (
        "sources: 1 trial to run first, as results/found has none of them complete; "
        "--sources STORE names another place"
    )


def test_incomplete_ones_are_run_here(found: Path) -> None:
    shutil.copytree(found, "results/found")
    for path in Path("results/found/levels").glob("*-001.parquet"):
        path.unlink()
    taken(moved())
    assert Reader("results/moved").levels_done() == {}


def test_damaged_ones_are_run_here_and_named(found: Path) -> None:
    shutil.copytree(found, "results/found")
    for path in Path("results/found/masks").glob("*.parquet"):
        path.write_bytes(b"PAR1")
    assert "not copied, so it runs again: masks/" in taken(moved())
    assert Reader("results/moved").levels_done() == {}


def test_one_store_for_both_is_not_looked_into(found: Path) -> None:
    shutil.copytree(found, "results/found")
    assert found_elsewhere(moved(), "results/found") is None
    assert found_elsewhere(moved(), str(Path("results/found").resolve())) is None


def test_a_sweep_whose_source_is_its_own_looks_only_where_it_is_told(found: Path) -> None:
    [trial, *_] = moved().trials
    document = {"name": "own", "trial": trial.model_dump(mode="json")}
    assert found_elsewhere(Sweep.build(document), "results/own") is None
    shutil.copytree(found, "elsewhere")
    told = Sweep.build(document, overrides=["run.sources=elsewhere"])
    assert taken(told, "results/own") == "sources: 1 trial copied from elsewhere\n"


class TestPublished:
    """Sources of a store that was published without their masks."""

    def test_a_run_beside_them_is_refused_before_it_begins(self, found: Path) -> None:
        publish(found, "public")
        for act in (look_ahead, lambda sweep, store: taken(sweep, store)):
            with pytest.raises(
                UserError, match=r"is a source of trial .*, and its masks were left"
            ):
                act(moved(), "public")
        assert Reader("public").sql("from trials").num_rows == 2

    def test_the_full_store_brings_them_back(self, found: Path) -> None:
        publish(found, "public")
        assert "1 trial copied from" in taken(moved(f"run.sources={found}"), "public")
        assert Reader("public").left_out(tables=["masks"]) != {}  # of the other trial
        (source,) = (trial.source.id for trial in moved().trials)
        assert source not in Reader("public").left_out(tables=["masks"])
        assert taken(moved(), "public") == ""

    def test_a_published_store_that_is_named_is_refused(self, found: Path) -> None:
        publish(found, "public")
        with pytest.raises(UserError, match=r"run\.sources: the masks of trial"):
            taken(moved("run.sources=public"))

    def test_that_of_their_sweep_is_passed_by_in_words(self, found: Path) -> None:
        publish(found, "results/found")
        assert "to run first, as their masks were left out of" in taken(moved())

    def test_an_incomplete_trial_is_refused_too(self, found: Path) -> None:
        store = shutil.copytree(found, Path("part"))
        for path in (store / "levels").glob("*-001.parquet"):
            path.unlink()
        publish(store, "public")
        sweep = Sweep.from_yaml(Path("found.yaml"))
        with pytest.raises(UserError, match="is not complete, and its masks were left out"):
            taken(sweep, "public")
        publish(store, "whole", keep={"masks": "true"})
        assert taken(sweep, "whole") == ""
