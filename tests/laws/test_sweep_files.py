"""The shipped sweeps: each loads, shrinks, says what it is for, and is what editors are told."""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml as pyyaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from PIL import Image

from lip_ray import strict_yaml
from lip_ray.engine.tensor_cards import LARGE
from lip_ray.priors.generators import AbstractGenerator, Dcgan, LayerList, Pgan
from lip_ray.priors.generators.file import Trained, write
from lip_ray.pruning import Oes
from lip_ray.records import LayerMask, LevelRecord, Outcome, StoredTensor
from lip_ray.sweep import Sweep, SweepError, json_schema, json_schema_text
from lip_ray.sweep.catalogue import read_off
from lip_ray.sweeps import REFERENCE
from lip_ray.trials import (
    AbstractTrial,
    AnyTrial,
    Context,
    Generator,
    Reconstruction,
    Trajectory,
    run,
)

FOLDER = Path(str(files("lip_ray.sweeps")))
FILES = sorted(FOLDER.rglob("*.yaml"))
PAPER = FOLDER / "paper"
HEADINGS = ("Question", "Trials", "Cost", "Expected")
QUICK_STEPS = 1000
CHOICES = frozenset({"kind", "travels", "target", "latents", "rule", "scope", "at"})
KNOWN_FIGURES = {"2", "3", "4", "5"}
"""The figures of the study whose captions are known; no other number may be claimed."""
PFLOP_PER_GPU_HOUR = 54
"""As sweeps/paper/README.md assumes: 15 TFLOP/s, sustained."""
LONG_AGO = 1_000_000_000
"""Seconds since 1970; what is as old is read once."""

GENERATORS: dict[str, AbstractGenerator] = {
    "celebahq256": Pgan(),
    "celeba64": Dcgan(),
    "faces32": Dcgan(size=32),
    "mnist28": LayerList(
        layers=(
            ("linear", 20, 500),
            ("relu",),
            ("linear", 500, 500),
            ("relu",),
            ("linear", 500, 784),
            ("sigmoid",),
            ("view", 1, 28, 28),
        ),
        latent_size=20,
        output="unit",
    ),
}
"""What sweeps/paper/README.md takes the files of that name in generators/ for."""
ARRAYS = {
    "celebahq256-test": (4, 256, 256, 3),
    "celeba64-test": (64, 64, 64, 3),
    "faces32-test": (8, 32, 32, 3),
    "mnist-test": (4008, 28, 28),
}
"""The pictures in data/NAME.npz that are asked for, and no more."""
FOLDER_PICTURES = 64
"""In data/celebahq256: a batch, instead of 12,000."""
SET14 = {
    "baboon": (500, 480),
    "barbara": (720, 576),
    "bridge": (512, 512),
    "coastguard": (352, 288),
    "comic": (250, 361),
    "face": (276, 276),
    "flowers": (500, 362),
    "foreman": (352, 288),
    "lenna": (512, 512),
    "man": (512, 512),
    "monarch": (768, 512),
    "pepper": (512, 512),
    "ppt3": (529, 656),
    "zebra": (586, 391),
}
"""The names of the pictures in data/set14, which patterns choose from, and their sizes."""

WITH_SOURCES = [path for path in FILES if "\nsources:" in path.read_text(encoding="utf-8")]

SEARCHES = [path for path in FILES if "\nsearch:" in path.read_text(encoding="utf-8")]

each = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))


