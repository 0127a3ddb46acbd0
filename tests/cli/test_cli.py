"""The command line: what it prints, and that a mistake is one message and exit code 2."""

import json
import re
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from lip_ray import __version__
from lip_ray.cli import app
from lip_ray.records import Cause, FailureRecord, Standing
from lip_ray.store import Reader, Writer
from lip_ray.sweep import Sweep
from lip_ray.trials import Context, run

SWEEP = """
name: tiny
trial:
  images: {kind: builtin, name: camera, size: [32, 32]}
  task: {kind: denoising, sigma: 25}
  prior: {kind: skip, width: 4, scales: 1, input_channels: 2}
  schedule: [1, 0.5]
  fit: {steps: 20, stopping: {kind: wmv, window: 10, stride: 5}}
grid:
  pruner: [magnitude, random]
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)
    (tmp_path / "tiny.yaml").write_text(SWEEP)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the sweep in it, made without Ray."""
    from lip_ray.engine.launch import sweep_record
    from lip_ray.engine.trainable import trial_record

    folder = tmp_path_factory.mktemp("stored")
    (folder / "tiny.yaml").write_text(SWEEP)
    sweep = Sweep.from_yaml(folder / "tiny.yaml")
    writer = Writer.open(folder / "store")
    writer.write_sweep(sweep_record(sweep))
    for trial in sweep.trials:
        writer.write_trial(trial_record(trial, device="cpu"))
        for record in run(trial, Context(device=torch.device("cpu"))):
            writer.write_level([record])
    return folder / "store"


def lip(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_names_every_command() -> None:
    shown = lip("--help").output
    commands = "run", "plan", "status", "query", "report", "tickets", "import", "doctor", "schema"
    for command in (*commands, "picture", "restore"):
        assert f" {command} " in shown


def test_version() -> None:
    assert lip("--version").output == f"lip-ray {__version__}\n"


def test_plan_says_what_is_left_and_writes_nothing(tmp_path: Path) -> None:
    shown = lip("plan", "tiny.yaml")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"4 levels of 2 trials left: about .* of core time", shown.output)
    assert "estimated from multiply-adds at 30 GFLOP/s per core" in shown.output
    shown = lip("plan", "tiny.yaml", "--measure")
    assert shown.exit_code == 0, shown.output
    assert re.search(r"4 levels of 2 trials left: about .* of core time", shown.output)
    assert not (tmp_path / "results").exists()


def test_what_is_allowed_and_may_surprise_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text(
        """
name: many
trial:
  kind: reconstruction
  images: {kind: digit, index: 0}
  source:
    images: digits
    prior: {kind: dcgan, size: 8, channels: 1, width: 1, latent_size: 1}
    schedule: [1]
    fit: {steps: 1}
  task: {kind: compressed_sensing, m: 65}
  solver: {kind: erm, steps: 1, restarts: 1}
grid: {seed: [0, 1]}
"""
    )
    shown = lip("plan", "many.yaml")
    assert shown.exit_code == 0
    said = "note: task.m is 65, more than the 64 values of an image: this is no compression"
    assert shown.stderr.splitlines() == [said]


def test_plan_knows_what_is_done(stored: Path) -> None:
    shown = lip("plan", "tiny.yaml", "--store", stored)
    assert shown.exit_code == 0, shown.output
    assert "nothing left" in shown.output


def test_plan_shows_one_point_of_a_search(tmp_path: Path) -> None:
    shown = lip("plan", "frontier", "--quick")
    assert shown.exit_code == 0, shown.output
    assert "0 of 3 points have a score" in shown.output
    assert "of one point like this, 2 levels of 1 trial left" in shown.output
    assert not (tmp_path / "results").exists()


def test_a_shipped_sweep_goes_by_its_name() -> None:
    shown = lip("plan", "quickstart", "--quick")
    assert shown.exit_code == 0, shown.output
    assert "9 levels of 3 trials left" in shown.output


def test_status_counts_what_is_done(stored: Path) -> None:
    shown = lip("status", "--store", stored)
    assert shown.exit_code == 0
    assert shown.output.splitlines()[1].split()[0] == "tiny"
    assert shown.output.splitlines()[1].split()[1:7] == ["2/2", "4/4", "0", "0", "0", "0"]


