"""A new pruner is one file and its name in the family: all else knows it without being told."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lip_ray.pruning import Pruner
from lip_ray.reference import Reference
from lip_ray.spec import kinds_of

ROOT = Path(__file__).parents[2]
NEW = '''"""The contrary of magnitude pruning."""

from typing import Literal, final

from lip_ray.pruning.base import AbstractPruner, Rounds, ScoreContext
from lip_ray.pruning.mask import Scores


@final
class Smallest(AbstractPruner):
    """Keep the initial weights smallest in absolute value."""

    kind: Literal["smallest"] = "smallest"
    rounds: Rounds = None

    def score(self, context: ScoreContext) -> Scores:
        """-|w|."""
        return {name: -weight.abs() for name, weight in context.weights.items()}
'''
IMPORT = "from lip_ray.pruning.smallest import Smallest as Smallest\n"
KINDS = [*kinds_of(Pruner), "smallest"]


def copied(folder: Path) -> None:
    """The package, and of its laws those on pruners and defaults."""
    for source, target in {
        "lip_ray": "lip_ray",
        "sweeps": "lip_ray/sweeps",
        "tests/conformance": "tests/conformance",
    }.items():
        shutil.copytree(ROOT / source, folder / target)  # with its bytecode, so it is not made anew
    (folder / "tests/laws").mkdir()
    for name in ("pins.py", "pinned_defaults.json", "extended.py"):
        shutil.copy(ROOT / "tests/laws" / name, folder / "tests/laws" / name)


def extend(folder: Path) -> None:
    """One file, and its name in the family's `__init__`: imported, and in the union."""
    family = folder / "lip_ray/pruning/__init__.py"
    family.with_name("smallest.py").write_text(NEW, encoding="utf-8")
    code = family.read_text(encoding="utf-8")
    code, imported = re.subn(r"\nPruner = ", rf"{IMPORT}\g<0>", code)
    code, named = re.subn(r",\s+Family\(", r" | Smallest\g<0>", code)
    assert (imported, named) == (1, 1)
    family.write_text(code, encoding="utf-8")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process on the extended copy says of the new pruner."""
    folder = tmp_path_factory.mktemp("extended")
    copied(folder)
    extend(folder)
    done = subprocess.run(
        [sys.executable, "-m", "tests.laws.extended"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["package"] == str(folder / "lip_ray")
    return found


def test_it_is_offered_where_a_kind_is_unknown(known: dict[str, Any]) -> None:
    assert known["complaint"].endswith(
        f"unknown kind 'smalest'; did you mean 'smallest'? allowed: {', '.join(KINDS)}"
    )


def test_a_sweep_takes_it(known: dict[str, Any]) -> None:
    assert known["expanded"] == ["magnitude", "smallest"]


def test_it_is_explained(known: dict[str, Any]) -> None:
    found = Reference.parse(known["explained"])
    assert found.place("pruner.smallest").specs[0].about.startswith("Keep the initial weights")


def test_the_schema_has_it(known: dict[str, Any]) -> None:
    definition = known["schema"]["$defs"]["Smallest"]
    assert definition["properties"]["kind"]["const"] == "smallest"
    pruner = json.dumps(known["schema"]["$defs"]["Trajectory"]["properties"]["pruner"])
    assert '"smallest"' in pruner  # the short form
    assert "#/$defs/Smallest" in pruner


def test_it_prunes_to_exact_counts_level_within_level(known: dict[str, Any]) -> None:
    ladder = known["ladder"]
    assert ladder["kept"] == ladder["masks"] == ladder["asked"]
    assert len(ladder["asked"]) == 3
    assert ladder["nested"]


def test_it_is_put_through_the_laws_of_its_family(known: dict[str, Any]) -> None:
    assert list(known["enrolled"]) == KINDS
    assert known["enrolled"]["smallest"] == 1


def test_its_defaults_are_pinned_and_no_others(known: dict[str, Any]) -> None:
    before = json.loads((ROOT / "tests/laws/pinned_defaults.json").read_text(encoding="utf-8"))
    added = {"kind": "smallest", "rounds": None, "scope": "global"}
    assert known["pinned"] == {**before, "Smallest": added}