@pytest.fixture(scope="module", autouse=True)
def needed_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A working directory with files of the names and sizes that sweeps need: blank pictures, and
    generators without a critic whose weights are zero.
    """
    folder = tmp_path_factory.mktemp("needed")
    for name, architecture in GENERATORS.items():
        with torch.device("meta"):
            shapes = architecture.network().state_dict()
        zeros = {n: torch.zeros_like(value, device="cpu") for n, value in shapes.items()}
        blank = Trained(architecture=architecture, weights=zeros, critic=None, origin={})
        write(blank, folder / "generators", name).rename(folder / f"generators/{name}.safetensors")
    learned = folder / "data/celebahq256"
    learned.mkdir(parents=True)
    for grey in range(FOLDER_PICTURES):
        Image.new("RGB", (256, 256), (grey, grey, grey)).save(learned / f"{grey:05}.png")
    (folder / "data/set14").mkdir()
    for grey, (name, size) in enumerate(SET14.items()):
        Image.new("RGB", size, (grey, grey, grey)).save(folder / f"data/set14/{name}.png")
    for name, shape in ARRAYS.items():
        np.savez_compressed(folder / f"data/{name}.npz", images=np.zeros(shape, np.uint8))
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))
    before = Path.cwd()
    os.chdir(folder)
    yield
    os.chdir(before)
    shutil.rmtree(folder)


def sweep_of(path: Path, *, quick: bool = False) -> Sweep:
    """Read once; skipped where its pictures come with a package that is not here."""
    if "dataset: digits" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn")
    return _read(path, quick=quick)


@cache
def _read(path: Path, *, quick: bool) -> Sweep:
    return Sweep.from_yaml(path, quick=quick)


def trials_of(path: Path, *, quick: bool = False) -> tuple[AbstractTrial, ...]:
    """What it runs; of a search, the points to start from that it runs: others follow from them."""
    sweep = sweep_of(path, quick=quick)
    if sweep.search is None:
        return sweep.trials
    started = sweep.search.start[: sweep.search.total]
    return tuple(trial for point in started for trial in sweep.trials_at(point))


def points_of(path: Path) -> float:
    """How many times what `trials_of` gives: of a search, all its points are as large."""
    search = sweep_of(path).search
    return search.total / len(search.start) if search else 1


def head(path: Path) -> dict[str, str]:
    """What the comments above the first key state, by heading."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    text = "\n".join(lines)
    found = re.findall(r"^(\w+):\s*(.*?)(?=^\w+:|\Z)", text, re.MULTILINE | re.DOTALL)
    return {heading: " ".join(said.split()) for heading, said in found}


def with_sources(trials: Iterable[AbstractTrial]) -> dict[str, AbstractTrial]:
    """By id, what has to run: the trials and all that they take tickets from."""
    found: dict[str, AbstractTrial] = {}
    for trial in trials:
        found |= with_sources(trial.sources) | {trial.id: trial}
    return found


def fits(trials: Iterable[AbstractTrial]) -> int:
    """One a level."""
    return sum(trial.levels for trial in trials)


def steps(trial: AbstractTrial) -> int:
    """Of all its fits, at most, and of the masks that it learns."""
    if not isinstance(trial, Trajectory):
        return trial.levels * trial.steps
    learned = trial.pruner.steps if isinstance(trial.pruner, Oes) else 0
    return trial.levels * trial.fit.steps + (trial.levels - 1) * learned


def pflop(trials: Iterable[AbstractTrial]) -> float:
    """Two operations a multiply-add, all levels as dense as the first."""
    macs: dict[str, int] = {}
    total = 0
    for trial in trials:
        alike = trial.rehearsal
        if alike not in macs:
            macs[alike] = trial.size.macs_per_step * trial.images_per_level
        total += 2 * macs[alike] * steps(trial)
    return total / 1e15


class InMemory:
    """The masks and networks that trials have left; the seed draws all other weights."""

    def __init__(self, records: Iterable[LevelRecord]) -> None:
        left = tuple(records)
        self._masks = {(r.trial_id, at): mask for r in left for at, mask in r.masks.items()}
        self._networks = {(r.trial_id, r.level): r.network for r in left if r.network}

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        return self._masks.get((trial_id, level))

    def weights(self, trial_id: str, level: int) -> None:
        return None

    def network(self, trial_id: str, level: int) -> tuple[StoredTensor, ...] | None:
        return self._networks.get((trial_id, level))

    def unfinished(self, trial_id: str, level: int) -> None:
        return None