def test_status_tells_what_runs_and_what_was_given_up(stored: Path, tmp_path: Path) -> None:
    stored = shutil.copytree(stored, tmp_path / "store")
    assert lip("status", "--store", stored, "--failures").output == "nothing has failed\n"
    writer = Writer.open(stored)
    writer.note_standing(Standing(trial_id="f" * 16, level=1, step=5, steps=20, psnr_db=21.5))
    writer.write_failure(
        FailureRecord(
            trial_id="f" * 16,
            kind="trajectory",
            pruner="snip",
            prior="skip",
            task="denoising",
            image="cat",
            seed=3,
            level=1,
            cause=Cause.DIED,
            reason="its node was lost",
            traceback="",
            host="here",
            lip_ray_version="0",
            failed_at=datetime(2026, 1, 1),
        )
    )
    running = lip("status", "--store", stored).output
    assert re.search(r"f{16} +1 +5 +20 +21\.5", running)
    given_up = lip("status", "--store", stored, "--failures").output
    assert re.search(r"trajectory .* snip .* died  its node was lost", given_up)


def test_query_in_every_format(stored: Path, tmp_path: Path) -> None:
    sql = "select trial_id, level, kept, psnr_selected_db from levels order by all"
    table = lip("query", sql, "--store", stored).stdout
    rows = json.loads(lip("query", sql, "--store", stored, "--format", "json").stdout)
    lines = lip("query", sql, "--store", stored, "--format", "csv").stdout.splitlines()
    (tmp_path / "x.parquet").write_bytes(
        lip("query", sql, "--store", stored, "--format", "parquet").stdout_bytes
    )
    assert len(rows) == 4
    assert table.count("\n") == 5
    assert len(lines) == 5
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows


def test_the_store_comes_from_the_environment_or_is_the_only_one(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "one").symlink_to(stored)
    count = "select count(*) as n from levels"
    assert lip("query", count).stdout.split() == ["n", "4"]
    (tmp_path / "results" / "two").symlink_to(stored)
    ambiguous = lip("query", count)
    assert ambiguous.exit_code == 2
    assert "--store PATH is needed: one of results/one, results/two" in ambiguous.stderr
    monkeypatch.setenv("LIP_RAY_STORE", str(stored))
    assert lip("query", count).stdout.split() == ["n", "4"]


def test_report_writes_the_page_and_says_where(stored: Path, tmp_path: Path) -> None:
    shown = lip("report", stored, "-o", "pages/page.html")
    assert shown.exit_code == 0, shown.output
    assert shown.output == f"{Path('pages/page.html')}\n"
    page = (tmp_path / "pages" / "page.html").read_text()
    assert "magnitude" in page
    assert "random" in page


def references(store: Path) -> dict[tuple[str, int], str]:
    """The tickets of the stored sweep, by pruner and level."""
    rows = json.loads(lip("tickets", "list", "--store", store, "--format", "json").stdout)
    return {(row["pruner"], int(row["ticket"].partition("@")[2])): row["ticket"] for row in rows}


def test_tickets_are_listed_with_what_they_are_worth(stored: Path) -> None:
    shown = lip("tickets", "list", "--store", stored).stdout.splitlines()
    assert shown[0].split() == [
        *("ticket", "pruner", "travels", "image"),
        *("density", "psnr_selected_db", "effective_density"),
    ]
    assert len(shown) == 5
    assert references(stored).keys() == {(p, n) for p in ("magnitude", "random") for n in (0, 1)}


