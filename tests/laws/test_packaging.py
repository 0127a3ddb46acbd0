"""What is built is whole: all packages, all extras, one version."""

import ast
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lip_ray import __version__, strict_yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"lip_ray": "lip_ray", "lip_ray.analysis": "analysis", "lip_ray.sweeps": "sweeps"}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_in_the_wheel(project: dict[str, Any]) -> None:
    found = {
        ".".join([name, *path.parent.relative_to(ROOT / folder).parts])
        for name, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(project["tool"]["setuptools"]["packages"]) == found


def test_all_names_every_extra_but_that_of_developers(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = everything.removeprefix("lip-ray[").removesuffix("]").split(",")
    assert sorted(named) == sorted(extras.keys() - {"all", "dev"})


def test_citation_and_package_are_of_this_version(project: dict[str, Any]) -> None:
    citation = strict_yaml.parse((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == project["project"]["version"] == __version__
    assert citation["license"] == project["project"]["license"]


OF_PACKAGES = {
    "PIL": "pillow",
    "mlflow": "mlflow-skinny",
    "pywt": "pywavelets",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Modules that are called otherwise than their packages."""

WITH_OTHERS = {
    "choreographer": "kaleido",
    "llvmlite": "numba",
    "markupsafe": "jinja2",
    "pydantic_core": "pydantic",
    "werkzeug": "flask",
}
"""Modules of packages that another package needs by the terms of its interface."""


def imported() -> dict[str, str]:
    """All modules from outside that the package imports, each with a file that does."""
    found = {}
    for folder in FOLDERS.values():
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names: list[str] = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                found |= {name.partition(".")[0]: str(path) for name in names}
    inside = {*sys.stdlib_module_names, "lip_ray"}
    return {name: file for name, file in found.items() if name not in inside}


def test_every_package_that_is_imported_is_declared(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    needed = packages_of(project["project"]["dependencies"])
    declared = needed.union(*(packages_of(extras[name]) for name in extras.keys() - {"dev"}))
    found = imported()
    packages = {name: OF_PACKAGES.get(name, WITH_OTHERS.get(name, name)) for name in found}
    missing = [name for name in found if canonicalize_name(packages[name]) not in declared]
    assert {name: found[name] for name in missing} == {}
    unused = needed - set(map(canonicalize_name, packages.values()))
    assert unused == set()


def packages_of(lines: list[str]) -> set[str]:
    """The names of the packages that are required."""
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_no_two_test_files_have_one_name() -> None:
    """Pytest imports them by their names alone, and refuses the second."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
