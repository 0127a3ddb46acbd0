"""The shipped sweeps: each loads, shrinks, says what it is for, and is what editors are told."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from lip_ray import yaml
from lip_ray.sweep import Sweep, SweepError, json_schema, json_schema_text

FOLDER = Path(str(files("lip_ray.sweeps")))
FILES = sorted(FOLDER.rglob("*.yaml"))
HEADINGS = ("Question", "Trials", "Cost", "Expected")
QUICK_STEPS = 1000

each = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))


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


def steps(sweep: Sweep) -> int:
    """Of all fits together, at most."""
    return sum(trial.levels * trial.fit.steps for trial in sweep.trials)


def test_there_are_sweeps() -> None:
    assert FOLDER / "quickstart.yaml" in FILES


@each
class TestEveryFile:
    def test_is_a_sweep_of_its_own_name(self, path: Path) -> None:
        sweep = Sweep.from_yaml(path)
        assert sweep.name == path.stem
        assert sweep.trials

    def test_shrinks(self, path: Path) -> None:
        whole, quick = Sweep.from_yaml(path), Sweep.from_yaml(path, quick=True)
        assert steps(quick) <= min(QUICK_STEPS, steps(whole) / 10)
        kinds = [{trial.pruner.kind for trial in sweep.trials} for sweep in (whole, quick)]
        assert kinds[0] == kinds[1], "the quick one tries whatever the whole one does"

    def test_says_what_it_is_for(self, path: Path) -> None:
        said = head(path)
        for heading in HEADINGS:
            assert len(said.get(heading, "")) > 20, heading

    def test_counts_its_trials_and_fits(self, path: Path) -> None:
        said, sweep = head(path)["Trials"], Sweep.from_yaml(path)
        trials = re.match(r"\d+", said)
        assert trials is not None
        assert int(trials.group()) == len(sweep.trials)
        fits = re.search(r"(\d+) fits", said)
        assert fits is not None
        assert int(fits.group(1)) == sum(trial.levels for trial in sweep.trials)

    def test_names_the_schema(self, path: Path) -> None:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        prefix = "# yaml-language-server: $schema="
        assert first.startswith(prefix)
        assert (path.parent / first.removeprefix(prefix)).resolve() == FOLDER / "schema.json"

    def test_is_right_by_the_schema(self, path: Path) -> None:
        document = yaml.parse(path.read_text(encoding="utf-8"))
        Draft202012Validator(json_schema()).validate(document)

    def test_other_readers_of_yaml_see_the_same(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert pyyaml.safe_load(text) == yaml.parse(text)


RIGHT: dict[str, Any] = {
    "name": "s",
    "trial": {"images": "camera", "task": {"kind": "denoising", "sigma": 25}},
}


def with_trial(**fields: object) -> dict[str, Any]:
    return {**RIGHT, "trial": {**RIGHT["trial"], **fields}}


class TestSchema:
    def test_the_shipped_one_is_today_s(self) -> None:
        assert (FOLDER / "schema.json").read_text(encoding="utf-8") == json_schema_text()

    def test_it_is_a_schema(self) -> None:
        Draft202012Validator.check_schema(json_schema())
        assert json.loads(json_schema_text()) == json_schema()

    def test_fields_are_described(self) -> None:
        fields = json_schema()["$defs"]["Denoising"]["properties"]
        assert fields["sigma"]["description"].startswith("In 8-bit grey levels: 25 means 25/255")

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