def test_an_exported_ticket_is_a_source_of_a_sweep(stored: Path, tmp_path: Path) -> None:
    reference = references(stored)["magnitude", 1]
    shown = lip("tickets", "export", reference[:4] + "@1", "-o", "x.safetensors", "--store", stored)
    assert shown.exit_code == 0, shown.output
    (line,) = shown.output.splitlines()
    assert line.startswith("x.safetensors: keeps ")
    assert line.endswith("(density 0.5); weights: initial weights of seed 0")
    assert json.loads((tmp_path / "x.json").read_text())["trial_id"] == reference[:-2]
    sweep = SWEEP.replace("  images", "  kind: transfer\n  seed: 0\n  images").partition("grid")[0]
    sweep = "".join(k for k in sweep.splitlines(True) if not k.strip().startswith(("pri", "sch")))
    Path("y.yaml").write_text(f"{sweep}  source: {{kind: file, path: x.safetensors}}\n")
    planned = lip("plan", "y.yaml")
    assert planned.exit_code == 0, planned.output
    assert "2 levels of 1 trial left" in planned.output


def test_two_tickets_are_compared_in_every_format(stored: Path) -> None:
    known = references(stored)
    lip("tickets", "export", known["random", 1], "-o", "x.safetensors", "--store", stored)
    pair = known["magnitude", 1], "x.safetensors", "--store", stored
    table = lip("tickets", "compare", *pair).stdout.splitlines()
    lines = lip("tickets", "compare", *pair, "--format", "csv").stdout.splitlines()
    rows = json.loads(lip("tickets", "compare", *pair, "--format", "json").stdout)
    assert table[0].split() == lines[0].split(",") == list(rows[0])
    assert len(table) == len(lines) == len(rows) + 1
    totals = {row["layer"]: row for row in rows[-2:]}
    assert list(totals) == ["total", "total by layer"]
    assert totals["total"]["density_a"] == totals["total"]["density_b"] == 0.5
    assert totals["total"]["iou_by_chance"] == pytest.approx(1 / 3)
    assert 0 < totals["total"]["effective_density_b"] <= 0.5
    assert rows[0]["effective_density_a"] is None


def test_files_alone_need_no_store(stored: Path) -> None:
    reference = references(stored)["magnitude", 1]
    lip("tickets", "export", reference, "-o", "x.safetensors", "--store", stored)
    shown = lip("tickets", "compare", "x.safetensors", "x.safetensors", "--format", "json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)[-1]["iou"] == 1


def test_import_says_what_is_different_here(shared: Path) -> None:
    masks = shared / "oracles" / "skip_small_mask_prune_state_3.pt"
    prior = "{kind: skip, width: 8, scales: 3, skip_width: 4, input_channels: 4}"
    shown = lip("import", "ticket", masks, "--prior", prior, "--seed", 5, "-o", "x.safetensors")
    assert shown.exit_code == 0, shown.output
    first, *notes = shown.output.splitlines()
    assert "3,101 of 6,056 weights (density 0.5121); weights: initial weights of seed 5" in first
    assert [note.partition(" ")[0] for note in notes] == ["note:", "note:"]
    refused = lip("import", "ticket", masks, "--prior", "skip", "-o", "y.safetensors")
    assert refused.exit_code == 2
    assert "made for another network" in refused.stderr
    assert not Path("y.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "{magnitude}9", "-o", "x.safetensors"), "has no level 9; levels there are: 0"),
        (("export", "{magnitude}1", "-o", "x.pt"), "must end in .safetensors, got x.pt"),
        (("export", "{magnitude}1", "-o", "tiny.yaml/x.safetensors"), "tiny.yaml: File exists; "),
        (("export", "0123456789abcdef@1", "-o", "x.safetensors"), "no trial 0123456789abcdef"),
        (("export", "x.safetensors", "-o", "y.safetensors"), "cannot read ticket x.safetensors"),
        (("compare", "{magnitude}1", "cat.png"), "'cat.png' is no ticket: allowed are TRIAL_ID@"),
        (("compare", "a@1", "b@1", "--format", "parquet"), "unknown format 'parquet'; allowed: t"),
    ],
)
def test_wrong_tickets_are_one_message(
    arguments: tuple[str, ...], message: str, stored: Path
) -> None:
    trial = references(stored)["magnitude", 1].removesuffix("1")
    refused = lip("tickets", *(a.format(magnitude=trial) for a in arguments), "--store", stored)
    assert refused.exit_code == 2, refused.output
    assert message in refused.stderr
    assert "Traceback" not in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.pt", "--prior", "skip"), "nowhere.pt: cannot be read: No such file"),
        (("tiny.yaml", "--prior", "skip"), "tiny.yaml: is no file of tensors"),
        (("tiny.yaml", "--prior", "slip"), "prior: unknown kind 'slip'; did you mean 'skip'?"),
        (("tiny.yaml", "--prior", "{a"), "prior: line 1"),
        (("tiny.yaml", "--prior", "skip", "--seed", "1", "--weights", "a"), "give one of them"),
    ],
)
def test_a_wrong_import_is_one_message(arguments: tuple[str, ...], message: str) -> None:
    refused = lip("import", "ticket", *arguments, "-o", "x.safetensors")
    assert refused.exit_code == 2, refused.output
    assert message in refused.stderr
    assert "Traceback" not in refused.output
    assert not Path("x.safetensors").exists()


