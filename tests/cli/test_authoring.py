"""`lip init` and `lip explain`: files that run as they are, and what may stand in them."""

import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from lip_ray import strict_yaml
from lip_ray.cli import app
from lip_ray.cli.authoring import WISHES
from lip_ray.reference import shipped
from lip_ray.sweep import Sweep, SweepError
from lip_ray.trials import Context, run

FAULTS = r"unknown (key|kind|value)|trial\.\w+\.[\w.]+: is missing|: must be "
"""What is said of a field that does not go with its spec, whatever files there are."""

every = pytest.mark.parametrize("wish", WISHES)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIP_RAY_STORE", raising=False)


def lip(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


class TestInit:
    @every
    def test_what_it_writes_is_right(self, wish: str) -> None:
        shown = lip("init", wish)
        assert shown.exit_code == 0, shown.output
        assert shown.output == f"{wish}.yaml: see lip plan {wish}.yaml\n"
        for quick in (False, True):
            sweep = Sweep.from_yaml(Path(f"{wish}.yaml"), quick=quick)
            assert sweep.name == wish
            assert sweep.search or sweep.trials
        text = Path(f"{wish}.yaml").read_text()
        assert max(map(len, text.splitlines())) <= 100
        assert f"lip run {wish}.yaml --quick" in text
        assert "{file}" not in text
        assert "{name}" not in text

    @every
    def test_its_quick_form_is_small(self, wish: str) -> None:
        lip("init", wish)
        trials = Sweep.from_yaml(Path(f"{wish}.yaml"), quick=True).typical_trials()
        levels = {trial.id: trial for own in trials for trial in (own, *own.sources)}.values()
        assert sum(trial.levels * trial.steps for trial in levels) <= 400

    def test_its_quick_form_runs(self) -> None:
        lip("init", "denoise")
        [trial] = Sweep.from_yaml(Path("denoise.yaml"), quick=True).trials
        records = list(run(trial, Context(device=torch.device("cpu"))))
        assert [record.outcome for record in records] == ["budget", "budget"]

    def test_the_file_gives_the_sweep_its_name(self) -> None:
        assert lip("init", "compare", "-o", "mine/my cat (1).yaml").exit_code == 0
        sweep = Sweep.from_yaml(Path("mine/my cat (1).yaml"))
        assert sweep.store == "results/my-cat--1-"

    def test_nothing_is_overwritten(self) -> None:
        Path("denoise.yaml").write_text("mine")
        refused = lip("init", "denoise")
        assert refused.exit_code == 2
        assert "denoise.yaml is there already: name another with -o FILE" in refused.stderr
        assert Path("denoise.yaml").read_text() == "mine"

    def test_wishes_are_listed_when_absent_or_wrong(self) -> None:
        shown = lip("init")
        assert shown.exit_code == 0
        assert [line.split()[0] for line in shown.output.splitlines()] == list(WISHES)
        refused = lip("init", "Denoising")
        assert refused.exit_code == 2
        assert "did you mean 'denoise'? there are: denoise, compare, " in refused.stderr

    def test_a_sweep_file_is_yaml(self) -> None:
        refused = lip("init", "search", "-o", "search.txt")
        assert refused.exit_code == 2
        assert "a sweep file ends in .yaml, got search.txt" in refused.stderr


class TestExplain:
    def test_all_of_it_is_the_page(self) -> None:
        page = Path(__file__).parents[2] / "docs" / "sweeps.md"
        assert lip("explain").stdout == page.read_text(encoding="utf-8")

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            (
                "task.inpainting",
                ["task.inpainting: ", "mask: kind: random, file, box; needed", "Example:"],
            ),
            (
                "fit.stopping",
                [
                    "fit.stopping is one of these kinds. The rule that chooses",
                    "by default `held_out` where the measurement has noise",
                    "fit.stopping.wmv: ES-WMV",
                ],
            ),
            ("pruner", ["pruner.magnitude: ", "scope: ", "pruner.snip: "]),
            ("trial.pruner.IMP", ["pruner.magnitude: "]),
            (
                "run.level_limit_s",
                ["number in seconds, above 0 or null; null by default"],
            ),
            ("grid", ["grid: mapping; {} by default"]),
            ("seed", ["seed: whole number, at least 0", "0 by default"]),
            ("task.denoising.σ", ["sigma: number", "in 8-bit grey levels"]),
            ("search.space", ["search.space"]),
        ],
    )
    def test_a_place(self, path: str, said: list[str]) -> None:
        shown = lip("explain", path)
        assert shown.exit_code == 0, shown.output
        flat = " ".join(shown.stdout.split())
        for words in said:
            assert words in flat

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("task.inpaintin", "did you mean 'inpainting'? there are: "),
            ("sigma", "did you mean task.denoising.sigma or "),
            ("fit.stoping", "did you mean 'stopping'? there are: steps, "),
            ("pruner.magnitude.zzz", "nothing is called 'zzz' there; there are: "),
            ("seed.more", "'more' has nothing to lead to"),
            ("", "nothing is called '' there"),
        ],
    )
    def test_a_wrong_place(self, path: str, said: str) -> None:
        refused = lip("explain", path)
        assert refused.exit_code == 2
        assert said in refused.stderr

    @pytest.mark.parametrize("columns", [60, 80])
    def test_it_fits_the_terminal(self, columns: int) -> None:
        for path in ("task", "fit", "trial", "run", "search", "solver"):
            shown = lip("explain", path, COLUMNS=str(columns))
            assert max(map(len, shown.stdout.splitlines())) <= columns, path

    def test_every_field_has_a_meaning_and_a_type(self) -> None:
        sheets = [shipped().document, *shipped().sheets.values()]
        bare = [f"{own.name}.{f.name}" for own in sheets for f in own.fields if not f.meaning]
        assert bare == []
        assert not [own.name for own in sheets if not own.about]
        assert not [f.name for own in sheets for f in own.fields if not f.type]

    def test_every_place_can_be_asked_for(self) -> None:
        known = shipped()
        for found in known.places():
            for entry in known.entries(found):
                if entry.path:
                    assert known.place(entry.path).specs
                for own in entry.fields:
                    assert known.place(f"{entry.path}.{own.name}".lstrip("."))

    def test_examples_are_right_but_for_files_that_are_not_there(self) -> None:
        base = {
            "images": {"kind": "builtin", "name": "camera", "size": [32, 32]},
            "task": {"kind": "denoising", "sigma": 25},
        }
        wrong = {
            entry.path: problems
            for found in shipped().places()
            for entry in shipped().entries(found)
            if (problems := _problems(base, entry.example, deep=entry.path.count(".") > 1))
        }
        assert wrong == {}


def _problems(base: dict[str, object], text: str, *, deep: bool) -> list[str]:
    """What is wrong with an example that is put into a sweep, but for files that are not there and,
    of a `deep` one, for what the specs around it need."""
    example = strict_yaml.parse(text)
    assert isinstance(example, dict)
    whole = {"run", "search", "sources", "trial"} & example.keys()
    document = {"name": "x", "trial": base} | (example if whole else {"trial": base | example})
    try:
        Sweep.build(document)
    except SweepError as error:
        each = map(str, error.problems)
        found = [one for one in each if re.search(FAULTS, one)]
        return [one for one in found if not (deep and one.endswith("is missing"))]
    return []