@cache
def records_of(trial: AnyTrial) -> tuple[LevelRecord, ...]:
    """What a trial finds, after its sources."""
    artifacts = InMemory(record for source in trial.sources for record in records_of(source))
    return tuple(run(trial, Context(device=torch.device("cpu"), artifacts=artifacts)))


def tried(value: object, apart: set[str], path: str = "") -> Iterator[tuple[str, str]]:
    """Every choice between methods that a spec makes, and where; some fields apart."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in CHOICES and isinstance(item, str):
                yield f"{path}.{key}", item
            elif key not in apart:
                yield from tried(item, apart, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from tried(item, apart, path)


def test_there_are_sweeps() -> None:
    assert FOLDER / "quickstart.yaml" in FILES
    assert PAPER / "existence.yaml" in FILES


def test_no_two_have_a_name_in_common() -> None:
    names = [path.stem for path in FILES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", WITH_SOURCES, ids=lambda path: path.stem)
def test_sources_shrink_with_their_sweep(path: Path) -> None:
    written = strict_yaml.parse(path.read_text(encoding="utf-8"))["sources"]
    name = written if isinstance(written, str) else written["sweep"]
    shrunk = {trial.id for trial in sweep_of(path.parent / name, quick=True).trials}
    needed = [source for t in sweep_of(path, quick=True).trials for source in t.sources]
    taken = {source.id for source in needed if not isinstance(source, Reconstruction)}
    assert taken
    assert taken <= shrunk


@each
class TestEveryFile:
    def test_is_a_sweep_of_its_own_name(self, path: Path) -> None:
        assert sweep_of(path).name == path.stem
        assert trials_of(path)

    def test_shrinks(self, path: Path) -> None:
        whole, quick = (with_sources(trials_of(path, quick=q)).values() for q in (False, True))
        budget = sum(map(steps, quick))
        assert budget <= min(QUICK_STEPS, sum(map(steps, whole)) / 10)

    def test_tries_in_short_whatever_the_whole_one_does(self, path: Path) -> None:
        apart = {"schedule"} if path.parent == PAPER else {"schedule", "task", "stopping"}
        if any(isinstance(t, Generator | Reconstruction) for t in trials_of(path)):
            apart |= {"prior", "images"}  # files, of which the short one has none
        if {"kind: folder", "kind: file"} & set(re.findall(r"kind: \w+", path.read_text("utf-8"))):
            apart |= {"images"}  # likewise
        whole, quick = (
            {
                choice
                for trial in trials_of(path, quick=q)
                for choice in tried(trial.model_dump(mode="json"), apart)
            }
            for q in (False, True)
        )
        assert quick == whole

    def test_says_what_it_is_for(self, path: Path) -> None:
        said = head(path)
        for heading in HEADINGS:
            assert len(said.get(heading, "")) > 20, heading

    def test_counts_its_trials_and_fits(self, path: Path) -> None:
        said, asked, times = head(path)["Trials"], trials_of(path), points_of(path)
        trials = re.match(r"\d+", said)
        assert trials is not None
        assert int(trials.group()) == times * len(asked)
        counted = re.search(r"(\d+) fits", said)
        assert counted is not None
        assert int(counted.group(1)) == times * fits(asked)

    def test_names_the_schema(self, path: Path) -> None:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        prefix = "# yaml-language-server: $schema="
        assert first.startswith(prefix)
        assert (path.parent / first.removeprefix(prefix)).resolve() == FOLDER / "schema.json"

    def test_is_right_by_the_schema(self, path: Path) -> None:
        document = strict_yaml.parse(path.read_text(encoding="utf-8"))
        Draft202012Validator(json_schema()).validate(document)

    def test_other_readers_of_yaml_see_the_same(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert pyyaml.safe_load(text) == strict_yaml.parse(text)


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
class TestSearches:
    def test_there_are_points_to_compare_with(self, path: Path) -> None:
        search = sweep_of(path).search
        assert search is not None
        assert len(search.start) < search.points
        assert all(point.keys() == search.space.keys() for point in search.start)

    def test_every_value_goes_with_the_first_point(self, path: Path) -> None:
        for quick in (False, True):
            sweep = sweep_of(path, quick=quick)
            assert sweep.search is not None
            for field, domain in sweep.search.space.items():
                for _, value in domain.corners():
                    assert sweep.trials_at(sweep.search.start[0] | {field: value})

    def test_the_first_points_of_the_short_one_run_to_their_end(self, path: Path) -> None:
        for trial in trials_of(path, quick=True):
            records = records_of(trial)
            assert len(records) == trial.levels * trial.images_per_level
            assert {record.outcome for record in records} <= {Outcome.BUDGET, Outcome.STOPPED}


RESTORING = [
    path
    for path in FILES
    if not re.search(
        "sensing|range|classification|generators", path.stem
    )  # their fits are of other kinds
]
OF_THE_QUESTION = ("set cases instead", "rewind.step must be less than the fit's steps")
"""Lengths of fits that a sweep compares, or rewinds into: no number of steps goes for them all."""


COMPARING_LENGTHS = {
    "cross-task", "multi-image-cross-task", "multi-image-tasks", "super-resolution", "rewinding",
    "frontier", "stopping", "study-criteria", "study-seeds", "study-set14",
}  # fmt: skip
"""The sweeps that may say so."""


class TestLengths:
    """Whoever sets the steps of a fit need set nothing else."""

    @pytest.mark.parametrize("quick", [False, True], ids=["whole", "quick"])
    @pytest.mark.parametrize("steps", [60, 20])
    @pytest.mark.parametrize("path", RESTORING, ids=lambda path: path.stem)
    def test_fits_may_be_short(self, path: Path, steps: int, quick: bool) -> None:
        try:
            sweep = Sweep.from_yaml(path, quick=quick, overrides=[f"fit.steps={steps}"])
        except SweepError as error:
            messages = [problem.message for problem in error.problems]
            assert all(any(said in m for said in OF_THE_QUESTION) for m in messages), messages
            assert path.stem in COMPARING_LENGTHS
        else:
            trials = (
                sweep.trials if sweep.search is None else sweep.trials_at(sweep.search.start[0])
            )
            assert {trial.fit.steps for trial in trials} == {steps}

    @pytest.mark.parametrize("path", RESTORING, ids=lambda path: path.stem)
    def test_no_rule_is_stated_where_the_defaults_cover_it(self, path: Path) -> None:
        document = strict_yaml.parse(path.read_text(encoding="utf-8"))
        assert not re.search(r'"([\w.]+\.)?stopping":', json.dumps(document))


def table() -> dict[str, list[str]]:
    """By file, the cells of its row in the paper sweeps' page: trials, fits, PFLOP, GPU-hours."""
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.yaml)\) \|(.*)\|$", text, re.MULTILINE)
    return {file: [cell.strip() for cell in cells.split("|")][-4:] for file, cells in rows}