def test_a_generator_is_imported(shared: Path) -> None:
    """The same file again makes the same; the other network of it another."""
    source = shared / "oracles" / "pgan_zoo_format_tiny.pth"
    shown = lip("import", "generator", source)
    assert shown.exit_code == 0, shown.output
    (made,) = Path("generators").iterdir()
    assert shown.output.startswith(f"{made}: pgan, 16×16 pixels, colour\n13,083 parameters, ")
    assert "avgG" in shown.output
    assert "not used at this size: toRGBLayers.0, toRGBLayers.1" in shown.output
    assert lip("import", "generator", source).output == shown.output
    other = lip("import", "generator", source, "--network", "netG", "-o", "elsewhere")
    assert other.exit_code == 0, other.output
    assert [path.name for path in Path("elsewhere").iterdir()] != [made.name]


def test_a_generator_with_a_card_is_imported(shared: Path) -> None:
    folder = shared / "data" / "generators" / "mnist28_vae"
    shown = lip("import", "generator", folder / "weights.pt", "--card", folder / "card.json")
    assert shown.exit_code == 0, shown.output
    assert "layers, 28×28 pixels, grey" in shown.output
    assert "latent: 20 numbers, N(0, 1); range: [0, 1]" in shown.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.pth",), "nowhere.pth: cannot be read: No such file"),
        (("tiny.yaml",), "tiny.yaml: is no file of tensors"),
        (("tiny.yaml", "--network", "netD"), "--network: unknown network 'netD'; allowed: avgG, "),
        (("nowhere.pt", "--card", "nowhere.json"), "cannot read card nowhere.json: No such file"),
        (("nowhere.pt", "--card", "tiny.yaml"), "tiny.yaml is no card, which is a JSON"),
        (("nowhere.pt", "--card", "c", "--network", "netG"), "network: netG is one of the GAN zo"),
    ],
)
def test_a_wrong_generator_is_one_message(arguments: tuple[str, ...], message: str) -> None:
    refused = lip("import", "generator", *arguments)
    assert refused.exit_code == 2, refused.output
    assert message in refused.stderr
    assert "Traceback" not in refused.output
    assert not Path("generators").exists()


def test_schema_is_the_shipped_file() -> None:
    import lip_ray.sweeps

    shipped = Path(next(iter(lip_ray.sweeps.__path__))) / "schema.json"
    assert lip("schema").output == shipped.read_text()


