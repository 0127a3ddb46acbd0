"""Commands start at once: what takes long to import is imported by those that need it."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lip_ray.store import Writer

ROOT = Path(__file__).resolve().parents[2]

LIGHT = {"pydantic", "rich", "typer"}
"""The command line itself: newer Typers check options with Pydantic."""

OUTSIDE = {"all", "dev"}
"""Extras that name lip-ray itself, or what only its developers need."""

OF_STORES = {"duckdb", "fsspec", "numpy", "pandas", "pyarrow", "yaml"}
"""Packages that reading a store takes."""

LOADED = """
import sys
from lip_ray.cli import app
for arguments in {calls!r}:
    try:
        app(arguments)
    except SystemExit as end:
        assert end.code in (0, None), (arguments, end.code)
print("loaded:", *{{name.partition(".")[0] for name in sys.modules}})
"""

COMPLETED = """
import sys
from lip_ray.cli import completion
assert completion.sweeps("quick") and completion.tables("lev")
assert completion.stores("results/") == ["results/one", "results/one/"]
print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""


def required() -> set[str]:
    """The modules of all packages that lip-ray needs, but for those of the command line."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = chain(project["dependencies"], *(extras[name] for name in extras.keys() - OUTSIDE))
    names = {canonicalize_name(Requirement(line).name) for line in asked} - LIGHT
    return {
        module
        for module, packages in packages_distributions().items()
        if names & set(map(canonicalize_name, packages))
    }


HEAVY = required()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one store, of no trials."""
    folder = tmp_path_factory.mktemp("start")
    Writer.open(folder / "results" / "one")
    return folder


def loaded(folder: Path, script: str) -> set[str]:
    """The modules that are imported at the end of a script, by their first names."""
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.rpartition("loaded:")[2].split())


def after(folder: Path, *calls: str) -> set[str]:
    """The modules that are imported once these commands have run."""
    return loaded(folder, LOADED.format(calls=[call.split() for call in calls]))


def test_the_names_of_modules_are_known() -> None:
    assert {"duckdb", "optuna", "pandas", "plotly", "ray", "skimage", "torch"} <= HEAVY


def test_help_imports_nothing_heavy(folder: Path) -> None:
    helps = ("--help", "--version", "run --help", "query --help", "store merge --help")
    assert sorted(after(folder, *helps) & HEAVY) == []


@pytest.mark.parametrize(
    "call", ["explain", "explain fit.stopping", "schema", "init", "init denoise"]
)
def test_what_reads_no_store_imports_nothing_heavy(folder: Path, call: str) -> None:
    assert sorted(after(folder, call) & HEAVY) == []


def test_a_shell_s_question_imports_nothing_heavy(folder: Path) -> None:
    assert sorted(loaded(folder, COMPLETED) & HEAVY) == []


@pytest.mark.parametrize(
    "call",
    ["query show", "ls", "status", "status --failures", "tables levels", "cite", "store check"],
)
def test_what_reads_a_store_imports_what_reads_one(folder: Path, call: str) -> None:
    found = after(folder, call)
    assert sorted(found & (HEAVY - OF_STORES)) == []
    assert found & OF_STORES, "so that the test sees what is imported"