def figure_cells() -> dict[str, str]:
    """By file, the cell of the paper sweeps' page that says which figure of the study it is of."""
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[[\w-]+\]\(([\w-]+\.yaml)\) \| ([^|]+) \|", text, re.MULTILINE))


def figures_in(text: str) -> set[str]:
    """The numbers of the figures that a text names."""
    return set(re.findall(r"Figure (\d+)", text))


class TestPaper:
    def test_the_page_has_every_sweep(self) -> None:
        assert sorted(table()) == [path.name for path in FILES if path.parent == PAPER]

    @pytest.mark.parametrize("file", sorted(table()))
    def test_it_names_its_figure_or_says_that_it_has_none(self, file: str) -> None:
        study, cell = head(PAPER / file)["Study"], figure_cells()[file]
        named = figures_in(study)
        assert figures_in(cell) == named
        assert named or "no figure of it" in study or "is not known here" in study
        assert (cell == "number unknown") == ("is not known here" in study)

    def test_the_figures_named_are_those_that_are_known(self) -> None:
        assert set.union(*map(figures_in, figure_cells().values())) == KNOWN_FIGURES

    def test_the_files_of_figure_3_have_what_it_compares(self) -> None:
        for name in ("existence", "clean-tickets", "domain", "clean-tickets-domain"):
            trials = sweep_of(PAPER / f"{name}.yaml").trials
            pruners = {trial.description.pruner for trial in trials}
            assert {"magnitude", "random", "snip"} <= pruners, name

    def test_enough_photos_for_a_margin_of_a_tenth_of_a_decibel(self) -> None:
        images = {t.description.image for t in sweep_of(PAPER / "matching.yaml").trials}
        assert len(images) >= 14

    def test_what_they_need_is_said(self) -> None:
        page = (PAPER / "README.md").read_text(encoding="utf-8")
        for file in table():
            needed = re.findall(r"\bpath: ([\w./-]+)", (PAPER / file).read_text(encoding="utf-8"))
            assert all(f"`{path}" in page for path in needed), file
            assert not needed or "Needs" in head(PAPER / file), file

    @pytest.mark.parametrize("file", sorted(table()))
    def test_the_page_counts_right(self, file: str) -> None:
        trials = sweep_of(PAPER / file).trials
        cost = pflop(trials)
        hours = cost / PFLOP_PER_GPU_HOUR
        expected = [str(len(trials)), str(fits(trials)), f"{cost:.1f}", f"{hours:.1f}"]
        assert table()[file] == expected

    def test_the_page_adds_up(self) -> None:
        trials = with_sources(t for file in table() for t in sweep_of(PAPER / file).trials)
        cost = pflop(trials.values())
        said = re.search(
            r"^(\d+) trials, (\d+) fits, ([\d.]+) PFLOP, ([\d.]+) GPU-hours",
            (PAPER / "README.md").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
        assert said is not None
        hours = cost / PFLOP_PER_GPU_HOUR
        counts = (len(trials), fits(trials.values()), f"{cost:.1f}", f"{hours:.1f}")
        assert said.groups() == tuple(map(str, counts))

    @pytest.mark.parametrize(
        ("file", "other", "shared"),
        [
            ("clean-tickets", "existence", 18),  # three pruners, on the clean image
            ("consensus", "domain", 15),  # the five pictures that agree, three seeds
            ("multi-image-cross-task", "multi-image", 12),  # by magnitude
            ("sensing-sparsity", "sensing-generators", 6),
            ("sensing-inpainting", "sensing-sparsity", 12),  # the generators and their floors
            ("sensing-outliers", "sensing-measurements", 1),  # the checkpoint
        ],
    )
    def test_what_they_share_runs_once(self, file: str, other: str, shared: int) -> None:
        ours, theirs = (
            with_sources(sweep_of(PAPER / f"{name}.yaml").trials).keys() for name in (file, other)
        )
        assert len(ours & theirs) == shared

    @pytest.mark.parametrize("file", sorted(table()))
    @pytest.mark.slow
    def test_the_short_one_runs_to_its_end(self, file: str) -> None:
        for trial in sweep_of(PAPER / file, quick=True).trials:
            records = records_of(trial)
            assert len(records) == trial.levels * trial.images_per_level
            assert {record.outcome for record in records} == {Outcome.BUDGET}

    def test_all_results_are_in_one_store(self) -> None:
        assert {sweep_of(PAPER / file).store for file in table()} == {"results/paper"}

    @pytest.mark.parametrize("file", sorted(table()))
    def test_large_images_are_not_fitted_exactly(self, file: str) -> None:
        """Exact floats would cost several times the hours, and files would not compare."""
        trials = with_sources(sweep_of(PAPER / file).trials).values()
        assert not [trial.id for trial in trials if trial.exact_pixels >= LARGE]

    def test_seeds_are_paired(self) -> None:
        for file in table():
            trials = sweep_of(PAPER / file).trials
            counts = [sum(t.seed_used == seed for t in trials) for seed in (0, 1, 2)]
            assert counts == [len(trials) / 3] * 3, file


RIGHT: dict[str, Any] = {
    "name": "s",
    "trial": {"images": "camera", "task": {"kind": "denoising", "sigma": 25}},
}


def with_trial(**fields: object) -> dict[str, Any]:
    return {**RIGHT, "trial": {**RIGHT["trial"], **fields}}


class TestSchema:
    def test_the_shipped_one_is_today_s(self) -> None:
        assert (FOLDER / "schema.json").read_text(encoding="utf-8") == json_schema_text()

    def test_the_shipped_reference_is_today_s(self) -> None:
        assert REFERENCE.read_text(encoding="utf-8") == read_off().text

    def test_it_is_a_schema(self) -> None:
        Draft202012Validator.check_schema(json_schema())
        assert json.loads(json_schema_text()) == json_schema()

    def test_fields_are_described(self) -> None:
        fields = json_schema()["$defs"]["Denoising"]["properties"]
        said = fields["sigma"]["description"]
        assert said.startswith("The standard deviation of the noise in 8-bit grey levels: 25 means")

    @pytest.mark.parametrize(
        "document",
        [
            RIGHT,
            with_trial(pruner="random", prior="skip", schedule=[1, 0.5], fit={"steps": 100}),
            with_trial(pruner={"kind": "snip"}, schedule={"kind": "rate", "steps": 2}),
            with_trial(images=[{"kind": "builtin", "name": "moon", "size": [64, 64]}]),
            {**RIGHT, "grid": {"seed": [0, 1], "pruner": [{"kind": "snip"}, "random"]}},
            {**RIGHT, "quick": {"fit.steps": 100, "grid.seed": [0]}, "run": {"cpus": 2}},
            {
                "name": "s",
                "trial": {"images": {"kind": "builtin"}, "task": {"kind": "denoising"}},
                "grid": {"task.sigma": [15, 25], "images.name": ["camera", "moon"]},
            },
        ],
    )
    def test_what_a_sweep_takes_it_takes(self, document: dict[str, Any]) -> None:
        Sweep.build(document)
        Draft202012Validator(json_schema()).validate(document)

    def test_a_file_by_its_path_alone(self) -> None:
        document = with_trial(images={"kind": "file", "path": "cat.png"})
        Draft202012Validator(json_schema()).validate(document)

    @pytest.mark.parametrize(
        "document",
        [
            [],
            {"name": "s"},
            {**RIGHT, "name": "a b"},
            {**RIGHT, "gird": {}},
            {**RIGHT, "grid": {"seed": []}},
            {**RIGHT, "grid": {"seed": 3}},
            {**RIGHT, "run": {"device": "gpu"}},
            {**RIGHT, "run": {"cpus": 0}},
            with_trial(sede=1),
            with_trial(seed="1"),
            with_trial(task={"kind": "denoising", "sigma": "25"}),
            with_trial(task={"kind": "denosing"}),
            with_trial(pruner="snpi"),
            with_trial(pruner={"kind": "random", "scope": "channel"}),
            with_trial(prior={"kind": "skip", "width": 0}),
            with_trial(fit={"precision": "fp16"}),
            with_trial(schedule={"kind": "rate", "rate": 1.5}),
            with_trial(images={"kind": "builtin", "name": "camra"}),
        ],
    )
    def test_what_it_refuses_a_sweep_refuses(self, document: Any) -> None:
        assert not Draft202012Validator(json_schema()).is_valid(document)
        with pytest.raises(SweepError):
            Sweep.build(document)