def image(path: str, array: np.ndarray, **options: object) -> None:
    Image.fromarray(array).save(path, **options)


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["images=nobody"], ["trial.images", "unknown value 'nobody'", "astronaut"]),
        (["images=missing.png"], ["trial.images", "missing.png", "No such file"]),
        (["images=text.png"], ["text.png is not an image"]),
        (["images=deep.png"], ["deep.png is a 16-bit PNG"]),
        (["images=clear.png"], ["clear.png has transparent pixels"]),
        (["images=small.png"], ["small-", "2×2", "at least 3×3"]),
        (["task.sigma=-1"], ["trial.task.sigma", "at least 1", "-1"]),
        (["task.sigma=0.1"], ["trial.task.sigma", "25.5"]),
        (["task.sigma=loud"], ["trial.task.sigma", "number", "'loud'"]),
        (["grid.seed=[]"], ["grid.seed", "at least one"]),
        (["fit.setps=3"], ["trial.fit.setps", "did you mean 'steps'?"]),
        (["task.kind=denosing"], ["denosing", "denoising"]),
        (["run.cpus=1000"], ["run.cpus", "1000", "cores"]),
        (["run.cpus=0"], ["run.cpus", "0"]),
        (["task.sigma=-1", "fit.steps=x"], ["2 problems", "trial.task.sigma", "trial.fit.steps"]),
        (["prior.scales=2000"], ["trial.prior.scales", "16", "2000"]),
        (["prior.width=1000000000"], ["trial.prior.width", "8192"]),
        (["seed=9223372036854775808"], ["trial.seed", "9223372036854775808"]),
        (["nonsense"], ["--set", "dotted.path=value"]),
    ],
)
def test_wrong_input_is_one_message_and_nothing_is_written(
    overrides: list[str], messages: list[str], tmp_path: Path
) -> None:
    Path("text.png").write_text("no picture")
    image("deep.png", np.zeros((40, 40), np.uint16))
    image("clear.png", np.zeros((40, 40, 4), np.uint8))
    image("small.png", np.zeros((2, 2), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    given = [argument for text in overrides for argument in ("--set", text)]
    for command in ("run", "plan"):
        refused = lip(command, "tiny.yaml", *given)
        assert refused.exit_code == 2, refused.output
        for message in messages:
            assert message in refused.stderr
        assert "Traceback" not in refused.output
        assert "Input should" not in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "nowhere.yaml"), "nowhere.yaml: 1 problem"),
        (
            ("run", "quickstrat"),
            "no file 'quickstrat', and no shipped sweep; did you mean 'quickstart'?",
        ),
        (("query", "select 1"), "--store PATH is needed: no store was found under results/"),
        (("query", "select 1", "--store", "nowhere"), "there is no store in"),
        (("query", "select 1", "--format", "xml"), "unknown format 'xml'; allowed: table, csv"),
        (("status", "--store", "nowhere"), "there is no store in"),
        (("report", "nowhere", "-o", "x.html"), "there is no store in"),
        (("run", "tiny.yaml", "--store", "tiny.yaml/store"), "cannot be written to"),
        (
            ("run", "tiny.yaml", "--store", "gopher://a/b"),
            "a store is a folder, or s3://bucket/prefix",
        ),
    ],
)
def test_wrong_arguments_are_one_message(arguments: tuple[str, ...], message: str) -> None:
    refused = lip(*arguments)
    assert refused.exit_code == 2, refused.output
    assert message in refused.stderr
    assert "Traceback" not in refused.output


def test_a_wrong_query_is_one_message(stored: Path) -> None:
    refused = lip("query", "delete from levels", "--store", stored)
    assert refused.exit_code == 2
    assert refused.stderr == ("the store is read only: select is allowed, got a delete statement\n")


def test_a_report_of_an_empty_store_is_refused(tmp_path: Path) -> None:
    Writer.open(tmp_path / "empty")
    refused = lip("report", "empty", "-o", "page.html")
    assert refused.exit_code == 2
    assert "no finished level" in refused.stderr
    assert not (tmp_path / "page.html").exists()


def test_a_newer_store_is_refused_before_anything_runs(tmp_path: Path) -> None:
    Writer.open(tmp_path / "store")
    marker = tmp_path / "store" / "lip-ray-store.json"
    marker.write_text('{"schema_version": 99}')
    for arguments in (("run", "tiny.yaml"), ("plan", "tiny.yaml"), ("status",)):
        refused = lip(*arguments, "--store", "store")
        assert refused.exit_code == 2
        assert "schema version 99" in refused.stderr
    assert list((tmp_path / "store").iterdir()) == [marker]


def test_every_stored_picture_is_a_png(stored: Path) -> None:
    pictures = Reader(stored).frame("reconstructions")
    assert set(pictures["role"]) == {"clean", "measured", "peak", "selected", "final"}
    assert all(png.startswith(b"\x89PNG") for png in pictures["png"])
